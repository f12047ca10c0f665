"""How a fine-tuned model is asked: what fine-tuning learned beside the weights."""

from dataclasses import dataclass, fields
from typing import Any

from biogpt.errors import ConfigError, suggest

TAGGING_CONTEXTS = ("left", "twice")


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """The settings of a task model.

    Raises:
        ConfigError: a setting is of the wrong type, or impossible.
    """

    target_limit: int = 0
    """The most tokens that a model may write; 0: as many as it has positions for. Fine-tuning sets it by its data."""
    threshold: float = 0.0
    """A probability threshold. Mentions that a tagging head gives a lower probability are left out. For relations,
    where it is not 0: constrained decoding gives all relations that the model states first with at least this
    probability, instead of one list. Fine-tuning sets it to where the score on dev is highest."""
    tagging_context: str = "left"
    """What a tagging head reads of a sentence, as in training; see `Tuning.tagging_context`."""

    def __post_init__(self) -> None:
        if type(self.target_limit) is not int or self.target_limit < 0:
            raise ConfigError(f"Got target_limit = {self.target_limit!r}, expected a number of tokens from 0 up.")
        if (
            isinstance(self.threshold, bool)
            or not isinstance(self.threshold, int | float)
            or not 0 <= self.threshold <= 1
        ):
            raise ConfigError(f"Got threshold = {self.threshold!r}, expected a probability from 0 to 1.")
        if self.tagging_context not in TAGGING_CONTEXTS:
            expected = " or ".join(map(repr, TAGGING_CONTEXTS))
            raise ConfigError(f"Got tagging_context = {self.tagging_context!r}, expected {expected}.")


def build_inference(table: dict[str, Any]) -> InferenceSettings:
    """Settings from plain values.

    Raises:
        ConfigError: a setting is unknown, of the wrong type, or impossible.
    """
    known = [item.name for item in fields(InferenceSettings)]
    for name in table:
        if name not in known:
            raise ConfigError(f"unknown key '{name}'.{suggest(name, known)} Known: {', '.join(known)}.")
    return InferenceSettings(**table)
