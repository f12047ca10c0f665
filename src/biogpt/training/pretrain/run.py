"""Pre-training: a recipe in, a trained Hugging Face directory out.

The objective is the paper's: predict each next token of packed PubMed text (Luo et al. 2022, "Pre-training"). The loop,
its checkpoints and its processes are those of transformers' Trainer, so the same recipe runs on one machine or, under
`torchrun`, on many. Everything goes to the recipe's `output`:

    corpus/         the prepared corpus (biogpt.training.corpus.prepare)
    checkpoints/    what a killed run goes on from
    model/          the trained model, an ordinary Hugging Face directory
    recipe.json     resolved settings and versions
    curve.csv/png   the loss curve
    report.json     the final scores
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import TrainerState, set_seed
from transformers.utils import logging as transformers_logging

from biogpt.errors import BioGptError, ConfigError, suggest
from biogpt.evaluation.bits_per_byte import Likelihood, ScoredDocument, score_documents
from biogpt.files import write_json
from biogpt.model.checkpoint import load_config, load_tokenizer, resolve_model
from biogpt.model.config import BioGptConfig
from biogpt.model.loading import load_causal_lm
from biogpt.model.modeling import BioGptForCausalLM
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.corpus.prepare import Corpus, prepare
from biogpt.training.curve import TrainingProgress
from biogpt.training.optimizer import make_optimizer
from biogpt.training.pretrain.recipe import CADENCE, ModelRecipe, PretrainRecipe, TrainingRecipe
from biogpt.training.run_directory import (
    CHECKPOINTS,
    FORMAT_VERSION,
    CheckpointMarker,
    claim_output,
    find_checkpoint,
    is_main_process,
    num_processes,
    plain_failures,
    read_report,
    require_extra,
    save_model,
    step_of,
    versions,
)
from biogpt.training.trainer import RunArguments, RunTrainer, common_arguments

REPORT_FILE = "report.json"

# Settings of a network that decide on the shapes of its weights.
_SHAPES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "tie_word_embeddings",
)


def run_recipe(recipe: PretrainRecipe) -> dict[str, Any]:
    """Prepare the corpus, train, evaluate and save; what is done already is not done again.

    Call it in every process under `torchrun`. A killed run is resumed by the same call: it goes on from the last
    checkpoint with the losses of an unbroken run.

    Args:
        recipe: the run.

    Returns:
        The report that is also written to `output/report.json`: held-out bits per byte, tokens, seconds, versions.

    Raises:
        ConfigError: impossible settings, or an output directory that holds a run of another recipe.
        DataError: the corpus cannot be read.
        TrainingError: the loss is no longer a number; the last good checkpoint stays.
    """
    require_extra()
    transformers_logging.disable_progress_bar()  # one bar is enough: TrainingProgress has it
    is_main = is_main_process()
    config = resolve_config(recipe.model, recipe.training)
    _check_processes(recipe.training)
    _check_start(recipe, config)
    claim_output(recipe.output, recipe.as_dict(), _may_change(recipe.training), REPORT_FILE)
    finished = _read_report(recipe)
    if finished is not None:
        return finished
    corpus = _prepare_corpus(recipe, is_main)
    _check_size(corpus, recipe.training)
    tokenizer = load_tokenizer(corpus.tokenizer_path, corpus.vocabulary_size)
    set_seed(recipe.training.seed)
    model = build_model(recipe.model, config, tokenizer, corpus.vocabulary_size)
    progress = TrainingProgress(recipe.output)
    trainer = _make_trainer(model, tokenizer, corpus, recipe, progress)

    checkpoint = find_checkpoint(recipe.output / CHECKPOINTS, is_main)
    if checkpoint is not None and step_of(checkpoint) >= recipe.training.num_steps:
        # Killed between the last checkpoint and the saved model: the Trainer would train one step too many.
        trainer.model.load_state_dict(load_causal_lm(checkpoint).state_dict())
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        with progress.shown(), plain_failures("lower training.sequences_per_device."):
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    likelihood = trainer.score(None)
    report = _make_report(recipe, trainer, likelihood, model)
    if trainer.is_world_process_zero():
        with plain_failures("free some."):
            _save_in_one_move(model, tokenizer, recipe.output / "model")
        write_json(recipe.output / REPORT_FILE, report)
    return report


def resolve_config(recipe: ModelRecipe, training: TrainingRecipe) -> BioGptConfig:
    """The network's configuration: that of `start_from`, or the preset's, with the recipe's overrides.

    Raises:
        ConfigError: an unknown or impossible setting, or sequences longer than the network reads.
        CheckpointError: there is no model to start from.
    """
    known = {field.name for field in dataclasses.fields(BioGptConfig)}
    for name in recipe.overrides:
        if name not in known:
            raise ConfigError(
                f"Unknown setting 'model.{name}', expected preset, start_from or a field of BioGptConfig."
                f"{suggest(name, known | {'preset', 'start_from'})}"
            )
    if "vocab_size" in recipe.overrides:
        raise ConfigError("Got model.vocab_size, expected none: it follows from the corpus. Leave it out.")
    try:
        if recipe.start_from is None:
            config = BioGptConfig.preset(recipe.preset, **recipe.overrides)
        else:
            start = load_config(resolve_model(recipe.start_from))
            config = BioGptConfig.from_dict({**start.to_dict(), **recipe.overrides})
    except BioGptError:
        raise
    except Exception as error:  # transformers' checks of types raise errors of their own, over several lines
        raise ConfigError(f"Section [model] is impossible: {' '.join(str(error).split())}") from error
    if recipe.start_from is not None:
        for name in _SHAPES:
            if getattr(config, name) != getattr(start, name):
                raise ConfigError(
                    f"Got model.{name} = {getattr(config, name)!r}, expected {getattr(start, name)!r} as the model has "
                    "that is started from. Leave it out, or leave out start_from."
                )
    if training.sequence_length > config.max_position_embeddings:
        raise ConfigError(
            f"Got training.sequence_length = {training.sequence_length} for a model of "
            f"{config.max_position_embeddings} positions, expected at most that. Shorten the one or raise "
            "model.max_position_embeddings."
        )
    config.check_network()
    return config


def _check_start(recipe: PretrainRecipe, config: BioGptConfig) -> None:
    """Refuse a tokenizer that is not that of `start_from` before a corpus is prepared with it."""
    if recipe.model.start_from is not None and recipe.corpus.tokenizer:
        path = resolve_model(recipe.model.start_from)
        tokenizer = BioGptTokenizer.from_pretrained(resolve_model(recipe.corpus.tokenizer))
        _compare_vocabularies(path, load_tokenizer(path, config.vocab_size), tokenizer)


def _compare_vocabularies(path: Path, expected: BioGptTokenizer, got: BioGptTokenizer) -> None:
    if (expected.encoder, expected.bpe_ranks) != (got.encoder, got.bpe_ranks):
        num_shared = len(expected.encoder.items() & got.encoder.items())
        raise ConfigError(
            f"Got a corpus whose vocabulary is not that of the model in {path} ({num_shared} of "
            f"{len(expected.encoder)} tokens have the same id), expected the same tokens, ids and merges. Set "
            "corpus.tokenizer to the directory of the model that is started from, and prepare the corpus anew."
        )


def build_model(
    recipe: ModelRecipe, config: BioGptConfig, tokenizer: BioGptTokenizer, vocabulary_size: int
) -> BioGptForCausalLM:
    """The network in float32, with random weights or those of `start_from`.

    Raises:
        ConfigError: the model that is started from has another vocabulary than the corpus.
    """
    if recipe.start_from is None:
        config.vocab_size = vocabulary_size
        return BioGptForCausalLM(config)
    path = resolve_model(recipe.start_from)
    if config.vocab_size != vocabulary_size:
        raise ConfigError(
            f"Got a model of {config.vocab_size} token ids and a corpus of {vocabulary_size}, expected the same. "
            "Set corpus.tokenizer to the directory of the model that is started from."
        )
    _compare_vocabularies(path, load_tokenizer(path, config.vocab_size), tokenizer)
    model = load_causal_lm(path)
    trained = BioGptForCausalLM(config)
    trained.load_state_dict(model.state_dict())
    return trained


def _save_in_one_move(model: BioGptForCausalLM, tokenizer: BioGptTokenizer, path: Path) -> None:
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save_model(model, tokenizer, partial)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


class TokenBlocks(Dataset[dict[str, torch.Tensor]]):
    """A corpus as training examples: blocks of consecutive tokens, documents' borders inside, shuffled every epoch.

    Example `i` depends on `i` and the seed alone, so neither a resume nor the number of processes changes the order.
    """

    def __init__(self, blocks: Sequence[np.ndarray], num_examples: int, seed: int) -> None:
        self.blocks = blocks
        self.num_examples = num_examples
        self.seed = seed
        self.epoch: int = -1
        self.order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        epoch, place = divmod(index, len(self.blocks))
        if epoch != self.epoch:
            self.epoch, self.order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.blocks))
        ids = torch.from_numpy(np.asarray(self.blocks[self.order[place]], dtype=np.int64))  # (T,)
        labels = ids.clone()
        labels[0] = -100  # nothing predicts it, and the Trainer divides the loss by the number of labels
        return {"input_ids": ids, "labels": labels}


class PretrainTrainer(RunTrainer):
    """The Trainer of packed sequences, with evaluation in bits per byte."""

    def __init__(self, recipe: TrainingRecipe, held_out: list[ScoredDocument], **kwargs: Any) -> None:
        advice = "lower training.learning_rate or set training.max_grad_norm"
        super().__init__(precision=recipe.precision, nan_advice=advice, **kwargs)
        self.recipe = recipe
        self.held_out = held_out
        self.last_metrics: tuple[int, dict[str, float]] = (-1, {})

    def num_tokens_at(self, step: int) -> int:
        return step * self.recipe.tokens_per_step

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        if self.last_metrics[0] == self.state.global_step:  # the Trainer asks twice where the last step is due anyway
            return self.last_metrics[1]
        began_at = time.monotonic()
        likelihood = self.score(self.recipe.eval_documents)
        metrics = {"eval_loss": likelihood.nats_per_token, "eval_bits_per_byte": likelihood.bits_per_byte}
        self.log(metrics)
        self.skip_time(time.monotonic() - began_at)
        self.last_metrics = (self.state.global_step, metrics)
        return metrics

    def score(self, num_documents: int | None) -> Likelihood:
        """Score the first `num_documents` held-out documents (None: all), shared out over the processes."""
        rank, num_processes = self.args.process_index, self.args.world_size
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.use_bf16):
            mine = score_documents(
                self.accelerator.unwrap_model(self.model, keep_torch_compile=False),
                self.held_out[:num_documents][rank::num_processes],
                eos_token_id=2,
                max_length=self.recipe.sequence_length,
            )
        sums = torch.tensor([[mine.nats, mine.num_tokens, mine.num_bytes]], dtype=torch.float64)
        nats, num_tokens, num_bytes = self.accelerator.gather(sums.to(self.args.device)).sum(dim=0).tolist()
        return Likelihood(nats, int(num_tokens), int(num_bytes))


def _make_trainer(
    model: BioGptForCausalLM,
    tokenizer: BioGptTokenizer,
    corpus: Corpus,
    recipe: PretrainRecipe,
    progress: TrainingProgress,
) -> PretrainTrainer:
    training = recipe.training
    has_gpu = torch.cuda.is_available()
    model.set_attn_implementation(training.attention or ("sdpa" if has_gpu else "blocked"))
    has_compiler = has_gpu or any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "cl"))
    arguments = RunArguments(
        output_dir=str(recipe.output / CHECKPOINTS),
        max_steps=training.num_steps,
        per_device_train_batch_size=training.sequences_per_device,
        gradient_accumulation_steps=training.tokens_per_step // _tokens_per_pass(training),
        learning_rate=training.learning_rate,
        max_grad_norm=training.max_grad_norm,
        logging_steps=training.log_every,
        eval_strategy="steps",
        eval_steps=training.evaluate_every,
        save_steps=training.checkpoint_every,
        save_total_limit=training.keep_checkpoints,
        torch_compile=has_compiler if training.compile is None else training.compile,
        **common_arguments(training.seed),
    )
    optimizer = make_optimizer(model, training)
    return PretrainTrainer(
        recipe=training,
        held_out=_encode_held_out(corpus, tokenizer),
        model=model,
        args=arguments,
        train_dataset=TokenBlocks(
            corpus.train_tokens().blocks(training.sequence_length),
            num_examples=training.num_steps * (training.tokens_per_step // training.sequence_length),
            seed=training.seed,
        ),
        eval_dataset=[],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, training.learning_rate_factor)),
        callbacks=[progress, CheckpointMarker()],
    )


def _encode_held_out(corpus: Corpus, tokenizer: BioGptTokenizer) -> list[ScoredDocument]:
    texts = list(corpus.heldout_texts())
    return [
        ScoredDocument(ids, len(text.encode())) for ids, text in zip(tokenizer.encode_ids(texts), texts, strict=True)
    ]


def _read_report(recipe: PretrainRecipe) -> dict[str, Any] | None:
    """The report of this very run, if it is finished."""
    report = read_report(recipe.output / REPORT_FILE) if (recipe.output / "model").is_dir() else None
    return report if report and report["steps"] >= recipe.training.num_steps else None


def _prepare_corpus(recipe: PretrainRecipe, is_main: bool) -> Corpus:
    """The main process prepares; the others wait for its result, however long it takes."""
    if is_main:
        return prepare(recipe.corpus, recipe.corpus_path)
    while not (recipe.corpus_path / "corpus.json").is_file():
        time.sleep(1.0)
    return Corpus.open(recipe.corpus_path)


def _tokens_per_pass(training: TrainingRecipe) -> int:
    return training.sequence_length * training.sequences_per_device * num_processes()


def _check_processes(training: TrainingRecipe) -> None:
    """Refuse a step that cannot be shared out evenly over the processes."""
    if training.tokens_per_step % _tokens_per_pass(training):
        raise ConfigError(
            f"Got training.tokens_per_step = {training.tokens_per_step} on {num_processes()} processes, expected a "
            f"multiple of sequence_length x sequences_per_device x processes = {_tokens_per_pass(training)}. Change "
            "one of them."
        )


def _check_size(corpus: Corpus, training: TrainingRecipe) -> None:
    """Refuse a corpus that is too small to train on or to measure by."""
    if not corpus.num_heldout_tokens:
        raise ConfigError(
            f"{corpus.path} holds no document out, expected at least one to measure by. Give more documents, or raise "
            "corpus.heldout_fraction, in a new output."
        )
    if corpus.num_train_tokens < training.sequence_length:
        raise ConfigError(
            f"{corpus.path} has {corpus.num_train_tokens} training tokens, expected at least one sequence of "
            f"{training.sequence_length}. Give more documents, or lower training.sequence_length."
        )


def _may_change(training: TrainingRecipe) -> set[str]:
    """Settings that a resumed run may have otherwise."""
    names = {f"training.{name}" for name in CADENCE}
    # The corpus knows its sources by content, so they may lie elsewhere now.
    names |= {"corpus.num_workers", "corpus.max_problem_fraction", "corpus.sources", "corpus_path"}
    return names | ({"training.num_steps"} if training.is_open_ended else set())


def _make_report(
    recipe: PretrainRecipe, trainer: PretrainTrainer, likelihood: Likelihood, model: BioGptForCausalLM
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "heldout_bits_per_byte": round(likelihood.bits_per_byte, 4),
        "heldout_nats_per_token": round(likelihood.nats_per_token, 4),
        "heldout_documents": len(trainer.held_out),
        "heldout_bytes": likelihood.num_bytes,
        "heldout_tokens": likelihood.num_tokens,
        "parameters": model.num_parameters(),
        "steps": trainer.state.global_step,
        "tokens": trainer.state.global_step * recipe.training.tokens_per_step,
        "training_seconds": trainer.logged_seconds(),
        "precision": "bf16" if trainer.use_bf16 else "fp32",
        "device": str(trainer.args.device),
        "processes": trainer.args.world_size,
        "versions": versions(),
    }
