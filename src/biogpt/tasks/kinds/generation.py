"""Generation: continue a text. There is no right answer; the figures describe what came back."""

from collections.abc import Mapping
from typing import ClassVar

from biogpt.errors import ConfigError
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.completion import clean
from biogpt.tasks.kinds.kind import Extracts, Kind
from biogpt.tasks.metrics import TEXT_METRICS, Metric
from biogpt.tasks.schema import Schema


class GenerationKind(Kind):
    """Free text."""

    name = "generation"
    extracts: ClassVar[Extracts] = "labels"
    metrics: ClassVar[Mapping[str, Metric]] = TEXT_METRICS
    has_template = False

    def check_schema(self, schema: Schema) -> None:
        if list(schema.slots) != ["text"] or schema.sentence != "{text}":
            raise ConfigError(
                f"The task '{schema.name}' generates text. Expected sentence = \"{{text}}\" and [slots.text]."
            )
        self.check_metric(schema)

    def target(self, schema: Schema, example: Example) -> str:
        """The continuation, where one is known."""
        return example.items[0].slots["text"] if example.items else ""

    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """The continuation without leaked virtual tokens."""
        cleaned = clean(text)
        if not cleaned:
            return Prediction(example.id, (), ("empty text",), text)
        problems = ("removed virtual tokens (learned1 ...)",) if cleaned != text.strip() else ()
        return Prediction(example.id, (Item({"text": cleaned}),), problems, text)
