"""PubTator: title, abstract, one line per mention and per relation, a blank line between documents.

Offsets count characters of title, one character, abstract. A document is written back line by line as it was. Added
mentions stand behind its mentions and added relations at its end, with the score as the last column where it is known
(as the BC5CDR evaluation data has it). A relation names its entities by identifier, or by name where none is known.

What it cannot say: labels and answers, warnings, who annotated, roles and values of a relation, and relations of
entities that the text names but no mention has, other than by name. Of a document from another format it keeps what the
model reads, on one line each; a tab or line break in it becomes a space. A mention whose offsets do not give its text
stays in PubTator but is not known elsewhere.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from biogpt.documents.types import (
    ABSTRACT,
    TITLE,
    Annotation,
    Document,
    Passage,
    Relation,
    Span,
    annotations_of_extraction,
    make_document,
    new_ids,
)
from biogpt.documents.writer import Writer
from biogpt.errors import DataError
from biogpt.files import Reading, decoded_lines, is_decoded, read_text

NAME = "pubtator"
TEXT_LINE = re.compile(r"([^|\s]+)\|([ta])\|(.*)", re.DOTALL)

_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_NOT_IN_ID = re.compile(r"[\s|]")


@dataclass(slots=True)
class _Block:
    """The lines of one document, as they are, with the blank lines behind it."""

    start: int
    """The number of its first line."""
    lines: list[str] = field(default_factory=list)
    is_closed: bool = False
    """A blank line has ended it."""


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of PubTator documents."""
    for block in _blocks(stream, reading):
        try:
            document = _document_of(block)
        except _BadLineError as error:
            reading.report(error.number, str(error))
        else:
            if document is not None:
                yield document


