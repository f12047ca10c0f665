"""Mining a collection: files of literature in, a directory of Parquet tables out, which later runs bring up to date.

`mine` is what `biogpt mine` calls. A run lists the files that are new, indexes their records, plans which are to be
mined, and commits them shard by shard. It can be killed at any moment: the same call goes on behind the last shard that
was committed, and ends with the same rows.
"""

import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import biogpt
from biogpt.documents import Document, Problem
from biogpt.documents.links import pmid_of
from biogpt.errors import DataError, InputError
from biogpt.extraction.linking import DEFAULT_LEXICON, load_linker
from biogpt.extraction.task_models import TaskModel, find_task_model
from biogpt.files import read_json, write_json
from biogpt.mining import ray_pipeline
from biogpt.mining.dataset import PARTS, Collection, require_extra
from biogpt.mining.plan import Plan, choose_shard_size, tombstones
from biogpt.mining.shards import Annotator, Miner, ModelAnnotator, Shard, bytes_per_document, shard_name
from biogpt.mining.sources import (
    SourceFile,
    Winner,
    cut_units,
    find_new,
    index_unit,
    is_url,
    list_sources,
    read_records,
)


@dataclass
class MiningSummary:
    """What became of a run, over all calls that it took."""

    run: int = 0
    """Its number; the last one's where there was nothing new."""
    num_files: int = 0
    """Files that the run has read."""
    num_documents: int = 0
    """Documents that it has mined."""
    num_deleted: int = 0
    """Documents whose rows are void, because they were withdrawn or have no text any more."""
    num_errors: int = 0
    """Files, records and documents that could not be used; `errors` says why."""
    seconds: float = 0.0
    """How long the last call took."""

    def __str__(self) -> str:
        if not self.num_files:
            return "nothing new"
        text = f"files read: {self.num_files:,}, documents mined: {self.num_documents:,}"
        if self.num_deleted:
            text += f", deleted: {self.num_deleted:,}"
        return text + (f", errors: {self.num_errors:,} (see errors/)" if self.num_errors else "")


@dataclass(frozen=True)
class Estimate:
    """What mining would take."""

    num_files: int
    num_documents: int
    """Estimated from some files, unless `is_exact`. Older versions of an article count, too."""
    is_exact: bool
    hours: float
    """With the given workers on this machine, from the speed on a few documents."""
    output_bytes: int
    """Of the Parquet files."""
    documents_per_second: float
    """Of one worker."""

    def __str__(self) -> str:
        about = "" if self.is_exact else "about "
        return (
            f"{self.num_files:,} files, {about}{self.num_documents:,} documents; about {self.hours:.2g} hours at "
            f"{self.documents_per_second:.2g} documents/s a worker; about {self.output_bytes / 1e6:,.3g} MB on disk"
        )


def make_annotators(
    tasks: Sequence[str | Path] = (),
    models: Sequence[str | Path] = (),
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 8,
    threshold: float | None = None,
    link: bool | str | Path = False,
) -> list[ModelAnnotator]:
    """The models to ask.

    Args:
        tasks: each asked of the model that is bundled for it, or of the model in the same place of `models`.
        models: fine-tuned ones; without tasks each does its own.
        device: where they run, in PyTorch's terms.
        dtype: the type to compute in; see `Engine.from_pretrained`.
        batch_size: texts that a model reads at once.
        threshold: leaves out what has a lower score; by default each model's own.
        link: find identifiers for names: True for MeSH, or the name or file of a lexicon.

    Raises:
        InputError: there is no such task, model, type or lexicon, a task reads several fields, or one comes twice.
    """
    if models and tasks and len(models) != len(tasks):
        raise InputError(f"Got {len(tasks)} tasks and {len(models)} models, expected a model for each task, or none.")
    if not models and not tasks:
        raise InputError("Got neither a task nor a model, expected at least one. Name a task: 'bc5cdr'.")
    count = max(len(models), len(tasks))
    no_names: list[str | Path | None] = [None] * count
    pairs = zip(models or no_names, tasks or no_names, strict=True)
    found: list[TaskModel] = [find_task_model(model, task) for model, task in pairs]
    names = [one.task.name for one in found]
    for one in found:
        if names.count(one.task.name) > 1:
            raise InputError(f"Got the task '{one.task.name}' twice, expected it once. Leave one out.")
        from biogpt.extraction.conversion import source_fields

        if source_fields(one.task):
            fields = ", ".join(source_fields(one.task))
            raise InputError(
                f"The task '{one.task.name}' reads several fields ({fields}), but mine reads texts. Use predict."
            )
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"Got threshold {threshold}, expected a probability from 0 to 1.")
    if dtype != "auto":
        from biogpt.engine.processor import check_dtype  # torch, which takes a while

        check_dtype(dtype)
    lexicon = str(DEFAULT_LEXICON if link is True else link) if link else None
    if lexicon is not None:
        load_linker(lexicon)  # it may be refused
        lexicon = str(Path(lexicon).resolve()) if Path(lexicon).is_file() else lexicon
    return [ModelAnnotator(one, device, batch_size, threshold, lexicon=lexicon, dtype=dtype) for one in found]


