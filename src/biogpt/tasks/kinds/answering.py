"""Answering: one of the known answers to a question about a text.

The target is one sentence with the answer. Anything that is not exactly a known answer is a problem, because the
reference's evaluation counts it as wrong. Predictions for unknown questions have no gold and count nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from biogpt.tasks.example import Example
from biogpt.tasks.kinds.labels import LabelKind
from biogpt.tasks.metrics import ANSWER_METRICS, Metric
from biogpt.tasks.schema import Schema
from biogpt.text.grammar import Grammar


class AnsweringKind(LabelKind):
    """The answer to a question."""

    name = "answering"
    metrics: ClassVar[Mapping[str, Metric]] = ANSWER_METRICS

    def target(self, schema: Schema, example: Example) -> str:
        """The sentence with the answer; of a question without one, nothing."""
        return schema.template.render([example.items[0].slots]) if example.items else ""

    def grammar(self, schema: Schema, example: Example) -> Grammar:
        """The sentence with one of the answers."""
        return replace(schema.template.grammar(), is_repeated=False, none=None)
