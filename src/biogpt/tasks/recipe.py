"""Which recipe a task is fine-tuned by: the files in `recipes/`, by task and by the size of the model."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from biogpt.tasks.schema_file import read_task_file
from biogpt.tasks.task import find_task_file
from biogpt.tasks.tuning import SMALL_HIDDEN_SIZE, Tuning, build_tuning

RECIPES_PATH = Path(__file__).parent / "recipes"


class Recipe(NamedTuple):
    """A recipe and where it comes from."""

    file: str
    """The name of the file, and of the table where it is a part of the task's own file."""
    tuning: Tuning


def find_recipe(task: str | Path, hidden_size: int) -> Recipe:
    """The recipe for a task and a model of this size.

    `[finetune]` and `[finetune.small]` in a task's own file go before the shipped files, which are found by the task's
    name; a task that has neither is trained by the defaults of `Tuning`.

    Args:
        task: a task's name, or the path of its TOML file.
        hidden_size: the model's; below 512 it is a small one.

    Raises:
        InputError: no such task.
        ConfigError: the task's file is impossible.
    """
    path = find_task_file(task)
    file = read_task_file(path)
    is_small = hidden_size < SMALL_HIDDEN_SIZE
    if file.tuning is not None:
        table = "[finetune.small]" if is_small and file.tuning.small else "[finetune]"
        return Recipe(f"{path.name} {table}", file.tuning.for_size(hidden_size))
    shipped = RECIPES_PATH / f"{file.schema.name}-{'small' if is_small else 'base'}.toml"
    if shipped.is_file():
        return Recipe(shipped.name, build_tuning(tomllib.loads(shipped.read_text(encoding="utf-8"))))
    return Recipe("defaults", Tuning())
