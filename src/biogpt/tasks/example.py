"""What a task is about: a source with its gold, and what was read of a model's answer to it.

Plain values that everything else in this room is made with. They know no schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Span = tuple[int, int]
"""First character and the one behind the last, counted in `Example.text`."""

NO_ID = "-1"
"""The identifier of a name that the vocabulary of its data set does not list, as in the BC5CDR files."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a text says: a relation, an answer, a label, a marked mention, a continuation."""

    slots: Mapping[str, str]
    """What fills each slot, e.g. `{"chemical": "naloxone", "disease": "hypertension"}`."""
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    """For each slot that names an entity, all its mentions in the source; an empty tuple says: not found there."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """For each slot of a data set with identifiers, the entity's; "-1" for a name without one."""
    score: float | None = None
    """How sure the model is, where known."""


@dataclass(frozen=True, slots=True)
class Example:
    """One document, question or sentence of a data set, with what is to be found in it."""

    id: str
    text: str
    """The source with its case kept. Spans count its characters."""
    items: tuple[Item, ...] = ()
    """What an annotator found: the gold."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The parts of the record that the source was made of, as in the file."""
    vocabulary: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each slot with identifiers: lower-cased name -> identifier, over the whole set; shared by its examples."""
    word_spans: tuple[Span, ...] = ()
    """For a sentence of a document: where the document's text has each of the example's words."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was read from one completion: what could be read, and what could not."""

    id: str
    """The example's id."""
    items: tuple[Item, ...] = ()
    problems: tuple[str, ...] = ()
    """Everything in the text that was not understood, in plain words. Nothing is dropped without one."""
    text: str = ""
    """The completion itself."""
    is_source_cut: bool = False
    """The source was longer than the model reads: its end was not looked at."""

    @property
    def has_failed(self) -> bool:
        """Nothing could be read though something was there to read."""
        return not self.items and bool(self.problems)
