"""Inputs: what a user names on the command line -> records, file by file, with all that went wrong on the way.

A directory stands for its files, `-` for standard input. Tasks that read several fields (a question and its context)
take them from JSON lines and tables. Knows nothing of models, and never imports torch.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from biogpt.documents import Problem, Record, check_records, detect_format, read_records, read_stream
from biogpt.documents.files import Reading, describe_bytes, lines, open_stored, peek, reporting_damage, unpack
from biogpt.documents.record import Passage, make_record
from biogpt.documents.tables import DELIMITERS
from biogpt.errors import DataError, InputError, suggest

STDIN = "-"

_TEXT = "text"
_GZIP = b"\x1f\x8b"
_WITH_FIELDS = ("jsonl", *DELIMITERS)


@dataclass(frozen=True, slots=True)
class Input:
    """One file, directory of brat, or standard input, and what it holds."""

    path: Path
    format: str
    stream: IO[bytes] | None = None
    """Standard input."""

    def describe(self) -> list[Any]:
        """What tells whether a later run is given the same: the name, and the size where it has one."""
        return [str(self.path), self.path.stat().st_size if self.path.is_file() else None, self.format]


def find_inputs(
    names: Sequence[str | Path],
    stdin: IO[bytes],
    format: str | None = None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
) -> list[Input]:
    """The inputs that names stand for, in their order; the files of a directory by name.

    A directory with `.ann` files is one of brat. Of another one, files whose format is unknown are reported and left
    out; hidden ones and directories within are left out silently.

    Args:
        names: of files and directories, or `-`.
        stdin: what `-` stands for.
        format: of all of them; by default each one's name and content tell.
        on_problem: called with each file that is left out.

    Raises:
        DataError: a file can not be opened, is of no known format or in another encoding, or there is none.
    """
    inputs: list[Input] = []
    for name in names:
        path = Path(name)
        if str(name) == STDIN:
            inputs.append(_open_stdin(stdin, format))
        elif path.is_dir() and not any(path.glob("*.ann")):
            inputs += _find_in_directory(path, format, on_problem)
        else:
            inputs.append(Input(path, format or detect_format(path)))
    if not inputs:
        raise DataError(f"{names[0]} has no file that can be read. Expected text, JSON lines, XML, PubTator or tables.")
    return inputs


def read_input(
    source: Input, fields: Sequence[str], on_problem: Callable[[Problem], None]
) -> Iterator[tuple[Record, Mapping[str, str]]]:
    """The records of an input, each with its named fields, which are empty unless `fields` asks for some.

    Args:
        source: from `find_inputs`.
        fields: the fields that a record must have; none: its text is all that is wanted.
        on_problem: called with each record that is skipped.

    Raises:
        DataError: the file is damaged as a whole, or a table lacks a column. What was read up to there has been
            returned by then.
    """
    if not fields:
        if source.stream is None:
            records = read_records(source.path, on_problem, source.format)
        else:
            records = read_stream(source.stream, source.path, on_problem, source.format)
        for record in records:
            yield record, {}
        return
    with source.stream or open_stored(source.path) as stored, reporting_damage(source.path):
        stream = stored if source.stream else unpack(source.path, stored)
        read = _read_table if source.format in DELIMITERS else _read_json_lines
        yield from read(stream, Reading(source.path, on_problem), source.format, fields)


def check_inputs(inputs: Sequence[Input], fields: Sequence[str]) -> None:
    """Make sure, by the first bytes of each file, that the inputs can be read.

    Args:
        inputs: from `find_inputs`.
        fields: as for `read_input`.

    Raises:
        InputError: a file of a format without named fields, when some are wanted.
        DataError: a file can not be opened, is in another encoding, or is a table that lacks a column.
    """
    for source in inputs:
        if not fields:
            if source.stream is None:
                check_records(source.path, source.format)
            continue
        if source.format not in _WITH_FIELDS:
            raise InputError(
                f"{source.path} is {source.format}, but this task reads several fields: {', '.join(fields)}. Give JSON "
                "lines or CSV that has them."
            )
        if source.format in DELIMITERS and source.stream is None:
            head = peek(source.path).decode("utf-8-sig", "replace").partition("\n")[0]
            _check_columns(source.path, _parse_row(head, source.format), fields)


def _open_stdin(stdin: IO[bytes], format: str | None) -> Input:
    head = stdin.peek(1 << 16) if hasattr(stdin, "peek") else b""
    name = "stdin.gz" if head.startswith(_GZIP) else "stdin"
    return Input(Path(name), format or _detect(name, head), stdin)


def _detect(name: str, head: bytes) -> str:
    """The format of something that must not be read to its end before its first record is out."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(head)
        try:
            return detect_format(path)
        except DataError:
            return _TEXT


