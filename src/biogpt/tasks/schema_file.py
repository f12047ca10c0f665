"""Schemas as TOML files: read and checked, and written.

Everything that can be wrong with a schema is said here, before any data is read.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from biogpt.errors import ConfigError, InputError, suggest
from biogpt.tasks.inference import InferenceSettings, build_inference
from biogpt.tasks.kinds.registry import find_kind
from biogpt.tasks.schema import Dataset, Schema, Scoring, Slot
from biogpt.tasks.template import slots_of
from biogpt.tasks.tuning import Tuning, build_tuning

READER_FIELDS: dict[str, tuple[str, ...]] = {
    "labelled_lines": (),
    "linked_documents": (),
    "prompts": (),
    "questions": ("question", "context", "long_answer"),
    "table": (),
    "tagged_words": (),
    "triple_documents": (),
}
"""The readers of data sets, and what each offers for `source`. A table offers its columns, the others without a field
make the source themselves."""
EMPTY_DOCUMENTS = ("drop", "keep")

_FORMER_KEYS = {"min_score": "threshold", "traps": "caveats"}  # of version 0.1.0
_KEYS = {item.name for kind in (Schema, InferenceSettings) for item in fields(kind)} | {"finetune"}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class TaskFile(NamedTuple):
    """What one TOML file says."""

    schema: Schema
    inference: InferenceSettings
    """Settings for a model that has none of its own (see `biogpt.tasks.task_directory`)."""
    tuning: Tuning | None
    """The recipe in the file's `[finetune]`; None where it has none."""


