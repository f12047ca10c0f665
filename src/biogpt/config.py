"""Settings: read from TOML or a dictionary into a dataclass, and checked. Each mistake is named, in one line.

A dataclass says with its annotations which types its settings have, and with a table of `Limits` which numbers are
possible. `build` makes one from plain values; `check` holds one to its types and limits. Knows no setting itself.
"""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar

from biogpt.errors import BioGptError, ConfigError, suggest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Which numbers a setting may have. No setting may be infinite, or no number at all.

    Examples:
        >>> str(Limits(0, below=1))
        'from 0 to below 1'
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    """Like `minimum`, which the number may not be itself."""
    below: float | None = None
    """Like `maximum`, which the number may not be itself."""
    note: str = ""
    """What a number stands for that does not say so itself, such as "0: greedy"."""

    def allows(self, value: float) -> bool:
        """Whether the number is possible."""
        return (
            -math.inf < value < math.inf
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = "" if self.minimum is None else f"from {self.minimum:g}"
        high = ""
        if self.maximum is not None:
            high = f"to {self.maximum:.10g}"
        elif self.below is not None:
            high = f"to below {self.below:g}"
        if self.above is not None:
            low, high = f"above {self.above:g}", high.replace("to ", "and at most ")
        elif low and not high:
            low = f"of at least {self.minimum:g}"
        text = " ".join(part for part in (low, high) if part)
        return f"{text} ({self.note})" if self.note else text


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or is not TOML.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Expected a TOML file; check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not a TOML file: {error}.") from error


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the file's name before what is wrong with its settings."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def build(
    kind: type[T],
    table: Any,
    place: str = "",
    *,
    start: T | None = None,
    error: type[BioGptError] = ConfigError,
) -> T:
    """Make a dataclass from plain values: lists become tuples, whole numbers become floats, and tables dataclasses
    where its annotations say so.

    Args:
        kind: the dataclass.
        table: the settings that are given.
        place: where they stand, such as `"training"`; messages put it before a name.
        start: the settings of which the table says what differs; by default those of `kind`.
        error: what to raise.

    Raises:
        BioGptError: of type `error`: a setting is unknown, missing, or of the wrong type. What the dataclass itself
            raises passes through.

    Examples:
        >>> @dataclass
        ... class Corpus:
        ...     sources: tuple[str, ...]
        >>> build(Corpus, {"sources": ["a.xml"]})
        Corpus(sources=('a.xml',))
        >>> build(Corpus, {"source": ["a.xml"]}, "corpus")
        Traceback (most recent call last):
        biogpt.errors.ConfigError: Unknown setting 'corpus.source'. Did you mean 'sources'? Known: sources.
    """
    if not isinstance(table, Mapping):
        raise error(f"Got {place} = {table!r}, expected a table: [{place}].")
    hints = _hints(kind)
    check_names(table, hints, place, error)
    values = {name: _convert(value, hints[name], _join(place, name), error) for name, value in table.items()}
    if start is not None:
        return dataclasses.replace(start, **values)  # type: ignore[type-var]
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if item.name not in values and item.default is item.default_factory is dataclasses.MISSING:
            raise error(f"'{_join(place, item.name)}' is missing, expected {_describe(hints[item.name])}. Add it.")
    return kind(**values)


def check(
    settings: object, limits: Mapping[str, Limits], place: str = "", *, error: type[BioGptError] = ConfigError
) -> None:
    """Raise where a setting is of another type than its annotation says, or not within its limits.

    Args:
        settings: an instance of a dataclass.
        limits: by the name of a setting; for a list, they hold for each of its numbers.
        place: where the settings stand; see `build`.
        error: what to raise.

    Raises:
        BioGptError: of type `error`.

    Examples:
        >>> @dataclass
        ... class Training:
        ...     epochs: int = 3
        >>> check(Training(0), {"epochs": Limits(1)})
        Traceback (most recent call last):
        biogpt.errors.ConfigError: Got epochs = 0, expected a whole number of at least 1.
    """
    for name, hint in _hints(type(settings)).items():
        value, limit = getattr(settings, name), limits.get(name)
        values = value if isinstance(value, tuple) else (value,)
        if _fits(value, hint) and (limit is None or value is None or all(map(limit.allows, values))):
            continue
        expected = " ".join(part for part in (_describe(hint), str(limit or "")) if part)
        raise error(f"Got {_join(place, name)} = {value!r}, expected {expected}.{_suggest_choice(value, hint)}")