def mine(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    tasks: Sequence[str | Path] = (),
    models: Sequence[str | Path] = (),
    workers: int | None = None,
    ray_address: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 8,
    threshold: float | None = None,
    link: bool | str | Path = False,
    format: str | None = None,
    is_recursive: bool = False,
    on_problem: Callable[[Problem], None] = lambda problem: None,
) -> MiningSummary:
    """Mine files of literature into a directory of Parquet tables, on all CPUs or GPUs of this machine or of a cluster.

    The same call goes on after an interruption, and a call with further files reads only these. Needs the extra `mine`.

    Examples:
        >>> biogpt.mine("pubmed/", "mined", tasks=["bc5cdr", "ncbi_disease"])  # doctest: +SKIP

    Args:
        inputs: files, folders, or URLs such as `s3://bucket/pubmed/`.
        output: the directory; new, empty, or that of an earlier run with the same tasks and models.
        tasks: see `make_annotators`.
        models: see `make_annotators`.
        workers: processes that each hold the models; by default one for each GPU, or else for each CPU.
        ray_address: of a Ray cluster; by default RAY_ADDRESS, or else Ray is started on this machine.
        device: where the models run, in PyTorch's terms.
        dtype: the type to compute in; see `Engine.from_pretrained`.
        batch_size: texts that a model reads at once.
        threshold: leaves out what has a lower score; by default each model's own.
        link: see `make_annotators`.
        format: of the inputs, where neither name nor content tells.
        on_problem: called with each file of a folder that is left out.

    Returns:
        What was done.

    Raises:
        InputError: tasks, models or output cannot be used, or there is no Ray cluster at the address.
        DataError: there is no file or no document to read, or a file that is to be mined was changed or removed
            meanwhile.
        MissingExtraError: the extra is not installed.
    """
    require_extra()
    annotators = make_annotators(
        tasks, models, device=device, dtype=dtype, batch_size=batch_size, threshold=threshold, link=link
    )
    return mine_with(
        annotators,
        inputs,
        output,
        workers=workers,
        ray_address=ray_address,
        device=device,
        format=format,
        is_recursive=is_recursive,
        on_problem=on_problem,
    )


