"""A web page of what was found: each document with its names highlighted, its relations and its labels listed.

One file that needs no network and no script. It grows document by document, as every output does, so that thousands of
documents cost no memory here, and browsers draw only what is in view. All that comes from documents is escaped. Knows
nothing of models and tasks but what its `Heading` says.
"""

import html
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import biogpt
from biogpt.documents import Document, Entity, EntityRelation, Extraction, Label, Writer
from biogpt.documents.types import Span

_STYLE_PATH = Path(__file__).with_name("html.css")
_NOT_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_HUES = (210, 8, 130, 285, 38, 180, 330, 90, 250, 60)
"""Degrees on the colour wheel, for the types in the heading's order; neighbours are far apart."""
_WITH_PMIDS = ("pubmed", "pubtator")
_PMID = re.compile(r"[0-9]{1,8}")


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


class PageWriter(Writer):
    """Writes a page document by document; a run that was killed goes on at `position`, as with any output."""

    def __init__(self, target: str | Path | BinaryIO, position: int = 0, *, heading: Heading) -> None:
        super().__init__(target, position)
        self._heading = heading
        self._hues = {name: _HUES[number % len(_HUES)] for number, name in enumerate(heading.types)}

    def opening(self, document: Document) -> str:
        return self._head()

    def closing(self) -> str:
        before = "" if self.position else self._head() + '<p class="none">No documents.</p>\n'
        return f"{before}</main>\n<footer>Made by biogpt {escape(biogpt.__version__)}.</footer>\n</body>\n</html>\n"

    def encode(self, document: Document) -> str:
        extraction = document.extraction or Extraction()
        rest = document.rest if document.title else 0
        mentions = _mentions(extraction)
        parts = [f"<h2>{_link(document)}</h2>\n"]
        if rest:
            parts.append(f"<h3>{self._highlight(document.text, mentions, (0, rest))}</h3>\n")
        if rest < len(document.text):
            body = self._highlight(document.text, mentions, (rest, len(document.text)))
            parts.append(f'<p class="text">{body}</p>\n')
        parts += [
            self._relations(extraction.relations),
            _labels(extraction.labels),
            self._elsewhere(extraction.entities),
        ]
        if extraction.warnings:
            entries = "".join(f"<li>Warning: {escape(warning)}</li>" for warning in extraction.warnings)
            parts.append(f'<ul class="warnings">{entries}</ul>\n')
        is_empty = not (extraction.entities or extraction.relations or extraction.labels)
        if is_empty:
            parts.append('<p class="none">Nothing found.</p>\n')
        opening = '<article class="empty">' if is_empty else "<article>"
        return f"{opening}\n{''.join(parts)}</article>\n"

    def _head(self) -> str:
        heading = self._heading
        quality = f"; {escape(heading.quality)}" if heading.quality else ""
        names = "".join(f"<mark {self._hue(name)}>{escape(name)}</mark>" for name in heading.types)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(heading.title)}</title>\n<style>\n{_STYLE_PATH.read_text(encoding='utf-8')}</style>\n"
            f"</head>\n<body>\n<header>\n<h1>{escape(heading.title)}</h1>\n"
            f'<p class="about">Found by the model <strong>{escape(heading.model)}</strong>{quality}. '
            "A model makes mistakes: check what you use.</p>\n"
            f'<div class="bar"><span class="legend">{names}</span>'
            '<label><input type="checkbox" id="only"> only documents with findings</label></div>\n'
            "</header>\n<main>\n"
        )

    def _hue(self, type: str) -> str:
        hue = self._hues.get(type, zlib.crc32(type.encode()) % 360)
        return f'style="--hue:{hue}"'

    def _highlight(self, text: str, mentions: Sequence[tuple[Span, str, str]], span: Span) -> str:
        """A stretch of text with the mentions in it marked.

        Mentions within others are nested. Of two that cross, the one that ends later is closed and opened anew, so that
        tags are always nested.
        """
        start, end = span
        within = [each for each in mentions if each[0][0] < end and each[0][1] > start]
        ends = {place for mark, _, _ in within for place in mark}
        places = sorted(place for place in {start, end} | ends if start <= place <= end)
        parts: list[str] = []
        opened: list[tuple[Span, str, str]] = []
        for place, following in zip(places, [*places[1:], end], strict=True):
            closed = [each for each in opened if each[0][1] <= place]
            if closed:
                first = opened.index(closed[0])
                reopened = [each for each in opened[first:] if each[0][1] > place]
                # From the inside out; a name stands where its mention ends.
                for each in reversed(opened[first:]):
                    parts.append(f"{_name(each) if each in closed else ''}</mark>")
                opened[first:] = []
                for each in reopened:
                    parts.append(self._tag(each, place))
                    opened.append(each)
            for each in within:
                if max(each[0][0], start) == place and each[0][1] > place:
                    parts.append(self._tag(each, place))
                    opened.append(each)
            parts.append(escape(text[place:following]))
        parts += [f"{_name(each) if each[0][1] <= end else ''}</mark>" for each in reversed(opened)]
        return "".join(parts)

    def _tag(self, mention: tuple[Span, str, str], place: int) -> str:
        (start, _), type, hint = mention
        goes_on = ' class="on"' if place > start else ""
        return f'<mark{goes_on} {self._hue(type)} title="{escape(hint)}">'

    def _relations(self, relations: Sequence[EntityRelation]) -> str:
        if not relations:
            return ""
        roles = list(dict.fromkeys(role for relation in relations for role in relation.roles))
        values = list(dict.fromkeys(slot for relation in relations for slot in relation.values))
        has_types = not values and any(relation.type for relation in relations)
        names = [*roles, *values, *(["relation"] if has_types else [])]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = []
        for relation in relations:
            cells = [self._entity(relation.roles[role]) if role in relation.roles else "" for role in roles]
            cells += [escape(relation.values.get(slot, "")) for slot in values]
            cells += [escape(relation.type)] if has_types else []
            row = "".join(f"<td>{cell}</td>" for cell in cells)
            rows.append(f'<tr>{row}<td class="number">{escape(_score(relation.score))}</td></tr>\n')
        return (
            f'<div class="table"><table>\n<tr>{head}<th class="number">score</th></tr>\n{"".join(rows)}</table></div>\n'
        )

    def _entity(self, entity: Entity) -> str:
        named = f' <span class="missing">{escape(entity.identifier)}</span>' if entity.identifier else ""
        missing = "" if entity.spans else ' <span class="missing">(not in the text)</span>'
        return f'<span class="dot" {self._hue(entity.type)}></span>{escape(entity.name)}{named}{missing}'

    def _elsewhere(self, entities: Sequence[Entity]) -> str:
        """Names that were found but do not stand in the text."""
        lost = [entity for entity in entities if not entity.spans]
        entries = "".join(f"<li>{self._entity(entity)}</li>" for entity in lost)
        return f'<ul class="labels">{entries}</ul>\n' if lost else ""


