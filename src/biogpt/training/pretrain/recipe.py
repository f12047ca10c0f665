"""A pre-training run as data: one TOML file, every number of the run, checked before any work starts.

    output = "runs/mini"        # where everything the run makes is put
    [corpus]                    # biogpt.training.corpus.prepare.CorpusRecipe
    [model]                     # a preset and what differs from it, or start_from
    [training]                  # TrainingRecipe, below

It reads and checks; it neither opens a corpus nor builds a model.
"""

import dataclasses
import glob
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from biogpt.errors import ConfigError, suggest
from biogpt.model.checkpoint import BUNDLED, resolve_model
from biogpt.training.corpus.prepare import CorpusRecipe
from biogpt.training.schedule import is_open_ended, learning_rate_factor

Schedule = Literal["inverse_sqrt", "cosine", "warmup_stable_decay"]
Recipe = TypeVar("Recipe")

# Settings that say when something is written or how it is run, not what is computed: a resumed run may change them.
CADENCE = frozenset(
    {"log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints", "compile", "eval_documents"}
)


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
        for name in ("sequence_length", "tokens_per_step", "sequences_per_device", "num_steps", "log_every"):
            _require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        _require(self.keep_checkpoints >= 2, "training.keep_checkpoints", self.keep_checkpoints, "at least 2")
        for name in ("evaluate_every", "eval_documents", "checkpoint_every"):
            _require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        _require(self.sequence_length >= 2, "training.sequence_length", self.sequence_length, "at least 2")
        _require(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "more than 0")
        _require(self.warmup_steps >= 0, "training.warmup_steps", self.warmup_steps, "at least 0")
        _require(0 <= self.decay_fraction <= 1, "training.decay_fraction", self.decay_fraction, "from 0 to 1")
        _require(math.isfinite(self.learning_rate), "training.learning_rate", self.learning_rate, "a number")
        _require(self.weight_decay >= 0, "training.weight_decay", self.weight_decay, "at least 0")
        _require(self.max_grad_norm >= 0, "training.max_grad_norm", self.max_grad_norm, "at least 0")
        _require(0 <= self.seed < 2**32, "training.seed", self.seed, "from 0 to 4294967295")
        _require(all(0 <= b < 1 for b in self.adam_betas), "training.adam_betas", self.adam_betas, "two from 0 to 1")
        per_pass = self.sequence_length * self.sequences_per_device
        _require(
            self.tokens_per_step % per_pass == 0,
            "training.tokens_per_step",
            self.tokens_per_step,
            f"a multiple of sequence_length x sequences_per_device = {per_pass}",
        )
        # The loss of a row is the mean since the last one, so a checkpoint between rows could not be resumed exactly.
        _require(
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
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}.") from error

    known = ("output", "corpus_path", "corpus", "model", "training")
    for name in settings:
        if name not in known:
            raise ConfigError(f"{path}: unknown setting '{name}', expected {', '.join(known)}.{suggest(name, known)}")
    for name in ("corpus", "model", "training"):
        if not isinstance(settings.get(name, {}), dict):
            raise ConfigError(f"{path}: '{name}' is a value, expected a section [{name}].")
    for name in ("output", "corpus"):
        if name not in settings:
            raise ConfigError(f"{path}: '{name}' is missing. docs/pretraining.md shows a complete file.")

    for name in ("output", "corpus_path"):
        if not isinstance(settings.get(name, ""), str):
            raise ConfigError(f"{path}: '{name}' is {settings[name]!r}, expected a path in quotes.")
    model_settings = settings.get("model", {})
    for name in ("preset", "start_from"):
        if not isinstance(model_settings.get(name, ""), str):
            raise ConfigError(f"{path}: 'model.{name}' is {model_settings[name]!r}, expected a name in quotes.")
    if {"preset", "start_from"} <= model_settings.keys():
        raise ConfigError(f"{path}: got both model.preset and model.start_from, expected one. Leave one out.")

    base = path.resolve().parent
    corpus = dict(settings["corpus"])
    if isinstance(corpus.get("sources"), list):
        corpus["sources"] = [_near_pattern(base, str(source)) for source in corpus["sources"]]
    model = dict(settings.get("model", {}))
    chosen = {name: model.pop(name) for name in ("preset", "start_from") if name in model}
    if "start_from" in chosen:
        chosen["start_from"] = _near(base, chosen["start_from"])
        if corpus.get("vocabulary_size"):
            raise ConfigError(
                f"{path}: got model.start_from and corpus.vocabulary_size, expected no new vocabulary: a trained model "
                "is of use with its own ids only. Leave out corpus.vocabulary_size."
            )
        corpus.setdefault("tokenizer", chosen["start_from"])  # a trained model is of use with its own ids only
    if corpus.get("tokenizer"):
        corpus["tokenizer"] = str(resolve_model(_near(base, corpus["tokenizer"])))
    output = base / settings["output"]
    return PretrainRecipe(
        output=output,
        corpus=from_settings(CorpusRecipe, corpus, "corpus"),
        model=ModelRecipe(**chosen, overrides=model),
        training=from_settings(TrainingRecipe, dict(settings.get("training", {})), "training"),
        corpus_path=base / settings["corpus_path"] if "corpus_path" in settings else output / "corpus",
    )


def _near_pattern(base: Path, source: str) -> str:
    """A source from the recipe's directory; what looks like a pattern in that directory's own name is none."""
    return str(Path(glob.escape(str(base))) / source) if glob.has_magic(source) else str(base / source)


def _near(base: Path, name: object) -> str:
    """A model's name, as an absolute path where it is a directory near the recipe; else a bundled name or a hub id."""
    return str(base / str(name)) if name not in BUNDLED and (base / str(name)).is_dir() else str(name)


def from_settings(recipe: type[Recipe], settings: dict[str, Any], section: str) -> Recipe:
    """Make a recipe dataclass from a TOML section.

    Raises:
        ConfigError: a setting is unknown, missing or of the wrong type.
    """
    hints = typing.get_type_hints(recipe)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    for name, value in values.items():
        if name not in hints:
            expected = f"expected one of {', '.join(hints)}"
            raise ConfigError(f"Unknown setting '{section}.{name}', {expected}.{suggest(name, hints)}")
        if not _fits(value, hints[name]):
            raise ConfigError(f"Got {section}.{name} = {value!r}, expected {_name_of(hints[name])}.")
    for one in dataclasses.fields(recipe):  # type: ignore[arg-type]
        if one.name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise ConfigError(f"'{section}.{one.name}' is missing, expected {_name_of(hints[one.name])}. Add it.")
    return recipe(**values)


def _require(holds: bool, name: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"Got {name} = {got}, expected {expected}.")


def _fits(value: object, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is tuple:
        kinds = typing.get_args(hint)
        if not isinstance(value, tuple):
            return False
        if kinds[-1] is ...:
            return all(_fits(one, kinds[0]) for one in value)
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _name_of(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    return getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")  # type: ignore[return-value]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
