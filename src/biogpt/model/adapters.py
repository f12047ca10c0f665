"""PEFT's LoRA adapters, merged into their base model without PEFT.

A directory with `adapter_config.json` and `adapter_model.safetensors` names its base model and holds what training
added: low-rank matrices, whole modules (a head), rows of the token embedding (a soft prompt). Anything that would make
the merged model another one than PEFT runs is refused. Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biogpt.errors import CheckpointError
from biogpt.model.checkpoint import (
    ADAPTER_CONFIG_FILE,
    BUNDLED,
    CONFIG_FILE,
    assemble_model,
    check_weights,
    find_class,
    load_config,
    read_files,
    read_json_object,
    read_safetensors,
    resolve_model,
)
from biogpt.model.fairseq import EMBEDDING, PROJECTION

if TYPE_CHECKING:
    import torch

    from biogpt.model.config import BioGptConfig
    from biogpt.model.modeling import AnyModel

WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_CLASSES = {
    "CAUSAL_LM": "BioGptForCausalLM",
    "SEQ_CLS": "BioGptForSequenceClassification",
    "TOKEN_CLS": "BioGptForTokenClassification",
    None: "BioGptForCausalLM",
}
_HEADS = ("score.", "classifier.")

# Settings that the merge below honours, and those that only say how training began or went.
_HONOURED = frozenset(
    {
        "peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "alpha_pattern", "rank_pattern",
        "use_rslora", "trainable_token_indices", "modules_to_save",
    }
)  # fmt: skip
_HARMLESS = frozenset(
    {
        "auto_mapping", "peft_version", "revision", "inference_mode", "target_modules", "exclude_modules",
        "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size",
        "ensure_weight_tying", "runtime_config",
    }
)  # fmt: skip
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")
"""Values of `init_lora_weights` that leave the base model's weights as they are."""


def load_merged(path: Path) -> AnyModel:
    """The base model with the adapter in the directory `path` merged into it, in float32, ready to run.

    A `config.json` beside the adapter describes the merged model (its head, labels and vocabulary); without one it is
    the base model's, with the head that the adapter's `task_type` names.

    Raises:
        CheckpointError: a file is missing or damaged, the adapter is of another kind, or does not fit its base model.
    """
    settings_file, weights_file = path / ADAPTER_CONFIG_FILE, path / WEIGHTS_FILE
    settings = read_json_object(settings_file)
    _check_settings(settings_file, settings)
    additions = {name.removeprefix(_PREFIX): tensor.float() for name, tensor in read_safetensors(weights_file).items()}
    base_path = resolve_model(_base_of(settings))
    if (base_path / ADAPTER_CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{settings_file}: the base model {base_path} is an adapter itself, expected a whole model. Merge it first."
        )
    config, _, weights = read_files(base_path)
    weights = {name: tensor.float() for name, tensor in weights.items() if not name.startswith(_HEADS)}
    if (path / CONFIG_FILE).is_file():
        config = load_config(path)
    else:
        config.architectures = [_CLASSES[settings.get("task_type")]]
        _count_labels(config, additions)
    if EMBEDDING not in additions:
        _grow_embedding(settings_file, settings, weights, config.vocab_size)
    _merge(weights_file, settings, weights, additions)
    model_class = find_class(config, path)
    if model_class.__name__ != _CLASSES["CAUSAL_LM"]:
        weights.pop(PROJECTION, None)
    check_weights(weights_file, config, weights, model_class)
    return assemble_model(model_class, config, weights)


def _base_of(settings: Mapping[str, Any]) -> str:
    """The base model's name, with the revision where it is one of the hub's."""
    name, revision = str(settings["base_model_name_or_path"]), settings.get("revision")
    is_on_hub = name not in BUNDLED and not Path(name).expanduser().is_dir()
    return f"{name}@{revision}" if revision and is_on_hub else name


