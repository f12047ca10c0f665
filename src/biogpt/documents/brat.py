"""brat: a directory with a `.txt` and an `.ann` file per document.

Text and annotation lines are written back as they were. Mentions become `T` lines (in fragments where they run over a
line break), identifiers `N` lines, relations between two located entities `R` lines with the roles' names, and scores,
values and the annotator notes (`#`) on them. Characters that brat does not allow in a type or role become `_`.

What it cannot say: labels and answers, warnings, and relations that have not exactly two located entities. Of a
document from another format it keeps what the model reads. Events, attributes and equivalences of the input stay in
brat but are not known elsewhere.

`documents.tsv` in an output directory has a line per finished document: its files' name and its id, which may hold
characters that a file name cannot.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from biogpt.documents.types import (
    Annotation,
    Document,
    EntityRelation,
    Passage,
    Relation,
    Span,
    annotations_of_extraction,
    make_document,
    new_ids,
)
from biogpt.documents.writer import Writer
from biogpt.errors import DataError, InputError
from biogpt.files import Reading, describe_bytes, sync

NAME = "brat"
INDEX = "documents.tsv"

_NOT_IN_NAME = re.compile(r"[^\w.+-]")
_NOT_IN_TYPE = re.compile(r"[^\w-]")
_ENTITY = re.compile(r"(T[^\t]*)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)")
_RELATION = re.compile(r"(R[^\t]*)\t(\S+) (\S+:\S+(?: \S+:\S+)*)\s*")
_REFERENCE = re.compile(r"N[^\t]*\tReference (T\S+) ([^\t]+)(?:\t.*)?")
_NO_BREAK = re.compile("[^\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MAX_NAME = 100
_DEFAULT_BASE = "ID:"  # brat wants a base before each identifier


@dataclass(frozen=True, slots=True)
class _Native:
    """A document as brat has it."""

    text: str
    lines: tuple[str, ...]


def read_documents(reading: Reading, on_read: Callable[[int], None] | None = None) -> Iterator[Document]:
    """The documents of a directory, by name.

    Raises:
        DataError: the directory cannot be read or has no `.txt` file.
    """
    try:
        paths = sorted(reading.path.glob("*.txt"))
        ids = _read_index(reading.path)
    except OSError as error:
        raise DataError(f"Cannot read {reading.path}: {error.strerror}. Expected a readable directory.") from error
    if not paths:
        raise DataError(f"{reading.path} has no .txt file. Expected a directory of .txt and .ann files, as brat makes.")
    for path in paths:
        try:
            document = _document_of(path, ids.get(path.stem, path.stem))
        except UnicodeDecodeError as error:
            reading.report(path.name, describe_bytes(error))
        except (ValueError, OSError) as error:
            reading.report(path.name, str(error))
        else:
            yield document
        if on_read is not None:
            on_read(path.stat().st_size)


def _read_index(directory: Path) -> dict[str, str]:
    path = directory / INDEX
    if not path.exists():
        return {}
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n"))
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _document_of(path: Path, id: str) -> Document:
    text = path.read_bytes().decode()
    marks = path.with_name(f"{path.stem}.ann")
    lines = _LINE.findall(marks.read_bytes().decode()) if marks.exists() else []
    document = make_document(id, [Passage(text)], format=NAME, native=_Native(text, tuple(lines)))
    if not document.text:
        raise ValueError("no text; expected some.")
    annotations: dict[str, Annotation] = {}
    relations = []
    for number, line in enumerate(lines, 1):
        content = line.rstrip("\r\n")
        if content.startswith("T"):
            annotation = _annotation(content, document)
            if annotation is None:
                raise ValueError(f"line {number} of {marks.name} is no mention; expected: T1, tab, type start end, ...")
            annotations[annotation.id] = annotation
        elif found := _RELATION.fullmatch(content):
            arguments = [tuple(argument.split(":", 1)) for argument in found[3].split()]
            relations.append(Relation(found[1], found[2], tuple((role, id) for role, id in arguments)))
        elif (found := _REFERENCE.fullmatch(content)) and found[1] in annotations:
            identifier = found[2].strip().removeprefix(_DEFAULT_BASE)
            annotations[found[1]] = replace(annotations[found[1]], identifier=identifier)
    return replace(document, annotations=tuple(annotations.values()), relations=tuple(relations))


def _annotation(line: str, document: Document) -> Annotation | None:
    found = _ENTITY.fullmatch(line)
    if found is None:
        return None
    ends = [tuple(map(int, place.split())) for place in found[3].split(";")]
    places = tuple((start, end - start) for start, end in ends)
    return document.place(Annotation(found[1], found[2], found[4], places=places))


class BratWriter(Writer):
    """Writes two files per document, and a line of the index once both are there."""

    def __init__(self, target: str | Path | BinaryIO, position: int = 0) -> None:
        if not isinstance(target, str | Path):
            raise InputError("brat is a directory of files; it cannot go to a stream. Name a directory.")
        self._directory = Path(target)
        self._unsaved: list[Path] = []
        try:
            if not position and self._directory.exists() and any(self._directory.iterdir()):
                raise InputError(f"{target} is not empty. Name a new directory for the .txt and .ann files.")
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"Cannot write {target}: {error.strerror}. Expected a place for a directory.") from error
        super().__init__(self._directory / INDEX, position)
        self._names = {name.lower() for name in _read_index(self._directory)}

    def write(self, document: Document) -> None:
        """Write the document's files."""
        name = self._new_name(document.id)
        text, lines = _described(document)
        for ending, content in (("txt", text), ("ann", "".join(lines))):
            path = self._directory / f"{name}.{ending}"
            path.write_bytes(content.encode())
            self._unsaved.append(path)
        self._names.add(name.lower())
        line = f"{name}\t{' '.join(document.id.split())}\n".encode()
        self.stream.write(line)
        self.position: int = self.position + len(line)

    def flush(self) -> None:
        """Make sure that all files so far are on the disk."""
        for path in self._unsaved:
            sync(path)
        self._unsaved.clear()
        super().flush()

    def _new_name(self, id: str) -> str:
        first = _NOT_IN_NAME.sub("_", id).strip(".")[:_MAX_NAME] or "document"
        name, number = first, 1
        while name.lower() in self._names:
            number += 1
            name = f"{first}_{number}"
        return name


