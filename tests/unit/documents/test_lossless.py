"""Real files: what goes in comes out, as it was and with more added."""

import functools
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from bioc import biocjson, biocxml
from bioc import pubtator as bioc_pubtator
from lxml import etree

from biogpt.documents import (
    Article,
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    Problem,
    open_writer,
    read_articles,
    read_documents,
)
from biogpt.documents.types import end_title

pytestmark = pytest.mark.data

CDR = "benchmarks/BC5CDR/CDR_Data/CDR.Corpus.v010516"
EVALUATION = "benchmarks/BC5CDR/BC5CDR_Evaluation-0.0.3/data"
PUBTATOR = {
    "formats/pubtator/bioconcepts2pubtator_offsets.sample": (651, 7539, 7537, 0),
    "formats/pubtator/ncbi-disease.train.original.txt": (593, 5145, 5145, 0),
    "formats/pubtator/tmVar.Normalization.txt": (158, 674, 674, 1),
    f"{CDR}/CDR_TestSet.PubTator.txt": (500, 9809, 9809, 1066),
    f"{EVALUATION}/test/CDR_sample.test.CID.PubTator": (50, 871, 871, 681),
}
"""Documents, annotations, those of them whose offsets give their text, relations."""
BIOC_XML = {
    "formats/bioc/everything.xml": (2, 5, 5, 3),
    f"{CDR}/CDR_TestSet.BioC.xml": (500, 9928, 9928, 1066),
    f"{EVALUATION}/test/CDR_sample.test.CID.BioC.xml": (50, 871, 818, 681),
}
PUBMED = (
    "medline16n0902.xml.gz",
    "pubmed-29768149.xml",
    "pubmed21n0001.xml.gz",
    "pubmed21n1000.xml.gz",
    "pubmed21n1001.xml.gz",
    "pubmed21n1002.xml.gz",
    "test_current_medline.xml.gz",
)


def refuse(problem: Problem) -> None:
    pytest.fail(str(problem))


def read(path: Path) -> list[Document]:
    return list(read_documents(path, refuse))


BRACKETS = re.compile(r"^\[([^\[\]]*)\]\.")
"""Around a translated title."""


@functools.cache
def read_source(path: Path) -> tuple[Document, ...]:
    """Of a data set, which is read once; what is added to a document changes a copy."""
    return tuple(read_documents(path, refuse))


def count(records: Sequence[Document]) -> tuple[int, int, int, int]:
    annotations = [annotation for record in records for annotation in record.annotations]
    num_placed = sum(bool(annotation.spans) for annotation in annotations)
    return len(records), len(annotations), num_placed, sum(len(record.relations) for record in records)


def write(records: Sequence[Document], path: Path, format: str) -> Path:
    with open_writer(path, format) as writer:
        for record in records:
            writer.write(record)
    return path


def enrich(record: Document) -> Document:
    """A record with two words related, and a label."""
    words = [found.span() for found in itertools.islice(re.finditer(r"\S+", record.text), 2)]
    entities = [Entity("word", record.text[slice(*span)], (span,), score=0.5) for span in words]
    relation = EntityRelation("follows", {"second": entities[-1], "first": entities[0]}, score=0.25)
    return record.with_extraction(Extraction(relations=(relation,), labels=(Label("answer", "yes"),), annotator="test"))


@pytest.mark.parametrize("name", PUBTATOR)
def test_pubtator_to_the_byte(data_path: Path, tmp_path: Path, name: str) -> None:
    records = read_source(data_path / name)
    assert count(records) == PUBTATOR[name]
    assert write(records, tmp_path / "out", "pubtator").read_bytes() == (data_path / name).read_bytes()


@pytest.mark.parametrize("name", PUBTATOR)
def test_lines_are_added_to_pubtator_and_none_taken(data_path: Path, tmp_path: Path, name: str) -> None:
    before = (data_path / name).read_bytes().decode().split("\n")
    records = read_source(data_path / name)
    path = write([enrich(record) for record in records], tmp_path / "out.pubtator", "pubtator")
    after = path.read_bytes().decode().split("\n")
    added = [
        line
        for line in after
        if line.rstrip("\r").endswith(("word\t-\t0.5 test", "\t0.25 test")) and line not in before
    ]
    assert [line for line in after if line and line not in added] == [line for line in before if line]
    assert len(added) == sum(len(record.text.split()[:2]) + 1 for record in records)  # mentions, and a relation
    again = [record.annotations[-1].text for record in read(path)]
    assert again == [record.text.split()[0] for record in records]


def elements(path: Path) -> list[bytes]:
    """The parts of a collection, each in canonical form."""
    root = etree.parse(path).getroot()
    return [etree.tostring(element, method="c14n", with_tail=False) for element in root]


@pytest.mark.parametrize("name", BIOC_XML)
def test_bioc_xml_to_the_element(data_path: Path, tmp_path: Path, name: str) -> None:
    records = read_source(data_path / name)
    assert count(records) == BIOC_XML[name]
    path = write(records, tmp_path / "out.xml", "bioc-xml")
    assert elements(path) == elements(data_path / name)
    known, found = (etree.parse(each).docinfo.doctype for each in (data_path / name, path))
    assert found == known