def _find_in_directory(path: Path, format: str | None, on_problem: Callable[[Problem], None]) -> Iterator[Input]:
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        try:
            yield Input(file, format or detect_format(file))
        except DataError as error:
            on_problem(Problem(str(file), f"left out: {error}"))


def _read_json_lines(
    stream: IO[bytes], reading: Reading, format: str, fields: Sequence[str]
) -> Iterator[tuple[Record, Mapping[str, str]]]:
    for number, line in lines(stream, reading):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode())
        except UnicodeDecodeError as error:
            reading.report(number, describe_bytes(error))
            continue
        except (json.JSONDecodeError, RecursionError):
            reading.report(number, "not JSON; expected one object a line.")
            continue
        if not isinstance(values, dict):
            reading.report(number, f"a JSON {type(values).__name__}; expected an object with {', '.join(fields)}.")
            continue
        missing = [name for name in fields if not isinstance(values.get(name), str) or not values[name].strip()]
        if missing:
            reading.report(number, f"no text in '{missing[0]}'.{suggest(missing[0], values)}")
            continue
        yield _make_record(values, values, format, fields, f"{reading.path.name}:{number}")


def _read_table(
    stream: IO[bytes], reading: Reading, format: str, fields: Sequence[str]
) -> Iterator[tuple[Record, Mapping[str, str]]]:
    rows = csv.reader(
        (line.decode(errors="replace") for _, line in lines(stream, reading)), delimiter=DELIMITERS[format], strict=True
    )
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise DataError(f"{reading.path}:1: the header can not be read ({error}). Expected a table.") from error
    _check_columns(reading.path, header, fields)
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reading.report(number, f"quotes do not fit ({error}); expected one row, cells with quotes quoted.")
            continue
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            reading.report(number, f"{len(row)} cells; expected {len(header)}: {', '.join(header)}.")
            continue
        values = {name.strip(): cell for name, cell in zip(header, row, strict=True)}
        missing = [name for name in fields if not values[name].strip()]
        if missing:
            reading.report(number, f"no text in '{missing[0]}'.")
            continue
        yield _make_record(values, (header, row), format, fields, f"{reading.path.name}:{number}")


def _make_record(
    values: Mapping[str, Any], native: Any, format: str, fields: Sequence[str], fallback_id: str
) -> tuple[Record, Mapping[str, str]]:
    ids = (str(values[name]).strip() for name in ("id", "pmid", "pmcid") if values.get(name))
    passages = [Passage(values[name]) for name in fields]
    record = make_record(next(ids, fallback_id), passages, format=format, native=native)
    return record, {name: values[name] for name in fields}


def _check_columns(path: Path, header: Sequence[str], fields: Sequence[str]) -> None:
    found = [name.strip() for name in header]
    missing = [name for name in fields if name not in found]
    if missing:
        raise DataError(
            f"{path} has no column '{missing[0]}'.{suggest(missing[0], found)} Found: {', '.join(found) or 'nothing'}. "
            f"Expected: {', '.join(fields)}."
        )


def _parse_row(line: str, format: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=DELIMITERS[format]), [])
    except csv.Error:
        return []
