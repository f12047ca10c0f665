"""Files that grow document by document and can be taken up again where they stopped.

What stands before `Writer.position` is a whole number of documents. A run that was killed cuts the file there and goes
on; the closing part that some formats need comes after it, and is written anew.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from biogpt.documents.types import Document
from biogpt.errors import DataError

_CONTEXT = 4  # bytes of what is already there that a format may look at


class Writer:
    """Writes documents to one file. A format says how with `encode`, and what comes before and after them.

    Args:
        target: a path, or a binary stream (which cannot be taken up again).
        position: where an earlier run of the same output stopped; 0 for a new file.

    Raises:
        DataError: the file cannot be written, or is shorter than `position`.
    """

    def __init__(self, target: str | Path | BinaryIO, position: int = 0) -> None:
        self.position: int = position
        """How many bytes the whole documents take."""
        self.last: bytes = b""
        """The last bytes of them."""
        self.is_owner: bool = isinstance(target, str | Path)
        if not isinstance(target, str | Path):
            self.stream: BinaryIO = target
            return
        path = Path(target)
        try:
            if not position:
                self.stream = path.open("wb")
                return
            self.stream = path.open("r+b")
            size = self.stream.seek(0, os.SEEK_END)
            if size >= position:
                self.stream.seek(max(0, position - _CONTEXT))
                self.last = self.stream.read(min(position, _CONTEXT))
                self.stream.truncate(position)
                return
            self.stream.close()
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror}. Expected a writable place; check it.") from error
        message = f"has {size:,} bytes. Expected at least {position:,} from the run that stopped. Start anew."
        raise DataError(f"{path} {message}")

    def encode(self, document: Document) -> str:
        """One document as the file holds it."""
        raise NotImplementedError

    def opening(self, document: Document) -> str:
        """What stands before the first document, which is given."""
        return ""

    def separator(self) -> str:
        """What stands between the documents so far and the next."""
        return ""

    def closing(self) -> str:
        """What stands behind the last document."""
        return ""

    def write(self, document: Document) -> None:
        """Append one document.

        Raises:
            OSError: the disk is full, the pipe is closed.
        """
        before = self.separator() if self.position else self.opening(document)
        data = (before + self.encode(document)).encode()
        self.stream.write(data)
        self.position += len(data)
        self.last = (self.last + data)[-_CONTEXT:]

    def flush(self) -> None:
        """Make sure that all documents so far are on the disk: only then is `position` worth noting down."""
        self.stream.flush()
        if self.is_owner:
            os.fsync(self.stream.fileno())

    def close(self) -> None:
        """Write the closing part and close the file."""
        if self.stream.closed:
            return
        self.stream.write(self.closing().encode())
        self.stream.flush()
        if self.is_owner:
            self.stream.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
