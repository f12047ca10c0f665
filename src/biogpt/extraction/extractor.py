"""Pipelines: `biogpt.pipeline("bc5cdr")(text)`, what was found as plain lists and dictionaries.

The same models and the same answers as on the command line, without files.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from biogpt.documents import Document
from biogpt.documents.json_lines import article_of_fields, passages_of
from biogpt.documents.record import Passage, items_of, make_document
from biogpt.errors import InputError
from biogpt.extraction.conversion import extract_from_documents, source_fields
from biogpt.extraction.predictor import Predictor
from biogpt.extraction.task_models import find_task_model
from biogpt.tasks.task import Task

Text = str | Mapping[str, Any]
"""A text, or an object with the parts of one: `title` and `abstract`, `text`, or the fields that a task reads."""


class Pipeline:
    """Finds in texts what one model was tuned for.

    Args:
        predictor: with the model.
        name: what the model is called.
        constrained: hold what is generated to the task's schema.
    """

    def __init__(self, predictor: Predictor, name: str, constrained: bool = True) -> None:
        self.predictor = predictor
        self.task: Task = predictor.task
        self.name = name
        self.constrained = constrained

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, task={self.task.name!r})"

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, texts: Text
    ) -> list[dict[str, Any]]: ...

    @overload
    def __call__(self, texts: Iterable[Text]) -> list[list[dict[str, Any]]]: ...

    def __call__(self, texts: Text | Iterable[Text]) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """What is found.

        Args:
            texts: one text, or several; each a string, or a dictionary with `title` and `abstract`, with `text`, or
                with the fields that the task reads (`question` and `context` for pubmedqa).

        Returns:
            For one text a list of what was found, for several a list of such lists. Relations have their entities by
            role, each with `ROLE_spans`, all its mentions; mentions have `mention`, `label`, `start` and `end`; answers
            and labels stand under their slot's name. All have a `score` from 0 to 1. Spans count the characters of the
            string that was given; of title and abstract joined by a blank, the title with a full stop at its end.

        Raises:
            InputError: a text is none, or lacks a field that the task reads; raised before any is read.

        Warns:
            UserWarning: an answer could not be read in full, or a text is longer than the model reads.
        """
        if isinstance(texts, str | Mapping):
            return self._find([texts])[0]
        return self._find(list(texts))

    def _find(self, texts: Sequence[Text]) -> list[list[dict[str, Any]]]:
        fields = source_fields(self.task)
        records = [_as_record(text, number, fields) for number, text in enumerate(texts, start=1)]
        found = []
        for record in extract_from_documents(self.predictor, records, self.name, self.constrained):
            for problem in record.findings.problems if record.findings else ():
                warnings.warn(f"{record.id}: {problem}", stacklevel=3)
            found.append(items_of(record, record.parts[0].offset if record.parts else 0))
        return found


def pipeline(
    task: str | Path | Task | None = None,
    model: str | Path | None = None,
    *,
    device: str | None = None,
    batch_size: int = 8,
    constrained: bool = True,
) -> Pipeline:
    """A function that finds in texts what a model was tuned for.

    Args:
        task: a task's name, for which a model is bundled; or the directory of a tuned model.
        model: a tuned model's directory or hub id, in place of the bundled one.
        device: where to run, in PyTorch's terms; by default `cuda` where there is one, else `cpu`.
        batch_size: how many texts are read at once.
        constrained: hold what is generated to the task's schema, so that it can always be read.

    Raises:
        InputError: there is no such task, no model is bundled for it, or the model is not one of that task.
        CheckpointError: there is no such model, or its files are damaged.
    """
    if model is None and isinstance(task, str | Path) and Path(task).is_dir():
        task, model = None, task
    found = find_task_model(model, task)
    return Pipeline(Predictor.of(found, device, batch_size), found.label, constrained)


def _as_record(text: Text, number: int, fields: Sequence[str]) -> tuple[Document, Mapping[str, str]]:
    """The record of one text, and its named fields where the task reads some."""
    name = f"text {number}"
    if isinstance(text, str) and not fields:
        return make_document(name, [Passage(text)]), {}
    if not isinstance(text, Mapping):
        expected = f"a dictionary with {', '.join(fields)}" if fields else "a string or a dictionary"
        raise InputError(f"Got {type(text).__name__} as {name}, expected {expected}.")
    values = dict(text)
    if fields:
        missing = [field for field in fields if not isinstance(values.get(field), str)]
        if missing:
            raise InputError(
                f"{name} has no '{missing[0]}', expected a dictionary with {', '.join(fields)}. Got: "
                f"{', '.join(values)}."
            )
        return make_document(name, [Passage(values[field]) for field in fields]), values
    try:
        document = article_of_fields(values, name)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    return make_document(document.id, passages_of(values, document)), {}
