"""The verbs `tasks` and `evaluate`, and the page on adding a task, with its outputs."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from command_line import run

from biogpt.tasks.task import load_task, task_names

ROOT = Path(__file__).resolve().parents[2]


def test_tasks_are_listed():
    done = run("tasks")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == task_names()
    assert "f1 44.98 (BioGPT)" in done.stdout


@pytest.mark.parametrize("name", task_names())
def test_a_task_is_shown_with_its_example(name):
    done = run("tasks", name)
    task = load_task(name)
    assert done.returncode == 0
    assert task.target(task.example()) in done.stdout
    assert task.schema.licence in done.stdout
    assert all(trap in done.stdout for trap in task.schema.caveats)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tasks", "bc5cdrr"], "Did you mean 'bc5cdr'?"),
        (["tasks", "none.toml"], "Cannot read the task none.toml"),
        (
            ["evaluate", "--task", "hoc", "--data", "nowhere", "--predictions", "p.jsonl"],
            "no file or directory nowhere",
        ),
        (["evaluate", "--task", "hoc", "--data", ".", "--predictions", "p.jsonl"], "has no file 'test.tsv'"),
        (
            ["evaluate", "--task", "hoc", "--data", ".", "--predictions", "p.jsonl", "--split", "tst"],
            "no split 'tst'. Did you mean 'test'?",
        ),
        (
            ["evaluate", "--task", "hoc", "--data", "data.tsv", "--predictions", "p.jsonl", "--output", "report"],
            "Cannot read p.jsonl",
        ),
        (
            ["evaluate", "--task", "hoc", "--data", "data.tsv", "--predictions", "latin.txt", "--output", "report"],
            "latin.txt is not UTF-8",
        ),
        (
            ["evaluate", "--task", "bc5cdr", "--data", ".", "--predictions", "p", "--target-format", "sov"],
            "no target_format 'sov'. Did you mean 'svo'?",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.tsv").write_text("A sentence .\tempty\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("naïve\n".encode("latin-1"))
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("biogpt: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_evaluate_needs_its_options():
    done = run("evaluate", "--task", "hoc")
    assert done.returncode == 2


@pytest.mark.data
def test_gold_answers_in_any_order_score_one_and_disturbed_ones_less(data_path, tmp_path):
    folder = data_path / "benchmarks" / "HoC"
    task = load_task("hoc")
    examples = task.read(folder)
    lines = [json.dumps({"id": example.id, "text": task.target(example)}) for example in reversed(examples)]
    (tmp_path / "gold.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "half.jsonl").write_text("\n".join(lines[: len(lines) // 2]), encoding="utf-8")
    options = ["--task", "hoc", "--data", folder, "--json", "--predictions"]
    gold = json.loads(run("evaluate", *options, tmp_path / "gold.jsonl").stdout)
    assert gold["figures"] == dict.fromkeys(("precision", "recall", "f1", "macro_f1", "accuracy"), 1.0)
    half = json.loads(run("evaluate", *options, tmp_path / "half.jsonl", "--output", tmp_path / "report").stdout)
    assert half["outcomes"]["num_missing"] == len(examples) - len(lines) // 2
    assert half["figures"]["precision"] == 1
    assert 0.4 < half["figures"]["recall"] < 0.6
    assert json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8")) == half


@pytest.mark.data
def test_the_sample_of_the_official_tool_gives_its_figures(data_path):
    folder = data_path / "benchmarks" / "BC5CDR" / "BC5CDR_Evaluation-0.0.3" / "data"
    done = run(
        *("evaluate", "--task", "bc5cdr", "--data", folder / "gold" / "CDR_sample.gold.PubTator"),
        *("--predictions", folder / "test" / "CDR_sample.test.CID.PubTator"),
    )
    assert done.returncode == 0
    assert re.search(r"^precision +14\.45 ", done.stdout, re.MULTILINE)
    assert re.search(r"^recall +73\.17 ", done.stdout, re.MULTILINE)
    assert re.search(r"^f1 \(main\) +24\.13 ", done.stdout, re.MULTILINE)


def test_the_page_on_adding_a_task_is_true(tmp_path, monkeypatch):
    """Its files are made, its commands run, and what it shows is what they print."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "add-a-task.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    num_commands = 0
    printed = io.StringIO()
    for language, name, content in blocks:
        if name:
            Path(name).write_text(content, encoding="utf-8")
        elif language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(content, "docs/add-a-task.md", "exec"), {})
        elif language == "output":
            assert printed.getvalue() == content
        elif language == "console":
            command, _, shown = content.partition("\n")
            done = run(*command.removeprefix("$ biogpt ").split())
            assert (done.returncode, done.stdout) == (0, shown), done.stderr
            num_commands += 1
    assert num_commands == 2
    assert printed.getvalue()
    assert {path.name for path in Path("report").iterdir()} == {"report.json", "report.md", "report.png"}
