"""Whether a score of 0.5 means one in two: calibration of fine-tuned models, before and after.

    python benchmarks/calibration.py ncbi_disease bc5cdr --data DIR --work DIR
    python benchmarks/calibration.py ncbi_disease --model RUN --data DIR --work DIR --name NAME

For each task: what its model predicts on dev and test, whatever its threshold, with the model's own scores. The curve
from score to probability is the model's, or where it has none is fitted on dev as fine-tuning fits it. On test, over
all candidates of a score of at least 0.05: the expected calibration error in 15 bins of equally many candidates, and
how many of those between 0.4 and 0.6 are right; with the own scores and with the calibrated ones. Writes
benchmarks/results/calibration.json, or NAME.json, and with --picture a reliability diagram of each task. Predictions
are kept in the work directory: a run that was killed goes on by the same command.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import ROOT, write_result
from task_data import DIRECTORIES

from biogpt.evaluation.prediction_files import as_record, read_predictions
from biogpt.extraction.calibration import (
    ANY,
    calibrate,
    expected_calibration_error,
    fit_calibration,
)
from biogpt.extraction.task_models import find_task_model
from biogpt.files import dump_json
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.inference import InferenceSettings
from biogpt.tasks.metrics import are_right
from biogpt.tasks.task import Task, load_task

_DIRECTORIES = {"entities": "ner", **DIRECTORIES}

MIN_SCORE = 0.05
MIDDLE = (0.4, 0.6)
LOWEST_SEARCH = 0.02
"""Relations are searched for down to this probability, as fine-tuning does."""

GROUP = 64

Candidate = tuple[float, bool, str]
"""An item's own score, whether it is right, and its label."""


def predict(name: str, model: str, data: Path, split: str, work: Path) -> list[Candidate]:
    """The candidates of a split, with the model's own scores."""
    task = load_task(name)
    examples = task.read(data, split)
    found = find_task_model(model, task)
    lowest = LOWEST_SEARCH if task.kind.threshold_of == "sequences" else 0.0
    asked = found.task.with_inference(threshold=lowest, thresholds={}, calibration={})
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{split}.jsonl"
    done = read_predictions(task, file, examples) if file.is_file() and file.stat().st_size else []
    remaining = examples[len(done) :]
    if remaining:
        from biogpt.extraction.predictor import Predictor

        predictor = Predictor.of(dataclasses.replace(found, task=asked), batch_size=16)
        for start in range(0, len(remaining), GROUP):
            made = list(predictor.predict(remaining[start : start + GROUP]))
            with file.open("a", encoding="utf-8") as lines:
                lines.writelines(dump_json(as_record(one)) + "\n" for one in made)
            done += made
            print(f"{name}, {split}: {len(done)} of {len(examples)}", file=sys.stderr)
    return candidates_of(task, done, examples)


def candidates_of(task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]) -> list[Candidate]:
    """Score and rightness of each predicted item."""
    return [
        (item.score or 0.0, is_right, item.slots["label"] if task.kind.labels_words else ANY)
        for prediction, example in zip(predictions, examples, strict=True)
        for item, is_right in zip(prediction.items, are_right(task.schema, prediction.items, example), strict=True)
    ]


def fit(own: InferenceSettings, dev: Sequence[Candidate]) -> InferenceSettings:
    """The model's settings with its own calibration, or else one fitted on dev."""
    if own.calibration:
        return own
    labels = sorted({label for _, _, label in dev})
    curves = {
        label: fit_calibration(
            [score for score, _, other in dev if other == label], [right for _, right, other in dev if other == label]
        )
        for label in labels
    }
    return dataclasses.replace(own, calibration={name: curve for name, curve in curves.items() if curve is not None})


