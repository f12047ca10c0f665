"""Tasks: what is asked of a model, and how its answer is read and scored.

A task is data: one TOML file names a kind, the sentence that both renders and reads targets, the reader of its data set
and its metric. This module holds what all kinds share and finds tasks by name. It knows nothing of models and tokens,
and never imports torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from biogpt.config import change
from biogpt.errors import ConfigError, DataError, InputError, suggest
from biogpt.tasks import readers
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.inference import InferenceSettings
from biogpt.tasks.kinds.kind import Kind
from biogpt.tasks.kinds.registry import find_kind
from biogpt.tasks.mentions import find_mentions
from biogpt.tasks.metrics import Counts, Pair
from biogpt.tasks.schema import Schema
from biogpt.tasks.schema_file import read_task_file
from biogpt.text.grammar import Grammar

SCHEMAS_PATH = Path(__file__).parent / "schemas"
T = TypeVar("T")


class Task:
    """One task: `read` its data, render each example's `prompt` and `target`, `parse` completions, `score` them."""

    def __init__(self, schema: Schema, inference: InferenceSettings | None = None) -> None:
        self.schema = schema
        self.inference: InferenceSettings = inference or InferenceSettings()
        """How a fine-tuned model is asked; without one, the defaults."""
        self.name: str = schema.name
        self.kind: Kind = find_kind(schema.kind)
        """What differs between the kinds of tasks; its methods take the schema."""
        self.kind.check_schema(schema)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, kind={self.schema.kind!r})"

    def with_inference(self, **settings: Any) -> "Task":
        """The same task with other settings of inference.

        Args:
            settings: keys of `InferenceSettings`.

        Raises:
            ConfigError: a setting is unknown, of the wrong type, or impossible.
        """
        return Task(self.schema, change(self.inference, settings))

    def read(self, path: str | Path, split: str = "test") -> list[Example]:
        """Read one split of the data set.

        Args:
            path: the directory of the data set, or one file of it.
            split: which of the schema's files, where `path` is a directory.

        Returns:
            The examples in the file's order, each with an id of its own.

        Raises:
            DataError: a file is missing, in another encoding, or not what the schema says.
            InputError: the schema has no such split.
        """
        return readers.read(self.schema, Path(path), split)

    def example(self) -> Example:
        """The schema's own example."""
        shown = self.schema.example
        fields = {name: str(value) for name, value in shown.items() if name != "items"}
        text = fields.pop("text", None) or self.schema.render_source(fields)
        entities = [name for name, slot in self.schema.slots.items() if slot.is_entity]
        items = tuple(
            Item(dict(slots), {name: find_mentions(slots[name], text) for name in entities})
            for slots in shown.get("items", ())
        )
        return Example(f"{self.name}:example", text, items, fields)

    def prompt(self, example: Example) -> str:
        """The text that the model reads."""
        return example.text.lower() if self.schema.is_lowercase else example.text

    def target(self, example: Example) -> str:
        """The text that the model is to write."""
        return self.kind.target(self.schema, example)

    def grammar(self, example: Example) -> Grammar | None:
        """What the model may write for this example, so that it can be read; None: anything.

        Every target of the task fits, if its entities stand in the source and its other values are the schema's.
        """
        return self.kind.grammar(self.schema, example)

    def parse(self, text: str, example: Example) -> Prediction:
        """Read a completion. Never raises: what cannot be read is among the prediction's problems."""
        return self.kind.parse(self.schema, text, example)

    def counts(self, predictions: Iterable[Prediction], examples: Sequence[Example]) -> Counts:
        """Counts per example: what `score` and an interval around it are made of.

        Raises:
            DataError: no examples.
        """
        pairs, unknown = match(predictions, examples)
        return self.kind.count(self.schema, pairs, unknown)

    def score(self, predictions: Iterable[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        """The metric's figures, from 0 to 1, and how many predictions were missing, unknown and failed.

        An example without a prediction counts as one with nothing found. Several predictions with the same id count as
        one with all their items.

        Raises:
            DataError: no examples.
        """
        predictions = list(predictions)
        return {**self.counts(predictions, examples).figures(), **count_outcomes(predictions, examples)}

    def main_figure(self, figures: Mapping[str, float]) -> float:
        """The one figure that stands for all.

        Raises:
            ConfigError: the schema's main figure is none of its metric's.
        """
        main = self.schema.score.main
        if main not in figures:
            raise ConfigError(
                f"The task '{self.name}' has the main figure '{main}'.{suggest(main, figures)} Its metric gives: "
                f"{', '.join(figures)}."
            )
        return figures[main]


def load_task(name: str | Path, **settings: str | int) -> Task:
    """Load a task by the name of a shipped schema, or by the path of your own TOML file.

    Args:
        name: e.g. "bc5cdr"; `biogpt tasks` lists the names. Anything that ends in `.toml` is a path.
        settings: `target_format` picks one of the schema's alternatives ("svo", ...); `empty_documents` says whether
            documents without relations are a part of the data: "drop" as the reference scripts do, or "keep".

    Raises:
        InputError: no such task, setting or file.
        ConfigError: the schema cannot work; the message says why.

    Examples:
        >>> task = biogpt.load_task("bc5cdr")
        >>> task.target(task.example()).split(";")[0]
        'the relation between cisplatin and nephrotoxicity exists'
    """
    file = read_task_file(find_task_file(name), **settings)
    return Task(file.schema, file.inference)


def find_task_file(name: str | Path) -> Path:
    """The TOML file of a task; see `load_task`.

    Raises:
        InputError: no such task.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return path
    if str(name) not in task_names():
        known = suggest(str(name), task_names())
        raise InputError(f"Unknown task '{name}'.{known} 'biogpt tasks' lists them; your own ends in .toml.")
    return SCHEMAS_PATH / f"{name}.toml"


def task_names() -> list[str]:
    """The shipped tasks' names, in alphabetical order."""
    return sorted(path.stem for path in SCHEMAS_PATH.glob("*.toml"))


def match(predictions: Iterable[Prediction], examples: Sequence[Example]) -> tuple[list[Pair], list[Prediction]]:
    """Pair each example with what was predicted for it; also the predictions for ids that no example has."""
    if not examples:
        raise DataError("There is nothing to score: got no examples. Check the data set and its split.")
    merged = _merge(predictions)
    pairs = [Pair(merged.pop(example.id, Prediction(example.id)), example) for example in examples]
    return pairs, list(merged.values())


def count_outcomes(predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
    """How many predictions there are, and how many are missing, duplicate, unknown, failed or have problems."""
    merged = _merge(predictions)
    known = {example.id for example in examples}
    failed = sum(prediction.has_failed for prediction in merged.values() if prediction.id in known)
    return {
        "num_examples": len(examples),
        "num_missing": len(known - merged.keys()),
        "num_duplicate": len(predictions) - len(merged),
        "num_unknown": len(merged.keys() - known),
        "num_with_problems": sum(bool(prediction.problems) for prediction in merged.values() if prediction.id in known),
        "num_failed": failed,
        "failure_rate": failed / len(examples),
    }


def _merge(predictions: Iterable[Prediction]) -> dict[str, Prediction]:
    merged: dict[str, Prediction] = {}
    for prediction in predictions:
        first = merged.get(prediction.id)
        if first is not None:
            prediction = replace(  # noqa: PLW2901
                first, items=first.items + prediction.items, problems=first.problems + prediction.problems
            )
        merged[prediction.id] = prediction
    return merged


def truncate_source(tokens: Sequence[T], limit: int, ellipsis: T) -> list[T]:
    """Cut a source that is too long as the reference does: its first `limit - 1` tokens and `...`.

    Args:
        tokens: of the source, without special tokens.
        limit: the most tokens to keep, `Schema.source_limit` (640 for relations, 900 for the others).
        ellipsis: the token for `...`.
    """
    if limit < 1:
        raise InputError(f"A source cannot be cut to {limit} tokens. Expected a limit of at least 1.")
    return list(tokens) if len(tokens) <= limit else [*tokens[: limit - 1], ellipsis]
