"""The verb `predict` and `evaluate --model`, on real samples of every format; real processes are killed, and fed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import run
from tuned_models import DOCUMENTS

from biogpt.documents import INPUT_FORMATS, OUTPUT_FORMATS, read_documents
from biogpt.extraction.task_models import find_task_model
from biogpt.mining.inputs import find_inputs
from biogpt.mining.local import Target, choose_format, predict_files

TEXTS = list(DOCUMENTS)
NUM_ABSTRACTS = 100  # a run of them is killed before its end


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "biogpt", "predict", *map(str, arguments)]


def write_abstracts(path: Path, number: int) -> Path:
    lines = [json.dumps({"id": str(index), "text": TEXTS[index % len(TEXTS)]}) for index in range(number)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_what_stands_in_files_is_found_in_their_order_and_bad_records_are_named(tuned_model_paths, tmp_path):
    folder = tmp_path / "abstracts"
    folder.mkdir()
    (folder / "2.txt").write_text(TEXTS[1], encoding="utf-8")
    (folder / "1.jsonl").write_text(f'{{"text": "{TEXTS[0]}"}}\nnot JSON\n{{"txt": "x"}}\n', encoding="utf-8")
    page = tmp_path / "page.html"
    done = run("predict", "--model", tuned_model_paths["bc5cdr"], folder, "-", "--html", page, stdin=TEXTS[2])
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").count("<article") == 3
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["id"] for record in records] == ["1.jsonl:1", "2.txt:1", "stdin:1"]
    found = [[(item["chemical"].lower(), item["disease"]) for item in record["items"]] for record in records]
    assert found == [DOCUMENTS[text] for text in TEXTS[:3]]
    for record in records:
        for item in record["items"]:
            ((start, end),) = item["chemical_spans"]
            assert record["text"][start:end] == item["chemical"]
            assert 0 < item["score"] <= 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "1.jsonl:2: not JSON" in lines[0]
    assert "1.jsonl:3: has none of title" in lines[1]
    assert lines[2] == "biogpt: 3 documents, 4 items, 2 skipped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "kd_dti", "a.txt"], "No model for the task 'kd_dti' is bundled"),
        (["--task", "bc5cdrr", "a.txt"], "Did you mean 'bc5cdr'?"),
        (["--model", "{bc5cdr}", "--task", "ddi", "a.txt"], "tuned for the task 'bc5cdr', not for 'ddi'"),
        (["--model", "mini", "a.txt"], "does not say its task"),
        (["--model", "{bc5cdr}", "none.txt"], "none.txt"),
        (["--model", "{bc5cdr}", "latin.txt"], "latin.txt is not in UTF-8"),
        (
            ["--model", "{hoc}", "a.txt", "--format", "pubtator"],
            "pubtator cannot say the labels",
        ),
        (["--model", "{pubmedqa}", "a.txt"], "'pubmedqa' reads several fields: question, context"),
        (["--model", "{bc5cdr}", "table.csv"], "has no column 'text', 'title' or 'abstract'"),
        (["--model", "{bc5cdr}", "a.txt", "--output", "mine.jsonl"], "was not begun by this command"),
        (["--model", "{bc5cdr}", "empty.txt"], "The input has no document"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(tuned_model_paths, tmp_path, monkeypatch, arguments, message):
    (tmp_path / "a.txt").write_text("Some text.", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    (tmp_path / "mine.jsonl").write_text("{}", encoding="utf-8")
    (tmp_path / "table.csv").write_text("id,abstrct\n1,x\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("naïve\n".encode("latin-1"))
    there = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    done = run("predict", *(each.format(**tuned_model_paths) for each in arguments))
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("biogpt: ")
    assert message in last
    assert len(done.stderr.splitlines()) == (2 if "empty.txt" in arguments else 1)
    assert sorted(tmp_path.iterdir()) == there


def test_neither_task_nor_model_is_wrong_usage():
    assert run("predict", "x.txt").returncode == 2


def test_results_appear_while_input_is_still_to_come(tuned_model_paths):
    arguments = command("--model", tuned_model_paths["bc5cdr_chem"], "--batch-size", 2)
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin
    assert process.stdout
    for index in range(2):
        process.stdin.write(json.dumps({"id": str(index), "text": TEXTS[0]}).encode() + b"\n")
    process.stdin.flush()
    first = json.loads(process.stdout.readline())
    assert first["id"] == "0"
    process.stdin.write(json.dumps({"id": "2", "text": TEXTS[0]}).encode() + b"\n")
    process.stdin.close()
    rest = process.stdout.read()  # communicate() would lose what readline() has buffered
    process.stdout.close()
    process.wait()
    assert [json.loads(line)["id"] for line in rest.splitlines()] == ["1", "2"]
    assert process.returncode == 0


@pytest.fixture(scope="module")
def whole(tuned_model_paths, tmp_path_factory) -> Path:
    """A folder with many abstracts and what a run that nothing interrupts makes of them."""
    folder = tmp_path_factory.mktemp("whole")
    source = write_abstracts(folder / "in.jsonl", NUM_ABSTRACTS)
    found, inputs = find_task_model(tuned_model_paths["bc5cdr"]), find_inputs([source], sys.stdin.buffer)
    predict_files(
        found, inputs, Target("bioc-json", folder / "whole.json", page_path=folder / "whole.html"), batch_size=4
    )
    return folder


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tuned_model_paths, whole, tmp_path, how):
    source = whole / "in.jsonl"
    settings = ["--model", tuned_model_paths["bc5cdr"], source, "--format", "bioc-json", "--batch-size", 4]
    settings += ["--html", tmp_path / "broken.html"]
    output, note = tmp_path / "broken.json", tmp_path / "broken.json.run.json"
    process = subprocess.Popen(command(*settings, "--output", output), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not (note.exists() and json.loads(note.read_text())["num_records"] >= 12):
        time.sleep(0.02)
    os.kill(process.pid, how)
    process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    num_done = json.loads(note.read_text())["num_records"]
    assert 12 <= num_done < NUM_ABSTRACTS
    done = run("predict", *settings, "--output", output)
    assert done.returncode == 0, done.stderr
    assert f"({num_done} of them from before)" in done.stderr
    assert (tmp_path / "broken.html").read_bytes() == (whole / "whole.html").read_bytes()
    assert output.read_bytes() == (whole / "whole.json").read_bytes()
    assert [record.id for record in read_documents(output, print)] == [str(index) for index in range(NUM_ABSTRACTS)]


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "formats/pubtator/bioconcepts2pubtator_offsets.sample",
        "formats/bioc/everything.xml",
        "formats/bioc/everything.json",
        "formats/brat",
        "pubmed_xml/pubmed-29768149.xml",
    ],
)
def test_real_samples_go_into_every_format(data_path, tuned_model_paths, tmp_path, name):
    """In this process: starting one for each pair of formats would take minutes."""
    found = find_task_model(tuned_model_paths["bc5cdr_chem"])
    source = data_path / name
    if source.suffix == ".sample":  # thousands of documents: the first five will do
        short = tmp_path / "short.pubtator"
        short.write_text("\n\n".join(source.read_text(encoding="utf-8").split("\n\n")[:5]) + "\n\n", encoding="utf-8")
        source = short
    inputs = find_inputs([source], sys.stdin.buffer)
    before = [record for source in inputs for record in read_documents(source.path, pytest.fail, source.format)]
    assert inputs[0].format in INPUT_FORMATS
    for format in OUTPUT_FORMATS:
        output = tmp_path / format
        summary = predict_files(found, inputs, Target(format, output), batch_size=16)
        assert (summary.num_records, summary.num_skipped) == (len(before), 0)
        after = list(read_documents(output, pytest.fail, format))
        ids = list(dict.fromkeys(record.id for record in after))  # a table has a row for each item
        expected = [record.id for record in before]
        assert ids == (sorted(expected) if format == "brat" else expected)  # whose files are read by name
    assert choose_format(found.task, None, None, inputs) in ({inputs[0].format} & set(OUTPUT_FORMATS) or {"jsonl"})


def test_evaluate_runs_a_model_and_keeps_its_predictions(tuned_model_paths, tmp_path):
    rows = "Cells died by apoptosis .\tresisting cell death\nThe weather was fine .\tempty\n"
    (tmp_path / "test.tsv").write_text(rows, encoding="utf-8")
    settings = ["--task", "hoc", "--data", tmp_path, "--model", tuned_model_paths["hoc"], "--output", tmp_path / "out"]
    done = run("evaluate", *settings, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"]["f1"] == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.jsonl",
        "predictions.jsonl.run.json",
        "report.json",
        "report.md",
        "report.png",
    }
    assert run("evaluate", *settings, "--predictions", "x").returncode == 2
