"""A fine-tuning run as data: a task, its data, a model, and the settings, resolved and checked before work starts.

Later ones go before earlier ones: the paper's defaults, the task's recipe for the model's size
(`biogpt.tasks.recipe_files`), a recipe file, flags. It reads and checks; it opens no data.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biogpt.config import Limits, check, read_toml, require
from biogpt.model.checkpoint import load_config, resolve_model
from biogpt.tasks.recipe import Recipe, build_recipe, rename_former
from biogpt.tasks.recipe_files import find_recipe
from biogpt.tasks.task import Task, load_task

# Settings that say when something is written or how it is run, not what is computed: a resumed run may change them.
CADENCE = frozenset({"tokens_per_batch", "checkpoint_every", "checkpoint_steps", "attention", "merge"})


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """A whole fine-tuning run.

    Args:
        output: directory of everything the run makes, the fine-tuned model first of all.
        task: what is learned.
        training: how it is learned, for this model.
        recipe_file: which of the task's recipes `training` began with; see `biogpt.tasks.recipe_files`.
        data: the data set's directory, or one file of it.
        model: the trained model to start from, by name.
        train_split: the split to train on.
        dev_split: the split to measure on, where `dev_fraction` is 0.
        dev_fraction: the part of the train split that is held out instead; None: none where the data set has a dev
            split of its own, else a tenth.
        seed: of new weights and of the order of the data.
        device: where to run, in PyTorch's terms; `auto`: GPUs where there are some, else `cpu`. It decides nothing of
            what is computed, and is no part of the record.
    """

    output: Path
    task: Task
    training: Recipe
    recipe_file: str
    data: Path
    model: str = "mini"
    train_split: str = "train"
    dev_split: str = "dev"
    dev_fraction: float | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        check(self, {"dev_fraction": Limits(0, below=1), "seed": Limits(0, 2**32 - 1)})

    def as_dict(self) -> dict[str, Any]:
        """All settings as plain values, for the record that a run leaves beside its output."""
        schema = self.task.schema
        return {
            "task": schema.name,
            "target_format": schema.target_format,
            "empty_documents": schema.empty_documents,
            "prompt_length": self.training.prompt_length,
            "recipe_file": self.recipe_file,
            "data": str(self.data),
            "model": self.model,
            "train_split": self.train_split,
            "dev_split": self.dev_split,
            "dev_fraction": self.dev_fraction,
            "seed": self.seed,
            "finetune": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(self.training).items()
                if name not in ("small", "prompt_length")
            },
        }


def make_recipe(
    task: str | Path,
    data: str | Path,
    output: str | Path,
    model: str = "mini",
    *,
    settings: Mapping[str, Any] | None = None,
    recipe_path: str | Path | None = None,
    schema_settings: Mapping[str, str] | None = None,
    **run: Any,
) -> FinetuneRecipe:
    """A recipe with every setting resolved for this model.

    Args:
        task: a task's name, or the path of your own TOML file.
        data: the data set's directory, or one file of it.
        output: the directory to make.
        model: the trained model to start from.
        settings: what differs from the task's own settings: keys of `biogpt.tasks.recipe.Recipe`.
        recipe_path: a TOML file with such settings, which those in `settings` go before.
        schema_settings: `target_format`, `empty_documents`; see `load_task`.
        run: `train_split`, `dev_split`, `dev_fraction`, `seed`, `device` of `FinetuneRecipe`.

    Raises:
        InputError: no such task.
        ConfigError: a setting is unknown or impossible.
        CheckpointError: no such model.
    """
    loaded = load_task(task, **(schema_settings or {}))
    config = load_config(resolve_model(model))
    given = {**(read_settings(Path(recipe_path)) if recipe_path else {}), **(settings or {})}
    recipe = find_recipe(task, config.hidden_size)
    training = build_recipe(rename_former(given, warn=True), start=recipe.training)
    longest = config.max_position_embeddings // 2
    length = training.prompt_length
    require(length <= longest, "finetune.prompt_length", length, f"at most half of the model's positions: {longest}")
    inference = dataclasses.replace(loaded.inference, tagging_context=training.tagging_context)
    return FinetuneRecipe(
        output=Path(output),
        task=Task(loaded.schema, inference),
        training=dataclasses.replace(training, small={}),
        recipe_file=recipe.file,
        data=Path(data),
        model=model,
        **run,
    )


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a recipe file: the keys of `[finetune]`, with or without that heading.

    Raises:
        ConfigError: the file is missing or not TOML.
    """
    table = read_toml(path)
    nested = table.pop("finetune", {})
    require(isinstance(nested, dict), "finetune", nested, "a table: [finetune]")
    return {**nested, **table}
