"""The plan of a run: every example once an epoch, steps alike in size, the same whoever shares them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.training.finetune.batches import Plan, PlannedBatches, collate, sequence_to_write, words_to_label

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 400), st.integers(0, 5))
def test_an_epoch_has_every_example_once(lengths: list[int], tokens_per_step: int, seed: int) -> None:
    plan = Plan(lengths, tokens_per_step, seed, epochs=2)
    for epoch in range(2):
        steps = [plan.examples_of(epoch * plan.steps_per_epoch + place) for place in range(plan.steps_per_epoch)]
        assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
        assert all(len(step) for step in steps)
    assert plan.num_tokens_at(plan.num_steps) == 2 * sum(lengths)


def test_steps_have_about_the_tokens_asked_for() -> None:
    lengths = np.random.default_rng(0).integers(10, 200, size=500).tolist()
    plan = Plan(lengths, 2000, seed=0)
    sizes = np.diff([plan.num_tokens_at(step) for step in range(plan.num_steps + 1)])
    assert abs(sizes - 2000).max() < 400


def test_num_steps_takes_the_place_of_epochs() -> None:
    assert Plan([10] * 30, 100, seed=0, epochs=4).num_steps == 12
    assert Plan([10] * 30, 100, seed=0, epochs=4, num_steps=7).num_steps == 7


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(30, 400), st.integers(1, 3), st.integers(1, 200))
def test_a_step_is_the_same_however_it_is_shared_out(
    lengths: list[int], tokens_per_step: int, num_processes: int, tokens_per_batch: int
) -> None:
    examples = [sequence_to_write([2] * length, [5 + index, 2], 1.0) for index, length in enumerate(lengths)]
    plan = Plan([len(example.input_ids) for example in examples], tokens_per_step, seed=1)
    batches = PlannedBatches([examples], plan, tokens_per_batch, num_processes, token_dropout=0.2)
    alone = PlannedBatches([examples], plan, 10**6, token_dropout=0.2)
    assert len(batches) % num_processes == 0
    assert alone.accumulation == 1
    for step in range(plan.num_steps):
        parts = [batches[step * batches.batches_per_step + place] for place in range(batches.batches_per_step)]
        whole = alone[step]
        assert {float(part["total_weight"]) for part in parts} == {float(whole["weights"].sum())}
        assert sum(float(part["weights"].sum()) for part in parts) == float(whole["weights"].sum())
        rows = [row for part in parts for row in _rows(part)]
        assert sorted(rows) == sorted(_rows(whole))
        assert all(part["input_ids"].numel() <= max(tokens_per_batch, part["input_ids"].shape[1]) for part in parts)


def _rows(batch: dict[str, torch.Tensor]) -> list[list[int]]:
    """The ids of each row that counts, without its padding, and its targets."""
    rows = []
    for ids, targets, weights in zip(batch["input_ids"], batch["targets"], batch["weights"], strict=True):
        if weights.any():
            rows.append(ids[ids != 1].tolist() + targets[weights > 0].tolist())
    return rows


def test_each_token_is_predicted_from_those_before_it() -> None:
    example = sequence_to_write([2, 10, 11, 8192], [20, 2], source_weight=0.5, num_learned=1)
    assert example.input_ids == [2, 10, 11, 8192, 20]
    assert example.targets == [10, 11, 8192, 20, 2]
    assert example.weights == [0.5, 0.5, 0.5, 1.0, 1.0]


def test_words_are_labelled_at_their_places() -> None:
    example = words_to_label([2, 10, 11, 12], [1, 3], [4, 5])
    assert example.targets == [0, 4, 0, 5]
    assert example.weights == [0.0, 1.0, 0.0, 1.0]


def test_what_is_hidden_is_source_and_never_a_target() -> None:
    examples = [sequence_to_write([2, *[10] * 50, 8192], [20, 21, 2], 0.0, num_learned=1)]
    batches = PlannedBatches([examples], Plan([53], 53, seed=0, epochs=20), 100, token_dropout=0.5)
    hidden = torch.stack([batches[step]["input_ids"][0] == 3 for step in range(20)])
    assert 0.3 < hidden[:, 1:51].float().mean() < 0.7
    assert not hidden[:, 0].any()
    assert not hidden[:, 51:].any()
    assert len({tuple(row.tolist()) for row in hidden}) > 15
    assert batches[3]["targets"][0, -3:].tolist() == [20, 21, 2]


@pytest.mark.parametrize("num_labels", [0, 3])
def test_padding_weighs_nothing(num_labels: int) -> None:
    short, long = sequence_to_write([2, 9], [2], 1.0), sequence_to_write([2, 9, 9, 9], [2], 1.0)
    if num_labels:
        short, long = (type(one)(one.input_ids, [0, 2], [1.0]) for one in (short, long))
    batch = collate([long, short], num_labels)
    assert batch["input_ids"].tolist() == [[2, 9, 9, 9], [2, 9, 1, 1]]
    if num_labels:
        assert batch["targets"].tolist() == [[1, 0, 1], [1, 0, 1]]
        assert batch["weights"].tolist() == [1, 1]
    else:
        assert batch["weights"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_epochs_show_their_augmented_examples_and_then_those_behind_the_first_again():
    lengths = [[10 + number + epoch for number in range(30)] for epoch in range(4)]
    plan = Plan(lengths[0], 100, seed=0, epochs=9, augmented=lengths, num_once=2)
    shown = [plan.augmented_epoch_of(epoch * plan.steps_per_epoch) for epoch in range(9)]
    assert shown == [0, 1, 2, 3, 2, 3, 2, 3, 2]
    assert plan.num_epochs == 9
    assert plan.steps_per_epoch == Plan(lengths[0], 100, seed=0).steps_per_epoch
    assert Plan(lengths[0], 100, seed=0, num_steps=2 * plan.steps_per_epoch + 1).num_epochs == 3
    for epoch in range(9):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        assert sorted(index for step in steps for index in plan.examples_of(step)) == list(range(30))
        tokens = plan.num_tokens_at(steps.stop) - plan.num_tokens_at(steps.start)
        assert tokens == sum(lengths[shown[epoch]])
    longer = Plan(lengths[0], 100, seed=0, epochs=12, augmented=[*lengths, *lengths], num_once=2)
    first_epochs = range(4 * plan.steps_per_epoch)
    assert all((plan.examples_of(step) == longer.examples_of(step)).all() for step in first_epochs)


def test_a_batch_shows_the_augmented_examples_of_its_epoch():
    augmented = [[sequence_to_write([2, word, word], [word, 2], 1.0)] * 4 for word in (10, 11, 12)]
    lengths = [[len(example.input_ids) for example in examples] for examples in augmented]
    batches = PlannedBatches(augmented, Plan(lengths[0], 100, seed=0, epochs=3, augmented=lengths), 100)
    assert [batches[step]["input_ids"][0, 1].item() for step in range(3)] == [10, 11, 12]
