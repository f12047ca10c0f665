"""A tagging head's logits -> mentions with their scores.

A head either chooses one tag of all for a word (`O`, `B-DNA`, ...), or decides each label for itself (`O-DNA`, `B-DNA`,
`I-DNA`, `O-RNA`, ...). Such a head may know more labels than a task asks for: the others are not looked at.

Shapes in comments: W words, L labels.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from biogpt.extraction.calibration import calibrate, threshold_of
from biogpt.tasks.example import Example, Item
from biogpt.tasks.inference import InferenceSettings
from biogpt.tasks.iob import OUTSIDE, read_tags, tag_names, tag_names_each, word_spans
from biogpt.tasks.kinds.tagging import sort_mentions


class TagGroup(NamedTuple):
    """Outputs of a head of which one is chosen for each word."""

    columns: list[int]
    """Which of the head's outputs, the one for "outside" first."""
    tags: list[str]
    """What each of them stands for, `O` first."""


def tag_groups(head: Mapping[int, str], labels: Sequence[str]) -> list[TagGroup]:
    """The groups of a head's outputs for these labels; none where the head does not have them.

    Args:
        head: index -> name of an output, as in a model's configuration.
        labels: what the task asks for.
    """
    columns = {name: index for index, name in head.items()}
    if sorted(columns) == sorted(tag_names(labels)):
        return [TagGroup([columns[tag] for tag in tag_names(labels)], tag_names(labels))]
    if all(tag in columns for tag in tag_names_each(labels)):
        return [TagGroup([columns[tag] for tag in tag_names_each([label])], tag_names([label])) for label in labels]
    return []


def read_mentions(
    example: Example, logits: torch.Tensor, groups: Sequence[TagGroup], inference: InferenceSettings
) -> tuple[Item, ...]:
    """The mentions that a head tags, with the mean probability of their tags, calibrated.

    Args:
        example: whose words were tagged.
        logits: of the words, (W, L).
        groups: of the head's outputs.
        inference: whose thresholds decide which mentions are kept.
    """
    spans = word_spans(example.text)
    items: list[Item] = []
    for group in groups:
        values, indices = logits[:, group.columns].softmax(dim=-1).max(dim=-1)  # (W,) each
        if not indices.any():
            continue
        probabilities = values.tolist()
        # Two spaces in a row have an empty word between them, which names nothing.
        tags = [
            group.tags[index] if start < end else OUTSIDE
            for index, (start, end) in zip(indices.tolist(), spans, strict=True)
        ]
        for item in read_tags(tags, example.text):
            first, last = item.spans["mention"][0]
            scores = [value for value, (start, _) in zip(probabilities, spans, strict=True) if first <= start < last]
            label = item.slots["label"]
            score = calibrate(sum(scores) / len(scores), inference, label)
            if score >= threshold_of(inference, label):
                items.append(Item(item.slots, item.spans, score=score))
    return sort_mentions(items)
