"""What was found, format by format: what each says of it, and what was there before stays."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from bioc import biocxml

from biogpt.documents import (
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    item_columns,
    open_writer,
    read_documents,
)
from biogpt.documents.types import Passage, make_document, title_and_abstract


def read(path: Path, content: str, format: str | None = None) -> list[Document]:
    path.write_text(content, encoding="utf-8")
    return list(read_documents(path, lambda problem: pytest.fail(str(problem)), format))


def write(record: Document, format: str, **settings: Any) -> str:
    out = io.BytesIO()
    with open_writer(out, format, **settings) as writer:
        writer.write(record)
    return out.getvalue().decode()


LABELS = Extraction(
    labels=(Label("answer", "yes", 0.75), Label("mark", "a"), Label("mark", "b", 0.5)),
    warnings=("x", "y"),
    annotator="m",
)


class TestText:
    def test_a_record_reads_as_its_document(self) -> None:
        record = make_document("1", title_and_abstract(" Title ", " Abstract. "))
        assert (record.text, record.title, record.rest) == ("Title. Abstract.", "Title", 7)
        assert record.locate((0, 6)) == [(record.passages[0], 1, 5)]
        assert record.locate((4, 9)) == [(record.passages[0], 5, 1), (record.passages[1], 9, 2)]
        assert record.span_of(9, 8) == (7, 15)
        assert record.span_of(0, 3) is None  # the blank before the title is not read

    def test_without_an_abstract_all_passages_are_read(self) -> None:
        record = make_document("1", [Passage("One", "", 0), Passage(" ", "", 4), Passage("Two", "title", 6)])
        assert record.text == "One Two."
        assert record.title == ""

    def test_with_an_abstract_nothing_else_is(self) -> None:
        parts = [Passage("Body", "", 20), Passage("Abstract", "abstract", 6), Passage("Title?", "title", 0)]
        record = make_document("1", parts)
        assert record.text == "Title? Abstract"
        assert record.title == "Title?"
        assert [part.passage.path for part in record.parts] == [(2,), (1,)]


class TestBioc:
    def test_pubtator_3(self, tmp_path: Path) -> None:
        annotation = {
            "id": "2",
            "infons": {"identifier": "MESH:D009270", "type": "Chemical", "valid": True, "normalized": ["D009270"]},
            "text": "Naloxone",
            "locations": [{"offset": 0, "length": 8}],
        }
        roles = {"role1": {"identifier": "D009270"}, "type": "Association", "score": "0.5"}
        relation = {"id": "R1", "infons": roles, "nodes": [{"refid": "2", "role": "0,2"}]}
        document = {
            "_id": "7420681|None",
            "id": "7420681",
            "infons": {},
            "passages": [
                {
                    "infons": {"type": "title"},
                    "offset": 0,
                    "text": "Naloxone reverses",
                    "sentences": [],
                    "annotations": [annotation],
                    "relations": [],
                }
            ],
            "relations": [relation],
            "pmid": 7420681,
        }
        (record,) = read(tmp_path / "a.json", json.dumps({"PubTator3": [document]}))
        assert (record.id, record.text) == ("7420681", "Naloxone reverses.")
        (found,) = record.annotations
        assert (found.type, found.spans, found.identifier) == ("Chemical", ((0, 8),), "MESH:D009270")
        (related,) = record.relations
        assert (related.type, related.arguments, related.score) == ("Association", (("0,2", "2"),), 0.5)
        assert json.loads(write(record, "bioc-json")) == {"PubTator3": [document]}
        (again,) = biocxml.loads(write(record, "bioc-xml").partition("?>")[2]).documents
        assert again.passages[0].annotations[0].infons["valid"] == "true"
        assert again.passages[0].annotations[0].infons["normalized"] == '["D009270"]'

    def test_full_text_of_pmc(self, tmp_path: Path) -> None:
        passages = [
            {"infons": {"section_type": "TITLE", "type": "front"}, "offset": 0, "text": "Title"},
            {"infons": {"section_type": "ABSTRACT", "type": "abstract_title_1"}, "offset": 6, "text": "Aim"},
            {"infons": {"section_type": "ABSTRACT", "type": "abstract"}, "offset": 10, "text": "To see."},
            {"infons": {"section_type": "INTRO", "type": "title_1"}, "offset": 18, "text": "Introduction"},
            {"infons": {"section_type": "INTRO", "type": "paragraph"}, "offset": 31, "text": "Body."},
        ]
        collections = [{"source": "PMC", "documents": [{"id": str(id), "passages": passages}]} for id in (1, 2)]
        records = read(tmp_path / "a.json", json.dumps(collections))
        assert [record.text for record in records] == ["Title. Aim To see."] * 2
        assert records[0].collection == {"source": "PMC"}
        entity = Entity("x", "see", ((14, 17),))
        written = json.loads(write(records[0].with_extraction(Extraction((entity,))), "bioc-json"))
        assert [len(passage.get("annotations", ())) for passage in written["documents"][0]["passages"]] == [
            0,
            0,
            1,
            0,
            0,
        ]
        (added,) = written["documents"][0]["passages"][2]["annotations"]
        assert (added["text"], added["locations"]) == ("see", [{"offset": 13, "length": 3}])

    def test_a_document_a_line(self, tmp_path: Path) -> None:
        lines = [json.dumps({"id": id, "passages": [{"offset": 0, "text": id * 3}]}) for id in "ab"]
        for name in ("a.json", "a.jsonl"):
            assert [record.text for record in read(tmp_path / name, "\n".join(lines))] == ["aaa", "bbb"]

    def test_a_mention_over_the_end_of_a_passage_has_two_locations(self) -> None:
        record = make_document("1", title_and_abstract("tumour necrosis", "factor alpha"))
        entity = Entity("gene", "tumour necrosis factor", ((0, 23),))
        (document,) = json.loads(write(record.with_extraction(Extraction((entity,))), "bioc-json"))["documents"]
        (annotation,) = document["passages"][0]["annotations"]
        assert annotation["text"] == "tumour necrosis factor"
        assert annotation["locations"] == [{"offset": 0, "length": 15}, {"offset": 16, "length": 6}]

    def test_labels_are_infons_that_overwrite_nothing(self, tmp_path: Path) -> None:
        document = {"id": "1", "infons": {"answer": "no"}, "passages": [{"offset": 0, "text": "x"}]}
        (record,) = read(tmp_path / "a.json", json.dumps({"documents": [document]}))
        expected = {
            "answer": "no",
            "predicted_answer": "yes",
            "answer_score": "0.75",
            "mark": "a|b",
            "mark_score": "|0.5",
            "annotator": "m",
            "warnings": "x; y",
        }
        found = record.with_extraction(LABELS)
        assert json.loads(write(found, "bioc-json"))["documents"][0]["infons"] == expected
        xml = write(found, "bioc-xml")
        assert xml.index("<infon") < xml.index("<passage")
        (again,) = read(tmp_path / "a.xml", xml)
        assert write(again, "bioc-xml") == xml
        assert json.loads(write(again, "bioc-json"))["documents"][0]["infons"] == expected
        assert record.native == document  # adding changes a copy


class TestTables:
    def test_rows_columns_and_cells(self, tmp_path: Path) -> None:
        (record,) = read(tmp_path / "a.csv", 'Text,"a ""b""",mention\n" x, y",1,"2\n3"\n')
        assert (record.id, record.text) == ("a.csv:2", "x, y")
        entities = (Entity("t", "x", ((0, 1), (3, 4)), "I", 0.5), Entity("u", "lost"))
        found = record.with_extraction(Extraction(entities, warnings=("p", "q")))
        rows = list(csv.reader(io.StringIO(write(found, "csv", columns=item_columns(has_mentions=True)), newline="")))
        header = [
            "Text",
            'a "b"',
            "mention",
            "predicted_mention",
            "mention_id",
            "label",
            "start",
            "end",
            "score",
            "warnings",
        ]
        own = [" x, y", "1", "2\n3"]
        assert rows == [
            header,
            [*own, "x", "I", "t", "1", "2", "0.5", "p; q"],
            [*own, "y", "I", "t", "4", "5", "0.5", "p; q"],
            [*own, "lost", "", "u", "", "", "", "p; q"],
        ]

    def test_without_columns_items_are_json(self, tmp_path: Path) -> None:
        (record,) = read(tmp_path / "a.tsv", "pmid\ttitle\tabstract\n7\tOne\tTwo.\n")
        rows = list(csv.reader(io.StringIO(write(record.with_extraction(LABELS), "csv"), newline="")))
        assert rows[0] == ["pmid", "title", "abstract", "text", "items", "warnings"]
        assert rows[1][:4] == ["7", "One", "Two.", "One. Two."]
        assert json.loads(rows[1][4]) == [{"answer": "yes", "score": 0.75}, {"mark": "a"}, {"mark": "b", "score": 0.5}]


