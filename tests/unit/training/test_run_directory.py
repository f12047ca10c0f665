"""A run's directory: what belongs to it, also from other versions of biogpt."""

import json
from pathlib import Path

import pytest

from biogpt.errors import ConfigError
from biogpt.training.run_directory import RECIPE_FILE, claim_output, read_report

FORMER = {"finetune.pair_epochs": "finetune.random_pair_epochs"}


def claim(path: Path, epochs: int = 3) -> None:
    settings = {"seed": 0, "finetune": {"random_pair_epochs": epochs}}
    claim_output(path, settings, set(), "report.json", FORMER)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    claim(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    return tmp_path / "run"


def rewrite(begun: Path, content: object) -> None:
    (begun / RECIPE_FILE).write_text(json.dumps(content))


def test_the_same_run_goes_on_and_another_is_refused(begun: Path) -> None:
    assert json.loads((begun / RECIPE_FILE).read_text())["format_version"] == 1
    claim(begun)
    with pytest.raises(ConfigError, match=r"holds a run with finetune\.random_pair_epochs = 3, got 4"):
        claim(begun, 4)


def test_a_run_of_version_0_1_0_goes_on_under_the_new_names(begun: Path) -> None:
    rewrite(begun, {"recipe": {"seed": 0, "finetune": {"pair_epochs": 3}}, "versions": {}})
    claim(begun)
    rewrite(begun, {"recipe": {"seed": 0, "finetune": {"pair_epochs": 2}}, "versions": {}})
    with pytest.raises(ConfigError, match=r"finetune\.random_pair_epochs = 2, got 3"):
        claim(begun)


def test_a_run_of_a_newer_biogpt_is_refused_by_name(begun: Path) -> None:
    rewrite(begun, {"format_version": 2})
    with pytest.raises(ConfigError, match=r"recipe\.json has format_version 2, but this biogpt knows versions up to 1"):
        claim(begun)
    assert read_report(begun / "report.json") is None
    (begun / "report.json").write_text('{"steps": 5}')
    assert read_report(begun / "report.json") == {"steps": 5}
    (begun / "report.json").write_text('{"format_version": 2}')
    with pytest.raises(ConfigError, match=r"report\.json has format_version 2"):
        read_report(begun / "report.json")