def _check_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Raise for every setting that would make PEFT compute something else than is merged here."""
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{file}: peft_type is {settings.get('peft_type')!r}, expected 'LORA', the only kind that is merged here. "
            "Load it with PEFT, merge it there and save the whole model."
        )
    if settings.get("task_type") not in _CLASSES:
        raise CheckpointError(
            f"{file}: task_type is {settings['task_type']!r}, expected one of {', '.join(filter(None, _CLASSES))}. "
            "Name an adapter of a BioGPT."
        )
    if not isinstance(settings.get("base_model_name_or_path"), str) or not settings["base_model_name_or_path"]:
        raise CheckpointError(
            f"{file} does not name its base model, expected base_model_name_or_path: a bundled name, a directory or a "
            "hub id. Add it."
        )
    strange = [
        name
        for name, value in settings.items()
        if value
        and name not in _HONOURED | _HARMLESS
        and not (name == "bias" and value == "none")
        and not (name == "init_lora_weights" and value in _PLAIN_STARTS)
    ]
    if strange:
        raise CheckpointError(
            f"{file}: got {strange[0]} = {settings[strange[0]]!r}, expected a plain LoRA adapter, which has none. Load "
            "it with PEFT, merge it there and save the whole model."
        )


def _merge(
    file: Path, settings: Mapping[str, Any], weights: dict[str, torch.Tensor], additions: Mapping[str, torch.Tensor]
) -> None:
    """Put an adapter's tensors into the base model's weights."""
    import torch

    for name, tensor in additions.items():
        module, _, kind = name.partition(".lora_A.")
        if kind == "weight":
            second = additions.get(f"{module}.lora_B.weight")
            matrix = weights.get(f"{module}.weight")
            if second is None or matrix is None or (second.shape[0], tensor.shape[1]) != matrix.shape:
                raise _unfitting(file, name, "low-rank matrices that fit the base model's")
            scale = _alpha_of(file, settings, module) / tensor.shape[0] ** (0.5 if settings.get("use_rslora") else 1.0)
            weights[f"{module}.weight"] = matrix + scale * (second @ tensor)
        elif name.endswith(".lora_B.weight"):
            if name.replace(".lora_B.", ".lora_A.") not in additions:
                raise _unfitting(file, name, "its other half lora_A")
        elif name.endswith(".token_adapter.trainable_tokens_delta"):
            module = name.removesuffix(".token_adapter.trainable_tokens_delta")
            rows = _rows_of(settings, module)
            matrix = weights.get(f"{module}.weight")
            if matrix is None or len(rows) != len(tensor) or max(rows, default=0) >= len(matrix):
                raise _unfitting(file, name, "rows of the token embedding, as many as trainable_token_indices has")
            # PEFT calls it a delta, but the rows take the place of the base model's.
            weights[f"{module}.weight"] = matrix.index_copy(0, torch.tensor(rows), tensor)
        elif name in weights or name.startswith(_HEADS):
            weights[name] = tensor
        else:
            raise _unfitting(file, name, "LoRA matrices of linear layers, whole modules or trained token rows")


def _alpha_of(file: Path, settings: Mapping[str, Any], module: str) -> float:
    alphas = {**(settings.get("alpha_pattern") or {}), "": settings.get("lora_alpha")}
    alpha = next(value for name, value in alphas.items() if not name or f".{module}".endswith(f".{name}"))
    if not isinstance(alpha, int | float):
        raise CheckpointError(
            f"{file.with_name(ADAPTER_CONFIG_FILE)}: lora_alpha of {module} is {alpha!r}, expected a number. "
            "Save it again."
        )
    return float(alpha)


def _rows_of(settings: Mapping[str, Any], module: str) -> list[int]:
    indices = settings.get("trainable_token_indices") or {}
    if isinstance(indices, list):
        return indices
    return next((rows for name, rows in indices.items() if f".{module}".endswith(f".{name}")), [])


def _grow_embedding(file: Path, settings: Mapping[str, Any], weights: dict[str, torch.Tensor], num_rows: int) -> None:
    """Empty rows for the tokens that the adapter's tokenizer has beyond the base model's; the adapter fills them."""
    import torch

    num_there = len(weights[EMBEDDING])
    if not set(range(num_there, num_rows)) <= set(_rows_of(settings, EMBEDDING.removesuffix(".weight"))):
        raise CheckpointError(
            f"{file}: the model has {num_rows} token ids and its base {num_there}, expected the rows of the new ones "
            "among trainable_token_indices. Put files together that were saved together."
        )
    for name in (EMBEDDING, PROJECTION):
        matrix = weights.get(name)
        if matrix is not None and num_rows > num_there:
            weights[name] = torch.cat([matrix, torch.zeros(num_rows - num_there, matrix.shape[1])])


def _count_labels(config: BioGptConfig, additions: Mapping[str, torch.Tensor]) -> None:
    for name in ("score.weight", "classifier.weight"):
        if name in additions:
            config.num_labels = len(additions[name])


def _unfitting(file: Path, name: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{file}: got the tensor {name[:120]!r}, expected {expected}. Put files together that were saved together, or "
        "merge the adapter with PEFT."
    )
