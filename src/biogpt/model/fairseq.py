"""fairseq's `checkpoint.pt`: read without running anything in it, and written. Neither fairseq nor omegaconf is needed.

Such a file is a pickle: the weights, and beside them settings as objects of argparse, omegaconf or fairseq. A pickle
names the functions to be called while it is read; here every name is looked at first. Tensors are rebuilt by PyTorch's
reader for untrusted files; the settings' classes are replaced by `Inert`, which keeps what it is given and does
nothing; any other name is refused before anything is read. This module knows nothing of vocabularies, directories or
what a model is for. Importing it does not import torch.
"""

from __future__ import annotations

import argparse
import io
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from biogpt.errors import BioGptError, CheckpointError

if TYPE_CHECKING:
    import torch

    from biogpt.model.config import BioGptConfig

EMBEDDING = "biogpt.embed_tokens.weight"
POSITIONS = "biogpt.embed_positions.weight"
PROJECTION = "output_projection.weight"

# Names with which PyTorch writes tensors; its own reader decides on each of them.
_TENSOR_NAMES = re.compile(
    r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+|torch\.Size"
    r"|torch\.device|torch\.\w+Storage|torch\.storage\.\w+Storage|torch\.(float|bfloat|u?int|complex)\w*|torch\.bool"
    r"|torch\.(half|double|long|short)|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
)
# Names that fairseq's and omegaconf's settings contain. None of them is imported or called.
_INERT_NAMES = re.compile(
    r"argparse\.Namespace|(fairseq|fairseq_cli|omegaconf|hydra|typing|pathlib|src|numpy)(\.\w+)+|enum\.\w+"
    r"|builtins\.(dict|list|tuple|set|frozenset|int|str|float|bool|bytes|complex|object|type)"
    r"|_?operator\.getitem|copyreg\._reconstructor|_codecs\.encode"
)
_DICTIONARY_NAMES = ("collections.defaultdict",)
_LONGEST_PICKLE = 64 * 2**20  # bytes; a checkpoint's is below one MiB, since tensors lie beside it

# (name in the settings, name in our configuration, value where a file lacks it, types it may have)
_SETTINGS: tuple[tuple[str, str, Any, tuple[type, ...]], ...] = (
    ("decoder_attention_heads", "num_attention_heads", None, (int,)),
    ("activation_fn", "hidden_act", "gelu", (str,)),
    ("dropout", "hidden_dropout_prob", 0.1, (float, int)),
    ("attention_dropout", "attention_probs_dropout_prob", 0.1, (float, int)),
    ("activation_dropout", "activation_dropout", 0.0, (float, int)),
    ("decoder_layerdrop", "layerdrop", 0.0, (float, int)),
)
_HEAD_SIZE = 64  # of both published models; taken where a file does not say how many heads there are

_LAYER = re.compile(r"biogpt\.layers\.(\d+)\.")


