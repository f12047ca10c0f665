"""Fine-tuning: a task, its data and a trained model in, a tuned Hugging Face directory out.

The recipe is the paper's (Luo et al. 2022, "Fine-tuning"): source, soft prompt and target as one sequence, the loss
over all of it, steps of about equally many tokens, the last epochs' weights averaged. The loop, its checkpoints and its
processes are those of transformers' Trainer. Everything goes to the recipe's `output`, which is the tuned model itself:

    config.json, model.safetensors, vocab.json, ...    the model; or adapter_config.json, adapter_model.safetensors
    task.toml           what it was tuned for, with all settings
    finetune.json       the report: scores on dev, settings, versions
    recipe.json         the settings, written before work starts
    checkpoints/        what a killed run goes on from, and the weights that are averaged
    curve.csv/png       the loss curve
"""

import dataclasses
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, TrainerState, TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from biogpt.decoding.constraint import compile_constraint
from biogpt.errors import ConfigError
from biogpt.model.checkpoint import ADAPTER_CONFIG_FILE, CONFIG_FILE
from biogpt.model.modeling import (
    AnyModel,
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
)
from biogpt.tasks.encoding import encode_prompt, head_labels, learned_ids
from biogpt.tasks.example import Example, Prediction
from biogpt.tasks.kinds.tagging import read_tags
from biogpt.tasks.schema_file import render_schema
from biogpt.tasks.task import Task
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.curve import TrainingProgress
from biogpt.training.finetune.augmentation import count_pair_epochs, make_variants
from biogpt.training.finetune.batches import Plan, PlannedBatches
from biogpt.training.finetune.data import Encoded, Splits, encode_examples, read_splits, warn_of_caveats
from biogpt.training.finetune.model import add_lora, build_model, find_class
from biogpt.training.finetune.recipe import CADENCE, FinetuneRecipe
from biogpt.training.finetune.trainer import FINETUNING, EpochEnds, FinetuneTrainer, KeptWeights
from biogpt.training.optimizer import make_optimizer
from biogpt.training.run_directory import (
    CHECKPOINTS,
    CheckpointMarker,
    claim_output,
    find_checkpoint,
    is_main_process,
    num_processes,
    plain_failures,
    read_json,
    require_extra,
    save_model,
    step_of,
    versions,
    write_json,
)
from biogpt.training.schedule import is_open_ended, learning_rate_factor
from biogpt.training.trainer import common_arguments

REPORT_FILE = "finetune.json"
TASK_FILE = "task.toml"

Predict = Callable[[Task, AnyModel, BioGptTokenizer, Sequence[Example], bool], Iterable[Prediction]]
"""Predicts examples with a model; last, whether generation is constrained by the schema. Predicting is not training's,
so the caller passes it."""

THRESHOLDS = tuple(step / 20 for step in range(20))
PROBABILITY_THRESHOLDS = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55)

_MEMORY_ADVICE = "set tokens_per_batch lower (--recipe), which changes nothing else."


def finetune(recipe: FinetuneRecipe, predict: Predict | None = None) -> dict[str, Any]:
    """Tune a model to a task, and save it; what is done already is not done again.

    Call it in every process under `torchrun`. A killed run is resumed by the same call: it goes on from the last
    checkpoint with the losses of an unbroken run.

    Args:
        recipe: the run.
        predict: predicts dev examples, so that the run is scored; without it, it is judged by its loss on dev.

    Returns:
        The report that is also written to `output/finetune.json`: scores and loss on dev, tokens, seconds, versions.

    Raises:
        ConfigError: impossible settings, or an output directory that holds another run.
        DataError: the data cannot be read, or there is nothing in it to learn.
        CheckpointError: the model to start from is missing or damaged.
        TrainingError: the loss is no number, or memory or disk are full; the last good checkpoint stays.

    Warns:
        UserWarning: dev is test, dev stands in train, or the schedule does not fit the length of the run.
    """
    tuning = recipe.task.schema.finetune
    require_extra(*(["peft"] if tuning.peft else []))
    transformers_logging.disable_progress_bar()  # one bar is enough: TrainingProgress has it
    run = _Run(recipe, predict)
    finished = run.read_report()
    if finished is not None:
        return finished
    trainer, kept = run.make_trainer()
    checkpoint = find_checkpoint(recipe.output / CHECKPOINTS, is_main_process())
    with plain_failures(_MEMORY_ADVICE):
        if checkpoint is not None and run.is_over(checkpoint):
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        else:
            with run.progress.shown():
                trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        used = kept.load_result(trainer.trained_model)
        run.choose_threshold(trainer)
        scores = trainer.score_dev()
        dev_loss = trainer.dev_loss()
        report = run.make_report(trainer, scores, dev_loss, used)
        if trainer.is_world_process_zero():
            run.save(trainer.trained_model, report)
    return report


