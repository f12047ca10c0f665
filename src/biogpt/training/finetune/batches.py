"""Examples -> optimisation steps -> batches, as a plan that is made before training starts.

A step has about `tokens_per_step` tokens, however many batches and processes share them; a batch has examples of about
the same length. The plan depends on the lengths, the settings and the seed alone, so neither a resume nor the number of
processes changes what a step learns from. It knows ids and labels, no texts.

Shapes in comments: B examples, T tokens, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import Dataset

PAD_ID = 1
UNKNOWN_ID = 3
STEPS_PER_POOL = 32
"""Among the examples of so many steps, those of about the same length are learned from together."""


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One sequence, and what is to be predicted at its tokens, or of it as a whole."""

    input_ids: list[int]
    targets: list[int]
    """An id or label for each token; for labels of the whole sequence, those that hold."""
    weights: list[float]
    """How much each target counts in the loss: 0 where nothing is to be predicted; of a whole sequence, one number."""
    num_hideable: int = 0
    """How many of the first ids are source, and may be hidden from the model now and then."""
    num_groups: int = 1
    """How many targets each token has, one after the other in `targets`."""


def sequence_to_write(
    prompt: Sequence[int], target: Sequence[int], source_weight: float, num_learned: int = 0
) -> TrainingExample:
    """Prompt and target as one sequence, each token but the first to be predicted from those before it.

    Args:
        prompt: the source's ids with the `num_learned` of the soft prompt behind them.
        target: the ids to write.
        source_weight: what each token of the prompt counts in the loss; one of the target counts 1.
        num_learned: the length of the soft prompt, of which nothing is hidden.
    """
    ids = [*prompt, *target]
    weights = [source_weight] * (len(prompt) - 1) + [1.0] * len(target)
    return TrainingExample(ids[:-1], ids[1:], weights, len(prompt) - num_learned)


def words_to_label(
    input_ids: list[int], places: Sequence[int], labels: Sequence[int], num_groups: int = 1
) -> TrainingExample:
    """A sequence some of whose tokens carry a label, or one of each of several groups; negative ones do not count."""
    targets, weights = [0] * (len(input_ids) * num_groups), [0.0] * (len(input_ids) * num_groups)
    for word, place in enumerate(places):
        for group, label in enumerate(labels[word * num_groups : (word + 1) * num_groups]):
            if label >= 0:
                targets[place * num_groups + group], weights[place * num_groups + group] = label, 1.0
    return TrainingExample(input_ids, targets, weights, len(input_ids), num_groups)


