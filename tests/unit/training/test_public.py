"""The two public calls: settings by keyword, and wrong ones told before any work."""

from pathlib import Path
from typing import Any

import pytest
from small_models import make_small_model

from biogpt.errors import BioGptError, ConfigError
from biogpt.training.finetune.recipe import make_recipe
from biogpt.training.finetune.run import run_recipe
from biogpt.training.public import finetune, pretrain

QUICK = {"epochs": 2, "tokens_per_step": 64, "warmup_steps": 1, "precision": "fp32", "result": "last"}


def test_fine_tuning_takes_settings_by_keyword(tmp_path: Path) -> None:
    model, data = make_small_model(tmp_path / "model"), tmp_path / "data"
    data.mkdir()
    (data / "train.tsv").write_text("Breast\tB-Disease\ncancer\tI-Disease\nis\tO\ncommon\tO\n\n" * 3)
    (data / "devel.tsv").write_text("Pain\tB-Disease\nis\tO\nrare\tO\n.\tO\n")
    (tmp_path / "recipe.toml").write_text("learning_rate = 2e-2\nepochs = 7\n")
    more = {"recipe": tmp_path / "recipe.toml", "patience": None}
    report = finetune("ncbi_disease", data, tmp_path / "run", model=model, **more, **QUICK)
    assert report["scores"]["num_examples"] == report["dev_examples"] == 1
    settings = report["recipe"]["finetune"]
    assert (settings["tokens_per_step"], settings["learning_rate"], settings["epochs"]) == (64, 2e-2, 2)
    recipe = make_recipe(
        *("ncbi_disease", data, tmp_path / "run", str(model)), settings=QUICK, recipe_path=tmp_path / "recipe.toml"
    )
    assert run_recipe(recipe) == report  # the same run, so nothing is trained again


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "Unknown setting 'epoch'.*'epochs'"),
        ({"train_spilt": "dev"}, "Unknown setting 'train_spilt'.*'train_split'"),
        ({"epochs": "3"}, "Got finetune.epochs = '3', expected a whole number"),
        ({"empty_documents": "burn"}, "empty_documents"),
    ],
)
def test_a_wrong_keyword_is_told(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BioGptError, match=message):
        finetune("bc5cdr", tmp_path, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_pre_training_takes_the_path_of_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        pretrain(tmp_path / "nowhere.toml")
    corpus = '[corpus]\nsources = ["a.jsonl"]\nvocabulary_size = 500\n'
    (tmp_path / "run.toml").write_text(f'output = "run"\n{corpus}[training]\nstep = 3\n')
    with pytest.raises(ConfigError, match=r"Unknown setting 'training\.step'"):
        pretrain(str(tmp_path / "run.toml"))
    assert not (tmp_path / "run").exists()
