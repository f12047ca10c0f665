"""Schemas: what a task asks, as its TOML file says it. `biogpt.tasks.schema_file` reads and checks them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from biogpt.tasks.template import Template


@dataclass(frozen=True, slots=True)
class Slot:
    """What may fill one slot of a sentence."""

    choices: tuple[str, ...] = ()
    """The values that it can have; none where the slot names an entity of the text."""
    is_open: bool = False
    """Other values than the listed ones are possible."""

    @property
    def is_entity(self) -> bool:
        return not self.choices


@dataclass(frozen=True, slots=True)
class Part:
    """One of several data sets that a task learns from at once. It bears the name of the task that is its own."""

    directory: str
    """Below the directory of the data."""
    files: Mapping[str, str]
    """Split -> file name in that directory."""
    labels: tuple[str, ...]
    """What its annotators looked for. Of the task's other labels it says nothing, not even that they are absent."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Label in the file -> label of the schema."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where a task's examples come from."""

    reader: str = ""
    """The name of a reader in `readers.py`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Split -> file name in the directory of the data set."""
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    """Split -> file with the names of the split's entities and their identifiers."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """For tables: id, every field of `source` and every slot -> the column that holds it."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Label in the file -> label of the schema."""
    ignored_ids: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    """The data sets of a task that has several; `files` and `renamed` are theirs then."""
    without: Mapping[str, str] = field(default_factory=dict)
    """Split -> file of documents in which nothing is to be found, for recipes with an `empty_fraction`; in any format
    of documents."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that there are."""
        return tuple(dict.fromkeys([*self.files, *(split for part in self.parts.values() for split in part.files)]))


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a task is measured, and what others reached."""

    metric: str = ""
    """The name of a metric of the kind."""
    main: str = "f1"
    """The figure that stands for the task."""
    published: Mapping[str, float] = field(default_factory=dict)
    """Model -> the main figure in percent, as published."""
    source: str = ""
    """Where those figures were published."""


@dataclass(frozen=True)
class Schema:
    """One task as its TOML file has it."""

    name: str
    kind: str
    title: str
    paper: str = ""
    """Where the data set was published."""
    licence: str = ""
    """The terms of the data."""
    caveats: tuple[str, ...] = ()
    """What one has to know of the data before one believes a score."""
    is_lowercase: bool = False
    """Prompts and targets are lower-cased."""
    source: str = ""
    """How fields become the source, e.g. `question: {question} context: {context} `; empty: the reader decides."""
    source_limit: int = 0
    """The most tokens of a source; 0: no limit."""
    sentence: str = ""
    separator: str = "; "
    end: str = "."
    none: str = ""
    """The target of a document in which nothing is to be found, without `end`."""
    target_format: str = ""
    """The name of the format in use: its own name, or one of `alternatives`."""
    empty_documents: str = "keep"
    has_overlapping_labels: bool = False
    """For tagging: each label is decided for itself, so that mentions of different labels may overlap, and a data set
    may say nothing of some."""
    shown_as: Mapping[str, str] = field(default_factory=dict)
    """For tagging: label -> label under which an extraction shows its mentions. Of those of one label that overlap
    it shows the one with the highest score."""
    slots: Mapping[str, Slot] = field(default_factory=dict)
    alternatives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dataset: Dataset = field(default_factory=Dataset)
    score: Scoring = field(default_factory=Scoring)
    example: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def template(self) -> Template:
        """The sentence in use, with its separator, end and verbalizers."""
        chosen = self.alternatives.get(self.target_format, {})
        known = {name: slot.choices for name, slot in self.slots.items() if slot.choices}
        return Template(
            sentence=chosen.get("sentence", self.sentence),
            separator=chosen.get("separator", self.separator),
            end=self.end,
            none=self.none,
            phrases=chosen.get("phrases", {}),
            endings={name: tuple(map(tuple, rules)) for name, rules in chosen.get("endings", {}).items()},
            choices=known,
        )

    def render_source(self, values: Mapping[str, str]) -> str:
        """The source made of a record's fields."""
        return re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], self.source)
