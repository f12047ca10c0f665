"""How a model is fine-tuned: the settings of a recipe, as in `recipes/*.toml`.

The defaults are the paper's (Luo et al. 2022, "Fine-tuning"; the reference's train.sh). Numbers only: how a run goes is
for `biogpt.training`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from biogpt.config import Limits, build, check, check_names
from biogpt.errors import ConfigError

SMALL_HIDDEN_SIZE = 512
"""A model narrower than this is a small one: it takes the recipe for small models."""

FORMER_KEYS = {"entity_renaming": "entity_replacement", "pair_epochs": "random_pair_epochs"}
"""What settings were called in version 0.1.0."""

_COUNT, _AMOUNT, _FRACTION, _DROPOUT = Limits(1), Limits(0), Limits(0, 1), Limits(0, below=1)
_LIMITS = {
    "epochs": _COUNT,
    "tokens_per_step": _COUNT,
    "tokens_per_batch": _COUNT,
    "num_averaged": _COUNT,
    "lora_rank": _COUNT,
    "lora_alpha": _COUNT,
    "evaluate_every": _COUNT,
    "checkpoint_every": _COUNT,
    "prompt_length": _AMOUNT,
    "num_steps": _AMOUNT,
    "checkpoint_steps": _AMOUNT,
    "warmup_steps": _AMOUNT,
    "patience": _AMOUNT,
    "random_pair_epochs": _AMOUNT,
    "weight_decay": _AMOUNT,
    "max_grad_norm": _AMOUNT,
    "source_weight": _AMOUNT,
    "learning_rate": Limits(above=0),
    "entity_replacement": _FRACTION,
    "empty_fraction": _DROPOUT,
    "decay_fraction": _FRACTION,
    "dropout": _DROPOUT,
    "token_dropout": _DROPOUT,
    "lora_dropout": _DROPOUT,
    "adam_betas": _DROPOUT,
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a fine-tuning run, each a key of a recipe."""

    head: Literal["", "generation", "classification"] = ""
    """`"generation"`: the target is written; `"classification"`: a head labels the text, or each word. By default
    tagging classifies and all other kinds generate."""
    tagging_context: Literal["left", "twice"] = "left"
    """`"left"`: a word is labelled by what stands before it and itself; `"twice"`: the sentence is read twice and its
    second copy labelled, so that what follows a word is known, too."""
    prompt_length: int = 0
    """The number of virtual tokens between source and target, which training learns: the soft prompt."""
    source_weight: float = 1.0
    """Of the source in the loss; 1: the whole sequence counts alike, as in the paper; 0: the target alone."""
    epochs: int = 100
    num_steps: int = 0
    """Optimisation steps; where it is not 0 it takes the place of `epochs`."""
    tokens_per_step: int = 32_768
    """Tokens per optimisation step over all processes, about: whole examples are shared out evenly over the steps."""
    tokens_per_batch: int = 4096
    """Tokens per forward pass on each process, padding included; smaller needs less memory and changes nothing else."""
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: float = 1e-5
    """Its peak."""
    warmup_steps: int = 100
    schedule: Literal["inverse_sqrt", "cosine", "warmup_stable_decay"] = "inverse_sqrt"
    decay_fraction: float = 0.2
    """For `warmup_stable_decay`: the last part of the run, in which the rate falls to 0."""
    weight_decay: float = 0.01
    adam_betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 0.0
    """Clip the gradient's norm at this; 0 does not clip."""
    dropout: float = 0.1
    """Of hidden states and attention weights, in training."""
    token_dropout: float = 0.0
    """The part of the source's tokens that training replaces by `<unk>`, others each time: a small model learns to look
    at a word's surroundings, too, instead of memorising the training set's names."""
    entity_replacement: float = 0.0
    """The part of a text's entities that get the names of others in each epoch, in source and target alike: a small
    model learns how a text relates two names, and to copy them, instead of memorising the training set's. For
    relations."""
    empty_fraction: float = 0.0
    """The part of the training documents that has nothing to be found, drawn from those of the task's
    `[dataset] without`; with it dev has those of its own, too. Otherwise a model that reads only documents with
    relations finds some in every text."""
    random_pair_epochs: int = 0
    """In the first so many epochs, half of them at most, a text's relations are any pairs of its entities: a small
    model learns which names fill the slots before it learns which of them are related. For relations."""
    shuffle_relations: bool = False
    """Whether each epoch lists a text's relations in another order. Then any of them may be said first, and prediction
    constrained by the schema gives all above a probability threshold (set on dev) rather than one list."""
    result: Literal["average", "best", "last"] = "average"
    """Which weights the run leaves: the `"average"` of the last `num_averaged` epochs', the `"best"` on dev, the
    `"last"`."""
    num_averaged: int = 5
    patience: int = 0
    """Stop after so many evaluations on dev without a new best; 0: never. Evaluations come every `evaluate_every`."""
    evaluate_every: int = 1
    """Epochs between evaluations of the loss on dev, and, where the result is chosen by it, of the score."""
    checkpoint_every: int = 1
    """Epochs between checkpoints, from which a killed run goes on."""
    checkpoint_steps: int = 0
    """Steps between further checkpoints, for long epochs; 0: none."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    attention: Literal["", "blocked", "sdpa", "eager"] = ""
    """`attn_implementation` in training; by default the fastest for the device."""
    peft: Literal["", "lora"] = ""
    """`"lora"`: train low-rank additions to `lora_targets`, the soft prompt and the head, nothing else."""
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    merge: bool = False
    """Leave a whole model rather than an adapter."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """What differs for a small model: `[finetune.small]` of a task's own file."""

    def __post_init__(self) -> None:
        check(self, _LIMITS, "finetune")

    def for_size(self, hidden_size: int) -> "Recipe":
        """The settings for a model of this width, with nothing left open by size."""
        return replace(self, **(dict(self.small) if hidden_size < SMALL_HIDDEN_SIZE else {}), small={})


def build_recipe(table: Any, place: str = "finetune", start: Recipe | None = None) -> Recipe:
    """Settings from a TOML table, on top of others. The names of version 0.1.0 are read, too.

    Args:
        table: the settings that are given.
        place: how messages name the table.
        start: the settings of which the table says what differs; by default the paper's.

    Raises:
        ConfigError: a setting is unknown, of the wrong type, or impossible.
    """
    recipe = build(Recipe, rename_former(table), place, start=start or Recipe())
    if recipe.small:
        small, inner = rename_former(recipe.small), f"{place}.small"
        check_names(small, [item.name for item in fields(Recipe) if item.name != "small"], inner)
        made = build(Recipe, small, inner, start=recipe)
        recipe = replace(recipe, small={name: getattr(made, name) for name in small})
    return recipe


def rename_former(table: Any, *, warn: bool = False) -> Any:
    """The table with today's names in place of those of version 0.1.0.

    Raises:
        ConfigError: a setting is there under both names.

    Warns:
        FutureWarning: one has a former name, if `warn`.
    """
    if not isinstance(table, Mapping):
        return table
    for old, new in FORMER_KEYS.items():
        if old not in table:
            continue
        if new in table:
            raise ConfigError(f"Got finetune.{old} and finetune.{new}, expected the latter alone: it is its new name.")
        if warn:
            warnings.warn(f"The setting finetune.{old} is now called {new}; write that.", FutureWarning, stacklevel=3)
    return {FORMER_KEYS.get(name, name): value for name, value in table.items()}
