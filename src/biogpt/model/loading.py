"""A whole model out of a directory, whatever it holds: weights, the difference from a bundled model, or an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from biogpt.errors import InputError
from biogpt.model.adapters import load_merged
from biogpt.model.checkpoint import (
    ADAPTER_CONFIG_FILE,
    assemble_model,
    check_weights,
    find_class,
    read_files,
    read_model,
    wrong_head,
)

if TYPE_CHECKING:
    from biogpt.model.modeling import AnyModel, BioGptForCausalLM


def load_causal_lm(path: Path) -> BioGptForCausalLM:
    """The model in the directory `path` with its language-model head, in float32, ready to run (not to train).

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration; or the model has another head.

    Warns:
        UserWarning: there are weights that are no numbers.
    """
    from biogpt.model.modeling import BioGptForCausalLM  # importing it takes long

    if not (path / ADAPTER_CONFIG_FILE).is_file():
        return assemble_model(BioGptForCausalLM, *read_model(path))
    model = load_model(path)
    if not isinstance(model, BioGptForCausalLM):
        raise wrong_head(path, type(model).__name__)
    return model


def load_model(path: Path) -> AnyModel:
    """The model in the directory `path` with the head it was saved with, in float32, ready to run.

    A directory of PEFT's with a LoRA adapter is merged into its base model (`biogpt.model.adapters`).

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration, or the head is an unknown one.

    Warns:
        UserWarning: there are weights that are no numbers.
    """
    if (path / ADAPTER_CONFIG_FILE).is_file():
        return load_merged(path)
    config, file, weights = read_files(path)
    model_class = find_class(config, path)
    check_weights(file, config, weights, model_class)
    return assemble_model(model_class, config, weights)


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on.

    Args:
        device: in PyTorch's terms, such as `cpu`, `cuda` or `cuda:1`; `auto`: `cuda` where there is one, else `cpu`.

    Raises:
        InputError: there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"Cannot use the device '{device}' ({str(error).splitlines()[0][:100]}), expected 'auto', 'cpu', 'cuda' or "
            "another device that PyTorch has here."
        ) from error
    if chosen.type == "meta":
        raise InputError("Got the device 'meta', which computes nothing, expected 'auto', 'cpu' or 'cuda'.")
    return chosen
