"""Inputs: what a user names on the command line -> records, file by file, with all that went wrong on the way.

A directory stands for its files, `-` for standard input. Tasks that read named fields (a question and its context, the
columns of a user's own table) take them from JSON lines and tables. Knows nothing of models, and never imports torch.
"""

import codecs
import io
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from biogpt.documents import (
    INPUT_FORMATS,
    Document,
    Problem,
    check_documents,
    detect_format,
    read_documents,
    read_stream,
)
from biogpt.documents.field_names import IDS, choose_columns
from biogpt.documents.registry import ROW_READERS, detect_archive, detect_content
from biogpt.documents.tables import DELIMITERS, Row, as_cell, has_parts, looks_like_table
from biogpt.documents.types import Passage, make_document
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import (
    Reading,
    check_encoding,
    is_zip,
    open_members,
    open_stored,
    peek,
    read_json_lines,
    reporting_damage,
    unpack,
)
from biogpt.run_state import NOTE_SUFFIX
from biogpt.tasks.task import Task
from biogpt.tasks.template import slots_of

STDIN = "-"

_TEXT = "text"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_HEAD = 1 << 16  # bytes that are looked at before anything is read
_WITH_FIELDS = ("jsonl", *ROW_READERS)


@dataclass(frozen=True, slots=True)
class Input:
    """One file, directory of brat, or standard input, and what it holds."""

    path: Path
    format: str
    stream: IO[bytes] | None = None
    """Standard input."""
    fields: tuple[str, ...] = ()
    """The columns or keys that make the text that is read; none: the file has its text as its format says."""
    id_field: str = "id"
    """The column or key that holds the id, before those that are always looked at."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """`text`, `title` and `id` by the column or key that holds them, where the user has said it."""

    def describe(self) -> list[Any]:
        """What tells whether a later run is given the same: the name, and the size where it has one."""
        columns = [dict(self.columns)] if self.columns else []
        return [str(self.path), self.path.stat().st_size if self.path.is_file() else None, self.format, *columns]


def find_inputs(
    names: Sequence[str | Path],
    stdin: IO[bytes],
    format: str | None = None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    columns: Mapping[str, str] | None = None,
    *,
    is_recursive: bool = False,
) -> list[Input]:
    """The inputs that names stand for, in their order; the files of a directory by name.

    A directory with `.ann` files is one of brat. Of another one, files whose format is unknown and directories within
    are reported and left out; hidden ones are left out silently.

    Args:
        names: of files and directories, or `-`.
        stdin: what `-` stands for.
        format: of all of them; by default each one's name and content tell.
        on_problem: called with each file or directory that is left out.
        columns: `text`, `title` and `id` by the column or key that holds them, as for `read_documents`.
        is_recursive: read the directories within a directory, too.

    Raises:
        InputError: there is no such format.
        DataError: a file cannot be opened or is of no known format, or there is none.
    """
    if format is not None and format not in INPUT_FORMATS:
        known = ", ".join(INPUT_FORMATS)
        raise InputError(f"Unknown format '{format}'.{suggest(format, INPUT_FORMATS)} Expected one of {known}.")
    if [str(name) for name in names].count(STDIN) > 1:
        raise InputError("Got '-' twice, expected it once: standard input can be read only once. Leave one out.")
    inputs: list[Input] = []
    for name in names:
        path = Path(name)
        if str(name) == STDIN:
            inputs.append(_open_stdin(stdin, format))
        elif path.is_dir() and not any(path.glob("*.ann")):
            inputs += _find_in_directory(path, format, on_problem, is_recursive)
        else:
            inputs.append(Input(path, format or detect_format(path)))
    if not inputs:
        raise DataError(f"{names[0]} has no file that can be read. Expected text, JSON lines, XML, PubTator or tables.")
    if columns:
        inputs = [replace(source, columns=columns) for source in inputs]
    return inputs


def read_input(source: Input, on_problem: Callable[[Problem], None]) -> Iterator[tuple[Document, Mapping[str, str]]]:
    """The records of an input, each with its named fields, which are empty where the input has its text as a whole.

    Args:
        source: from `prepare_inputs`.
        on_problem: called with each record that is skipped.

    Raises:
        DataError: the file is damaged as a whole, or a table lacks a column. What was read up to there has been
            returned by then.
    """
    if not source.fields:
        if source.stream is None:
            records = read_documents(source.path, on_problem, source.format, columns=source.columns)
        else:
            records = read_stream(source.stream, source.path, on_problem, source.format, source.columns)
        for record in records:
            yield record, {}
        return
    with source.stream or open_stored(source.path) as stored, reporting_damage(source.path):
        read = _read_table if source.format in ROW_READERS else _read_json_lines
        yield from read(unpack(source.path, stored), Reading(source.path, on_problem), source)


def prepare_inputs(task: Task, inputs: Sequence[Input]) -> list[Input]:
    """The inputs with the fields that a task reads of them, where it reads named ones.

    These are the columns of the task's own tables, where an input has them; and the parts of a source that is made of
    several, such as a question and its context. Each file is looked at as far as its first bytes.

    Raises:
        InputError: a file of a format without named fields, for a task that needs them.
        DataError: a file cannot be opened, is in another encoding, or is a table that lacks a column.
    """
    return [_prepare(task, source) for source in inputs]


def _prepare(task: Task, source: Input) -> Input:
    parts = slots_of(task.schema.source)
    columns = task.schema.dataset.columns
    head = b"" if source.path.is_dir() else _head_of(source)
    if source.format in (_TEXT, "jsonl", *DELIMITERS):
        check_encoding(source.path, head)
    names = _names_in(source, head) if parts and source.format in _WITH_FIELDS else []
    own = tuple(columns.get(part, part) for part in parts)
    is_table = source.format in ROW_READERS
    known = {_fold(name) if is_table else name for name in names}
    if columns and known.issuperset(_fold(name) if is_table else name for name in own):
        if is_table:
            _check_columns(source.path, names, own)
        return replace(source, fields=own, id_field=columns["id"])
    if len(parts) > 1:
        if source.format not in _WITH_FIELDS:
            raise InputError(
                f"{source.path} is {source.format}, but the task '{task.name}' reads several fields: "
                f"{', '.join(parts)}. Give JSON lines or CSV that has them."
            )
        if is_table:
            _check_columns(source.path, names, parts)
        return replace(source, fields=tuple(parts))
    if source.stream is None:
        check_documents(source.path, source.format, choose_columns(**source.columns))
    return source


def _head_of(source: Input) -> bytes:
    """The first bytes, unpacked."""
    if source.stream is None:
        return peek(source.path, source.format == "xlsx")
    if not is_zip(source.path):
        return _peek_stream(source.stream)
    with reporting_damage(source.path):
        _, open_member = next(open_members(source.path, source.stream))
        head = open_member().read(_HEAD)
    source.stream.seek(0)
    return head


def _peek_stream(stream: IO[bytes]) -> bytes:
    """What a stream has to show, unpacked, short of a character that is cut in two."""
    head: bytes = stream.peek(_HEAD) if hasattr(stream, "peek") else b""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head)
        except zlib.error:
            return b""  # reading it will say what is wrong
    try:
        return head[: codecs.utf_8_decode(head, "strict", False)[1]]
    except UnicodeDecodeError:
        return head


def _fold(name: str) -> str:
    return name.strip().lower()


def _names_in(source: Input, head: bytes) -> list[str]:
    """The columns of a table, or the keys of the first object of JSON lines."""
    try:
        if source.format in ROW_READERS:
            reading = Reading(source.path, lambda problem: None)
            if source.format in DELIMITERS:
                return [name.strip() for name in ROW_READERS[source.format](io.BytesIO(head), reading)[0]]
            if source.stream is not None:
                header = ROW_READERS[source.format](unpack(source.path, source.stream), reading)[0]
                source.stream.seek(0)
                return header
            with open_stored(source.path) as stored:
                return ROW_READERS[source.format](unpack(source.path, stored), reading)[0]
        lines = head.decode("utf-8-sig", "replace").splitlines() or [""]
        first = json.loads(next((line for line in lines if line.strip()), "{}"))
    except (DataError, OSError, ValueError, RecursionError):
        return []
    return list(first) if isinstance(first, dict) else []


def _open_stdin(stdin: IO[bytes], format: str | None) -> Input:
    if not hasattr(stdin, "peek"):
        stdin = io.BufferedReader(stdin)  # type: ignore[type-var]
    first: bytes = stdin.peek(len(_ZIP))
    if first.startswith(_ZIP):
        return _open_zip(stdin, format)
    name = "stdin.gz" if first.startswith(_GZIP) else "stdin"
    return Input(Path(name), format or _detect(_peek_stream(stdin)), stdin)


def _open_zip(stdin: IO[bytes], format: str | None) -> Input:
    """A workbook or a zip archive: its end says what it holds, so it is copied first."""
    path = Path("stdin.zip")
    copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever reads it
    shutil.copyfileobj(stdin, copy)
    try:
        with reporting_damage(path), zipfile.ZipFile(copy) as archive:
            is_workbook = "xl/workbook.xml" in archive.namelist()
        if is_workbook:
            return Input(Path("stdin"), format or "xlsx", copy)
        return Input(path, format or detect_archive(path, copy), copy)
    except DataError:
        copy.close()
        raise
    finally:
        if not copy.closed:
            copy.seek(0)


def _detect(head: bytes) -> str:
    """The format of something that must not be read to its end before its first record is out."""
    found = detect_content(Path("stdin"), head)
    return found or looks_like_table(head.decode("utf-8-sig", "replace").partition("\n")[0]) or _TEXT


def _find_in_directory(
    path: Path, format: str | None, on_problem: Callable[[Problem], None], is_recursive: bool
) -> Iterator[Input]:
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or _is_result(file):
            continue
        try:
            if file.is_file():
                yield Input(file, format or detect_format(file))
            elif not file.is_dir():
                continue
            elif not is_recursive:
                on_problem(Problem(str(file), "left out: a folder in a folder. --recursive reads it, too."))
            elif file.is_symlink():
                on_problem(Problem(str(file), "left out: a link to a folder. Name the folder itself."))
            elif any(file.glob("*.ann")):
                yield Input(file, format or detect_format(file))
            else:
                yield from _find_in_directory(file, format, on_problem, is_recursive)
        except DataError as error:
            on_problem(Problem(str(file), f"left out: {error}"))


def _is_result(file: Path) -> bool:
    """Whether a file was written by a run like this one, or is the note on it."""
    return file.name.endswith(NOTE_SUFFIX) or file.with_name(file.name + NOTE_SUFFIX).exists()


def _read_json_lines(
    stream: IO[bytes], reading: Reading, source: Input
) -> Iterator[tuple[Document, Mapping[str, str]]]:
    for number, values in read_json_lines(stream, reading):
        if not isinstance(values, dict):
            kind = type(values).__name__
            reading.report(number, f"a JSON {kind}; expected an object with {', '.join(source.fields)}.")
            continue
        missing = [name for name in source.fields if not isinstance(values.get(name), str) or not values[name].strip()]
        if missing:
            reading.report(number, f"no text in '{missing[0]}'.{suggest(missing[0], values)}")
            continue
        yield _make_record(values, values, source, f"{reading.path.name}:{number}")


def _read_table(stream: IO[bytes], reading: Reading, source: Input) -> Iterator[tuple[Document, Mapping[str, str]]]:
    header, rows = ROW_READERS[source.format](stream, reading)
    _check_columns(reading.path, header, source.fields)
    for number, row in rows:
        values = {_fold(name): as_cell(cell) for name, cell in zip(header, row, strict=True)}
        values |= {name: values[_fold(name)] for name in (*source.fields, source.id_field) if _fold(name) in values}
        missing = [name for name in source.fields if not values[name].strip()]
        if missing:
            reading.report(number, f"no text in '{missing[0]}'.")
            continue
        native = Row(header, row, not has_parts(header))
        yield _make_record(values, native, source, f"{reading.path.name}:{number}")


def _make_record(
    values: Mapping[str, Any], native: Any, source: Input, fallback_id: str
) -> tuple[Document, Mapping[str, str]]:
    known = (str(values[name]).strip() for name in (source.id_field, *IDS) if values.get(name))
    passages = [Passage(values[name]) for name in source.fields]
    record = make_document(next(known, fallback_id), passages, format=source.format, native=native)
    return record, {name: values[name] for name in source.fields}


def _check_columns(path: Path, header: Sequence[str], fields: Sequence[str]) -> None:
    found = [name.strip() for name in header]
    folded = [_fold(name) for name in header]
    missing = [name for name in fields if _fold(name) not in folded]
    if missing:
        raise DataError(
            f"{path} has no column '{missing[0]}'.{suggest(missing[0], found)} Found: {', '.join(found) or 'nothing'}. "
            f"Expected: {', '.join(fields)}."
        )
    double = next((name for name in fields if folded.count(_fold(name)) > 1), "")
    if double:
        raise DataError(f"{path} has the column '{double}' more than once. Expected it once; rename the others.")
