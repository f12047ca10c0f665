"""Conversion: documents of requests, formats of answers, extractions that come back to be written."""

import pytest

from biogpt.documents import OUTPUT_FORMATS, read_documents
from biogpt.server.conversion import (
    MEDIA_TYPES,
    check_format,
    choose_format,
    columns_of_documents,
    describe_document,
    describe_extraction,
    make_source,
    read_extraction,
    write_documents,
)
from biogpt.server.failures import ApiError
from biogpt.server.schemas import DocumentIn, ExtractionOut


def test_the_query_goes_before_the_header():
    assert choose_format("csv", "application/xml") == "csv"
    assert choose_format(None, None) == "json"
    assert choose_format(None, "text/html, application/xml;q=0.9, */*") == "bioc-xml"
    assert choose_format(None, "text/csv") == "csv"
    with pytest.raises(ApiError, match="Did you mean 'csv'"):
        choose_format("cvs", None)
    with pytest.raises(ApiError) as refused:
        choose_format(None, "image/png")
    assert refused.value.status == 406
    assert set(MEDIA_TYPES) - {"json"} <= set(OUTPUT_FORMATS)


def test_a_format_that_cannot_say_what_is_found_is_refused():
    check_format("json", "labels")
    with pytest.raises(ApiError, match="pubtator cannot say labels"):
        check_format("pubtator", "labels")


@pytest.mark.parametrize(
    ("given", "fields", "message"),
    [
        ({}, [], r"documents\[2\] has no text"),
        ({"title": "  ", "text": "\n"}, [], r"documents\[2\] has no text"),
        ({"text": "x" * 101}, [], "has 101 characters, expected at most 100"),
        ({"fields": {"question": "a"}}, ["question", "context"], r"no text in fields\['context'\]"),
        ({"fields": {"question": "a"}}, [], "has fields, expected title and abstract"),
        ({"text": "a"}, ["question"], r"no text in fields\['question'\]"),
    ],
)
def test_a_document_without_what_the_task_reads_is_named(given, fields, message):
    with pytest.raises(ApiError, match=message):
        make_source(DocumentIn(**given), 2, fields, 100)


EXTRACTION = {
    "id": "7",
    "text": "Naloxone reverses. Naloxone <b>α</b> pain.",
    "entities": [{"type": "Chemical", "name": "Naloxone", "spans": [[0, 8], [19, 27]], "score": 0.9}],
    "relations": [
        {
            "type": "CID",
            "roles": {
                "chemical": {"type": "Chemical", "name": "Naloxone", "spans": [[0, 8]], "identifier": "D009270"},
                "disease": {"type": "Disease", "name": "pain", "spans": [[37, 41]]},
            },
            "score": 0.5,
        }
    ],
    "annotator": "test",
}


@pytest.mark.parametrize("format", sorted(set(MEDIA_TYPES) - {"json"}))
def test_what_is_sent_back_is_written_as_the_writers_write_it(format, tmp_path):
    given = DocumentIn(id=7, title="Naloxone reverses", abstract="Naloxone <b>α</b> pain.")
    source, _ = make_source(given, 0, [], 1000)
    assert describe_document(source) == {"id": "7", "title": given.title, "abstract": given.abstract}
    document = read_extraction(ExtractionOut(**EXTRACTION), source, 0)
    again = ExtractionOut(**describe_extraction(document))
    assert again.entities == ExtractionOut(**EXTRACTION).entities
    content = write_documents([document], format, columns_of_documents([document]))
    if format not in ("xlsx", "parquet"):  # which are compressed
        assert b"Naloxone" in content
        assert (b"D009270" in content) == (format not in ("doccano", "label-studio"))  # without a place for identifiers
    if format in ("pubtator", "bioc-xml", "bioc-json"):
        path = tmp_path / "written"
        path.write_bytes(content)
        (read,) = read_documents(path, format=format)
        assert read.text == document.text
        assert {annotation.text for annotation in read.annotations} >= {"Naloxone", "pain"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "another"}, "is not the text"),
        ({"entities": [{"type": "a", "name": "b", "spans": [[40, 99]]}]}, "span"),
    ],
)
def test_an_extraction_of_another_document_is_refused(changes, message):
    source, _ = make_source(DocumentIn(title="Naloxone reverses", abstract="Naloxone <b>α</b> pain."), 0, [], 1000)
    with pytest.raises(ApiError, match=message):
        read_extraction(ExtractionOut(**{**EXTRACTION, **changes}), source, 0)
