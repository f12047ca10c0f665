"""Offsets that do not give their annotation's text: how else they may be counted, and mended where that fits.

Files should count characters from the document's start. Some programs count bytes of UTF-8 or units of UTF-16, some
begin anew with each passage. Another way of counting is believed only where it gives exactly the annotation's text.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from biogpt.documents import bioc, brat, json_lines, pubtator
from biogpt.documents.types import Annotation, Document, Passage
from biogpt.documents.xml_stream import parse_element

Places = tuple[tuple[int, int], ...]
"""Offset and length of each fragment, as in `Annotation.places`."""

BYTES, UTF16, RELATIVE = "in bytes", "in UTF-16 units", "from the start of the passage"
_ENCODINGS = {BYTES: ("utf-8", 1), UTF16: ("utf-16-le", 2)}


def is_in_unread_passage(document: Document, annotation: Annotation) -> bool:
    """Whether an annotation without spans stands where it says, in a passage that the model does not read."""
    return bool(annotation.places) and _fits(document, annotation, annotation.places)


def find_counting(document: Document, annotation: Annotation) -> tuple[str, Places] | None:
    """How the offsets of an annotation without spans are counted, if not as they should be.

    Returns:
        The way of counting, and the places in characters; None where no way gives the annotation's text.
    """
    if not annotation.places or not annotation.text.strip():
        return None
    if document.format == json_lines.NAME and len(document.passages) > 1:
        return None  # spans count what was read, not the passages
    for counting in (BYTES, UTF16, RELATIVE):
        for places in _candidates(document, annotation, counting):
            if _fits(document, annotation, places):
                return counting, places
    return None


def fix_offsets(document: Document) -> Document:
    """The document with each annotation whose offsets are counted in another way put where its text stands.

    What is written in the document's own format has the mended offsets, too.

    Example:
        >>> from biogpt.documents.types import Passage, make_document
        >>> annotation = Annotation("T1", "Disease", "gout", places=((16, 4),))
        >>> document = make_document("8", [Passage("β-blockers and gout")], annotations=(annotation,))
        >>> fix_offsets(document).annotations[0].spans
        ((15, 19),)
    """
    mended: dict[int, Annotation] = {}
    for index, annotation in enumerate(document.annotations):
        if annotation.spans or is_in_unread_passage(document, annotation):
            continue
        if found := find_counting(document, annotation):
            mended[index] = document.place(replace(annotation, places=found[1]))
    if not mended:
        return document
    annotations = tuple(mended.get(index, annotation) for index, annotation in enumerate(document.annotations))
    mend = _MENDERS.get(document.format)
    native = document.native if mend is None or document.native is None else mend(document, mended)
    return replace(document, annotations=annotations, native=native)


def _candidates(document: Document, annotation: Annotation, counting: str) -> Iterator[Places]:
    shift = 0  # how much further than in characters the passages so far go
    for passage in document.passages:
        is_its_own = annotation.path in (passage.path, passage.path[:1])
        if counting == RELATIVE:
            if is_its_own or not annotation.path:
                yield tuple((passage.offset + offset, length) for offset, length in annotation.places)
            continue
        encoding, size = _ENCODINGS[counting]
        units = passage.text.encode(encoding, "surrogatepass")
        if is_its_own or not annotation.path:
            for start in dict.fromkeys((passage.offset, passage.offset + shift)):
                yield from _decoded(annotation, passage, start, units, counting)
        shift += len(units) // size - len(passage.text)


def _decoded(annotation: Annotation, passage: Passage, start: int, units: bytes, counting: str) -> Iterator[Places]:
    encoding, size = _ENCODINGS[counting]

    def position(count: int) -> int:
        if not 0 <= count * size <= len(units):
            raise ValueError(count)
        return len(units[: count * size].decode(encoding))  # a ValueError within a character

    try:
        begins = [position(offset - start) for offset, _ in annotation.places]
        yield tuple(
            (passage.offset + begin, length) for begin, (_, length) in zip(begins, annotation.places, strict=True)
        )
        yield tuple(
            (passage.offset + begin, position(offset - start + length) - begin)
            for begin, (offset, length) in zip(begins, annotation.places, strict=True)
        )
    except ValueError:
        return


def _fits(document: Document, annotation: Annotation, places: Places) -> bool:
    """Whether the document's passages hold an annotation's text at these places."""
    pieces = [_text_at(document.passages, offset, length) for offset, length in places]
    return "".join("".join(pieces).split()) == "".join(annotation.text.split()) != ""


def _text_at(passages: Sequence[Passage], offset: int, length: int) -> str:
    for passage in passages:
        start = offset - passage.offset
        if 0 <= start < len(passage.text) and start + length <= len(passage.text):
            return passage.text[start : start + length]
    return ""


def _mend_bioc_json(document: Document, mended: dict[int, Annotation]) -> Any:
    content = copy.deepcopy(document.native)
    for index, entry in enumerate(bioc.parts_of(content, "annotations")):
        if index in mended:
            for location, (offset, length) in zip(entry["locations"], mended[index].places, strict=True):
                location.update(offset=offset, length=length)
    return content


def _mend_bioc_xml(document: Document, mended: dict[int, Annotation]) -> Any:
    element = parse_element(document.native)
    units = [element]
    for passage in element.iterfind("passage"):
        units += [passage, *passage.iterfind("sentence")]
    entries = (entry for unit in units for entry in unit.iterfind("annotation"))
    for index, entry in enumerate(entries):
        if index in mended:
            for location, (offset, length) in zip(entry.iterfind("location"), mended[index].places, strict=True):
                location.set("offset", str(offset))
                location.set("length", str(length))
    return etree.tostring(element, encoding="unicode")


def _mend_pubtator(document: Document, mended: dict[int, Annotation]) -> Any:
    lines = []
    index = -1
    for line in document.native:
        columns = line.split("\t")
        if pubtator.is_mention(columns):
            index += 1
            if index in mended:
                text = columns[3]
                start = mended[index].places[0][0] - (len(text) - len(text.lstrip()))
                columns[1:3] = [str(start), str(start + len(text))]
        lines.append("\t".join(columns))
    return lines


def _mend_brat(document: Document, mended: dict[int, Annotation]) -> Any:
    by_id = {annotation.id: annotation for annotation in mended.values()}
    lines = []
    for line in document.native.lines:
        id, tab, rest = line.partition("\t")
        if tab and id in by_id:
            described, *others = rest.split("\t", 1)
            where = ";".join(f"{offset} {offset + length}" for offset, length in by_id[id].places)
            line = "\t".join([id, f"{described.partition(' ')[0]} {where}", *others])  # noqa: PLW2901
        lines.append(line)
    return replace(document.native, lines=tuple(lines))


def _mend_json_lines(document: Document, mended: dict[int, Annotation]) -> Any:
    by_id = {(annotation.id, annotation.text): annotation for annotation in mended.values()}
    entries = []
    for entry in document.native["annotations"]:
        key = (str(entry.get("id", "")), str(entry.get("text", ""))) if isinstance(entry, dict) else None
        found = by_id.get(key) if key else None
        spans = [] if found is None else [[offset, offset + length] for offset, length in found.places]
        entries.append({**entry, "spans": spans} if spans else entry)
    return {**document.native, "annotations": entries}


_MENDERS: dict[str, Callable[[Document, dict[int, Annotation]], Any]] = {
    bioc.JSON: _mend_bioc_json,
    bioc.XML: _mend_bioc_xml,
    pubtator.NAME: _mend_pubtator,
    brat.NAME: _mend_brat,
    json_lines.NAME: _mend_json_lines,
}