def find_threshold(names: Sequence[str], logits: Sequence[torch.Tensor], gold: Sequence[Sequence[int]]) -> float:
    """Below which mean probability of its words' tags a mention is best left out, by F1.

    Training weighs words, F1 weighs mentions: what a head of a small model tags with little certainty is more often
    wrong than right.

    Args:
        names: of the head's labels, the first one "outside".
        logits: per example those of its words, (words, L).
        gold: per example the labels of its words.

    Returns:
        The score; the lowest of those that are equally good.
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

    return max(THRESHOLDS, key=f1)


def _mentions(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Label, first word and the one behind the last of each mention."""
    text = " ".join("w" for _ in tags)  # a word every two characters
    return [
        (item.slots["label"], span[0] // 2, (span[1] + 1) // 2)
        for item in read_tags(tags, text)
        for span in item.spans["mention"]
    ]


class _Run:
    """One run's parts, made in the order in which they can fail."""

    def __init__(self, recipe: FinetuneRecipe, predict: Predict | None) -> None:
        self.recipe = recipe
        self.predict = predict
        self.task = recipe.task
        self.tuning = recipe.task.schema.finetune
        self.splits: Splits = read_splits(recipe)
        if not self.splits.dev and (self.tuning.result == "best" or self.tuning.patience):
            raise ConfigError(
                "Got result 'best' or patience without anything to measure on, expected a dev split. Hold out a part "
                "of train: --dev-fraction 0.1."
            )
        self.model_class = find_class(self.task.schema)
        set_seed(recipe.seed)
        self.model, self.tokenizer = build_model(recipe.model, self.task, recipe.seed)
        self.train = self._encode(self.splits.train, self.tuning.source_weight)
        num_epochs = self._make_plan().num_epochs
        variants = make_variants(self.task, self.splits.train, num_epochs, recipe.seed)
        self.variants = [self._encode(examples, self.tuning.source_weight) for examples in variants]
        self.dev = self._encode(self.splits.dev, 0.0) if self.splits.dev else Encoded()
        longest_target = max(encoded.longest_target for encoded in (self.train, *self.variants))
        self.task = _limit_targets(self.task, longest_target)
        self.plan = self._make_plan(self.variants, count_pair_epochs(self.tuning, num_epochs))
        self._check_scoring()
        _check_disk(recipe, self.model)
        claim_output(
            recipe.output,
            {**recipe.as_dict(), "data_fingerprint": self.splits.fingerprint},
            self._may_change(),
            REPORT_FILE,
        )
        warn_of_caveats(recipe, self.splits)
        self._warn_of_settings()
        self.progress = TrainingProgress(recipe.output, FINETUNING[self._is_scored()])
        self.held_scores: Mapping[str, float] = {}  # on dev, of all likely relations, where these are given

    def _warn_of_settings(self) -> None:
        if self.train.num_cut_targets:
            warnings.warn(
                f"{self.train.num_cut_targets} of the {len(self.splits.train)} targets are longer than the model's "
                f"{self.tokenizer.model_max_length} positions leave room for, and were cut: a model that never sees "
                "them end learns not to stop. Set source_limit lower in the task, or split the documents.",
                stacklevel=4,
            )
        if self.tuning.shuffle_relations and not self._is_scored():
            warnings.warn(
                "The relations are shuffled, but nothing sets the probability threshold: prediction will give one list "
                "in any order. Hold out a part of train (--dev-fraction 0.1); from Python, pass `predict`, too.",
                stacklevel=4,
            )
        if self.tuning.warmup_steps >= self.plan.num_steps:
            warnings.warn(
                f"The run has {self.plan.num_steps} steps and a warm-up of {self.tuning.warmup_steps}: the learning "
                "rate never reaches its peak. Train for more epochs, or set warmup_steps lower.",
                stacklevel=4,
            )

    def make_trainer(self) -> tuple[FinetuneTrainer, KeptWeights]:
        """The Trainer with the model on its device, and the keeper of the epochs' weights."""
        recipe, tuning = self.recipe, self.tuning
        num_labels = len(head_labels(self.task)) if self.model_class is BioGptForSequenceClassification else 0
        batches = PlannedBatches(
            [encoded.examples for encoded in self.variants or [self.train]],
            self.plan,
            tuning.tokens_per_batch,
            num_processes(),
            num_labels,
            tuning.token_dropout,
        )
        has_gpu = torch.cuda.is_available()
        self.model.set_attn_implementation(tuning.attention or ("sdpa" if has_gpu else "blocked"))
        model = add_lora(self.model, recipe.model, self.tokenizer, tuning) if tuning.peft else self.model
        arguments = TrainingArguments(
            output_dir=str(recipe.output / CHECKPOINTS),
            max_steps=self.plan.num_steps,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=batches.accumulation,
            learning_rate=tuning.learning_rate,
            max_grad_norm=tuning.max_grad_norm,
            logging_steps=max(1, self.plan.steps_per_epoch // 5),
            eval_strategy="no",  # EpochEnds asks for evaluations and checkpoints
            save_strategy="no",
            save_total_limit=2,
            **common_arguments(recipe.seed),
        )
        optimizer = make_optimizer(model, tuning)
        kept = KeptWeights(recipe.output / CHECKPOINTS, tuning, self.plan.steps_per_epoch)
        trainer = FinetuneTrainer(
            tuning=tuning,
            plan=self.plan,
            dev=self.dev.examples,
            num_labels=num_labels,
            score=self._score_dev if self._is_scored() else None,
            main_score=self.task.schema.score.main,
            model=model,
            args=arguments,
            train_dataset=batches,
            data_collator=lambda items: items[0],
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)),
            callbacks=[
                EpochEnds(tuning, self.plan.steps_per_epoch, bool(self.dev.examples)),
                self.progress,
                kept,
                CheckpointMarker(),
            ],
        )
        return trainer, kept

    def choose_threshold(self, trainer: FinetuneTrainer) -> None:
        """Set below which score a mention or a relation is left out, where there is a dev split to tell."""
        if self.model_class is BioGptForTokenClassification and trainer.dev:
            gold = [example.labels() for example in trainer.dev]
            threshold = find_threshold(head_labels(self.task), trainer.dev_logits(), gold)
            self.task = _with_threshold(self.task, threshold)
        elif self.tuning.shuffle_relations and self._is_scored():
            threshold, self.held_scores = trainer.ask_model(self._find_probability_threshold)
            self.task = _with_threshold(self.task, threshold)

    def is_over(self, checkpoint: Path) -> bool:
        """Whether a checkpoint was the run's last: killed before the model was saved, or stopped early."""
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        is_stopped = EpochEnds(self.tuning, self.plan.steps_per_epoch, True).is_stuck(state.log_history)
        return step_of(checkpoint) >= self.plan.num_steps or is_stopped

    def read_report(self) -> dict[str, Any] | None:
        """The report of this very run, if it is finished."""
        path = self.recipe.output / REPORT_FILE
        if not path.is_file():
            return None
        report = read_json(path)
        return report if report["steps"] >= self.plan.num_steps or report["stopped_early"] else None

    def make_report(
        self, trainer: FinetuneTrainer, scores: Mapping[str, float], dev_loss: float | None, used: str
    ) -> dict[str, Any]:
        """What is known of the run in the end."""
        state = trainer.state
        return {
            "task": self.task.name,
            "scores": _rounded(scores),
            "held_scores": _rounded(self.held_scores),
            "dev_loss": None if dev_loss is None else round(dev_loss, 6),
            "dev_is_test": self.splits.dev_is_test,
            "weights": used,
            "stopped_early": state.global_step < self.plan.num_steps,
            "steps": state.global_step,
            "epochs": state.global_step // self.plan.steps_per_epoch,
            "tokens": self.plan.num_tokens_at(state.global_step),
            "training_seconds": trainer.logged_seconds(),
            "train_examples": len(self.splits.train),
            "dev_examples": len(self.splits.dev),
            "cut_targets": self.train.num_cut_targets,
            "examples_without_answer": self.train.num_without_answer,
            "parameters": self.model.num_parameters(),
            "trained_parameters": sum(p.numel() for p in trainer.trained_model.parameters() if p.requires_grad),
            "precision": "bf16" if trainer.use_bf16 else "fp32",
            "device": str(trainer.args.device),
            "processes": trainer.args.world_size,
            "recipe": self.recipe.as_dict(),
            "versions": versions(),
        }

    def save(self, model: Any, report: dict[str, Any]) -> None:
        """Write the tuned model to the output, the report last: with it the run is finished."""
        output = self.recipe.output
        partial = output / "model.partial"
        shutil.rmtree(partial, ignore_errors=True)
        if self.tuning.peft and not self.tuning.merge:
            model.save_pretrained(str(partial), save_embedding_layers=False)
            (partial / "README.md").unlink(missing_ok=True)  # PEFT's empty form
            self.model.config.save_pretrained(partial)  # of the merged model: its head, labels and vocabulary
            self.tokenizer.save_pretrained(partial)
        else:
            whole = model.merge_and_unload() if self.tuning.peft else model
            self._say_how_to_generate(whole)
            save_model(whole, self.tokenizer, partial)
        (partial / TASK_FILE).write_text(render_schema(self.task.schema), encoding="utf-8")
        for name in (CONFIG_FILE, ADAPTER_CONFIG_FILE, REPORT_FILE):
            (output / name).unlink(missing_ok=True)
        last = (CONFIG_FILE, ADAPTER_CONFIG_FILE)
        for file in sorted(partial.iterdir(), key=lambda file: file.name in last):
            file.replace(output / file.name)
        partial.rmdir()
        write_json(output / REPORT_FILE, report)

    def _say_how_to_generate(self, model: AnyModel) -> None:
        """Give a model that writes what transformers' `generate` needs to write as ours: no virtual token, an end."""
        if isinstance(model, BioGptForCausalLM):
            model.generation_config = GenerationConfig(
                bos_token_id=model.config.bos_token_id,
                eos_token_id=model.config.eos_token_id,
                pad_token_id=model.config.pad_token_id,
                suppress_tokens=learned_ids(self.tokenizer) or None,
                max_new_tokens=self.task.schema.target_limit or None,
            )

    def _encode(self, examples: Sequence[Example], source_weight: float) -> Encoded:
        return encode_examples(self.task, self.tokenizer, self.model_class, examples, source_weight)

    def _make_plan(self, variants: Sequence[Encoded] = (), num_once: int = 0) -> Plan:
        tuning = self.tuning
        return Plan(
            self.train.lengths(),
            tuning.tokens_per_step,
            self.recipe.seed,
            tuning.epochs,
            tuning.num_steps,
            [encoded.lengths() for encoded in variants],
            num_once,
        )

    def _check_scoring(self) -> None:
        """Raise where dev could not be predicted or scored, which is done only after all training."""
        if not self._is_scored():
            return
        self.task.main_figure(self.task.score([], self.splits.dev))
        if self.tuning.shuffle_relations:
            example = self.splits.dev[0]
            grammar = self.task.grammar(example)
            assert grammar is not None
            compile_constraint(grammar, self.tokenizer, encode_prompt(self.task, self.tokenizer, example))

    def _is_scored(self) -> bool:
        return self.predict is not None and bool(self.splits.dev)

    def _score_dev(self, model: AnyModel) -> Mapping[str, float]:
        """The scores on dev as the paper measures: nothing is forced on what is written."""
        return self.task.score(self._predict_dev(self.task, model, constrained=False), self.splits.dev)

    def _find_probability_threshold(self, model: AnyModel) -> tuple[float, Mapping[str, float]]:
        """Which relations to give among all that the model might state, by the score on dev; and all scores there."""
        predictions = self._predict_dev(_with_threshold(self.task, PROBABILITY_THRESHOLDS[0]), model, constrained=True)

        def score(least: float) -> Mapping[str, float]:
            kept = [
                dataclasses.replace(one, items=tuple(item for item in one.items if (item.score or 0.0) >= least))
                for one in predictions
            ]
            return self.task.score(kept, self.splits.dev)

        scores = {least: score(least) for least in PROBABILITY_THRESHOLDS}
        best = max(scores, key=lambda least: self.task.main_figure(scores[least]))
        return best, scores[best]

    def _predict_dev(self, task: Task, model: AnyModel, constrained: bool) -> list[Prediction]:
        assert self.predict is not None
        return list(self.predict(task, model, self.tokenizer, self.splits.dev, constrained))

    def _learning_rate_factor(self, step: int) -> float:
        return learning_rate_factor(
            step,
            num_steps=self.plan.num_steps,
            warmup_steps=self.tuning.warmup_steps,
            schedule=self.tuning.schedule,
            decay_fraction=self.tuning.decay_fraction,
        )

    def _may_change(self) -> set[str]:
        names = {f"finetune.{name}" for name in CADENCE} | {"data"}
        if is_open_ended(self.tuning.schedule, self.tuning.decay_fraction):
            names |= {"finetune.epochs", "finetune.num_steps"}
        return names


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in scores.items()}


def _with_threshold(task: Task, threshold: float) -> Task:
    return Task(dataclasses.replace(task.schema, threshold=threshold))


def _limit_targets(task: Task, longest_target: int) -> Task:
    """The task with a bound on what is written: half as much again as the longest target that was learned."""
    if task.schema.target_limit or not longest_target:
        return task
    return Task(dataclasses.replace(task.schema, target_limit=longest_target * 3 // 2))


def _check_disk(recipe: FinetuneRecipe, model: AnyModel) -> None:
    """Refuse to begin where the checkpoints will not fit: weights and Adam's two moments, twice, and kept weights."""
    tuning = recipe.task.schema.finetune
    num_copies = 3 * 2 + 2 + (tuning.num_averaged if tuning.result == "average" else 1)
    needed = 4 * model.num_parameters() * (num_copies if not tuning.peft else 1)
    there = next(path for path in (recipe.output.resolve(), *recipe.output.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed and not any((recipe.output / CHECKPOINTS).glob("checkpoint-*")):
        raise ConfigError(
            f"{there} has {free / 1e9:.1f} GB free, expected {needed / 1e9:.1f} GB for the checkpoints of this run. "
            "Make room, choose another output, or train less with --peft lora."
        )
