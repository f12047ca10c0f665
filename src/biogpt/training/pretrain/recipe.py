"""A pre-training run as data: one TOML file, every number of the run, checked before any work starts.

    output = "runs/mini"        # where everything the run makes is put
    [corpus]                    # biogpt.training.corpus.prepare.CorpusRecipe
    [model]                     # a preset and what differs from it, or start_from
    [training]                  # TrainingRecipe, below

It reads and checks; it neither opens a corpus nor builds a model.
"""

import dataclasses
import glob
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from biogpt.config import Limits, build, check, check_names, naming, read_toml, require
from biogpt.errors import ConfigError
from biogpt.model.checkpoint import BUNDLED, resolve_model
from biogpt.training.corpus.prepare import CorpusRecipe
from biogpt.training.schedule import is_open_ended, learning_rate_factor

Schedule = Literal["inverse_sqrt", "cosine", "warmup_stable_decay"]

# Settings that say when something is written or how it is run, not what is computed: a resumed run may change them.
CADENCE = frozenset(
    {"log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints", "compile", "eval_documents"}
)

_COUNT, _AMOUNT = Limits(1), Limits(0)
_LIMITS = {
    "sequence_length": Limits(2),
    "tokens_per_step": _COUNT,
    "sequences_per_device": _COUNT,
    "num_steps": _COUNT,
    "learning_rate": Limits(above=0),
    "warmup_steps": _AMOUNT,
    "decay_fraction": Limits(0, 1),
    "weight_decay": _AMOUNT,
    "adam_betas": Limits(0, below=1),
    "max_grad_norm": _AMOUNT,
    "log_every": _COUNT,
    "evaluate_every": _COUNT,
    "eval_documents": _COUNT,
    "checkpoint_every": _COUNT,
    "keep_checkpoints": Limits(2),
    "seed": Limits(0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How a model is trained. The defaults are the paper's ("Pre-training": 8 GPUs x 1,024 tokens x 64 steps).

    Args:
        sequence_length: tokens per training sequence.
        tokens_per_step: tokens per optimisation step, over all processes; a multiple of `sequence_length`.
        sequences_per_device: sequences per forward pass on each process; accumulation makes up the rest.
        num_steps: optimisation steps.
        optimizer: `"adam"` (the paper's), or `"muon"` for the hidden layers' matrices with Adam for all else.
        learning_rate: its peak.
        warmup_steps: steps of linear warm-up.
        schedule: what follows: `"inverse_sqrt"` (the paper's), `"cosine"` to zero, or `"warmup_stable_decay"`:
            constant, then linear to zero over the last `decay_fraction` of the run.
        decay_fraction: see `schedule`.
        weight_decay: decoupled weight decay of matrices.
        adam_betas: Adam's two coefficients.
        max_grad_norm: clip the gradient's norm at this; 0 does not clip.
        precision: `"auto"` takes bfloat16 where the hardware computes it, else float32.
        compile: compile the model with torch.compile; by default where a C++ compiler (or a GPU) is found.
        attention: `attn_implementation` in training; by default `"blocked"` on a CPU and `"sdpa"` on a GPU.
        log_every: steps between rows of the loss curve.
        evaluate_every: steps between evaluations on held-out documents.
        eval_documents: how many held-out documents these evaluations read (the last one reads all).
        checkpoint_every: steps between checkpoints; a multiple of `log_every`.
        keep_checkpoints: how many are kept; at least 2, for a kill may come while the newest is being written.
        seed: of weights and of the order of the data.
    """

    sequence_length: int = 1024
    tokens_per_step: int = 524_288
    sequences_per_device: int = 1
    num_steps: int = 200_000
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: float = 2e-4
    warmup_steps: int = 20_000
    schedule: Schedule = "inverse_sqrt"
    decay_fraction: float = 0.2
    weight_decay: float = 0.01
    adam_betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: bool | None = None
    attention: Literal["blocked", "sdpa", "eager"] | None = None
    log_every: int = 10
    evaluate_every: int = 1000
    eval_documents: int = 400
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, _LIMITS, "training")
        per_pass = self.sequence_length * self.sequences_per_device
        require(
            self.tokens_per_step % per_pass == 0,
            "training.tokens_per_step",
            self.tokens_per_step,
            f"a multiple of sequence_length x sequences_per_device = {per_pass}",
        )
        # The loss of a row is the mean since the last one, so a checkpoint between rows could not be resumed exactly.
        require(
            self.checkpoint_every % self.log_every == 0,
            "training.checkpoint_every",
            self.checkpoint_every,
            f"a multiple of log_every = {self.log_every}",
        )

    @property
    def is_open_ended(self) -> bool:
        """Whether no step's learning rate depends on `num_steps`, so that a run may be made longer."""
        return is_open_ended(self.schedule, self.decay_fraction)

    def learning_rate_factor(self, step: int) -> float:
        """What part of the peak learning rate is used at optimisation step `step`, counted from 0."""
        return learning_rate_factor(
            step,
            num_steps=self.num_steps,
            warmup_steps=self.warmup_steps,
            schedule=self.schedule,
            decay_fraction=self.decay_fraction,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """Which network is trained.

    Args:
        preset: a named size (`mini`, `base`, `large`).
        start_from: a trained model (directory, bundled name or hub id) to go on from instead of random weights.
        overrides: fields of `BioGptConfig` that differ from the preset.
    """

    preset: str = "base"
    start_from: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRecipe:
    """A whole pre-training run.

    Args:
        output: directory of everything the run makes.
        corpus: what is read, and how it becomes tokens.
        model: the network.
        training: the optimisation.
        corpus_path: where the prepared corpus lies, when several runs share one; by default `output`/corpus.
    """

    output: Path
    corpus: CorpusRecipe
    model: ModelRecipe
    training: TrainingRecipe
    corpus_path: Path

    def as_dict(self) -> dict[str, Any]:
        """All settings as plain values, for the record that a run leaves beside its output."""
        return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(self)))


def read_recipe(path: str | Path) -> PretrainRecipe:
    """Read a run's TOML file. Relative paths in it are relative to the file's own directory.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown, of the wrong type or impossible.
        CheckpointError: there is no model of the name that `start_from` or `corpus.tokenizer` gives.
    """
    path = Path(path)
    with naming(path):
        return _build_run(read_toml(path), path.resolve().parent)


def _build_run(settings: dict[str, Any], base: Path) -> PretrainRecipe:
    check_names(settings, ("output", "corpus_path", "corpus", "model", "training"))
    for name in ("corpus", "model", "training"):
        require(isinstance(settings.get(name, {}), dict), name, settings.get(name), f"a table: [{name}]")
    for name in ("output", "corpus"):
        if name not in settings:
            raise ConfigError(f"'{name}' is missing. docs/pretraining.md shows a complete file.")
    for name in ("output", "corpus_path"):
        require(isinstance(settings.get(name, ""), str), name, settings.get(name), "a path in quotation marks")
    model_settings = settings.get("model", {})
    for name in ("preset", "start_from"):
        value = model_settings.get(name, "")
        require(isinstance(value, str), f"model.{name}", value, "a name in quotation marks")
    if {"preset", "start_from"} <= model_settings.keys():
        raise ConfigError("Got both model.preset and model.start_from, expected one. Leave one out.")

    corpus = dict(settings["corpus"])
    if isinstance(corpus.get("sources"), list):
        corpus["sources"] = [_near_pattern(base, str(source)) for source in corpus["sources"]]
    model = dict(settings.get("model", {}))
    chosen = {name: model.pop(name) for name in ("preset", "start_from") if name in model}
    if "start_from" in chosen:
        chosen["start_from"] = _near(base, chosen["start_from"])
        if corpus.get("vocabulary_size"):
            raise ConfigError(
                "Got model.start_from and corpus.vocabulary_size, expected no new vocabulary: a trained model "
                "is of use with its own ids only. Leave out corpus.vocabulary_size."
            )
        corpus.setdefault("tokenizer", chosen["start_from"])  # a trained model is of use with its own ids only
    if corpus.get("tokenizer"):
        corpus["tokenizer"] = str(resolve_model(_near(base, corpus["tokenizer"])))
    output = base / settings["output"]
    return PretrainRecipe(
        output=output,
        corpus=build(CorpusRecipe, corpus, "corpus"),
        model=ModelRecipe(**chosen, overrides=model),
        training=build(TrainingRecipe, settings.get("training", {}), "training"),
        corpus_path=base / settings["corpus_path"] if "corpus_path" in settings else output / "corpus",
    )


def _near_pattern(base: Path, source: str) -> str:
    """A source from the recipe's directory; what looks like a pattern in that directory's own name is none."""
    return str(Path(glob.escape(str(base))) / source) if glob.has_magic(source) else str(base / source)


def _near(base: Path, name: object) -> str:
    """A model's name, as an absolute path where it is a directory near the recipe; else a bundled name or a hub id."""
    return str(base / str(name)) if name not in BUNDLED and (base / str(name)).is_dir() else str(name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