class _BadLineError(ValueError):
    """A line that makes its document unusable."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def _blocks(stream: IO[bytes], reading: Reading) -> Iterator[_Block]:
    block = _Block(1)
    id = ""
    for number, line in enumerate(decoded_lines(stream, reading), 1):
        found = TEXT_LINE.match(line)
        is_blank = not line.strip()
        starts = bool(found and found[2] == "t" and id not in ("", found[1])) or (block.is_closed and not is_blank)
        if starts:
            yield block
            block, id = _Block(number), ""
        block.lines.append(line)
        if is_blank:
            block.is_closed = bool(id) or any(each.strip() for each in block.lines)
        elif found and not id:
            id = found[1]
    yield block


@dataclass(frozen=True, slots=True)
class _Line:
    """What one line says of a document."""

    id: str
    section: str = ""
    """"t" for the title, "a" for the abstract, or empty."""
    text: str = ""
    mention: tuple[int, int, Annotation] | None = None
    """Start, end, and an annotation without id and spans."""
    relation: Relation | None = None
    """Without id."""


def _parse_line(line: str) -> _Line:
    """Read a line that is not blank.

    Raises:
        ValueError: what is wrong with it.
    """
    if not is_decoded(line):
        raise ValueError("bytes that are not UTF-8; expected UTF-8 text.")
    if found := TEXT_LINE.fullmatch(line):
        return _Line(found[1], found[2], found[3])
    columns = line.split("\t")
    if len(columns) >= 4 and columns[1].isdecimal() and columns[2].isdecimal():
        text, type, identifier, last = (*columns[3:7], "", "", "")[:4]
        annotation = Annotation("", type, text, (), identifier, _score(last))
        return _Line(columns[0], mention=(int(columns[1]), int(columns[2]), annotation))
    if 3 <= len(columns) <= 5:
        arguments = tuple(("", value) for value in columns[2:4])
        score = _score(columns[4]) if len(columns) > 4 else None
        return _Line(columns[0], relation=Relation("", columns[1], arguments, score))
    raise ValueError(f"got {line[:40]!r}; expected id|t|title, id|a|abstract, or columns between tabs.")


def read_relations(path: Path) -> dict[str, list[Relation]]:
    """The relations of each document of a file, which may lack the documents' texts, as files of predictions do.

    Args:
        path: the file, in any order of lines.

    Raises:
        DataError: the file cannot be read, or a line is not PubTator's.
    """
    found: dict[str, list[Relation]] = {}
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = _parse_line(text.removesuffix("\r"))
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        relations = found.setdefault(line.id, [])
        if line.relation is not None:
            relations.append(line.relation)
    return found


def _document_of(block: _Block) -> Document | None:
    texts: dict[str, str] = {}
    id = ""
    annotations: list[tuple[int, int, Annotation]] = []
    relations: list[Relation] = []
    for number, raw in enumerate(block.lines, block.start):
        if not raw.strip():
            continue
        try:
            line = _parse_line(raw.rstrip("\r\n"))
        except ValueError as error:
            raise _BadLineError(number, str(error)) from error
        if id and line.id != id:
            raise _BadLineError(number, f"a line of document '{line.id}' among those of '{id}'; expected a blank line.")
        id = line.id
        if line.section in texts:
            raise _BadLineError(number, f"a second '|{line.section}|' line of document '{id}'; expected one.")
        if line.section:
            texts[line.section] = line.text
        elif line.mention is not None:
            start, end, annotation = line.mention
            annotations.append((start, end, replace(annotation, id=f"T{len(annotations) + 1}")))
        elif line.relation is not None:
            relations.append(replace(line.relation, id=f"R{len(relations) + 1}"))
    if not id:
        return None
    if not texts:
        raise _BadLineError(block.start, f"document '{id}' has neither a '|t|' nor an '|a|' line.")
    title, abstract = texts.get("t", ""), texts.get("a", "")
    passages = (Passage(title, TITLE, 0), Passage(abstract, ABSTRACT, len(title) + 1))
    document = make_document(id, [passage for passage in passages if passage.text], format=NAME, native=block.lines)
    if not document.text:
        raise _BadLineError(block.start, f"document '{id}' has no text; expected some in its title or abstract.")
    placed = tuple(_place(document, start, end, annotation) for start, end, annotation in annotations)
    return replace(document, annotations=placed, relations=tuple(relations))


def _score(column: str) -> float | None:
    try:
        return float(column)
    except ValueError:
        return None


def _place(document: Document, start: int, end: int, annotation: Annotation) -> Annotation:
    text = annotation.text
    lead = len(text) - len(text.lstrip())
    span = document.span_of(start + lead, len(text.strip())) if text.strip() and end > start else None
    is_found = span is not None and document.is_at([span], text)
    return replace(annotation, spans=(span,)) if is_found and span is not None else annotation


class PubTatorWriter(Writer):
    """Writes one document after the other."""

    def encode(self, document: Document) -> str:
        raw = document.native if document.format == NAME else _described(document)
        if document.extraction is None:
            return "".join(raw)
        end_of_line = "\r\n" if raw[0].endswith("\r\n") else "\n"
        mentions, relations = _added(document)
        content = [index for index, line in enumerate(raw) if line.strip()]
        end = content[-1] + 1
        start = 1 + max(index for index in content if _is_before_relations(raw[index]))
        body = [line if line.endswith("\n") else line + end_of_line for line in raw[:end]]
        new = ["".join(f"{line}{end_of_line}" for line in added) for added in (mentions, relations)]
        return "".join([*body[:start], new[0], *body[start:], new[1], *(raw[end:] or [end_of_line])])

    def separator(self) -> str:
        if self.last.endswith((b"\n\n", b"\n\r\n")):
            return ""
        return "\n" if self.last.endswith(b"\n") else "\n\n"


def _is_before_relations(line: str) -> bool:
    columns = line.split("\t")
    return bool(TEXT_LINE.match(line)) or (len(columns) >= 4 and columns[1].isdecimal() and columns[2].isdecimal())


def _described(document: Document) -> list[str]:
    """The lines of a document of another format."""
    id, title, abstract = _clean_id(document), _clean(document.title), _clean(document.text[document.rest :])
    written = [f"{id}|t|{title}", f"{id}|a|{abstract}"]
    known = {annotation.id: annotation for annotation in document.annotations}
    for annotation in document.annotations:
        if annotation.spans:
            written.append(_mention_line(document, annotation))
    for relation in document.relations:
        values = [
            known[value].identifier or known[value].text if value in known else value for _, value in relation.arguments
        ]
        if values:
            written.append(_relation_line(document, relation, values))
    return [*(f"{line}\n" for line in written), "\n"]


def _added(document: Document) -> tuple[list[str], list[str]]:
    annotations, extracted = annotations_of_extraction(document, new_ids("P", ()), new_ids("PR", ()))
    mentions = [_mention_line(document, annotation) for annotation in annotations]
    relations = [
        _relation_line(document, relation, [entity.identifier or entity.name for entity in found.roles.values()])
        for relation, found in extracted
        if found.roles
    ]
    return mentions, list(dict.fromkeys(relations))


def _mention_line(document: Document, annotation: Annotation) -> str:
    start, end = _flat_span(document, (annotation.spans[0][0], annotation.spans[-1][1]))
    columns = [_clean_id(document), str(start), str(end), _flat_text(document)[start:end], annotation.type]
    return _join(columns, annotation.identifier, annotation.score)


def _relation_line(document: Document, relation: Relation, values: Sequence[str]) -> str:
    columns = [_clean_id(document), relation.type or "relation", *values]
    return _join(columns[:-1], columns[-1], relation.score)


def _join(columns: Sequence[str], last: str, score: float | None) -> str:
    numbers = [] if score is None else [str(score)]
    return "\t".join(_clean(column) for column in (*columns, last, *numbers))


def _flat_text(document: Document) -> str:
    """Title, one character, abstract: what offsets count."""
    if document.format != NAME:
        return f"{_clean(document.title)} {_clean(document.text[document.rest :])}"
    texts = {passage.type: passage.text for passage in document.passages}
    return f"{texts.get(TITLE, '')} {texts.get(ABSTRACT, '')}"


def _flat_span(document: Document, span: Span) -> Span:
    if document.format == NAME:
        fragments = document.locate(span)
        _, last, length = fragments[-1]
        return fragments[0][1], last + length
    start, end = (_flat_position(document, place) for place in (span[0], span[1] - 1))
    return start, end + 1


def _flat_position(document: Document, place: int) -> int:
    if not document.title:
        return place + 1
    return place if place < document.rest else place - document.rest + len(document.title) + 1


def _clean(text: str) -> str:
    return _BREAKS.sub(" ", text)


def _clean_id(document: Document) -> str:
    return document.id if document.format == NAME else _NOT_IN_ID.sub("_", document.id)