def read_task_file(path: Path, **settings: str | int) -> TaskFile:
    """Read and check a task's file.

    Args:
        path: a TOML file; its stem is the task's name unless it has a key `name`, as beside a fine-tuned model.
        settings: values that take the place of the file's, from `Schema`'s plain fields.

    Raises:
        InputError: the file cannot be read, or there is no such setting.
        ConfigError: the schema is impossible.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the task {path}: {error.strerror}. Expected a TOML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    for old, new in _FORMER_KEYS.items():
        if old in table:
            table[new] = table.pop(old)
    own = {item.name: table.pop(item.name) for item in fields(InferenceSettings) if item.name in table}
    recipe = table.pop("finetune", None)
    schema = _build_schema(path, table)
    check_schema(schema, path)
    tuning = None if recipe is None else _build_tuning(path, recipe)
    if tuning is not None:  # of version 0.1.0
        own.setdefault("tagging_context", tuning.tagging_context)
    try:
        inference = build_inference(own)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return TaskFile(_apply_settings(schema, settings), inference, tuning)


def _build_schema(path: Path, table: dict[str, Any]) -> Schema:
    _check_keys(path, "", table, _KEYS)
    for key in ("kind", "title"):
        if not isinstance(table.get(key), str):
            raise ConfigError(f"{path} does not say '{key}'. Expected {key} = \"...\" at its top.")
    for key, default in ((item.name, item.default) for item in fields(Schema)):
        if key in table and isinstance(default, (str, bool, int, float)) and type(table[key]) is not type(default):
            raise ConfigError(f"{path}: {key} is {table[key]!r}. Expected {_KIND_NAMES[type(default)]}.")
    if not isinstance(table.get("name", ""), str):
        raise ConfigError(f"{path}: name is {table['name']!r}. Expected {_KIND_NAMES[str]}.")
    for key in ("slots", "alternatives", "dataset", "score", "example"):
        if not isinstance(table.get(key, {}), dict):
            raise ConfigError(f"{path}: {key} is {table[key]!r}. Expected a table: [{key}].")
    slots = {name: _build(path, f"slots.{name}", Slot, value) for name, value in table.get("slots", {}).items()}
    return Schema(
        **{
            **table,
            "name": table.get("name", path.stem),
            "caveats": _as_texts(path, "caveats", table.get("caveats", [])),
            "slots": slots,
            "dataset": _build(path, "dataset", Dataset, table.get("dataset", {})),
            "score": _build(path, "score", Scoring, table.get("score", {})),
            "target_format": table.get("target_format", "sentence"),
        }
    )


_KIND_NAMES = {
    str: "text in quotation marks",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point",
    list: "a list",
    dict: "a table",
}


def _as_texts(path: Path, place: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{path}: {place} is {value!r}. Expected a list of texts.")
    return tuple(value)


def _build(path: Path, place: str, kind: type[Any], table: object) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {place} is {table!r}. Expected a table.")
    _check_keys(path, f"{place}.", table, {item.name for item in fields(kind)})
    defaults = kind()
    for item in fields(kind):
        default = getattr(defaults, item.name)
        expected = list if isinstance(default, tuple) else type(default)
        if item.name in table and type(table[item.name]) is not expected:
            raise ConfigError(f"{path}: {place}.{item.name} is {table[item.name]!r}. Expected {_KIND_NAMES[expected]}.")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _build_tuning(path: Path, table: Any) -> Tuning:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: finetune is {table!r}. Expected a table: [finetune].")
    try:
        return build_tuning(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_keys(path: Path, place: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown key '{place}{key}'.{suggest(key, known)} Known: {_list(known)}.")


def check_schema(schema: Schema, path: Path) -> None:
    """Raise `ConfigError` for whatever would only come to light in the middle of the work."""
    try:
        kind = find_kind(schema.kind)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if schema.empty_documents not in EMPTY_DOCUMENTS:
        raise ConfigError(f"{path}: empty_documents is '{schema.empty_documents}'. Expected 'drop' or 'keep'.")
    reader = schema.dataset.reader
    if reader not in READER_FIELDS:
        known = _list(READER_FIELDS)
        raise ConfigError(f"{path}: unknown reader '{reader}'.{suggest(reader, READER_FIELDS)} Known: {known}.")
    sentences = {"sentence": schema.sentence} if schema.sentence else {}
    for name, alternative in schema.alternatives.items():
        if not isinstance(alternative, dict):
            raise ConfigError(f"{path}: alternatives.{name} is {alternative!r}. Expected a table.")
        _check_keys(path, f"alternatives.{name}.", alternative, {"sentence", "separator", "phrases", "endings"})
        sentences[f"alternatives.{name}.sentence"] = alternative.get("sentence", "")
    for place, sentence in sentences.items():
        _check_slots(schema, path, place, sentence)
    if schema.is_lowercase and kind.has_template:
        _check_case(schema, path, [*sentences.values(), schema.separator, schema.end, schema.none])
    _check_source(schema, path)
    _check_example(schema, path)


def _check_slots(schema: Schema, path: Path, place: str, sentence: str) -> None:
    used = slots_of(sentence)
    for slot in used:
        if slot not in schema.slots:
            raise ConfigError(
                f"{path}: {place} has the slot '{{{slot}}}', which nothing fills.{suggest(slot, schema.slots)} "
                f"Add [slots.{slot}] or take it out."
            )
    for slot in schema.slots:
        if slot not in used:
            raise ConfigError(f"{path}: {place} has no place for the slot '{slot}'. Write '{{{slot}}}' into it.")
    if len(set(used)) != len(used):
        raise ConfigError(f"{path}: {place} names a slot twice. Expected each slot once.")
    if re.search(r"\}\{", sentence):
        raise ConfigError(f"{path}: {place} has two slots with nothing between them. Put a word between them.")


def _check_case(schema: Schema, path: Path, sentences: list[str]) -> None:
    """A completion is lower-cased before it is read, and would never be what has capitals."""
    fixed = [re.sub(r"\{\w+\}", "", sentence) for sentence in sentences]
    for text in (*fixed, *(choice for slot in schema.slots.values() for choice in slot.choices)):
        if text != text.lower():
            raise ConfigError(
                f"{path}: is_lowercase is true, but '{text.strip()}' has capitals. Write it in lower case, or leave "
                "out is_lowercase."
            )


def _check_source(schema: Schema, path: Path) -> None:
    """Whatever the source is made of must come from somewhere; a table must say from which column."""
    columns = schema.dataset.columns
    if schema.dataset.reader != "table":
        given = READER_FIELDS[schema.dataset.reader]
        for part in slots_of(schema.source):
            if part not in given:
                raise ConfigError(
                    f"{path}: source has '{{{part}}}', which nothing fills.{suggest(part, given)} "
                    f"The reader '{schema.dataset.reader}' gives: {_list(given) or 'its own source'}."
                )
        return
    if not schema.source:
        raise ConfigError(f"{path} does not say 'source'. Expected e.g. source = \"{{text}}\", made of the columns.")
    for slot in ("id", *slots_of(schema.source), *schema.slots):
        if slot not in columns:
            raise ConfigError(
                f"{path}: nothing fills '{{{slot}}}'.{suggest(slot, columns)} Add {slot} = \"its column\" to "
                "[dataset.columns]."
            )


def _check_example(schema: Schema, path: Path) -> None:
    """The schema's own example has a text, or the fields that make one, and items with all slots."""
    example = schema.example
    if not example:
        return
    missing = [part for part in slots_of(schema.source) if part not in example]
    if not isinstance(example.get("text", ""), str) or ("text" not in example and (missing or not schema.source)):
        raise ConfigError(f"{path}: example has no '{missing[0] if missing else 'text'}'. Add it to [example].")
    items = example.get("items", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ConfigError(f"{path}: example.items is {items!r}. Expected a list of tables.")
    for item in items:
        if set(item) != set(schema.slots) or not all(isinstance(value, str) for value in item.values()):
            raise ConfigError(f"{path}: an item of the example has {_list(item)}. Expected {_list(schema.slots)}.")


def _apply_settings(schema: Schema, settings: Mapping[str, str | int]) -> Schema:
    allowed = {"target_format": ["sentence", *schema.alternatives], "empty_documents": list(EMPTY_DOCUMENTS)}
    if schema.sentence and schema.target_format != "sentence":
        allowed["target_format"] = [schema.target_format, *schema.alternatives]
    for key, value in settings.items():
        if key not in allowed:
            raise InputError(f"Unknown setting '{key}'.{suggest(key, allowed)} Known: {_list(allowed)}.")
        if value not in allowed[key]:
            raise InputError(
                f"The task '{schema.name}' has no {key} '{value}'.{suggest(str(value), allowed[key])} "
                f"Expected one of: {_list(allowed[key])}."
            )
    return replace(schema, **settings)  # type: ignore[arg-type]


def _list(names: Any) -> str:
    return ", ".join(sorted(names))


def render_schema(schema: Schema) -> str:
    """The text of a TOML file from which `read_task_file` reads this schema, its name included."""
    return _render_table(_as_table(schema), ())


def _as_table(value: Any) -> dict[str, Any]:
    """The fields that differ from their defaults; `name`, `kind` and `title` have none."""
    table = {}
    for item in fields(value):
        content = getattr(value, item.name)
        default = item.default_factory() if callable(item.default_factory) else item.default
        if content != default:
            table[item.name] = _as_plain(content)
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
