"""How a fine-tuned model is asked: what fine-tuning learned beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from biogpt.config import Limits, check, require

_LIMITS = {"target_limit": Limits(0), "threshold": Limits(0, 1, note="a probability")}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve from a model's own scores to how often items of such a score are right, straight between its points.

    Raises:
        ConfigError: the points do not rise from 0 to 1.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("scores", "probabilities"):
            values: tuple[float, ...] = getattr(self, name)
            rises = all(first < second for first, second in pairwise(values))
            is_within = bool(values) and values[0] >= 0 and values[-1] <= 1
            same = len(self.scores) == len(self.probabilities) > 1
            require(rises and is_within and same, f"calibration.{name}", values, "as many rising numbers from 0 to 1")


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

    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Label -> probability threshold, in place of `threshold`."""
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    """Label, or "" for all -> the curve by which scores become probabilities, learned on dev. Thresholds are
    probabilities of this kind."""

    def __post_init__(self) -> None:
        check(self, _LIMITS)
        for label, value in self.thresholds.items():
            require(_LIMITS["threshold"].allows(value), f"thresholds.{label}", value, "a probability from 0 to 1")