class Inert:
    """Stands for an object of a foreign class: keeps what it is given, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _make_dictionary(*_: Any) -> dict[Any, Any]:
    return {}


def read_checkpoint(path: Path) -> tuple[BioGptConfig, dict[str, torch.Tensor]]:
    """A fairseq checkpoint as configuration and weights under Hugging Face's names.

    The sizes are those of the tensors; the settings only say what tensors do not. A projection that is missing, or
    equal to the embedding, is left out, since it is tied; tensors keep their precision and stay on disk until they are
    used.

    Raises:
        CheckpointError: the file is damaged, would run code, or holds another kind of network.
    """
    content = load_inertly(path)
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not model:
        raise CheckpointError(
            f"{path}: got no weights under 'model', expected a fairseq checkpoint. Name the checkpoint.pt of a model."
        )
    weights = _rename(path, model)
    for name in (EMBEDDING, POSITIONS, "biogpt.layers.0.fc1.weight"):
        if name not in weights:
            raise CheckpointError(
                f"{path}: {to_fairseq_name(name)} is missing, expected a BioGPT's weights. Name another checkpoint."
            )
        if weights[name].dim() != 2:
            raise _odd_tensor(path, name, f"has {weights[name].dim()} dimensions", "2")
    return _read_config(path, content, weights), weights


def write_checkpoint(
    path: Path, config: BioGptConfig, weights: Mapping[str, torch.Tensor], num_learned: int = 0
) -> None:
    """Write a checkpoint that fairseq loads as a `transformer_lm`.

    Args:
        path: the file to write.
        config: its sizes and dropouts.
        weights: under Hugging Face's names; without a projection, the embedding is written a second time in its place
            (as fairseq does).
        num_learned: rows at the end of the embedding that are a soft prompt.
    """
    import torch

    model = {to_fairseq_name(name): tensor for name, tensor in weights.items()}
    model.setdefault(to_fairseq_name(PROJECTION), weights[EMBEDDING])
    model["decoder.version"] = torch.tensor([3.0])
    settings = {
        "arch": "transformer_lm",
        "task": "language_modeling",
        "criterion": "cross_entropy",
        "decoder_embed_dim": config.hidden_size,
        "decoder_input_dim": config.hidden_size,
        "decoder_output_dim": config.hidden_size,
        "decoder_layers": config.num_hidden_layers,
        "decoder_ffn_embed_dim": config.intermediate_size,
        "decoder_normalize_before": True,
        "decoder_learned_pos": True,
        "no_scale_embedding": not config.scale_embedding,
        "share_decoder_input_output_embed": PROJECTION not in weights,
        "max_target_positions": config.max_position_embeddings,
        "tokens_per_sample": config.max_position_embeddings,
        **{theirs: getattr(config, ours) for theirs, ours, _, _ in _SETTINGS},
        **({"learned_prompt": num_learned} if num_learned else {}),
    }
    progress = {"criterion_name": "CrossEntropyCriterion", "lr_scheduler_state": {"best": None}, "num_updates": 0}
    torch.save(
        {
            "args": argparse.Namespace(**settings),
            "cfg": None,
            "model": model,
            "optimizer_history": [{**progress, "optimizer_name": "FairseqAdam"}],
            "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}, "val_loss": None},
            "last_optimizer_state": None,
        },
        path,
    )


def to_fairseq_name(name: str) -> str:
    """The name of a tensor in fairseq's checkpoints."""
    return f"decoder.{name}" if name == PROJECTION else "decoder." + name.removeprefix("biogpt.")


def show_name(name: str) -> str:
    """A tensor's name for a message: whatever a damaged file put into it, short and in one line."""
    return name[:80].encode("unicode_escape").decode()


def load_inertly(path: Path) -> Any:
    """What a PyTorch file holds, with an `Inert` wherever it has an object of fairseq's, omegaconf's or argparse's.

    Raises:
        CheckpointError: the file is damaged, or names anything else, such as code to run.
    """
    import torch

    try:
        is_archive = zipfile.is_zipfile(path)
        inert: list[Any] = [
            (_make_dictionary if name in _DICTIONARY_NAMES else type("Inert", (Inert,), {}), name)
            for name in _refuse_code(path, is_archive)
        ]
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore")  # PyTorch's, about how the file was written
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except BioGptError:
        raise
    except Exception as error:  # damaged files surface as errors of zip, pickle, Unicode, or torch's own
        # PyTorch's own message is left out: it suggests to unpickle whatever the file holds
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}), expected a PyTorch file of tensors and settings. If it "
            "is cut short, fetch it again."
        ) from error


def _refuse_code(path: Path, is_archive: bool) -> list[str]:
    """The names that are to be replaced by something inert; an error if there are any besides these and tensors'."""
    names: set[str] = set()
    try:
        names.update(_find_names(path, is_archive))
    finally:  # a file may be damaged behind the place where it wants to run something
        is_foreign = [name for name in names if not _TENSOR_NAMES.fullmatch(name)]
        refused = [name for name in is_foreign if name not in _DICTIONARY_NAMES and not _INERT_NAMES.fullmatch(name)]
        if refused:
            raise CheckpointError(
                f"{path} would run {min(refused)[:80]!r} when it is read, expected tensors and settings only. Nothing "
                "was run. Don't use this file."
            )
    return is_foreign


def _find_names(path: Path, is_archive: bool) -> Iterator[str]:
    """Every function or class that the pickles of a PyTorch file name, as `module.name`, without reading them."""
    if is_archive:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".pkl"):
                    if entry.file_size > _LONGEST_PICKLE:
                        raise ValueError(f"{entry.filename} is too long to hold only settings")
                    yield from _find_names_in_pickle(io.BytesIO(archive.read(entry)))
        return
    with path.open("rb") as file:  # before PyTorch 1.6: a number, a version, the system, the content, the storages
        for _ in range(5):
            yield from _find_names_in_pickle(file)


def _find_names_in_pickle(file: IO[bytes]) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            # Pickles call things as Python 2 did, and PyTorch's reader translates before it decides.
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            yield f"{module}.{name}"
        elif operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise ValueError(f"{operation.name} names things in a way that PyTorch's files don't")


