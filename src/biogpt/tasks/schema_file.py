"""Schemas as TOML files: read and checked, and written.

Everything that can be wrong with a schema is said here, before any data is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from biogpt.config import build, check_names, naming, read_toml, require
from biogpt.errors import ConfigError, InputError, suggest
from biogpt.tasks.inference import InferenceSettings
from biogpt.tasks.kinds.registry import find_kind
from biogpt.tasks.recipe import FORMER_KEYS, Recipe, build_recipe
from biogpt.tasks.schema import Schema
from biogpt.tasks.template import slots_of

READER_FIELDS: dict[str, tuple[str, ...]] = {
    "annotations": (),
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

_RENAMED_KEYS = {"min_score": "threshold", "traps": "caveats"}  # of version 0.1.0
_MOVED_KEYS = ("prompt_length",)  # to [finetune], where version 0.1.0 had them among the task's own
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class TaskFile(NamedTuple):
    """What one TOML file says."""

    schema: Schema
    inference: InferenceSettings
    """Settings for a model that has none of its own (see `biogpt.tasks.task_directory`)."""
    training: Recipe | None
    """The recipe in the file's `[finetune]`; None where it has none."""
    moved: Mapping[str, Any] = MappingProxyType({})
    """Settings of training among the task's own, where version 0.1.0 had them."""
    renamed: tuple[str, ...] = ()
    """Settings of training by the names of version 0.1.0."""


def read_task_file(path: Path, **settings: str | int) -> TaskFile:
    """Read and check a task's file.

    Args:
        path: a TOML file; its stem is the task's name unless it has a key `name`, as beside a fine-tuned model.
        settings: values that take the place of the file's, from `Schema`'s plain fields.

    Raises:
        InputError: the file is missing, or there is no such setting.
        ConfigError: the file cannot be read, or the schema is impossible.
    """
    if not path.is_file():
        raise InputError(f"Cannot read the task {path}: there is no such file. Expected a TOML file.")
    table = {_RENAMED_KEYS.get(name, name): value for name, value in read_toml(path).items()}
    with naming(path):
        own = {item.name: table.pop(item.name) for item in fields(InferenceSettings) if item.name in table}
        moved = {name: table.pop(name) for name in _MOVED_KEYS if name in table}
        training, renamed = _take_recipe(table, moved)
        if training is not None:  # of version 0.1.0
            own.setdefault("tagging_context", training.tagging_context)
        check_names(table, [item.name for item in (*fields(Schema), *fields(InferenceSettings))] + ["finetune"])
        schema = build(Schema, {"name": path.stem, "target_format": "sentence", **table})
        check_schema(schema)
        inference = build(InferenceSettings, own)
    return TaskFile(_apply_settings(schema, settings), inference, training, moved, renamed)


def _take_recipe(table: dict[str, Any], moved: Mapping[str, Any]) -> tuple[Recipe | None, tuple[str, ...]]:
    """The recipe in a task's table, which is taken out of it, and what in it has names of version 0.1.0."""
    recipe = table.pop("finetune", None)
    if recipe is None:
        build_recipe(moved)  # checked, although a recipe elsewhere may go before it
        return None, ()
    require(isinstance(recipe, dict), "finetune", recipe, "a table: [finetune]")
    inner = recipe.get("small", {})
    names = {*recipe, *(inner if isinstance(inner, dict) else ())}
    return build_recipe({**moved, **recipe}), tuple(name for name in FORMER_KEYS if name in names)


def check_schema(schema: Schema) -> None:
    """Raise `ConfigError` for whatever would only come to light in the middle of the work."""
    kind = find_kind(schema.kind)
    if schema.empty_documents not in EMPTY_DOCUMENTS:
        raise ConfigError(f"Got empty_documents = '{schema.empty_documents}', expected 'drop' or 'keep'.")
    reader = schema.dataset.reader
    if reader not in READER_FIELDS:
        known = _list(READER_FIELDS)
        raise ConfigError(f"unknown reader '{reader}'.{suggest(reader, READER_FIELDS)} Known: {known}.")
    sentences = {"sentence": schema.sentence} if schema.sentence else {}
    for name, alternative in schema.alternatives.items():
        check_names(alternative, ("sentence", "separator", "phrases", "endings"), f"alternatives.{name}")
        sentences[f"alternatives.{name}.sentence"] = alternative.get("sentence", "")
    for place, sentence in sentences.items():
        _check_slots(schema, place, sentence)
    if schema.is_lowercase and kind.has_template:
        _check_case(schema, [*sentences.values(), schema.separator, schema.end, schema.none])
    _check_source(schema)
    _check_parts(schema)
    _check_example(schema)


