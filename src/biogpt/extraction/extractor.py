"""Extractor: a text, a dictionary or a document in; an `Extraction` out.

The one way to ask a fine-tuned model about texts. `predictor.py` runs the model on examples, `conversion.py` makes
examples of documents and extractions of predictions. Knows nothing of files.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Self, overload

from biogpt.documents import Document, Extraction
from biogpt.documents.json_lines import article_of_fields, passages_of
from biogpt.documents.types import Passage, make_document
from biogpt.errors import InputError
from biogpt.extraction.calibration import MIN_SEARCH_THRESHOLD
from biogpt.extraction.conversion import CUT, Source, make_examples, read_extraction, source_fields
from biogpt.extraction.linking import DEFAULT_LEXICON, Linker, load_linker
from biogpt.extraction.predictor import LABEL_THRESHOLD, Predictor
from biogpt.extraction.task_models import TaskModel, find_task_model
from biogpt.tasks.task import Task

Text = str | Mapping[str, Any] | Document
"""A text; or a dictionary with `title` and `abstract`, with `text`, or with the fields that a task reads; or a document
of `read_documents`."""


class Extractor:
    """Extracts from texts what a model was fine-tuned for: entities, relations, or labels and answers.

        >>> extractor = biogpt.Extractor.from_pretrained("ncbi_disease")
        >>> extractor("Cystic fibrosis is inherited.").entities[0].name
        'Cystic fibrosis'

    Args:
        predictor: a model with its task.
        name: what the model is called; `Extraction.annotator`.
        threshold: probability threshold: what has a lower score is left out. By default the one that fine-tuning found
            best on dev, which the predictor's task has.
        constrained: constrain what is generated to the task's template, so that it can always be read.
        linker: finds identifiers for the names of entities; see `biogpt.load_linker`. Without one, entities have the
            identifiers that the document's own annotations give them, or none.

    Raises:
        InputError: the threshold is no probability.
    """

    def __init__(
        self,
        predictor: Predictor,
        name: str,
        *,
        threshold: float | None = None,
        constrained: bool = True,
        linker: Linker | None = None,
    ) -> None:
        check_threshold(threshold)
        self.predictor = predictor
        self.task: Task = predictor.task
        self.name = name
        self.threshold = threshold
        self.constrained = constrained
        self.linker = linker

    def __repr__(self) -> str:
        return f"Extractor({self.name!r}, task={self.task.name!r})"

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        task: str | Path | Task | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 8,
        threshold: float | None = None,
        constrained: bool = True,
        link: bool | str | Path | Linker = False,
    ) -> Self:
        """An extractor with a model from disk or from the Hugging Face hub.

        Args:
            model: the name of a bundled model (`biogpt models` lists them), a directory that `biogpt finetune` made, or
                a hub id. By default the model that is bundled for `task`.
            task: what it is used for; by default what it was fine-tuned for.
            device: where to run, in PyTorch's terms; `auto`: `cuda` where there is one, else `cpu`.
            dtype: the type to compute in; see `Engine.from_pretrained`.
            batch_size: texts that the model reads at once. More is faster and takes more memory.
            threshold: see the class.
            constrained: see the class.
            link: find identifiers for names: True for MeSH, the name or file of a lexicon, or a `Linker`.

        Raises:
            InputError: there is no such task, no model is bundled for it, the model is not one of that task, or there
                is no such lexicon.
            DataError: the file is not a lexicon.
            CheckpointError: there is no such model, or its files are damaged or do not fit together.
        """
        found = find_task_model(model, task)
        linker = _as_linker(link)  # before the model is loaded: it may be refused
        return cls.of(
            found,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            threshold=threshold,
            constrained=constrained,
            linker=linker,
        )

    @classmethod
    def of(
        cls,
        found: TaskModel,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 8,
        threshold: float | None = None,
        constrained: bool = True,
        linker: Linker | None = None,
    ) -> Self:
        """An extractor with a model that `find_task_model` has found; see `from_pretrained`."""
        check_threshold(threshold)
        found = replace(found, task=_looking_down_to(threshold, found.task))
        predictor = Predictor.of(found, device, batch_size, dtype)
        return cls(predictor, found.label, threshold=threshold, constrained=constrained, linker=linker)

    def with_threshold(self, threshold: float | None) -> Self:
        """An extractor with the same model, which is not loaded anew, and another probability threshold.

        Raises:
            InputError: the threshold is no probability.
        """
        check_threshold(threshold)
        predictor = self.predictor.with_task(_looking_down_to(threshold, self.predictor.task))
        return type(self)(predictor, self.name, threshold=threshold, constrained=self.constrained, linker=self.linker)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, texts: Text
    ) -> Extraction: ...

    @overload
    def __call__(self, texts: Iterable[Text]) -> list[Extraction]: ...

    def __call__(self, texts: Text | Iterable[Text]) -> Extraction | list[Extraction]:
        """Extract from one text, or from several.

        Args:
            texts: one text or several; see `Text`.

        Returns:
            For one text its extraction, for several a list of them. Spans count characters of `Extraction.text`, which
            is the string that was given; of a dictionary with title and abstract, both joined by a space.

        Raises:
            InputError: a text is none, or lacks a field that the task reads; raised before any is read.
        """
        if isinstance(texts, str | Mapping | Document):
            return next(self.pipe([texts]))
        return list(self.pipe(list(texts)))

    def pipe(self, texts: Iterable[Text], batch_size: int | None = None) -> Iterator[Extraction]:
        """Extract from many texts, one after the other, in memory that does not grow with their number.

        Args:
            texts: read as extractions are asked for, a few batches ahead; those of a list are all checked first.
            batch_size: texts that the model reads at once; by default that of the extractor.

        Raises:
            InputError: see `__call__`.
        """
        if batch_size is not None:
            other = Extractor(
                self.predictor.with_batch_size(batch_size),
                self.name,
                threshold=self.threshold,
                constrained=self.constrained,
                linker=self.linker,
            )
            return other.pipe(texts)
        fields = source_fields(self.task)
        numbered = enumerate(texts, start=1)
        if isinstance(texts, Sequence):
            return self._pipe(iter([_as_source(text, number, fields) for number, text in numbered]))
        return self._pipe(_as_source(text, number, fields) for number, text in numbered)

    def _pipe(self, sources: Iterator[Source]) -> Iterator[Extraction]:
        while window := list(islice(sources, self.predictor.group_size)):
            for document in self.extract_documents(window):
                yield _placed_in_given_text(document)

    def extract_documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        """The documents with what is extracted from them; all their examples are predicted together.

        Args:
            sources: each document with its named fields, which are empty where the task only reads its text.

        Raises:
            DataError: the task reads a field that a document lacks.
        """
        parts = [make_examples(self.task, document, fields) for document, fields in sources]
        predictions = self.predictor.predict([example for examples in parts for example in examples], self.constrained)
        for (document, _), examples in zip(sources, parts, strict=True):
            made = list(islice(predictions, len(examples)))
            extraction = read_extraction(self.task, document, examples, made, self.name)
            if any(prediction.is_source_cut for prediction in made):
                extraction = replace(extraction, warnings=(*extraction.warnings, CUT))
            if self.threshold is not None:
                extraction = extraction.above(self.threshold)
            found = document.with_extraction(extraction)
            yield found if self.linker is None else self.linker.link_document(found)


def check_threshold(threshold: float | None) -> None:
    """Raise an `InputError` unless this is a probability, or None."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"Got threshold {threshold}, expected a probability from 0 to 1.")


