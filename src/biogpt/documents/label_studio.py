"""Label Studio's JSON: tasks with a text, its labelled stretches, and relations between them.

Exports as JSON and JSON-MIN are read. Of several annotations of a task the ground truth counts, or else the first that
was not cancelled; predictions are kept, not read. What was found is written as a prediction of the model, to be
imported and corrected; what was annotated before stays an annotation. The labelling interface is expected to call the
labels `label` and the text `text`, unless the input says otherwise. Identifiers cannot be said.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from biogpt.documents.doccano import (
    Mention,
    all_mentions,
    described,
    labelled_document,
    relations_between_ids,
    text_and_shift,
)
from biogpt.documents.field_names import IDS, TEXTS, find_fields, metadata_of
from biogpt.documents.json_stream import JsonScanner
from biogpt.documents.types import Annotation, Document, Relation
from biogpt.documents.writer import Writer
from biogpt.files import Reading, dump_json

NAME = "label-studio"

_TASK_KEYS = (
    re.compile(rb'"data"\s*:\s*\{'),
    re.compile(rb'"(?:annotations|predictions|completions|inner_id|total_annotations)"\s*:'),
)
_MIN_KEYS = re.compile(rb'"labels"\s*:\s*\[\s*"')
_MIN_MARKS = re.compile(rb'"(?:annotator|annotation_id|lead_time|start)"\s*:')


def are_tasks(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an export."""
    if head.lstrip()[:1] not in (b"[", b"{"):
        return False
    is_export = all(pattern.search(head) for pattern in _TASK_KEYS)
    return is_export or (_MIN_KEYS.search(head) is not None and _MIN_MARKS.search(head) is not None)


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The tasks of a stream of Label Studio's JSON.

    Raises:
        DataError: it is not JSON.
    """
    scanner = JsonScanner(stream, reading, "Label Studio's JSON")
    number = 0
    while (first := scanner.next_character()) != "":
        for task in scanner.elements() if first == "[" else [scanner.value()]:
            number += 1
            try:
                yield _document_of(task, f"{reading.path.name}:{number}")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = str(error) if type(error) is ValueError else "parts of the wrong kind; expected an export."
                reading.report(f"task {number}", reason)


def is_annotated(document: Document) -> bool:
    """Whether somebody has looked at a task; without, it has no annotation, not even an empty one."""
    return _chosen(document.native) is not None


def _document_of(task: Any, fallback_id: str) -> Document:
    if not isinstance(task, dict):
        raise ValueError(f"a JSON {type(task).__name__}; expected a task with data and annotations.")
    data = task["data"] if isinstance(task.get("data"), dict) else task
    key = _text_key(data, _chosen(task) or [])
    names = find_fields(data)
    ids = [str(data[names[name]]) for name in IDS if data.get(names.get(name))]
    id = next(iter([*ids, *([str(task["id"])] if task.get("id") else [])]), fallback_id)
    results = _chosen(task) or []
    mentions = [mention for place, result in enumerate(results, 1) for mention in _mentions(result, f"T{place}")]
    relations = [
        Relation(f"R{place}", _type(result.get("labels")), (("", str(result["from_id"])), ("", str(result["to_id"]))))
        for place, result in enumerate(results, 1)
        if result.get("type") == "relation"
    ]
    metadata = metadata_of(data, names)
    return labelled_document(id, data[key], mentions, relations, metadata, NAME, task)


def _text_key(data: Mapping[str, Any], results: Iterable[Mapping[str, Any]]) -> str:
    """The key of the text that was annotated: `text`, or what looks most like it."""
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value.strip()}
    for result in results:  # to_name is the name of the element, mostly that of the key
        if result.get("to_name") in texts:
            return str(result["to_name"])
    names = find_fields(texts)
    found = next((names[name] for name in ("text", *TEXTS) if name in names), None)
    if found is None:
        raise ValueError("no text in its data; expected 'text'.")
    return str(found)


def _chosen(task: Mapping[str, Any]) -> list[Any] | None:
    """The results of the annotation that counts; None where there is none."""
    if "data" not in task:  # JSON-MIN
        found = next((value for value in task.values() if _are_spans(value)), None)
        return None if found is None else [{"value": span, "type": "labels"} for span in found]
    entries = [
        entry
        for entry in task.get("annotations") or task.get("completions") or ()
        if isinstance(entry, dict) and not entry.get("was_cancelled")
    ]
    entries.sort(key=lambda entry: not entry.get("ground_truth"))  # stable
    return list(entries[0].get("result") or ()) if entries else None


def _are_spans(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "start" in each for each in value)


def _mentions(result: Mapping[str, Any], id: str) -> Iterator[Mention]:
    value = result.get("value") or {}
    types = value.get("labels") or value.get("hypertextlabels")
    if types and "start" in value:
        yield str(result.get("id") or id), int(value["start"]), int(value["end"]), _type(types)


def _type(labels: Any) -> str:
    return str(labels[0]) if isinstance(labels, list) and labels else str(labels or "relation")


class LabelStudioWriter(Writer):
    """Writes one array, a task a line."""

    def opening(self, document: Document) -> str:
        return "[\n"

    def separator(self) -> str:
        return ",\n"

    def closing(self) -> str:
        return "\n]\n" if self.position else "[]\n"

    def encode(self, document: Document) -> str:
        text, shift = text_and_shift(document, NAME)
        there, new, found = all_mentions(document)
        names = {"from_name": "label", "to_name": "text"}
        if document.format == NAME:
            task = dict(document.native) if "data" in document.native else {"data": dict(document.native)}
            results = _chosen(document.native) or []
            names |= {key: value for result in results[:1] for key, value in result.items() if key in names}
        else:
            task = {"data": {**described(document), "text": text}}
            if document.annotations:
                known = _results(text, there, relations_between_ids(document), shift, names)
                task["annotations"] = [{"result": known}]
        extraction = document.extraction
        if extraction is not None:
            scores = [
                score for score in (*(each.score for each in new), *(each.score for each in found)) if score is not None
            ]
            prediction: dict[str, Any] = {
                "model_version": extraction.annotator,
                "result": _results(text, [*there, *new], found, shift, names),
            }
            if scores:
                prediction["score"] = min(scores)
            task["predictions"] = [*(task.get("predictions") or ()), prediction]
        return dump_json(task)


def _results(
    text: str, mentions: Sequence[Annotation], relations: Iterable[Relation], shift: int, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for annotation in mentions:
        for place, (start, end) in enumerate(annotation.spans):
            value = {"start": start + shift, "end": end + shift, "text": text[start + shift : end + shift]}
            result = {
                "id": annotation.id if not place else f"{annotation.id}.{place}",
                **names,
                "type": "labels",
                "value": {**value, "labels": [annotation.type]},
            }
            results.append(result if annotation.score is None else {**result, "score": annotation.score})
    for relation in relations:
        if len(relation.arguments) == 2:
            (_, first), (_, second) = relation.arguments
            results.append(
                {"type": "relation", "from_id": first, "to_id": second, "direction": "right", "labels": [relation.type]}
            )
    return results
