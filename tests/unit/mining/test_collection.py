import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from mining_annotators import WordAnnotator, citation, rows_of, write_pubmed

from biogpt.documents import Entity, EntityRelation, Extraction, read_documents
from biogpt.documents.types import Passage, make_document
from biogpt.errors import DataError, InputError, MissingExtraError
from biogpt.mining import sources
from biogpt.mining.collection import estimate, make_annotators, mine, mine_with
from biogpt.mining.dataset import Collection
from biogpt.mining.plan import choose_shard_size
from biogpt.mining.shards import rows_of_document

pytestmark = pytest.mark.usefixtures("without_ray")
WORDS = [WordAnnotator()]


def texts_of(directory):
    rows = Collection(directory).connect().execute("SELECT document_id, version, text FROM documents ORDER BY 1")
    return {identity: (version, text.partition(".")[0]) for identity, version, text in rows.fetchall()}


def write_collection(directory):
    """A baseline and its updates: revised, versioned, deleted, revived, and one that loses its text."""
    return [
        write_pubmed(
            directory / "pubmed25n0001.xml.gz",
            *(citation(number, f"Baseline {number}") for number in range(1, 8)),
            citation(8, "Version one"),
            citation(8, "Version two", version=2),
        ),
        write_pubmed(
            directory / "pubmed25n0002.xml.gz", citation(1, "Revised"), citation(9, "Nine"), deleted={2: 1, 3: 1}
        ),
        write_pubmed(
            directory / "pubmed25n0010.xml.gz", citation(2, "Revived"), citation(1, "Revised again"), deleted={8: 2}
        ),
        write_pubmed(
            directory / "pubmed25n0011.xml.gz",
            "<PubmedArticle><MedlineCitation><PMID Version='1'>4</PMID><Article/></MedlineCitation></PubmedArticle>",
        ),
    ]


EXPECTED = {
    "1": (1, "Revised again"),
    "2": (1, "Revived"),
    "5": (1, "Baseline 5"),
    "6": (1, "Baseline 6"),
    "7": (1, "Baseline 7"),
    "8": (1, "Version one"),
    "9": (1, "Nine"),
}


def test_the_newest_version_of_an_article_counts_in_any_order_and_over_several_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "UNIT_BYTES", 1)  # a unit for each file
    files = write_collection(tmp_path / "in")
    mine_with(WORDS, files, tmp_path / "together", shard_size=2)
    mine_with(WORDS, files[::-1], tmp_path / "reversed", shard_size=3)
    for file in files:
        mine_with(WORDS, [file], tmp_path / "forwards")
    for file in files[::-1]:
        mine_with(WORDS, [file], tmp_path / "backwards")
    assert texts_of(tmp_path / "together") == EXPECTED
    expected = rows_of(tmp_path / "together")
    assert len(expected["entities"]) > 20
    assert len(expected["relations"]) == len(EXPECTED)
    for name in ("reversed", "forwards", "backwards"):
        assert rows_of(tmp_path / name) == expected, name