def check_format_version(
    content: Mapping[str, Any],
    newest: int,
    path: str | Path,
    *,
    is_required: bool = False,
    error: type[BioGptError] = ConfigError,
) -> None:
    """Refuse a saved file that a newer version of biogpt wrote.

    Args:
        content: of the file; version 0.1.0 wrote most files without a `format_version`.
        newest: the newest format that is known here. It rises when an older biogpt would misread the file.
        path: the file.
        is_required: a file without `format_version` is damaged.
        error: what to raise.

    Raises:
        BioGptError: of type `error`.
    """
    version = content.get("format_version")
    if version is None and not is_required:
        return
    if type(version) is not int or version < 1:
        raise error(f"{path}: format_version is {version!r}, expected a whole number from 1 to {newest}.")
    if version > newest:
        raise error(
            f"{path} has format_version {version}, but this biogpt knows versions up to {newest}: a newer one wrote "
            "it. Install a newer biogpt to use it."
        )


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise unless a setting is what it has to be beside others.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(f"Got {name} = {value!r}, expected {expected}.")


def check_names(
    names: Iterable[str], known: Iterable[str], place: str = "", error: type[BioGptError] = ConfigError
) -> None:
    """Raise for a name that no setting has, with the closest that there is.

    Args:
        names: of the settings that are given.
        known: the names that there are.
        place: where the settings stand; see `build`.
        error: what to raise.

    Raises:
        BioGptError: of type `error`.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise error(f"Unknown setting '{_join(place, name)}'.{suggest(name, known)} Known: {', '.join(known)}.")


def change(settings: T, changes: Mapping[str, Any], *, error: type[BioGptError] = ConfigError) -> T:
    """A dataclass with single settings changed by name.

    Raises:
        BioGptError: of type `error`: there is no such setting. What the dataclass itself raises passes through.
    """
    check_names(changes, _hints(type(settings)), error=error)
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def _hints(kind: Any) -> dict[str, Any]:
    """The settings of a dataclass, by name, with their types."""
    return _read_hints(kind)  # slow, and always the same


@cache
def _read_hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _convert(value: Any, hint: Any, place: str, error: type[BioGptError]) -> Any:
    """A plain value as the type that is wanted."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, place, error=error)
    made = tuple(value) if typing.get_origin(hint) is tuple and isinstance(value, list) else value
    if hint is float and type(made) is int:
        made = float(made)
    arguments = typing.get_args(hint)
    if _origin(hint) is Mapping and isinstance(made, Mapping) and len(arguments) == 2 and arguments[1] is not Any:
        return {name: _convert(part, arguments[1], _join(place, name), error) for name, part in made.items()}
    if not _fits(made, hint):
        raise error(f"Got {place} = {value!r}, expected {_describe(hint, place)}.{_suggest_choice(value, hint)}")
    return made


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = _origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin is typing.Union:
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is ...:
            return all(_fits(one, arguments[0]) for one in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    kind = origin or hint
    return isinstance(value, kind) if isinstance(kind, type) else True


def _origin(hint: Any) -> Any:
    origin = typing.get_origin(hint) or (hint if hint is Mapping else None)
    if origin is types.UnionType:
        return typing.Union
    return Mapping if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, Any]) else origin


def _choices(hint: Any) -> list[str]:
    """The texts among which a setting's value has to be one."""
    if _origin(hint) is typing.Union:
        return [choice for one in typing.get_args(hint) for choice in _choices(one)]
    return [choice for choice in typing.get_args(hint) if choice] if _origin(hint) is Literal else []


def _suggest_choice(value: object, hint: Any) -> str:
    return suggest(value, _choices(hint)) if isinstance(value, str) else ""


_NAMES: dict[Any, str] = {
    str: "text in quotation marks",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path in quotation marks",
}
_PLURALS: dict[Any, str] = {str: "texts", int: "whole numbers", float: "numbers"}


def _describe(hint: Any, place: str = "") -> str:
    origin, arguments = _origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in _choices(hint))
    if origin is typing.Union:
        return " or ".join(_describe(one, place) for one in arguments if one is not types.NoneType)
    if origin is tuple:
        number = "a list of" if arguments[-1] is ... else f"a list of {len(arguments)}"
        return f"{number} {_PLURALS.get(arguments[0], 'values')}"
    if origin is Mapping or dataclasses.is_dataclass(hint):
        return f"a table: [{place}]" if place else "a table"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))