def _as_linker(link: bool | str | Path | Linker) -> Linker | None:
    if isinstance(link, bool):
        return load_linker(DEFAULT_LEXICON) if link else None
    return link if isinstance(link, Linker) else load_linker(link)


def _looking_down_to(threshold: float | None, task: Task) -> Task:
    """The task with a threshold of its own that is not above the one that is asked for."""
    own = task.inference.threshold or (LABEL_THRESHOLD if task.kind.has_several_labels else 0.0)
    own = max(own, *task.inference.thresholds.values(), 0.0)
    if threshold is None or threshold >= own:
        return task
    # The model's own threshold decides how far it looks; what is above the lower one must be looked for.
    lowest = threshold if task.kind.threshold_of == "items" else max(threshold, MIN_SEARCH_THRESHOLD)
    return task.with_inference(threshold=lowest, thresholds={})


def _placed_in_given_text(document: Document) -> Extraction:
    """The extraction with spans that count the string that was given, which may begin with a space."""
    assert document.extraction is not None
    if len(document.passages) == 1 and document.parts:
        return document.extraction.placed_in(document.passages[0].text, document.parts[0].offset)
    return document.extraction.placed_in(document.text)


def _as_source(text: Text, number: int, fields: Sequence[str]) -> Source:
    """The document of one text, and its named fields where the task reads some."""
    name = f"text {number}"
    if isinstance(text, Document) and not fields:
        return text, {}
    if isinstance(text, str) and not fields:
        return make_document(name, [Passage(text)]), {}
    if not isinstance(text, Mapping):
        expected = f"a dictionary with {', '.join(fields)}" if fields else "a string, a dictionary or a document"
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
        article = article_of_fields(values, name)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    return make_document(article.id, passages_of(values, article)), {}
