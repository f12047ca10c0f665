"""Known labels, stated in one sentence: what classification and answering share."""

from collections.abc import Sequence
from typing import Any, ClassVar

from biogpt.errors import ConfigError
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.completion import PREAMBLE, clean, quote
from biogpt.tasks.kinds.kind import Extracts, Head, Kind
from biogpt.tasks.schema import Schema


class LabelKind(Kind):
    """A kind with one slot of known values. `separator` stands between several labels; none: there is only one."""

    extracts: ClassVar[Extracts] = "labels"
    heads: ClassVar[tuple[Head, ...]] = ("generation", "classification")
    separator = ""

    def check_schema(self, schema: Schema) -> None:
        if not schema.sentence:
            raise ConfigError(
                f"The task '{schema.name}' does not say 'sentence'. Expected one with a slot for the label."
            )
        if len(schema.slots) != 1 or not schema.slots[label_slot(schema)].choices:
            raise ConfigError(
                f"The task '{schema.name}' has the slots {', '.join(schema.slots) or '(none)'}. "
                f"The kind '{schema.kind}' needs exactly one, with choices."
            )
        self.check_metric(schema)

    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """Read the labels that a completion states. Only a label that the schema has becomes an item."""
        labels, problems = _read_labels(schema, text, self.separator)
        name = label_slot(schema)
        return Prediction(example.id, tuple(Item({name: label}) for label in labels), tuple(problems), text)

    def head_labels(self, schema: Schema) -> list[str]:
        return list(schema.slots[label_slot(schema)].choices)

    def gold_labels(self, schema: Schema, example: Example) -> list[str]:
        name = label_slot(schema)
        return [item.slots[name] for item in example.items]

    def read_labels(self, schema: Schema, labels: Sequence[Any]) -> tuple[Item, ...] | None:
        name = label_slot(schema)
        if not all(label in schema.slots[name].choices for label in labels):
            return None
        return tuple(Item({name: label}) for label in labels)


def label_slot(schema: Schema) -> str:
    """The name of the one slot."""
    return next(iter(schema.slots))


def _read_labels(schema: Schema, text: str, separator: str) -> tuple[list[str], list[str]]:
    """The known labels that a text states, and its problems."""
    template = schema.template
    choices = schema.slots[label_slot(schema)].choices
    cleaned = clean(text)
    if schema.is_lowercase:
        cleaned = cleaned.lower()
    labels: list[str] = []
    problems: list[str] = []
    is_read = False
    for clause, readings in template.read(cleaned):
        if not readings:
            if not PREAMBLE.fullmatch(clause):
                problems.append(f"cannot read {quote(clause)}: expected '{template.sentence}'")
        elif is_read:
            problems.append(f"ignored {quote(clause)}: expected one sentence")
        else:
            is_read = True
            name = label_slot(schema)
            value = readings[0].values[name]
            stated = [label.strip() for label in (value.split(separator) if separator else [value])]
            labels = list(dict.fromkeys(label for label in stated if label in choices))
            if readings[0].ignored:
                problems.append(f"ignored {quote(readings[0].ignored)}: expected one sentence")
            problems += [
                f"unknown {name} {quote(label)}: expected one of {', '.join(choices)}"
                for label in stated
                if label not in choices
            ]
    if not labels and not problems:
        problems.append(f"nothing to read in {quote(text)}")
    return labels, problems
