"""What a task model's directory says of its task, in two files beside the model:

    task.toml         the task: what is asked and how an answer is read
    inference.json    what fine-tuning learned beside the weights, and the version of this format

Version 0.1.0 wrote `task.toml` alone, with the settings of inference among its keys (`min_score`, `target_limit`); such
directories are read as before.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from biogpt.config import build, check_format_version, naming
from biogpt.errors import ConfigError
from biogpt.tasks.inference import InferenceSettings
from biogpt.tasks.schema_file import render_schema
from biogpt.tasks.task import Task, load_task

TASK_FILE = "task.toml"
INFERENCE_FILE = "inference.json"
FORMAT_VERSION = 2
"""Of the two files together. It rises when an older biogpt would misread them."""


def read_task_directory(directory: Path) -> Task:
    """The task that a model was fine-tuned for, with its settings of inference.

    Args:
        directory: with `task.toml`, and `inference.json` unless version 0.1.0 wrote it.

    Raises:
        InputError: there is no `task.toml`.
        ConfigError: a file is damaged or impossible, or was written by a newer version of biogpt.
    """
    inference = _read_inference(directory / INFERENCE_FILE)
    task = load_task(directory / TASK_FILE)
    return task if inference is None else Task(task.schema, inference)


def write_task_directory(task: Task, directory: Path) -> None:
    """Write both files for a task; the directory is there already."""
    (directory / TASK_FILE).write_text(render_schema(task.schema), encoding="utf-8")
    content = {"format_version": FORMAT_VERSION, **asdict(task.inference)}
    (directory / INFERENCE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_inference(path: Path) -> InferenceSettings | None:
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:  # also what is not UTF-8
        raise ConfigError(f"{path} is not JSON: {error}. Fine-tune again, or take the file from a backup.") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path} holds a {type(table).__name__}, expected an object.")
    check_format_version(table, FORMAT_VERSION, path, is_required=True)
    del table["format_version"]
    with naming(path):
        return build(InferenceSettings, table)