def test_a_later_run_reads_new_files_only_and_leaves_shards_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "UNIT_BYTES", 1)
    first, second, third, _ = write_collection(tmp_path / "in")
    out = tmp_path / "out"
    summary = mine_with(WORDS, [first], out)
    assert (summary.run, summary.num_files, summary.num_documents) == (1, 1, 8)
    assert texts_of(out)["8"] == (2, "Version two")
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    read = []
    read_records = sources.read_records
    monkeypatch.setattr(
        sources, "read_records", lambda path, format: read.append(path.name) or read_records(path, format)
    )
    summary = mine_with(WORDS, [first, second], out)
    assert (summary.run, summary.num_files, summary.num_documents, summary.num_deleted) == (2, 1, 2, 2)
    assert set(read) == {second.name}
    # Version 2 is withdrawn, so version 1 counts again, and is read where it stands: in the first file.
    summary = mine_with(WORDS, [first, second, third], out)
    assert (summary.num_documents, summary.num_deleted) == (3, 0)
    assert texts_of(out)["8"] == (1, "Version one")
    assert all(path.read_bytes() == content for path, content in before.items())
    read.clear()
    assert str(mine_with(WORDS, [first, second, third], out)) == "nothing new"
    assert not read
    assert [run["num_documents"] for run in Collection(out).read_run()["runs"]] == [8, 2, 3]


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_a_run_that_stops_anywhere_goes_on_to_the_same_rows(tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr(sources, "UNIT_BYTES", 1)
    files = write_collection(tmp_path / "in")
    mine_with(WORDS, files[:2], tmp_path / "whole", shard_size=2)
    mine_with(WORDS, files, tmp_path / "whole", shard_size=2)
    num_writes = 0

    def write(collection, path, content):
        nonlocal num_writes
        num_writes += 1
        if num_writes == stop_at * 3:
            raise KeyboardInterrupt
        real_write(collection, path, content)

    real_write = Collection._write
    out = tmp_path / "out"
    mine_with(WORDS, files[:2], out, shard_size=2)
    monkeypatch.setattr(Collection, "_write", write)
    stopped = 0
    while True:
        try:
            mine_with(WORDS, files, out, shard_size=2)
            break
        except KeyboardInterrupt:
            stopped += 1
            num_writes = stop_at * 3 + 1
    assert rows_of(out) == rows_of(tmp_path / "whole")
    assert stopped <= 1
    names = {path.relative_to(out) for path in out.rglob("*.parquet")}
    assert names == {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.parquet")}


def test_bad_files_and_records_are_put_aside_with_their_reason(tmp_path):
    good = write_pubmed(tmp_path / "in" / "a.xml", citation(1, "Readable"), citation(2, "Unbearable Badword"))
    (tmp_path / "in" / "b.xml.gz").write_bytes(good.read_bytes())  # no gzip
    (tmp_path / "in" / "c.xml").write_text(good.read_text().replace("<PMID", "<PMID><b/>")[:700], encoding="utf-8")
    (tmp_path / "in" / "d.jsonl").write_text('{"id": "x", "text": "A whole record."}\n{"id": "y"}\n', encoding="utf-8")
    damaged = write_pubmed(tmp_path / "in" / "e.xml.gz", *(citation(n, "Long " * 50) for n in range(10, 400)))
    damaged.write_bytes(damaged.read_bytes()[:-200])
    summary = mine_with([WordAnnotator(fails_on="Badword")], tmp_path / "in", tmp_path / "out")
    connection = Collection(tmp_path / "out").connect()
    errors = connection.execute("SELECT stage, place, document_id, reason FROM errors ORDER BY place").fetchall()
    told = {(stage, Path(place).name.partition(":")[0], identity) for stage, place, identity, _ in errors}
    assert ("extract", "2", "2") in told
    assert ("read", "d.jsonl", None) in told
    assert ("read", "e.xml.gz", None) in told
    assert any("cannot bear Badword" in reason for *_, reason in errors)
    assert summary.num_errors == len(errors)
    texts = texts_of(tmp_path / "out")
    assert {"1", "2", f"{tmp_path / 'in' / 'd.jsonl'}#x"} <= set(texts)
    assert 200 < len(texts) < 393, "what comes before the damage is mined"
    assert connection.execute("SELECT warnings FROM documents WHERE document_id = '2'").fetchone()[0] == [
        "words failed: ValueError: cannot bear Badword"
    ]
    assert connection.execute("SELECT count(*) FROM entities WHERE document_id = '2'").fetchone() == (0,)


def test_a_fault_of_all_documents_is_not_theirs(tmp_path):
    write_pubmed(tmp_path / "a.xml", citation(1, "Same"), citation(2, "Same"))
    with pytest.raises(DataError, match="All 2 documents of a shard failed"):
        mine_with([WordAnnotator(fails_on="Same")], tmp_path / "a.xml", tmp_path / "out")
    summary = mine_with(WORDS, tmp_path / "a.xml", tmp_path / "out")
    assert summary.num_documents == 2


def test_files_that_were_moved_or_touched_are_known(tmp_path):
    file = write_pubmed(tmp_path / "in" / "pubmed25n0001.xml.gz", citation(1, "One"))
    out = tmp_path / "out"
    mine_with(WORDS, tmp_path / "in", out)
    os.utime(file, (1, 1))
    assert str(mine_with(WORDS, tmp_path / "in", out)) == "nothing new"
    shutil.move(tmp_path / "in", tmp_path / "elsewhere")
    assert str(mine_with(WORDS, tmp_path / "elsewhere", out)) == "nothing new"
    write_pubmed(tmp_path / "elsewhere" / "pubmed25n0001.xml.gz", citation(1, "Changed."), citation(2, "Two."))
    assert mine_with(WORDS, tmp_path / "elsewhere", out).num_documents == 2
    assert texts_of(out) == {"1": (1, "Changed"), "2": (1, "Two")}


def test_documents_without_a_pmid_are_told_apart_by_their_file(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        lines = [json.dumps({"id": "same", "text": f"Text {number} of {folder}."}) for number in range(2)]
        (tmp_path / folder / "notes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    mine_with(WORDS, [tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert sorted(text for _, text in texts_of(tmp_path / "out").values()) == [
        "Text 0 of a",
        "Text 0 of b",
        "Text 1 of a",
        "Text 1 of b",
    ]
    (tmp_path / "a" / "notes.jsonl").write_text('{"id": "same", "text": "Another text."}', encoding="utf-8")
    mine_with(WORDS, [tmp_path / "a"], tmp_path / "out")
    assert sorted(text for _, text in texts_of(tmp_path / "out").values()) == [
        "Another text",
        "Text 0 of b",
        "Text 1 of b",
    ]


def test_a_pubmed_id_is_one_document_in_whatever_format(tmp_path):
    folder = tmp_path / "in"
    write_pubmed(folder / "pubmed25n0001.xml", citation(7, "From PubMed."))
    (folder / "notes.pubtator").write_text("7|t|From PubTator.\n7|a|\n\n8|t|Another.\n8|a|\n", encoding="utf-8")
    (folder / "notes.jsonl").write_text('{"id": "n1", "pmid": "7", "text": "A note."}\n', encoding="utf-8")
    assert mine_with(WORDS, folder, tmp_path / "out").num_documents == 2
    assert set(texts_of(tmp_path / "out")) == {"7", "8"}


def test_a_collection_without_any_document_is_an_error_again_and_again(tmp_path):
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(DataError, match="no document that could be read, expected at least one"):
            mine_with(WORDS, tmp_path / "empty.jsonl", tmp_path / "out")
    write_pubmed(tmp_path / "a.xml", citation(1, "One"))
    assert mine_with(WORDS, [tmp_path / "empty.jsonl", tmp_path / "a.xml"], tmp_path / "out").num_documents == 1


def test_a_url_is_read_through_fsspec(tmp_path):
    write_collection(tmp_path / "in")
    mine_with(WORDS, f"file://{tmp_path}/in/*.xml.gz", tmp_path / "out")
    assert texts_of(tmp_path / "out") == EXPECTED
    assert str(mine_with(WORDS, f"file://{tmp_path}/in", tmp_path / "out")) == "nothing new"
    with pytest.raises(DataError, match="has no file"):
        mine_with(WORDS, f"file://{tmp_path}/in/*.zip", tmp_path / "other")
    with pytest.raises(InputError, match="pip install"):
        mine_with(WORDS, "nosuch://bucket/in", tmp_path / "other")


def test_what_cannot_be_used_is_refused_before_work_starts(tmp_path, tuned_model_paths, monkeypatch):
    file = write_pubmed(tmp_path / "a.xml", citation(1, "One"))
    out = tmp_path / "out"
    mine_with(WORDS, file, out)
    with pytest.raises(InputError, match=r'was begun with annotators\[0\].task "words", not "other"'):
        mine_with([WordAnnotator(task="other")], file, out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("Mine.", encoding="utf-8")
    with pytest.raises(InputError, match="holds something else"):
        mine_with(WORDS, file, tmp_path / "other")
    with pytest.raises(InputError, match="lies in the output"):
        mine_with(WORDS, out / "run.json", out, format="jsonl")
    with pytest.raises(InputError, match="standard input"):
        mine_with(WORDS, "-", out)
    with pytest.raises(InputError, match="twice"):
        make_annotators(["bc5cdr", "bc5cdr"])
    with pytest.raises(InputError, match=r"reads several fields \(question"):
        make_annotators(models=[tuned_model_paths["pubmedqa"]])
    with pytest.raises(InputError, match="Unknown dtype 'float23'"):
        make_annotators(["bc5cdr"], dtype="float23")
    with pytest.raises(InputError, match="neither a task nor a model"):
        make_annotators()
    note = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**note, "format_version": 2}))
    with pytest.raises(InputError, match="Install a newer biogpt"):
        mine_with(WORDS, file, out)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "biogpt\[mine\]"'):
        mine(file, out, tasks=["bc5cdr"])


def test_a_dry_run_counts_and_measures(tmp_path):
    files = write_collection(tmp_path / "in")
    slow = WordAnnotator(seconds=0.01)
    told = estimate([slow], files, workers=2)
    assert (told.num_files, told.num_documents, told.is_exact) == (4, 13, True)
    assert 1 < told.documents_per_second <= 100
    assert told.hours == pytest.approx(13 / told.documents_per_second / 2 / 3600)
    assert told.output_bytes > 1000
    assert "13 documents" in str(told)


def test_real_pubmed_files_give_each_article_once(data_path, tmp_path):
    folder = data_path / "pubmed_xml"
    mine_with(WORDS, folder, tmp_path / "out", shard_size=100)
    expected = {}
    for file in sorted(folder.iterdir()):
        for document in read_documents(file, lambda problem: None):
            expected[document.id] = document.text
    rows = Collection(tmp_path / "out").connect().execute("SELECT pmid, text FROM documents").fetchall()
    assert len(rows) == len(expected)
    assert dict(rows) == expected


def test_a_model_computes_in_the_type_that_the_collection_was_begun_with(tmp_path, tuned_model_paths, caplog):
    """The type decides on rows near the threshold, so that another one would mix rows of two kinds."""
    file = write_pubmed(tmp_path / "in" / "1.xml", citation(1, "Aspirin"))
    models = [tuned_model_paths["bc5cdr_chem"]]
    with caplog.at_level(logging.INFO, "biogpt"):
        mine(file, tmp_path / "out", models=models, device="cpu", dtype="bfloat16")
    assert "Computing in bfloat16 on cpu" in caplog.text
    with pytest.raises(InputError, match=r"begun with annotators\[0\].dtype \"bfloat16\", not \"auto\""):
        mine(file, tmp_path / "out", models=models, device="cpu")


@pytest.mark.parametrize(
    ("num_documents", "workers", "expected"),
    [(1, 2, 32), (4000, 1, 64), (4000, 2, 32), (60_000, 2, 480), (38_000_000, 16, 2048)],
)
def test_shards_are_whole_batches_and_enough_for_workers_to_end_together(num_documents, workers, expected):
    assert choose_shard_size(num_documents, workers) == expected


def test_arguments_of_relations_are_entities_each_once_in_a_document():
    aspirin, ulcer = Entity("Chemical", "aspirin", ((0, 7),), "D1"), Entity("Disease", "ulcer", ((15, 20),))
    again = Entity("Chemical", "ASA", ((22, 25),), "D1")
    relations = (
        EntityRelation("CID", {"chemical": aspirin, "disease": ulcer}, score=0.5),
        EntityRelation("CID", {"chemical": again, "disease": Entity("Disease", "Ulcer", ((15, 20),))}, score=0.75),
    )
    document = make_document("1", [Passage("aspirin caused ulcer. ASA did.")])

    def entities_of(*alone):
        rows = rows_of_document(document.with_extraction(Extraction(alone, relations)))["entities"]
        return [(row["entity"], row["name"], row["identifier"], row["mention"], row["score"]) for row in rows]

    assert entities_of() == [
        (0, "aspirin", "D1", "aspirin", 0.75),
        (0, "aspirin", "D1", "ASA", 0.75),
        (1, "ulcer", None, "ulcer", 0.75),
    ]
    found = Entity("Disease", "ulcer", ((15, 20),), score=0.9)
    assert [row for row in entities_of(found) if row[3] == "ulcer"] == [(0, "ulcer", None, "ulcer", 0.9)]
