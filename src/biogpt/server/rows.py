"""Rows: completions in the making, as data. Never imports torch, so that a server can answer before it is loaded."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampling:
    """How a row's tokens are chosen; the names are those of `GenerationSettings`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token and how probable the model held it."""

    id: int
    score: float | None
    """Log-probability in nats; None for the first token, which nothing comes before."""
    top: tuple[tuple[int, float], ...] = ()
    """The most probable tokens in its place."""


@dataclass(eq=False)
class Row:
    """One completion in the making."""

    prompt_ids: Sequence[int]
    max_new_tokens: int
    """0: only the prompt is scored."""
    sampling: Sampling
    uniforms: random.Random
    num_top: int | None = None
    """How many of the most probable tokens to note with each; None: no scores are wanted."""
    scores_prompt: bool = False
    prompt_scores: list[TokenScore] = field(default_factory=list)
    new_ids: list[int] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)
    is_stopped: bool = False


def seeded_uniforms(seed: int, index: int, prompt: str) -> random.Random:
    """The random numbers of a prompt's completion number `index`, the same as the engine draws."""
    return random.Random(int.from_bytes(hashlib.sha256(f"{seed} {index} {prompt}".encode()).digest()))
