"""Thresholds that are chosen on dev; predicting itself is tested with whole runs."""

import torch

from biogpt.training.finetune.scoring import find_mention_threshold


def test_mentions_that_are_more_often_wrong_than_right_are_left_out() -> None:
    names = ["O", "B-Disease", "I-Disease"]
    sure, unsure, outside = [0.0, 5.0, 0.0], [0.0, 0.5, 0.0], [5.0, 0.0, 0.0]
    logits = [torch.tensor([sure, outside, unsure])] * 4
    gold = [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]]
    unsure_score = torch.tensor(unsure).softmax(dim=-1).max().item()
    assert find_mention_threshold(names, logits, gold) > unsure_score
    assert find_mention_threshold(names, logits, [[1, 0, 1]] * 4) == 0.0
