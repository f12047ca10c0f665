"""How fine-tuning on one's own data fails, and what cures it: each failure as a run of its own.

    python benchmarks/finetuning_failures.py --work DIR

The data are the 200 sentences in examples/finetuning, the model is `mini`; scores are those of its 60 test sentences,
which have other patterns and other names. One seed: with 60 sentences, scores that are less than about ten points apart
are alike. Seconds are processor time. A run that was made is not made again: its result is kept in `--work`. Writes
benchmarks/results/finetuning_failures.json.
"""

import argparse
import csv
import json
import shutil
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from record import ROOT, write_result

from biogpt import BioGptError, BioGptForCausalLM, BioGptTokenizer, load_task
from biogpt.extraction.predictor import Predictor
from biogpt.model.checkpoint import resolve_model
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.task import Task
from biogpt.training.public import finetune
from biogpt.training.trainer import computes_bf16

EXAMPLE = ROOT / "examples" / "finetuning"
TASK_PATH = EXAMPLE / "triage.toml"
HELD_OUT = 30
MAX_NEW_TOKENS = 40

Result = dict[str, Any]

RARELY = {"evaluate_every": 100, "checkpoint_every": 100}
"""What only takes time here: evaluations on dev and checkpoints on the way."""

SETTINGS: dict[str, dict[str, Any]] = {
    "as in triage.toml": {},
    "learning_rate = 1e-5": {"learning_rate": 1e-5},
    "learning_rate = 3e-2": {"learning_rate": 3e-2, "num_steps": 24},
    "head = classification": {"head": "classification"},
    "peft = lora": {"peft": "lora", "learning_rate": 5e-3},
}
"""Runs on all 200 sentences: name -> what differs from triage.toml."""

FEWER = {"20 lines": 20, "50 lines": 50, "100 lines": 100}
FEWER_STEPS = 36
"""With half as many steps as the 200 sentences have in 12 epochs, which is 36 passes over 20 of them."""

ENDINGS = ("tokenizer(text)", "</s> appended", "</s> appended, pad_token = eos_token")
"""Runs with transformers' own Trainer."""


def read_lines(file: str) -> list[dict[str, str]]:
    """The rows of one of the example's tables."""
    with (EXAMPLE / file).open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def write_lines(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """A table with the example's columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as output:
        writer = csv.DictWriter(output, ["id", "sentence", "label"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_task(path: Path, more: str) -> Path:
    """The example's task with some lines more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{TASK_PATH.read_text(encoding='utf-8')}{more}\n", encoding="utf-8")
    return path


def describe(task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Result:
    """What was written freely: F1 in percent, what could not be read, and the first text."""
    scores = task.score(predictions, examples)
    return {
        "f1": round(100 * scores["f1"], 1),
        "unreadable": sum(not prediction.items for prediction in predictions),
        "labels": len({item.slots["label"] for prediction in predictions for item in prediction.items}),
        "example": predictions[0].text[:160],
    }


def tune(data: Path, output: Path, settings: dict[str, Any]) -> Result:
    """One `biogpt finetune` run and its score on the test sentences."""
    began_at = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="biogpt")
        warnings.filterwarnings("always", module=__name__)
        report = finetune(TASK_PATH, data, output, **settings)
    seconds = time.process_time() - began_at
    with (output / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    predictor = Predictor.load(output, batch_size=32)
    examples = predictor.task.read(EXAMPLE / "test.csv")
    unconstrained = list(predictor.predict(examples, constrained=False))
    constrained = predictor.task.score(predictor.predict(examples), examples)
    return {
        "steps": report["steps"],
        "first_loss": round(float(rows[0]["loss"]), 3),
        "last_loss": round(float(rows[-1]["loss"]), 3),
        "dev_f1": round(100 * report["scores"]["f1"], 1),
        "unconstrained": describe(predictor.task, unconstrained, examples),
        "constrained_f1": round(100 * constrained["f1"], 1),
        "trained_parameters": report["trained_parameters"],
        "seconds": round(seconds),
        "warnings": [str(one.message) for one in caught if one.category is UserWarning],
    }


def tune_with_transformers(ending: str, output: Path) -> Result:
    """Fine-tuning as one writes it with transformers' Trainer, without a soft prompt, and what is then written."""
    task = load_task(TASK_PATH)
    train, test = task.read(EXAMPLE / "train.csv"), task.read(EXAMPLE / "test.csv")[:HELD_OUT]
    path = resolve_model("mini")
    transformers.set_seed(0)
    tokenizer = BioGptTokenizer.from_pretrained(path)
    model = BioGptForCausalLM.from_pretrained(path)
    if "pad_token" in ending:
        tokenizer.pad_token = tokenizer.eos_token
    rows = tokenizer([f"{task.prompt(example)} {task.target(example)}" for example in train])["input_ids"]
    if "appended" in ending:
        rows = [[*ids, tokenizer.eos_token_id] for ids in rows]
    arguments = transformers.TrainingArguments(
        output_dir=str(output), num_train_epochs=3, per_device_train_batch_size=32, learning_rate=1e-3,
        warmup_steps=10, save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1000, use_cpu=True,
        bf16=computes_bf16("auto", torch.device("cpu")), dataloader_pin_memory=False,
    )  # fmt: skip
    began_at = time.process_time()
    transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"input_ids": ids} for ids in rows],
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
    ).train()
    seconds = time.process_time() - began_at
    model.eval()
    tokenizer.padding_side = "left"
    written: list[list[int]] = []
    for first in range(0, len(test), 15):
        prompts = tokenizer([task.prompt(example) for example in test[first : first + 15]], padding=True)
        inputs = {name: torch.tensor(prompts[name]) for name in ("input_ids", "attention_mask")}
        ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        written += ids[:, inputs["input_ids"].shape[1] :].tolist()
    lengths = [ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids) for ids in written]
    texts = [tokenizer.decode(ids[:length]) for ids, length in zip(written, lengths, strict=True)]
    predictions = [task.parse(text, example) for text, example in zip(texts, test, strict=True)]
    return {
        "ended": sum(length < MAX_NEW_TOKENS for length in lengths),
        "mean_tokens": round(statistics.mean(lengths), 1),
        "with_problems": sum(bool(prediction.problems) for prediction in predictions),
        "unconstrained": describe(task, predictions, test),
        "seconds": round(seconds),
    }


