"""All that a fine-tuning run needs, made and checked before any training: examples, model, plan.

It trains nothing, and writes nothing but the record of the settings.
"""

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import set_seed

from biogpt.decoding.constraint import compile_constraint
from biogpt.errors import ConfigError
from biogpt.model.modeling import AnyModel
from biogpt.tasks.encoding import encode_prompt
from biogpt.tasks.example import Example
from biogpt.tasks.recipe import FORMER_KEYS, Recipe
from biogpt.tasks.task import Task
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.finetune.augmentation import augment, count_random_pair_epochs
from biogpt.training.finetune.batches import Plan
from biogpt.training.finetune.data import Encoded, Splits, encode_examples, read_splits, warn_of_caveats
from biogpt.training.finetune.model import build_model, find_class
from biogpt.training.finetune.recipe import CADENCE, FinetuneRecipe
from biogpt.training.run_directory import CHECKPOINTS, claim_output
from biogpt.training.schedule import is_open_ended

REPORT_FILE = "finetune.json"
"""What a finished run leaves."""


@dataclass(frozen=True)
class Prepared:
    """What a run is trained with."""

    recipe: FinetuneRecipe
    task: Task
    """The recipe's, with a bound on the length of what is generated."""
    splits: Splits
    model: AnyModel
    """The model that is trained, on the CPU and without LoRA matrices."""
    tokenizer: BioGptTokenizer
    train: Encoded
    augmented: list[Encoded]
    """What each epoch shows of the training examples; empty: each shows `train`."""
    dev: Encoded
    plan: Plan

    @property
    def training(self) -> Recipe:
        """The settings."""
        return self.recipe.training


def prepare(recipe: FinetuneRecipe) -> Prepared:
    """Make the parts of a run, in the order in which they can fail, and claim its output directory.

    Raises:
        ConfigError: impossible settings, no room on the disk, or an output directory that holds another run.
        DataError: the data cannot be read, or there is nothing in it to learn.
        CheckpointError: the model to start from is missing or damaged.

    Warns:
        UserWarning: dev is test, texts of dev are in train, targets are cut, or the schedule does not fit the run.
    """
    training = recipe.training
    splits = read_splits(recipe)
    if not splits.dev and (training.result == "best" or training.patience):
        raise ConfigError(
            "Got result 'best' or patience without anything to measure on, expected a dev split. Hold out a part "
            "of train: --dev-fraction 0.1."
        )
    model_class = find_class(recipe.task, training.head)
    set_seed(recipe.seed)
    model, tokenizer = build_model(recipe.model, recipe.task, training, recipe.seed)

    def encode(examples: Sequence[Example], source_weight: float) -> Encoded:
        return encode_examples(recipe.task, tokenizer, model_class, examples, source_weight)

    train = encode(splits.train, training.source_weight)
    num_epochs = _make_plan(recipe, train).num_epochs
    epochs = augment(recipe.task, training, splits.train, num_epochs, recipe.seed)
    augmented = [encode(examples, training.source_weight) for examples in epochs]
    dev = encode(splits.dev, 0.0) if splits.dev else Encoded()
    task = _limit_targets(recipe.task, max(encoded.longest_target for encoded in (train, *augmented)))
    plan = _make_plan(recipe, train, augmented, count_random_pair_epochs(training, num_epochs))
    prepared = Prepared(recipe, task, splits, model, tokenizer, train, augmented, dev, plan)
    _check_scoring(prepared)
    _check_disk(recipe, model)
    settings = {**recipe.as_dict(), "data_fingerprint": splits.fingerprint}
    former_names = {f"finetune.{old}": f"finetune.{new}" for old, new in FORMER_KEYS.items()}
    claim_output(recipe.output, settings, _may_change(training), REPORT_FILE, former_names)
    warn_of_caveats(recipe, splits)
    _warn_of_settings(prepared)
    return prepared


def _make_plan(recipe: FinetuneRecipe, train: Encoded, augmented: Sequence[Encoded] = (), num_once: int = 0) -> Plan:
    training = recipe.training
    return Plan(
        train.lengths(),
        training.tokens_per_step,
        recipe.seed,
        training.epochs,
        training.num_steps,
        [encoded.lengths() for encoded in augmented],
        num_once,
    )


def _limit_targets(task: Task, longest_target: int) -> Task:
    """The task with a bound on what is written: half as much again as the longest target that was learned."""
    if task.inference.target_limit or not longest_target:
        return task
    return task.with_inference(target_limit=longest_target * 3 // 2)


def _check_scoring(prepared: Prepared) -> None:
    """Raise where dev could not be predicted or scored, which is done only after all training."""
    task, dev = prepared.task, prepared.splits.dev
    if not dev:
        return
    task.main_figure(task.score([], dev))
    if prepared.training.shuffle_relations:
        grammar = task.grammar(dev[0])
        assert grammar is not None
        compile_constraint(grammar, prepared.tokenizer, encode_prompt(task, prepared.tokenizer, dev[0]))


def _check_disk(recipe: FinetuneRecipe, model: AnyModel) -> None:
    """Refuse to begin where the checkpoints will not fit: weights and Adam's two moments, twice, and kept weights."""
    training = recipe.training
    num_copies = 3 * 2 + 2 + (training.num_averaged if training.result == "average" else 1)
    needed = 4 * model.num_parameters() * (num_copies if not training.peft else 1)
    there = next(path for path in (recipe.output.resolve(), *recipe.output.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed and not any((recipe.output / CHECKPOINTS).glob("checkpoint-*")):
        raise ConfigError(
            f"{there} has {free / 1e9:.1f} GB free, expected {needed / 1e9:.1f} GB for the checkpoints of this run. "
            "Make room, choose another output, or train less with --peft lora."
        )


def _may_change(training: Recipe) -> set[str]:
    """Settings that a resumed run may have otherwise."""
    names = {f"finetune.{name}" for name in CADENCE} | {"data", "recipe_file"}
    if not training.empty_fraction:  # older runs do not name it; another one would show in the data's fingerprint
        names.add("finetune.empty_fraction")
    if is_open_ended(training.schedule, training.decay_fraction):
        names |= {"finetune.epochs", "finetune.num_steps"}
    return names


def _warn_of_settings(prepared: Prepared) -> None:
    training, num_cut = prepared.training, prepared.train.num_cut_targets
    if num_cut:
        warnings.warn(
            f"{num_cut} of the {len(prepared.splits.train)} targets are longer than the model's "
            f"{prepared.tokenizer.model_max_length} positions leave room for, and were cut: a model that never sees "
            "them end learns not to stop. Set source_limit lower in the task, or split the documents.",
            stacklevel=4,
        )
    if training.shuffle_relations and not prepared.splits.dev:
        warnings.warn(
            "The relations are shuffled, but nothing sets the probability threshold: prediction will give one list "
            "in any order. Hold out a part of train: --dev-fraction 0.1.",
            stacklevel=4,
        )
    if training.warmup_steps >= prepared.plan.num_steps:
        warnings.warn(
            f"The run has {prepared.plan.num_steps} steps and a warm-up of {training.warmup_steps}: the learning "
            "rate never reaches its peak. Train for more epochs, or set warmup_steps lower.",
            stacklevel=4,
        )
