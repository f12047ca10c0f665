"""Predictions and scores of a model that is being fine-tuned, and from which probability on an item is kept.

A threshold is chosen by the score on dev. How a model predicts is `biogpt.extraction`'s.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from biogpt.extraction.predictor import Predictor
from biogpt.model.modeling import AnyModel
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.iob import read_tags
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


def find_relation_threshold(
    task: Task, tokenizer: BioGptTokenizer, examples: Sequence[Example], model: AnyModel
) -> tuple[float, Mapping[str, float]]:
    """From which probability on relations are kept, of all that the model might state, by the main score.

    Returns:
        The threshold, and all scores of constrained generation with it.
    """
    predictions = predict(with_threshold(task, RELATION_THRESHOLDS[0]), model, tokenizer, examples, constrained=True)

    def score_from(threshold: float) -> Mapping[str, float]:
        kept = [
            dataclasses.replace(one, items=tuple(item for item in one.items if (item.score or 0.0) >= threshold))
            for one in predictions
        ]
        return task.score(kept, examples)

    scores = {threshold: score_from(threshold) for threshold in RELATION_THRESHOLDS}
    best = max(scores, key=lambda threshold: task.main_figure(scores[threshold]))
    return best, scores[best]


def find_mention_threshold(
    names: Sequence[str], logits: Sequence[torch.Tensor], gold: Sequence[Sequence[int]]
) -> float:
    """Below which mean probability of its words' tags a mention is best left out, by F1.

    Training weighs words, F1 weighs mentions: what a head of a small model tags with little certainty is more often
    wrong than right.

    Args:
        names: of the head's labels, the first one "outside".
        logits: per example those of its words, (words, L).
        gold: per example the labels of its words.

    Returns:
        The threshold; the lowest of those that are equally good.
    """
    found: list[tuple[float, bool]] = []  # each mention's score, and whether it is right
    num_gold = 0
    for rows, labels in zip(logits, gold, strict=True):
        values, indices = rows.softmax(dim=-1).max(dim=-1)
        wanted = set(_mentions([names[index] for index in labels]))
        num_gold += len(wanted)
        for mention in _mentions([names[index] for index in indices.tolist()]):
            found.append((values[mention[1] : mention[2]].mean().item(), mention in wanted))

    def f1(threshold: float) -> float:
        kept = [is_right for score, is_right in found if score >= threshold]
        return 2 * sum(kept) / max(1, len(kept) + num_gold)

    return max(MENTION_THRESHOLDS, key=f1)


def with_threshold(task: Task, threshold: float) -> Task:
    """The task with another probability threshold."""
    return task.with_inference(threshold=threshold)


def _mentions(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Label, first word and the one behind the last of each mention."""
    text = " ".join("w" for _ in tags)  # a word every two characters
    return [
        (item.slots["label"], span[0] // 2, (span[1] + 1) // 2)
        for item in read_tags(tags, text)
        for span in item.spans["mention"]
    ]
