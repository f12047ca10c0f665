"""Formats: how they are told, what is refused, what is skipped, how a killed run goes on."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from biogpt.documents import (
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    detect_format,
    open_writer,
    output_format,
    read_documents,
    write_documents,
)
from biogpt.errors import DataError, InputError

BIOC_XML = "<collection><source>s</source><date/><key/>{}</collection>"
DOCUMENT_XML = "<document><id>{}</id><passage><offset>{}</offset><text>Some text.</text></passage></document>"
PUBTATOR = "1|t|A title.\n1|a|An abstract.\n"
PUBMED = (
    "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>A title.</ArticleTitle>"
    "</Article></MedlineCitation></PubmedArticle></PubmedArticleSet>"
)


def document_json(id: object = "1", offset: object = 0, text: object = "Some text.") -> dict[str, object]:
    return {"id": id, "infons": {}, "passages": [{"offset": offset, "infons": {}, "text": text}]}


def write(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(path: Path, format: str | None = None) -> tuple[list[Document], list[str]]:
    problems: list[str] = []
    records = list(read_documents(path, lambda problem: problems.append(str(problem)), format))
    return records, problems


def whole(record: Document) -> Document:
    """A record with one finding of each sort."""
    first = Entity("chemical", record.text.split()[0], ((0, len(record.text.split()[0])),), "MESH:D1", 0.5)
    last = Entity(
        "disease", record.text.split()[-1], ((len(record.text) - len(record.text.split()[-1]), len(record.text)),)
    )
    relation = EntityRelation("CID", {"chemical": first, "disease": last}, {"effect": "strong"}, 0.25)
    return record.with_extraction(Extraction((first,), (relation,), (Label("answer", "yes", 0.75),), ("x",), "mini"))


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.txt", "Some text.", "text"),
        ("a.txt.gz", "Some text.", "text"),
        ("a.txt", "", "text"),
        ("a.txt", "\n\n" + PUBTATOR, "pubtator"),
        ("a.PubTator", PUBTATOR, "pubtator"),
        ("a.sample.gz", PUBTATOR, "pubtator"),
        ("a.jsonl", '{"text": "x"}', "jsonl"),
        ("a.ndjson", '{"text": "x"}', "jsonl"),
        ("a.jsonl", json.dumps(document_json()), "bioc-json"),
        ("a.json", json.dumps({"source": "", "documents": []}), "bioc-json"),
        ("a.json", json.dumps([document_json()]), "bioc-json"),
        ("a.json.gz", json.dumps({"PubTator3": []}), "bioc-json"),
        ("a.json", '{"text": "x"}\n{"text": "y"}\n', "jsonl"),
        ("a.xml", BIOC_XML, "bioc-xml"),
        (
            "a.XML.gz",
            '<?xml version="1.0"?><!DOCTYPE collection SYSTEM "BioC.dtd">\n<!-- <a> -->' + BIOC_XML,
            "bioc-xml",
        ),
        ("a", "\ufeff" + BIOC_XML, "bioc-xml"),
        ("a.xml", PUBMED, "pubmed"),
        ("a.txt", PUBMED, "pubmed"),
        ("a.csv", "id,text\n", "csv"),
        ("a.tsv.gz", "id\ttext\n", "tsv"),
    ],
)
def test_the_format_is_told_by_name_and_content(tmp_path: Path, name: str, content: str, format: str) -> None:
    path = write(tmp_path / name, content)
    assert detect_format(path) == format
    assert format in INPUT_FORMATS


def test_a_directory_is_brat(tmp_path: Path) -> None:
    assert detect_format(tmp_path) == "brat"


def test_an_outputs_name_tells_its_format() -> None:
    names = ("a.jsonl", "a.csv", "a.tsv", "a.pubtator", "a.xml", "a.json", "a.txt", "a")
    formats = ["jsonl", "csv", "tsv", "pubtator", "bioc-xml", "bioc-json", None, None]
    assert [output_format(Path(name)) for name in names] == formats


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a", "Some text.", r"Cannot tell what .* holds\. Expected a name ending in .* one of text, jsonl"),
        ("a.xml", "<html><body/></html>", r"the root element is <html>\. Expected <collection> \(BioC\)"),
        ("a.xml", "", r"a\.xml:1: not well-formed XML"),
        ("a.xml", BIOC_XML[:-3], r"a\.xml:1: not well-formed XML"),
        ("a.xml", b"<collection>\xff</collection>", r"a\.xml:1: not well-formed XML"),
        ("a.json", '{"documents": [{"id": "1"', r"a\.json: not JSON \(.*character 2\d\)\. Expected BioC JSON"),
        ("a.json", '{"documents": [{"id": 1} {"id": 2}]}', r"not JSON \(expected ',' or '\]', character 26\)"),
        ("a.json", '{"documents": [{"id": tru}]}', r"not JSON \(Expecting value, character 23\)"),
        ("a.json", b'{"documents": [{"id": "\xff"}]}', r"a\.json is not UTF-8|a\.json is not in UTF-8"),
        (
            "a.csv",
            "id,txt\n1,x\n",
            r"has no column 'text', 'title' or 'abstract'\. Did you mean 'text'\? Found: id, txt",
        ),
        ("a.csv", "", r"has no column 'text', 'title' or 'abstract'\. Found: nothing"),
        ("a.csv", "text,Text\n1,x\n", r"has the column 'text' more than once"),
        ("a.csv", '"a"b,text\n1,x\n', r"a\.csv:1: the names of the columns cannot be read"),
        ("a.txt", "Caf\xe9\nna\xefve\n".encode("latin-1"), r"a\.txt is not in UTF-8 \(byte 0xe9 .*iconv -f CP1252"),
        ("a.jsonl", '{"text": "Müller"}\n{"text": "é"}\n'.encode("cp1252"), r"a\.jsonl is not in UTF-8"),
        ("a.csv", "id,text\n1,Café\n2,naïve\n".encode("latin-1"), r"a\.csv is not in UTF-8"),
        ("a.txt", "Some text.".encode("utf-16"), r"a\.txt is in UTF-16; expected UTF-8 text\. Convert it"),
        ("a.pubtator", PUBTATOR.encode("utf-16-le"), r"a\.pubtator is UTF-16 or binary"),
        ("a.xml", f"<collection>{DOCUMENT_XML}\0</collection>", r"a\.xml:1: not well-formed XML"),
        ("a.csv", b"id,te\xffxt,text\n1,2,3\n", r"a\.csv:1: bytes that are not UTF-8 in the names of the columns"),
        ("a.txt.gz", b"", None),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), r"a\.jsonl is packed \(gzip\)\. .* Add \.gz to its name\."),
        ("a.xlsx", b"PK\x03\x04...", r"a\.xlsx is no workbook of Excel \(.*\)\. Save it"),
    ],
)
def test_a_bad_file_stops_in_one_line(tmp_path: Path, name: str, content: str | bytes, message: str | None) -> None:
    path = write(tmp_path / name, content)
    if message is None:
        path.write_bytes(gzip.compress(b"Some text. " * 100)[:-9])
        message = r"the gzip stream is damaged or cut off"
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_what_can_be_told_at_once_is_told_before_the_first_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column"):
        read_documents(write(tmp_path / "a.csv", "a,b\n"), pytest.fail)
    with pytest.raises(DataError, match="not in UTF-8"):
        read_documents(write(tmp_path / "a.txt", b"\xe9"), pytest.fail)
    with pytest.raises(DataError, match="Cannot read"):
        read_documents(tmp_path / "missing.jsonl", pytest.fail)
    with pytest.raises(InputError, match=r"Unknown format 'bioc_xml'\. Did you mean 'bioc-xml'\?"):
        read_documents(tmp_path / "a.xml", pytest.fail, "bioc_xml")
    with pytest.raises(InputError, match=r"Unknown format 'pubmed'\. .*Expected one of jsonl"):
        open_writer(tmp_path / "a.xml", "pubmed")
    with pytest.raises(DataError, match=r"Cannot write .*missing/a\.jsonl"):
        open_writer(tmp_path / "missing" / "a.jsonl", "jsonl")
    with pytest.raises(DataError, match=r"has no \.txt file"):
        read(tmp_path, "brat") if not list(tmp_path.glob("*.txt")) else read(tmp_path / "..", "brat")


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        (
            "a.jsonl",
            b'{"id": "1", "text": "x"}\n{"text": "\xff"}\n{"txt": ""}\n{"title": " "}\n{"id": "2", "text": "y"}\n',
            {":2: byte 11": "not UTF-8", ":3: ": "Did you mean 'text'?", ":4: ": "no text"},
        ),
        ("a.txt", b"One.\n\n\xff\n\nTwo.\n", {":3: byte 1": "not UTF-8"}),
        (
            "a.csv",
            b'id,text\n1,x\n,\n3\n4,"a"b\n5,\n6,\xff\n2,y\n',
            {":4: 1 cells; expected 2: id, text": "", ":5: quotes": "", ":6: no text": "", ":7: bytes": "not UTF-8"},
        ),
        ("a.csv", b'id,"te\nxt",text\n1,2,x\n3\n2,2,y\n', {":4: 1 cells; expected 3: id, te xt, text": ""}),
        ("a.tsv", b'id\ttext\n1\tx\n2\ty\n3\t"never closed\n4\tz\n', {":4: quotes": "unexpected end of data"}),
        (
            "a.pubtator",
            PUBTATOR.encode()
            + b"\n2|t|T\nno tabs\n\n3|t|T\n4\t0\t1\tT\tx\n\n5\t0\t1\tT\tx\n\n6|t|\n\n7|t|T\n7|t|T\n"
            + b"\n8|t|\xff\n\n9|t|T\n",
            {
                ":5: got 'no tabs'; expected id|t|title": "",
                ":8: a line of document '4' among those of '3'": "",
                ":10: document '5' has neither a '|t|' nor an '|a|' line": "",
                ":12: document '6' has no text": "",
                ":15: a second '|t|' line of document '7'": "",
                ":17: bytes": "not UTF-8",
            },
        ),
        (
            "a.xml",
            BIOC_XML.format(
                DOCUMENT_XML.format(1, 0)
                + DOCUMENT_XML.format(2, "x")
                + DOCUMENT_XML.format("", 0)
                + "<document><id>4</id></document>"
                + DOCUMENT_XML.format(5, "0").replace("Some text", "&own;")
                + DOCUMENT_XML.format(6, "0").replace(
                    "</passage>", "<annotation id='1'><location/></annotation></passage>"
                )
                + DOCUMENT_XML.format(7, 10)
            ).replace("<collection>", '<!DOCTYPE collection [<!ENTITY own "text">]><collection>'),
            {
                ": document 2 (2): a passage has the offset 'x'; expected a number": "",
                ": document 3: no id": "",
                ": document 4 (4): document 4 has no text": "",
                ": document 5 (5): the entity &own;": "",
                ": document 6 (6): annotation 1 has a location without offset and length": "",
            },
        ),
        (
            "a.json",
            json.dumps(
                {
                    "documents": [
                        document_json(1),
                        document_json(offset=None),
                        [],
                        {"id": "x"},
                        {"id": "x", "passages": [1]},
                        {"id": "x", "passages": [{"infons": [], "text": "x"}]},
                        document_json(text=["x"]),
                        document_json(text="\ud800"),
                        {**document_json(), "annotations": [1]},
                        document_json(2),
                    ]
                }
            ),
            {
                ": document 2: a passage has the offset None": "",
                ": document 3: a JSON list": "",
                ": document 4: no list of passages": "",
                ": document 5: a passage is a JSON int": "",
                ": document 6: a passage has the offset None": "",
                ": document 7: the text of a passage is a list": "",
                ": document 8: a passage holds half of a surrogate pair": "",
                ": document 9: parts of the wrong kind": "",
            },
        ),
    ],
)
def test_a_bad_record_is_named_and_the_next_one_read(
    tmp_path: Path, name: str, content: str | bytes, places: dict[str, str]
) -> None:
    path = write(tmp_path / name, content)
    records, problems = read(path)
    assert len(records) == 2
    assert len(problems) == len(places)
    for problem, (start, inside) in zip(problems, places.items(), strict=True):
        assert problem.startswith(f"{path}{start}")
        assert inside in problem
        assert "\n" not in problem


def test_a_bad_document_of_brat_is_named(tmp_path: Path) -> None:
    for name, text, marks in (("1", b"One", b""), ("2", b"\xff", b""), ("3", b"Three", b"T1 x\n"), ("4", b" ", b"")):
        write(tmp_path / f"{name}.txt", text)
        write(tmp_path / f"{name}.ann", marks)
    write(tmp_path / "5.txt", "Without marks.")
    records, problems = read(tmp_path)
    assert [record.id for record in records] == ["1", "5"]
    assert [problem.removeprefix(str(tmp_path)) for problem in problems] == [
        ": 2.txt: byte 1 (0xff) is not UTF-8; expected UTF-8 text.",
        ": 3.txt: line 1 of 3.ann is no mention; expected: T1, tab, type start end, ...",
        ": 4.txt: no text; expected some.",
    ]


def test_only_the_first_error_of_encoding_in_a_long_file_is_a_bad_record(tmp_path: Path) -> None:
    lines = [b'{"text": "line"}'] * 5000
    lines[100] = b'{"text": "\xe9"}'
    records, problems = read(write(tmp_path / "a.jsonl", b"\n".join(lines)))
    assert (len(records), len(problems)) == (4999, 1)
    cut_within_a_character = "ab" + "測" * 50_000
    assert len(read(write(tmp_path / "a.txt", cut_within_a_character))[0]) == 1


SOURCES = {
    "jsonl": '{"id": "a", "title": "One two", "abstract": "Three. "}\n{"id": "b", "title": "Four"}\n{"text": " x y"}',
    "csv": "pmid,title,abstract,note\n1,One two,Three.,n\n2,Four,,\n3,x y,z,\n",
    "tsv": "id\ttext\n1\tOne two\n2\tFour\n3\tx y\n",
    "pubtator": "1|t|One\n1|a|two.\n1\t0\t3\tOne\tx\n1\tCID\ta\tb\n\n2|t|Four\n2|a|\n\n3|t|x\n3|a|y",
    "bioc-xml": BIOC_XML.format("\n".join(DOCUMENT_XML.format(id, 0) for id in "123")),
    "bioc-json": json.dumps({"documents": [document_json(id) for id in "123"], "source": "late"}),
    "text": "One two\nthree\n\nFour\n\nx y\n",
    "pubmed": PUBMED.replace("</PubmedArticle>", f"</PubmedArticle>{PUBMED[18:-19]}", 1),
}


SPOOLED = ("xlsx", "parquet")


@pytest.mark.parametrize("written", OUTPUT_FORMATS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_killed_run_goes_on(tmp_path: Path, source: str, written: str) -> None:
    records = [whole(record) for record in read(write(tmp_path / "source", SOURCES[source]), source)[0]]
    finished, killed = tmp_path / "finished", tmp_path / "killed"
    with open_writer(finished, written) as writer:
        for record in records:
            writer.write(record)
    writer = open_writer(killed, written)
    writer.write(records[0])
    writer.flush()
    position = writer.position
    for record in records[1:2]:
        writer.write(record)
    writer.stream.write(b"half a rec")
    writer.stream.close()
    if written in SPOOLED:  # closing makes the file, and nothing can be added then
        with open_writer(killed, written, position=position) as writer:
            for record in records[1:]:
                writer.write(record)
    else:
        for record in records[1:]:  # one at a time, each from a new start
            with open_writer(killed, written, position=position) as writer:
                writer.write(record)
                position = writer.position
    if source == "bioc-json" and written == "bioc-json":  # what stands behind the documents is written by the first run
        assert json.loads(finished.read_text())["documents"] == json.loads(killed.read_text())["documents"]
        assert json.loads(finished.read_text())["source"] == "late"
    elif written == "brat":
        names = sorted(path.name for path in finished.iterdir())
        assert names == sorted(path.name for path in killed.iterdir())
        assert all((finished / name).read_bytes() == (killed / name).read_bytes() for name in names)
    else:
        assert finished.read_bytes() == killed.read_bytes()
    assert len(read(finished, written)[0]) == len(records)


def test_an_output_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "{}\n")
    with pytest.raises(DataError, match=r"has 3 bytes\. Expected at least 10 from the run that stopped"):
        open_writer(path, "jsonl", position=10)
    assert path.read_text() == "{}\n"


def test_nothing_written_is_still_a_file_of_its_format(tmp_path: Path) -> None:
    for format in OUTPUT_FORMATS:
        with open_writer(tmp_path / format, format):
            pass
    assert read(tmp_path / "bioc-xml", "bioc-xml") == ([], [])
    assert read(tmp_path / "bioc-json", "bioc-json") == ([], [])
    assert (tmp_path / "pubtator").read_bytes() == b""


def test_brat_never_mixes_with_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "mine.ann", "")
    with pytest.raises(InputError, match="is not empty"):
        open_writer(tmp_path, "brat")
    with pytest.raises(InputError, match="cannot go to a stream"):
        open_writer(io.BytesIO(), "brat")


def test_tables_with_other_columns_are_refused(tmp_path: Path) -> None:
    (one,), _ = read(write(tmp_path / "1.csv", "text\nx\n"))
    (two,), _ = read(write(tmp_path / "2.csv", "id,text\n1,x\n"))
    with open_writer(tmp_path / "out.csv", "csv") as writer:
        writer.write(one)
        with pytest.raises(DataError, match="Write files with different columns to different tables"):
            writer.write(two)


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json", "pubtator"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    text = "word " * 4000
    document = {
        "bioc-xml": DOCUMENT_XML.format(1, 0).replace("Some text.", text),
        "bioc-json": json.dumps(document_json(text=text)),
        "pubtator": f"1|t|Title.\n1|a|{text}\n\n",
    }[format]
    joint = "," if format == "bioc-json" else ""
    outside = {"bioc-xml": BIOC_XML, "bioc-json": '{{"documents": [{}]}}', "pubtator": "{}"}[format]
    path = write(tmp_path / "a", outside.format(joint.join([document] * 800)))  # 16 MB
    program = (
        "import resource, sys\n"
        "from biogpt.documents import Extraction, open_writer, read_documents\n"
        "records = read_documents(sys.argv[1], print, sys.argv[2])\n"
        "with open_writer(sys.argv[3], sys.argv[2]) as writer:\n"
        "    for number, record in enumerate(records):\n"
        "        writer.write(record.with_extraction(Extraction()))\n"
        "        if number == 100: before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(number, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", program, path, format, tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    number, growth_kib = map(int, result.stdout.split())
    assert number == 799
    assert growth_kib < 8 << 10


def test_without_a_callback_a_skipped_record_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "One."}\nnonsense\n')
    with pytest.warns(UserWarning, match=r"Skipped .*a\.jsonl:2: not JSON"):
        documents = list(read_documents(path))
    assert [document.text for document in documents] == ["One."]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.tsv", "out.PubTator", "out.xml", "out.json"])
def test_documents_are_written_as_by_a_writer(tmp_path: Path, name: str) -> None:
    found = [whole(document) for document in read(write(tmp_path / "a.txt", "One two.\n\nThree four.\n"))[0]]
    lost: list[str] = []
    assert write_documents(found, tmp_path / name, on_loss=lost.append) == 2
    kinds = ("labels and answers", "warnings") if name == "out.PubTator" else ()
    assert lost == [f"{kind}, which pubtator cannot hold: 2; the first: document a.txt:1" for kind in kinds]
    expected = io.BytesIO()
    with open_writer(expected, output_format(Path(name)) or "") as writer:
        for document in found:
            writer.write(document)
    assert (tmp_path / name).read_bytes() == expected.getvalue()
    assert len(list(tmp_path.iterdir())) == 2


def test_documents_are_written_over_the_file_that_they_come_from(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "One two."}\n' * 3)
    assert write_documents(map(whole, read_documents(path)), path) == 3
    assert ["items" in document.native for document in read_documents(path)] == [True] * 3


def test_documents_are_written_in_a_given_format(tmp_path: Path) -> None:
    (document,) = read_documents(write(tmp_path / "a.txt", "One two."))
    with pytest.warns(UserWarning, match="cannot hold") as warned:
        write_documents([whole(document)], tmp_path / "a directory", "brat")
    assert [str(each.message) for each in warned] == [
        f"{kind}, which brat cannot hold: 1; the first: document a.txt:1" for kind in ("labels and answers", "warnings")
    ]
    assert (tmp_path / "a directory" / "documents.tsv").exists()
    for name in ("a.doc", "a.txt", "a.jsonl.gz", "a"):
        with pytest.raises(InputError, match=r"Cannot tell by its name .* ending in \.jsonl, .* one of jsonl, .*brat"):
            write_documents([document], tmp_path / name)
    with pytest.raises(InputError, match="Did you mean 'jsonl'"):
        write_documents([document], tmp_path / "a", "json-l")
    with pytest.raises(DataError, match=r"Cannot write .*missing/a\.jsonl: "):
        write_documents([document], tmp_path / "missing" / "a.jsonl")


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,One.\n")
    other = write(tmp_path / "b.csv", "id,name,text\n1,x,One.\n")
    with pytest.raises(DataError, match="Write files with different columns"):
        write_documents([*read_documents(path), *read_documents(other)], path)
    assert path.read_text() == "id,text\n1,One.\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "b.csv"]