def escape(text: str) -> str:
    """A text that can stand anywhere in a page."""
    return html.escape(_NOT_HTML.sub("\ufffd", text))


def _mentions(extraction: Extraction) -> list[tuple[Span, str, str]]:
    """Each mention once, with its type and what to say of it; the longest of those that begin together first."""
    among = (entity for relation in extraction.relations for entity in relation.roles.values())
    found: dict[tuple[Span, str], str] = {}
    for entity in (*extraction.entities, *among):
        score = "" if entity.score is None else f"score {_score(entity.score)}"
        for span in entity.spans:
            hint = ", ".join(part for part in (entity.type, entity.identifier, score) if part)
            if len(hint) > len(found.get((span, entity.type), "")):
                found[span, entity.type] = hint
    marks = [(span, type, hint) for (span, type), hint in found.items() if span[0] < span[1]]
    return sorted(marks, key=lambda mark: (mark[0][0], -mark[0][1], mark[1]))


def _name(mention: tuple[Span, str, str]) -> str:
    return f"<small>{escape(mention[1])}</small>"


def _labels(labels: Sequence[Label]) -> str:
    entries = "".join(
        f"<li><span>{escape(label.slot)}</span> {escape(label.value)} <span>{escape(_score(label.score))}</span></li>"
        for label in labels
    )
    return f'<ul class="labels">{entries}</ul>\n' if labels else ""


def _score(score: float | None) -> str:
    if score is None:
        return ""
    return "<0.01" if 0 < score < 0.005 else f"{score:.2f}"


def _link(document: Document) -> str:
    if document.format in _WITH_PMIDS and _PMID.fullmatch(document.id):
        return f'<a href="https://pubmed.ncbi.nlm.nih.gov/{document.id}/">{document.id}</a>'
    return escape(document.id)
