"""Fine-tuning: a task, its data and a trained model in, a fine-tuned Hugging Face directory out.

The recipe is the paper's (Luo et al. 2022, "Fine-tuning"): source, soft prompt and target as one sequence, the loss
over all of it, steps of about equally many tokens, the last epochs' weights averaged. The loop, its checkpoints and its
processes are those of transformers' Trainer. Everything goes to the recipe's `output`, which is the fine-tuned model
itself:

    config.json, model.safetensors, vocab.json, ...    the model; or adapter_config.json, adapter_model.safetensors
    task.toml           what it was fine-tuned for
    inference.json      how it is asked: calibration, probability thresholds, the longest target
    finetune.json       the report: scores on dev, settings, versions
    recipe.json         the settings, written before work starts
    checkpoints/        what a killed run goes on from, and the weights that are averaged
    curve.csv/png       the loss curve
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, TrainerState
from transformers.utils import logging as transformers_logging

from biogpt.files import write_json
from biogpt.model.checkpoint import ADAPTER_CONFIG_FILE, CONFIG_FILE, CONFIG_FORMAT_VERSION, commit_of, resolve_model
from biogpt.model.modeling import (
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
)
from biogpt.tasks.encoding import head_labels, learned_ids
from biogpt.tasks.task import Task
from biogpt.tasks.task_directory import write_task_directory
from biogpt.training.curve import TrainingProgress
from biogpt.training.finetune import scoring
from biogpt.training.finetune.batches import PlannedBatches
from biogpt.training.finetune.model import add_lora
from biogpt.training.finetune.prepare import REPORT_FILE, Prepared, prepare
from biogpt.training.finetune.recipe import FinetuneRecipe
from biogpt.training.finetune.trainer import (
    DEV_LOSS,
    DEV_SCORE,
    EpochEnds,
    FinetuneTrainer,
    KeptWeights,
    judges_by_dev,
)
from biogpt.training.optimizer import make_optimizer
from biogpt.training.run_directory import (
    CHECKPOINTS,
    FORMAT_VERSION,
    CheckpointMarker,
    find_checkpoint,
    is_main_process,
    num_processes,
    plain_failures,
    require_extra,
    save_model,
    step_of,
    versions,
)
from biogpt.training.run_directory import read_report as read_run_report
from biogpt.training.schedule import learning_rate_factor
from biogpt.training.trainer import RunArguments, common_arguments

_MEMORY_ADVICE = "set tokens_per_batch lower (--recipe), which changes nothing else."


@dataclass(frozen=True)
class DevScores:
    """How good the fine-tuned model is on dev."""

    unconstrained: Mapping[str, float]
    """As the paper measures; empty where there is no dev."""
    constrained: Mapping[str, float]
    """Of all relations above the probability threshold, where these are searched for."""
    loss: float | None
    """Mean loss in nats per target; None where there is no dev."""


class Tuned(NamedTuple):
    """A task with what was learned on dev beside the weights, and the scores there that came with it, if any."""

    task: Task
    unconstrained: Mapping[str, float] = MappingProxyType({})
    constrained: Mapping[str, float] = MappingProxyType({})


def run_recipe(recipe: FinetuneRecipe) -> dict[str, Any]:
    """Fine-tune a model on a task, score it on dev and save it; what is done already is not done again.

    Call it in every process under `torchrun`. A killed run is resumed by the same call: it goes on from the last
    checkpoint with the losses of an unbroken run.

    Args:
        recipe: the run.

    Returns:
        The report that is also written to `output/finetune.json`: scores and loss on dev, tokens, seconds, versions.

    Raises:
        ConfigError: impossible settings, or an output directory that holds another run.
        DataError: the data cannot be read, or there is nothing in it to learn.
        CheckpointError: the model to start from is missing or damaged.
        InputError: there is no such device.
        TrainingError: the loss is no number, or memory or disk are full; the last good checkpoint stays.

    Warns:
        UserWarning: dev is test, dev stands in train, or the schedule does not fit the length of the run.
    """
    require_extra(*(["peft"] if recipe.training.peft else []))
    transformers_logging.disable_progress_bar()  # one bar is enough: TrainingProgress has it
    arguments = common_arguments(recipe.seed, recipe.device)  # a device that is not there is told before any work
    prepared = prepare(recipe)
    finished = read_report(prepared)
    if finished is not None:
        return finished
    with plain_failures(_MEMORY_ADVICE):
        trainer, weights = train(prepared, arguments)
        tuned = tune_inference(prepared, trainer)
        scores = score_dev(prepared, trainer, tuned)
        report = make_report(prepared, trainer, scores, weights)
        if trainer.is_world_process_zero():
            save(prepared, trainer.trained_model, tuned.task, report)
    return report


def read_report(prepared: Prepared) -> dict[str, Any] | None:
    """The report of this very run, if it is finished."""
    report = read_run_report(prepared.recipe.output / REPORT_FILE)
    if report is None:
        return None
    if "held_scores" in report:  # of version 0.1.0
        report["constrained_scores"] = report.pop("held_scores")
    return report if report["steps"] >= prepared.plan.num_steps or report["stopped_early"] else None


def train(prepared: Prepared, arguments: Mapping[str, Any]) -> tuple[FinetuneTrainer, str]:
    """Train, or go on training from the last checkpoint.

    Args:
        prepared: what is trained.
        arguments: the Trainer's; see `common_arguments`.

    Returns:
        The Trainer, whose model has the weights that the run is to leave; and which these are, in words.
    """
    output = prepared.recipe.output
    progress = TrainingProgress(output, DEV_SCORE if judges_by_dev(prepared.training) else DEV_LOSS)
    kept = KeptWeights(output / CHECKPOINTS, prepared.training, prepared.plan.steps_per_epoch)
    trainer = _make_trainer(prepared, arguments, progress, kept)
    checkpoint = find_checkpoint(output / CHECKPOINTS, is_main_process())
    if checkpoint is not None and _is_last(prepared, checkpoint):
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        with progress.shown():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return trainer, kept.load_result(trainer.trained_model)


def _make_trainer(
    prepared: Prepared, common: Mapping[str, Any], progress: TrainingProgress, kept: KeptWeights
) -> FinetuneTrainer:
    """The Trainer with the model on its device."""
    recipe, training, plan = prepared.recipe, prepared.training, prepared.plan
    is_labelled_whole = isinstance(prepared.model, BioGptForSequenceClassification)
    num_labels = len(head_labels(prepared.task)) if is_labelled_whole else 0
    batches = PlannedBatches(
        [encoded.examples for encoded in prepared.augmented or [prepared.train]],
        plan,
        training.tokens_per_batch,
        num_processes(),
        num_labels,
        training.token_dropout,
    )
    prepared.model.set_attn_implementation(training.attention or ("blocked" if common["use_cpu"] else "sdpa"))
    model = prepared.model
    trained = add_lora(model, recipe.model, prepared.tokenizer, training) if training.peft else model
    arguments = RunArguments(
        output_dir=str(recipe.output / CHECKPOINTS),
        max_steps=plan.num_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=batches.accumulation,
        learning_rate=training.learning_rate,
        max_grad_norm=training.max_grad_norm,
        logging_steps=max(1, plan.steps_per_epoch // 5),
        eval_strategy="no",  # EpochEnds asks for evaluations and checkpoints
        save_strategy="no",
        save_total_limit=2,
        **common,
    )
    rate_factor = partial(
        learning_rate_factor,
        num_steps=plan.num_steps,
        warmup_steps=training.warmup_steps,
        schedule=training.schedule,
        decay_fraction=training.decay_fraction,
    )
    optimizer = make_optimizer(trained, training)
    dev = prepared.splits.dev
    return FinetuneTrainer(
        training=training,
        plan=plan,
        dev=prepared.dev.examples,
        num_labels=num_labels,
        score=partial(scoring.score, prepared.task, prepared.tokenizer, dev) if dev else None,
        main_score=prepared.task.schema.score.main,
        model=trained,
        args=arguments,
        train_dataset=batches,
        data_collator=lambda items: items[0],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor)),
        callbacks=[EpochEnds(training, plan.steps_per_epoch, bool(dev)), progress, kept, CheckpointMarker()],
    )


def _is_last(prepared: Prepared, checkpoint: Path) -> bool:
    """Whether a checkpoint was the run's last: killed before the model was saved, or stopped early."""
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    is_stopped = EpochEnds(prepared.training, prepared.plan.steps_per_epoch, True).is_stuck(state.log_history)
    return step_of(checkpoint) >= prepared.plan.num_steps or is_stopped


