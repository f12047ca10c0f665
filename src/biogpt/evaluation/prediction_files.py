"""Predictions that were made elsewhere: files -> `Prediction`, whatever made them.

Completions are read by the task; items that are given as such are located in their example. A file that does not fit
the task or the data is refused at once, with its line. This module knows nothing of scores.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from biogpt.errors import DataError, suggest
from biogpt.files import read_json, read_text
from biogpt.tasks import readers
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.task import Task


def read_predictions(task: Task, path: Path, examples: Sequence[Example]) -> list[Prediction]:
    """Read the predictions of one file; its name decides how.

    - `.jsonl`: an `id` and one of `text` (the completion), `items` (each with the task's slots, or with `<slot>_id`),
      `tags` (one per word).
    - `.json`: id -> completion, label, or list of labels.
    - `.csv`, `.tsv`: the columns `id` and one per slot, a row for each item; for tagging words and tags as the data.
    - a name with `pubtator`: relations by identifier.
    - any other name: a completion per line, in the examples' order.

    Args:
        task: whose predictions these are.
        path: the file.
        examples: what they are predictions for.

    Raises:
        DataError: the file is in another encoding, lacks what is needed, or has labels that the task does not know.
    """
    by_id = {example.id: example for example in examples}
    if "pubtator" in path.name.lower():
        return _read_pubtator(task, path)
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        found: Iterable[Prediction] = _read_json_lines(task, path, by_id)
    elif suffix == ".json":
        found = _read_json(task, path, by_id)
    elif suffix in (".csv", ".tsv", ".xlsx"):
        has_tags = task.kind.labels_words and suffix == ".tsv"
        found = _read_tagged_words(task, path, examples) if has_tags else _read_table(task, path, by_id)
    else:
        found = _read_lines(task, path, examples)
    return list(found)


def _read_json_lines(task: Task, path: Path, by_id: Mapping[str, Example]) -> Iterator[Prediction]:
    for line, record in readers.read_objects(path):
        place = f"{path}:{line}"
        if not isinstance(record.get("id"), str | int):
            raise DataError(f"{place}: no 'id'. Found: {', '.join(record)}. Expected the id of an example.")
        example = by_id.get(str(record["id"]), Example(str(record["id"]), ""))
        form = next((form for form in ("items", "tags", "text") if form in record), None)
        if form is None:
            raise DataError(f"{place}: none of 'text', 'items' and 'tags'. Found: {', '.join(record)}.")
        value: Any = record[form]
        if not isinstance(value, str if form == "text" else list):
            raise DataError(f"{place}: '{form}' is {value!r}. Expected {'text' if form == 'text' else 'a list'}.")
        if form == "items":
            yield replace(_of_items(task, value, example, place), **_read_remarks(record, place))
        else:
            yield task.parse(" ".join(map(str, value)) if form == "tags" else str(value), example)


def as_record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as an object for JSON lines, from which `read_predictions` makes it again."""
    items = []
    for item in prediction.items:
        record: dict[str, Any] = dict(item.slots)
        if item.spans.get("mention"):
            record["start"], record["end"] = item.spans["mention"][0]
        items.append(record if item.score is None else {**record, "score": item.score})
    return {"id": prediction.id, "items": items, "problems": list(prediction.problems), "text": prediction.text}


def _read_remarks(record: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What `as_record` says beside the items, or `biogpt predict` in its `warnings`."""
    name = "problems" if "problems" in record else "warnings"
    problems, text = record.get(name, []), record.get("text", "")
    if not isinstance(problems, list) or not all(isinstance(problem, str) for problem in problems):
        raise DataError(f"{place}: '{name}' is {problems!r}. Expected a list of texts.")
    return {"problems": tuple(problems), "text": text if isinstance(text, str) else ""}


def _read_json(task: Task, path: Path, by_id: Mapping[str, Example]) -> Iterator[Prediction]:
    table = read_json(path)
    if not isinstance(table, dict):
        raise DataError(f"{path} holds a {type(table).__name__}. Expected one object of id -> completion or label.")
    for id, value in table.items():
        example = by_id.get(id, Example(id, ""))
        labels = value if isinstance(value, list) else [value]
        known = task.kind.read_labels(task.schema, labels)
        if known is not None:
            yield Prediction(id, known)
        elif isinstance(value, str):
            yield task.parse(value, example)
        elif isinstance(value, list):
            yield _of_items(task, value, example, f"{path}: '{id}'")
        else:
            raise DataError(f"{path}: '{id}' is {value!r}. Expected a completion, a label or a list of items.")


def _read_table(task: Task, path: Path, by_id: Mapping[str, Example]) -> Iterator[Prediction]:
    known = task.schema.dataset.columns
    names = ("id", *task.schema.slots)
    for line, row in readers.read_rows(path):
        columns = {name: name if name in row else known.get(name, name) for name in names}
        missing = [name for name, column in columns.items() if column not in row]
        if missing:
            raise DataError(
                f"{path} has no column '{missing[0]}'.{suggest(missing[0], row)} Found: {', '.join(row)}. "
                f"Expected: {', '.join(names)}."
            )
        example = by_id.get(row[columns["id"]], Example(row[columns["id"]], ""))
        values = {slot: row[columns[slot]] for slot in task.schema.slots}
        items = task.kind.split_row(values) if any(values.values()) else []
        yield _of_items(task, items, example, f"{path}:{line}")


def _read_tagged_words(task: Task, path: Path, examples: Sequence[Example]) -> Iterator[Prediction]:
    blocks = list(readers.read_tag_blocks(path))
    if len(blocks) != len(examples):
        raise DataError(f"{path} has {len(blocks)} sentences for {len(examples)} in the data. Expected as many.")
    for (line, rows), example in zip(blocks, examples, strict=True):
        if [word for word, _ in rows] != example.text.split(" "):
            raise DataError(f"{path}:{line}: other words than those of the data's sentence {example.id}.")
        yield task.parse(" ".join(tag for _, tag in rows), example)


def _read_lines(task: Task, path: Path, examples: Sequence[Example]) -> Iterator[Prediction]:
    lines = read_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) != len(examples):
        raise DataError(
            f"{path} has {len(lines)} lines for {len(examples)} examples. Expected a completion per line, in the order "
            "of the data; or use JSONL with 'id' and 'text'."
        )
    for line, example in zip(lines, examples, strict=True):
        yield task.parse(line, example)


def _read_pubtator(task: Task, path: Path) -> list[Prediction]:
    if task.schema.score.metric != "linked":
        raise DataError(f"{path}: PubTator has identifiers, but '{task.name}' is scored by names. Use JSONL.")
    slots = list(task.schema.slots)
    return [
        Prediction(
            id,
            tuple(Item(dict(zip(slots, ids, strict=True)), ids=dict(zip(slots, ids, strict=True))) for ids in pairs),
        )
        for id, pairs in readers.read_pubtator_pairs(path).items()
    ]


def _of_items(task: Task, items: Sequence[Any], example: Example, place: str) -> Prediction:
    return Prediction(example.id, tuple(_as_item(task, item, example, place) for item in items))


def _as_item(task: Task, values: Any, example: Example, place: str) -> Item:
    schema = task.schema
    if not isinstance(values, dict):
        raise DataError(f"{place}: got the item {values!r}. Expected an object with {', '.join(schema.slots)}.")
    ids = {slot: str(values[f"{slot}_id"]) for slot in schema.slots if f"{slot}_id" in values}
    filled = {**ids, **{slot: values[slot] for slot in schema.slots if slot in values}}
    for slot in schema.slots:
        value = filled.get(slot)
        if not isinstance(value, str) or not value:
            raise DataError(f"{place}: an item has no '{slot}'.{suggest(slot, values)} Found: {', '.join(values)}.")
        readers.check_label(schema, slot, value, place)
    score = values.get("score")
    if score is not None and not isinstance(score, int | float):
        raise DataError(f"{place}: the score is {score!r}. Expected a number.")
    return replace(task.kind.make_item(schema, filled, values, example, place), score=score)
