"""Which recipe a task is fine-tuned by: the files in `recipes/`, by task and by the size of the model."""

import warnings
from pathlib import Path
from typing import NamedTuple

from biogpt.config import naming, read_toml
from biogpt.tasks.recipe import FORMER_KEYS, SMALL_HIDDEN_SIZE, Recipe, build_recipe
from biogpt.tasks.schema_file import read_task_file
from biogpt.tasks.task import find_task_file

RECIPES_PATH = Path(__file__).parent / "recipes"


class NamedRecipe(NamedTuple):
    """A recipe and where it comes from."""

    file: str
    """The name of the file, and of the table where it is a part of the task's own file."""
    training: Recipe
    """Its settings."""


def find_recipe(task: str | Path, hidden_size: int) -> NamedRecipe:
    """The recipe for a task and a model of this size.

    `[finetune]` and `[finetune.small]` in a task's own file go before the shipped files, which are found by the task's
    name; a task that has neither is trained by the defaults of `Recipe`.

    Args:
        task: a task's name, or the path of its TOML file.
        hidden_size: the model's; below 512 it is a small one.

    Raises:
        InputError: no such task.
        ConfigError: the task's file is impossible.

    Warns:
        FutureWarning: the task's file has settings of training by the names, or in the places, of version 0.1.0.
    """
    path = find_task_file(task)
    file = read_task_file(path)
    is_small = hidden_size < SMALL_HIDDEN_SIZE
    for name in file.renamed:
        warnings.warn(f"{path}: '{name}' is now called '{FORMER_KEYS[name]}'; write that.", FutureWarning, stacklevel=2)
    for name in file.moved:
        warnings.warn(f"{path}: '{name}' is now a part of [finetune]; move it there.", FutureWarning, stacklevel=2)
    if file.training is not None:
        table = "[finetune.small]" if is_small and file.training.small else "[finetune]"
        return NamedRecipe(f"{path.name} {table}", file.training.for_size(hidden_size))
    shipped = RECIPES_PATH / f"{file.schema.name}-{'small' if is_small else 'base'}.toml"
    if shipped.is_file():
        with naming(shipped):
            return NamedRecipe(shipped.name, build_recipe({**read_toml(shipped), **file.moved}))
    return NamedRecipe("defaults", build_recipe(file.moved))