def tune_inference(prepared: Prepared, trainer: FinetuneTrainer) -> Tuned:
    """Calibrate scores and set below which probability a mention or a relation is left out, where there is a dev split
    to tell."""
    task, dev = prepared.task, prepared.splits.dev
    if not dev:
        return Tuned(task)
    if isinstance(prepared.model, BioGptForTokenClassification):
        inference, scores = trainer.ask_model(partial(scoring.tune_mentions, task, prepared.tokenizer, dev))
        return Tuned(Task(task.schema, inference), unconstrained=scores)
    if prepared.training.shuffle_relations:
        inference, scores = trainer.ask_model(partial(scoring.tune_relations, task, prepared.tokenizer, dev))
        return Tuned(Task(task.schema, inference), constrained=scores)
    return Tuned(task)


def score_dev(prepared: Prepared, trainer: FinetuneTrainer, tuned: Tuned) -> DevScores:
    """Score the model on dev as it is asked from now on; what tuning it measured already is not measured again."""
    dev, scores = prepared.splits.dev, tuned.unconstrained
    if dev and not scores:
        scores = trainer.ask_model(partial(scoring.score, tuned.task, prepared.tokenizer, dev))
    return DevScores(scores, tuned.constrained, trainer.dev_loss())


def make_report(prepared: Prepared, trainer: FinetuneTrainer, scores: DevScores, weights: str) -> dict[str, Any]:
    """What is known of the run in the end."""
    state, plan, splits = trainer.state, prepared.plan, prepared.splits
    return {
        "format_version": FORMAT_VERSION,
        "task": prepared.task.name,
        "scores": _rounded(scores.unconstrained),
        "constrained_scores": _rounded(scores.constrained),
        "dev_loss": None if scores.loss is None else round(scores.loss, 6),
        "dev_is_test": splits.dev_is_test,
        "weights": weights,
        "stopped_early": state.global_step < plan.num_steps,
        "steps": state.global_step,
        "epochs": state.global_step // plan.steps_per_epoch,
        "tokens": plan.num_tokens_at(state.global_step),
        "training_seconds": trainer.logged_seconds(),
        "train_examples": len(splits.train),
        "dev_examples": len(splits.dev),
        "cut_targets": prepared.train.num_cut_targets,
        "examples_without_answer": prepared.train.num_without_answer,
        "parameters": prepared.model.num_parameters(),
        "trained_parameters": sum(p.numel() for p in trainer.trained_model.parameters() if p.requires_grad),
        "precision": "bf16" if trainer.use_bf16 else "fp32",
        "device": str(trainer.args.device),
        "processes": trainer.args.world_size,
        "base_commit": commit_of(resolve_model(prepared.recipe.model)),  # of a hub model
        "recipe": prepared.recipe.as_dict(),
        "versions": versions(),
    }


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in scores.items()}


