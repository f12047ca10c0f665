"""A web page of what was found: each document with its names highlighted, its relations and its labels listed.

One file that needs no network and no script. It grows document by document, as every output does, so that thousands of
documents cost no memory here, and browsers draw only what is in view. All that comes from documents is escaped. Knows
nothing of models and tasks but what its `Heading` says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import biogpt
from biogpt.documents import Document, Entity, EntityRelation, Extraction, Label, Writer
from biogpt.documents.highlight import Mention, escape, format_score, hue_of, mark_mentions, mentions_of
from biogpt.documents.types import Span

_STYLE_PATH = Path(__file__).with_name("html.css")
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
        mentions = mentions_of(extraction)
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
            '<label><input type="checkbox" id="only"> only documents with an extraction</label></div>\n'
            "</header>\n<main>\n"
        )

    def _hue(self, type: str) -> str:
        hue = self._hues.get(type, hue_of(type))
        return f'style="--hue:{hue}"'

    def _highlight(self, text: str, mentions: Sequence[Mention], span: Span) -> str:
        return mark_mentions(text, mentions, span, self._opening_tag, _name)

    def _opening_tag(self, mention: Mention, goes_on: bool) -> str:
        _, type, hint = mention
        continued = ' class="on"' if goes_on else ""
        return f'<mark{continued} {self._hue(type)} title="{escape(hint)}">'

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
            rows.append(f'<tr>{row}<td class="number">{escape(format_score(relation.score))}</td></tr>\n')
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


def _name(mention: Mention) -> str:
    return f"<small>{escape(mention[1])}</small>"


def _labels(labels: Sequence[Label]) -> str:
    entries = "".join(
        f"<li><span>{escape(label.slot)}</span> {escape(label.value)} "
        f"<span>{escape(format_score(label.score))}</span></li>"
        for label in labels
    )
    return f'<ul class="labels">{entries}</ul>\n' if labels else ""


def _link(document: Document) -> str:
    if document.format in _WITH_PMIDS and _PMID.fullmatch(document.id):
        return f'<a href="https://pubmed.ncbi.nlm.nih.gov/{document.id}/">{document.id}</a>'
    return escape(document.id)