def mine_with(
    annotators: Sequence[Annotator],
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    device: str = "auto",
    format: str | None = None,
    is_recursive: bool = False,
    shard_size: int | None = None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    on_commit: Callable[[str], None] = lambda shard: None,
    is_watched: bool = False,
    is_verbose: bool = False,
) -> MiningSummary:
    """Mine with any annotators; see `mine`.

    Args:
        annotators: what is asked about each document.
        inputs: see `mine`.
        output: see `mine`.
        workers: see `mine`.
        ray_address: see `mine`.
        device: see `mine`.
        format: see `mine`.
        is_recursive: see `mine`.
        shard_size: documents that are committed together; by default chosen by their number.
        on_problem: see `mine`.
        on_commit: called with the name of each shard that has been committed.
        is_watched: show Ray Data's progress.
        is_verbose: show Ray's log.

    Raises:
        DataError: also where no input, of this run or an earlier one, has a document; what was wrong is in `errors/`.
    """
    require_extra()
    started = time.monotonic()
    names = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    listed = list_sources(names, format, on_problem, is_recursive)
    collection = Collection(output)
    _check_output(collection.directory, listed)
    collection.create({"annotators": [annotator.describe() for annotator in annotators]})
    runs = _Runs(collection)
    summary = MiningSummary(run=runs.last)
    session = _Session(annotators, workers, ray_address, device, shard_size, on_commit, is_watched, is_verbose)
    with session:
        if runs.unfinished is not None:  # its files first, as they were listed then
            runs.paths = find_new(listed, runs.known(), runs.last + 1)[1]
            summary = session.finish(runs, runs.unfinished)
        fresh, runs.paths = find_new(listed, runs.known(), runs.last + 1)
        if fresh:
            run = runs.begin(fresh)
            summary = session.finish(runs, run)
    summary.seconds = time.monotonic() - started
    if not summary.num_documents and not collection.has_records():
        skipped = f", {summary.num_errors} were skipped; {output}/errors has the reasons" if summary.num_errors else ""
        raise DataError(f"The input has no document that could be read, expected at least one{skipped}.")
    return summary


def _check_output(directory: Path, listed: Sequence[SourceFile]) -> None:
    for source in listed:
        if not is_url(source.path) and directory.resolve() in Path(source.path).parents:
            raise InputError(f"{source.path} lies in the output {directory}. Name another output.")


class _Runs:
    """The runs of a collection: `runs/0001/files.json` says what it reads, `done.json` that it is complete."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._units: dict[int, list[SourceFile]] = {}
        self._runs: dict[int, int] = {}  # unit -> run
        self.last = 0
        self.unfinished: int | None = None
        self.paths: dict[int, str] = {}
        """By a file's number, where it lies now, if that is known."""
        for directory in sorted((collection.directory / "runs").iterdir()):
            if not (directory / "files.json").is_file():
                continue
            self.last = int(directory.name)
            for number, files in read_json(directory / "files.json")["units"]:
                self._units[number] = [SourceFile(**entry) for entry in files]
                self._runs[number] = self.last
            if not (directory / "done.json").is_file():
                self.unfinished = self.last

    def known(self) -> list[SourceFile]:
        """All files of all runs, with digests where they are indexed."""
        return [source for files in self.units().values() for source in files]

    def units(self) -> dict[int, list[SourceFile]]:
        """The files by unit, as the index has them."""
        found: dict[int, list[SourceFile]] = {}
        for number, files in self._units.items():
            entry = self.collection.directory / "manifest" / f"{index_name(self._runs[number], number)}.json"
            told = read_json(entry)["sources"] if entry.is_file() else [source.to_dict() for source in files]
            indexed = [SourceFile(**{key: one[key] for key in one if key != "num_records"}) for one in told]
            found[number] = [replace(source, path=self.paths.get(source.number, source.path)) for source in indexed]
        return found

    def of(self, run: int) -> dict[int, list[SourceFile]]:
        """The units of a run."""
        return {number: files for number, files in self._units.items() if self._runs[number] == run}

    def begin(self, fresh: Sequence[SourceFile]) -> int:
        """Begin a run that reads these files."""
        run = self.last + 1
        first = max(self._units, default=0) + 1
        units = dict(enumerate(cut_units(sorted(fresh, key=lambda source: source.order)), start=first))
        directory = self.directory(run)
        directory.mkdir(exist_ok=True)
        listed = [(number, [source.to_dict() for source in files]) for number, files in units.items()]
        write_json(directory / "files.json", {"run": run, "biogpt": biogpt.__version__, "units": listed}, indent=None)
        self._units |= units
        self._runs |= dict.fromkeys(units, run)
        self.last = run
        return run

    def directory(self, run: int) -> Path:
        """Where a run's own files lie."""
        return self.collection.directory / "runs" / f"{run:04d}"


