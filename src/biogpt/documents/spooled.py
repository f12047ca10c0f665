"""Writers of formats that cannot grow document by document: Excel and Parquet.

While such a file is being written, its rows stand in a hidden file beside it, `.NAME.rows`, which a run that was killed
takes up again. Closing makes the whole file of them, in one step.
"""

import os
import tempfile
from abc import abstractmethod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from biogpt.documents.types import Document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError
from biogpt.files import writing_atomically


class SpooledWriter(Writer):
    """Writes rows to a hidden file, and in the end a file of them.

    Args:
        target: as for `Writer`.
        position: as for `Writer`: of the rows.
    """

    def __init__(self, target: str | Path | BinaryIO, position: int = 0) -> None:
        self._target = target
        self._is_finished = False
        if not isinstance(target, str | Path):
            super().__init__(tempfile.TemporaryFile(), position)  # noqa: SIM115
            return
        path = Path(target)
        self._rows_path = path.with_name(f".{path.name}.rows")
        if position and not self._rows_path.exists() and path.exists() and path.stat().st_size:
            self._is_finished = True  # the run was killed between its last two steps
            super().__init__(tempfile.TemporaryFile())  # noqa: SIM115
            self.position = position
            return
        super().__init__(self._rows_path, position)
        if not position:
            try:
                path.write_bytes(b"")  # the name is taken from now on
            except OSError as error:
                self.stream.close()
                self._rows_path.unlink(missing_ok=True)
                message = f"Cannot write {path}: {error.strerror}. Expected a writable place; check it."
                raise DataError(message) from error

    def write(self, document: Document) -> None:
        """Append one document.

        Raises:
            DataError: the file is finished.
            OSError: the disk is full.
        """
        if self._is_finished:
            raise DataError(f"{self._target} is finished; nothing can be added. Name another output.")
        super().write(document)

    def close(self) -> None:
        """Make the file of the rows."""
        if self.stream.closed:
            return
        if self._is_finished:
            self.stream.close()
            return
        self.stream.flush()
        if not isinstance(self._target, str | Path):
            self.stream.seek(0)
            self.finish(self.stream, self._target)
            self._target.flush()
            self.stream.close()
            return
        self.flush()
        self.stream.close()
        with self._rows_path.open("rb") as rows, writing_atomically(Path(self._target)) as file:
            self.finish(rows, file)
        os.unlink(self._rows_path)  # noqa: PTH108

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # the rows stay, and the run goes on with them
            self.stream.close()

    @abstractmethod
    def finish(self, rows: BinaryIO, target: BinaryIO) -> None:
        """Make the file.

        Args:
            rows: what was written so far, from its start.
            target: the file.
        """
