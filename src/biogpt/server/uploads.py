"""Uploads: a file that a client sends -> its documents, in memory that does not grow with it.

The bytes are kept in a temporary directory while they are read; the client's name for them only says what they hold.
"""

import contextlib
import gzip
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from biogpt.documents import Problem, check_documents, read_documents
from biogpt.documents import brat as brat_format
from biogpt.documents.json_lines import NAME as JSON_LINES
from biogpt.documents.types import Passage, make_document
from biogpt.errors import BioGptError
from biogpt.extraction.conversion import Source
from biogpt.files import Reading, open_stored, read_json_lines, reporting_damage
from biogpt.server.failures import ApiError
from biogpt.server.gate import too_large

_GZIP = b"\x1f\x8b"
_UNPACKED = 4  # times max_file_bytes
_CHUNK = 1 << 16


class Upload:
    """One uploaded file; `close` deletes it.

    Args:
        name: what the client calls it; its ending may tell the format.
        max_bytes: of what is sent; unpacked it may be four times as large.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="biogpt-")
        self._max_bytes = max_bytes
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:].lstrip(".") or "upload"
        self._path = Path(self._directory.name) / re.sub(r"\.gz$", "", safe, flags=re.IGNORECASE)

    def close(self) -> None:
        """Delete the file."""
        self._directory.cleanup()

    async def receive(self, chunks: AsyncIterator[bytes]) -> None:
        """Take in what the client sends.

        Raises:
            ApiError: it is too large.
        """
        num_bytes = 0
        with self._path.open("wb") as file:
            async for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes > self._max_bytes:
                    raise too_large(self._max_bytes)
                file.write(chunk)
        if not num_bytes:
            raise ApiError(400, "The body is empty, expected a file of documents.")

    def check(self, format: str | None, fields: Sequence[str]) -> str:
        """Unpack the file and find out its format.

        Args:
            format: one of `biogpt.documents.INPUT_FORMATS`; without, name and content tell.
            fields: the named fields that the task reads; none where it reads the text.

        Raises:
            ApiError: it cannot be read.
        """
        with self._renaming_path():
            self._unpack()
            if format == brat_format.NAME:
                raise ApiError(400, "brat is a directory, expected a format of one file.", param="input_format")
            if fields:
                if format not in (None, JSON_LINES):
                    raise ApiError(
                        400,
                        f"The task reads the fields {', '.join(fields)}: expected JSON lines that have them.",
                        param="input_format",
                    )
                return JSON_LINES
            return check_documents(self._path, format)

    def read(self, format: str, fields: Sequence[str], on_problem: Callable[[Problem], None]) -> Iterator[Source]:
        """The documents, with their named fields.

        Args:
            format: from `check`.
            fields: see `check`.
            on_problem: called with each record that is skipped.

        Raises:
            ApiError: (while iterating) the file is damaged as a whole.
        """
        with self._renaming_path():
            if not fields:
                for document in read_documents(self._path, on_problem, format):
                    yield document, {}
                return
            reading = Reading(self._path, on_problem)
            with open_stored(self._path) as stored, reporting_damage(self._path):
                for number, values in read_json_lines(stored, reading):
                    texts = values if isinstance(values, dict) else {}
                    missing = [
                        name for name in fields if not isinstance(texts.get(name), str) or not texts[name].strip()
                    ]
                    if missing:
                        reading.report(number, f"no text in '{missing[0]}'; expected {', '.join(fields)}.")
                        continue
                    id = str(texts.get("id") or f"{self._path.name}:{number}")
                    passages = [Passage(texts[name]) for name in fields]
                    yield make_document(id, passages, format=JSON_LINES), {name: texts[name] for name in fields}

    def tell(self, problem: Problem) -> str:
        """A problem, by the client's name for the file."""
        return self._rename(str(problem))

    def _rename(self, message: str) -> str:
        return message.replace(str(self._path), self._path.name)

    @contextlib.contextmanager
    def _renaming_path(self) -> Iterator[None]:
        """Have errors speak of the file by the client's name: where it lies here is no one's business."""
        try:
            yield
        except BioGptError as error:
            raise ApiError(400, self._rename(str(error)), code="unreadable_file") from error

    def _unpack(self) -> None:
        """Replace a packed file by what it holds, as long as that is not too much."""
        with self._path.open("rb") as file:
            if file.read(len(_GZIP)) != _GZIP:
                return
        unpacked = self._path.with_name("unpacked")
        num_bytes = 0
        try:
            with gzip.open(self._path) as packed, unpacked.open("wb") as target:
                while chunk := packed.read(_CHUNK):
                    num_bytes += len(chunk)
                    if num_bytes > _UNPACKED * self._max_bytes:
                        raise too_large(_UNPACKED * self._max_bytes)
                    target.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ApiError(
                400, "The gzip stream is damaged or cut off. Send it again.", code="unreadable_file"
            ) from error
        unpacked.replace(self._path)
