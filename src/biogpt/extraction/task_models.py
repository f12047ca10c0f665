"""Task models: from names of a model and of a task to the directory to load and the task to ask.

Whatever can be wrong with such a pair of names is said here, before anything is loaded. Knows no tensors; importing it
does not import torch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biogpt.errors import InputError
from biogpt.model.checkpoint import BUNDLED, resolve_model
from biogpt.tasks.task import Task, load_task, task_names
from biogpt.tasks.task_directory import TASK_FILE, read_task_directory

RECORD_FILE = "finetune.json"
PART_SCORES = "part_scores"
"""The key of `finetune.json` with the scores on each of the data sets of a model that has several."""

DEFAULT_TASK = "entities"
"""What is looked for where nothing is asked for, once a model for it is bundled."""


_SCORES = (("test", "test_scores"), ("dev", "constrained_scores"), ("dev", "held_scores"), ("dev", "scores"))
_NO_SCORES: Mapping[str, Any] = {key: {} for _, key in _SCORES}


@dataclass(frozen=True)
class TaskModel:
    """A model's directory, and the task that it is to do."""

    name: str
    """As it was asked for."""
    path: Path
    task: Task
    is_tuned: bool
    """The directory says itself that it was fine-tuned for this task; otherwise only its user does."""
    record: Mapping[str, Any]
    """What its `finetune.json` says of how it was made and how good it is; empty where there is none."""

    @property
    def label(self) -> str:
        """What its extractions are signed with: the name alone, also of a directory."""
        return self.path.resolve().name if Path(self.name).is_dir() else self.name

    def fingerprint(self) -> str:
        """Tells whether the directory's files are still the same: a digest of their names, sizes and times."""
        files = sorted(file for file in self.path.iterdir() if file.is_file())
        facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def quality(self) -> str:
        """How good the model was measured to be, such as "f1 41.2 on test"; empty where no one has measured it."""
        main = self.task.schema.score.main
        for split, key in _SCORES:
            scores = self.record.get(key)
            figure = scores.get(main) if isinstance(scores, dict) else None
            if isinstance(figure, int | float):
                return f"{main} {100 * figure:.1f} on {split}"
        return ""


def find_task_model(model: str | Path | None = None, task: str | Path | Task | None = None) -> TaskModel:
    """The model to use.

    Args:
        model: a bundled model's name, a directory or a hub id; by default the one that is bundled for `task`. The name
            of a shipped task is the model that is bundled for it.
        task: a task's name, its TOML file, or a task; by default the one that the model was fine-tuned for. What is
            given must be the model's own, up to its target format and where its data lie; or, of a model that learned
            from several data sets, the task of one of them: then it looks for that one's labels alone.

    Raises:
        InputError: neither is given, there is no such task, no model is bundled for it, or the model was fine-tuned for
            another one.
        CheckpointError: there is no such model.
        ConfigError: a task's file is impossible.
    """
    asked = task if isinstance(task, Task) or task is None else load_task(task)
    if asked is None and model is not None and _names_task(model):
        asked, model = load_task(model), None
    if model is None:
        if asked is None:
            raise InputError("Got neither a model nor a task, expected at least one of them. Name a task: 'bc5cdr'.")
        model = _find_bundled(asked)
    path = resolve_model(model)
    name = str(model)
    if not (path / TASK_FILE).is_file():
        if asked is None:
            raise InputError(
                f"The model '{name}' does not say its task: it has no {TASK_FILE}, expected that of a fine-tuned "
                "model. Name the task, too, or fine-tune the model: 'biogpt finetune'."
            )
        return TaskModel(name, path, asked, False, {})
    own, record = read_task_directory(path), _read_record(path / RECORD_FILE)
    if asked is not None and asked.name in own.schema.dataset.parts:
        scores = record.get(PART_SCORES, {}).get(asked.name, {})
        return TaskModel(name, path, _limit_to_part(own, asked), True, {**record, **_NO_SCORES, **scores})
    if asked is not None:
        _check_same(name, own, asked)
    return TaskModel(name, path, own, True, record)


def bundled_tasks() -> list[str]:
    """The tasks that a bundled model does, in alphabetical order; the model bears the task's name."""
    return sorted(name for name, path in BUNDLED.items() if (path / TASK_FILE).is_file())


def default_task() -> str | None:
    """The task that is done where none is named; None where no model for it is bundled."""
    return DEFAULT_TASK if DEFAULT_TASK in bundled_tasks() else None


def _names_task(model: str | Path) -> bool:
    """Whether what was given as a model is the name of a shipped task instead, and of no bundled model or directory."""
    return str(model) in task_names() and str(model) not in BUNDLED and not Path(model).exists()


def _find_bundled(task: Task) -> str:
    names = bundled_tasks()
    if task.name in names:
        return task.name
    for name in names:
        if task.name in read_task_directory(BUNDLED[name]).schema.dataset.parts:
            return name
    raise InputError(
        f"No model for the task '{task.name}' is bundled, expected one of: {', '.join(names) or '(none)'}. Name a "
        f"model of your own, or make one: biogpt finetune --task {task.name} --data DIR --model mini --output DIR."
    )


def _limit_to_part(own: Task, asked: Task) -> Task:
    """The task of one of a model's data sets, asked as the model is.

    Raises:
        InputError: it has labels that the model did not learn.
    """
    labels = asked.kind.entity_types(asked.schema)
    known = own.schema.dataset.parts[asked.name].labels
    if asked.schema.kind != own.schema.kind or not set(labels) <= set(known):
        raise InputError(
            f"The model learned of '{asked.name}' the labels {', '.join(known)}, not {_summarize(asked)}. Use the "
            "shipped task, or a model of your own."
        )
    inference = own.inference
    return Task(
        asked.schema,
        replace(
            inference,
            thresholds={label: value for label, value in inference.thresholds.items() if label in labels},
            calibration={label: curve for label, curve in inference.calibration.items() if label in (*labels, "")},
        ),
    )


def _check_same(name: str, own: Task, asked: Task) -> None:
    if asked.name != own.name:
        raise InputError(
            f"The model '{name}' was fine-tuned for the task '{own.name}', not for '{asked.name}'. Name a model of "
            "that task, or leave the task out."
        )
    ours, theirs = own.schema, asked.schema
    if ours.kind != theirs.kind or {slot: set(ours.slots[slot].choices) for slot in ours.slots} != {
        slot: set(theirs.slots[slot].choices) for slot in theirs.slots
    }:
        raise InputError(
            f"The model '{name}' was fine-tuned for another version of the task '{own.name}': {_summarize(own)}, not "
            f"{_summarize(asked)}. Name its own, {TASK_FILE} in its directory, or leave the task out."
        )


def _summarize(task: Task) -> str:
    slots = (
        f"{name} ({', '.join(slot.choices)})" if slot.choices else name for name, slot in task.schema.slots.items()
    )
    return f"{task.schema.kind} of {', '.join(slots)}"


def _read_record(path: Path) -> Mapping[str, Any]:
    """What `finetune.json` says; nothing where it is missing or damaged, because prediction does not need it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
