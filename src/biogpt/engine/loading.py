"""From a model's directory to the model as the engine reads it, in the type that is computed in.

In int8 the matrices are packed as they are read, one by one: a copy of the whole model in float32 is never in memory.
"""

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from biogpt.engine.processor import DTYPES, choose_dtype
from biogpt.model.checkpoint import ADAPTER_CONFIG_FILE, find_fairseq_file, load_config
from biogpt.model.loading import load_causal_lm, load_model
from biogpt.model.stored import StoredModel, load_stored_model, open_weights

if TYPE_CHECKING:
    from biogpt.model.modeling import AnyModel, BioGptForCausalLM

_logger = logging.getLogger(__name__)

_LANGUAGE_MODEL = "BioGptForCausalLM"


def load_for_engine(path: Path, device: torch.device, dtype: str) -> "tuple[BioGptForCausalLM | StoredModel, bool]":
    """The language model in the directory `path` on a device, in a type.

    Args:
        path: a model's directory.
        device: where it is to run.
        dtype: what was asked for; `auto`: in int8 where it was saved so, else see `choose_dtype`.

    Returns:
        The model, and whether it is to be computed in int8. In int8 its matrices are still in their files.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration; or the model has another head.
    """
    if (path / ADAPTER_CONFIG_FILE).is_file():
        merged = load_causal_lm(path)
        return merged, place_model(merged, device, dtype)
    weights = open_weights(path)
    _logger.info("Loading %s: %s parameters", path, f"{weights.num_parameters:,}")
    chosen = _choose("int8" if dtype == "auto" and weights.is_int8 else dtype, device, weights.num_parameters)
    is_int8 = chosen == "int8"
    model = load_stored_model(weights, is_int8=is_int8, dtype=torch.float32 if is_int8 else DTYPES[chosen])
    return model.to(device), is_int8


def load_any_for_engine(path: Path, device: torch.device, dtype: str) -> "tuple[AnyModel | StoredModel, bool]":
    """As `load_for_engine`, but the model may have any head. Only a language model is packed as it is read."""
    is_plain = not (path / ADAPTER_CONFIG_FILE).is_file()
    if is_plain and (find_fairseq_file(path) or load_config(path).architectures in (None, [], [_LANGUAGE_MODEL])):
        return load_for_engine(path, device, dtype)
    model = load_model(path)
    _logger.info("Loaded %s: %s parameters", path, f"{model.num_parameters():,}")
    return model, place_model(model, device, dtype)


def place_model(model: "AnyModel", device: torch.device, dtype: str) -> bool:
    """Move a model to a device and to a type, and say the choice where it was `auto`.

    Returns:
        Whether it is to be computed in int8; its weights are in float32 then.
    """
    chosen = _choose(dtype, device, model.num_parameters())
    model.to(device=device, dtype=torch.float32 if chosen == "int8" else DTYPES[chosen])
    return chosen == "int8"


def _choose(dtype: str, device: torch.device, num_parameters: int) -> str:
    chosen, reason = choose_dtype(dtype, device, num_parameters)
    if dtype == "int8" != chosen:
        _warn_once(f"Computing in {chosen}, {reason}.")
    else:
        _logger.info("Computing in %s on %s: %s", chosen, device, reason)
    return chosen


@functools.cache
def _warn_once(text: str) -> None:
    _logger.warning(text)
