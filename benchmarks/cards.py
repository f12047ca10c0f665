"""Measure the bundled models anew, and compare with what their cards state.

    python benchmarks/cards.py --data DIR --work DIR
    python benchmarks/cards.py --data DIR --work DIR --corpus CORPUS --write

Each task model predicts its test split as it ships; `mini` scores the held-out documents of CORPUS, a directory that
`biogpt pretrain` prepared with titles and abstracts, where it is given. Writes benchmarks/results/cards.json, prints a
line for each model, and ends with 1 where a card states something else. `--write` puts what was measured into the cards
and into finetune.json: scores with intervals, calibration (as benchmarks/calibration.py has measured it), and examples
that went wrong, drawn by a fixed seed. Predictions are kept in the work directory: a run that was killed goes on by the
same command.
"""

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, write_result
from task_data import DIRECTORIES

from biogpt.evaluation.prediction_files import read_predictions
from biogpt.evaluation.runs import PREDICTIONS_FILE, evaluate
from biogpt.extraction.task_models import RECORD_FILE, bundled_tasks, find_task_model
from biogpt.model.checkpoint import BUNDLED
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.metrics import are_right
from biogpt.tasks.task import Task

CARD_FILE = "README.md"
_DIRECTORIES = {"entities": "ner", **DIRECTORIES}
FIGURES = ("precision", "recall", "f1", "accuracy")
NUM_FAILURES = 4
MAX_CHARACTERS = 240
"""Of a text that is shown."""

_ABOUT_THE_MODEL = (CARD_FILE, RECORD_FILE, "calibration.svg")


def digest_of(directory: Path) -> str:
    """Of the files that decide what a model computes."""
    files = sorted(file for file in directory.iterdir() if file.name not in _ABOUT_THE_MODEL)
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:16]


def measure_task(name: str, data: Path, work: Path) -> dict[str, Any]:
    """A task model on its test split."""
    directory = data / _DIRECTORIES[name]
    report = evaluate(name, directory, model=name, output=work)
    task = find_task_model(name).task
    examples = task.read(directory, "test")
    predictions = read_predictions(task, work / PREDICTIONS_FILE, examples)
    return {
        "files": digest_of(BUNDLED[name]),
        "num_examples": len(examples),
        "figures": {key: round(value, 6) for key, value in report.figures.items()},
        "intervals": {key: [round(value, 4) for value in pair] for key, pair in report.intervals.items()},
        "failures": draw_failures(task, predictions, examples),
    }


