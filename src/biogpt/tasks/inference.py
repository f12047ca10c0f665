"""How a fine-tuned model is asked: what fine-tuning learned beside the weights."""

from dataclasses import dataclass
from typing import Literal

from biogpt.config import Limits, check

_LIMITS = {"target_limit": Limits(0), "threshold": Limits(0, 1, note="a probability")}


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
    tagging_context: Literal["left", "twice"] = "left"
    """What a tagging head reads of a sentence, as in training; see `Recipe.tagging_context`."""

    def __post_init__(self) -> None:
        check(self, _LIMITS)
