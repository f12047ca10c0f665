"""The formats that people's tools export: read with their metadata, refused in one line, and tables in and out."""

import json
import zipfile
from itertools import pairwise
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from biogpt.documents import (
    Document,
    Entity,
    EntityRelation,
    Extraction,
    detect_format,
    item_columns,
    open_writer,
    read_documents,
    write_documents,
)
from biogpt.documents.types import Metadata
from biogpt.errors import DataError, MissingExtraError

RIS = """TY  - JOUR
ID  - own-7
TI  - Gout after cyclosporine
AU  - Doe, J
AB  - Cyclosporine caused gout.
   It did so twice.
PY  - 2004/03/01/
T2  - Journal of Gout
DO  - https://doi.org/10.1000/xyz
LA  - eng
UR  - https://pubmed.ncbi.nlm.nih.gov/11111111/
ER  -

TY  - JOUR
T1  - Second
N2  - Lithium caused tremor.
ER  -
"""
NBIB = """
PMID- 11111111
OWN - NLM
DP  - 2004 Mar-Apr
TI  - Gout after
      cyclosporine.
LID - 10.1000/xyz [doi]
AB  - Cyclosporine
      caused gout.
LA  - eng
PT  - Journal Article
PT  - Retracted Publication
MH  - *Gout/chemically induced
MH  - Humans
PMC - PMC77
JT  - Journal of gout

PMID- 22222222
TI  - Second.
"""
WOS = """\ufeffFN Clarivate Analytics Web of Science
VR 1.0
PT J
AU Doe, J
TI Gout after
   cyclosporine
SO JOURNAL OF GOUT
LA English
DT Article; Retracted Publication
AB Cyclosporine caused gout.
PY 2004
DI 10.1000/xyz
PM 11111111
UT WOS:000123
ER

PT J
TI Second
ER

EF
"""
JATS = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "http://invalid.invalid/JATS.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" article-type="research-article" xml:lang="en"><front><journal-meta>
<journal-title-group><journal-title>Journal of Gout</journal-title></journal-title-group></journal-meta><article-meta>
<article-id pub-id-type="pmid">11111111</article-id><article-id pub-id-type="pmc">77</article-id>
<article-id pub-id-type="doi">10.1000/xyz</article-id>
<article-categories><subj-group><subject>Research Article</subject></subj-group></article-categories>
<title-group><article-title>Gout after <italic>cyclosporine</italic></article-title></title-group>
<pub-date pub-type="epub"><year>2003</year></pub-date><pub-date pub-type="ppub"><year>2004</year></pub-date>
<abstract abstract-type="graphical"><p>A picture.</p></abstract>
<abstract><sec><title>Background</title><p>Cyclosporine is given.</p></sec><sec><title>Results:</title><p>It caused
 gout.</p></sec></abstract></article-meta></front>
