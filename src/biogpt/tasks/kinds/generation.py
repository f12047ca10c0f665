"""Generation: continue a text. There is no right answer; the figures describe what came back.

Never imports torch.
"""

from collections.abc import Sequence

from biogpt.errors import ConfigError
from biogpt.tasks import metrics
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.completion import clean
from biogpt.tasks.schema import Schema


def check_schema(schema: Schema) -> None:
    """Raise `ConfigError` where a schema is none for generation."""
    if list(schema.slots) != ["text"] or schema.sentence != "{text}":
        raise ConfigError(
            f"The task '{schema.name}' generates text. Expected sentence = \"{{text}}\" and [slots.text]."
        )
    if schema.score.metric not in metrics.TEXT_METRICS:
        metrics.refuse(schema, metrics.TEXT_METRICS)


def target(schema: Schema, example: Example) -> str:
    """The continuation, where one is known."""
    return example.items[0].slots["text"] if example.items else ""


def grammar(schema: Schema, example: Example) -> None:
    """None: any text will do."""


def parse(schema: Schema, text: str, example: Example) -> Prediction:
    """The continuation without leaked virtual tokens."""
    cleaned = clean(text)
    if not cleaned:
        return Prediction(example.id, (), ("empty text",), text)
    problems = ("removed virtual tokens (learned1 ...)",) if cleaned != text.strip() else ()
    return Prediction(example.id, (Item({"text": cleaned}),), problems, text)


def counts(schema: Schema, pairs: Sequence[metrics.Pair], unknown: Sequence[Prediction]) -> metrics.Counts:
    """Describe the texts: how long, how repetitive."""
    return metrics.TEXT_METRICS[schema.score.metric](schema, pairs, unknown)
