"""What models leave around an answer: leaked virtual tokens, words that lead up to it."""

import re

PREAMBLE = re.compile(r"(?:we can conclude that|we have that|in conclusion ?,)")
"""Hard prompts that the reference tried; a completion may repeat them, and they say nothing."""

_LEARNED = re.compile(r"(?:\blearned\d+\s*)+")
_SHOWN = 80  # characters of a text quoted in a problem


def clean(text: str) -> str:
    """A completion without the virtual tokens (`learned1 learned2 ...`) that leak into it."""
    return _LEARNED.sub("", text).strip()


def quote(text: str) -> str:
    """A text in quotation marks, short enough for a message of one line."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
    return f"'{line}'" if len(line) <= _SHOWN else f"'{line[: _SHOWN - 3]}...'"