@pytest.mark.parametrize("name", BIOC_XML)
def test_added_to_bioc_xml_without_touching_what_was_there(data_path: Path, tmp_path: Path, name: str) -> None:
    path = write([enrich(record) for record in read_source(data_path / name)], tmp_path / "out.xml", "bioc-xml")
    with (data_path / name).open("rb") as known_file, path.open("rb") as file:
        known, collection = biocxml.load(known_file), biocxml.load(file)
    for document in collection.documents:
        assert document.infons.pop("answer") == "yes"
        assert document.infons.pop("annotator") == "test"
        new = [relation for relation in document.relations if relation.id.startswith("PR")]
        assert [node.role for relation in new for node in relation.nodes] == ["second", "first"]
        document.relations = [relation for relation in document.relations if relation not in new]
        units = [unit for passage in document.passages for unit in (passage, *passage.sentences)]
        for unit in units:
            unit.annotations = [each for each in unit.annotations if not each.id.startswith("P")]
    assert biocjson.dumps(collection) == biocjson.dumps(known)


def test_bioc_json_to_the_value(data_path: Path, tmp_path: Path) -> None:
    path = data_path / "formats/bioc/everything.json"
    records = read_source(path)
    assert count(records) == BIOC_XML["formats/bioc/everything.xml"]
    assert json.loads(write(records, tmp_path / "out.json", "bioc-json").read_text()) == json.loads(path.read_text())


@pytest.mark.parametrize("name", BIOC_XML)
def test_bioc_there_and_back(data_path: Path, tmp_path: Path, name: str) -> None:
    """From XML to JSON and back nothing is lost that the `bioc` package can see."""
    middle = write(read_source(data_path / name), tmp_path / "middle.json", "bioc-json")
    with (data_path / name).open("rb") as file:
        known = biocxml.load(file)
    assert biocjson.loads(middle.read_text()).documents[0].id == known.documents[0].id
    path = write(read(middle), tmp_path / "out.xml", "bioc-xml")
    with path.open("rb") as file:
        assert biocjson.dumps(biocxml.load(file)) == biocjson.dumps(known)


def test_brat_to_the_byte(data_path: Path, tmp_path: Path) -> None:
    source = data_path / "formats/brat"
    records = read_source(source)
    assert count(records) == (3, 23, 23, 0)
    write(records, tmp_path / "out", "brat")
    for path in source.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    write([enrich(record) for record in records], tmp_path / "more", "brat")
    for path in source.glob("*.ann"):
        more = (tmp_path / "more" / path.name).read_bytes()
        assert more.startswith(path.read_bytes())
        ids = [line.split("\t")[0] for line in more.decode().splitlines()]
        assert len(set(ids)) == len(ids)
    assert [record.annotations[-1].text for record in read(tmp_path / "more")] == [
        record.text.split()[0] for record in records
    ]


@pytest.mark.parametrize("name", PUBMED)
def test_documents_and_articles_of_pubmed_have_the_same_texts(data_path: Path, name: str) -> None:
    path = data_path / "pubmed_xml" / name
    documents: dict[str, Article] = {document.id: document for document in read_articles(path, refuse)}
    texts = {id: BRACKETS.sub(lambda found: end_title(found[1]), each.text()) for id, each in documents.items()}
    assert {record.id: record.text for record in read_source(path)} == texts


@pytest.mark.parametrize("written", ["jsonl", "csv", "tsv", "pubtator", "bioc-xml", "bioc-json", "brat"])
def test_pubmed_keeps_ids_and_all_that_is_read(data_path: Path, tmp_path: Path, written: str) -> None:
    for name in PUBMED:
        records = read_source(data_path / "pubmed_xml" / name)
        again = list(read_documents(write(records, tmp_path / f"{name}.{written}", written), refuse, written))
        assert {record.id: record.text for record in again} == {record.id: record.text for record in records}
        if written != "brat":  # whose documents come by name
            assert [record.id for record in again] == [record.id for record in records]


@pytest.mark.parametrize("written", ["jsonl", "pubtator", "bioc-xml", "bioc-json", "brat"])
def test_annotations_go_from_format_to_format(data_path: Path, tmp_path: Path, written: str) -> None:
    """The corpus exists as PubTator and as BioC: what is written from the one says the same as the other."""
    records = list(read_source(data_path / CDR / "CDR_TestSet.PubTator.txt"))[:200]
    again = list(read_documents(write(records, tmp_path / f"out.{written}", written), refuse, written))
    if written == "brat":
        again.sort(key=lambda record: record.id)
        records.sort(key=lambda record: record.id)
    for record, other in zip(records, again, strict=True):
        assert other.text == record.text
        placed = [(each.type, each.spans, each.identifier.removeprefix("ID:")) for each in record.annotations]
        assert [(each.type, each.spans, each.identifier) for each in other.annotations] == placed
        names = {each.id: each.identifier for each in other.annotations}
        assert [each.type for each in other.relations] == [each.type for each in record.relations]
        for relation, found in zip(record.relations, other.relations, strict=True):
            # Identifiers in PubTator; elsewhere a mention, which may be one of several things.
            for (_, identifier), (_, value) in zip(relation.arguments, found.arguments, strict=True):
                assert identifier in names.get(value, value).split("|")


def test_the_bioc_package_reads_our_pubtator(data_path: Path, tmp_path: Path) -> None:
    records = read_source(data_path / "pubmed_xml/pubmed21n1000.xml.gz")
    path = write([enrich(record) for record in records], tmp_path / "out", "pubtator")
    documents = bioc_pubtator.loads(path.read_text())
    assert [document.pmid for document in documents] == [record.id for record in records]
    for document in documents:
        for annotation in document.annotations:
            assert f"{document.title} {document.abstract}"[annotation.start : annotation.end] == annotation.text
