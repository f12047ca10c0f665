import json

import pytest
from tuned_models import examples_of

from biogpt import load_task
from biogpt.errors import InputError
from biogpt.evaluation.runs import evaluate
from biogpt.run_state import note_path

NUM_SENTENCES = 70  # three groups of a predictor's window


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sentences with labels as HoC has them, one of them with a wrong label."""
    path = tmp_path_factory.mktemp("hoc") / "test.tsv"
    examples = examples_of(load_task("hoc"))
    rows = [
        (example.text, "|".join(item.slots["label"] for item in example.items))
        for example in (examples[number % len(examples)] for number in range(NUM_SENTENCES))
    ]
    rows[-1] = (rows[-1][0], "cellular energetics")
    path.write_text("".join(f"{text}\t{labels}\n" for text, labels in rows), encoding="utf-8")
    return path


def test_a_model_is_scored(tuned_model_paths, data):
    seen = []
    report = evaluate("hoc", data, model=tuned_model_paths["hoc"], on_progress=lambda *counts: seen.append(counts))
    assert 0.9 < report.figures["f1"] < 1
    assert report.outcomes["num_missing"] == report.outcomes["num_with_problems"] == 0
    assert seen == [(number, NUM_SENTENCES) for number in range(1, NUM_SENTENCES + 1)]
    assert report.settings["decoding"] == "constrained"
    again = evaluate("hoc", data, model=tuned_model_paths["hoc"], constrained=False)
    assert again.settings["decoding"] == "unconstrained"


def test_a_run_that_stopped_goes_on_and_ends_as_an_unbroken_one(tuned_model_paths, data, tmp_path):
    def stop(num_done, _):
        if num_done == 40:
            raise KeyboardInterrupt

    task, model = load_task("hoc"), tuned_model_paths["hoc"]
    whole = evaluate(task, data, model=model, output=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(task, data, model=model, output=tmp_path / "broken", on_progress=stop)
    path = tmp_path / "broken" / "predictions.jsonl"
    assert json.loads(note_path(path).read_text())["num_records"] == 32
    with path.open("ab") as file:
        file.write(b'{"id": "half of a rec')
    seen = []
    resumed = evaluate(
        task, data, model=model, output=tmp_path / "broken", on_progress=lambda *counts: seen.append(counts)
    )
    assert seen[0] == (33, NUM_SENTENCES)
    assert path.read_bytes() == (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    assert resumed == whole
    assert evaluate(task, data, model=model, output=tmp_path / "broken", on_progress=stop) == whole


def test_predictions_of_other_settings_are_refused(tuned_model_paths, data, tmp_path):
    task, model = load_task("hoc"), tuned_model_paths["hoc"]
    evaluate(task, data, model=model, output=tmp_path)
    with pytest.raises(InputError, match="was begun with constrained true, not false"):
        evaluate(task, data, model=model, output=tmp_path, constrained=False)


def test_kept_predictions_can_be_scored_by_themselves(tuned_model_paths, data, tmp_path):
    task = load_task("hoc")
    report = evaluate(task, data, model=tuned_model_paths["hoc"], output=tmp_path)
    again = evaluate(task, data, predictions=tmp_path / "predictions.jsonl")
    assert (again.figures, again.outcomes, again.problems) == (report.figures, report.outcomes, report.problems)


def test_either_a_model_or_predictions(data):
    for given in ({}, {"model": "mini", "predictions": "some.jsonl"}):
        with pytest.raises(InputError, match="either a model or a file of predictions"):
            evaluate("hoc", data, **given)