class TestJsonLines:
    def test_no_key_is_overwritten(self, tmp_path: Path) -> None:
        own = {
            "id": 5,
            "title": "T",
            "abstract": "A",
            "text": "else",
            "items": [1],
            "warnings": None,
            "x": {"y": 1e400},
        }
        (record,) = read(tmp_path / "a.jsonl", json.dumps(own))
        fields = json.loads(write(record.with_extraction(LABELS), "jsonl"))
        assert {name: fields[name] for name in own} == own
        assert fields["predicted_text"] == "T. A"
        assert fields["predicted_items"][0] == {"answer": "yes", "score": 0.75}
        assert fields["predicted_warnings"] == ["x", "y"]
        assert fields["annotator"] == "m"

    def test_nothing_is_added_where_nothing_was_looked_for(self, tmp_path: Path) -> None:
        line = '{"b": 1, "text": "x", "é": "\\ud800"}\n'
        (record,) = read(tmp_path / "a.jsonl", line)
        assert json.loads(write(record, "jsonl")) == json.loads(line)


class TestBrat:
    def test_what_it_can_say_of_relations(self, tmp_path: Path) -> None:
        (record,) = read(tmp_path / "a.txt", "One two\nthree.")
        one, three = Entity("a type", "one", ((0, 3),), "X:1"), Entity("b", "two\nthree", ((4, 13),), score=0.5)
        relations = (
            EntityRelation("is a", {"sub ject": one, "object": three}, {"kind": "very\nbig"}, 0.25),
            EntityRelation("is", {"subject": one, "object": Entity("c", "nowhere")}),
            EntityRelation("is", {"subject": one}),
        )
        with open_writer(tmp_path / "out", "brat") as writer:
            writer.write(record.with_extraction(Extraction(relations=relations, labels=LABELS.labels)))
            writer.write(record)
        assert (tmp_path / "out" / "a.txt_1.ann").read_text().splitlines() == [
            "T1\ta_type 0 3\tOne",
            "N1\tReference T1 X:1\tOne",
            "T2\tb 4 7;8 13\ttwo three",
            "#1\tAnnotatorNotes T2\tscore 0.5",
            "R1\tis_a sub_ject:T1 object:T2",
            "#2\tAnnotatorNotes R1\tscore 0.25; kind very big",
        ]
        assert (tmp_path / "out" / "documents.tsv").read_text() == "a.txt_1\ta.txt:1\na.txt_1_2\ta.txt:1\n"
        again = list(read_documents(tmp_path / "out", lambda problem: pytest.fail(str(problem))))
        assert [each.id for each in again] == ["a.txt:1", "a.txt:1"]
        assert [(each.text, each.spans) for each in again[0].annotations] == [
            ("One", ((0, 3),)),
            ("two three", ((4, 7), (8, 13))),
        ]
        assert again[0].relations[0].arguments == (("sub_ject", "T1"), ("object", "T2"))

    def test_events_and_attributes_stay(self, tmp_path: Path) -> None:
        (tmp_path / "1.txt").write_text("Binding of A to B.")
        marks = "T3\tGene 11 12\tA\nT9\tBinding 0 7\tBinding\nE1\tBinding:T9 Theme:T3\nA1\tNegation E1\n*\tEquiv T3 T9"
        (tmp_path / "1.ann").write_text(marks)
        (record,) = read_documents(tmp_path, lambda problem: pytest.fail(str(problem)))
        with open_writer(tmp_path / "out", "brat") as writer:
            writer.write(record.with_extraction(Extraction((Entity("Gene", "B", ((16, 17),)),))))
        assert (tmp_path / "out" / "1.ann").read_text() == f"{marks}\nT1\tGene 16 17\tB\n"


