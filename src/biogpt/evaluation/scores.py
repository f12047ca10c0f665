"""Predictions and gold -> a `Report`. Knows no model: predictions come from a file, or from a caller that ran one."""

from collections.abc import Sequence
from pathlib import Path

import biogpt
from biogpt.evaluation.intervals import NUM_RESAMPLES, bootstrap
from biogpt.evaluation.prediction_files import read_predictions
from biogpt.evaluation.report import Report
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.task import Task, count_outcomes


def evaluate_predictions(
    task: Task, data_path: str | Path, predictions_path: str | Path, *, split: str = "test", seed: int = 0
) -> Report:
    """Score a file of predictions against a split of a data set.

    Args:
        task: from `load_task`.
        data_path: the data set's directory, or the file of the split.
        predictions_path: see `read_predictions` for the formats.
        split: which of the task's splits.
        seed: of the bootstrap.

    Raises:
        DataError: a file is not what it should be. Nothing has been scored by then.
        InputError: the task has no such split.
    """
    examples = task.read(data_path, split)
    predictions = read_predictions(task, Path(predictions_path), examples)
    sources = {"data": str(data_path), "predictions": str(predictions_path)}
    return score_predictions(task, predictions, examples, split=split, seed=seed, sources=sources)


def score_predictions(
    task: Task,
    predictions: Sequence[Prediction],
    examples: Sequence[Example],
    *,
    split: str = "test",
    seed: int = 0,
    sources: dict[str, str] | None = None,
) -> Report:
    """Score predictions and put around each figure its interval.

    Args:
        task: what was predicted.
        predictions: in any order; see `Task.score` for missing and repeated ones.
        examples: the gold.
        split: the name of the split, for the report.
        seed: of the bootstrap.
        sources: where data and predictions came from, for the report.

    Raises:
        DataError: no examples.
        ConfigError: the schema's main figure is none of its metric's.
    """
    counts = task.counts(predictions, examples)
    schema = task.schema
    figures = counts.figures()
    task.main_figure(figures)  # whether there is one
    return Report(
        task=task.name,
        title=schema.title,
        split=split,
        main=schema.score.main,
        figures=figures,
        intervals=bootstrap(counts, seed=seed),
        classes=counts.classes,
        outcomes=count_outcomes(predictions, examples),
        published=dict(schema.score.published),
        published_source=schema.score.source,
        caveats=schema.caveats,
        problems=[(prediction.id, problem) for prediction in predictions for problem in prediction.problems],
        settings={
            **(sources or {}),
            "metric": schema.score.metric,
            "target_format": schema.target_format,
            "empty_documents": schema.empty_documents,
            "seed": seed,
            "num_resamples": NUM_RESAMPLES,
            "biogpt": biogpt.__version__,
        },
    )
