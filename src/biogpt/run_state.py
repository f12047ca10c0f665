"""RunState: how far a run got, so that a killed one can go on behind its last whole group of records.

Beside the run's first output lies a note, `NAME.run.json`: the run's settings, how many records the outputs hold, and
how long each output is with them. Whoever writes the outputs cuts off what is beyond that; the finished files are then
byte for byte those of an unbroken run. A run with other settings is refused, and so are files without a note: nobody's
results are overwritten. Knows nothing of what is written.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biogpt.config import check_format_version
from biogpt.errors import DataError, InputError
from biogpt.files import read_json, write_json

NOTE_SUFFIX = ".run.json"
FORMAT_VERSION = 1
"""Of the note. It rises when an older biogpt would misread it."""


class RunState:
    """The note on one run.

    Args:
        paths: of the run's outputs; the first one names the note.
        settings: everything that decides what is written.

    Raises:
        InputError: the outputs were begun with other settings, or there are some without a note.
        DataError: the note is damaged or of a newer biogpt, or an output is gone.
    """

    def __init__(self, paths: Sequence[Path], settings: Mapping[str, Any]) -> None:
        self.paths: list[Path] = list(paths)
        self.note_path: Path = note_path(self.paths[0])
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.num_records: int = 0
        """How many records the outputs hold."""
        self.positions: list[int] = [0] * len(self.paths)
        """How long each output is with them."""
        self.facts: dict[str, Any] = {}
        """What else the run has noted down."""
        self.is_complete: bool = False
        there = [path for path in self.paths if path.is_file() or (path.is_dir() and any(path.iterdir()))]
        if self.note_path.exists():
            self._read()
            missing = [path for path in self.paths if path not in there]
            if missing and self.num_records:
                raise DataError(
                    f"{missing[0]} is gone, but {self.note_path} says that it has {self.num_records} records. Put it "
                    "back, or remove the note to begin again."
                )
        elif there:
            raise InputError(
                f"{there[0]} exists already and was not begun by this command: there is no {self.note_path.name} "
                "beside it. Give another name, or remove it."
            )

    def begin(self) -> None:
        """Note down the settings, before the outputs are made: outputs without a note would be someone else's.

        Raises:
            InputError: the note cannot be written.
        """
        try:
            self.note_path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise InputError(
                f"Cannot write {self.note_path}: {error.strerror}. Expected a writable directory; check the path."
            ) from error

    def commit(self, num_records: int, positions: Sequence[int], **facts: Any) -> None:
        """Note down what is on the disk by now: from here on a killed run goes on behind it.

        Args:
            num_records: how many records the outputs hold.
            positions: how long each output is with them.
            facts: what `facts` are to be when the run goes on.
        """
        self.num_records, self.positions, self.facts = num_records, list(positions), facts
        self._write()

    def finish(self) -> None:
        """Note down that nothing will follow."""
        self.is_complete = True
        self._write()

    def _read(self) -> None:
        try:
            note = dict(read_json(self.note_path))
        except (ValueError, TypeError) as error:
            raise self._is_damaged(error) from error
        check_format_version(note, FORMAT_VERSION, self.note_path, error=DataError)
        try:
            settings, positions = dict(note["settings"]), [int(position) for position in note["positions"]]
            self.num_records, self.facts = int(note["num_records"]), dict(note["facts"])
            self.is_complete = bool(note["is_complete"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._is_damaged(error) from error
        for name in dict.fromkeys((*self.settings, *settings)):
            if self.settings.get(name) != settings.get(name):
                raise InputError(
                    f"{self.paths[0]} was begun with {name} {_show(settings.get(name))}, not "
                    f"{_show(self.settings.get(name))}. Give the same settings to go on, or another name to begin anew."
                )
        self.positions = positions

    def _is_damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.note_path} is damaged ({error!r}). Remove it and {self.paths[0]}.")

    def _write(self) -> None:
        note = {
            "format_version": FORMAT_VERSION,
            "settings": self.settings,
            "num_records": self.num_records,
            "positions": self.positions,
            "facts": self.facts,
            "is_complete": self.is_complete,
        }
        write_json(self.note_path, note, indent=1)


def note_path(path: Path) -> Path:
    """Where the note on an output lies."""
    return path.with_name(path.name + NOTE_SUFFIX)


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