def save(prepared: Prepared, model: Any, task: Task, report: dict[str, Any]) -> None:
    """Write the fine-tuned model to the output, the report last: with it the run is finished."""
    output, training = prepared.recipe.output, prepared.training
    partial_path = output / "model.partial"
    shutil.rmtree(partial_path, ignore_errors=True)
    if training.peft and not training.merge:
        model.save_pretrained(str(partial_path), save_embedding_layers=False)
        (partial_path / "README.md").unlink(missing_ok=True)  # PEFT's empty form
        prepared.model.config.format_version = CONFIG_FORMAT_VERSION
        prepared.model.config.save_pretrained(partial_path)  # of the merged model: its head, labels and vocabulary
        prepared.tokenizer.save_pretrained(partial_path)
    else:
        whole = model.merge_and_unload() if training.peft else model
        if isinstance(whole, BioGptForCausalLM):
            whole.generation_config = _make_generation_config(prepared, whole, task)
        save_model(whole, prepared.tokenizer, partial_path)
    write_task_directory(task, partial_path)
    for name in (CONFIG_FILE, ADAPTER_CONFIG_FILE, REPORT_FILE):
        (output / name).unlink(missing_ok=True)
    last = (CONFIG_FILE, ADAPTER_CONFIG_FILE)
    for file in sorted(partial_path.iterdir(), key=lambda file: file.name in last):
        file.replace(output / file.name)
    partial_path.rmdir()
    write_json(output / REPORT_FILE, report)


def _make_generation_config(prepared: Prepared, model: BioGptForCausalLM, task: Task) -> GenerationConfig:
    """What transformers' `generate` needs to write as our engine does: no token of the soft prompt, and an end."""
    return GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        suppress_tokens=learned_ids(prepared.tokenizer) or None,
        max_new_tokens=task.inference.target_limit or None,
    )