class Plan:
    """Which examples each step learns from.

    Args:
        lengths: tokens of each example.
        tokens_per_step: about how many tokens a step has.
        seed: of the order.
        epochs: passes over all of them.
        num_steps: in place of `epochs`, where it is not 0.
        augmented: where epochs show the examples augmented, the lengths in each epoch; when all were shown, those
            behind the first `num_once` come again.
        num_once: how many of these epochs are shown only once.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        tokens_per_step: int,
        seed: int,
        epochs: int = 1,
        num_steps: int = 0,
        augmented: Sequence[Sequence[int]] = (),
        num_once: int = 0,
    ) -> None:
        self._lengths = [np.asarray(one, dtype=np.int64) for one in augmented or [lengths]]
        self._num_once = num_once
        self.seed = seed
        self.steps_per_epoch: int = max(1, min(len(lengths), round(sum(lengths) / tokens_per_step)))
        self.num_steps: int = num_steps or epochs * self.steps_per_epoch
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def examples_of(self, step: int) -> np.ndarray:
        """The examples of a step, longest first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch[0]:
            self._epoch = (epoch, self._share_out(epoch))
        chosen = self._epoch[1][place]
        longest_first: np.ndarray = chosen[np.argsort(-self._lengths_at(step)[chosen], kind="stable")]
        return longest_first

    def augmented_epoch_of(self, step: int) -> int:
        """Which of the epochs' augmented examples a step shows."""
        epoch = step // self.steps_per_epoch
        if epoch < len(self._lengths):
            return epoch
        return self._num_once + (epoch - self._num_once) % (len(self._lengths) - self._num_once)

    @property
    def num_epochs(self) -> int:
        """How many epochs are begun."""
        return -(-self.num_steps // self.steps_per_epoch)

    def _lengths_at(self, step: int) -> np.ndarray:
        return self._lengths[self.augmented_epoch_of(step)]

    def batches_of(self, step: int, tokens_per_batch: int) -> list[np.ndarray]:
        """A step's examples in batches of at most `tokens_per_batch` tokens, padding included; one at least in each."""
        batches: list[list[int]] = []
        lengths = self._lengths_at(step)
        for example in self.examples_of(step):
            # The longest come first, so the first of a batch says how wide it is.
            if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > tokens_per_batch:
                batches.append([])
            batches[-1].append(int(example))
        return [np.asarray(batch) for batch in batches]

    def num_tokens_at(self, step: int) -> int:
        """How many tokens the first so many steps have."""
        return int(self._cumulated[step])

    @cached_property
    def _cumulated(self) -> np.ndarray:
        sums = [int(self._lengths_at(step)[self.examples_of(step)].sum()) for step in range(self.num_steps)]
        return np.concatenate([[0], np.cumsum(sums)])

    def _share_out(self, epoch: int) -> list[np.ndarray]:
        """All examples, in an order of this epoch's own, in steps of about the same number of tokens."""
        numbers = np.random.default_rng((self.seed, epoch))
        lengths = self._lengths_at(epoch * self.steps_per_epoch)
        order = numbers.permutation(len(lengths))
        # Within a pool of some steps, examples of the same length come together: batches with little padding.
        num_pools = -(-self.steps_per_epoch // STEPS_PER_POOL)
        pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in np.array_split(order, num_pools)]
        order = np.concatenate(pools)
        ends = np.cumsum(lengths[order])
        middles = ends - lengths[order] / 2
        steps = np.minimum(middles * self.steps_per_epoch // ends[-1], self.steps_per_epoch - 1)
        parts = [order[steps == step] for step in range(self.steps_per_epoch)]
        # Where examples are long and steps few, one can come out empty: it takes the longest step's last example.
        for index, part in enumerate(parts):
            if not len(part):
                fullest = max(range(len(parts)), key=lambda other: len(parts[other]))
                parts[index], parts[fullest] = parts[fullest][-1:], parts[fullest][:-1]
        return [parts[index] for index in numbers.permutation(len(parts))]


class PlannedBatches(Dataset[dict[str, torch.Tensor]]):
    """The plan as a data set for the Trainer: item `i` is a whole batch.

    Every step has the same number of items, for each process the same; what a step does not need is a batch without
    weight.

    Args:
        examples: those that the plan counts, one list for each epoch that is augmented, else one in all.
        plan: which step has which.
        tokens_per_batch: tokens of a batch at most, padding included.
        num_processes: among how many a step is shared out.
        num_labels: of the whole sequence; 0: targets stand at tokens.
        token_dropout: the part of the source's tokens that is hidden, others in each step.
    """

    def __init__(
        self,
        examples: Sequence[Sequence[TrainingExample]],
        plan: Plan,
        tokens_per_batch: int,
        num_processes: int = 1,
        num_labels: int = 0,
        token_dropout: float = 0.0,
    ) -> None:
        self.examples = examples
        self.plan = plan
        self.tokens_per_batch = tokens_per_batch
        self.num_labels = num_labels
        self.token_dropout = token_dropout
        most = max(len(plan.batches_of(step, tokens_per_batch)) for step in range(plan.num_steps))
        self.accumulation: int = -(-most // num_processes)
        """Batches of a step on each process."""
        self.batches_per_step: int = self.accumulation * num_processes
        self._step: tuple[int, list[np.ndarray], float] = (-1, [], 1.0)

    def __len__(self) -> int:
        return self.plan.num_steps * self.batches_per_step

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        step, place = divmod(index, self.batches_per_step)
        if step != self._step[0]:
            batches = self.plan.batches_of(step, self.tokens_per_batch)
            examples = self.examples[self.plan.augmented_epoch_of(step)]
            total = sum(sum(examples[example].weights) for batch in batches for example in batch)
            self._step = (step, batches, total)
        _, batches, total = self._step
        chosen = [self._show(example, step) for example in batches[place]] if place < len(batches) else []
        batch = collate(chosen or [_nothing(self.num_labels)], self.num_labels)
        batch["total_weight"] = torch.tensor(total or 1.0)  # of the whole step, by which the loss is divided
        return batch

    def _show(self, index: int, step: int) -> TrainingExample:
        """An example as a step sees it, whichever batch and process it comes to."""
        example = self.examples[self.plan.augmented_epoch_of(step)][index]
        if not self.token_dropout:
            return example
        return _hide_tokens(example, self.token_dropout, np.random.default_rng((self.plan.seed, 2, step, index)))


def collate(examples: Sequence[TrainingExample], num_labels: int = 0) -> dict[str, torch.Tensor]:
    """One batch, padded on the right, where no token of a causal model can see it: no mask is needed.

    Returns:
        `input_ids` (B, T); `targets` and `weights` (B, T), with G groups of labels (B, T, G), or for labels of whole
        sequences (B, L) and (B,).
    """
    width = max(len(example.input_ids) for example in examples)
    num_groups = examples[0].num_groups
    input_ids = torch.full((len(examples), width), PAD_ID)  # (B, T)
    shape = (len(examples), num_labels or width * num_groups)
    targets = torch.zeros(shape, dtype=torch.float32 if num_labels else torch.long)
    weights = torch.zeros(len(examples)) if num_labels else torch.zeros(shape)
    for row, example in enumerate(examples):
        input_ids[row, : len(example.input_ids)] = torch.tensor(example.input_ids)
        if num_labels:
            targets[row, example.targets] = 1.0
            weights[row] = example.weights[0]
        else:
            targets[row, : len(example.targets)] = torch.tensor(example.targets)
            weights[row, : len(example.weights)] = torch.tensor(example.weights)
    if num_groups > 1:
        targets, weights = (each.view(len(examples), width, num_groups) for each in (targets, weights))
    return {"input_ids": input_ids, "targets": targets, "weights": weights}


def _hide_tokens(example: TrainingExample, fraction: float, numbers: np.random.Generator) -> TrainingExample:
    """The example with about this part of its source unknown. The `</s>` in front, where positions begin, stays."""
    is_hidden = numbers.random(example.num_hideable) < fraction
    is_hidden[:1] = False
    hidden = [UNKNOWN_ID if hide else index for index, hide in zip(example.input_ids, is_hidden, strict=False)]
    return replace(example, input_ids=hidden + example.input_ids[example.num_hideable :])


def _nothing(num_labels: int) -> TrainingExample:
    return TrainingExample([2], [], [0.0]) if num_labels else TrainingExample([2], [0], [0.0])
