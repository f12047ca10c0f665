"""A schema as TOML again: the `task.toml` that a tuned model carries. What `read_schema` reads, and nothing else."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from biogpt.tasks.schema import Schema

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render_schema(schema: Schema) -> str:
    """The text of a TOML file from which `read_schema` reads this schema, its name and all settings included."""
    return _render_table(_as_table(schema), ())


def _as_table(value: Any) -> dict[str, Any]:
    """The fields that differ from their defaults; `name`, `kind` and `title` have none."""
    table = {}
    for item in fields(value):
        content = getattr(value, item.name)
        default = item.default_factory() if callable(item.default_factory) else item.default
        if content != default or item.name == "small":
            table[item.name] = _as_plain(content)
    table.pop("small", None)
    return table


def _as_plain(value: Any) -> Any:
    if is_dataclass(value):
        return _as_table(value)
    if isinstance(value, Mapping):
        return {str(key): _as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_as_plain(item) for item in value]
    return value


def _render_table(table: Mapping[str, Any], place: tuple[str, ...]) -> str:
    lines = [f"{_render_key(key)} = {_render_value(value)}" for key, value in table.items() if not _is_table(value)]
    text = "".join(f"{line}\n" for line in lines)
    for key, value in table.items():
        if _is_table(value):
            inner = (*place, _render_key(key))
            text += f"\n[{'.'.join(inner)}]\n" + _render_table(value, inner)
    return text


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _render_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _render_value(key)


def _render_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_render_key(key)} = {_render_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_render_value, value)) + "]"
    return repr(value)
