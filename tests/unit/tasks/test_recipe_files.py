"""Which recipe a task is fine-tuned by: the shipped files by size, and a task's own."""

import tomllib
import warnings
from pathlib import Path

import pytest

from biogpt.model.checkpoint import BUNDLED
from biogpt.tasks.recipe import Recipe, build_recipe
from biogpt.tasks.recipe_files import RECIPES_PATH, find_recipe
from biogpt.tasks.task import SCHEMAS_PATH, load_task, task_names

FILES = sorted(RECIPES_PATH.glob("*.toml"))

OWN = """
kind = "classification"
title = "Mine"
source = "{text}"
sentence = "it is {label}"
slots.label.choices = ["a", "b"]
dataset = { reader = "table", columns = { id = "id", text = "text", label = "label" } }
score.metric = "labels"
"""


def test_each_task_with_data_has_a_recipe_for_both_sizes() -> None:
    names = [name for name in task_names() if name != "textgen"]
    assert [file.name for file in FILES] == [f"{name}-{size}.toml" for name in names for size in ("base", "small")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_says_only_what_differs_from_the_defaults_or_is_tuned(file: Path) -> None:
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    build_recipe(table)
    redundant = {name for name, value in table.items() if value == getattr(Recipe(), name)}
    assert redundant <= {"epochs", "learning_rate", "warmup_steps"}


@pytest.mark.parametrize(("hidden_size", "file"), [(320, "hoc-small.toml"), (512, "hoc-base.toml")])
def test_the_size_of_the_model_decides(hidden_size: int, file: str) -> None:
    recipe = find_recipe("hoc", hidden_size)
    assert recipe.file == file
    assert recipe.training == build_recipe(tomllib.loads((RECIPES_PATH / file).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("table", "hidden_size", "file", "epochs"),
    [
        ("", 320, "defaults", 100),
        ("", 1024, "defaults", 100),
        ("[finetune]\nepochs = 7", 320, "mine.toml [finetune]", 7),
        ("[finetune]\nepochs = 7\nsmall = { epochs = 9 }", 320, "mine.toml [finetune.small]", 9),
        ("[finetune]\nepochs = 7\nsmall = { epochs = 9 }", 1024, "mine.toml [finetune]", 7),
    ],
)
def test_a_tasks_own_file_may_have_a_recipe(
    tmp_path: Path, table: str, hidden_size: int, file: str, epochs: int
) -> None:
    (tmp_path / "mine.toml").write_text(OWN + table)
    recipe = find_recipe(tmp_path / "mine.toml", hidden_size)
    assert (recipe.file, recipe.training.epochs) == (file, epochs)


BC5CDR_OF_0_1_0 = """
[finetune]
source_weight = 0.2
epochs = 12
tokens_per_step = 4096
learning_rate = 0.001
warmup_steps = 50
schedule = "warmup_stable_decay"
decay_fraction = 1.0
max_grad_norm = 1.0
dropout = 0.0
entity_renaming = 0.5
pair_epochs = 3
shuffle_relations = true
result = "last"
"""


def test_a_copy_of_a_shipped_schema_has_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "ddi.toml").write_bytes((SCHEMAS_PATH / "ddi.toml").read_bytes())
    assert find_recipe(tmp_path / "ddi.toml", 320) == find_recipe("ddi", 320)


def test_the_recipe_in_a_task_of_version_0_1_0_is_read(tmp_path: Path) -> None:
    text = (BUNDLED["bc5cdr"] / "task.toml").read_text()
    file = tmp_path / "task.toml"
    file.write_text(text.replace("source_limit = 640\n", "source_limit = 640\nprompt_length = 9\n") + BC5CDR_OF_0_1_0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recipe = find_recipe(file, 320)
    assert recipe.file == "task.toml [finetune]"
    assert recipe.training == find_recipe("bc5cdr", 320).training
    former = {"entity_renaming", "pair_epochs", "prompt_length"}
    assert {str(warning.message).split("'")[1] for warning in caught} == former


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[finetune]\nentity_renaming = 0.5", "'entity_renaming' is now called 'entity_replacement'"),
        ("[finetune.small]\npair_epochs = 1", "'pair_epochs' is now called 'random_pair_epochs'"),
        ("prompt_length = 5\n[finetune]", r"'prompt_length' is now a part of \[finetune\]"),
        ("prompt_length = 5", r"'prompt_length' is now a part of \[finetune\]"),
    ],
)
def test_former_settings_of_ones_own_file_still_work_with_a_warning(tmp_path: Path, table: str, message: str) -> None:
    moved, _, tables = table.partition("\n") if table.startswith("prompt") else ("", "", table)
    (tmp_path / "mine.toml").write_text(moved + OWN + tables)
    with pytest.warns(FutureWarning, match=message):
        training = find_recipe(tmp_path / "mine.toml", 320).training
    assert (training.entity_replacement, training.random_pair_epochs, training.prompt_length) in {
        (0.5, 0, 0),
        (0.0, 1, 0),
        (0.0, 0, 5),
    }


@pytest.mark.parametrize("name", [file.stem.removesuffix("-base") for file in FILES if file.stem.endswith("-base")])
def test_both_recipes_of_a_task_read_words_as_the_task_says(name: str) -> None:
    context = load_task(name).inference.tagging_context
    assert {find_recipe(name, size).training.tagging_context for size in (320, 1024)} == {context}