def tune_on_few(num_lines: int, work: Path) -> Result:
    """A run on the first lines alone, a tenth of which is held out as always."""
    data = write_lines(work / f"{num_lines}.csv", read_lines("train.csv")[:num_lines])
    return tune(data, work / f"few-{num_lines}", {"num_steps": FEWER_STEPS, **RARELY})


def show_message(act: Callable[[], object]) -> Result:
    """The warnings and the error that something ends in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            act()
            error = ""
        except BioGptError as failure:
            error = f"{type(failure).__name__}: {failure}"
    return {"error": error, "warnings": [str(one.message) for one in caught if one.category is UserWarning]}


def show_mistakes(work: Path) -> dict[str, Result]:
    """Mistakes that are told in one line, each with its cure."""
    lines = read_lines("train.csv")[:12]
    splits = 'dataset.files = { train = "train.csv", dev = "dev.csv", test = "test.csv" }'
    short = {"num_steps": 1, "warmup_steps": 0, "result": "best"}

    def run(directory: Path, settings: dict[str, Any] = short, **more: Any) -> Callable[[], object]:
        shutil.rmtree(directory / "run", ignore_errors=True)
        return lambda: finetune(directory / "triage.toml", directory, directory / "run", **settings, **more)

    empty, copied, leaked, renamed = (work / name for name in ("empty", "copied", "leaked", "renamed"))
    for directory in (empty, copied, leaked):
        write_lines(directory / "train.csv", lines)
        write_task(directory / "triage.toml", splits)
    write_lines(empty / "dev.csv", [])
    write_lines(copied / "dev.csv", lines[:4])
    for name in ("dev.csv", "test.csv"):
        write_lines(leaked / name, read_lines("test.csv")[:4])
    wrong = [{**row, "label": row["label"].replace("adverse event", "adverse events")} for row in lines]
    write_lines(renamed / "train.csv", wrong)
    cured = write_task(renamed / "triage.toml", 'dataset.renamed = { "adverse events" = "adverse event" }')
    too_long = {"num_steps": 1, "warmup_steps": 100}
    too_high = {"num_steps": 4, "warmup_steps": 0, "learning_rate": 1e30}
    messages = {
        "empty split": show_message(run(empty)),
        "empty split, cured": show_message(run(empty, dev_fraction=0.1)),
        "dev in train": show_message(run(copied)),
        "dev is test": show_message(run(leaked)),
        "dev is test, cured": show_message(run(leaked, dev_fraction=0.1)),
        "warm-up longer than the run": show_message(run(leaked, too_long)),
        "learning_rate = 1e30": show_message(run(leaked, too_high)),
        "unknown label": show_message(lambda: load_task(TASK_PATH).read(renamed / "train.csv")),
        "unknown label, cured": show_message(lambda: load_task(cured).read(renamed / "train.csv")),
    }
    return {
        name: {"error": found["error"].replace(f"{work}/", ""), "warnings": found["warnings"]}
        for name, found in messages.items()
    }


def main() -> None:
    """Make the runs that were not made yet, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="for models, data and what was measured")
    parser.add_argument("--only", nargs="*", default=[], help="make only these runs; the result has all that were made")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    transformers.logging.set_verbosity_error()
    runs: dict[str, Callable[[], Result]] = {}
    for ending in ENDINGS:
        runs[ending] = partial(tune_with_transformers, ending, work / "transformers")
    for number, (name, settings) in enumerate(SETTINGS.items()):
        output, all_settings = work / f"settings-{number}", {**RARELY, **settings}
        runs[name] = partial(tune, EXAMPLE / "train.csv", output, all_settings)
    for name, num_lines in FEWER.items():
        runs[name] = partial(tune_on_few, num_lines, work)
    runs["mistakes"] = partial(show_mistakes, work / "mistakes")
    results = {}
    for name, run in runs.items():
        kept = work / "kept" / f"{name.replace('/', '')}.json"
        if not kept.is_file() and (not arguments.only or name in arguments.only):
            result = run()
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(result), encoding="utf-8")
        if kept.is_file():
            results[name] = json.loads(kept.read_text(encoding="utf-8"))
            print(name, results[name], flush=True)
    write_result("finetuning_failures", {"mistakes": results.pop("mistakes", {}), "runs": results})


if __name__ == "__main__":
    main()