def _described(document: Document) -> tuple[str, list[str]]:
    """Text and annotation lines of a document."""
    if document.format == NAME:
        text = document.native.text
        lines = [line if line.endswith("\n") else f"{line}\n" for line in document.native.lines]
        if document.extraction is None:
            return text, list(document.native.lines)
    else:
        text = f"{document.text}\n"
        lines = _known_lines(document, text)
    ids = [line.partition("\t")[0] for line in lines]
    added = annotations_of_extraction(document, new_ids("T", ids), new_ids("R", ids))
    annotator = document.extraction.annotator if document.extraction else ""
    return text, lines + _added_lines(document, text, added, annotator, ids)


def _known_lines(document: Document, text: str) -> list[str]:
    """The annotations that a document of another format came with."""
    numbers, references, relation_ids, notes = (new_ids(prefix, ()) for prefix in ("T", "N", "R", "#"))
    named: dict[str, str] = {}
    lines = []
    for annotation in document.annotations:
        if annotation.spans:
            numbered = replace(annotation, id=next(numbers))
            named[annotation.id] = numbered.id
            lines.append(_mention_line(document, text, numbered))
            if annotation.identifier:
                lines.append(_reference_line(next(references), numbered))
            if annotation.score is not None:
                lines.append(f"{next(notes)}\tAnnotatorNotes {numbered.id}\t{_note(annotation.score, {}, '')}\n")
    for relation in document.relations:
        ids = ["" if each is None else named.get(each.id, "") for each in relation.resolve(document.annotations)]
        if len(ids) == 2 and all(ids):
            roles = [role for role, _ in relation.arguments]
            if not all(roles) or len(set(roles)) < len(roles):
                roles = [f"Arg{number}" for number, _ in enumerate(roles, 1)]
            pairs = list(zip(roles, ids, strict=True))
            id = next(relation_ids)
            lines.append(_relation_line(id, relation.type, pairs))
            if relation.score is not None:
                lines.append(f"{next(notes)}\tAnnotatorNotes {id}\t{_note(relation.score, {}, '')}\n")
    return lines


def _added_lines(
    document: Document,
    text: str,
    added: tuple[list[Annotation], list[tuple[Relation, EntityRelation]]],
    annotator: str,
    ids: Sequence[str],
) -> list[str]:
    annotations, relations = added
    lines: list[str] = []
    references, notes = new_ids("N", ids), new_ids("#", ids)
    for annotation in annotations:
        lines.append(_mention_line(document, text, annotation))
        if annotation.identifier:
            lines.append(_reference_line(next(references), annotation))
        if note := _note(annotation.score, {}, annotator):
            lines.append(f"{next(notes)}\tAnnotatorNotes {annotation.id}\t{note}\n")
    for relation, found in relations:
        if len(relation.arguments) == len(found.roles) == 2:
            lines.append(_relation_line(relation.id, relation.type, relation.arguments))
            if note := _note(relation.score, found.values, annotator):
                lines.append(f"{next(notes)}\tAnnotatorNotes {relation.id}\t{note}\n")
    return lines


def _mention_line(document: Document, text: str, annotation: Annotation) -> str:
    places = [place for span in annotation.spans for place in _places(document, span)]
    spans = [(start, end) for place in places for start, end in _split_at_breaks(text, place)]
    where = ";".join(f"{start} {end}" for start, end in spans)
    words = " ".join(text[start:end] for start, end in spans)
    return f"{annotation.id}\t{_clean(annotation.type) or 'mention'} {where}\t{words}\n"


def _places(document: Document, span: Span) -> list[Span]:
    if document.format != NAME:
        return [span]
    return [(offset, offset + length) for _, offset, length in document.locate(span)]


def _split_at_breaks(text: str, span: Span) -> Iterator[Span]:
    """The pieces of a span between line breaks, which a line cannot hold."""
    for piece in _NO_BREAK.finditer(text, *span):
        yield piece.span()


def _reference_line(id: str, annotation: Annotation) -> str:
    identifier = "_".join(annotation.identifier.split())
    base = "" if ":" in identifier else _DEFAULT_BASE
    return f"{id}\tReference {annotation.id} {base}{identifier}\t{' '.join(annotation.text.split())}\n"


def _relation_line(id: str, type: str, arguments: Sequence[tuple[str, str]]) -> str:
    filled = " ".join(f"{_clean(role)}:{argument}" for role, argument in arguments)
    return f"{id}\t{_clean(type) or 'relation'} {filled}\n"


def _note(score: float | None, values: Mapping[str, str], annotator: str) -> str:
    said = {"score": "" if score is None else str(score), **values, "annotator": annotator}
    return "; ".join(f"{key} {' '.join(value.split())}" for key, value in said.items() if value)


def _clean(name: str) -> str:
    return _NOT_IN_TYPE.sub("_", name)