def _check_slots(schema: Schema, place: str, sentence: str) -> None:
    used = slots_of(sentence)
    for slot in used:
        if slot not in schema.slots:
            raise ConfigError(
                f"{place} has the slot '{{{slot}}}', which nothing fills.{suggest(slot, schema.slots)} "
                f"Add [slots.{slot}] or take it out."
            )
    for slot in schema.slots:
        if slot not in used:
            raise ConfigError(f"{place} has no place for the slot '{slot}'. Write '{{{slot}}}' into it.")
    if len(set(used)) != len(used):
        raise ConfigError(f"{place} names a slot twice. Expected each slot once.")
    if re.search(r"\}\{", sentence):
        raise ConfigError(f"{place} has two slots with nothing between them. Put a word between them.")


def _check_case(schema: Schema, sentences: list[str]) -> None:
    """A completion is lower-cased before it is read, and would never be what has capitals."""
    fixed = [re.sub(r"\{\w+\}", "", sentence) for sentence in sentences]
    for text in (*fixed, *(choice for slot in schema.slots.values() for choice in slot.choices)):
        if text != text.lower():
            raise ConfigError(
                f"is_lowercase is true, but '{text.strip()}' has capitals. Write it in lower case, or leave "
                "out is_lowercase."
            )


def _check_source(schema: Schema) -> None:
    """Whatever the source is made of must come from somewhere; a table must say from which column."""
    columns = schema.dataset.columns
    if schema.dataset.reader != "table":
        given = READER_FIELDS[schema.dataset.reader]
        for part in slots_of(schema.source):
            if part not in given:
                raise ConfigError(
                    f"source has '{{{part}}}', which nothing fills.{suggest(part, given)} "
                    f"The reader '{schema.dataset.reader}' gives: {_list(given) or 'its own source'}."
                )
        return
    if not schema.source:
        raise ConfigError("'source' is missing, expected e.g. source = \"{text}\", made of the columns.")
    for slot in ("id", *slots_of(schema.source), *schema.slots):
        if slot not in columns:
            raise ConfigError(
                f"nothing fills '{{{slot}}}'.{suggest(slot, columns)} Add {slot} = \"its column\" to [dataset.columns]."
            )


def _check_parts(schema: Schema) -> None:
    """Several data sets, labels that overlap and labels that are shown as others are for tagging alone."""
    is_tagging = find_kind(schema.kind).labels_words
    for name, value in (
        ("has_overlapping_labels", schema.has_overlapping_labels),
        ("shown_as", schema.shown_as),
        ("dataset.parts", schema.dataset.parts),
    ):
        if value and not is_tagging:
            raise ConfigError(f"Got {name} for the kind '{schema.kind}', expected it for tagging alone. Leave it out.")
    if not is_tagging:
        return
    choices = schema.slots["label"].choices if "label" in schema.slots else ()
    used = {f"dataset.parts.{name}.labels": part.labels for name, part in schema.dataset.parts.items()}
    used["shown_as"] = (*schema.shown_as, *schema.shown_as.values())
    for place, labels in used.items():
        for label in labels:
            if label not in choices:
                raise ConfigError(f"{place} has '{label}'.{suggest(label, choices)} Expected labels of [slots.label].")
    is_partial = any(set(part.labels) != set(choices) for part in schema.dataset.parts.values())
    if is_partial and not schema.has_overlapping_labels:
        raise ConfigError(
            "a data set of [dataset.parts] has some of the labels only: each label must be decided for itself. Set "
            "has_overlapping_labels = true."
        )


def _check_example(schema: Schema) -> None:
    """The schema's own example has a text, or the fields that make one, and items with all slots."""
    example = schema.example
    if not example:
        return
    missing = [part for part in slots_of(schema.source) if part not in example]
    if not isinstance(example.get("text", ""), str) or ("text" not in example and (missing or not schema.source)):
        raise ConfigError(f"example has no '{missing[0] if missing else 'text'}'. Add it to [example].")
    items = example.get("items", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ConfigError(f"Got example.items = {items!r}, expected a list of tables.")
    for item in items:
        if set(item) != set(schema.slots) or not all(isinstance(value, str) for value in item.values()):
            raise ConfigError(f"an item of the example has {_list(item)}. Expected {_list(schema.slots)}.")


def _apply_settings(schema: Schema, settings: Mapping[str, str | int]) -> Schema:
    allowed = {"target_format": ["sentence", *schema.alternatives], "empty_documents": list(EMPTY_DOCUMENTS)}
    if schema.sentence and schema.target_format != "sentence":
        allowed["target_format"] = [schema.target_format, *schema.alternatives]
    check_names(settings, allowed, error=InputError)
    for key, value in settings.items():
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