def index_name(run: int, unit: int) -> str:
    """The name that the index of a unit is committed under."""
    return f"{run:04d}-{unit:05d}-index"


@dataclass
class _Session:
    """One call: what is asked, and Ray from the moment on when it is needed."""

    annotators: Sequence[Annotator]
    workers: int | None
    ray_address: str | None
    device: str
    shard_size: int | None
    on_commit: Callable[[str], None]
    is_watched: bool
    is_verbose: bool

    def __enter__(self) -> "_Session":
        self._cluster: Any = None
        self._ray: Any = None
        return self

    def __exit__(self, *error: Any) -> None:
        if self._cluster is not None:
            self._cluster.__exit__(*error)

    def ray(self) -> Any:
        """Ray, started when it is first asked for."""
        if self._cluster is None:
            self._cluster = ray_pipeline.cluster(self.ray_address, self.is_watched, self.is_verbose)
            self._ray = self._cluster.__enter__()
        return self._ray

    def finish(self, runs: _Runs, run: int) -> MiningSummary:
        """Do what a run has not done yet."""
        collection = runs.collection
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._index(runs, run)
        plan = Plan(collection, run, runs.units())
        state_path = runs.directory(run) / "plan.json"
        if state_path.is_file():
            shard_size = read_json(state_path)["shard_size"]
        else:
            count = ray_pipeline.choose_workers(self.ray(), self.workers, self.device)[0] if plan.num_documents else 1
            shard_size = self.shard_size or choose_shard_size(plan.num_documents, count)
            write_json(state_path, {"shard_size": shard_size, "num_documents": plan.num_documents})
        withdrawn = plan.withdrawn()
        name = f"{run:04d}-deletions"
        if withdrawn and name not in collection.committed():
            collection.commit(name, {"tombstones": tombstones(name, run, withdrawn)}, num_deleted=len(withdrawn))
        self._mine(runs, run, plan, shard_size)
        summary = self._count(runs, run, len(withdrawn))
        versions = {
            "biogpt": biogpt.__version__,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        told = {name: value for name, value in vars(summary).items() if name != "seconds"}
        collection.note_run({**told, "resumed_or_begun": started, **versions})
        write_json(runs.directory(run) / "done.json", {"run": run})
        runs.unfinished = None
        return summary

    def _index(self, runs: _Runs, run: int) -> None:
        collection = runs.collection
        committed = collection.committed()
        missing = [
            {"files": [source.to_dict() for source in files], "shard": index_name(run, number), "run": run}
            for number, files in runs.of(run).items()
            if index_name(run, number) not in committed
        ]
        if not missing:
            return
        rows: Iterator[dict[str, Any]]
        if len(missing) == 1:
            import pyarrow.parquet  # noqa: F401 - by one thread, before two would import it at once

            with ThreadPoolExecutor(1) as pool:
                index = pool.submit(index_unit, **missing[0])  # type: ignore[arg-type]
                self.ray()  # this process only waits while Ray starts
                rows = iter([ray_pipeline.as_row(index.result())])
        else:
            rows = ray_pipeline.index_units(self.ray(), missing)
        for row in rows:
            files = {part: row[part] for part in ("index", "errors") if row[part]}
            facts = {"sources": [dict(source) for source in row["sources"]], "num_errors": int(row["num_errors"])}
            collection.commit(row["shard"], files, **facts)
            self.on_commit(row["shard"])

    def _mine(self, runs: _Runs, run: int, plan: Plan, shard_size: int) -> None:
        collection = runs.collection
        committed = frozenset(collection.committed())
        done = Counter(name.rpartition("-")[0] for name in committed if name[-4:].isdecimal())
        left = (
            unit
            for unit in plan.units()
            if done[shard_name(run, unit.number, 0).rpartition("-")[0]] * shard_size < unit.num_documents
        )
        while wave := list(islice(left, ray_pipeline.WAVE_UNITS)):
            workers, gpus, threads = ray_pipeline.choose_workers(self.ray(), self.workers, self.device)
            rows = ray_pipeline.mine_units(
                self.ray(),
                [{"number": unit.number, "files": unit.files, "winners": unit.winners} for unit in wave],
                self.annotators,
                run=run,
                shard_size=shard_size,
                committed=committed,
                workers=workers,
                gpus=gpus,
                threads=threads,
            )
            for row in rows:
                files = {part: row[part] for part in PARTS if row[part]}
                num_documents, *others = map(int, row["rows"])
                collection.commit(row["shard"], files, num_documents=num_documents, rows=[num_documents, *others])
                self.on_commit(row["shard"])

    def _count(self, runs: _Runs, run: int, num_deleted: int) -> MiningSummary:
        """What a run did, from what it has committed."""
        connection = runs.collection.connect()
        directory = str(runs.collection.directory).replace("'", "''")
        own = f"WHERE run = {run:d} AND shard IN (SELECT shard FROM committed)"
        num_documents = connection.execute(
            f"SELECT count(*) FROM read_parquet('{directory}/documents/*.parquet') {own}"
        )
        counted = num_documents.fetchone()[0]
        num_errors = connection.execute(f"SELECT count(*) FROM errors WHERE run = {run:d}").fetchone()[0]
        num_files = sum(len(files) for files in runs.of(run).values())
        return MiningSummary(run, num_files, counted, num_deleted, num_errors)


def estimate(
    annotators: Sequence[Annotator],
    inputs: str | Path | Sequence[str | Path],
    *,
    workers: int,
    format: str | None = None,
    is_recursive: bool = False,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    num_probes: int = 32,
) -> Estimate:
    """What mining would take, from some documents of a few files, without Ray and without writing anything.

    Args:
        annotators: what would be asked.
        inputs: see `mine`.
        workers: how many there would be.
        format: see `mine`.
        is_recursive: see `mine`.
        on_problem: called with each file of a folder that is left out.
        num_probes: documents that are annotated for the speed.

    Raises:
        DataError: there is no document to be read in the files that are looked at.
    """
    names = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    listed = list_sources(names, format, on_problem, is_recursive)
    local = [source for source in listed if not is_url(source.path)] or listed
    step = max(1, len(local) // _SAMPLED_FILES)
    sampled = (
        local if sum(source.size for source in local) <= _SAMPLED_BYTES else local[step // 2 :: step][:_SAMPLED_FILES]
    )
    from biogpt.mining.sources import local_copy

    probes: list[Document] = []
    num_read, num_bytes = 0, 0
    for source in sampled:
        num_bytes += source.size
        with local_copy(source.path) as path:
            try:
                for record in read_records(path, source.format):
                    if record.document is not None:
                        num_read += 1
                        if len(probes) < num_probes * len(sampled) and num_read % 7 == 1:
                            probes.append(record.document)
            except DataError:
                continue
    if not num_read:
        raise DataError(f"No document could be read in {len(sampled)} files. Expected at least one.")
    is_exact = len(sampled) == len(listed)
    total_bytes = sum(source.size for source in listed)
    num_documents = num_read if is_exact else round(num_read * total_bytes / max(1, num_bytes))
    chosen = probes[:: max(1, len(probes) // num_probes)][:num_probes]
    winners = [Winner(pmid_of(one) or one.id, 1, number, "", 1, one) for number, one in enumerate(chosen)]
    miner = Miner(annotators, threads=1)
    started = time.perf_counter()
    rows = miner.annotate(Shard("estimate", 1, winners, frozenset()))
    speed = len(winners) / max(1e-9, time.perf_counter() - started)
    size = bytes_per_document(rows)
    hours = num_documents / speed / workers / 3600
    return Estimate(len(listed), num_documents, is_exact, hours, size * num_documents, speed)


_SAMPLED_FILES = 3
_SAMPLED_BYTES = 64 << 20
