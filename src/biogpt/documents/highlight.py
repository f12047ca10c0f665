"""Highlighted text: entities marked in a text by type, as HTML for a notebook, a file or a server.

`highlight` gives a fragment that stands alone. The page writer (`biogpt.documents.html`) has its own style sheet and
uses the parts below. All text is escaped.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from biogpt.documents.templates import format_score, render

if TYPE_CHECKING:
    from biogpt.documents.types import Annotation, Document, Extraction


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity's mention in a text, to be marked."""

    span: tuple[int, int]
    type: str
    identifier: str = ""
    score: float | None = None
    best: float | None = None
    """Its score, or where it has none the best of the relations that name it."""
    is_found: bool = True
    """A model found it."""
    is_known: bool = False
    """The file had it before."""

    @property
    def hint(self) -> str:
        """What to say of it besides its type: `Chemical, MESH:D008094, score 0.93`."""
        score = "" if self.score is None else f"score {format_score(self.score)}"
        was_there = "in the file before" if self.is_known else ""
        return ", ".join(part for part in (self.type, self.identifier, score, was_there) if part)


@dataclass(frozen=True, slots=True)
class Piece:
    """A step through a marked text: text, or the beginning or end of a mark."""

    kind: str
    """"text", "open" or "close"."""
    text: str = ""
    number: int = -1
    """Of the mention."""
    is_whole: bool = True
    """A mark that opens has not been closed and opened anew; one that closes ends here for good."""


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
    mentions = [] if extraction is None else mentions_of(extraction)
    elsewhere = (
        []
        if extraction is None
        else [each for each in extraction.entities if not any(start < len(text) for start, _ in each.spans)]
    )
    return render(
        "fragment.html",
        extraction=extraction,
        text=text,
        mentions=mentions,
        pieces=pieces_of(text, mentions, (0, len(text))),
        elsewhere=elsewhere,
        hue_of=hue_of,
    )


def pieces_of(text: str, mentions: Sequence[Mention], span: tuple[int, int]) -> list[Piece]:
    """A stretch of text with the mentions in it, in steps.

    Mentions within others are nested. Of two that cross, the one that ends later is closed and opened anew, so that
    marks are always nested.

    Args:
        text: the whole text.
        mentions: sorted as `mentions_of` gives them.
        span: the stretch.
    """
    start, end = span
    within = [number for number, each in enumerate(mentions) if each.span[0] < end and each.span[1] > start]
    ends = {place for number in within for place in mentions[number].span}
    places = sorted(place for place in {start, end} | ends if start <= place <= end)
    pieces: list[Piece] = []
    opened: list[int] = []

    def open_mark(number: int, place: int) -> None:
        pieces.append(Piece("open", number=number, is_whole=place <= mentions[number].span[0]))
        opened.append(number)

    for place, following in zip(places, [*places[1:], end], strict=True):
        closed = [number for number in opened if mentions[number].span[1] <= place]
        if closed:
            first = opened.index(closed[0])
            reopened = [number for number in opened[first:] if mentions[number].span[1] > place]
            # From the inside out; a name stands where its mention ends.
            pieces += [Piece("close", number=number, is_whole=number in closed) for number in reversed(opened[first:])]
            opened[first:] = []
            for number in reopened:
                open_mark(number, place)
        for number in within:
            if max(mentions[number].span[0], start) == place and mentions[number].span[1] > place:
                open_mark(number, place)
        if place < following:
            pieces.append(Piece("text", text[place:following]))
    pieces += [Piece("close", number=each, is_whole=mentions[each].span[1] <= end) for each in reversed(opened)]
    return pieces


def mentions_of(extraction: "Extraction", known: "Iterable[Annotation]" = ()) -> list[Mention]:
    """Each mention once; the longest of those that begin together first.

    Args:
        extraction: what was found.
        known: annotations that the file had before.
    """
    among = ((entity, relation.score) for relation in extraction.relations for entity in relation.roles.values())
    found: dict[tuple[tuple[int, int], str], Mention] = {}
    for entity, relation_score in (*((entity, None) for entity in extraction.entities), *among):
        for span in entity.spans:
            key = (span, entity.type.lower())
            mention = found.get(key) or Mention(span, entity.type)
            scores = [score for score in (mention.score, entity.score) if score is not None]
            identifier = mention.identifier or entity.identifier
            score = max(scores, default=None)
            ranks = [each for each in (mention.best, entity.score, relation_score) if each is not None]
            best = max(ranks, default=None) if score is None else score
            found[key] = replace(mention, identifier=identifier, score=score, best=best)
    for annotation in known:
        for span in annotation.spans:
            key = (span, annotation.type.lower())
            mention = found.get(key) or Mention(span, annotation.type, score=annotation.score, is_found=False)
            found[key] = replace(mention, identifier=mention.identifier or annotation.identifier, is_known=True)
    mentions = [mention for mention in found.values() if mention.span[0] < mention.span[1]]
    return sorted(mentions, key=lambda each: (each.span[0], -each.span[1], each.type, not each.is_found))


def hue_of(type: str) -> int:
    """Degrees on the colour wheel for a type of entities, everywhere the same."""
    return zlib.crc32(type.encode()) % 360