def draw_failures(task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Examples in which something is wrong or missed, by a fixed seed from all of them."""
    failures = []
    for prediction, example in zip(predictions, examples, strict=True):
        found = replace(example, items=prediction.items)
        wrong = _names(task, prediction.items, are_right(task.schema, prediction.items, example))
        missed = _names(task, example.items, are_right(task.schema, example.items, found))
        if wrong or missed:
            failures.append({"id": example.id, "text": example.text, "wrong": wrong, "missed": missed})
    chosen = sorted(random.Random(0).sample(range(len(failures)), NUM_FAILURES))
    return [failures[index] for index in chosen]


def _names(task: Task, items: Iterable[Item], is_right: Iterable[bool]) -> list[str]:
    """What the items say that are not right, each once."""
    slots = ["mention"] if task.kind.labels_words else list(task.schema.slots)
    names = (
        ", ".join(item.slots[slot] for slot in slots) for item, right in zip(items, is_right, strict=True) if not right
    )
    return list(dict.fromkeys(names))


def measure_mini(corpus: Path) -> dict[str, Any]:
    """The language model on held-out documents."""
    from bits_per_byte import count_bytes, score_model

    from biogpt.training.corpus.prepare import Corpus

    opened = Corpus.open(corpus)
    texts = list(opened.heldout_texts())
    scored = score_model("mini", opened, texts, None, "cpu")
    return {
        "files": digest_of(BUNDLED["mini"]),
        "num_examples": len(texts),
        "num_bytes": count_bytes(texts),
        "figures": {"bits_per_byte": round(scored["bits"] / count_bytes(texts), 6)},
        "intervals": {},
    }


def render(card: str, measured: Mapping[str, Any], record: Mapping[str, Any], calibration: Any) -> str:
    """A card with these figures in it.

    Args:
        card: as it is.
        measured: its entry in cards.json.
        record: its finetune.json; empty for a model that continues text.
        calibration: its entry in calibration.json; None for a model that continues text.
    """
    for figure, value in measured["figures"].items():
        card = re.sub(rf"(type: {figure}\n +value: )[\d.]+", rf"\g<1>{value:.4f}", card)
    if record:
        card = _put(card, "scores", _score_rows(measured, record, calibration["after"]))
    return _put(card, "failures", _failure_rows(measured["failures"]) if record else _sample_rows())


def _score_rows(measured: Mapping[str, Any], record: Mapping[str, Any], calibrated: Mapping[str, Any]) -> str:
    dev = record.get("constrained_scores") or record["scores"]
    rows = ["| | dev | test | 95 % interval |", "|---|---:|---:|---|"]
    for figure in FIGURES:
        if figure in measured["figures"]:
            lower, upper = measured["intervals"][figure]
            value = measured["figures"][figure]
            rows.append(
                f"| {figure} | {100 * dev[figure]:.1f} | {100 * value:.1f} | {100 * lower:.1f} to {100 * upper:.1f} |"
            )
    error, share = calibrated["expected_calibration_error"], calibrated["share_right_of_middle"]
    rows += [
        "",
        f"Calibration on test, over {calibrated['num_candidates']:,} candidates with a score of 0.05 or more:",
        f"the expected calibration error is {error:.3f}; of {calibrated['num_middle']} with a score from 0.4 to 0.6, "
        f"{100 * share:.1f} % are right.",
    ]
    return "\n".join(rows)


def _failure_rows(failures: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| text | found, but not annotated | annotated, but not found |", "|---|---|---|"]
    for one in failures:
        rows.append(_as_row([_shorten(one["text"]), "; ".join(one["wrong"]) or "-", "; ".join(one["missed"]) or "-"]))
    return "\n".join(rows)


def _sample_rows() -> str:
    """Some of the texts that `benchmarks/generation.py` has kept."""
    with (RESULTS / "generation_samples.jsonl").open(encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    rows = ["| prompt | decoding | text |", "|---|---|---|"]
    for index in sorted(random.Random(0).sample(range(len(samples)), NUM_FAILURES)):
        one = samples[index]
        rows.append(_as_row([one["term"], one["way"], _shorten(one["text"].strip())]))
    return "\n".join(rows)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS].rsplit(" ", 1)[0] + " ..."


def _as_row(cells: Iterable[str]) -> str:
    """A row of a table, in which no character of a text is Markdown."""
    return "| " + " | ".join(re.sub(r"([\\`*_\[\]<>|])", r"\\\1", cell).replace("\n", " ") for cell in cells) + " |"


def _put(card: str, name: str, content: str) -> str:
    """The card with new content between two comments."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if card.count(begin) != 1 or card.count(end) != 1:
        raise SystemExit(f"A card lacks '{begin.strip()}' or '{end}', between which its {name} stand.")
    before, rest = card.split(begin)
    return f"{before}{begin}{content}\n{end}{rest.split(end)[1]}"


def compare(name: str, measured: Mapping[str, Any], write: bool = False) -> list[str]:
    """Which of a model's files state something else than what was measured.

    Args:
        name: of a bundled model.
        measured: its entry in cards.json.
        write: make them state it.
    """
    directory = BUNDLED[name]
    differing = [] if measured["files"] == digest_of(directory) else ["the files that ship"]
    record: dict[str, Any] = {}
    calibration = None
    if name in bundled_tasks():
        record = json.loads((directory / RECORD_FILE).read_text(encoding="utf-8"))
        calibration = json.loads((RESULTS / "calibration.json").read_text(encoding="utf-8"))["tasks"][name]
        if record.get("test_scores") != measured["figures"]:
            differing.append(RECORD_FILE)
            record["test_scores"] = measured["figures"]
    card = (directory / CARD_FILE).read_text(encoding="utf-8")
    rendered = render(card, measured, record, calibration)
    if rendered != card:
        differing.append(CARD_FILE)
    if write:
        (directory / CARD_FILE).write_text(rendered, encoding="utf-8")
        if record:
            (directory / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return differing


def main() -> None:
    """Measure each model that is bundled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, help="for mini, which otherwise keeps its last figure")
    parser.add_argument(
        "--only", nargs="+", choices=BUNDLED, default=list(BUNDLED), help="the others keep their figures"
    )
    parser.add_argument("--write", action="store_true", help="make the cards state what was measured")
    arguments = parser.parse_args()
    file = RESULTS / "cards.json"
    models = json.loads(file.read_text(encoding="utf-8"))["models"] if file.is_file() else {}
    for name in arguments.only:
        if name in bundled_tasks():
            models[name] = measure_task(name, arguments.data, arguments.work / name)
        elif arguments.corpus:
            models[name] = measure_mini(arguments.corpus)
    models = {name: models[name] for name in BUNDLED if name in models}  # what is not bundled any more goes
    write_result("cards", {"models": models})
    has_differing = False
    for name, measured in models.items():
        differing = compare(name, measured, arguments.write)
        has_differing = has_differing or bool(differing)
        main_figure = "f1" if "f1" in measured["figures"] else next(iter(measured["figures"]))
        interval = measured["intervals"].get(main_figure)
        shown = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        said = (
            f"{'written' if arguments.write else 'differs'}: {', '.join(differing)}"
            if differing
            else "as its card says"
        )
        print(f"{name}: {main_figure} {measured['figures'][main_figure]:.4f}{shown}, {said}")
    sys.exit(1 if has_differing and not arguments.write else 0)


if __name__ == "__main__":
    main()