def _rename(path: Path, model: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """The tensors under Hugging Face's names, checked one by one; a tied projection and the version number left out."""
    import torch

    weights: dict[str, torch.Tensor] = {}
    for name, tensor in model.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(
                f"{path}: got a {type(tensor).__name__} named {str(name)[:80]!r} among the weights, expected tensors. "
                "Fetch the file again."
            )
        if name == "decoder.version":
            continue
        if not name.startswith("decoder."):
            raise CheckpointError(
                f"{path}: got a tensor {name[:80]!r}, expected names that begin with 'decoder.'. Name the checkpoint "
                "of a language model."
            )
        inner = name.removeprefix("decoder.")
        ours = inner if inner == PROJECTION else f"biogpt.{inner}"
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise _odd_tensor(path, ours, f"holds {tensor.dtype}", "floating-point numbers of 16 or 32 bits")
        if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_contiguous():
            raise _odd_tensor(path, ours, "is not one piece of the file", "that it is")
        weights[ours] = tensor
    if PROJECTION in weights and EMBEDDING in weights and torch.equal(weights[PROJECTION], weights[EMBEDDING]):
        del weights[PROJECTION]
    return weights


def _read_config(path: Path, content: Mapping[Any, Any], weights: Mapping[str, torch.Tensor]) -> BioGptConfig:
    from huggingface_hub.errors import StrictDataclassError

    from biogpt.model.config import BioGptConfig

    settings = _find_settings(content)
    vocab_size, hidden_size = weights[EMBEDDING].shape
    layers = {int(match[1]) for name in weights if (match := _LAYER.match(name))}
    values: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "intermediate_size": weights["biogpt.layers.0.fc1.weight"].shape[0],
        "max_position_embeddings": weights[POSITIONS].shape[0] - 2,  # fairseq's padding offset
        "scale_embedding": not _find_setting(path, settings, "no_scale_embedding", False, (bool,)),
        "tie_word_embeddings": PROJECTION not in weights,
        "dtype": str(weights[EMBEDDING].dtype).removeprefix("torch."),
    }
    for theirs, ours, default, kinds in _SETTINGS:
        values[ours] = _find_setting(path, settings, theirs, default, kinds)
    if values["num_attention_heads"] is None:
        values["num_attention_heads"] = max(hidden_size // _HEAD_SIZE, 1)
    for theirs, ours in (("decoder_embed_dim", "hidden_size"), ("decoder_layers", "num_hidden_layers")):
        stated = _find_setting(path, settings, theirs, values[ours], (int,))
        if stated != values[ours]:
            raise CheckpointError(
                f"{path}: its settings say {theirs}={stated}, expected {values[ours]} as its weights have. Fetch the "
                "file again."
            )
    if not _find_setting(path, settings, "decoder_normalize_before", True, (bool,)):
        raise CheckpointError(
            f"{path}: its settings say decoder_normalize_before=False, expected True. This is another network."
        )
    try:
        config = BioGptConfig(**values)
        config.check_network()
        return config
    except (BioGptError, StrictDataclassError, TypeError, ValueError) as error:
        message = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: impossible settings ({message}), expected those of a BioGPT.") from error


def _find_settings(content: Mapping[Any, Any]) -> Any:
    """The model's settings: `cfg.model`, or the older `args`."""
    model = _get(_open(content.get("cfg")), "model")
    return _open(content.get("args")) if model is None else _open(model)


def _find_setting(path: Path, settings: Any, name: str, default: Any, kinds: tuple[type, ...]) -> Any:
    value = _open(_get(settings, name))
    if value is None:
        return default
    if type(value) not in kinds:
        raise CheckpointError(
            f"{path}: its settings give {name} as {str(value)[:40]!r}, expected a {kinds[0].__name__}. Fetch the file "
            "again."
        )
    return value


def _open(value: Any) -> Any:
    """What an inert object holds, one level deep: an omegaconf node its value, a Namespace its attributes."""
    for _ in range(4):
        if not isinstance(value, Inert):
            return value
        value = getattr(value, "state", None)
        if isinstance(value, tuple) and value:  # attributes and slots
            value = value[0]
        for inner in ("_content", "_val"):
            if isinstance(value, Mapping) and inner in value:
                value = value[inner]
                break
    return None


def _get(settings: Any, name: str) -> Any:
    return settings.get(name) if isinstance(settings, Mapping) else None


def _odd_tensor(path: Path, name: str, got: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {show_name(to_fairseq_name(name))} {got}, expected {expected}. Fetch the file again."
    )
