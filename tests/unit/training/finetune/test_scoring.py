"""What is learned on dev beside the weights: calibration and thresholds. Whole runs test prediction."""

import json
import runpy
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuned_models import examples_of

from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.task import Task, load_task
from biogpt.tasks.task_directory import read_task_directory
from biogpt.training.finetune import scoring

TEXT = "a b"
SPANS = {"a": (0, 1), "b": (2, 3)}


def mention(word: str, label: str, score: float | None = None) -> Item:
    return Item({"mention": word, "label": label}, {"mention": (SPANS[word],)}, score=score)


def tune(task: Task, monkeypatch: pytest.MonkeyPatch, gold: Sequence[Example], made: Sequence[Sequence[Item]]) -> Any:
    predictions = [Prediction(example.id, tuple(items)) for example, items in zip(gold, made, strict=True)]
    monkeypatch.setattr(scoring, "predict", lambda *_, **__: predictions)
    model: Any = None
    return scoring.tune_mentions(task, model, gold, model)


def test_mentions_that_are_more_often_wrong_than_right_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("ncbi_disease")
    made = [[mention("a", "Disease", 0.9), mention("b", "Disease", 0.5)]] * 4
    gold = [
        Example(str(number), TEXT, (mention("a", "Disease"), *([mention("b", "Disease")] if number == 3 else [])))
        for number in range(4)
    ]
    inference, scores = tune(task, monkeypatch, gold, made)
    assert 0.5 < inference.threshold <= 0.9
    assert scores["precision"] == 1.0
    all_right = [Example(one.id, TEXT, (mention("a", "Disease"), mention("b", "Disease"))) for one in gold]
    assert tune(task, monkeypatch, all_right, made)[0].threshold == 0.0


def test_each_data_set_has_a_threshold_and_each_label_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the labels that a data set says nothing of, predictions are neither right nor wrong."""
    task = load_task("entities")
    gold, made = [], []
    for number in range(80):
        is_right = number % 4 == 0  # a chemical of 0.9 is right once in four times
        chemicals = (mention("a", "Chemical"),) if is_right else ()
        gold.append(Example(f"c{number}", TEXT, chemicals, labelled=("Chemical",)))
        made.append([mention("a", "Chemical", 0.9 - number / 1000), mention("b", "Disease", 0.8)])
        gold.append(Example(f"d{number}", TEXT, (mention("b", "Disease"),), labelled=("Disease",)))
        made.append([mention("b", "Disease", 0.9 - number / 1000), mention("a", "Chemical", 0.99)])
    inference, scores = tune(task, monkeypatch, gold, made)
    assert set(inference.calibration) == {"Chemical", "Disease"}
    assert set(inference.thresholds) == set(task.schema.slots["label"].choices)
    assert scoring.calibrate(0.85, inference, "Chemical") < 0.5 < scoring.calibrate(0.85, inference, "Disease")
    assert inference.thresholds["Chemical"] <= 0.3
    assert scores["recall"] == 1.0


def test_relations_are_calibrated_on_the_sets_own_documents_and_cut_off_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("bc5cdr")
    wrong = Item({"chemical": "a", "disease": "b"}, ids={"chemical": "-1", "disease": "-1"}, score=0.2)
    right = Item(wrong.slots, ids={"chemical": "C", "disease": "D"}, score=0.2)
    gold = [Example(f"{number}", TEXT, (replace(right, score=None),)) for number in range(60)]
    gold += [Example(f"without:{number}", TEXT) for number in range(60)]
    sure = [replace(right, score=0.3 + number / 1000) for number in range(60)]
    made = [Prediction(example.id, (item,)) for example, item in zip(gold, [*sure, *[wrong] * 60], strict=True)]
    monkeypatch.setattr(scoring, "predict", lambda *_, **__: made)
    model: Any = None
    inference, scores = scoring.tune_relations(task, model, gold, model)
    assert scores["f1"] == 1.0
    assert scoring.calibrate(0.33, inference) > 0.9  # those of the added documents would have made less of it
    assert scoring.calibrate(0.2, inference) < inference.threshold < scoring.calibrate(0.3, inference)


def test_a_model_is_calibrated_anew_by_a_script(
    tuned_model_paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tuned_model_paths["bc5cdr_chem"], run)
    record = json.loads((run / "finetune.json").read_text(encoding="utf-8"))
    (run / "finetune.json").write_text(json.dumps({**record, "test_scores": {"f1": 0.5}}), encoding="utf-8")
    task = load_task("bc5cdr_chem")
    lines = []
    for number in range(20):  # one time in four, nothing in the text is a chemical
        for example in examples_of(task):
            tags = task.target(example).split()
            lines += [
                f"{word}\t{tag if number % 4 else 'O'}" for word, tag in zip(example.text.split(), tags, strict=True)
            ]
            lines.append("")
    (tmp_path / "devel.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["calibrate", str(run), str(tmp_path)])
    runpy.run_path(str(Path(__file__).parents[4] / "scripts" / "calibrate"), run_name="__main__")
    inference = read_task_directory(run).inference
    assert scoring.calibrate(1.0, inference, "Chemical") < 0.9
    assert scoring.calibrate(0.99, inference, "Chemical") == pytest.approx(0.75, abs=0.1)
    record = json.loads((run / "finetune.json").read_text(encoding="utf-8"))
    assert record["scores"]["recall"] == 1.0
    assert "test_scores" not in record
