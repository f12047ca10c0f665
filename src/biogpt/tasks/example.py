"""Examples of a task, and predictions for them: plain values, without a schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from biogpt.documents.types import Span

NO_ID = "-1"
"""The identifier of a name that its data set has none for, as in the BC5CDR files."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a text says: a relation, an answer, a label, an entity mention, a continuation."""

    slots: Mapping[str, str]
    """What fills each slot, e.g. `{"chemical": "naloxone", "disease": "hypertension"}`."""
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    """For each slot that names an entity, all its mentions in the source; empty where it is not found there."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """For each slot of a data set with identifiers, the entity's identifier; `NO_ID` for a name without one."""
    score: float | None = None
    """The model's score, from 0 to 1, where known."""


@dataclass(frozen=True, slots=True)
class Example:
    """One document, question or sentence of a data set, with what is to be found in it."""

    id: str
    text: str
    """The source with its case kept. Spans count its characters."""
    items: tuple[Item, ...] = ()
    """The gold: what an annotator found."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The named parts that the source was made of, as in the file."""
    vocabulary: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each slot with identifiers: lower-cased name -> identifier, over the whole set; shared by its examples."""
    word_spans: tuple[Span, ...] = ()
    """For a sentence of a document: where the document's text has each of the example's words."""
    labelled: tuple[str, ...] = ()
    """The labels that its annotators looked for; none: all of the task's."""
    document: str = ""
    """The id of the document that it is a part of; empty where it stands for itself. Those of one document are held
    out of training together."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was read from a model's answer to one example."""

    id: str
    """The example's id."""
    items: tuple[Item, ...] = ()
    problems: tuple[str, ...] = ()
    """Everything in the text that could not be read, each as a message. Nothing is dropped without one."""
    text: str = ""
    """The completion itself."""
    is_source_cut: bool = False
    """The source was longer than the model reads: its end was not looked at."""

    @property
    def has_failed(self) -> bool:
        """Nothing could be read though something was there to read."""
        return not self.items and bool(self.problems)
