"""A web page of what was found: each document with its names highlighted, and its relations in a table beside it.

One file that needs no network: style and script are in it, and its policy allows no others. It grows document by
document, as every output does, so that thousands of documents cost no memory here, and browsers draw only what is in
view. Without its script it shows the same, but cannot be filtered. All that comes from documents is escaped. Knows
nothing of models and tasks but what its `Heading` says.
"""

import base64
import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from markupsafe import Markup

import biogpt
from biogpt.documents import Document, Entity, Extraction, Writer
from biogpt.documents.highlight import Mention, hue_of, mentions_of, pieces_of
from biogpt.documents.links import page_of, pmid_of, pubmed_page
from biogpt.documents.templates import TEMPLATE_PATH, render

_HUES = (210, 0, 135, 285, 45, 180, 330, 90, 255, 60)
"""Degrees on the colour wheel, for the types in the heading's order; neighbours are far apart."""
_STEP = 15
"""Degrees between two colours of the style sheet."""


@dataclass(frozen=True)
class Heading:
    """What stands at the top of the page."""

    title: str
    """What was looked for."""
    model: str
    """Who found it."""
    quality: str = ""
    """How good the model was measured to be, e.g. "F1 41.2 on dev"."""
    types: tuple[str, ...] = ()
    """The entities' types, for the legend."""


def render_page(target: str | Path | BinaryIO, documents: Iterable[Document], heading: Heading) -> None:
    """Make a page.

    Args:
        target: a path, or a binary stream.
        documents: with their extraction.
        heading: what to say at the top.

    Raises:
        DataError: the page cannot be written.
    """
    with PageWriter(target, heading=heading) as writer:
        for document in documents:
            writer.write(document)


@dataclass(frozen=True)
class _Row:
    """A relation in a table."""

    cells: list[Entity | str | None]
    score: float | None
    types: str
    """The entities' types, between tabs."""
    marks: str
    """The numbers of its mentions."""
    searched: str


@dataclass(frozen=True)
class _Table:
    names: list[str]
    rows: list[_Row]
    is_known: bool = False


class PageWriter(Writer):
    """Writes a page document by document; a run that was killed goes on at `position`, as with any output."""

    def __init__(self, target: str | Path | BinaryIO, position: int = 0, *, heading: Heading) -> None:
        super().__init__(target, position)
        self._heading = heading
        self._hues = {name.lower(): _HUES[number % len(_HUES)] for number, name in enumerate(heading.types)}

    def opening(self, document: Document) -> str:
        return self._head()

    def closing(self) -> str:
        before = "" if self.position else self._head()
        script = Markup(_asset("page.js"))
        foot = render("page_foot.html", is_empty=not self.position, version=biogpt.__version__, script=script)
        return f"{before}{foot}\n"

    def encode(self, document: Document) -> str:
        extraction = document.extraction or Extraction()
        mentions = mentions_of(extraction, document.annotations)
        text, rest = document.text, document.rest if document.title else 0
        article = render(
            "document.html",
            id=document.id,
            pmid=pmid_of(document),
            mentions=mentions,
            names=[_searched(text[slice(*each.span)], each.identifier) for each in mentions],
            title=pieces_of(text, mentions, (0, rest)) if rest else [],
            body=pieces_of(text, mentions, (rest, len(text))) if rest < len(text) else [],
            tables=_tables(document, extraction, mentions),
            labels=extraction.labels,
            elsewhere=[entity for entity in extraction.entities if not entity.spans],
            warnings=extraction.warnings,
            is_empty=not (extraction.entities or extraction.relations or extraction.labels),
            hue_class=self._hue_class,
            page_of=page_of,
            pubmed_page=pubmed_page,
        )
        return f"{article}\n"

    def _head(self) -> str:
        style, script = _asset("page.css"), _asset("page.js")
        head = render(
            "page_head.html",
            heading=self._heading,
            style=Markup(style),
            style_hash=_hash_of(style),
            script_hash=_hash_of(script),
            hue_class=self._hue_class,
        )
        return f"{head}\n"

    def _hue_class(self, type: str) -> int:
        return self._hues.get(type.lower(), hue_of(type.lower()) // _STEP * _STEP)


@functools.cache
def _asset(name: str) -> str:
    """The style sheet or the script, which are files of this package."""
    return (TEMPLATE_PATH / name).read_text(encoding="utf-8")


def _hash_of(content: str) -> str:
    """What a page's policy calls a style or script that it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _tables(document: Document, extraction: Extraction, mentions: Sequence[Mention]) -> list[_Table]:
    """The relations that were found, and those that the file had."""
    numbers = {(mention.type.lower(), mention.span): number for number, mention in enumerate(mentions)}
    tables = []
    if extraction.relations:
        roles = list(dict.fromkeys(role for relation in extraction.relations for role in relation.roles))
        values = list(dict.fromkeys(slot for relation in extraction.relations for slot in relation.values))
        has_types = not values and any(relation.type for relation in extraction.relations)
        rows = []
        for relation in extraction.relations:
            cells: list[Entity | str | None] = [relation.roles.get(role) for role in roles]
            cells += [relation.values.get(slot, "") for slot in values]
            cells += [relation.type] if has_types else []
            rows.append(_row(cells, relation.score, numbers))
        tables.append(_Table([*roles, *values, *(["relation"] if has_types else [])], rows))
    if document.relations:
        rows = []
        for known in document.relations:
            entities: list[Entity | str | None] = []
            for (_, value), found in zip(known.arguments, known.resolve(document.annotations), strict=True):
                if found is None:
                    entities.append(value)
                    continue
                same = [
                    each.spans
                    for each in document.annotations
                    if each is found or (each.identifier and each.identifier == found.identifier)
                ]
                spans = tuple(span for each in same for span in each)
                entities.append(Entity(found.type, found.text, spans, found.identifier))
            entities += [""] * (2 - len(entities))
            rows.append(_row([known.type, *entities], known.score, numbers))
        width = max(len(row.cells) for row in rows)
        rows = [replace(row, cells=[*row.cells, *[""] * (width - len(row.cells))]) for row in rows]
        tables.append(_Table(["relation", *(["between", "and"] + [""] * width)[: width - 1]], rows, is_known=True))
    return tables


def _row(
    cells: list[Entity | str | None], score: float | None, numbers: dict[tuple[str, tuple[int, int]], int]
) -> _Row:
    entities = [cell for cell in cells if isinstance(cell, Entity)]
    marks = [numbers.get((entity.type.lower(), span)) for entity in entities for span in entity.spans]
    return _Row(
        cells,
        score,
        "\t".join(dict.fromkeys(entity.type.lower() for entity in entities)),
        " ".join(str(number) for number in dict.fromkeys(marks) if number is not None),
        _searched(*(part for entity in entities for part in (entity.name, entity.identifier))),
    )


def _searched(*parts: str) -> str:
    return " ".join(part for part in parts if part).lower()
