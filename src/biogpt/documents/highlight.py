"""Highlighted text: entities marked in a text by type, as HTML for a notebook, a file or a server.

`highlight` gives a fragment that stands alone. The page writer (`biogpt.documents.html`) has its own style sheet and
uses the parts below. All text is escaped.
"""

import html
import re
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biogpt.documents.types import Document, Entity, EntityRelation, Extraction

Mention = tuple[tuple[int, int], str, str]
"""A span, the entity's type, and what to say of it besides."""

_NOT_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_QUIET = "opacity:.7;font-size:.9em"


def highlight(document: "Document | str", extraction: "Extraction | None" = None) -> str:
    """A text with the entities in it marked, as one HTML fragment with inline style.

    Relations, labels, entities that the text lacks and warnings are listed below the text.

    Args:
        document: a document, or a text: what the spans of `extraction` count, in characters.
        extraction: what was extracted from it; by default the document's own.
    """
    text = document if isinstance(document, str) else document.text
    if extraction is None and not isinstance(document, str):
        extraction = document.extraction
    if extraction is None:
        return _wrap(f'<div style="white-space:pre-wrap">{escape(text)}</div>')
    marked = mark_mentions(text, mentions_of(extraction), (0, len(text)), _opening_tag, _name_tag)
    parts = [f'<div style="white-space:pre-wrap">{marked}</div>'] if text else []
    lines = [_relation(relation) for relation in extraction.relations]
    lines += [
        f"{escape(label.slot)}: <strong>{escape(label.value)}</strong>{_score(label.score)}"
        for label in extraction.labels
    ]
    lines += [
        f"{escape(entity.type)}: {_entity(entity)}{_score(entity.score)}"
        for entity in extraction.entities
        if not any(start < len(text) for start, _ in entity.spans)
    ]
    if not (lines or extraction.entities):
        lines.append(f'<span style="{_QUIET}">Nothing found.</span>')
    lines += [f"Warning: {escape(warning)}" for warning in extraction.warnings]
    if lines:
        entries = "".join(f"<li>{line}</li>" for line in lines)
        parts.append(f'<ul style="margin:.5em 0 0;padding-left:1.2em;font-size:.9em">{entries}</ul>')
    return _wrap("".join(parts))


def _wrap(parts: str) -> str:
    return f'<div style="line-height:1.9;overflow-wrap:anywhere">{parts}</div>'


def mark_mentions(
    text: str,
    mentions: Sequence[Mention],
    span: tuple[int, int],
    opening_tag: Callable[[Mention, bool], str],
    name_tag: Callable[[Mention], str],
) -> str:
    """A stretch of text with the mentions in it marked.

    Mentions within others are nested. Of two that cross, the one that ends later is closed and opened anew, so that
    tags are always nested.

    Args:
        text: the whole text.
        mentions: as `mentions_of` gives them.
        span: the stretch.
        opening_tag: the tag of a `<mark>`, by mention and whether it goes on from before.
        name_tag: what stands where a mention ends.
    """
    start, end = span
    within = [each for each in mentions if each[0][0] < end and each[0][1] > start]
    ends = {place for mark, _, _ in within for place in mark}
    places = sorted(place for place in {start, end} | ends if start <= place <= end)
    parts: list[str] = []
    opened: list[Mention] = []

    def open_mark(mention: Mention, place: int) -> None:
        parts.append(opening_tag(mention, place > mention[0][0]))
        opened.append(mention)

    for place, following in zip(places, [*places[1:], end], strict=True):
        closed = [each for each in opened if each[0][1] <= place]
        if closed:
            first = opened.index(closed[0])
            reopened = [each for each in opened[first:] if each[0][1] > place]
            # From the inside out; a name stands where its mention ends.
            for each in reversed(opened[first:]):
                parts.append(f"{name_tag(each) if each in closed else ''}</mark>")
            opened[first:] = []
            for each in reopened:
                open_mark(each, place)
        for each in within:
            if max(each[0][0], start) == place and each[0][1] > place:
                open_mark(each, place)
        parts.append(escape(text[place:following]))
    parts += [f"{name_tag(each) if each[0][1] <= end else ''}</mark>" for each in reversed(opened)]
    return "".join(parts)


def mentions_of(extraction: "Extraction") -> list[Mention]:
    """Each mention once; the longest of those that begin together first."""
    among = (entity for relation in extraction.relations for entity in relation.roles.values())
    found: dict[tuple[tuple[int, int], str], str] = {}
    for entity in (*extraction.entities, *among):
        score = "" if entity.score is None else f"score {format_score(entity.score)}"
        for span in entity.spans:
            hint = ", ".join(part for part in (entity.type, entity.identifier, score) if part)
            if len(hint) > len(found.get((span, entity.type), "")):
                found[span, entity.type] = hint
    marks = [(span, type, hint) for (span, type), hint in found.items() if span[0] < span[1]]
    return sorted(marks, key=lambda mark: (mark[0][0], -mark[0][1], mark[1]))


def escape(text: str) -> str:
    """A text that can stand anywhere in a page."""
    return html.escape(_NOT_HTML.sub("\ufffd", text))


def format_score(score: float | None) -> str:
    """A score in two digits; empty where it is not known."""
    if score is None:
        return ""
    return "<0.01" if 0 < score < 0.005 else f"{score:.2f}"


def hue_of(type: str) -> int:
    """Degrees on the colour wheel for a type of entities, everywhere the same."""
    return zlib.crc32(type.encode()) % 360


def _opening_tag(mention: Mention, goes_on: bool) -> str:
    _, type, hint = mention
    corners = "0 .3em .3em 0" if goes_on else ".3em"
    style = f"background:hsl({hue_of(type)} 80% 88%);color:#1c2128;padding:.12em .25em;border-radius:{corners}"
    return f'<mark style="{style}" title="{escape(hint)}">'


def _name_tag(mention: Mention) -> str:
    style = f"margin-left:.4em;font-size:.7em;font-weight:700;color:hsl({hue_of(mention[1])} 65% 30%)"
    return f'<small style="{style};user-select:none">{escape(mention[1])}</small>'


def _relation(relation: "EntityRelation") -> str:
    parts = [f"{escape(role)} {_entity(entity)}" for role, entity in relation.roles.items()]
    parts += [f"{escape(slot)} <strong>{escape(value)}</strong>" for slot, value in relation.values.items()]
    type = f"{escape(relation.type)}: " if relation.type else ""
    return f"{type}{', '.join(parts)}{_score(relation.score)}"


def _entity(entity: "Entity") -> str:
    identifier = f' <span style="{_QUIET}">{escape(entity.identifier)}</span>' if entity.identifier else ""
    missing = "" if entity.spans else f' <span style="{_QUIET}">(not in the text)</span>'
    return f"<strong>{escape(entity.name)}</strong>{identifier}{missing}"


def _score(score: float | None) -> str:
    return "" if score is None else f' <span style="{_QUIET}">{escape(format_score(score))}</span>'