class TestPubTator:
    def test_added_lines_go_before_and_behind_relations(self, tmp_path: Path) -> None:
        (record,) = read(tmp_path / "a", "1|t|A b\r\n1|a|C\r\n1\t0\t1\tA\tx\tI\r\n1\tr\tI\tJ\r\n", "pubtator")
        first, other = Entity("t", "b", ((2, 3),)), Entity("t", "lost\there", ())
        relation = EntityRelation("CID", {"x": first, "y": other})
        text = write(
            record.with_extraction(Extraction(relations=(relation, relation), labels=LABELS.labels)), "pubtator"
        )
        assert text.split("\r\n") == [
            "1|t|A b",
            "1|a|C",
            "1\t0\t1\tA\tx\tI",
            "1\t2\t3\tb\tt\t-",
            "1\tr\tI\tJ",
            "1\tCID\tb\tlost here",
            "",
            "",
        ]

    def test_documents_of_other_formats_fit_on_their_lines(self, tmp_path: Path) -> None:
        (record,) = read(tmp_path / "a.txt", "One\ttwo\nthree")
        assert write(record, "pubtator") == "a.txt:1|t|\na.txt:1|a|One two three\n\n"
        relation = {"id": "r", "type": "CID", "arguments": []}
        (record,) = read(tmp_path / "a.jsonl", json.dumps({"id": "a b", "title": "T", "relations": [relation]}))
        assert write(record, "pubtator") == "a_b|t|T\na_b|a|\n\n"


def test_an_extraction_as_plain_data() -> None:
    drug = Entity("chemical", "naloxone", ((0, 8),), "D009270", 0.5)
    found = Extraction(
        (drug,), (EntityRelation("CID", {"chemical": drug}, {"a": "b"}),), (Label("answer", "yes", 0.9),), ("cut",), "m"
    )
    fields = found.placed_in("Naloxone.").to_dict()
    assert json.loads(json.dumps(fields)) == fields
    entity = {"type": "chemical", "name": "naloxone", "spans": [[0, 8]], "identifier": "D009270", "score": 0.5}
    assert fields == {
        "format_version": 1,
        "text": "Naloxone.",
        "entities": [entity],
        "relations": [{"type": "CID", "roles": {"chemical": entity}, "values": {"a": "b"}, "score": None}],
        "labels": [{"slot": "answer", "value": "yes", "score": 0.9}],
        "warnings": ["cut"],
        "annotator": "m",
    }
