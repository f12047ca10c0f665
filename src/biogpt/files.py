"""Files: opened, unpacked, counted and read by lines, with damage put in one line; and written atomically.

Knows nothing of what the files hold.
"""

import codecs
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.errors import DataError

HEAD_BYTES = 1 << 16  # what a look at a file takes
MAX_RECORD_BYTES = 64 << 20  # a longer line is not a record but a file of another kind: one JSON array, a binary


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

    def report(self, place: int | str, message: str) -> None:
        """Hand a record that cannot be used to the caller.

        Args:
            place: the line, or what else says where the record stands.
            message: what was got and what was expected.
        """
        separator = ":" if isinstance(place, int) else ": "
        self.on_problem(Problem(f"{self.path}{separator}{place}", " ".join(message.split("\n"))))


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
    """The content of a stored file: what a name ending in `.gz` says is packed, unpacked.

    Args:
        path: the file's name.
        stored: the file, as `open_stored` gives it.
        on_read: called with the number of stored bytes that were read since the last call.
    """
    counted = io.BufferedReader(_CountedFile(stored, on_read), 1 << 18) if on_read else stored
    return gzip.GzipFile(fileobj=counted) if path.name.lower().endswith(".gz") else counted  # type: ignore[return-value]


@contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one `DataError`."""
    try:
        yield
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


@contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is complete and on the disk; a failure leaves what was there before.

    Raises:
        OSError: it cannot be written.
    """
    partial_path = path.with_name(f"{path.name}.partial")
    try:
        with partial_path.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial_path.replace(path)
    except BaseException:
        partial_path.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text in UTF-8, its line ends as they are; see `writing_atomically`."""
    data = text.encode()
    with writing_atomically(path) as file:
        file.write(data)


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Write a JSON file with a line end behind it; see `writing_atomically`."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file of our own holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON.
    """
    return json.loads(path.read_bytes())


def describe_bytes(error: UnicodeDecodeError) -> str:
    """What is wrong with a line that is not UTF-8."""
    return f"byte {error.start + 1} (0x{error.object[error.start]:02x}) is not UTF-8; expected UTF-8 text."


def peek(path: Path) -> bytes:
    """The first bytes of a file's content, `HEAD_BYTES` or what there is.

    Raises:
        DataError: the file cannot be opened, its gzip stream is damaged already here, or it is packed in another way.
    """
    with open_stored(path) as stored, reporting_damage(path):
        head = unpack(path, stored).read(HEAD_BYTES)
    packed = next((name for mark, name in _PACKED_MARKS if head.startswith(mark)), "")
    if packed:
        advice = "Add .gz to its name." if packed == "gzip" else "Unpack it; save a spreadsheet as CSV."
        raise DataError(f"{path} is packed ({packed}). Expected text, or a name ending in .gz. {advice}")
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
    (b"PK\x03\x04", "zip, or a spreadsheet"),
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
