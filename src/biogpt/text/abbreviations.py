"""Abbreviations and what they stand for in their own document, after Schwartz and Hearst (2003).

"major depressive disorder (MDD)" says that MDD stands for "major depressive disorder", wherever else it stands in the
document. The rule is theirs: the letters and digits of the short form are found from right to left in the words
before the bracket, the first one at the beginning of a word. Source: https://psb.stanford.edu/psb-online/proceedings/psb03/schwartz.pdf
"""

import re
from collections.abc import Iterator

_BRACKET = re.compile(r"[(\[]([^()\[\]]{2,80})[)\]]")
_SENTENCE_END = re.compile(r"[.!?;:]\s")
_SECOND = re.compile(r"[;,]\s|\s+or\s+|\s*=\s*")

MAX_SHORT = 10
"""Characters of the longest short form; longer ones are words in brackets."""


def find_abbreviations(text: str) -> dict[str, str]:
    """The abbreviations that a text defines: short form -> long form, as they stand in it.

        >>> find_abbreviations("Patients with major depressive disorder (MDD) were seen.")
        {'MDD': 'major depressive disorder'}

    Of two definitions of one short form the first counts. A definition the other way round, "MDD (major depressive
    disorder)", is read, too.
    """
    found: dict[str, str] = {}
    for short, long in _definitions(text):
        found.setdefault(short, long)
    return found


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    for bracket in _BRACKET.finditer(text):
        inside = _SECOND.split(bracket[1])[0].strip()
        before = _words_before(text, bracket.start())
        if is_short_form(inside):
            words = before.split()
            num_words = min(len(inside) + 5, 2 * len(inside))
            long = find_long_form(inside, " ".join(words[-num_words:]))
            if long:
                yield inside, long
        elif before:
            short = before.split()[-1]
            if is_short_form(short) and (long := find_long_form(short, inside)) and len(long) > len(inside) * 2 // 3:
                yield short, long


def _words_before(text: str, end: int) -> str:
    """What stands before a bracket in its own sentence."""
    start = 0
    for stop in _SENTENCE_END.finditer(text, max(0, end - 400), end):
        start = stop.end()
    return text[max(start, end - 400) : end].strip()


def is_short_form(text: str) -> bool:
    """Whether a text can be an abbreviation: two to ten characters, at most two words, a letter among them."""
    return (
        2 <= len(text) <= MAX_SHORT
        and len(text.split()) <= 2
        and text[0].isalnum()
        and any(character.isalpha() for character in text)
    )


def find_long_form(short: str, before: str) -> str:
    """The end of `before` that a short form stands for, or an empty string.

    Args:
        short: the abbreviation.
        before: the words before its bracket.
    """
    place = len(before) - 1
    for index in range(len(short) - 1, -1, -1):
        wanted = short[index].lower()
        if not wanted.isalnum():
            continue
        while place >= 0 and not (
            before[place].lower() == wanted and (index > 0 or place == 0 or not before[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return ""
        place -= 1
    start = before.rfind(" ", 0, place + 2) + 1 if place + 1 > 0 else 0
    long = before[start:].strip(" \"'")
    is_long = len(long) > len(short) and short.lower() not in long.lower().split()
    return long if is_long else ""
