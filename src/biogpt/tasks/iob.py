"""IOB tags: one per word of a text, and the mentions that they mark.

Words have one space between them. Sequences that break the scheme are read as seqeval reads them: an I that continues
nothing begins a mention.
"""

from collections.abc import Iterable, Sequence

from biogpt.documents.types import Span
from biogpt.tasks.example import Item

OUTSIDE = "O"
"""The tag of a word that is part of no mention."""


def tag_names(labels: Iterable[str]) -> list[str]:
    """All tags for these labels: `O`, then `B-` and `I-` of each label."""
    return [OUTSIDE, *(f"{mark}-{label}" for label in labels for mark in "BI")]


def tag_names_each(labels: Iterable[str]) -> list[str]:
    """The tags where each label is decided for itself: `O-`, `B-` and `I-` of each label."""
    return [f"{mark}-{label}" for label in labels for mark in "OBI"]


def word_spans(text: str) -> list[Span]:
    """Where the words of a source stand."""
    spans = []
    start = 0
    for word in text.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def read_tags(tags: Sequence[str], text: str) -> tuple[Item, ...]:
    """The mentions that a sequence of IOB tags marks; tags beyond the last word mark none."""
    words = word_spans(text)
    mentions: list[tuple[str, int, int]] = []
    label = ""
    for (start, end), tag in zip(words, tags, strict=False):
        mark, _, tagged = tag.partition("-")
        if mark == "I" and tagged == label:
            mentions[-1] = (label, mentions[-1][1], end)
        elif tag != OUTSIDE:
            mentions.append((tagged, start, end))
        label = tagged
    return tuple(
        Item({"mention": text[start:end], "label": name}, {"mention": ((start, end),)}) for name, start, end in mentions
    )


def tags_of(items: Iterable[Item], text: str) -> list[str]:
    """One IOB tag per word, for mentions that are made of whole words."""
    words = word_spans(text)
    tags = [OUTSIDE] * len(words)
    for item in items:
        for start, end in item.spans["mention"]:
            inside = [place for place, word in enumerate(words) if start <= word[0] and word[1] <= end]
            for place in inside:
                tags[place] = ("B-" if place == inside[0] else "I-") + item.slots["label"]
    return tags
