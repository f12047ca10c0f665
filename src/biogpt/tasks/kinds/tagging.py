"""Tagging: which words of a sentence are a mention, and of what.

The source is words with one space between them; the target is one IOB tag per word, so that a generated text and the
output of a token-classification head are read alike. Where labels may overlap, a word has a tag for each label that
holds, such as `B-DNA|I-GENE`. An item is a mention with its characters in the source.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from biogpt.errors import ConfigError, DataError
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.iob import OUTSIDE, read_tags, tag_names, tag_names_each, tags_of, word_spans
from biogpt.tasks.kinds.completion import quote
from biogpt.tasks.kinds.kind import Extracts, Head, Kind, ThresholdOf
from biogpt.tasks.metrics import TAG_METRICS, Metric
from biogpt.tasks.schema import Schema

_AND = "|"
"""Between the tags of one word."""


class TaggingKind(Kind):
    """Entity mentions, as tags of words."""

    name = "tagging"
    extracts: ClassVar[Extracts] = "entities"
    metrics: ClassVar[Mapping[str, Metric]] = TAG_METRICS
    heads: ClassVar[tuple[Head, ...]] = ("classification", "generation")
    labels_words = True
    reads_sentences = True
    has_template = False
    needs_gold = False
    threshold_of: ClassVar[ThresholdOf] = "items"

    def check_schema(self, schema: Schema) -> None:
        if schema.sentence:
            raise ConfigError(
                f"The task '{schema.name}' has a sentence, but a tagging target is one tag per word. Drop it."
            )
        if set(schema.slots) != {"mention", "label"} or not schema.slots["label"].choices:
            raise ConfigError(
                f"The task '{schema.name}' has the slots {', '.join(schema.slots) or '(none)'}. "
                "Tagging needs [slots.mention] and [slots.label] with choices."
            )
        self.check_metric(schema)

    def target(self, schema: Schema, example: Example) -> str:
        """One tag per word."""
        rows = (tuple(filter(lambda tag: tag != OUTSIDE, row)) for row in zip(*_tags(schema, example), strict=True))
        return " ".join(_AND.join(row) or OUTSIDE for row in rows)

    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """Read one tag per word."""
        words = [tags.split(_AND) if schema.has_overlapping_labels else [tags] for tags in text.split()]
        num_words = len(word_spans(example.text))
        problems = []
        if len(words) != num_words:
            problems.append(f"got {len(words)} tags for {num_words} words: words without a tag are outside")
        known = set(tag_names(schema.slots["label"].choices))
        unknown = [tag for tags in words for tag in tags if tag not in known]
        if unknown:
            names = ", ".join(quote(tag) for tag in dict.fromkeys(unknown[:5]))
            problems.append(
                f"{len(unknown)} unknown tags are outside: {names}; expected one of {', '.join(sorted(known))}"
            )
        items = [
            item
            for labels in _groups(schema)
            for item in read_tags(
                [next((tag for tag in tags if tag in known and tag[2:] in labels), OUTSIDE) for tags in words],
                example.text,
            )
        ]
        return Prediction(example.id, sort_mentions(items), tuple(problems), text)

    def head_labels(self, schema: Schema) -> list[str]:
        choices = schema.slots["label"].choices
        return tag_names_each(choices) if schema.has_overlapping_labels else tag_names(choices)

    def gold_labels(self, schema: Schema, example: Example) -> list[str]:
        """A tag for each word; where labels overlap one for each word and label, empty for a label that nobody looked
        for."""
        if not schema.has_overlapping_labels:
            return tags_of(example.items, example.text)
        choices = schema.slots["label"].choices
        labelled = example.labelled or choices
        return [
            (f"{tag[0]}-{label}" if label in labelled else "")
            for row in zip(*_tags(schema, example), strict=True)
            for tag, label in zip(row, choices, strict=True)
        ]

    def num_groups(self, schema: Schema) -> int:
        return len(_groups(schema))

    def entity_types(self, schema: Schema) -> tuple[str, ...]:
        return schema.slots["label"].choices

    def make_item(
        self, schema: Schema, slots: Mapping[str, str], record: Mapping[str, Any], example: Example, place: str
    ) -> Item:
        """A mention; its `start` and `end` are characters of the sentence."""
        start, end = record.get("start"), record.get("end")
        if not isinstance(start, int) or not isinstance(end, int):
            raise DataError(f"{place}: a mention without 'start' and 'end'. Expected its characters in the sentence.")
        return Item(slots, {"mention": ((start, end),)})


def sort_mentions(items: Sequence[Item]) -> tuple[Item, ...]:
    """Mentions as they stand in the text; of those that begin together the longest first."""
    return tuple(sorted(items, key=lambda item: (item.spans["mention"][0][0], -item.spans["mention"][0][1])))


def _groups(schema: Schema) -> list[tuple[str, ...]]:
    """The labels that are decided together: all, or each for itself."""
    choices = schema.slots["label"].choices
    return [(label,) for label in choices] if schema.has_overlapping_labels else [choices]


def _tags(schema: Schema, example: Example) -> list[list[str]]:
    """The gold tags of the words, for each group of labels."""
    return [
        tags_of([item for item in example.items if item.slots["label"] in labels], example.text)
        for labels in _groups(schema)
    ]
