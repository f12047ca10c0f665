"""Predictions and scores of a model that is being fine-tuned, and what its own scores are worth.

On dev scores are calibrated (`biogpt.extraction.calibration`), and from which probability on an item is kept is chosen
by the task's score. How a model predicts is `biogpt.extraction`'s.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from biogpt.extraction.calibration import ANY, calibrate, fit_calibration, threshold_of
from biogpt.extraction.predictor import Predictor
from biogpt.model.modeling import AnyModel
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.inference import Calibration, InferenceSettings
from biogpt.tasks.metrics import are_right
from biogpt.tasks.readers import is_added
from biogpt.tasks.task import Task
from biogpt.text.tokenizer import BioGptTokenizer

BATCH_SIZE = 32
MENTION_THRESHOLDS = tuple(step / 20 for step in range(20))
RELATION_THRESHOLDS = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55)


def predict(
    task: Task, model: AnyModel, tokenizer: BioGptTokenizer, examples: Sequence[Example], constrained: bool
) -> list[Prediction]:
    """Predictions for examples; `constrained`: whether generation is constrained by the task's schema."""
    return list(Predictor(task, model, tokenizer, batch_size=BATCH_SIZE).predict(examples, constrained))


def score(task: Task, tokenizer: BioGptTokenizer, examples: Sequence[Example], model: AnyModel) -> Mapping[str, float]:
    """The scores on examples as the paper measures: generation is not constrained."""
    return task.score(predict(task, model, tokenizer, examples, constrained=False), examples)


def tune_relations(
    task: Task, tokenizer: BioGptTokenizer, examples: Sequence[Example], model: AnyModel
) -> tuple[InferenceSettings, Mapping[str, float]]:
    """How probable relations of a score are, and from which probability on they are kept, by the main score.

    Probable in the data set's own documents, as in its test split; the threshold is set on those without relations,
    too.

    Returns:
        The task's settings with the calibration and the threshold, and all scores of constrained generation with them.
    """
    asked = task.with_inference(threshold=RELATION_THRESHOLDS[0], calibration={})
    predictions = predict(asked, model, tokenizer, examples, constrained=True)
    own = [index for index, example in enumerate(examples) if not is_added(example)]
    curve = _fit(_scored(task, [predictions[index] for index in own], [examples[index] for index in own])[ANY])
    inference = dataclasses.replace(task.inference, calibration={} if curve is None else {ANY: curve})

    def score_from(score: float) -> Mapping[str, float]:
        kept = [
            dataclasses.replace(one, items=tuple(item for item in one.items if (item.score or 0.0) >= score))
            for one in predictions
        ]
        return task.score(kept, examples)

    scores = {score: score_from(score) for score in RELATION_THRESHOLDS}
    best = max(scores, key=lambda score: task.main_figure(scores[score]))
    return dataclasses.replace(inference, threshold=round(calibrate(best, inference), 6)), scores[best]


def tune_mentions(
    task: Task, tokenizer: BioGptTokenizer, examples: Sequence[Example], model: AnyModel
) -> tuple[InferenceSettings, Mapping[str, float]]:
    """How probable mentions of a score are, by label, and below which probability they are best left out, by F1.

    Training weighs words, F1 weighs mentions: what a head of a small model tags with little certainty is more often
    wrong than right. Labels of one data set share a threshold.

    Returns:
        The task's settings with the calibration and the thresholds, and all scores with them.
    """
    asked = task.with_inference(threshold=0.0, thresholds={}, calibration={})
    predictions = predict(asked, model, tokenizer, examples, constrained=False)
    found = _scored(task, predictions, examples)
    curves = {label: _fit(pairs) for label, pairs in found.items()}
    calibration = {label: curve for label, curve in curves.items() if curve is not None}
    inference = dataclasses.replace(task.inference, calibration=calibration)
    num_gold = Counter(item.slots["label"] for example in examples for item in example.items)

    def find_threshold(labels: Sequence[str]) -> float:
        scored = [(calibrate(score, inference, label), right) for label in labels for score, right in found[label]]
        wanted = sum(num_gold[label] for label in labels)

        def f1(threshold: float) -> float:
            kept = [is_right for score, is_right in scored if score >= threshold]
            return 2 * sum(kept) / max(1, len(kept) + wanted)

        return max(MENTION_THRESHOLDS, key=f1)

    labels = task.kind.entity_types(task.schema)
    if task.schema.has_overlapping_labels:
        parts = {part.labels for part in task.schema.dataset.parts.values()} or {(label,) for label in labels}
        thresholds = {label: find_threshold(part) for part in sorted(parts) for label in part}
        inference = dataclasses.replace(inference, thresholds=thresholds)
    else:
        inference = dataclasses.replace(inference, threshold=find_threshold(labels))
    kept = [
        dataclasses.replace(one, items=tuple(item for item in one.items if _is_kept(item, inference)))
        for one in predictions
    ]
    return inference, task.score(kept, examples)


def _is_kept(item: Item, inference: InferenceSettings) -> bool:
    label = item.slots["label"]
    return calibrate(item.score or 0.0, inference, label) >= threshold_of(inference, label)


def _scored(
    task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]
) -> dict[str, list[tuple[float, bool]]]:
    """For each label, or for all relations: score, and whether it is right, of each item that counts."""
    found: dict[str, list[tuple[float, bool]]] = {label: [] for label in task.kind.entity_types(task.schema)}
    found |= {ANY: []}
    for prediction, example in zip(predictions, examples, strict=True):
        rights = are_right(task.schema, prediction.items, example)
        for item, is_right in zip(prediction.items, rights, strict=True):
            label = item.slots["label"] if task.kind.labels_words else ANY
            if not example.labelled or label in example.labelled:
                found[label].append((item.score or 0.0, is_right))
    return found


def _fit(pairs: Sequence[tuple[float, bool]]) -> Calibration | None:
    return fit_calibration([score for score, _ in pairs], [is_right for _, is_right in pairs])
