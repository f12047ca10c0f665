"""Collections mined by real processes of Ray, which are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mining_annotators import citation, rows_of, write_pubmed

from biogpt.documents import read_documents
from biogpt.extraction.extractor import Extractor
from biogpt.mining.dataset import Collection

TESTS = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
from mining_annotators import WordAnnotator
from biogpt.mining.collection import mine_with
mine_with([WordAnnotator(seconds=float(sys.argv[3]))], sys.argv[1], sys.argv[2], workers=2, shard_size=10)
"""


def environment() -> dict[str, str]:
    paths = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


def start(folder: Path, output: Path, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(folder), str(output), str(seconds)]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition, process: "subprocess.Popen[str]", seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def shards(output: Path) -> set[str]:
    return {path.stem for path in (output / "manifest").glob("*-[0-9][0-9][0-9][0-9].json")}


def workers_of(pid: int) -> list[int]:
    """The processes below a process that hold annotators."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in table.splitlines()]
    below, found = {pid}, []
    for _ in range(4):
        below |= {int(row[0]) for row in rows if int(row[1]) in below}
    for row in rows:
        if int(row[0]) in below and "Map(Miner)" in row[2]:
            found.append(int(row[0]))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pubmed")
    for number in range(3):
        first = 1000 * (number + 1)
        articles = [
            citation(pmid, f"Findings of number {pmid} concerning hypertension") for pmid in range(first, first + 40)
        ]
        write_pubmed(path / f"pubmed25n{number:04d}.xml.gz", *articles)
    return path


def test_a_killed_worker_and_a_killed_driver_change_no_row(folder, tmp_path):
    output = tmp_path / "out"
    process = start(folder, output, 0.05)
    try:
        wait_for(lambda: len(shards(output)) >= 1 and workers_of(process.pid), process)
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        before = len(shards(output))
        wait_for(lambda: len(shards(output)) > before, process)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    committed = shards(output)
    assert 2 <= len(committed) < 12
    kept = {name: (output / "documents" / f"{name}.parquet").stat().st_mtime_ns for name in committed}
    again = start(folder, output, 0)
    assert again.wait(240) == 0, again.communicate()[1]
    again.communicate()
    assert len(shards(output)) == 12
    assert all((output / "documents" / f"{name}.parquet").stat().st_mtime_ns == time for name, time in kept.items())
    rows = rows_of(output)
    expected = {
        document.id: document.text for path in folder.iterdir() for document in read_documents(path, lambda _: None)
    }
    found = Collection(output).connect().execute("SELECT pmid, text FROM documents").fetchall()
    assert len(found) == 120
    assert dict(found) == expected
    assert len(rows["relations"]) == 120
    assert len(set(rows["entities"])) == len(rows["entities"]) > 400


def test_the_command_finds_what_predict_finds(tuned_model_paths, tmp_path):
    texts = ["Aspirin reduces pain.", "Nothing here.", "Aspirin and aspirin."]
    source = tmp_path / "texts.jsonl"
    source.write_text("\n".join(json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)))
    model = tuned_model_paths["bc5cdr_chem"]
    command = [sys.executable, "-m", "biogpt", "mine", str(source), "-m", str(model), "-o", str(tmp_path / "out")]
    told = subprocess.run([*command, "--workers", "1"], env=environment(), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "files read: 1, documents mined: 3" in told.stderr
    assert told.stdout == ""
    query = 'SELECT id, type, name, start, "end", score FROM entities JOIN documents USING (document_id) ORDER BY ALL'
    rows = Collection(tmp_path / "out").connect().execute(query).fetchall()
    expected = []
    for number, extraction in enumerate(Extractor.from_pretrained(model)(texts)):
        for entity in extraction.entities:
            expected += [(str(number), entity.type, entity.name, *span, entity.score) for span in entity.spans]
    assert expected
    assert [row[:-1] for row in rows] == [row[:-1] for row in sorted(expected)]
    assert [row[-1] for row in rows] == pytest.approx([row[-1] for row in sorted(expected)], abs=1e-4)
    described = Collection(tmp_path / "out").read_run()["settings"]["annotators"][0]
    assert described["model"] == model.name
    assert len(described["sha256"]) == 64
