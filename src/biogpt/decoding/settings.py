"""GenerationSettings: how completions are made, checked when they are stated. Knows no model, never imports torch."""

from dataclasses import dataclass, fields
from typing import Any

from biogpt.config import Limits, change, check
from biogpt.errors import InputError

_LIMITS = {
    "max_new_tokens": Limits(1),
    "min_new_tokens": Limits(0),
    "temperature": Limits(0, note="0: greedy"),
    "top_k": Limits(0),
    "top_p": Limits(above=0, maximum=1),
    "num_beams": Limits(1),
    "num_return_sequences": Limits(1),
    "seed": Limits(0),
}


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """How completions are made.

    Three ways to choose tokens: sampling (the default: small models repeat themselves without it), greedy
    (`temperature=0`), and beam search (`num_beams` above 1; sampling settings do not apply to it). The defaults are
    reproducible: the same prompt, settings and model give the same completion, alone or among others.

    Args:
        max_new_tokens: stop after this many tokens; earlier where the model ends the text or its positions run out.
        min_new_tokens: do not let the model end the text before this many tokens.
        temperature: divides the logits before sampling; below 1: more deterministic, above 1: more random; 0: greedy.
        top_k: sample among this many most probable tokens only; 0: among all.
        top_p: sample among the most probable tokens that together have this probability; 1: among all.
        num_beams: beams of a beam search; 1: none. The paper generates with 5.
        num_return_sequences: completions per prompt.
        seed: where sampling starts. Another seed gives another text.

    Raises:
        InputError: a number is impossible, alone or beside another.

    Examples:
        >>> biogpt.GenerationSettings(max_new_tokens=40, temperature=0).is_sampling
        False
        >>> biogpt.GenerationSettings(top_p=2)
        Traceback (most recent call last):
        biogpt.errors.InputError: Got top_p = 2, expected a number above 0 and at most 1.
    """

    max_new_tokens: int = 100
    min_new_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 0.95
    num_beams: int = 1
    num_return_sequences: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, _LIMITS, error=InputError)
        if self.min_new_tokens > self.max_new_tokens:
            raise InputError(
                f"Got min_new_tokens {self.min_new_tokens} above max_new_tokens {self.max_new_tokens}, expected at "
                "most as many. Lower the one or raise the other."
            )
        self._check_combinations()

    @property
    def is_sampling(self) -> bool:
        """Whether chance decides."""
        return self.num_beams == 1 and self.temperature > 0

    def _check_combinations(self) -> None:
        if self.num_beams > 1:
            defaults = {field.name: field.default for field in fields(self)}
            for name in ("temperature", "top_k", "top_p", "seed"):
                if getattr(self, name) != defaults[name]:
                    raise InputError(
                        f"Got {name} {getattr(self, name)} with num_beams {self.num_beams}, expected only one of them: "
                        f"beam search does not sample. Leave out {name} or num_beams."
                    )
            if self.num_return_sequences > self.num_beams:
                raise InputError(
                    f"Got num_return_sequences {self.num_return_sequences} with num_beams {self.num_beams}, expected "
                    "at most one completion a beam. Lower num_return_sequences or raise num_beams."
                )
        elif self.temperature == 0 and self.num_return_sequences > 1:
            raise InputError(
                f"Got num_return_sequences {self.num_return_sequences} with temperature 0, expected 1: greedy "
                "completions are all the same. Raise temperature or num_beams, or leave out num_return_sequences."
            )


def change_settings(settings: GenerationSettings, changes: dict[str, Any]) -> GenerationSettings:
    """The settings with single ones changed by name.

    Raises:
        InputError: not a `GenerationSettings`, an unknown name, or an impossible value.
    """
    if not isinstance(settings, GenerationSettings):
        raise InputError(
            f"Got settings of type {type(settings).__name__}, expected GenerationSettings. Pass "
            "GenerationSettings(max_new_tokens=20), or single settings by name: max_new_tokens=20."
        )
    return change(settings, changes, error=InputError)
