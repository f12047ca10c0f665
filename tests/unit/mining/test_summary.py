import csv
import io
import re

import duckdb
import pytest
from mining_annotators import citation, write_pubmed
from openpyxl import load_workbook

import biogpt
from biogpt.documents import Entity, EntityRelation, Extraction
from biogpt.errors import InputError
from biogpt.mining.collection import mine_with
from biogpt.mining.network import HEIGHT, WIDTH, lay_out

HOSTILE = '</script><img src=x onerror="alert(1)">'


class Scripted:
    """Finds what the title says: `head > tail | score`, both with identifiers where there is a colon."""

    task = "pairs"

    def describe(self):
        return {"task": "pairs", "model": "scripted"}

    def load(self):
        def annotate(documents):
            for document in documents:
                words, _, score = document.title.rstrip(".").partition(" | ")
                head, _, tail = words.partition(" > ")
                entities = [
                    Entity(kind, name.partition("~")[0], (), name.partition("~")[2], float(score))
                    for kind, name in (("Chemical", head), ("Disease", tail))
                ]
                relation = EntityRelation(
                    "induces", dict(zip(("drug", "disease"), entities, strict=True)), {}, float(score)
                )
                yield document.with_extraction(Extraction(relations=(relation,)))

        return annotate


TITLES = [
    (1, 2001, "Aspirin~D1 > Ulcer~D9 | 0.5"),
    (2, 2009, "acetylsalicylic acid~D1 > Ulcer~D9 | 0.9"),
    (3, 2005, "Aspirin~D1 > ulcers~D9 | 0.7"),
    (4, 2005, "Ethanol > Tremor | 0.8"),
    (5, 2006, "ethanol > tremor | 0.2"),
    (6, 2007, "=1+1 > =HYPERLINK | 0.4"),
    (8, 2008, "Zinc~MESH:D5 > Cough~D4 | 0.1"),
    (9, 2008, "Zinc~D5 > Cough~mesh:D4 | 0.1"),
    (7, 2008, f"{HOSTILE} > Pain | 0.3".replace("<", "&lt;")),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    from _pytest.monkeypatch import MonkeyPatch

    path = tmp_path_factory.mktemp("summary")
    write_pubmed(path / "in.xml", *(citation(pmid, title, year=year) for pmid, year, title in TITLES))
    with MonkeyPatch.context() as patch:
        from mining_without_ray import run_here

        run_here(patch)
        mine_with([Scripted()], path / "in.xml", path / "out")
    return path / "out"


def table_of(directory, capsys, **options):
    biogpt.summarize(directory, **options)
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_pairs_and_entities_are_folded_by_identifier_or_name(directory, capsys):
    pairs = table_of(directory, capsys)
    assert [(row["head"], row["tail"], row["documents"]) for row in pairs[:2]] == [
        ("Aspirin", "Ulcer", "3"),
        ("ethanol", "tremor", "2"),
    ]
    assert [(row["head_identifier"], row["documents"]) for row in pairs if row["head"] == "Zinc"] == [("D5", "2")]
    assert (pairs[0]["head_identifier"], pairs[0]["best_score"], pairs[0]["examples"]) == ("D1", "0.9", "2 3 1")
    entities = table_of(directory, capsys, table="entities", min_documents=2)
    assert [(row["type"], row["name"], row["documents"], row["mentions"]) for row in entities] == [
        ("Chemical", "Aspirin", "3", "3"),
        ("Disease", "Ulcer", "3", "3"),
        ("Chemical", "ethanol", "2", "2"),
        ("Disease", "tremor", "2", "2"),
        ("Chemical", "Zinc", "2", "2"),
        ("Disease", "Cough", "2", "2"),
    ]
    assert [row["documents"] for row in table_of(directory, capsys, threshold=0.6)] == ["2", "1"]


def test_every_format_has_the_same_rows(directory, tmp_path, capsys):
    expected = table_of(directory, capsys)
    for name in ("s.csv", "s.parquet", "s.xlsx", "s.html"):
        biogpt.summarize(directory, tmp_path / name)
    assert list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text(encoding="utf-8")))) == expected
    rows = duckdb.sql(f"SELECT head, tail, documents, examples FROM '{tmp_path / 's.parquet'}'").fetchall()
    assert [(row[0], row[1], str(row[2]), " ".join(row[3])) for row in rows] == [
        (row["head"], row["tail"], row["documents"], row["examples"]) for row in expected
    ]
    book = load_workbook(tmp_path / "s.xlsx")
    assert book.sheetnames == ["entities", "pairs"]
    cells = {cell.value: cell.data_type for row in book["pairs"].iter_rows() for cell in row}
    assert cells["=HYPERLINK"] == "s", "a name is no formula"
    assert book["pairs"].max_row == len(expected) + 1


def test_the_page_asks_for_nothing_and_holds_hostile_names_as_text(directory, tmp_path):
    biogpt.summarize(directory, tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img" in page
    assert page.count("<script") == page.count("</script>") == 1
    assert "default-src 'none'" in page
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page)) == {
        f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" for pmid, _, _ in TITLES
    }


def test_what_cannot_be_summarized_is_refused(directory, tmp_path):
    for path, options, message in (
        (tmp_path, {}, "has no run.json"),
        (directory, {"output": "s.docx"}, "Expected a name ending in .csv"),
        (directory, {"table": "pair"}, "Did you mean 'pairs'"),
        (directory, {"task": "pair"}, "Did you mean 'pairs'"),
        (directory, {"threshold": 2}, "expected a probability"),
        (directory, {"min_documents": 0}, "expected at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            biogpt.summarize(path, **options)


def test_a_network_stays_in_its_picture_and_is_the_same_each_time():
    pairs = [
        {
            **{f"{end}_type": "T" for end in ("head", "tail")},
            **{f"{end}_identifier": None for end in ("head", "tail")},
            **{"head": f"a{number % 7}", "tail": f"b{number}", "relation": "r", "documents": number + 1},
        }
        for number in range(40)
    ]
    nodes, edges = lay_out(pairs)
    assert len(nodes) == 47
    assert [edge.row for edge in edges] == list(range(40))
    assert all(0 < node.x < WIDTH and 0 < node.y < HEIGHT for node in nodes)
    assert lay_out(pairs) == (nodes, edges)
    assert lay_out([]) == ([], [])
