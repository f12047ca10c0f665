"""The example of fine-tuning and its page: its data are as described, its figures those of the result file."""

import csv
import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from biogpt.tasks.recipe import Recipe
from biogpt.tasks.task import load_task

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "finetuning"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "finetuning.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    path = ROOT / "benchmarks" / "results" / "finetuning_failures.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_sentences(file: str) -> list[dict[str, str]]:
    with (EXAMPLE / file).open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def test_the_sentences_are_those_that_the_script_writes(tmp_path: Path) -> None:
    script = tmp_path / "make_sentences.py"
    script.write_bytes((EXAMPLE / "make_sentences.py").read_bytes())
    subprocess.run([sys.executable, str(script)], check=True)
    for file, num_lines in {"train.csv": 200, "test.csv": 60}.items():
        assert (tmp_path / file).read_bytes() == (EXAMPLE / file).read_bytes()
        assert len(read_sentences(file)) == num_lines


def test_the_test_sentences_share_no_names_and_patterns_with_the_training_sentences() -> None:
    script = runpy.run_path(str(EXAMPLE / "make_sentences.py"))
    names, patterns = script["NAMES"], script["PATTERNS"]
    for slot, known in names["train.csv"].items():
        assert not set(known) & set(names["test.csv"][slot]), slot
    for label, sentences in patterns["train.csv"].items():
        assert not set(sentences) & set(patterns["test.csv"][label]), label


def test_the_task_is_short_and_stands_on_the_page(page: str) -> None:
    text = (EXAMPLE / "triage.toml").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 20
    assert f"```toml\n{text}```" in page
    choices = load_task(EXAMPLE / "triage.toml").schema.slots["label"].choices
    assert {row["label"] for row in read_sentences("train.csv")} == set(choices)


def test_every_setting_is_on_the_page_with_its_default(page: str) -> None:
    named = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and line.count(" | ") == 2]
    settings = [field.name for field in dataclasses.fields(Recipe) if field.name != "small"]
    assert [name for name in named if name in settings] == settings
    for name in settings:
        default = getattr(Recipe(), name)
        shown = json.dumps(list(default) if isinstance(default, tuple) else default)
        assert f"| `{name}` | `{shown}` |" in page, name


def test_the_runs_are_those_of_the_result_file(page: str, result: dict[str, Any]) -> None:
    endings = [name for name in result["runs"] if "ended" in result["runs"][name]]
    assert endings
    for name, run in result["runs"].items():
        free = run["free"]
        if name in endings:
            row = (
                f"| `{name}` | {run['ended']} | {run['mean_tokens']:.1f} | {run['with_problems']} | {free['f1']:.1f} |"
            )
        else:
            losses = f"{run['first_loss']:.2f} | {run['last_loss']:.2f}"
            scores = f"{free['f1']:.1f} | {run['held_f1']:.1f} | {free['unreadable']}"
            row = f"| {name} | {run['steps']} | {losses} | {scores} |"
        assert row in page, row
    whole = result["runs"]["as in triage.toml"]
    assert f"has {whole['dev_f1']:.1f} on the lines that it held out, and {whole['free']['f1']:.1f} on the test" in page


def test_each_failure_shows_and_its_cure_cures(result: dict[str, Any]) -> None:
    runs = result["runs"]
    cured = runs["as in triage.toml"]
    for name, run in runs.items():
        if name.startswith(("learning_rate", "20 lines")):
            assert run["free"]["f1"] < cured["free"]["f1"] - 20, name
    assert runs["tokenizer(text)"]["ended"] < runs["</s> appended"]["ended"]


def test_messages_are_those_of_the_result_file(page: str, result: dict[str, Any]) -> None:
    text = " ".join(page.split())
    for name, found in result["mistakes"].items():
        if name.endswith("cured"):
            assert found == {"error": "", "warnings": []}, name
        else:
            shown = found["error"].partition(": ")[2] or found["warnings"][0]
            assert " ".join(shown.split()) in text, name
