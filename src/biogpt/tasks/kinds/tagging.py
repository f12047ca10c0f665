"""Tagging: which words of a sentence are a mention, and of what.

The source is words with single blanks between them; the target is one IOB tag per word, so that a generated text and
the output of a token-classification head are read alike. An item is a mention with its characters in the source.
Sequences that break the scheme are read as seqeval reads them: an I that continues nothing begins a mention. Never
imports torch.
"""

from collections.abc import Iterable, Sequence

from biogpt.errors import ConfigError
from biogpt.tasks import metrics
from biogpt.tasks.example import Example, Item, Prediction, Span
from biogpt.tasks.kinds.completion import quote
from biogpt.tasks.schema import Schema

OUTSIDE = "O"


def check_schema(schema: Schema) -> None:
    """Raise `ConfigError` where a schema is none for tags."""
    if schema.sentence:
        raise ConfigError(
            f"The task '{schema.name}' has a sentence, but a tagging target is one tag per word. Drop it."
        )
    if set(schema.slots) != {"mention", "label"} or not schema.slots["label"].choices:
        raise ConfigError(
            f"The task '{schema.name}' has the slots {', '.join(schema.slots) or '(none)'}. "
            "Tagging needs [slots.mention] and [slots.label] with choices."
        )
    if schema.score.metric not in metrics.TAG_METRICS:
        metrics.refuse(schema, metrics.TAG_METRICS)


def target(schema: Schema, example: Example) -> str:
    """One tag per word."""
    return " ".join(tags_of(example.items, example.text))


def grammar(schema: Schema, example: Example) -> None:
    """None: tags are told by a head, which needs no holding."""


def parse(schema: Schema, text: str, example: Example) -> Prediction:
    """Read one tag per word."""
    tags = text.split()
    num_words = len(word_spans(example.text))
    problems = []
    if len(tags) != num_words:
        problems.append(f"got {len(tags)} tags for {num_words} words: words without a tag are outside")
    known = {OUTSIDE, *(f"{mark}-{label}" for label in schema.slots["label"].choices for mark in "BI")}
    unknown = [tag for tag in tags if tag not in known]
    if unknown:
        names = ", ".join(quote(tag) for tag in dict.fromkeys(unknown[:5]))
        problems.append(f"{len(unknown)} unknown tags are outside: {names}; expected one of {', '.join(sorted(known))}")
    items = read_tags([tag if tag in known else OUTSIDE for tag in tags], example.text)
    return Prediction(example.id, items, tuple(problems), text)


def counts(schema: Schema, pairs: Sequence[metrics.Pair], unknown: Sequence[Prediction]) -> metrics.Counts:
    """Count the mentions whose label and both ends are right."""
    return metrics.TAG_METRICS[schema.score.metric](schema, pairs, unknown)


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