def describe(pairs: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """The figures over all candidates that count."""
    kept = [(score, right) for score, right in pairs if score >= MIN_SCORE]
    error, bins = expected_calibration_error([score for score, _ in kept], [right for _, right in kept])
    middle = [right for score, right in kept if MIDDLE[0] <= score <= MIDDLE[1]]
    return {
        "num_candidates": len(kept),
        "expected_calibration_error": round(error, 4),
        "num_middle": len(middle),
        "share_right_of_middle": round(sum(middle) / len(middle), 4) if middle else None,
        "bins": [
            {"mean_score": round(score, 4), "share_right": round(rate, 4), "num": number}
            for score, rate, number in bins
        ],
    }


def measure(name: str, model: str, data: Path, work: Path) -> dict[str, Any]:
    """Before and after, on test."""
    dev = predict(name, model, data, "dev", work)
    test = predict(name, model, data, "test", work)
    own = find_task_model(model, name).task.inference
    inference = fit(own, dev)
    return {
        "task": name,
        "model": Path(model).name,
        "curve": "the model's" if own.calibration else "fitted on dev",
        "curves": {label: dataclasses.asdict(curve) for label, curve in inference.calibration.items()},
        "dev_candidates": len(dev),
        "before": describe([(score, right) for score, right, _ in test]),
        "after": describe([(calibrate(score, inference, label), right) for score, right, label in test]),
    }


def draw(result: dict[str, Any]) -> str:
    """The reliability diagram of a task, as SVG."""
    side, left, top = 240, 44, 26

    def place(score: float, share: float) -> tuple[float, float]:
        return round(left + side * score, 1), round(top + side * (1 - share), 1)

    parts = [
        f'<rect width="{side + left + 16}" height="{side + top + 44}" fill="#fff"/>',
        f'<text x="{left + side / 2}" y="16">{result["task"]}, test</text>',
        f'<text x="{left + side / 2}" y="{top + side + 36}">score</text>',
        f'<text transform="translate(12 {top + side / 2}) rotate(-90)">share that is right</text>',
        f'<path d="M{left} {top}h{side}v{side}h-{side}z m0 {side}l{side} -{side}" fill="none" stroke="#bbb"/>',
    ]
    for step in range(6):
        x, y = place(step / 5, 0)[0], place(0, step / 5)[1]
        parts.append(f'<text x="{x}" y="{top + side + 18}">{step / 5:g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{step / 5:g}</text>')
    for row, (key, label, color) in enumerate(
        (("before", "own scores", "#d95f02"), ("after", "calibrated", "#1b6ca8"))
    ):
        places = [place(one["mean_score"], one["share_right"]) for one in result[key]["bins"]]
        error = result[key]["expected_calibration_error"]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>' for x, y in places]
        words = f"{label}: error {error:.3f}"
        parts.append(
            f'<text x="{left + 8}" y="{top + 18 + 16 * row}" fill="{color}" text-anchor="start">{words}</text>'
        )
    size = f'width="{side + left + 16}" height="{side + top + 44}"'
    font = 'font-family="sans-serif" font-size="12" text-anchor="middle"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>', *parts, "</svg>"]) + "\n"


def main() -> None:
    """Measure each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=_DIRECTORIES)
    parser.add_argument("--model", help="in place of the one that is bundled for each task")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", default="calibration", help="of the result file")
    parser.add_argument("--picture", type=Path, help="a directory for the reliability diagrams")
    arguments = parser.parse_args()
    results = {}
    for name in arguments.tasks:
        model = arguments.model or find_task_model(task=name).name
        work = arguments.work / f"{Path(model).name}-{name}"
        results[name] = measure(name, model, arguments.data / _DIRECTORIES[name], work)
        for key in ("before", "after"):
            shown = {figure: value for figure, value in results[name][key].items() if figure != "bins"}
            print(name, key, json.dumps(shown))
        if arguments.picture:
            arguments.picture.mkdir(parents=True, exist_ok=True)
            (arguments.picture / f"calibration-{name}.svg").write_text(draw(results[name]), encoding="utf-8")
    write_result(arguments.name, {"tasks": results})


if __name__ == "__main__":
    main()
