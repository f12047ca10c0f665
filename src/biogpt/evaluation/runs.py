"""Evaluation runs: a fine-tuned model over a split of a data set -> a `Report`.

Predictions are kept as they are made, so that a killed run goes on where it was. Knows neither what a model is made of
nor how figures are computed.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import biogpt
from biogpt.errors import DataError, InputError
from biogpt.evaluation.prediction_files import as_record, read_predictions
from biogpt.evaluation.report import Report
from biogpt.evaluation.scores import evaluate_predictions, score_predictions
from biogpt.extraction.task_models import TaskModel, find_task_model
from biogpt.files import dump_json
from biogpt.run_state import RunState
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.task import Task, load_task

PREDICTIONS_FILE = "predictions.jsonl"


def evaluate(
    task: str | Path | Task,
    data: str | Path,
    *,
    model: str | Path | None = None,
    predictions: str | Path | None = None,
    split: str = "test",
    constrained: bool = True,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 8,
    seed: int = 0,
    output: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a model, or predictions that were made elsewhere, on a split of a data set.

        >>> report = biogpt.evaluate("bc5cdr", "data/BC5CDR", model="bc5cdr")  # doctest: +SKIP
        >>> report.figures["f1"]  # doctest: +SKIP
        0.334

    Args:
        task: a task's name, the path of its TOML file, or a task.
        data: the data set's directory, or the file of the split.
        model: a model that was fine-tuned for this task: a bundled model's name, a directory or a hub id.
        predictions: a file of predictions, in place of a model; see `read_predictions`.
        split: which of the task's splits.
        constrained: constrain what is generated to the task's template; published figures were reached without.
        device: where to run, in PyTorch's terms; `auto`: `cuda` where there is one, else `cpu`.
        dtype: the type to compute in; see `Engine.from_pretrained`.
        batch_size: texts that the model reads at once. More is faster and takes more memory.
        seed: of the bootstrap.
        output: a directory in which a model's predictions are kept as they are made, in `predictions.jsonl`; a run that
            was killed is resumed there. By default they are not kept.
        on_progress: called with the number of examples that are done, and of all.

    Raises:
        DataError: a file is not what it should be.
        InputError: neither or both of `model` and `predictions` are given, the task has no such split, the model is not
            one of this task, or `output` holds the predictions of a run with other settings.
        CheckpointError: there is no such model, or its files are damaged.
    """
    if not isinstance(task, Task):
        task = load_task(task)
    if (model is None) == (predictions is None):
        raise InputError("Expected either a model or a file of predictions. Give model=... or predictions=....")
    if model is None:
        assert predictions is not None
        return evaluate_predictions(task, data, Path(predictions), split=split, seed=seed)
    data_path = data
    examples = task.read(data_path, split)
    found = find_task_model(model, task)
    settings = {
        "task": task.name,
        "model": str(model),
        "model_files": found.fingerprint(),
        "data": str(data_path),
        "split": split,
        "empty_documents": task.schema.empty_documents,
        "num_examples": len(examples),
        "constrained": constrained,
        "batch_size": batch_size,
        "dtype": dtype,
        "biogpt": biogpt.__version__,
    }
    if output is None:
        from biogpt.extraction.predictor import (
            Predictor,  # torch, which takes a while: what was typed is checked by now
        )

        predictor = Predictor.of(found, device, batch_size, dtype)
        remaining = predictor.predict(examples, constrained)
        made = list(_report_progress(remaining, 0, len(examples), on_progress))
    else:
        run_state = RunState([output / PREDICTIONS_FILE], settings)
        made = _continue_run(run_state, task, found, examples, constrained, device, dtype, batch_size, on_progress)
    sources = {
        "data": str(data_path),
        "model": str(model),
        "decoding": "constrained" if constrained else "unconstrained",
    }
    return score_predictions(task, made, examples, split=split, seed=seed, sources=sources)


def _continue_run(
    run_state: RunState,
    task: Task,
    found: TaskModel,
    examples: Sequence[Example],
    constrained: bool,
    device: str,
    dtype: str,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None,
) -> list[Prediction]:
    """All predictions, of which those that are kept are not made again."""
    path, num_done = run_state.paths[0], run_state.num_records
    run_state.begin()
    with path.open("r+b" if path.exists() else "xb") as file:
        if file.seek(0, os.SEEK_END) < run_state.positions[0]:
            raise DataError(f"{path} is shorter than {run_state.note_path} says. Remove both to begin again.")
        file.truncate(run_state.positions[0])
        file.seek(run_state.positions[0])
        done = read_predictions(task, path, examples[:num_done]) if num_done else []
        if run_state.is_complete:
            return done
        from biogpt.extraction.predictor import Predictor

        predictor = Predictor.of(found, device, batch_size, dtype)
        predictions = predictor.predict(examples[num_done:], constrained)
        shown = _report_progress(predictions, num_done, len(examples), on_progress)
        while group := list(islice(shown, predictor.window_size)):
            file.write("".join(map(_as_line, group)).encode())
            file.flush()
            os.fsync(file.fileno())
            done += group
            run_state.commit(len(done), [file.tell()])
        run_state.finish()
    return done


def _as_line(prediction: Prediction) -> str:
    return dump_json(as_record(prediction)) + "\n"


def _report_progress(
    predictions: Iterator[Prediction], num_done: int, num_all: int, on_progress: Callable[[int, int], None] | None
) -> Iterator[Prediction]:
    for prediction in predictions:
        num_done += 1
        if on_progress is not None:
            on_progress(num_done, num_all)
        yield prediction
