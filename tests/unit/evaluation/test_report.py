import json
from dataclasses import replace

import pytest

from biogpt import __version__
from biogpt.errors import ConfigError, InputError
from biogpt.evaluation.scores import score_predictions
from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import Task, load_task

HOC = load_task("hoc")
GOLD = ["empty", "empty", "cellular energetics", "resisting cell death"]
EXAMPLES = [Example(str(number), "A .", (Item({"label": label}),)) for number, label in enumerate(GOLD)]
TEXTS = ["empty", "empty|cellular energetics", "cellular energetics", "foo"]


@pytest.fixture(scope="module")
def report():
    predictions = [
        HOC.parse(f"the type of this document is {text}.", example)
        for text, example in zip(TEXTS, EXAMPLES, strict=True)
    ]
    return score_predictions(HOC, predictions, EXAMPLES, split="dev", sources={"data": "d", "predictions": "p"})


def test_a_report_says_what_was_measured_and_how(report):
    assert report.figures["precision"] == 3 / 4
    assert report.figures["recall"] == 3 / 4
    assert report.outcomes["num_failed"] == 1
    assert report.problems == [("3", report.problems[0][1])]
    assert "unknown label 'foo'" in report.problems[0][1]
    assert report.settings["biogpt"] == __version__
    assert report.settings["metric"] == "labels"
    lower, upper = report.intervals["f1"]
    assert lower <= report.figures["f1"] <= upper


def test_json_has_all_of_it(report):
    read = json.loads(report.as_json())
    assert read["figures"]["f1"] == report.figures["f1"]
    assert read["classes"]["empty"]["support"] == 2
    assert read["published"]["BioGPT"] == 85.12
    assert read["settings"]["data"] == "d"


def test_the_table_has_figures_classes_problems_and_traps(report):
    text = report.as_text()
    assert "f1 (main)" in text
    assert "75.00" in text
    assert "85.12" in text
    assert "cellular energetics" in text
    assert "1 unreadable (25.0 %)" in text
    assert "3: unknown label 'foo'" in text
    assert "same bytes" in text


def test_markdown_has_the_same_rows(report):
    text = report.as_markdown()
    assert text.startswith("# hoc (dev)\n")
    assert "| f1 (main) | 75.00 |" in text
    assert "| empty | " in text
    table = text.split("\n\n")[2].splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + len(report.figures)


def test_many_problems_are_shortened(report):
    many = replace(report, problems=[(str(number), "bad") for number in range(50)])
    assert "... and 40 more problems" in many.as_text()
    assert len(json.loads(many.as_json())["problems"]) == 50


def test_three_files_are_written(report, tmp_path):
    report.write(tmp_path / "new" / "directory")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "directory").iterdir()}
    assert set(written) == {"report.json", "report.md", "report.png"}
    assert written["report.png"].startswith(b"\x89PNG")
    assert json.loads(written["report.json"])["task"] == "hoc"


def test_a_place_that_cannot_be_written_is_said(report, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="Cannot write"):
        report.write(tmp_path / "file")


def test_figures_that_are_no_shares_are_no_percentages():
    task = load_task("textgen")
    example = Example("1", "p")
    report = score_predictions(task, [task.parse("one two three four", example)], [example])
    assert "mean_words" in report.as_text()
    assert " 4.0 " in report.as_text()


def test_a_main_figure_that_the_metric_lacks_is_refused():
    task = Task(replace(HOC.schema, score=replace(HOC.schema.score, main="macrof1")))
    with pytest.raises(ConfigError, match="Did you mean 'macro_f1'"):
        score_predictions(task, [], EXAMPLES)
