"""Limits: how much one client may ask for. Knows nothing of HTTP and never imports torch."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from biogpt.errors import InputError, suggest


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server does not go beyond.

    Raises:
        InputError: a number is impossible.
    """

    max_body_bytes: int = 4 << 20
    """Of a JSON request."""
    max_file_bytes: int = 64 << 20
    """Of an uploaded file; unpacked, it may have four times as many."""
    max_documents: int = 256
    """In one extraction request; a file may have more."""
    max_document_characters: int = 100_000
    """Of one document."""
    max_completions: int = 64
    """In one request: prompts times `n`."""
    max_tokens: int = 1024
    """Of one completion; the model's positions may end it earlier."""
    max_waiting: int = 128
    """Requests that one model has accepted and not yet answered. One more is refused with 429."""
    body_seconds: float = 30
    """How long a client may be silent while it sends a request."""
    request_seconds: float = 120
    """How long an answer, or in a stream its next part, may take."""
    shutdown_seconds: float = 30
    """How long a server that is to stop lets requests finish."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float if field.type is float else int) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                kind = "number" if field.type is float else "whole number"
                raise InputError(f"Got {field.name} {value!r}, expected a {kind} above 0.")


def change_limits(changes: dict[str, Any]) -> Limits:
    """The default limits with single ones changed by name.

    Raises:
        InputError: an unknown name, or an impossible number.
    """
    names = [field.name for field in fields(Limits)]
    for name in changes:
        if name not in names:
            raise InputError(f"Unknown limit '{name}'.{suggest(name, names)} Expected one of {', '.join(names)}.")
    return replace(Limits(), **changes)
