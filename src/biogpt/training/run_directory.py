"""A training run's directory: what is on record there, and from where a killed run goes on.

    recipe.json     format version, resolved settings and versions, written before work starts
    checkpoints/    what a killed run goes on from

It knows neither what is trained nor on what.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from biogpt.config import check_format_version
from biogpt.errors import ConfigError, MissingExtraError, TrainingError, is_out_of_memory
from biogpt.files import read_json, write_json
from biogpt.model.checkpoint import CONFIG_FORMAT_VERSION
from biogpt.text.tokenizer import BioGptTokenizer

RECIPE_FILE = "recipe.json"
CHECKPOINTS = "checkpoints"
FORMAT_VERSION = 1
"""Of a run's recipe and its report. It rises when an older biogpt would misread them."""

# What PyTorch and safetensors, which do not raise OSError, say where a file cannot be written.
_DISK_SIGNS = ("no space left", "inline_container", "pytorchstreamwriter", "file write failed")


class CheckpointMarker(TrainerCallback):
    """Marks each checkpoint once all processes have written their parts of it: a kill may come in between."""

    FILE = "complete"

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / self.FILE).touch()


def find_checkpoint(directory: Path, is_main: bool) -> Path | None:
    """The last complete checkpoint, if there is one; what a kill left of a later one is removed."""
    checkpoints = sorted(directory.glob("checkpoint-[0-9]*"), key=step_of)
    complete = [path for path in checkpoints if (path / CheckpointMarker.FILE).is_file()]
    if is_main:
        for path in set(checkpoints) - set(complete):
            shutil.rmtree(path)
    return complete[-1] if complete else None


def step_of(checkpoint: Path) -> int:
    """The optimisation step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def claim_output(
    output: Path,
    settings: dict[str, Any],
    may_change: set[str],
    report_file: str,
    former_names: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the resolved recipe, or hold it against the one that the output directory was begun with.

    Args:
        output: the run's directory.
        settings: the recipe as plain values.
        may_change: names of settings, dotted, that a resumed run may have otherwise.
        report_file: what a finished run leaves.
        former_names: dotted names of settings in earlier versions, and what they are called now.

    Raises:
        ConfigError: the directory holds a run of another recipe or of a newer biogpt, or cannot be written to.
    """
    path = output / RECIPE_FILE
    checkpoints = (output / CHECKPOINTS).glob("checkpoint-*")
    if path.is_file() and (any(checkpoints) or (output / report_file).is_file()):
        begun = read_json(path)
        check_format_version(begun, FORMAT_VERSION, path)
        old = {former_names.get(name, name): value for name, value in _flatten(begun["recipe"])}
        new = dict(_flatten(settings))
        changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        changed = [name for name in changed if name not in may_change and not name.startswith("output")]
        if changed:
            name = changed[0]
            raise ConfigError(
                f"{output} holds a run with {name} = {old.get(name)!r}, got {new.get(name)!r}"
                f"{f' (and {len(changed) - 1} more differences)' if len(changed) > 1 else ''}. "
                "Choose another output, or delete it to start anew."
            )
    if is_main_process():
        try:
            output.mkdir(parents=True, exist_ok=True)
            write_json(path, {"format_version": FORMAT_VERSION, "recipe": settings, "versions": versions()})
        except OSError as error:
            raise ConfigError(f"Cannot write to {output}: {error.strerror}. Choose another output.") from error


@contextlib.contextmanager
def plain_failures(memory_advice: str) -> Iterator[None]:
    """Say in one line what stopped a run: no memory, or no room on the disk. Checkpoints stay as they are.

    Raises:
        TrainingError: as it was one of these.
    """
    try:
        yield
    except (RuntimeError, OSError, MemoryError) as error:
        text = " ".join(str(error).split())
        kept = "The last complete checkpoint is kept, and the same command goes on from it"
        if is_out_of_memory(error):
            raise TrainingError(
                f"There is not enough memory ({text[:120]}), expected room for a batch. {kept}: {memory_advice}"
            ) from error
        if any(sign in text.lower() for sign in _DISK_SIGNS):
            raise TrainingError(
                f"The output cannot be written ({text[:120]}), expected room for a checkpoint. {kept}: make room first."
            ) from error
        raise


def save_model(model: PreTrainedModel, tokenizer: BioGptTokenizer, path: Path) -> None:
    """Write an ordinary Hugging Face directory: configuration, weights (safetensors) and tokenizer."""
    model.set_attn_implementation("sdpa")
    model.config.use_cache = True  # the Trainer turns it off
    model.config.format_version = CONFIG_FORMAT_VERSION
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def read_report(path: Path) -> dict[str, Any] | None:
    """The report that a run has left; None where it has left none.

    Raises:
        ConfigError: a newer biogpt wrote it.
    """
    if not path.is_file():
        return None
    report: dict[str, Any] = read_json(path)
    check_format_version(report, FORMAT_VERSION, path)
    return report


def versions() -> dict[str, str]:
    """The versions of the packages that a result depends on."""
    return {name: importlib.metadata.version(name) for name in ("biogpt", "torch", "transformers", "tokenizers")}


def require_extra(*modules: str) -> None:
    """Raise `MissingExtraError` unless what training needs beyond prediction is installed."""
    for module in ("accelerate", "matplotlib", *modules):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "train")


def is_main_process() -> bool:
    """Whether this is the process that writes; under torchrun there are others."""
    return int(os.environ.get("RANK", "0")) == 0


def num_processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _flatten(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in settings.items():
        flat += _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat
