"""Classification: which of the known labels a text carries, one or several.

The target is one sentence with all labels; a label that the schema lacks is a problem, never an item. Scores are micro
and macro F1 over the labels of the schema. Never imports torch.
"""

from collections.abc import Sequence

from biogpt.errors import ConfigError
from biogpt.tasks import metrics
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.completion import PREAMBLE, clean, quote
from biogpt.tasks.schema import Schema
from biogpt.text.grammar import Choice, Grammar, Words

LABEL_SEPARATOR = "|"


def check_schema(schema: Schema) -> None:
    """Raise `ConfigError` where a schema is none for labels."""
    check_labels(schema)
    if schema.score.metric not in metrics.LABEL_METRICS:
        metrics.refuse(schema, metrics.LABEL_METRICS)


def target(schema: Schema, example: Example) -> str:
    """The sentence with all labels of the example."""
    name = label_slot(schema)
    return schema.template.render([{name: LABEL_SEPARATOR.join(item.slots[name] for item in example.items)}])


def grammar(schema: Schema, example: Example) -> Grammar:
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
        separator=LABEL_SEPARATOR,
        is_repeated=True,
        end=after + sentence.end,
    )


def parse(schema: Schema, text: str, example: Example) -> Prediction:
    """Read the labels that a completion states."""
    labels, problems = read_labels(schema, text, LABEL_SEPARATOR)
    name = label_slot(schema)
    return Prediction(example.id, tuple(Item({name: label}) for label in labels), tuple(problems), text)


def counts(schema: Schema, pairs: Sequence[metrics.Pair], unknown: Sequence[Prediction]) -> metrics.Counts:
    """Count the labels. Predictions for unknown examples have no gold and count nothing."""
    return metrics.LABEL_METRICS[schema.score.metric](schema, pairs, unknown)


def label_slot(schema: Schema) -> str:
    """The name of the one slot."""
    return next(iter(schema.slots))


def check_labels(schema: Schema) -> None:
    """Raise `ConfigError` unless the schema has a sentence with one slot of known values."""
    if not schema.sentence:
        raise ConfigError(f"The task '{schema.name}' does not say 'sentence'. Expected one with a slot for the label.")
    if len(schema.slots) != 1 or not schema.slots[label_slot(schema)].choices:
        raise ConfigError(
            f"The task '{schema.name}' has the slots {', '.join(schema.slots) or '(none)'}. "
            f"The kind '{schema.kind}' needs exactly one, with choices."
        )


def read_labels(schema: Schema, text: str, separator: str) -> tuple[list[str], list[str]]:
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
