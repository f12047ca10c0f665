"""Files: opened, unpacked and decoded; JSON lines and tables; written in one step.

Everything that can be wrong with a file as such is put in one line here. Knows nothing of what the files are about.
"""

import codecs
import csv
import gzip
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn

from biogpt.errors import DataError

HEAD_BYTES = 1 << 16  # what a look at a file takes
MAX_RECORD_BYTES = 64 << 20  # a longer line is not a record but a file of another kind: one JSON array, a binary

_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One record that could not be used."""

    place: str
    """`file:line`, or `file: citation number (PMID)`."""
    message: str
    """What was got and what was expected."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader of one format needs to know of the reading that it serves."""

    path: Path
    on_problem: Callable[[Problem], None]
    on_deletion: Callable[[str], None] = lambda _: None
    columns: Mapping[str, str] = field(default_factory=dict)
    """Which column or key holds which field, where the user has said it."""

    def report(self, place: int | str, message: str) -> None:
        """Hand a record that cannot be used to the caller.

        Args:
            place: the line, or what else says where the record stands.
            message: what was got and what was expected.
        """
        separator = ":" if isinstance(place, int) else ": "
        self.on_problem(Problem(f"{self.path}{separator}{place}", " ".join(message.split("\n"))))


def raise_problem(problem: Problem) -> NoReturn:
    """The `on_problem` of a reader that refuses a file for its first bad record.

    Raises:
        DataError: always.
    """
    raise DataError(str(problem))


def open_stored(path: Path) -> IO[bytes]:
    """Open a file as it is stored.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Expected a readable file; check the path.") from error


def unpack(path: Path, stored: IO[bytes], on_read: Callable[[int], None] | None = None) -> IO[bytes]:
    """The content of a stored file: what a name ending in `.gz` or `.zip` says is packed, unpacked.

    Args:
        path: the file's name.
        stored: the file, as `open_stored` gives it.
        on_read: called with the number of stored bytes that were read since the last call.

    Raises:
        DataError: a zip archive with several files.
    """
    counted = io.BufferedReader(_CountedFile(stored, on_read), 1 << 18) if on_read else stored
    if not is_zip(path):
        is_packed = path.name.lower().endswith(".gz")
        return gzip.GzipFile(fileobj=counted) if is_packed else counted  # type: ignore[return-value]
    members = list(open_members(path, counted))
    if len(members) > 1:
        raise DataError(f"{path} holds {len(members)} files. Expected one; unpack it.")
    return members[0][1]()


def is_zip(path: Path) -> bool:
    """Whether a name says that the file is a zip archive."""
    return path.name.lower().endswith(".zip")


def open_members(path: Path, stored: IO[bytes]) -> Iterator[tuple[Path, Callable[[], IO[bytes]]]]:
    """The files in a zip archive, by name, each with what opens it; hidden ones are left out.

    Raises:
        DataError: it is no zip archive, is encrypted, or holds no file.
    """
    with reporting_damage(path):
        archive = zipfile.ZipFile(stored)
        members = [member for member in archive.infolist() if _is_content(member)]
        if not members:
            raise DataError(f"{path} holds no files. Fetch it again, or leave it out.")
        if any(member.flag_bits & 1 for member in members):
            raise DataError(f"{path} is encrypted. Unpack it, and give what it holds.")
        for member in sorted(members, key=lambda member: member.filename):
            name = Path(member.filename)
            yield path / name, lambda member=member, name=name: unpack(name, archive.open(member))  # type: ignore[misc]


def _is_content(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.split("/")
    return not member.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts)


def seekable(stream: IO[bytes]) -> IO[bytes]:
    """A stream in which one can go back: itself where that is one, else its content in memory."""
    return stream if stream.seekable() and not isinstance(stream, gzip.GzipFile) else io.BytesIO(stream.read())


@contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one `DataError`."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: the zip archive is damaged ({error}). Fetch the file again.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"the gzip stream is damaged or cut off ({error}). Fetch the file again, or leave it out."
        raise DataError(f"{path}: {message}") from error
    except OSError as error:
        message = f"reading failed ({error.strerror}). Check the disk or the connection."
        raise DataError(f"{path}: {message}") from error


class _CountedFile(io.RawIOBase):
    """A file that tells how many bytes were read from it."""

    def __init__(self, stored: IO[bytes], on_read: Callable[[int], None]) -> None:
        self._stored = stored
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stored.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stored.seek(offset, whence)

    def tell(self) -> int:
        return self._stored.tell()

    def readinto(self, buffer: Any) -> int:
        count: int = self._stored.readinto(buffer)  # type: ignore[attr-defined]
        self._on_read(count)
        return count


def lines(stream: IO[bytes], reading: Reading) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream with their numbers from 1, line ends kept and a byte order mark left out.

    Raises:
        DataError: a line is too long to be a record.
    """
    number = 0
    while line := stream.readline(MAX_RECORD_BYTES):
        number += 1
        if len(line) == MAX_RECORD_BYTES:
            message = f"a line of {MAX_RECORD_BYTES >> 20} MB or more. Expected one record a line; convert the file."
            raise DataError(f"{reading.path}:{number}: {message}")
        yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def decoded_lines(stream: IO[bytes], reading: Reading) -> Iterator[str]:
    """The lines of a stream as text; `is_decoded` tells of a part of it whether it was UTF-8.

    Raises:
        DataError: a line is too long to be a record.
    """
    return (line.decode(errors="surrogateescape") for _, line in lines(stream, reading))


