"""Readers: data sets as they are published, and your own tables -> examples.

Everything that does not fit the schema is said with its file and place, before any work. Texts are put together as the
reference's scripts do, byte for byte, only with their case kept.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from biogpt.documents import read_documents
from biogpt.documents.pubtator import read_relations
from biogpt.documents.types import Annotation, Relation, end_title
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import (
    Reading,
    open_stored,
    raise_problem,
    read_json,
    read_json_lines,
    read_table,
    read_text,
    reporting_damage,
)
from biogpt.tasks.annotations import is_annotated, read_annotations
from biogpt.tasks.example import Example, Item
from biogpt.tasks.iob import read_tags
from biogpt.tasks.kinds.registry import find_kind
from biogpt.tasks.kinds.tagging import sort_mentions
from biogpt.tasks.schema import Schema
from biogpt.tasks.template import slots_of

_WITHOUT = "without:"
_WORKBOOKS = (".xlsx", ".xls", ".ods")


def read(schema: Schema, path: Path, split: str) -> list[Example]:
    """Read one split; see `Task.read`."""
    if schema.dataset.parts and path.is_dir() and not is_annotated(path):
        return _read_parts(schema, path, split)
    file = find_file(schema, path, split)
    examples = list(READERS[_reader_for(schema, file)](schema, file, split))
    num_read = len(examples)
    if schema.empty_documents == "drop":
        examples = [example for example in examples if example.items]
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{file}: the id '{example.id}' stands there twice. Expected an id of its own for each.")
        seen.add(example.id)
    if not examples and num_read:
        raise DataError(
            f"{file} has {num_read} documents without an item of the task '{schema.name}', expected annotations with "
            f"its slots ({', '.join(schema.slots)}). Annotate them first, or check that it is the right file."
        )
    if not examples:
        raise DataError(f"{file} has no examples for the task '{schema.name}'. Check that it is the right file.")
    return examples


def read_without(schema: Schema, path: Path, split: str) -> list[Example]:
    """The documents of a split in which nothing is to be found: `dataset.without`.

    Raises:
        InputError: the schema names none for this split.
        DataError: the file is missing, or cannot be read.
    """
    files = schema.dataset.without
    if split not in files:
        known = ", ".join(files) or "(none)"
        raise InputError(
            f"The task '{schema.name}' names no documents without {find_kind(schema.kind).extracts} for the split "
            f"'{split}', expected them in [dataset] without. Known: {known}."
        )
    file = path / files[split]
    if not file.is_file():
        raise DataError(
            f"There is no file {file}, expected documents in which nothing is to be found. Put them there, or set "
            "empty_fraction = 0 to train without."
        )
    return [Example(f"{_WITHOUT}{document.id}", document.text) for document in read_documents(file, raise_problem)]


def is_added(example: Example) -> bool:
    """Whether an example is one of `read_without` rather than of the data set itself."""
    return example.id.startswith(_WITHOUT)


def _read_parts(schema: Schema, path: Path, split: str) -> list[Example]:
    """The sentences of all data sets of a task; ids begin with the set's name.

    The same sentence in two sets that look for different labels is one example. In the train split, sentences that any
    of the sets has in another split are left out: what one set trains on, another may test on.
    """
    merged: list[Example] = []
    places: dict[str, int] = {}
    for name, part in schema.dataset.parts.items():
        for example in _read_part(schema, name, path, split):
            place = places.get(example.text)
            if place is not None and not set(merged[place].labelled) & set(part.labels):
                first = merged[place]
                items = sort_mentions([*first.items, *example.items])
                merged[place] = replace(first, items=items, labelled=(*first.labelled, *part.labels))
                continue
            places.setdefault(example.text, len(merged))
            merged.append(example)
    if split != "train":
        return merged
    others = {
        _squeeze(example.text)
        for name, part in schema.dataset.parts.items()
        for other in part.files
        if other != split
        for example in _read_part(schema, name, path, other)
    }
    return [example for example in merged if _squeeze(example.text) not in others]


def _read_part(schema: Schema, name: str, path: Path, split: str) -> list[Example]:
    part = schema.dataset.parts[name]
    dataset = replace(schema.dataset, files=part.files, renamed=part.renamed, parts={})
    examples = read(replace(schema, name=name, dataset=dataset), path / part.directory, split)
    return [replace(example, id=f"{name}:{example.id}", labelled=part.labels) for example in examples]


def _squeeze(text: str) -> str:
    """The text without spaces and case: data sets cut the same sentence into words in other ways."""
    return "".join(text.split()).lower()


def find_file(schema: Schema, path: Path, split: str) -> Path:
    """The file of a split: `path` itself, or in the directory `path` the one that the schema names."""
    files = schema.dataset.files
    if not path.is_dir() or is_annotated(path):
        if path.suffix.lower() in _WORKBOOKS:
            raise DataError(f"{path} is a workbook, which is not read. Save its sheet as CSV and give that file.")
        if not path.exists():
            raise DataError(f"There is no file or directory {path}. Expected the data of the task '{schema.name}'.")
        return path
    if split not in files:
        known = ", ".join(files) or "(none: give a file, not a directory)"
        raise InputError(f"The task '{schema.name}' has no split '{split}'.{suggest(split, files)} Known: {known}.")
    file = path / files[split]
    if not file.is_file() and not is_annotated(file):
        there = sorted(entry.name for entry in path.iterdir())[:8]
        raise DataError(
            f"{path} has no file '{files[split]}', where the split '{split}' of the task '{schema.name}' should be. "
            f"There: {', '.join(there) or '(nothing)'}."
        )
    return file


def _reader_for(schema: Schema, file: Path) -> str:
    """The schema's own reader, unless the file holds annotated documents and the task is one that learns from them."""
    reader = schema.dataset.reader
    is_own_pubtator = reader == "linked_documents" and "pubtator" in file.name.lower()
    can_be = find_kind(schema.kind).extracts in ("entities", "relations") and not is_own_pubtator
    return "annotations" if can_be and is_annotated(file) else reader


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV, TSV or JSONL file as (line, column -> value); values are text, stripped of outer spaces.

    Raises:
        DataError: a row does not fit its header.
    """
    if path.suffix.lower() in _WORKBOOKS:
        raise DataError(f"{path} is a workbook, which is not read. Save its sheet as CSV and give that file.")
    if path.suffix == ".jsonl":
        for line, record in read_objects(path):
            yield line, {str(key): "" if value is None else str(value).strip() for key, value in record.items()}
        return
    text = read_text(path)
    delimiter = "\t" if path.suffix == ".tsv" else _delimiter(text)
    header, rows = read_table(io.StringIO(text, newline=""), Reading(path, raise_problem), delimiter)
    names = [name.strip() for name in header]
    for line, row in rows:
        yield line, dict(zip(names, (cell.strip() for cell in row), strict=True))


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their lines.

    Raises:
        DataError: the file cannot be read, or a line is not a JSON object in UTF-8.
    """
    with open_stored(path) as stored, reporting_damage(path):
        for line, record in read_json_lines(stored, Reading(path, raise_problem)):
            if not isinstance(record, dict):
                raise DataError(f"{path}:{line}: got {type(record).__name__}. Expected an object per line.")
            yield line, record


