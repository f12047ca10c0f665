"""Classification: which of the known labels a text carries, one or several.

The target is one sentence with all labels. Scores are micro and macro F1 over the labels of the schema. Predictions for
unknown examples have no gold and count nothing.
"""

from collections.abc import Mapping
from typing import ClassVar

from biogpt.tasks.example import Example
from biogpt.tasks.kinds.labels import LabelKind, label_slot
from biogpt.tasks.metrics import LABEL_METRICS, Metric
from biogpt.tasks.schema import Schema
from biogpt.text.grammar import Choice, Grammar, Words


class ClassificationKind(LabelKind):
    """Labels of a text."""

    name = "classification"
    metrics: ClassVar[Mapping[str, Metric]] = LABEL_METRICS
    has_several_labels = True
    separator = "|"

    def target(self, schema: Schema, example: Example) -> str:
        """The sentence with all labels of the example."""
        name = label_slot(schema)
        return schema.template.render([{name: self.separator.join(item.slots[name] for item in example.items)}])

    def grammar(self, schema: Schema, example: Example) -> Grammar:
        """The sentence with some of the labels, each once."""
        sentence = schema.template.grammar()
        place = next(place for place, part in enumerate(sentence.sentence) if isinstance(part, Choice))
        before, after = (
            "".join(part.text for part in parts if isinstance(part, Words))
            for parts in (sentence.sentence[:place], sentence.sentence[place + 1 :])
        )
        return Grammar(
            sentence=(sentence.sentence[place],),
            opening=before,
            separator=self.separator,
            is_repeated=True,
            end=after + sentence.end,
        )

    def split_row(self, row: Mapping[str, str]) -> list[dict[str, str]]:
        """An item for each label in the cell."""
        return [{slot: label.strip()} for slot, labels in row.items() for label in labels.split(self.separator)]
