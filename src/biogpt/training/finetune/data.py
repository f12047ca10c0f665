"""The examples of a fine-tuning run: read, held out where there is no dev split, encoded.

What would only come to light in the middle of the work is said here. It knows no weights.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from biogpt.errors import ConfigError, DataError
from biogpt.model.modeling import AnyModel, BioGptForCausalLM, BioGptForTokenClassification
from biogpt.tasks.encoding import encode_prompt, encode_target, encode_words, label_ids, learned_ids
from biogpt.tasks.example import Example
from biogpt.tasks.readers import find_file, read_without
from biogpt.tasks.task import Task
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.finetune.batches import TrainingExample, sequence_to_write, words_to_label
from biogpt.training.finetune.recipe import FinetuneRecipe

DEFAULT_DEV_FRACTION = 0.1


@dataclass(frozen=True)
class Splits:
    """What is trained on, and what is measured on."""

    train: list[Example]
    dev: list[Example]
    dev_is_test: bool = False
    """Whether dev and test are the same file, byte for byte, as in HoC."""

    @property
    def fingerprint(self) -> str:
        """A hash of all texts and answers: the same data may lie elsewhere when a run is resumed."""
        digest = hashlib.sha256()
        for example in [*self.train, *self.dev]:
            answers = [sorted(item.slots.items()) for item in example.items]
            digest.update(repr((example.id, example.text, answers, *example.labelled)).encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Encoded:
    """Examples as sequences, and what had to be cut."""

    examples: list[TrainingExample] = field(default_factory=list)
    num_cut_targets: int = 0
    num_without_answer: int = 0
    longest_target: int = 0
    """In tokens; 0 where labels are learned."""

    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(example.input_ids) for example in self.examples]


def read_splits(recipe: FinetuneRecipe) -> Splits:
    """Read the data of a run.

    Raises:
        DataError: a file is missing, empty, or not what the schema says.
        InputError: the task has no such split.
        ConfigError: there is too little to hold anything out.
    """
    task, splits = recipe.task, recipe.task.schema.dataset.splits
    train = task.read(recipe.data, recipe.train_split)
    fraction = recipe.dev_fraction
    has_dev_split = recipe.data.is_dir() and recipe.dev_split in splits and recipe.train_split != recipe.dev_split
    if fraction is None:
        fraction = 0.0 if has_dev_split else DEFAULT_DEV_FRACTION
    if recipe.training.empty_fraction:
        train += _draw_without(recipe, len(train))
    if not fraction:
        dev = task.read(recipe.data, recipe.dev_split) if has_dev_split else []
        if dev and recipe.training.empty_fraction:
            dev += read_without(task.schema, recipe.data, recipe.dev_split)
        return Splits(train, dev, has_dev_split and _is_same_file(recipe, "test"))
    parts = _parts_of(train)
    num_dev = max(1, round(fraction * len(parts)))
    if num_dev >= len(parts):
        raise ConfigError(
            f"{recipe.data} has {len(train)} examples to train on, expected more than the {num_dev} to hold out. "
            "Give more, or set dev_fraction to 0 to measure on nothing."
        )
    order = np.random.default_rng((recipe.seed, 1)).permutation(len(parts))
    held_out = {index for place in order[:num_dev] for index in parts[place]}
    return Splits(
        [example for index, example in enumerate(train) if index not in held_out],
        [train[index] for index in sorted(held_out)],
    )


def _draw_without(recipe: FinetuneRecipe, num_examples: int) -> list[Example]:
    """Documents in which nothing is to be found, as many as the recipe's part of all is.

    Raises:
        DataError: there are not so many.
    """
    fraction = recipe.training.empty_fraction
    number = round(num_examples * fraction / (1 - fraction))
    there = read_without(recipe.task.schema, recipe.data, recipe.train_split)
    if len(there) < number:
        raise DataError(
            f"{recipe.data} has {len(there)} documents in which nothing is to be found, expected {number} for "
            f"empty_fraction = {fraction:g}. Give more, or lower it."
        )
    order = np.random.default_rng((recipe.seed, 4)).permutation(len(there))[:number]
    return [there[index] for index in sorted(order.tolist())]


def _parts_of(examples: Sequence[Example]) -> list[list[int]]:
    """The examples, by index, that are held out together: those of one document; else, and of one alone, each."""
    parts: dict[str | int, list[int]] = {}
    for index, example in enumerate(examples):
        parts.setdefault(example.document or index, []).append(index)
    return list(parts.values()) if len(parts) > 1 else [[index] for index in range(len(examples))]


def warn_of_caveats(recipe: FinetuneRecipe, splits: Splits) -> None:
    """Say what makes a score on this data worth less than it looks."""
    training = recipe.training
    sets_threshold = training.shuffle_relations or recipe.task.kind.threshold_of == "items"
    is_chosen = training.result == "best" or training.patience or sets_threshold
    if splits.dev_is_test and is_chosen:
        warnings.warn(
            f"The dev split of '{recipe.task.name}' is its test split, byte for byte: weights chosen on dev are chosen "
            "on test, and the test score is worth nothing. Hold out a part of train instead: --dev-fraction 0.1.",
            stacklevel=3,
        )
    dev_texts = {example.text for example in splits.dev}
    num_shared = len({example.text for example in splits.train} & dev_texts)
    if num_shared:
        warnings.warn(
            f"{num_shared} of the {len(dev_texts)} texts of dev stand in train, too: the score on dev is too good.",
            stacklevel=3,
        )


def encode_examples(
    task: Task,
    tokenizer: BioGptTokenizer,
    model_class: type[AnyModel],
    examples: Sequence[Example],
    source_weight: float,
) -> Encoded:
    """Examples as a model of this class learns from them.

    Args:
        task: whose examples they are.
        tokenizer: the model's, with its soft prompt.
        model_class: with which head.
        examples: what is encoded.
        source_weight: of the source's tokens in the loss, where a target is written.

    Raises:
        DataError: none of the examples has an answer to learn.
    """
    encoded: list[TrainingExample] = []
    num_cut = num_without = longest = 0
    positions = tokenizer.model_max_length
    for example in examples:
        if task.kind.needs_gold and not example.items:
            num_without += 1
        elif model_class is BioGptForTokenClassification:
            labels, num_groups = label_ids(task, example), task.kind.num_groups(task.schema)
            for part in encode_words(task, tokenizer, example):
                num_here = len(part.places) * num_groups
                encoded.append(words_to_label(part.input_ids, part.places, labels[:num_here], num_groups))
                labels = labels[num_here:]
        elif model_class is BioGptForCausalLM:
            prompt, target = encode_prompt(task, tokenizer, example), encode_target(task, tokenizer, example)
            room = positions + 1 - len(prompt)  # the last token is predicted but never read
            num_cut += len(target) > room
            longest = max(longest, len(target))
            encoded.append(sequence_to_write(prompt, target[:room], source_weight, len(learned_ids(tokenizer))))
        else:
            prompt = encode_prompt(task, tokenizer, example)
            num_hideable = len(prompt) - len(learned_ids(tokenizer))  # never of the soft prompt
            encoded.append(TrainingExample(prompt, label_ids(task, example), [1.0], num_hideable))
    if not encoded:
        raise DataError(f"None of the {len(examples)} examples has an answer to learn. Check the data set's columns.")
    return Encoded(encoded, num_cut, num_without, longest)


def _is_same_file(recipe: FinetuneRecipe, other: str) -> bool:
    schema = recipe.task.schema
    if not (recipe.data / schema.dataset.files.get(other, "")).is_file():
        return False
    first, second = (find_file(schema, recipe.data, split).read_bytes() for split in (recipe.dev_split, other))
    return first == second
