"""Every written annotation stands where it says: any text, any spans, from any format into any other."""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from bioc import biocjson, biocxml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from biogpt.documents import (
    OUTPUT_FORMATS,
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Problem,
    item_columns,
    open_writer,
    read_documents,
)


def refuse(problem: Problem) -> None:
    pytest.fail(str(problem))


Mention = tuple[str, str]
"""Type and text, blanks aside."""

TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(list("ab|&<>\"',;:\t\n\r -.αβ測𝛼\u2028\x85\x1c\x00\ufeff")),
    ),
    max_size=40,
).map(lambda text: text.replace("\n\n", "\n"))


@st.composite
def extractions_for(draw: Callable[..., Any], text: str) -> Extraction:
    """Entities at any spans of a text that are not blank, related two by two, and some not in the text at all."""
    places = st.tuples(*[st.integers(0, len(text))] * 2).map(lambda ends: (min(ends), max(ends)))
    spans = [span for span in draw(st.lists(places, max_size=6)) if text[slice(*span)].strip()]
    stripped = [(start + _lead(text[start:end]), end - _lead(text[start:end][::-1])) for start, end in spans]
    types = st.sampled_from(["chemical", "disease", "gene or protein"])
    entities = [
        Entity(
            draw(types), text[slice(*span)], (span, *draw(st.sampled_from([(), tuple(stripped[:1])]))), "MESH:D1", 0.5
        )
        for span in stripped
    ]
    entities.append(Entity("chemical", "nowhere"))
    relations = [
        EntityRelation("CID", {"chemical": draw(st.sampled_from(entities)), "disease": entities[0]}, score=0.25)
    ]
    return Extraction(tuple(entities), tuple(relations), warnings=("a problem",), annotator="test")


def _lead(text: str) -> int:
    return len(text) - len(text.lstrip())


def squeeze(text: str) -> str:
    """A text without blanks, what XML cannot hold, full stops (one behind the title is in no file) and brackets."""
    return re.sub("[][.\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd\ufffe\uffff]", "", "".join(text.split()))


def expected(record: Document, extraction: Extraction) -> set[Mention]:
    entities = [*extraction.entities, *(entity for each in extraction.relations for entity in each.roles.values())]
    named = {(entity.type, squeeze(record.text[slice(*span)])) for entity in entities for span in entity.spans}
    return {each for each in named if each[1]}


def bioc_mentions(collection: Any) -> list[Mention]:
    found = []
    ids = []
    for document in collection.documents:
        for annotation in document.annotations:
            raise AssertionError(annotation)
        for passage in document.passages:
            ids += [annotation.id for annotation in passage.annotations]
            for annotation in passage.annotations:
                fragments = []
                for location in annotation.locations:
                    home = next(
                        each
                        for each in document.passages
                        if 0 <= location.offset - each.offset <= len(each.text) - location.length
                    )
                    start = location.offset - home.offset
                    fragments.append(home.text[start : start + location.length])
                assert " ".join(fragments) == annotation.text
                found.append((annotation.infons["type"], squeeze("".join(fragments))))
        for relation in document.relations:
            assert {node.refid for node in relation.nodes} <= set(ids)
    assert len(set(ids)) == len(ids)
    return found


def read_bioc_xml(path: Path) -> list[Mention]:
    with path.open("rb") as file:
        return bioc_mentions(biocxml.load(file))


def read_bioc_json(path: Path) -> list[Mention]:
    return bioc_mentions(biocjson.loads(path.read_text(encoding="utf-8")))


def read_pubtator(path: Path) -> list[Mention]:
    title, abstract, *lines = path.read_text(encoding="utf-8").replace("\r\n", "\n").rstrip("\n").splitlines()
    flat = f"{title.split('|', 2)[2]} {abstract.split('|', 2)[2]}"
    found = []
    for columns in (line.split("\t") for line in lines):
        if columns[1].isdecimal():
            _, start, end, text, type, identifier, score = columns
            assert flat[int(start) : int(end)] == text
            assert (identifier, score) == ("MESH:D1", "0.5 test")
            found.append((type, squeeze(text)))
        else:
            assert columns[1] == "CID"
            assert columns[-1] == "0.25 test"
    return found


def read_brat(path: Path) -> list[Mention]:
    (text_path,) = path.glob("*.txt")
    text = text_path.read_bytes().decode()
    found = []
    ids = set()
    for line in text_path.with_suffix(".ann").read_bytes().decode().splitlines():
        id, content, *rest = line.split("\t")
        assert id not in ids
        ids.add(id)
        if id.startswith("T"):
            type, places = content.split(" ", 1)
            fragments = [text[slice(*map(int, place.split()))] for place in places.split(";")]
            assert " ".join(fragments) == rest[0]
            found.append((type.replace("gene_or_protein", "gene or protein"), squeeze("".join(fragments))))
        elif id.startswith("R"):
            assert all(argument.partition(":")[2] in ids for argument in content.split()[1:])
    return found


def read_items(items: list[dict[str, Any]], text: str) -> list[Mention]:
    found = []
    for item in items:
        if "start" in item:
            assert text[item["start"] : item["end"]] == item["mention"]
            found.append((item["label"], squeeze(item["mention"])))
        for role in ("chemical", "disease"):
            for start, end in item.get(f"{role}_spans", ()):
                assert text[start:end].strip()
    return found


def read_json_lines(path: Path) -> list[Mention]:
    (fields,) = map(json.loads, path.read_text(encoding="utf-8").splitlines(keepends=False)[:1])
    return read_items(fields["items"], fields.get("predicted_text", fields["text"]))


