"""The example of fine-tuning and its page: its data are as described, settings and messages as the code has them."""

import csv
import dataclasses
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run
from small_models import make_small_model

from biogpt.tasks.recipe import Recipe
from biogpt.tasks.task import load_task

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "finetuning"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "finetuning.md").read_text(encoding="utf-8")


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


SPLITS = 'dataset.files = { train = "train.csv", dev = "dev.csv", test = "test.csv" }'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a thin `model` of random weights."""
    monkeypatch.chdir(tmp_path)
    return make_small_model(tmp_path / "model").parent


def write_data(directory: str, task_line: str, files: dict[str, list[dict[str, str]]]) -> None:
    """The task of the page with a line more, and tables for it."""
    Path(directory).mkdir()
    text = (EXAMPLE / "triage.toml").read_text(encoding="utf-8")
    Path(directory, "triage.toml").write_text(
        text.replace("dataset.reader", f"{task_line}\ndataset.reader"), encoding="utf-8"
    )
    for name, rows in files.items():
        with Path(directory, name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["id", "sentence", "label"])
            table.writeheader()
            table.writerows(rows)


def finetune(directory: str, *settings: str, flags: tuple[str, ...] = ()) -> str:
    """What the command says, if it says anything but the table at its end."""
    data = directory if Path(directory, "dev.csv").exists() else f"{directory}/train.csv"
    files = ["--task", f"{directory}/triage.toml", "--data", data, "--output", f"{directory}/run", *flags]
    ended = run("finetune", *files, "--model", "model", *(part for each in settings for part in ("--set", each)))
    lines = ended.stderr.splitlines()
    if ended.returncode:
        return lines[-1]
    shutil.rmtree(Path(directory, "run"))
    return "".join(line for line in lines if line.startswith("biogpt: warning:"))


def test_messages_are_on_the_page_as_they_are_printed_and_go_with_their_cures(page: str, home: Path) -> None:
    train, test = read_sentences("train.csv")[:12], read_sentences("test.csv")[:4]
    renamed = [{**row, "label": row["label"].replace("adverse event", "adverse events")} for row in train]
    write_data("empty", SPLITS, {"train.csv": train, "dev.csv": [], "test.csv": test})
    write_data("copied", SPLITS, {"train.csv": train, "dev.csv": train[:4], "test.csv": test})
    write_data("leaked", SPLITS, {"train.csv": train, "dev.csv": test, "test.csv": test})
    write_data("renamed", "", {"train.csv": renamed})
    write_data("cured", 'dataset.renamed = { "adverse events" = "adverse event" }', {"train.csv": renamed})
    short = ("num_steps=1", "warmup_steps=0", "result=best")
    said = [
        finetune("empty", *short),
        finetune("copied", *short),
        finetune("leaked", *short),
        finetune("leaked", "num_steps=1", "warmup_steps=100"),
        finetune("leaked", "num_steps=4", "warmup_steps=0", "learning_rate=1e30"),
        finetune("renamed", *short),
    ]
    shown = [" ".join(block.split()) for block in re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    for message in said:
        assert message in shown
    assert {block for block in shown if block.startswith("biogpt:")} == set(said), "each on the page is printed here"
    for directory in ("empty", "leaked"):
        shutil.rmtree(Path(directory, "run"), ignore_errors=True)
        assert finetune(directory, *short, flags=("--dev-fraction", "0.1")) == ""
    assert finetune("cured", "num_steps=1", "warmup_steps=0") == ""
