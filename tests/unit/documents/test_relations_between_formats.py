"""What a document came with, in every other format: relations by both conventions, and predictions in PubTator."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from bioc import biocxml, pubtator

from biogpt.documents import Document, Entity, EntityRelation, Extraction, open_writer, read_documents, write_documents
from biogpt.documents.types import Annotation, Passage, Relation, make_document

WITH_RELATIONS = ("pubtator", "bioc-xml", "bioc-json", "jsonl")


def read(path: Path, content: str | None = None, format: str | None = None) -> Document:
    if content is not None:
        path.write_text(content, encoding="utf-8")
    (document,) = read_documents(path, lambda problem: pytest.fail(str(problem)), format)
    return document


def write(document: Document, format: str) -> str:
    out = io.BytesIO()
    with open_writer(out, format) as writer:
        writer.write(document)
    return out.getvalue().decode()


def named(document: Document) -> list[tuple[Any, ...]]:
    """Each relation by what it says, whatever ids a format uses."""
    return [(each.type, *each.name_arguments(document.annotations), each.score) for each in document.relations]


def pubtator3(role: Any, nodes: list[dict[str, str]] | None = None) -> str:
    annotations = [
        {
            "id": str(number),
            "infons": {"type": type, "identifier": identifier},
            "text": text,
            "locations": [{"offset": offset, "length": len(text)}],
        }
        for number, type, identifier, text, offset in (
            (1, "Gene", "2", "A2M", 0),
            (2, "Disease", "MESH:D014202", "tremor", 4),
        )
    ]
    infons = {"score": "0.99", "type": "Association", "role1": role, "role2": "Disease|MESH:D014202"}
    relation = {"id": "R1", "infons": infons, "nodes": nodes or [{"refid": "0", "role": "1,2"}]}
    passage = {"infons": {"type": "title"}, "offset": 0, "text": "A2M tremor", "annotations": annotations}
    return json.dumps({"PubTator3": [{"id": "7", "infons": {}, "passages": [passage], "relations": [relation]}]})


@pytest.fixture
def lithium(data_path: Path) -> Document:
    return read(data_path / "cases/pubtator3_relation.xml")


@pytest.mark.data
def test_a_relation_of_pubtator_3_in_every_format(lithium: Document, tmp_path: Path) -> None:
    relation = ("Positive_Correlation", "MESH:D008094", "MESH:D014202", 0.99)
    assert named(lithium) == [relation]
    assert "7\tPositive_Correlation\tMESH:D008094\tMESH:D014202\t0.99\n" in write(lithium, "pubtator")
    for format in WITH_RELATIONS:
        text = write(lithium, format)
        again = read(tmp_path / format, text, format)
        assert named(again) == [relation], format
        for other in WITH_RELATIONS:
            assert named(read(tmp_path / other, write(again, other), other)) == [relation], (format, other)
    (row,) = csv.DictReader(io.StringIO(write(lithium, "csv")))
    arguments = [["Chemical", "MESH:D008094"], ["Disease", "MESH:D014202"]]
    assert json.loads(row["relations"]) == [
        {"id": "R1", "type": "Positive_Correlation", "arguments": arguments, "score": 0.99}
    ]
    assert [each["identifier"] for each in json.loads(row["annotations"])] == ["MESH:D008094", "MESH:D014202"]
    write_documents([lithium], tmp_path / "brat", "brat")
    lines = (tmp_path / "brat" / "7.ann").read_text().splitlines()
    assert "R1\tPositive_Correlation Chemical:T1 Disease:T2" in lines
    assert "#1\tAnnotatorNotes R1\tscore 0.99" in lines
    assert "N1\tReference T1 MESH:D008094\tLithium" in lines
    back = read(tmp_path / "brat")
    assert named(back) == [(*relation[:3], None)]  # a note is not read as a score


@pytest.mark.parametrize("role", ["Gene|2", {"type": "Gene", "identifier": "2", "valid": True}])
def test_an_identifier_is_not_taken_for_the_id_of_an_annotation(role: Any, tmp_path: Path) -> None:
    document = read(tmp_path / "a.json", pubtator3(role))
    assert named(document) == [("Association", "2", "MESH:D014202", 0.99)]
    assert [each and each.text for each in document.relations[0].resolve(document.annotations)] == ["A2M", "tremor"]
    assert '"by_identifier": true' in write(document, "jsonl")
    for format in WITH_RELATIONS:
        assert named(read(tmp_path / format, write(document, format), format)) == named(document), format
    # As PubTator 3 has it, back in both of its formats.
    assert json.loads(write(document, "bioc-json"))["PubTator3"][0]["relations"][0]["infons"]["role1"] == role
    (again,) = biocxml.loads(write(document, "bioc-xml").partition("?>")[2]).documents
    assert again.relations[0].infons["role1"] == "Gene|2"


def test_nodes_that_name_annotations_come_first(tmp_path: Path) -> None:
    nodes = [{"refid": "2", "role": "to"}, {"refid": "1", "role": "from"}]
    document = read(tmp_path / "a.json", pubtator3("Gene|9", nodes))
    assert document.relations[0].arguments == (("to", "2"), ("from", "1"))
    assert named(document) == [("Association", "MESH:D014202", "2", 0.99)]


def test_two_entities_of_one_type(tmp_path: Path) -> None:
    places = (
        ("T1", "Chemical", "lithium", (0, 7), "MESH:D008094"),
        ("T2", "Chemical", "gold", (12, 16), "MESH:D006046"),
    )
    annotations = tuple(Annotation(id, type, text, (span,), name) for id, type, text, span, name in places)
    relation = Relation("R1", "Cotreatment", tuple(("Chemical", each[4]) for each in places), by_identifier=True)
    document = make_document("1", [Passage("lithium and gold")], annotations=annotations, relations=(relation,))
    for format in WITH_RELATIONS:
        assert named(read(tmp_path / format, write(document, format), format)) == named(document), format
    write_documents([document], tmp_path / "out", "brat")
    assert "R1\tCotreatment Arg1:T1 Arg2:T2" in (tmp_path / "out" / "1.ann").read_text()


@pytest.mark.data
def test_predictions_in_pubtator_are_read_by_bioc(data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = read(data_path / "cases/no_identifier.pubtator")
    lithium, tremor = (
        Entity("Chemical", "Lithium", ((0, 7), (20, 27)), "MESH:D008094|X:1", 0.75),
        Entity("Disease", "tremor", ((12, 18), (35, 41))),
    )
    relation = EntityRelation("CID", {"chemical": lithium, "disease": tremor}, score=0.5)
    extraction = Extraction((lithium, tremor), (relation,), annotator="my|model 2")
    text = write(document.with_extraction(extraction), "pubtator")
    assert [line.split("\t")[1:] for line in text.splitlines()[2:8]] == [
        ["0", "7", "Lithium", "Chemical", "MESH:D008094|X:1", "0.75 my/model 2"],
        ["19", "26", "Lithium", "Chemical", "MESH:D008094|X:1", "0.75 my/model 2"],
        ["12", "18", "tremor", "Disease", "-", "- my/model 2"],
        ["34", "40", "tremor", "Disease", "-", "- my/model 2"],
        ["CID", "MESH:D008094", "tremor", "0.5 my/model 2"],
        ["CID", "X:1", "tremor", "0.5 my/model 2"],
    ]
    (parsed,) = pubtator.loads(text)
    assert [(each.text, each.id) for each in parsed.annotations][2:] == [("tremor", "-")] * 2
    assert [(each.type, each.id1, each.id2) for each in parsed.relations] == [
        ("CID", "MESH:D008094", "tremor"),
        ("CID", "X:1", "tremor"),
    ]
    assert not capsys.readouterr().out  # it prints each line that it does not know


def test_what_pubtator_says_already_is_not_said_again(tmp_path: Path) -> None:
    known = "1|t|Lithium and tremor\n1|a|\n1\t0\t7\tLithium\tChemical\tMESH:D008094\n1\tCID\tMESH:D008094\ttremor\n\n"
    document = read(tmp_path / "a", known, "pubtator")
    lithium, tremor = Entity("chemical", "lithium", ((0, 7),)), Entity("disease", "tremor", ((12, 18),))
    relations = tuple(EntityRelation("CID", {"a": lithium, "b": tremor}) for _ in range(2))
    found = document.with_extraction(Extraction((lithium, tremor), relations, annotator="m"))
    assert write(found, "pubtator") == known.replace("1\tCID", "1\t12\t18\ttremor\tdisease\t-\t- m\n1\tCID")
    again = read(tmp_path / "b", write(found, "pubtator"), "pubtator")
    assert [(each.text, each.identifier) for each in again.annotations] == [("Lithium", "MESH:D008094"), ("tremor", "")]
    assert write(again.with_extraction(found.extraction), "pubtator") == write(found, "pubtator")  # type: ignore[arg-type]


def test_a_composite_mention_is_related_by_each_of_its_identifiers(tmp_path: Path) -> None:
    content = "1|t|Lithium: renal and heart failure\n1|a|\n1\t0\t7\tLithium\tChemical\tD1\n"
    content += "1\t9\t32\trenal and heart failure\tDisease\tD2|D3\n1\tCID\tD1\tD3\n"
    document = read(tmp_path / "a.pubtator", content)
    lithium = Entity("Chemical", "Lithium", ((0, 7),), "D1")
    both = Entity("Disease", "renal and heart failure", ((9, 32),), "D2|D3")
    relation = EntityRelation("CID", {"chemical": lithium, "disease": both}, {}, 0.5)
    found = document.with_extraction(Extraction(relations=(relation,), annotator="mini"))
    assert write(found, "pubtator").splitlines()[4:] == ["1\tCID\tD1\tD3", "1\tCID\tD1\tD2\t0.5 mini", ""]
    brat_like = make_document(
        "1",
        [Passage("Lithium: renal and heart failure", "title")],
        annotations=(
            Annotation("T1", "Chemical", "Lithium", ((0, 7),), "D1"),
            Annotation("T2", "Disease", "renal and heart failure", ((9, 32),), "D2|D3"),
        ),
        relations=(Relation("R1", "CID", (("a", "T1"), ("b", "T2"))),),
    )
    assert write(brat_like, "pubtator").splitlines()[4:] == ["1\tCID\tD1\tD2", "1\tCID\tD1\tD3", ""]
