"""How a model is fine-tuned: the settings of a recipe, as in `recipes/*.toml`.

The defaults are the paper's (Luo et al. 2022, "Fine-tuning"; the reference's train.sh). Numbers only: how a run goes is
for `biogpt.training`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from biogpt.errors import ConfigError, suggest

SMALL_HIDDEN_SIZE = 512
"""A model narrower than this is a small one: it takes the recipe for small models."""

CHOICES = {
    "head": ("", "generation", "classification"),
    "optimizer": ("adam", "muon"),
    "schedule": ("inverse_sqrt", "cosine", "warmup_stable_decay"),
    "result": ("average", "best", "last"),
    "tagging_context": ("left", "twice"),
    "precision": ("auto", "bf16", "fp32"),
    "attention": ("", "blocked", "sdpa", "eager"),
    "peft": ("", "lora"),
}


@dataclass(frozen=True)
class Tuning:
    """The settings of a fine-tuning run, each a key of a recipe."""

    head: str = ""
    """`"generation"`: the target is written; `"classification"`: a head labels the text, or each word. By default
    tagging classifies and all other kinds generate."""
    tagging_context: str = "left"
    """`"left"`: a word is labelled by what stands before it and itself; `"twice"`: the sentence is read twice and its
    second copy labelled, so that what follows a word is known, too."""
    source_weight: float = 1.0
    """Of the source in the loss; 1: the whole sequence counts alike, as in the paper; 0: the target alone."""
    epochs: int = 100
    num_steps: int = 0
    """Optimisation steps; where it is not 0 it takes the place of `epochs`."""
    tokens_per_step: int = 32_768
    """Tokens per optimisation step over all processes, about: whole examples are shared out evenly over the steps."""
    tokens_per_batch: int = 4096
    """Tokens per forward pass on each process, padding included; smaller needs less memory and changes nothing else."""
    optimizer: str = "adam"
    learning_rate: float = 1e-5
    """Its peak."""
    warmup_steps: int = 100
    schedule: str = "inverse_sqrt"
    decay_fraction: float = 0.2
    """For `warmup_stable_decay`: the last part of the run, in which the rate falls to 0."""
    weight_decay: float = 0.01
    adam_betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 0.0
    """Clip the gradient's norm at this; 0 does not clip."""
    dropout: float = 0.1
    """Of hidden states and attention weights, in training."""
    token_dropout: float = 0.0
    """The part of the source's tokens that training replaces by `<unk>`, others each time: a small model learns to look
    at a word's surroundings, too, instead of memorising the training set's names."""
    entity_renaming: float = 0.0
    """The part of a text's entities that get the names of others in each epoch, in source and target alike: a small
    model learns how a text relates two names, and to copy them, instead of memorising the training set's. For
    relations."""
    pair_epochs: int = 0
    """In the first so many epochs, half of them at most, a text's relations are any pairs of its entities: a small
    model learns which names fill the slots before it learns which of them are related. For relations."""
    shuffle_relations: bool = False
    """Whether each epoch lists a text's relations in another order. Then any of them may be said first, and prediction
    constrained by the schema gives all above a probability threshold (set on dev) rather than one list."""
    result: str = "average"
    """Which weights the run leaves: the `"average"` of the last `num_averaged` epochs', the `"best"` on dev, the
    `"last"`."""
    num_averaged: int = 5
    patience: int = 0
    """Stop after so many evaluations on dev without a new best; 0: never. Evaluations come every `evaluate_every`."""
    evaluate_every: int = 1
    """Epochs between evaluations of the loss on dev, and, where the result is chosen by it, of the score."""
    checkpoint_every: int = 1
    """Epochs between checkpoints, from which a killed run goes on."""
    precision: str = "auto"
    attention: str = ""
    """`attn_implementation` in training; by default the fastest for the device."""
    peft: str = ""
    """`"lora"`: train low-rank additions to `lora_targets`, the soft prompt and the head, nothing else."""
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    merge: bool = False
    """Leave a whole model rather than an adapter."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """What differs for a small model: `[finetune.small]` of a task's own file."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                expected = " or ".join(repr(choice) for choice in choices if choice)
                raise ConfigError(f"Got finetune.{name} = {value!r}, expected {expected}.{suggest(value, choices)}")
        for name in ("epochs", "tokens_per_step", "tokens_per_batch", "num_averaged", "lora_rank"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("evaluate_every", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in (
            "num_steps",
            "warmup_steps",
            "patience",
            "pair_epochs",
            "weight_decay",
            "max_grad_norm",
            "source_weight",
        ):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number from 0 up")
        for name in ("learning_rate", "lora_alpha"):
            self._require(name, 0 < getattr(self, name) < math.inf, "more than 0")
        for name in ("dropout", "token_dropout", "lora_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        self._require("entity_renaming", 0 <= self.entity_renaming <= 1, "from 0 to 1")
        self._require("decay_fraction", 0 <= self.decay_fraction <= 1, "from 0 to 1")
        are_betas = len(self.adam_betas) == 2 and all(
            isinstance(beta, float | int) and 0 <= beta < 1 for beta in self.adam_betas
        )
        self._require("adam_betas", are_betas, "two numbers from 0 to below 1")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ConfigError(f"Got finetune.{name} = {getattr(self, name)}, expected {expected}.")

    def for_size(self, hidden_size: int) -> "Tuning":
        """The settings for a model of this width, with nothing left open by size."""
        return replace(self, **(dict(self.small) if hidden_size < SMALL_HIDDEN_SIZE else {}), small={})


def build_tuning(table: Mapping[str, Any], place: str = "finetune", start: Tuning | None = None) -> Tuning:
    """Settings from a TOML table, on top of others.

    Args:
        table: the settings that are given.
        place: how messages name the table.
        start: the settings of which the table says what differs; by default the paper's.

    Raises:
        ConfigError: a setting is unknown, of the wrong type, or impossible.
    """
    start = start or Tuning()
    values = {name: _check(name, value, getattr(start, name, None), place) for name, value in table.items()}
    tuning = replace(start, **values)
    if tuning.small:
        replace(tuning, **build_overrides(tuning.small, f"{place}.small"))
    return tuning


def build_overrides(table: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The settings of a table that itself has no part for small models."""
    return {name: _check(name, value, getattr(Tuning(), name, None), place) for name, value in table.items()}


def _check(name: str, value: Any, default: Any, place: str) -> Any:
    known = [item.name for item in fields(Tuning)]
    if name not in known or (name == "small" and place != "finetune"):
        raise ConfigError(f"Unknown setting '{place}.{name}'.{suggest(name, known)} Known: {', '.join(known)}.")
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if name == "small":
        if not isinstance(value, Mapping):
            raise ConfigError(f"Got {place}.small = {value!r}, expected a table [{place}.small].")
        return build_overrides(value, f"{place}.small")
    if type(value) is not type(default):
        names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", tuple: "a list"}
        raise ConfigError(f"Got {place}.{name} = {value!r}, expected {names[type(default)]}.")
    return value