def is_decoded(text: str) -> bool:
    """Whether a text from `decoded_lines` was UTF-8: other bytes are carried along as halves of surrogate pairs."""
    return text.isascii() or _UNDECODED.search(text) is None


def describe_bytes(error: UnicodeDecodeError) -> str:
    """What is wrong with a line that is not UTF-8."""
    return f"byte {error.start + 1} (0x{error.object[error.start]:02x}) is not UTF-8; expected UTF-8 text."


def read_text(path: Path) -> str:
    """A whole file's text, in UTF-8; a byte order mark is left out.

    Raises:
        DataError: it cannot be read, or is in another encoding.
    """
    with open_stored(path) as stored, reporting_damage(path):
        content = stored.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}. "
            "Save it as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8."
        ) from error


def read_json(path: Path) -> Any:
    """The content of a file that is one JSON value.

    Raises:
        DataError: it cannot be read, or is not JSON in UTF-8.
    """
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. Expected one JSON value.") from error


def parse_json(line: bytes | str) -> Any:
    """The JSON value on a line.

    Raises:
        ValueError: what is wrong with the line.
    """
    try:
        return json.loads(line.decode() if isinstance(line, bytes) else line)
    except UnicodeDecodeError as error:
        raise ValueError(describe_bytes(error)) from error
    except RecursionError as error:
        raise ValueError("JSON nested too deeply; expected one flat object a line.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}); expected one object a line.") from error


def read_json_lines(stream: IO[bytes], reading: Reading) -> Iterator[tuple[int, Any]]:
    """The values of a stream of JSON lines with the numbers of their lines; what is no JSON is reported.

    Raises:
        DataError: a line is too long to be a record.
    """
    for number, line in lines(stream, reading):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            reading.report(number, str(error))
        else:
            yield number, value


def dump_json(value: Any) -> str:
    """JSON on one line, readable where UTF-8 allows it, without characters that some programs take for a line end."""
    text = _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
        return json.dumps(value)
    return text


def parse_rows(texts: Iterable[str], delimiter: str) -> Any:
    """The rows of a table's lines, as `csv.reader` gives them. It raises `csv.Error` where quotes do not fit."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    return csv.reader(texts, delimiter=delimiter, strict=True)


def read_table(
    texts: Iterable[str], reading: Reading, delimiter: str, num_before: int = 0
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of a table's columns, and its rows, each with the number of its first line.

    Empty rows are left out. Rows with other columns than the first, with bytes that are not UTF-8, or with quotes that
    do not fit are reported.

    Args:
        texts: the table's lines, e.g. from `decoded_lines`.
        reading: whom to report to.
        delimiter: what stands between two cells.
        num_before: lines of the file that stand before these.

    Raises:
        DataError: the names of the columns cannot be read.
    """
    rows = parse_rows(texts, delimiter)
    header = read_header(reading.path, rows)
    return header, _read_rows(rows, reading, header, num_before)


def read_header(path: Path, rows: Any) -> list[str]:
    """The first row of `parse_rows`, with the names of the columns; an empty list where there is none.

    Raises:
        DataError: it cannot be read.
    """
    try:
        header: list[str] = next(rows, [])
    except csv.Error as error:
        raise DataError(f"{path}:1: the names of the columns cannot be read ({error}). Expected a table.") from error
    return header


