"""Read the outputs of both versions, and list where they differ."""

import csv
import difflib
import hashlib
import itertools
import json
import re
import struct
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from parts import Part

Names = Mapping[str, str | bool]
"""Old name -> new name, or False for a field that is not compared."""

_ABSENT = object()
_FACT = re.compile(r"\W*([A-Za-z][\w' ]*?)(?::| {2,})(.*)")
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:[,.]\d+)*")
_MAX_LENGTH = 80


@dataclass(frozen=True)
class Renames:
    """What compare-with-renames.toml says; its comment explains the entries."""

    names: Mapping[str, Names]
    """The names in outputs, by "ENDING.COMMAND"."""
    options: dict[str, str]
    """Options of the command line."""

    @classmethod
    def read(cls, path: Path) -> Self:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        options = content.pop("options", {})
        names = {f"{ending}.{command}": found for ending, one in content.items() for command, found in one.items()}
        return cls(names, options)


@dataclass
class Comparison:
    """What was found in a part's outputs."""

    differences: list[str] = field(default_factory=list)
    largest: float = 0.0
    """The largest difference of two numbers."""

    def add(self, place: str, old: object, new: object) -> None:
        """Note down one difference."""
        note = ""
        if _is_number(old) and _is_number(new):
            distance = abs(float(new) - float(old))  # type: ignore[arg-type]
            self.largest = max(self.largest, distance)
            note = f" (by {distance:.3g})"
        self.differences.append(f"{place}: {_show(old)} -> {_show(new)}{note}")


def compare_outputs(part: Part, old: Path, new: Path, renames: Renames) -> Comparison:
    """Compare the outputs of a part, which lie in two directories."""
    comparison = Comparison()
    for name in part.outputs:
        files = {file.relative_to(one) for one in (old, new) for file in _files(one / name)}
        for file in sorted(files):
            if not (old / file).is_file() or not (new / file).is_file():
                comparison.add(str(file), *("a file" if (one / file).is_file() else _ABSENT for one in (old, new)))
                continue
            ending = "json" if file.suffix == ".jsonl" else file.suffix.removeprefix(".")
            names = renames.names.get(f"{ending}.{part.command}", {})
            if file.suffix in _READERS:
                _compare_records(comparison, str(file), _READERS[file.suffix], old / file, new / file, names)
            else:
                _compare_lines(comparison, str(file), old / file, new / file, names)
    return comparison


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter([path])


# The readers return records, each with a label.


def _read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_lines(path), 1):
        if line:
            value = json.loads(line)
            name = f" (id {value['id']})" if isinstance(value, dict) and "id" in value else ""
            yield f"line {number}{name}", value


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    value = json.loads(path.read_text(encoding="utf-8"))
    documents = value.pop("documents", []) if isinstance(value, dict) else []  # BioC
    for number, document in enumerate(documents, 1):
        yield f"document {number} (id {document.get('id')})", document
    yield "", value


def _read_csv(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), 1):
            yield f"row {number} (id {row.get('id')})", row


def _read_facts(path: Path) -> Iterator[tuple[str, Any]]:
    """The names at the beginnings of lines, each with the numbers behind it."""
    facts: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := _FACT.match(line):
            facts.setdefault(found[1], []).extend(_NUMBER.findall(found[2]))
    yield "", facts


def _read_tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """The tensors of a safetensors file: type, shape, and a digest of the numbers."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in tensor.pop("data_offsets"))
            tensor["digest"] = _digest(content[begin:end])
    yield "", header


def _read_bytes(path: Path) -> Iterator[tuple[str, Any]]:
    yield "", {"digest": _digest(path.read_bytes())}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


_READERS = {
    ".jsonl": _read_json_lines,
    ".json": _read_json,
    ".bioc-json": _read_json,
    ".csv": _read_csv,
    ".facts": _read_facts,
    ".safetensors": _read_tensors,
    ".pt": _read_bytes,
}
"""Ending of a file -> its reader. Files with other endings are compared line by line."""


def _compare_records(comparison: Comparison, file: str, reader: Any, old: Path, new: Path, names: Names) -> None:
    absent = ("", _ABSENT)
    for (label, before), (new_label, after) in itertools.zip_longest(reader(old), reader(new), fillvalue=absent):
        place = f"{file}: {label or new_label}".removesuffix(": ")
        _compare_values(comparison, place, before, after, names)


def _compare_values(comparison: Comparison, place: str, old: Any, new: Any, names: Names) -> None:
    """Compare two values, and what they hold."""
    if isinstance(old, dict) and isinstance(new, dict):
        renamed = {names.get(key, key): value for key, value in old.items()}
        for key in dict.fromkeys([*renamed, *new]):
            if key is not False and names.get(key) is not False:
                _compare_values(comparison, f"{place}: {key}", renamed.get(key, _ABSENT), new.get(key, _ABSENT), names)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            comparison.add(place, *(f"{len(one)} elements" for one in (old, new)))
        num_known = len(comparison.differences)
        for number, (before, after) in enumerate(zip(old, new, strict=False)):
            _compare_values(comparison, f"{place}[{number}]", before, after, names)
            if len(old) != len(new) and len(comparison.differences) > num_known:
                break  # what follows is another element's
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        comparison.add(place, old, new)


def _compare_lines(comparison: Comparison, file: str, old: Path, new: Path, names: Names) -> None:
    """Compare two texts. A line that is only in one of them does not count against those behind it."""
    before, after = ([line for line in _lines(path) if not _is_left_out(line, names)] for path in (old, new))
    for piece, replacement in names.items():
        if isinstance(replacement, str):
            before = [line.replace(piece, replacement) for line in before]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind != "equal":
            pairs = itertools.zip_longest(before[start:end], after[new_start:new_end], fillvalue=_ABSENT)
            for number, pair in enumerate(pairs, start + 1):
                comparison.add(f"{file}: line {number}", *pair)


def _lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")  # `read_text` would hide other line ends


def _is_left_out(line: str, names: Names) -> bool:
    return any(new is False and piece in line for piece, new in names.items())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _show(value: object) -> str:
    if value is _ABSENT:
        return "(absent)"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _MAX_LENGTH else f"{shown[:_MAX_LENGTH]}..."
