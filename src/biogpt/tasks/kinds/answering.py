"""Answering: one of the known answers to a question about a text.

The target is one sentence with the answer; anything that is not exactly a known answer is a problem, as it is wrong for
the reference's evaluation. Never imports torch.
"""

from collections.abc import Sequence
from dataclasses import replace

from biogpt.tasks import metrics
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.classification import check_labels, label_slot, read_labels
from biogpt.tasks.schema import Schema
from biogpt.text.grammar import Grammar


def check_schema(schema: Schema) -> None:
    """Raise `ConfigError` where a schema is none for answers."""
    check_labels(schema)
    if schema.score.metric not in metrics.ANSWER_METRICS:
        metrics.refuse(schema, metrics.ANSWER_METRICS)


def target(schema: Schema, example: Example) -> str:
    """The sentence with the answer; of a question without one, nothing."""
    return schema.template.render([example.items[0].slots]) if example.items else ""


def grammar(schema: Schema, example: Example) -> Grammar:
    """The sentence with one of the answers."""
    return replace(schema.template.grammar(), is_repeated=False, none=None)


def parse(schema: Schema, text: str, example: Example) -> Prediction:
    """Read the answer that a completion states."""
    answers, problems = read_labels(schema, text, separator="")
    name = label_slot(schema)
    return Prediction(example.id, tuple(Item({name: answer}) for answer in answers), tuple(problems), text)


def counts(schema: Schema, pairs: Sequence[metrics.Pair], unknown: Sequence[Prediction]) -> metrics.Counts:
    """Count the right answers. Predictions for unknown questions have no gold and count nothing."""
    return metrics.ANSWER_METRICS[schema.score.metric](schema, pairs, unknown)