def _read_rows(rows: Any, reading: Reading, header: Sequence[str], num_before: int) -> Iterator[tuple[int, list[str]]]:
    while True:
        number = num_before + rows.line_num + 1
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
            names = list_names(header)
            advice = "Put quotation marks around a cell that contains the separator."
            reading.report(number, f"{len(row)} cells; expected {len(header)}: {names}. {advice}")
        elif not all(is_decoded(cell) for cell in row):
            reading.report(number, "bytes that are not UTF-8; expected UTF-8 text.")
        else:
            yield number, row


def list_names(names: Sequence[str]) -> str:
    """Names of columns on one line."""
    return ", ".join(" ".join(name.split()) for name in names)


def format_row(cells: Sequence[str], delimiter: str) -> str:
    """A line of a table."""
    row = io.StringIO()
    csv.writer(row, delimiter=delimiter).writerow(cells)
    return row.getvalue().removesuffix("\r\n") + "\n"  # writing \r\n makes it quote cells with a \r


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file in one step: whoever looks sees the whole new file, or the former one.

        >>> with replacing(Path("figures.csv")) as partial:
        ...     partial.write_text("step,loss")

    Args:
        path: the file.

    Yields:
        The path to write to, `path` with `.partial` behind. What is there at the end of the block is brought to the
        disk and takes the place of `path`; if the block raises, it is removed.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is complete and on the disk; see `replacing`.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        yield file


def write_atomically(path: Path, text: str) -> None:
    """Write a text in UTF-8, its line ends as they are; see `replacing`."""
    data = text.encode()
    with writing_atomically(path) as file:
        file.write(data)


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Write a JSON file with a line end behind it, in one step.

    Args:
        path: the file.
        value: what it is to hold.
        indent: spaces of a level; None puts all on one line.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def sync(path: Path) -> None:
    """Make sure that a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def peek(path: Path, may_be_packed: bool = False) -> bytes:
    """The first bytes of a file's content, `HEAD_BYTES` or what there is.

    Args:
        path: the file.
        may_be_packed: its content may be packed once more, as a workbook is.

    Raises:
        DataError: the file cannot be opened, its gzip stream is damaged already here, or it is packed in another way.
    """
    with open_stored(path) as stored, reporting_damage(path):
        content = next(open_members(path, stored))[1]() if is_zip(path) else unpack(path, stored)
        head = content.read(HEAD_BYTES)
    if may_be_packed:
        return head
    packed = next((name for mark, name in _PACKED_MARKS if head.startswith(mark)), "")
    if packed:
        advice = {"gzip": "Add .gz to its name.", "zip": "Add .zip to its name; a workbook's ends in .xlsx."}
        message = f"Expected text, or a name ending in .gz or .zip. {advice.get(packed, 'Unpack it.')}"
        raise DataError(f"{path} is packed ({packed}). {message}")
    return head


def check_encoding(path: Path, head: bytes) -> None:
    """Refuse a file of text that is in another encoding than UTF-8.

    A byte that is not UTF-8 can also mean one broken record among good ones, so one line does not decide, unless it is
    the only one.

    Args:
        path: the file's name, for the message.
        head: its first bytes.

    Raises:
        DataError: the file is in another encoding.
    """
    wide = next((name for mark, name in _WIDE_MARKS if head.startswith(mark)), "")
    if not wide and head[:1024].count(0) > len(head[:1024]) // 8:
        wide = "UTF-16 or binary"
    if wide:
        message = f"{wide}; expected UTF-8 text. Convert it: iconv -f UTF-16 -t UTF-8."
        raise DataError(f"{path} is {'' if 'binary' in wide else 'in '}{message}")
    is_cut = len(head) >= HEAD_BYTES
    whole = head[: head.rfind(b"\n") + 1] if is_cut else head  # the last line may end within a character
    found = [line for line in whole.split(b"\n") if line.strip()]
    foreign = [line for line in found if not line.isascii()]
    broken = [error for line in foreign if (error := _undecodable(line)) is not None]
    if len(broken) == len(foreign) > 0 and (len(broken) > 1 or len(found) == 1):
        where = found.index(broken[0].object) + 1
        message = f"byte 0x{broken[0].object[broken[0].start]:02x} in its text line {where} and others"
        raise DataError(
            f"{path} is not in UTF-8 ({message}). Convert it, e.g. from Windows-1252: iconv -f CP1252 -t UTF-8."
        )


_PACKED_MARKS = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
)
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def _undecodable(line: bytes) -> UnicodeDecodeError | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error
    return None
