"""The settings of fine-tuning: what is refused, and which go before which."""

from pathlib import Path

import pytest

from biogpt.errors import ConfigError
from biogpt.tasks.recipe import Recipe, build_recipe
from biogpt.tasks.recipe_files import find_recipe
from biogpt.tasks.schema_file import read_task_file, render_schema
from biogpt.tasks.task import SCHEMAS_PATH, task_names


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"epoch": 3}, "Unknown setting 'finetune.epoch'. Did you mean 'epochs'?"),
        ({"epochs": 0}, "Got finetune.epochs = 0, expected a whole number of at least 1"),
        ({"epochs": 2.5}, "Got finetune.epochs = 2.5, expected a whole number"),
        ({"epochs": True}, "Got finetune.epochs = True, expected a whole number"),
        ({"learning_rate": "high"}, "Got finetune.learning_rate = 'high', expected a number"),
        ({"learning_rate": 0}, "expected a number above 0"),
        ({"schedule": "linear"}, "expected 'inverse_sqrt' or 'cosine'"),
        ({"adam_betas": [0.9]}, "expected a list of 2 numbers"),
        ({"prompt_length": -1}, "Got finetune.prompt_length = -1"),
        ({"lora_rank": 1, "pair_epochs": 1, "random_pair_epochs": 1}, "expected the latter alone"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"small": {"small": {}}}, "Unknown setting 'finetune.small.small'"),
        ({"small": {"epochs": 0}}, "expected a whole number of at least 1"),
        ({"small": 3}, r"expected a table: \[finetune.small\]"),
    ],
)
def test_impossible_settings_are_refused_by_name(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_recipe(table)
    assert "\n" not in str(caught.value)


def test_a_small_model_has_settings_of_its_own() -> None:
    training = build_recipe({"epochs": 7, "learning_rate": 1, "small": {"epochs": 9, "lora_targets": ["fc1"]}})
    assert (training.for_size(1024).epochs, training.for_size(320).epochs) == (7, 9)
    assert training.for_size(320).learning_rate == 1.0
    assert training.for_size(320).lora_targets == ("fc1",)
    assert training.for_size(320).small == {}


def test_the_defaults_are_the_papers() -> None:
    training = Recipe()
    assert (training.adam_betas, training.weight_decay, training.schedule) == ((0.9, 0.98), 0.01, "inverse_sqrt")
    assert (training.tokens_per_step, training.source_weight, training.num_averaged) == (1024 * 32, 1.0, 5)


@pytest.mark.parametrize(
    ("name", "learning_rate", "warmup_steps", "epochs", "num_steps", "result"),
    [
        ("bc5cdr", 1e-5, 100, 100, 0, "average"),
        ("kd_dti", 1e-5, 1000, 30, 0, "average"),
        ("ddi", 1e-4, 500, 100, 0, "average"),
        ("pubmedqa", 1e-5, 100, 100, 0, "average"),
        ("hoc", 1e-5, 1000, 100, 20_000, "last"),
    ],
)
def test_the_papers_tasks_have_its_settings(
    name: str, learning_rate: float, warmup_steps: int, epochs: int, num_steps: int, result: str
) -> None:
    training = find_recipe(name, 1024).training
    got = (training.learning_rate, training.warmup_steps, training.epochs, training.num_steps, training.result)
    assert got == (learning_rate, warmup_steps, epochs, num_steps, result)


@pytest.mark.parametrize("name", task_names())
def test_a_schema_survives_being_written(name: str, tmp_path: Path) -> None:
    schema = read_task_file(SCHEMAS_PATH / f"{name}.toml").schema
    (tmp_path / "task.toml").write_text(render_schema(schema), encoding="utf-8")
    assert read_task_file(tmp_path / "task.toml").schema == schema


def test_a_written_schema_keeps_strange_characters(tmp_path: Path) -> None:
    path = tmp_path / "odd name.toml"
    text = (SCHEMAS_PATH / "hoc.toml").read_text(encoding="utf-8")
    path.write_text(text.replace('title = "HoC:', 'title = "α \\u007f \\"quoted\\" \\\\ \\n HoC:'), encoding="utf-8")
    schema = read_task_file(path).schema
    assert (schema.name, schema.title[:4]) == ("odd name", "α \x7f ")
    (tmp_path / "task.toml").write_text(render_schema(schema), encoding="utf-8")
    written = read_task_file(tmp_path / "task.toml").schema
    assert (written.name, written.title) == (schema.name, schema.title)
