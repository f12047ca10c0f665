"""A task and its settings of inference beside a model: written, read again, and as version 0.1.0 wrote them."""

import json
from pathlib import Path

import pytest

from biogpt.errors import ConfigError, InputError
from biogpt.model.checkpoint import BUNDLED
from biogpt.tasks.inference import Calibration, InferenceSettings
from biogpt.tasks.task import load_task, task_names
from biogpt.tasks.task_directory import FORMAT_VERSION, read_task_directory, write_task_directory


@pytest.mark.parametrize("name", task_names())
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    curves = {"": Calibration((0.0, 0.5, 1.0), (0.0, 0.25, 0.75))}
    task = load_task(name).with_inference(
        target_limit=40, threshold=0.14, tagging_context="twice", thresholds={"RNA": 0.3}, calibration=curves
    )
    write_task_directory(task, tmp_path)
    read = read_task_directory(tmp_path)
    assert read.inference == task.inference
    assert (read.name, read.schema.slots, read.schema.dataset) == (name, task.schema.slots, task.schema.dataset)


def test_what_training_learned_is_no_part_of_the_task(tmp_path: Path) -> None:
    write_task_directory(load_task("bc5cdr").with_inference(threshold=0.14, target_limit=40), tmp_path)
    assert load_task(tmp_path / "task.toml").inference == load_task("bc5cdr").inference
    content = json.loads((tmp_path / "inference.json").read_text())
    learned = {"target_limit": 40, "threshold": 0.14, "tagging_context": "left", "thresholds": {}, "calibration": {}}
    assert content == {"format_version": FORMAT_VERSION, **learned}


@pytest.mark.parametrize("name", sorted(set(task_names()) & set(BUNDLED)))
def test_a_bundled_model_is_asked_as_it_was_trained(name: str) -> None:
    task = read_task_directory(BUNDLED[name])
    assert task.inference != InferenceSettings(), "fine-tuning leaves a limit or a threshold, also of version 0.1.0"
    assert len(task.schema.caveats) == len(load_task(name).schema.caveats)  # their words are newer


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [("min_score", 0.3, "threshold"), ("threshold", 0.3, "threshold"), ("target_limit", 12, "target_limit")],
)
def test_settings_in_the_task_itself_are_read_as_version_0_1_0_wrote_them(
    tmp_path: Path, key: str, value: float, name: str
) -> None:
    write_task_directory(load_task("bc5cdr"), tmp_path)
    (tmp_path / "inference.json").unlink()
    file = tmp_path / "task.toml"
    file.write_text(f"{key} = {value}\n" + file.read_text().replace("caveats =", "traps ="))
    task = read_task_directory(tmp_path)
    assert getattr(task.inference, name) == value
    assert task.schema.caveats == load_task("bc5cdr").schema.caveats


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"format_version": 7},
            f"has format_version 7, but this biogpt knows versions up to {FORMAT_VERSION}",
        ),
        ({"format_version": 7, "unheard_of": 1}, "format_version 7"),
        ({}, "format_version is None"),
        ({"format_version": "1"}, "format_version is '1'"),
        ({"format_version": True}, "format_version is True"),
        ({"format_version": 0}, "format_version is 0"),
        ({"format_version": 1, "treshold": 1}, "Unknown setting 'treshold'. Did you mean 'threshold'"),
        ({"format_version": 1, "threshold": 2}, "Got threshold = 2.0, expected a number from 0 to 1 (a probability)"),
        ({"format_version": 1, "threshold": "high"}, "Got threshold = 'high'"),
        ({"format_version": 1, "target_limit": -1}, "Got target_limit = -1"),
        ({"format_version": 2, "thresholds": {"RNA": 2}}, "Got thresholds.RNA = 2.0, expected a probability"),
        (
            {"format_version": 2, "calibration": {"": {"scores": [0, 1], "probabilities": [0.5, 0.2]}}},
            "Got calibration.probabilities = (0.5, 0.2), expected as many rising numbers from 0 to 1",
        ),
        ({"format_version": 2, "calibration": {"": [0, 1]}}, "expected a table: [calibration.]"),
        ({"format_version": 1, "tagging_context": "right"}, "Got tagging_context = 'right', expected 'left' or"),
        ([], "holds a list"),
    ],
)
def test_impossible_settings_are_refused_with_their_file(tmp_path: Path, content: object, message: str) -> None:
    write_task_directory(load_task("bc5cdr"), tmp_path)
    (tmp_path / "inference.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        read_task_directory(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "inference.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", b""])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    write_task_directory(load_task("bc5cdr"), tmp_path)
    (tmp_path / "inference.json").write_bytes(content)
    with pytest.raises(ConfigError, match="is not JSON"):
        read_task_directory(tmp_path)


def test_a_directory_without_a_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read the task"):
        read_task_directory(tmp_path)
