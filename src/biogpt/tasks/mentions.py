"""Where names stand in a text.

A name is looked for as whole words, whatever the case, and whatever spaces tokenising has put into it or taken out
(`mg / kg` is found as `mg/kg`). What stands only within longer words is not a mention; a plural is.
"""

from functools import lru_cache

_MIN_PLURAL = 4  # shorter names are abbreviations: "RAS" is no plural of "RA"


def fold(text: str) -> str:
    """Lower case, character by character, so that positions stay what they are."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def find_mentions(name: str, text: str) -> tuple[tuple[int, int], ...]:
    """The spans of all mentions of a name in a text, from left to right; none where it does not stand there."""
    squeezed, places = _squeeze(text)
    wanted = "".join(fold(name).split())
    if not wanted:
        return ()
    spans = []
    found = squeezed.find(wanted)
    while found >= 0:
        start, end = places[found], places[found + len(wanted) - 1] + 1
        if _is_whole(text, start, end):
            spans.append((start, end))
        found = squeezed.find(wanted, found + 1)
    return tuple(spans)


@lru_cache(maxsize=64)
def _squeeze(text: str) -> tuple[str, tuple[int, ...]]:
    """The folded text without spaces, and where each of its characters stood."""
    folded = fold(text)
    places = tuple(place for place, character in enumerate(folded) if not character.isspace())
    return "".join(folded[place] for place in places), places


def _is_whole(text: str, start: int, end: int) -> bool:
    if start > 0 and text[start].isalnum() and text[start - 1].isalnum():
        return False
    if not text[end - 1].isalnum():
        return True
    if end - start >= _MIN_PLURAL and text[end : end + 1] in ("s", "S"):
        end += 1
    return not text[end : end + 1].isalnum()