def read_table(path: Path) -> list[Mention]:
    dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, dialect=dialect))
    found = []
    for row in rows:
        item: dict[str, Any] = {name: value for name, value in row.items() if value}
        for name in ("chemical_spans", "disease_spans"):
            places = row[name].split(";") if row[name] else []
            item[name] = [tuple(map(int, place.split("-"))) for place in places]
        if row["start"]:
            item |= {"start": int(row["start"]), "end": int(row["end"])}
        found += read_items([item], row.get("predicted_text", row["text"]))
    return found


def read_parquet(path: Path) -> list[Mention]:
    rows = parquet.read_table(path).to_pylist()
    return [each for row in rows for each in read_items([without_nulls(row)], row.get("predicted_text", row["text"]))]


def read_excel(path: Path) -> list[Mention]:
    header, *rows = openpyxl.load_workbook(path).active.values
    found = []
    for row in rows:
        item = without_nulls(dict(zip(header, row, strict=True)))
        for name in ("chemical_spans", "disease_spans"):
            item[name] = [tuple(map(int, place.split("-"))) for place in filter(None, item.get(name, "").split(";"))]
        found += read_items([item], item.get("predicted_text", item["text"]))
    return found


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, "")}


def read_doccano(path: Path) -> list[Mention]:
    fields = json.loads(path.read_text(encoding="utf-8"))
    entities = fields.get("entities", ())  # of files with relations
    places = [(each["label"], each["start_offset"], each["end_offset"]) for each in entities]
    places += [(label, start, end) for start, end, label in fields.get("label", ())]
    return [(label, squeeze(fields["text"][start:end])) for label, start, end in places]


def read_label_studio(path: Path) -> list[Mention]:
    (task,) = json.loads(path.read_text(encoding="utf-8"))
    values = [result["value"] for result in task["predictions"][0]["result"] if result["type"] == "labels"]
    text = task["data"]["text"]
    assert all(text[value["start"] : value["end"]] == value["text"] for value in values)
    return [(value["labels"][0], squeeze(value["text"])) for value in values]


READERS = {
    "jsonl": read_json_lines,
    "xlsx": read_excel,
    "parquet": read_parquet,
    "doccano": read_doccano,
    "label-studio": read_label_studio,
    "csv": read_table,
    "tsv": read_table,
    "pubtator": read_pubtator,
    "bioc-xml": read_bioc_xml,
    "bioc-json": read_bioc_json,
    "brat": read_brat,
}
COLUMNS = item_columns(("chemical", "disease"), has_mentions=True)


def write(record: Document, path: Path, format: str, columns: tuple[str, ...] = ()) -> Path:
    with open_writer(path, format, columns=columns) as writer:
        writer.write(record)
    return path


def test_all_formats_are_checked() -> None:
    assert READERS.keys() == OUTPUT_FORMATS.keys()


@pytest.mark.parametrize("written", READERS)
@settings(max_examples=50, deadline=None)  # it writes files, and other things may keep the disk busy
@given(data=st.data(), title=TEXT, abstract=TEXT, source=st.sampled_from([*READERS, "text"]))
def test_spans_give_their_mentions(data: st.DataObject, title: str, abstract: str, source: str, written: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        first = home / "first.jsonl"
        first.write_text(json.dumps({"id": "a b|c", "title": title, "abstract": abstract}) + "\n", encoding="utf-8")
        if not title.strip() + abstract.strip():
            return
        (record,) = read_documents(first, refuse)
        if source == "text":
            if "\x00" in record.text:  # refused as binary
                return
            (home / "first.txt").write_bytes(record.text.encode())
            found = list(read_documents(home / "first.txt", refuse, "text"))
            if len(found) != 1:  # lines of blanks within
                return
            (record,) = found
        elif source != "jsonl":
            (record,) = read_documents(write(record, home / f"second.{source}", source), refuse, source)
            assert squeeze(record.text) == squeeze(f"{title} {abstract}")
        extraction = data.draw(extractions_for(record.text))
        path = write(record.with_extraction(extraction), home / f"third.{written}", written, COLUMNS)
        found_mentions = READERS[written](path)
    assert {found for found in found_mentions if found[1]} == expected(record, extraction)


def test_one_annotation_for_the_same_span_and_type(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Aspirin helps. Aspirin hurts.")
    (record,) = read_documents(tmp_path / "a.txt", refuse)
    aspirin = Entity("chemical", "aspirin", ((0, 7), (15, 22)), score=0.5)
    again = Entity("chemical", "Aspirin", ((0, 7),), "MESH:D001241", 0.75)
    pain = Entity("disease", "pain")
    relations = tuple(EntityRelation("CID", {"chemical": each, "disease": pain}) for each in (aspirin, again))
    out = io.BytesIO()
    with open_writer(out, "bioc-json") as writer:
        writer.write(record.with_extraction(Extraction((aspirin,), relations)))
    (document,) = json.loads(out.getvalue())["documents"]
    annotations = document["passages"][0]["annotations"]
    assert [(each["id"], each["text"], each["infons"]) for each in annotations] == [
        ("P1", "Aspirin", {"type": "chemical", "identifier": "MESH:D001241", "score": "0.75"}),
        ("P2", "Aspirin", {"type": "chemical", "score": "0.5"}),
    ]
    assert document["relations"] == [
        {
            "id": "PR1",
            "infons": {"type": "CID", "chemical": "aspirin", "disease": "pain"},
            "nodes": [{"refid": "P1", "role": "chemical"}],
        },
        {
            "id": "PR2",
            "infons": {"type": "CID", "chemical": "MESH:D001241", "disease": "pain"},
            "nodes": [{"refid": "P1", "role": "chemical"}],
        },
    ]
