"""Tagging: which words of a sentence are a mention, and of what.

The source is words with one space between them; the target is one IOB tag per word, so that a generated text and the
output of a token-classification head are read alike. An item is a mention with its characters in the source.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from biogpt.errors import ConfigError, DataError
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.iob import OUTSIDE, read_tags, tag_names, tags_of, word_spans
from biogpt.tasks.kinds.completion import quote
from biogpt.tasks.kinds.kind import Extracts, Head, Kind, ThresholdOf
from biogpt.tasks.metrics import TAG_METRICS, Metric
from biogpt.tasks.schema import Schema


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
        return " ".join(tags_of(example.items, example.text))

    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """Read one tag per word."""
        tags = text.split()
        num_words = len(word_spans(example.text))
        problems = []
        if len(tags) != num_words:
            problems.append(f"got {len(tags)} tags for {num_words} words: words without a tag are outside")
        known = set(tag_names(schema.slots["label"].choices))
        unknown = [tag for tag in tags if tag not in known]
        if unknown:
            names = ", ".join(quote(tag) for tag in dict.fromkeys(unknown[:5]))
            problems.append(
                f"{len(unknown)} unknown tags are outside: {names}; expected one of {', '.join(sorted(known))}"
            )
        items = read_tags([tag if tag in known else OUTSIDE for tag in tags], example.text)
        return Prediction(example.id, items, tuple(problems), text)

    def head_labels(self, schema: Schema) -> list[str]:
        return tag_names(schema.slots["label"].choices)

    def gold_labels(self, schema: Schema, example: Example) -> list[str]:
        return tags_of(example.items, example.text)

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