<body><sec sec-type="intro"><title>1. Introduction</title><p>Gout hurts <xref ref-type="bibr">[1]</xref>.
<fig><label>Figure 1</label><caption><title>Toes.</title><p>Ten of them.</p></caption></fig></p></sec>
<sec><title>Patients and methods</title><p>We asked.</p><sec><title>Drugs</title><p>Given daily.</p></sec></sec></body>
<back><ref-list><ref><mixed-citation>Not read.</mixed-citation></ref></ref-list></back></article>
"""
EUROPE_PMC = {
    "version": "6.9",
    "hitCount": 2,
    "resultList": {
        "result": [
            {
                "id": "11111111",
                "pmid": "11111111",
                "pmcid": "PMC77",
                "doi": "10.1000/xyz",
                "title": "Gout after <i>cyclosporine</i>",
                "journalInfo": {"yearOfPublication": 2004, "journal": {"title": "Journal of Gout"}},
                "abstractText": "<h4>Background</h4>Cyclosporine &amp; gout, p<0.05.",
                "language": "eng",
                "pubTypeList": {"pubType": ["research-article", "Journal Article"]},
                "meshHeadingList": {"meshHeading": [{"descriptorName": "Gout"}, {"descriptorName": "Humans"}]},
            },
            {"id": "2", "title": "Second"},
        ]
    },
}
TEXT = "Gout after cyclosporine. Cyclosporine caused gout."


def write(path: Path, content: object) -> Path:
    data = content if isinstance(content, str | bytes) else json.dumps(content, indent=1)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path: Path, **options: object) -> tuple[list[Document], list[str]]:
    problems: list[str] = []
    return list(read_documents(path, lambda problem: problems.append(str(problem)), **options)), problems


def read_one(path: Path, **options: object) -> Document:
    (document,), problems = read(path, **options)
    assert problems == []
    return document


class TestReferences:
    @pytest.mark.parametrize("name", ["a.ris", "a.txt", "a"])
    def test_ris(self, tmp_path: Path, name: str) -> None:
        (first, second), problems = read(write(tmp_path / name, RIS))
        assert problems == []
        assert first.text == f"{TEXT} It did so twice."
        assert first.id == "11111111"
        assert first.metadata == Metadata(
            "11111111", "", "10.1000/xyz", 2004, "Journal of Gout", "eng", (), ("JOUR",), False
        )
        assert (second.id, second.text) == (f"{name}:14", "Second. Lithium caused tremor.")

    @pytest.mark.parametrize("name", ["a.nbib", "a.txt", "a"])
    def test_nbib(self, tmp_path: Path, name: str) -> None:
        (first, second), problems = read(write(tmp_path / name, NBIB))
        assert problems == []
        assert (first.id, first.text) == ("11111111", TEXT)
        assert first.metadata == Metadata(
            *("11111111", "PMC77", "10.1000/xyz", 2004, "Journal of gout", "eng", ("Gout", "Humans")),
            ("Journal Article", "Retracted Publication"),
            True,
        )
        assert (second.id, second.text) == ("22222222", "Second.")

    @pytest.mark.parametrize("name", ["a.ciw", "savedrecs.txt"])
    def test_web_of_science(self, tmp_path: Path, name: str) -> None:
        (first, second), problems = read(write(tmp_path / name, WOS))
        assert problems == []
        assert (first.id, first.text) == ("11111111", TEXT)
        assert first.metadata == Metadata(
            *("11111111", "", "10.1000/xyz", 2004, "JOURNAL OF GOUT", "English", ()),
            ("Article", "Retracted Publication"),
            True,
        )
        assert second.text == "Second."

    def test_a_record_without_text_and_broken_bytes_are_named(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.ris", b"TY  - JOUR\nID  - x\nER  - \nTY  - JOUR\nTI  - \xff\nER  - \n" + RIS.encode()
        )
        documents, problems = read(path)
        assert len(documents) == 2
        assert problems[0] == f"{path}:1: the record x has neither a title nor an abstract; expected at least one."
        assert problems[1].startswith(f"{path}:5: byte 7 (0xff) is not UTF-8")

    def test_without_rispy_the_extra_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, name, content in (
            ("rispy", "a.ris", RIS),
            ("openpyxl", "a.xlsx", ""),
            ("pyarrow", "a.parquet", ""),
        ):
            monkeypatch.setitem(__import__("sys").modules, module, None)
            with pytest.raises(MissingExtraError, match=rf"'{module}', which is not installed.*biogpt\[files\]"):
                read(write(tmp_path / name, content))


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("pmids.txt", "11111111\n22222222\n", r"lists identifiers, not texts\. Get the texts.*\.nbib.*efetch"),
            ("a.txt", "PMID\n11111111, 22222222", "lists identifiers"),
            ("a.txt", "PMC11111\nPMC22222", "lists identifiers"),
            ("a", "https://doi.org/10.1000/xyz\n10.1000/abc\n", "lists identifiers"),
            ("a.txt", "\n1. J Gout. 2004;1:2.\n\nGout.\n\nPMID: 11111111\n", "as PubMed prints them"),
            ("a.txt", "%0 Journal Article\n%T Gout\n", "EndNote's tagged lines.* as RIS"),
            ("a.txt", "@article{a, title={Gout}}", "BibTeX.* as RIS"),
            ("a.txt", "<1>\nUnique Identifier\n  1\n", "Ovid's tagged lines"),
            ("a.pdf", "%PDF-1.4", "is a PDF.*GROBID.*pdftotext"),
            ("a.txt", "%PDF-1.4", "is a PDF"),
            ("a.docx", "PK", "document of Word"),
            ("a.xls", "x", r"old format\. Expected \.xlsx"),
            ("a.tar.gz", "x", "tar archive"),
            ("a.json", {"type": "FeatureCollection", "features": [{"a": 1}]}, r"holds no documents.* Found: type, fea"),
            ("a.json", [{"a": 1}, {"b": 2}], "its first value is has none of title"),
            ("a.jsonl", [{"a": 1}, {"b": 2}], "its first value is"),
            ("a.json", "[\n 1,", "its first value is a JSON int"),
            ("a.parquet", "PAR1 x", "is no Parquet, or is cut off"),
            ("a.zip", "PK", "the zip archive is damaged"),
        ],
    )
    def test_in_one_line(self, tmp_path: Path, name: str, content: object, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            read(write(tmp_path / name, content))
        assert "\n" not in str(caught.value)

    def test_prose_stays_prose(self, tmp_path: Path) -> None:
        for text in ("PT was given.", "[Gout] is bad.", "1. Gout hurts.", "Title, abstract and text.", "AB blood"):
            assert detect_format(write(tmp_path / "a.txt", text)) == "text"


class TestJats:
    def test_front_matter_and_body(self, tmp_path: Path) -> None:
        document = read_one(write(tmp_path / "a.nxml", JATS))
        assert document.format == "jats"
        assert document.text == ("Gout after cyclosporine. Background: Cyclosporine is given. Results: It caused gout.")
        assert document.metadata == Metadata(
            "11111111", "PMC77", "10.1000/xyz", 2004, "Journal of Gout", "en", (), ("Research Article",)
        )
        assert [(passage.section, passage.text) for passage in document.passages[2:]] == [
            ("INTRO", "1. Introduction"),
            ("INTRO", "Gout hurts [1]."),
            ("FIG", "Toes. Ten of them."),
            ("METHODS", "Patients and methods"),
            ("METHODS", "We asked."),
            ("METHODS", "Drugs"),
            ("METHODS", "Given daily."),
        ]
        places = [(passage.offset, passage.offset + len(passage.text)) for passage in document.passages]
        assert all(end < start for (_, end), (start, _) in pairwise(places))

    def test_several_articles_and_namespaces(self, tmp_path: Path) -> None:
        article = '<article xmlns="urn:x"><front><article-meta><title-group><article-title>A</article-title>'
        article += "</title-group></article-meta></front></article>"
        path = write(tmp_path / "a.xml", f"<pmc-articleset>{article}{article}</pmc-articleset>")
        documents, problems = read(path)
        assert ([document.text for document in documents], problems) == (["A.", "A."], [])
        assert [document.id for document in documents] == ["a.xml:1", "a.xml:2"]

    def test_entities_are_not_expanded(self, tmp_path: Path) -> None:
        secret = write(tmp_path / "secret.txt", "secret")
        head = f'<!DOCTYPE article [<!ENTITY file SYSTEM "{secret.as_uri()}">]>'
        bad = "<article><body><p>&file;</p></body></article>"
        documents, problems = read(write(tmp_path / "a.xml", f"{head}<articles>{bad}</articles>"))
        assert documents == []
        assert "the entity &file;" in problems[0]
        laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
        bomb = f'<!DOCTYPE article [<!ENTITY l0 "ha">{laughs}]><article><body><p>&l11;</p></body></article>'
        with pytest.raises(DataError, match="entity"):
            read(write(tmp_path / "b.xml", bomb))


class TestJson:
    def test_europe_pmc(self, tmp_path: Path) -> None:
        (first, second), problems = read(write(tmp_path / "a.json", EUROPE_PMC))
        assert problems == []
        assert (first.id, first.format) == ("11111111", "json")
        assert first.text == "Gout after cyclosporine. Background: Cyclosporine & gout, p<0.05."
        assert first.metadata == Metadata(
            *("11111111", "PMC77", "10.1000/xyz", 2004, "Journal of Gout", "eng", ("Gout", "Humans")),
            ("research-article", "Journal Article"),
        )
        assert second.text == "Second."
        getpapers = [{"id": ["9"], "title": ["Gout"], "abstractText": ["Hurts."], "journalTitle": ["J"]}]
        assert read_one(write(tmp_path / "b.json", getpapers)).text == "Gout. Hurts."

    @pytest.mark.parametrize(
        ("content", "ids"),
        [
            ([{"id": "1", "text": "A."}, {"id": "2", "text": "B."}], ["1", "2"]),
            ({"documents": [{"id": "1", "title": "A"}, {"id": 2, "title": "B"}]}, ["1", "2"]),
            ({"1": {"title": "A", "abstract": "B"}, "2": {"text": "C"}}, ["1", "2"]),
            ({"id": "1", "title": "A", "journal": {"title": "J"}, "year": 2004}, ["1"]),
            ('{\n "id": "1",\n "text": "A."\n}\n{\n "id": "2",\n "text": "B."\n}\n', ["1", "2"]),
            ({"results": [{"id": "1", "display_name": "A", "abstract_inverted_index": {"B": [1], "An": [0]}}]}, ["1"]),
        ],
    )
    @pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
    def test_any_layout(self, tmp_path: Path, name: str, content: object, ids: list[str]) -> None:
        documents, problems = read(write(tmp_path / name, content))
        assert ([document.id for document in documents], problems) == (ids, [])

    def test_an_index_of_words_is_put_together(self, tmp_path: Path) -> None:
        work = {"id": "1", "display_name": "A", "abstract_inverted_index": {"gout": [1, 3], "Bad": [0], "is": [2]}}
        assert read_one(write(tmp_path / "a.json", {"results": [work]})).text == "A. Bad gout is gout"

    def test_what_an_object_holds_besides_is_kept(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.json", [{"id": "1", "text": "A.", "mine": {"b": 1}}])
        write_documents(read_documents(path), tmp_path / "o.jsonl")
        assert json.loads((tmp_path / "o.jsonl").read_text()) == {"id": "1", "text": "A.", "mine": {"b": 1}}


class TestTables:
    @pytest.mark.parametrize(
        "content",
        [
            "PMID;Title;Abstract\n1;Gout after cyclosporine;Cyclosporine caused gout.\n",
            "sep=;\nPMID;Title;Abstract\n1;Gout after cyclosporine;Cyclosporine caused gout.\n",
            "PMID\tTitle\tAbstract\r\n1\tGout after cyclosporine\tCyclosporine caused gout.\r\n",
            "\ufeffPubMed ID,Document Title,Abstract Note\n1,Gout after cyclosporine,Cyclosporine caused gout.\n",
            '"PMID"|"TI"|"AB"\n"1"|"Gout after cyclosporine"|"Cyclosporine caused gout."\n',
        ],
    )
    @pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
    def test_separators_and_usual_names(self, tmp_path: Path, name: str, content: str) -> None:
        document = read_one(write(tmp_path / name, content))
        assert (document.id, document.text) == ("1", TEXT)
        assert document.metadata is not None
        assert document.metadata.pmid == "1"

    def test_a_table_named_txt(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.txt", "PT\tTI\tAB\tPM\nJ\tGout after cyclosporine\tCyclosporine caused gout.\t1\n")
        assert read_one(path).text == TEXT

    def test_lines_are_counted_behind_the_line_of_the_separator(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "sep=;\nid;text\n1;A.\n2\n")
        assert read(path)[1] == [
            f"{path}:4: 1 cells; expected 2: id, text. Put quotation marks around a cell that contains the separator."
        ]

    def test_columns_that_are_asked_for(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "nr,Befund,head,abstract\n7,Gout.,Toe,no\n")
        assert read_one(path, columns={"text": "befund", "id": "nr"}).text == "Gout."
        both = read_one(path, columns={"text": "Befund", "title": "head", "id": "nr"})
        assert (both.id, both.text) == ("7", "Toe. Gout.")
        with pytest.raises(DataError, match=r"has no column 'Befnd'\. Did you mean 'Befund'\?"):
            read(path, columns={"text": "Befnd"})
        lines = write(tmp_path / "a.jsonl", '{"Befund": "Gout.", "abstract": "no"}\n')
        assert read_one(lines, columns={"text": "Befund"}).text == "Gout."

    def test_text_that_is_not_read_is_named(self, tmp_path: Path) -> None:
        long = "This is a long comment with many words in it. " * 4
        path = write(tmp_path / "a.csv", f"id,abstract,Comment,Authors\n1,Gout.,{long},{long}\n")
        with pytest.warns(UserWarning, match=r"text that is not read in Comment; read is abstract\. .*--text-column"):
            read(path)

    @pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet", "o.xlsx", "o.xml", "o.json"])
    def test_metadata_goes_out_and_comes_back(self, tmp_path: Path, name: str) -> None:
        nbib = next(read_documents(write(tmp_path / "a.nbib", NBIB)))
        write_documents([nbib], tmp_path / name)
        back = read_one(tmp_path / name)
        assert (back.id, back.text, back.metadata) == (nbib.id, nbib.text, nbib.metadata)

    def test_parquet_has_types(self, tmp_path: Path) -> None:
        document = next(read_documents(write(tmp_path / "a.nbib", NBIB)))
        gout = Entity("Disease", "gout", ((0, 4),), score=0.5)
        with open_writer(tmp_path / "o.parquet", "parquet", columns=item_columns(("disease",), (), True)) as writer:
            relation = EntityRelation("CID", {"disease": gout}, score=0.25)
            writer.write(document.with_extraction(Extraction((gout,), (relation,))))
        file = parquet.ParquetFile(tmp_path / "o.parquet")
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        types = {field.name: str(field.type) for field in file.schema_arrow}
        assert types["year"] == "int32"
        assert types["is_retracted"] == "bool"
        assert types["mesh_headings"] == "list<element: string>"
        assert (types["start"], types["score"]) == ("int64", "double")
        rows = file.read().to_pylist()
        assert [row["score"] for row in rows] == [0.25, 0.5]
        assert rows[0]["disease_spans"] == [[0, 4]]
        assert rows[1]["mention"] == "Gout"

    def test_columns_of_parquet_keep_their_types(self, tmp_path: Path) -> None:
        table = pyarrow.table({"pmid": [1, 2], "abstract": ["A.", "B."], "n": [[1, 2], []], "x": [0.5, None]})
        parquet.write_table(table, tmp_path / "a.parquet")
        documents, problems = read(tmp_path / "a.parquet")
        assert ([document.id for document in documents], problems) == (["1", "2"], [])
        write_documents(documents, tmp_path / "o.parquet")
        back = parquet.read_table(tmp_path / "o.parquet")
        assert back.select(table.column_names).cast(table.schema) == table

    def test_excel(self, tmp_path: Path) -> None:
        workbook = openpyxl.Workbook()
        workbook.active.append(["Notes"])
        sheet = workbook.create_sheet("Hits")
        for row in (["PMID", "Abstract", "Year", None], [11111111.0, "Gout.", 2004], [], [2, "=1+1", None]):
            sheet.append(row)
        sheet["B4"].data_type = "s"
        workbook.save(tmp_path / "a.xlsx")
        documents, problems = read(tmp_path / "a.xlsx")
        assert problems == []
        assert (documents[0].id, documents[0].text) == ("11111111", "Gout.")
        assert documents[0].metadata is not None
        assert documents[0].metadata.year == 2004

    def test_a_workbook_with_entities_is_refused(self, tmp_path: Path) -> None:
        workbook = openpyxl.Workbook()
        workbook.active.append(["id", "text"])
        workbook.active.append([1, "hello"])
        workbook.save(tmp_path / "good.xlsx")
        head = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY f SYSTEM "file:///etc/hostname">]>'
        with zipfile.ZipFile(tmp_path / "good.xlsx") as good, zipfile.ZipFile(tmp_path / "bad.xlsx", "w") as bad:
            for name in good.namelist():
                bad.writestr(name, (head if "sheet1" in name else "") + good.read(name).decode())
        with pytest.raises(DataError, match=r"has a DTD in xl/worksheets/sheet1\.xml"):
            read(tmp_path / "bad.xlsx")

    def test_excel_never_makes_a_formula_and_says_what_it_cut(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.jsonl", [{"id": "1", "text": "=HYPERLINK(1)\u0007"}, {"id": "2", "text": "x" * 40_000}]
        )
        write_documents(read_documents(path), tmp_path / "o.xlsx")
        header, *rows = openpyxl.load_workbook(tmp_path / "o.xlsx").active.iter_rows()
        place = [cell.value for cell in header].index("text")
        assert (rows[0][place].value, rows[0][place].data_type) == ("=HYPERLINK(1)\ufffd", "s")
        assert len(rows[1][place].value) == 32_767
        assert "cut at 32,767" in rows[1][-1].value


class TestPacked:
    def test_a_zip_is_its_files(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("b/2.ris", RIS)
            archive.writestr("b/1.ris", RIS.replace("11111111", "33333333"))
            archive.writestr("__MACOSX/b/._1.ris", "x")
        documents, problems = read(tmp_path / "a.zip")
        assert ([document.id for document in documents][::2], problems) == (["33333333", "11111111"], [])

    def test_a_zip_of_several_kinds_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("1.ris", RIS)
            archive.writestr("2.csv", "id,text\n")
        with pytest.raises(DataError, match=r"several kinds \(\.ris, \.csv\)"):
            read(tmp_path / "a.zip")

    def test_a_zipped_table(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
            archive.writestr("a.csv", "PMID;Abstract\n1;Gout.\n")
        assert read_one(tmp_path / "a.csv.zip").text == "Gout."


class TestAnnotationTools:
    def test_doccano(self, tmp_path: Path) -> None:
        fields = {"id": 1, "text": " Cyclosporine caused gout.", "label": [[1, 13, "Chemical"]], "mine": 1}
        path = write(tmp_path / "a.jsonl", json.dumps(fields))
        document = read_one(path)
        assert document.format == "doccano"
        assert [(each.text, each.spans) for each in document.annotations] == [("Cyclosporine", ((0, 12),))]
        found = (Entity("Chemical", "Cyclosporine", ((0, 12),)), Entity("Disease", "gout", ((20, 24),)))
        write_documents([document.with_extraction(Extraction(found))], tmp_path / "o.jsonl", "doccano")
        labels = [[1, 13, "Chemical"], [21, 25, "Disease"]]
        assert json.loads((tmp_path / "o.jsonl").read_text()) == {**fields, "label": labels}

    def test_doccano_relations_there_and_back(self, tmp_path: Path) -> None:
        fields = {
            "id": "1",
            "text": "Cyclosporine caused gout.",
            "entities": [
                {"id": 5, "label": "Chemical", "start_offset": 0, "end_offset": 12},
                {"id": 6, "label": "Disease", "start_offset": 20, "end_offset": 24},
            ],
            "relations": [{"id": 1, "from_id": 5, "to_id": 6, "type": "CID"}],
        }
        document = read_one(write(tmp_path / "a.jsonl", json.dumps(fields)))
        assert document.relations[0].arguments == (("", "5"), ("", "6"))
        write_documents([document], tmp_path / "o.jsonl", "doccano")
        back = json.loads((tmp_path / "o.jsonl").read_text())
        assert [each["start_offset"] for each in back["entities"]] == [0, 20]
        assert back["relations"] == [{"id": 1, "from_id": 1, "to_id": 2, "type": "CID"}]

    def test_label_studio(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.json", LABEL_STUDIO)
        (first, second), problems = read(path)
        assert problems == []
        assert (first.format, first.id, first.text) == ("label-studio", "d1", "Cyclosporine caused gout.")
        assert [(each.type, each.text) for each in first.annotations] == [
            ("Chemical", "Cyclosporine"),
            ("Disease", "gout"),
        ]
        assert [(each.type, each.arguments) for each in first.relations] == [("CID", (("", "a"), ("", "b")))]
        assert second.annotations == ()
        found = Extraction((Entity("Disease", "gout", ((0, 4),), score=0.75),), annotator="mini")
        write_documents([first, second.with_extraction(found)], tmp_path / "o.json", "label-studio")
        tasks = json.loads((tmp_path / "o.json").read_text())
        assert tasks[0] == LABEL_STUDIO[0]
        assert tasks[1]["predictions"] == [
            {
                "model_version": "mini",
                "score": 0.75,
                "result": [
                    {
                        "id": "P1",
                        "from_name": "label",
                        "to_name": "text",
                        "type": "labels",
                        "value": {"start": 1, "end": 5, "text": "gout", "labels": ["Disease"]},
                        "score": 0.75,
                    }
                ],
            }
        ]


LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"id": "d1", "text": "Cyclosporine caused gout."},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "a",
                        "from_name": "label",
                        "to_name": "text",
                        "type": "labels",
                        "value": {"start": 0, "end": 12, "text": "Cyclosporine", "labels": ["Chemical"]},
                    },
                    {
                        "id": "b",
                        "from_name": "label",
                        "to_name": "text",
                        "type": "labels",
                        "value": {"start": 20, "end": 24, "text": "gout", "labels": ["Disease"]},
                    },
                    {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["CID"]},
                ],
            },
        ],
    },
    {"id": 2, "data": {"text": " gout hurts."}, "annotations": []},
]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("array.json", ["Aspirin caused asthma.", "Cyclosporine caused gout."]),
        ("reference_manager.txt", [TEXT]),
        ("zotero.csv", ["Gout. Cyclosporine caused gout."]),
        ("semicolon.csv", ["Gout. Cyclosporine caused gout."]),
        ("doccano.jsonl", ["Cyclosporine caused gout."]),
    ],
)
def test_the_shared_cases(data_path: Path, name: str, texts: list[str]) -> None:
    documents, problems = read(data_path / "cases" / name)
    assert ([document.text for document in documents], problems) == (texts, [])


@pytest.mark.data
def test_a_list_of_pmids_is_refused(data_path: Path) -> None:
    with pytest.raises(DataError, match="lists identifiers"):
        read(data_path / "cases" / "pmids.txt")
