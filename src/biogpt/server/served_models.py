"""Served models: by name, what a server answers with. Each is loaded when it is first asked for, and once.

A request names a model by one of these names; whatever else it says is not found. No name in a request is ever looked
for on a disk or in a network.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from biogpt.errors import InputError, suggest
from biogpt.extraction.conversion import source_fields
from biogpt.extraction.task_models import TaskModel, bundled_tasks, find_task_model
from biogpt.model.checkpoint import BUNDLED, resolve_model
from biogpt.server.completion_worker import CompletionWorker
from biogpt.server.extraction_worker import ExtractionWorker
from biogpt.server.failures import ApiError
from biogpt.server.limits import Limits
from biogpt.server.metrics import Metrics
from biogpt.server.tickets import Worker
from biogpt.tasks.task import Task
from biogpt.tasks.task_directory import TASK_FILE

_logger = logging.getLogger(__name__)

W = TypeVar("W", bound=Worker)

_LOADING = threading.Lock()
"""Held while something is imported or loaded: two threads that import transformers at once break its lazy modules."""


def import_models() -> None:
    """Import what takes seconds, unless that has been done."""
    with _LOADING:
        import biogpt.engine.engine
        import biogpt.extraction.extractor  # noqa: F401


@dataclass(frozen=True)
class Device:
    """Where models run, and how."""

    name: str = "auto"
    batch_size: int = 8
    dtype: str = "auto"


class ServedModel(Generic[W]):
    """A model that a server answers with.

    Args:
        name: what requests call it.
        load: makes its worker; takes seconds and memory.
    """

    def __init__(self, name: str, load: Callable[[], W]) -> None:
        self.name = name
        self._load = load
        self._worker: W | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._worker is not None

    def worker(self) -> W:
        """The model's worker; loads the model where that has not been done. Not for the event loop: it may take long.

        Raises:
            CheckpointError: its files are missing or damaged.
        """
        if self._worker is not None:
            return self._worker
        import_models()
        with _LOADING:
            if self._worker is None:
                started_at = time.monotonic()
                self._worker = self._load()
                _logger.info("Loaded %s in %.1f s", self.name, time.monotonic() - started_at)
            return self._worker

    def close(self, seconds: float) -> None:
        """Stop its worker, if there is one."""
        if self._worker is not None:
            self._worker.close(seconds)

    def describe(self) -> dict[str, Any]:
        """What a list of models says of it."""
        return {"id": self.name, "object": "model", "created": 0, "owned_by": "biogpt", "loaded": self.is_loaded}


class LanguageModel(ServedModel[CompletionWorker]):
    """A model that continues texts."""

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "does": "completions",
            "title": "Continues a text in the manner of an abstract",
            "quality": "",
            "caveats": ["What it writes is not factual: names, numbers and claims are invented."],
        }


class TaskModelServed(ServedModel[ExtractionWorker]):
    """A model that extracts."""

    def __init__(self, found: TaskModel, load: Callable[[], ExtractionWorker]) -> None:
        super().__init__(found.label, load)
        self.task: Task = found.task
        self._found = found

    @property
    def fields(self) -> Sequence[str]:
        """The named fields that a document must have; none where its text is all that is read."""
        return source_fields(self.task)

    def describe(self) -> dict[str, Any]:
        schema = self.task.schema
        return {
            **super().describe(),
            "does": "extraction",
            "task": self.task.name,
            "extracts": self.task.kind.extracts,
            "title": schema.title,
            "quality": self._found.quality(),
            "threshold": self.task.inference.threshold,
            "types": list(self.task.kind.entity_types(schema)),
            "fields": list(self.fields),
            "caveats": [
                "It is a small model: it misses much, and some of what it finds is wrong. Not for clinical use."
            ],
        }


class ServedModels:
    """The models of one server, by name.

    Args:
        language_models: the first is the one that is meant where a request names none.
        task_models: the same for extraction.
    """

    def __init__(self, language_models: Iterable[LanguageModel], task_models: Iterable[TaskModelServed]) -> None:
        self.language_models: Mapping[str, LanguageModel] = {model.name: model for model in language_models}
        self.task_models: Mapping[str, TaskModelServed] = {model.name: model for model in task_models}

    def __iter__(self) -> Iterator[LanguageModel | TaskModelServed]:
        yield from self.language_models.values()
        yield from self.task_models.values()

    def find_language_model(self, name: str | None) -> LanguageModel:
        """The model that a completion asks for.

        Raises:
            ApiError: there is none.
        """
        return _find(self.language_models, name, "completions")

    def find_task_model(self, name: str | None, task: str | None) -> TaskModelServed:
        """The model that an extraction asks for, by its name, or by its task.

        Raises:
            ApiError: there is none.
        """
        if name is not None:
            found = _find(self.task_models, name, "extraction")
            if task is not None and task != found.task.name:
                message = f"The model '{name}' does the task '{found.task.name}', not '{_shorten(task)}'."
                raise ApiError(400, message, param="task")
            return found
        by_task = {model.task.name: model for model in reversed(list(self.task_models.values()))}
        return _find(by_task, task, "extraction", "task")

    def close(self, seconds: float) -> None:
        """Stop all that runs."""
        for model in self:
            model.close(seconds)


M = TypeVar("M", LanguageModel, TaskModelServed)


def _find(models: Mapping[str, M], name: str | None, purpose: str, kind: str = "model") -> M:
    known = ", ".join(models)
    if not models:
        raise ApiError(404, f"This server has no model for {purpose}.", param=kind, code="model_not_found")
    if name is None:
        if len(models) == 1 or purpose == "completions":
            return next(iter(models.values()))
        raise ApiError(400, f"Got neither a model nor a task, expected one of them: {known}.", param=kind)
    if name not in models:
        message = (
            f"There is no {kind} '{_shorten(name)}' for {purpose}.{suggest(name, models)} Expected one of {known}."
        )
        raise ApiError(404, message, param=kind, code="model_not_found")
    return models[name]


def _shorten(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "..."


def find_models(
    models: Sequence[str],
    tasks: Sequence[str],
    metrics: Metrics,
    limits: Limits,
    device: Device,
) -> ServedModels:
    """The models to serve. Looks at their files, loads nothing.

    Args:
        models: bundled models, directories or hub ids; of language models and of task models.
        tasks: tasks whose bundled model is meant. Without any of both: all bundled models.
        metrics: told what the models do.
        limits: of what they are asked.
        device: where they run.

    Raises:
        InputError, CheckpointError, ConfigError: there is no such model, task or type, two have the same name, or
            completions were to be computed in int8.
    """
    if device.dtype != "auto":
        from biogpt.engine.processor import check_dtype  # torch, which takes a while

        check_dtype(device.dtype)
    if not models and not tasks:
        tasks = bundled_tasks()
        models = [name for name in BUNDLED if name not in tasks]
    language_models: list[LanguageModel] = []
    found: list[TaskModel] = []
    for name in models:
        path = resolve_model(name)
        if (path / TASK_FILE).is_file():
            found.append(find_task_model(name))
        else:
            label = path.resolve().name if Path(name).is_dir() else name
            language_models.append(LanguageModel(label, _completing(path, label, metrics, limits, device)))
    if language_models and device.dtype == "int8":
        raise InputError(
            f"Got the dtype int8 for completions by '{language_models[0].name}', expected float32 or bfloat16: only "
            "extraction computes in int8. Choose another type, or serve task models only, such as with --task bc5cdr."
        )
    found += [find_task_model(None, task) for task in tasks]
    task_models = [TaskModelServed(one, _extracting(one, metrics, limits, device)) for one in found]
    names = [model.name for model in language_models] + [model.name for model in task_models]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise InputError(f"Got two models named '{double}', expected different names. Leave one out, or rename it.")
    return ServedModels(language_models, task_models)


@functools.cache
def count_cores() -> int:
    """The cores that PyTorch uses by default. Workers change that for their threads, and for threads that begin later;
    so it is asked for once, before the first of them runs."""
    import torch  # takes a while

    return torch.get_num_threads()


def _completing(
    path: Path, name: str, metrics: Metrics, limits: Limits, device: Device
) -> Callable[[], CompletionWorker]:
    def load() -> CompletionWorker:
        from biogpt.engine.engine import Engine  # torch, which takes a while

        # The worker advances rows of many clients with the model itself, which the int8 engine does not keep.
        dtype = "float32" if device.dtype == "auto" and device.name in {"auto", "cpu"} else device.dtype
        engine = Engine.from_pretrained(path, dtype=dtype, device=device.name, batch_size=device.batch_size)
        on_batch = metrics.batch_size.labels(name).observe
        worker = CompletionWorker(engine, name, limits.max_waiting, on_batch, count_cores())
        metrics.rows.labels(name).set_function(lambda: worker.num_active)
        metrics.waiting.labels(name).set_function(lambda: worker.num_waiting)
        return worker

    return load


def _extracting(found: TaskModel, metrics: Metrics, limits: Limits, device: Device) -> Callable[[], ExtractionWorker]:
    def load() -> ExtractionWorker:
        from biogpt.extraction.extractor import Extractor
        from biogpt.model.loading import choose_device

        extractor = Extractor.of(found, device=device.name, dtype=device.dtype, batch_size=device.batch_size)
        num_cores = count_cores() if choose_device(device.name).type == "cpu" else None
        on_batch = metrics.batch_size.labels(found.label).observe
        worker = ExtractionWorker(extractor, limits.max_waiting, on_batch, num_cores)
        metrics.waiting.labels(found.label).set_function(lambda: worker.num_waiting)
        return worker

    return load