def check_label(schema: Schema, slot: str, label: str, place: str) -> str:
    """The label under the schema's own name.

    Raises:
        DataError: the schema lacks it.
    """
    label = schema.dataset.renamed.get(label, label)
    choices = schema.slots[slot].choices
    if choices and not schema.slots[slot].is_open and label not in choices:
        raise DataError(
            f"{place}: unknown {slot} '{label}'.{suggest(label, choices)} The task '{schema.name}' has: "
            f"{', '.join(choices)}."
        )
    return label


def join_title(title: str, abstract: str) -> str:
    """Title and abstract as one text; a title that ends in a word character gets a full stop."""
    return f"{end_title(title) or '.'} {abstract}"


def _read_linked_documents(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """BC5CDR as the reference has it: relations between identifiers, and each document's names for them.

    A name is the longest mention, as in the reference's targets. PubTator files are read, too.
    """
    if "pubtator" in path.name.lower():
        yield from _read_pubtator(schema, path)
        return
    documents = _read_documents(path, ("title", "abstract", "relations", *(f"{slot}2id" for slot in schema.slots)))
    vocabulary = _read_vocabulary(schema, path, split, documents)
    for id, document in documents.items():
        names = {slot: _longest_names(document[f"{slot}2id"]) for slot in schema.slots}
        items = []
        for relation in document["relations"] or ():
            for slot in schema.slots:
                if relation.get(slot) not in names[slot]:
                    raise DataError(f"{path}: document {id} has no name for the {slot} {relation.get(slot)!r}.")
            items.append(Item({slot: names[slot][relation[slot]] for slot in schema.slots}, ids=dict(relation)))
        fields = {"title": document["title"], "abstract": document["abstract"]}
        yield Example(id, join_title(**fields), tuple(items), fields, vocabulary)


def _read_triple_documents(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """KD-DTI and DDI as the reference has them: named triples, with a title or without."""
    for id, document in _read_documents(path, ("abstract", "triples")).items():
        if "title" in document:
            text = join_title(document["title"], document["abstract"])
        else:
            text = document["abstract"].strip().replace("\n", " ")
        triples = document["triples"] or ()
        for triple in triples:
            missing = [slot for slot in schema.slots if not isinstance(triple.get(slot), str)]
            if missing:
                raise DataError(f"{path}: document {id} has a triple without '{missing[0]}'. Got: {', '.join(triple)}.")
            for slot in schema.slots:
                check_label(schema, slot, triple[slot].lower(), f"{path}: document {id}")
        first = next(iter(schema.slots))
        lower = text.lower()
        # The reference looks for the name in its own case in the lower-cased text: names with capitals come first.
        ordered = sorted(triples, key=lambda triple: lower.find(triple[first]))
        items = tuple(Item({slot: triple[slot] for slot in schema.slots}) for triple in ordered)
        fields: dict[str, str] = {key: document[key] for key in ("title", "abstract") if key in document}
        yield Example(id, text, items, fields)


def _read_questions(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """PubMedQA: a question, its contexts, a decision."""
    slot = next(iter(schema.slots))
    for id, record in _read_documents(path, ("QUESTION", "CONTEXTS")).items():
        if not isinstance(record["QUESTION"], str) or not isinstance(record["CONTEXTS"], list):
            raise DataError(f"{path}: question {id}: expected QUESTION as text and CONTEXTS as a list.")
        fields = {
            "question": record["QUESTION"].strip(),
            "context": re.sub(r"\s+", " ", " ".join(context.strip() for context in record["CONTEXTS"])).strip(),
            "long_answer": str(record.get("LONG_ANSWER", "")).strip(),
        }
        answer = record.get("final_decision")
        items = (Item({slot: check_label(schema, slot, answer, f"{path}: question {id}")}),) if answer else ()
        yield Example(id, schema.render_source(fields), items, fields)


def _read_labelled_lines(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """HoC: a sentence, a tab and its labels with `|` between; empty lines mean nothing. The id is the line."""
    slot = next(iter(schema.slots))
    for line, content in enumerate(read_text(path).split("\n"), 1):
        if not content.strip():
            continue
        columns = content.split("\t")
        if len(columns) != 2:
            raise DataError(f"{path}:{line}: got {len(columns)} columns. Expected 2: a sentence, a tab, its labels.")
        text, labels = (column.strip() for column in columns)
        if not text:
            raise DataError(f"{path}:{line}: the sentence is empty. Expected a sentence, a tab, its labels.")
        names = [check_label(schema, slot, label.strip(), f"{path}:{line}") for label in labels.split("|")]
        yield Example(
            str(line), text if text.endswith(".") else f"{text}.", tuple(Item({slot: name}) for name in names)
        )


def _read_tagged_words(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """CoNLL columns: a word first and its IOB tag last in each line, an empty line behind each sentence.

    The id is the line of the first word. `-DOCSTART-` lines are no sentences.
    """
    for line, rows in read_tag_blocks(path):
        text = " ".join(word for word, _ in rows)
        tags = [_check_tag(schema, tag, f"{path}:{line + place}") for place, (_, tag) in enumerate(rows)]
        if len(text.split(" ")) != len(tags):
            raise DataError(f"{path}:{line}: a word contains a space. Expected a word, a tab and its tag in each line.")
        yield Example(str(line), text, read_tags(tags, text), {"tags": " ".join(tags)})


def read_tag_blocks(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The sentences of a file in CoNLL columns: the line of the first word, and (word, tag) of each."""
    block: list[tuple[str, str]] = []
    start = 0
    for line, content in enumerate([*read_text(path).split("\n"), ""], 1):
        content = content.rstrip("\r")  # noqa: PLW2901
        if not content.strip():
            if block and block[0][0] != "-DOCSTART-":
                yield start, block
            block = []
            continue
        columns = content.split("\t") if "\t" in content else content.split(" ")
        if len(columns) < 2 or not columns[0]:
            raise DataError(f"{path}:{line}: got {content[:40]!r}. Expected a word, a tab and its tag.")
        if not block:
            start = line
        block.append((columns[0], columns[-1]))


def _read_table(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """A CSV, TSV or JSONL table: rows with the same id are one example with several items."""
    columns = schema.dataset.columns
    parts = [part for part in slots_of(schema.source) if part != "id"]
    groups: dict[str, tuple[int, dict[str, str], list[Item]]] = {}
    for line, row in read_rows(path):
        missing = [column for column in columns.values() if column not in row]
        if missing:
            raise DataError(
                f"{path} has no column '{missing[0]}'.{suggest(missing[0], row)} Found: {', '.join(row)}. "
                "Correct the file or [dataset.columns]."
            )
        id = row[columns["id"]]
        fields = {part: row[columns[part]] for part in parts}
        if not id:
            raise DataError(f"{path}:{line}: the column '{columns['id']}' is empty. Expected an id in each row.")
        first, known, items = groups.setdefault(id, (line, fields, []))
        if known != fields:
            raise DataError(f"{path}:{line}: the text of '{id}' is not the one of line {first}. Expected one per id.")
        items += _items_of_row(schema, row, f"{path}:{line}")
    for id, (_, fields, items) in groups.items():
        yield Example(id, schema.render_source(fields), tuple(items), fields)


def _items_of_row(schema: Schema, row: Mapping[str, str], place: str) -> Iterator[Item]:
    values = {slot: row[schema.dataset.columns[slot]] for slot in schema.slots}
    empty = [slot for slot, value in values.items() if not value]
    if len(empty) == len(values):
        return
    if empty:
        raise DataError(f"{place}: '{empty[0]}' is empty but others are not. Fill all of a row's slots, or none.")
    for item in find_kind(schema.kind).split_row(values):
        yield Item({slot: check_label(schema, slot, value, place) for slot, value in item.items()})


def _read_prompts(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """Prompts, one a line; or JSONL with `prompt`, maybe `id` and `text` (how it went on)."""
    if path.suffix != ".jsonl":
        for line, prompt in enumerate(read_text(path).split("\n"), 1):
            if prompt.strip():
                yield Example(str(line), prompt.strip())
        return
    for line, record in read_objects(path):
        if not isinstance(record.get("prompt"), str):
            raise DataError(f"{path}:{line}: no 'prompt'. Found: {', '.join(record)}.")
        items = (Item({"text": str(record["text"])}),) if record.get("text") else ()
        yield Example(str(record.get("id", line)), record["prompt"], items)


RELATION_TYPE = "CID"
"""What a PubTator file of BC5CDR calls its relations."""

_MESH = "MESH:"
"""What stands before identifiers in some PubTator files and not in others."""


def read_pubtator_pairs(path: Path) -> dict[str, list[list[str]]]:
    """The pairs of identifiers that a PubTator file relates, by document; it may lack the documents' texts.

    Raises:
        DataError: the file cannot be read, or a line is not PubTator's.
    """
    return {id: _pairs(relations, f"{path}: document {id}") for id, relations in read_relations(path).items()}


def _pairs(relations: Iterable[Relation], place: str) -> list[list[str]]:
    pairs = []
    for relation in relations:
        if relation.type == RELATION_TYPE:
            pair = [value.removeprefix(_MESH) for _, value in relation.arguments]
            if len(pair) != 2:
                raise DataError(f"{place}: a relation of {len(pair)} identifiers. Expected 2.")
            pairs.append(pair)
    return pairs


def _read_pubtator(schema: Schema, path: Path) -> Iterator[Example]:
    slots = list(schema.slots)
    documents = list(read_documents(path, raise_problem, "pubtator"))
    vocabulary: dict[str, dict[str, str]] = {slot: {} for slot in slots}
    for document in documents:
        for annotation in document.annotations:
            if annotation.type.lower() in vocabulary:
                vocabulary[annotation.type.lower()][annotation.text.lower()] = annotation.identifier.removeprefix(_MESH)
    for document in documents:
        mentions: dict[str, list[Annotation]] = {}
        for annotation in document.annotations:
            for part in annotation.identifier.removeprefix(_MESH).split("|"):
                mentions.setdefault(part, []).append(annotation)
        items = []
        for ids in _pairs(document.relations, f"{path}: document {document.id}"):
            found = {slot: mentions.get(id, []) for slot, id in zip(slots, ids, strict=True)}
            names = {
                slot: max((annotation.text.lower() for annotation in found[slot]), key=len, default=id)
                for slot, id in zip(slots, ids, strict=True)
            }
            spans = {slot: tuple(span for annotation in found[slot] for span in annotation.spans) for slot in slots}
            items.append(Item(names, spans, dict(zip(slots, ids, strict=True))))
        texts: dict[str, str] = {passage.type: passage.text for passage in document.passages}
        fields = {name: texts.get(name, "") for name in ("title", "abstract")}
        yield Example(document.id, document.text, tuple(items), fields, vocabulary)


def _read_documents(path: Path, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    documents = read_json(path)
    if not isinstance(documents, dict) or not all(isinstance(record, dict) for record in documents.values()):
        raise DataError(f"{path} is not what was expected: one JSON object of id -> document.")
    for id, record in documents.items():
        for key in keys:
            if key not in record:
                raise DataError(f"{path}: '{id}' has no '{key}'.{suggest(key, record)} Found: {', '.join(record)}.")
    return documents


def _read_vocabulary(
    schema: Schema, path: Path, split: str, documents: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """Name -> identifier for each slot: the split's own list, or else what its documents say."""
    name = schema.dataset.vocabularies.get(split)
    if name and (path.parent / name).is_file():
        table = read_json(path.parent / name)
        if not isinstance(table, dict) or not all(f"{slot}2id" in table for slot in schema.slots):
            raise DataError(
                f"{path.parent / name} lists no identifiers: expected {', '.join(schema.slots)} each with 2id."
            )
        return {slot: table[f"{slot}2id"] for slot in schema.slots}
    vocabulary: dict[str, dict[str, str]] = {slot: {} for slot in schema.slots}
    for document in documents.values():
        for slot in schema.slots:
            vocabulary[slot].update(document[f"{slot}2id"])
    return vocabulary


def _longest_names(ids: Mapping[str, str]) -> dict[str, str]:
    """Identifier -> its longest name, the first of equally long ones."""
    names: dict[str, str] = {}
    for name, id in ids.items():
        if len(name) > len(names.get(id, "")):
            names[id] = name
    return names


def _check_tag(schema: Schema, tag: str, place: str) -> str:
    mark, _, label = tag.partition("-")
    if tag == "O":
        return tag
    if mark not in ("B", "I") or not label:
        raise DataError(f"{place}: got the tag '{tag}'. Expected O, B-label or I-label.")
    return f"{mark}-{check_label(schema, 'label', label, place)}"


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


READERS: dict[str, Callable[[Schema, Path, str], Iterator[Example]]] = {
    "annotations": read_annotations,
    "linked_documents": _read_linked_documents,
    "triple_documents": _read_triple_documents,
    "questions": _read_questions,
    "labelled_lines": _read_labelled_lines,
    "tagged_words": _read_tagged_words,
    "table": _read_table,
    "prompts": _read_prompts,
}
