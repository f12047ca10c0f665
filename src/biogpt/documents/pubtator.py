"""PubTator: title, abstract, one line per mention and per relation, a blank line between documents.

Offsets count characters of title, one character, abstract. A document is written back line by line as it was. Added
mentions stand behind its mentions and added relations at its end; what the document says already is not said again. A
mention without identifier has `-` as its sixth column. A relation names its entities by identifier, or by name where
none is known; of a mention with several identifiers (`D051437|D006333`), there is a line for each of them.

What was found has one more column behind: its score (as the BC5CDR evaluation data has it), a space and the annotator,
`0.93 mini`; `-` stands for a score that is not known. So lines without that column, or without a name in it, were there
before. The line keeps no more columns than other readers know.

What it cannot say: labels and answers, warnings, roles and values of a relation, and fragments of a mention, which
becomes one from its first character to its last. Of a document from another format it keeps what the model reads, on
one line each; a tab or line break in it becomes a space. A mention whose offsets do not give its text stays in PubTator
but is not known elsewhere.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from biogpt.documents.types import (
    ABSTRACT,
    TITLE,
    Annotation,
    Document,
    Entity,
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
NO_IDENTIFIER = "-"
TEXT_LINE = re.compile(r"([^|\s]+)\|([ta])\|(.*)", re.DOTALL)

_COMPOSITE = "|"  # between the identifiers of one mention: "renal and heart failure"
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
    if is_mention(columns):
        text, type, identifier, last = (*columns[3:7], "", "", "")[:4]
        annotation = Annotation("", type, text, (), "" if identifier == NO_IDENTIFIER else identifier, _score(last))
        return _Line(columns[0], mention=(int(columns[1]), int(columns[2]), annotation))
    if 3 <= len(columns) <= 5:
        arguments = tuple(("", value) for value in columns[2:4])
        score = _score(columns[4]) if len(columns) > 4 else None
        return _Line(columns[0], relation=Relation("", columns[1], arguments, score, by_identifier=True))
    raise ValueError(f"got {line[:40]!r}; expected id|t|title, id|a|abstract, or columns between tabs.")


def is_mention(columns: Sequence[str]) -> bool:
    """Whether these are the columns of a line with a mention."""
    return len(columns) >= 4 and columns[1].isdecimal() and columns[2].isdecimal()


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
        return float(column.partition(" ")[0])  # the annotator may stand behind it
    except ValueError:
        return None


def _place(document: Document, start: int, end: int, annotation: Annotation) -> Annotation:
    text = annotation.text
    if not text.strip() or end <= start:
        return annotation
    lead = len(text) - len(text.lstrip())
    return document.place(replace(annotation, places=((start + lead, len(text.strip())),)))


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
    return bool(TEXT_LINE.match(line)) or is_mention(line.split("\t"))


def _described(document: Document) -> list[str]:
    """The lines of a document of another format."""
    id, title, abstract = _clean_id(document), _clean(document.title), _clean(document.text[document.rest :])
    written = [f"{id}|t|{title}", f"{id}|a|{abstract}"]
    written += [_mention_line(document, annotation) for annotation in document.annotations if annotation.spans]
    identifiers = {annotation.identifier for annotation in document.annotations}
    for relation in document.relations:
        if len(relation.arguments) == 2:
            values = relation.name_arguments(document.annotations)
            choices = [value.split(_COMPOSITE) if value in identifiers else [value] for value in values]
            written += [_relation_line(document, relation, pair) for pair in itertools.product(*choices)]
    return [*(f"{line}\n" for line in written), "\n"]


def _added(document: Document) -> tuple[list[str], list[str]]:
    """The lines of what was found and is not there yet: mentions, and relations."""
    annotations, extracted = annotations_of_extraction(document, new_ids("P", ()), new_ids("PR", ()))
    annotator = document.extraction.annotator if document.extraction else ""
    known = {(each.type.lower(), span): each for each in document.annotations for span in each.spans}
    mentions = [
        _mention_line(document, annotation, annotator)
        for annotation in annotations
        if not any((annotation.type.lower(), span) in known for span in annotation.spans)
    ]
    said = {(each.type.lower(), *each.name_arguments(document.annotations)) for each in document.relations}
    relations = []
    for relation, found in extracted:
        if len(found.roles) != 2:
            continue
        identified = [(each.identifier or _known_identifier(each, known), each.name) for each in found.roles.values()]
        choices = [identifier.split(_COMPOSITE) if identifier else [name] for identifier, name in identified]
        for values in itertools.product(*choices):
            if (key := (relation.type.lower(), *values)) not in said:
                said.add(key)
                relations.append(_relation_line(document, relation, values, annotator))
    return mentions, relations


def _known_identifier(entity: Entity, known: Mapping[tuple[str, Span], Annotation]) -> str:
    """What the document says of an entity that was found without identifier."""
    found = (known.get((entity.type.lower(), span)) for span in entity.spans)
    return next((annotation.identifier for annotation in found if annotation and annotation.identifier), "")


def _mention_line(document: Document, annotation: Annotation, annotator: str = "") -> str:
    start, end = _flat_span(document, (annotation.spans[0][0], annotation.spans[-1][1]))
    columns = [str(start), str(end), _flat_text(document)[start:end], annotation.type or "mention"]
    return _join(document, [*columns, annotation.identifier or NO_IDENTIFIER], annotation.score, annotator)


def _relation_line(document: Document, relation: Relation, values: Sequence[str], annotator: str = "") -> str:
    return _join(document, [relation.type or "relation", *values], relation.score, annotator)


def _join(document: Document, columns: Sequence[str], score: float | None, annotator: str) -> str:
    # "|" in the seventh column has a meaning where the sixth has it, too: names of the parts of a composite mention.
    name = " ".join(annotator.replace("|", "/").split())
    mark = " ".join(part for part in ("" if score is None else str(score), name) if part)
    if mark and score is None:
        mark = f"- {mark}"
    return "\t".join(_clean(column) for column in (_clean_id(document), *columns, *([mark] if mark else [])))


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
