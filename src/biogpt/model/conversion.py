"""From one layout of a model to the other: Hugging Face's directory <-> fairseq's, tensor by tensor the same; to int8.

Nothing appears at the destination before all of it is written. This module knows nothing of what a model is for.
Importing it does not import torch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from biogpt.errors import BioGptError, CheckpointError, InputError, suggest
from biogpt.model import checkpoint, fairseq
from biogpt.text.bpe import SPECIAL_TOKENS

if TYPE_CHECKING:
    import torch

    from biogpt.model.config import BioGptConfig
    from biogpt.text.tokenizer import BioGptTokenizer

LAYOUTS = ("hf", "fairseq", "int8")

_WORD_END = "</w>"
_FAIRSEQ_ACTIVATIONS = ("gelu", "relu", "tanh")  # those of its names that mean the same in both


def convert(
    source: str | Path, destination: str | Path, layout: str, vocabulary_path: str | Path | None = None
) -> Path:
    """Write the language model `source` as a new directory in another layout.

    Args:
        source: a model's name, directory or hub id (see `checkpoint.resolve_model`), or a fairseq checkpoint's file.
        destination: the directory to make; it must not exist, or be empty.
        layout: `"hf"` (`model.safetensors`, `config.json`, `vocab.json`, `merges.txt`, ...) or `"fairseq"`
            (`checkpoint.pt`, `dict.txt`, `bpecodes`); or `"int8"`: as `"hf"`, but with the matrices in int8
            (`int8.safetensors`), which `Engine.from_pretrained` loads at once.
        vocabulary_path: directory of the vocabulary's files, where they do not lie beside the weights.

    Returns:
        The destination.

    Raises:
        InputError: the destination is taken, or there is no such layout.
        CheckpointError: the source is damaged, would run code, or its files do not fit together.
    """
    if layout not in LAYOUTS:
        raise InputError(
            f"Unknown layout '{layout}', expected one of {', '.join(LAYOUTS)}.{suggest(layout, LAYOUTS)} Choose one."
        )
    destination = Path(destination)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise InputError(f"{destination} is there already, expected a new or empty directory. Name another one.")
    source_path = Path(source).expanduser()
    path = source_path if source_path.suffix == ".pt" and source_path.is_file() else checkpoint.resolve_model(source)
    vocabulary_directory = Path(vocabulary_path) if vocabulary_path else path.parent if path.is_file() else path
    if layout == "int8":
        from biogpt.model.stored import open_weights, pack_tensors

        stored = open_weights(path)
        config, weights = stored.config, pack_tensors(stored)
    else:
        config, weights = checkpoint.read_model(path)
    tokenizer = checkpoint.load_tokenizer(vocabulary_directory, config.vocab_size)

    unfinished = destination.with_name(f".{destination.name}.unfinished")
    try:
        unfinished.mkdir(parents=True)
        write = {"hf": _write_hf, "int8": _write_int8, "fairseq": _write_fairseq}[layout]
        write(unfinished, config, weights, tokenizer, _find_codes(vocabulary_directory))
        if destination.exists():
            destination.rmdir()
        unfinished.rename(destination)
    except FileExistsError as error:
        raise InputError(
            f"{unfinished} is there already, expected that no other conversion writes to {destination}. Remove it if "
            "none is running."
        ) from error
    except BaseException as error:  # an interruption, too, leaves nothing behind
        shutil.rmtree(unfinished, ignore_errors=True)
        if not isinstance(error, OSError) or isinstance(error, BioGptError):
            raise
        raise CheckpointError(
            f"{destination} cannot be written ({error.strerror or error}), expected a place with room for the model. "
            "Name another one."
        ) from error
    return destination


def _find_codes(path: Path) -> Path:
    return path / (checkpoint.MERGES_FILE if (path / checkpoint.VOCAB_FILE).exists() else checkpoint.CODES_FILE)


def _write_hf(
    path: Path, config: BioGptConfig, weights: dict[str, torch.Tensor], tokenizer: BioGptTokenizer, codes_file: Path
) -> None:
    from safetensors.torch import save_file

    _write_settings(path, config, tokenizer, codes_file)
    save_file(weights, path / checkpoint.SAFETENSORS_FILE, metadata={"format": "pt"})


def _write_int8(
    path: Path, config: BioGptConfig, weights: dict[str, torch.Tensor], tokenizer: BioGptTokenizer, codes_file: Path
) -> None:
    from safetensors.torch import save_file

    config.int8 = {"format_version": checkpoint.INT8_FORMAT_VERSION}
    _write_settings(path, config, tokenizer, codes_file)
    save_file(weights, path / checkpoint.INT8_FILE)


def _write_settings(path: Path, config: BioGptConfig, tokenizer: BioGptTokenizer, codes_file: Path) -> None:
    from transformers import GenerationConfig

    config.architectures = ["BioGptForCausalLM"]
    config.format_version = checkpoint.CONFIG_FORMAT_VERSION
    config.save_pretrained(path)
    GenerationConfig.from_model_config(config).save_pretrained(path)
    tokenizer.save_pretrained(str(path))
    shutil.copyfile(codes_file, path / checkpoint.MERGES_FILE)  # with its counts, which fairseq wants back


def _write_fairseq(
    path: Path, config: BioGptConfig, weights: dict[str, torch.Tensor], tokenizer: BioGptTokenizer, codes_file: Path
) -> None:
    from biogpt.model.config import FAIRSEQ_LAYER_NORM_EPS

    if config.effective_layer_norm_eps != FAIRSEQ_LAYER_NORM_EPS or config.hidden_act not in _FAIRSEQ_ACTIVATIONS:
        raise CheckpointError(
            f"The model has layer_norm_eps={config.layer_norm_eps} and hidden_act={config.hidden_act!r}, expected "
            f"{FAIRSEQ_LAYER_NORM_EPS} and one of {', '.join(_FAIRSEQ_ACTIVATIONS)}, all that fairseq has. Keep it "
            "in Hugging Face's layout."
        )
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    num_learned = 0
    while tokens[-1].startswith("learned") and not tokens[-1].endswith(_WORD_END):
        tokens.pop()
        num_learned += 1
    num_special = len(SPECIAL_TOKENS)
    strange = sorted(set(tokenizer.get_added_vocab()) & set(tokens[num_special:]))
    if strange or tuple(tokens[:num_special]) != SPECIAL_TOKENS:
        raise CheckpointError(
            f"{codes_file.parent}: the vocabulary has {(strange or tokens)[0]!r} where fairseq has no place for it, "
            f"expected {', '.join(SPECIAL_TOKENS)} first and no other added tokens than learned1, learned2, ... at the "
            "end. Convert the model it was made from."
        )
    names = [
        token.removesuffix(_WORD_END) if token.endswith(_WORD_END) else f"{token}@@" for token in tokens[num_special:]
    ]
    # How often a token occurs is lost in Hugging Face's layout, and fairseq does not use it.
    _write_lines(path / checkpoint.DICTIONARY_FILE, [f"{name} 1" for name in names])
    merges = codes_file.read_text(encoding="utf-8").splitlines()
    if all(len(merge.split(" ")) == 2 for merge in merges):
        merges = [f"{merge} {len(merges) - index}" for index, merge in enumerate(merges)]
    _write_lines(path / checkpoint.CODES_FILE, merges)
    fairseq.write_checkpoint(path / checkpoint.FAIRSEQ_FILE, config, weights, num_learned)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
