"""Prediction over files: records in, the same records with what a model found in them out, in their order.

Runs in memory that does not grow with the files. Results are written group by group; a run that was killed goes on
behind its last whole group, and ends with the same bytes as an unbroken one. Records that cannot be used are told to
the caller, and the run goes on. Knows neither what a model is made of nor how a format looks.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import biogpt
from biogpt.documents import OUTPUT_FORMATS, Document, Problem, Writer, open_writer, output_format
from biogpt.documents.html import Heading, PageWriter
from biogpt.documents.losses import Losses, losses_of_reading, losses_of_writing
from biogpt.documents.offsets import fix_offsets
from biogpt.documents.registry import ENDINGS
from biogpt.documents.tables import item_columns
from biogpt.documents.types import choose_passages, items_of
from biogpt.errors import DataError, InputError, suggest
from biogpt.extraction.conversion import Source
from biogpt.extraction.linking import Linker
from biogpt.extraction.task_models import TaskModel
from biogpt.mining.inputs import Input, prepare_inputs, read_input
from biogpt.mining.side_by_side import extract_slices
from biogpt.run_state import RunState
from biogpt.tasks.task import Task

if TYPE_CHECKING:
    from biogpt.extraction.extractor import Extractor
    from biogpt.extraction.joint import JointExtractor

DEFAULT_FORMAT = "jsonl"


@dataclass
class Summary:
    """What became of a run, over all calls that it took."""

    num_records: int = 0
    """Records that the output holds."""
    num_items: int = 0
    """What was found in them."""
    num_with_problems: int = 0
    """Records in which an answer could not be read in full."""
    num_resumed: int = 0
    """Records that an earlier, killed call of the same run had written."""
    num_skipped: int = 0
    """Records, and files of a directory, that could not be used."""
    damaged: list[str] = field(default_factory=list)
    """Files that could not be read to their end, each with its reason."""
    losses: Losses = field(default_factory=Losses)
    """What was not read of the records, and what the output's format cannot hold."""

    def __str__(self) -> str:
        parts = [_count(self.num_records, "document"), _count(self.num_items, "item")]
        if self.num_resumed:
            parts[0] += f" ({self.num_resumed} of them from before)"
        if self.num_with_problems:
            parts.append(f"{_count(self.num_with_problems, 'answer')} with problems")
        if self.num_skipped:
            parts.append(f"{self.num_skipped} skipped")
        return ", ".join(parts)

    def count(self, record: Document, format: str) -> None:
        """Count a record that is written in a format."""
        self.losses.add(losses_of_reading(record))
        self.losses.add(losses_of_writing(record, format))
        self.num_records += 1
        if record.extraction is not None:
            self.num_items += len(items_of(record))
            self.num_with_problems += bool(record.extraction.warnings)

    def check(self) -> None:
        """Raise where the output lacks more than single records.

        Raises:
            DataError: no record could be used, or a file could not be read to its end.
        """
        if not self.num_records:
            if not self.num_skipped:
                raise DataError("The input has no document, expected at least one. Check that it is not empty.")
            raise DataError(
                f"No document could be read, {self.num_skipped} were skipped. Expected at least one; the reasons are "
                "above."
            )
        if self.damaged:
            raise DataError(
                f"{len(self.damaged)} files could not be read to their end; what came before is written. The first: "
                f"{self.damaged[0]}"
            )

    def take_up(self, run_state: RunState) -> None:
        """Begin with what earlier calls have counted."""
        self.num_records = self.num_resumed = run_state.num_records
        self.num_items = run_state.facts.get("num_items", 0)
        self.num_with_problems = run_state.facts.get("num_with_problems", 0)
        self.losses = Losses(run_state.facts.get("losses"))


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Target:
    """Where results go."""

    format: str
    path: Path | None = None
    """A file, or brat's directory; without it, `stream`."""
    stream: BinaryIO | None = None
    page_path: Path | None = None
    """Where to make a web page of the results, too."""


def choose_format(task: Task | Sequence[Task], wanted: str | None, path: Path | None, inputs: Sequence[Input]) -> str:
    """The format of the output: the wanted one, or what the output's name says, or the inputs' own, or JSON lines.

    Args:
        task: what is looked for; or several tasks, whose results go into one output.
        wanted: a format's name.
        path: the output.
        inputs: from `find_inputs`.

    Raises:
        InputError: no such format, one that cannot say what a task finds, or an output that is to be packed.
    """
    tasks = [task] if isinstance(task, Task) else task
    if wanted is not None and wanted not in OUTPUT_FORMATS:
        known = ", ".join(OUTPUT_FORMATS)
        raise InputError(f"Unknown format '{wanted}'.{suggest(wanted, OUTPUT_FORMATS)} Expected one of {known}.")
    if path is not None and path.suffix in (".gz", ".zip"):
        message = f"results are written unpacked. Leave out {path.suffix}; pack the file later."
        raise InputError(f"{path} ends in {path.suffix}, but {message}")
    if wanted is None and path is not None:
        _check_ending(path)
    needed = {task.kind.extracts for task in tasks}
    own = {source.format for source in inputs}
    guessed = output_format(path) if path else None
    if guessed is None and len(own) == 1 and needed <= OUTPUT_FORMATS.get(next(iter(own)), frozenset()):
        guessed = next(iter(own))
    format = wanted or guessed or DEFAULT_FORMAT
    for one in tasks:
        if one.kind.extracts not in OUTPUT_FORMATS[format]:
            able = ", ".join(name for name, parts in OUTPUT_FORMATS.items() if needed <= parts)
            raise InputError(
                f"{format} cannot say the {one.kind.extracts} that the task '{one.name}' finds. Expected one of {able}."
            )
    return format


def _check_ending(path: Path) -> None:
    """Raise where the name of an output asks for something that is not written."""
    ending = path.suffix.lower()
    if ending in (".html", ".htm"):
        raise InputError(f"{path} is a web page. Expected a file of data; give the page with --html {path}.")
    is_name = re.fullmatch(r"\.[a-z][a-z0-9]{1,8}", ending) is not None  # and no number of a version
    if is_name and output_format(path) is None and not path.is_dir():
        endings = ", ".join(ending for ending, name in ENDINGS.items() if name in OUTPUT_FORMATS)
        known = ", ".join(OUTPUT_FORMATS)
        raise InputError(
            f"{path} ends in {ending}, which is not written. Expected {endings}, or a format beside the name: --format "
            f"with one of {known}."
        )


def predict_files(
    found: TaskModel | Sequence[TaskModel],
    inputs: Sequence[Input],
    target: Target,
    *,
    device: str = "auto",
    dtype: str = "auto",
    constrained: bool = True,
    threshold: float | None = None,
    batch_size: int = 8,
    linker: Linker | None = None,
    passages: str | Sequence[str] | None = None,
    is_fixing_offsets: bool = False,
    workers: int | None = 1,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    on_progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Predict what stands in files, and write them with it.

    Args:
        found: the model; or several, for different tasks: the output then has what all of them find.
        inputs: from `find_inputs`.
        target: where results go. With a path the run can be taken up again by the same call.
        device: where to run, in PyTorch's terms.
        dtype: the type to compute in; see `Engine.from_pretrained`.
        constrained: constrain what is generated to the task's template.
        threshold: probability threshold: what has a lower score is left out; by default the model's own.
        batch_size: texts that the model reads at once. Results are written after a few such batches.
        linker: finds identifiers for the names of entities.
        passages: what is read of each document: `"all"`, or types such as `("title", "abstract")`; see
            `biogpt.documents.types.choose_passages`. By default title and abstract, or all text where there is no
            abstract.
        is_fixing_offsets: put annotations whose offsets are counted in another way where their text stands; see
            `biogpt.documents.offsets.fix_offsets`.
        workers: how many processes extract side by side where there are many documents; None: one for each core, if the
            model is small and runs on the CPU. With more than 1 the caller's script must not do anything when it is
            imported: Python's `multiprocessing` starts processes that import it.
        on_problem: called with each record that is skipped, and each file that is damaged.
        on_progress: called after each group.

    Raises:
        InputError: the output is there already and not of this run, or begun with other settings; the threshold is no
            probability; or there is no such device.
        DataError: a table lacks columns, the output cannot be written, or the inputs are others than before.
    """
    models = [found] if isinstance(found, TaskModel) else list(found)
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"Got threshold {threshold}, expected a probability from 0 to 1.")
    inputs = _prepare_inputs(models, inputs)
    _check_target(inputs, target)
    settings = {
        "dtype": dtype,
        "constrained": constrained,
        "threshold": threshold,
        "batch_size": batch_size,
        "passages": list(passages) if isinstance(passages, tuple) else passages,
        "is_fixing_offsets": is_fixing_offsets,
        "lexicon": linker.lexicon.digest if linker else None,
    }
    run_state = _open_run_state(models, inputs, target, settings)
    summary = Summary()

    def report(problem: Problem) -> None:
        summary.num_skipped += 1
        on_problem(problem)

    def read_all() -> Iterator[Source]:
        return _prepare(_read_all(inputs, summary, report), passages, is_fixing_offsets, report)

    if run_state is not None and run_state.is_complete:
        summary.take_up(run_state)
        _check_unchanged(read_all(), run_state)
        return summary

    if target.page_path is not None:
        _make_parent(target.page_path)
    load = partial(
        _load_extractor,
        models,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        threshold=threshold,
        constrained=constrained,
        linker=linker,
    )
    extractor = load()
    if run_state is not None:
        run_state.begin()
        summary.take_up(run_state)
    with contextlib.ExitStack() as stack:
        outputs = _open_outputs(stack, models, target, run_state)
        records = read_all()
        seen = _skip(records, run_state)
        for group, made in _extract_groups(extractor, load, records, workers):
            for record in made:
                summary.count(record, target.format)
                for output in outputs:
                    output.write(record)
            for output in outputs:
                output.flush()
            if run_state is not None:
                _note_down(seen, group)
                positions = [output.position for output in outputs]
                run_state.commit(
                    summary.num_records,
                    positions,
                    digest=seen.hexdigest(),
                    num_items=summary.num_items,
                    num_with_problems=summary.num_with_problems,
                    losses=summary.losses.to_facts(),
                )
            on_progress(summary)
    if run_state is not None:
        run_state.finish()
    return summary


def _load_extractor(models: Sequence[TaskModel], **options: Any) -> "Extractor | JointExtractor":
    """What asks one model or several; see `Extractor.of`."""
    from biogpt.extraction.extractor import Extractor  # torch, which takes a while: what was typed is checked by now
    from biogpt.extraction.joint import JointExtractor

    extractors = [Extractor.of(model, **options) for model in models]
    return extractors[0] if len(extractors) == 1 else JointExtractor(extractors)


def _extract_groups(
    extractor: "Extractor | JointExtractor",
    load: Callable[[], "Extractor | JointExtractor"],
    records: Iterator[Source],
    workers: int | None,
) -> Iterator[tuple[Sequence[Source], Iterable[Document]]]:
    """Groups of records, each with its documents and what was extracted from them; see `predict_files`."""
    from biogpt.extraction.joint import JointExtractor

    extractors = extractor.extractors if isinstance(extractor, JointExtractor) else [extractor]
    predictors = [each.predictor for each in extractors]
    num_workers = workers or min(predictor.num_processes for predictor in predictors)
    slice_size = min(predictor.window_size for predictor in predictors)
    # What is predicted together touches the last digits of scores: a run that is taken up again has the same slices.
    group_size = slice_size if num_workers > 1 else min(predictor.group_size for predictor in predictors)
    while group := list(islice(records, group_size)):
        yield group, extractor.extract_documents(group)
        if num_workers > 1:
            slices = iter(lambda: list(islice(records, slice_size)), [])
            yield from extract_slices(extractor, load, slices, num_workers)


def _prepare_inputs(models: Sequence[TaskModel], inputs: Sequence[Input]) -> list[Input]:
    """The inputs as the tasks read them, which have to read the same of each.

    Raises:
        InputError: two tasks read different fields.
    """
    prepared = [prepare_inputs(model.task, inputs) for model in models]
    for model, others in zip(models, prepared, strict=True):
        for one, first in zip(others, prepared[0], strict=True):
            if (one.fields, one.id_field) != (first.fields, first.id_field):
                raise InputError(
                    f"The task '{model.task.name}' reads {_fields_in(one)} of {one.path}, but '{models[0].task.name}' "
                    f"reads {_fields_in(first)}. Expected tasks that read the same; predict them one by one."
                )
    return prepared[0]


def _fields_in(source: Input) -> str:
    return ", ".join(source.fields) or "the text"


def _check_target(inputs: Sequence[Input], target: Target) -> None:
    """Raise where writing would destroy an input, another output, or a page that is there already."""
    outputs = [path.resolve() for path in (target.path, target.page_path) if path is not None]
    if len(set(outputs)) < len(outputs):
        raise InputError(f"Got {target.path} for the output and for the page, expected two files. Name another page.")
    for source in inputs:
        if source.stream is None and source.path.resolve() in outputs:
            raise InputError(f"{source.path} is an input and would be overwritten. Name another output.")
    if target.path is None and target.page_path is not None and target.page_path.exists():
        raise InputError(f"{target.page_path} is there already. Remove it, or name another page.")


def _make_parent(path: Path) -> None:
    """Make the directory of a file, as is done for the output."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make {path.parent}: {error.strerror}. Expected a folder to write to; name another page."
        ) from error


def _check_unchanged(records: Iterator[Source], run_state: RunState) -> None:
    """Raise unless a finished run's documents are those of the input now: names and sizes do not tell."""
    _skip(records, run_state)
    if next(records, None) is not None:
        raise DataError(
            f"{run_state.paths[0]} is finished with {run_state.num_records} documents, but the input has more now. "
            "Name another output to begin anew."
        )


def _open_run_state(
    models: Sequence[TaskModel], inputs: Sequence[Input], target: Target, settings: Mapping[str, Any]
) -> RunState | None:
    """The note on the run, where its output is one that can be taken up again."""
    if target.path is None:
        return None
    settings = {
        **settings,
        "inputs": [source.describe() for source in inputs],
        "task": _one_or_all([model.task.name for model in models]),
        "model": _one_or_all([model.name for model in models]),
        "model_files": _one_or_all([model.fingerprint() for model in models]),
        "format": target.format,
        "page": str(target.page_path) if target.page_path else None,
        "biogpt": biogpt.__version__,
    }
    return RunState([path for path in (target.path, target.page_path) if path], settings)


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _open_outputs(
    stack: contextlib.ExitStack, models: Sequence[TaskModel], target: Target, run_state: RunState | None
) -> list[Writer]:
    """The writers of the run, closed with `stack`."""
    tasks = [model.task for model in models]
    positions = run_state.positions if run_state else [0, 0]
    place = target.path or target.stream
    assert place is not None
    outputs = [open_writer(place, target.format, position=positions[0], columns=_columns(tasks))]
    if target.page_path is not None:
        heading = Heading(
            "; ".join(task.schema.title for task in tasks),
            ", ".join(model.label for model in models),
            "; ".join(filter(None, (model.quality() for model in models))),
            tuple(dict.fromkeys(name for task in tasks for name in task.kind.entity_types(task.schema))),
        )
        outputs.append(PageWriter(target.page_path, positions[-1], heading=heading))
    return [stack.enter_context(output) for output in outputs]


def _columns(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The columns that a table needs for the tasks' items."""
    has_mentions = any(task.kind.extracts == "entities" for task in tasks)
    roles: dict[str, None] = {}
    values: dict[str, None] = {}
    for task in tasks:
        if task.kind.extracts != "entities":
            own = task.kind.role_slots(task.schema)
            roles |= dict.fromkeys(own)
            values |= dict.fromkeys(name for name in task.schema.slots if name not in own)
    return tuple(dict.fromkeys(item_columns(list(roles), list(values), has_mentions)))


def _read_all(inputs: Sequence[Input], summary: Summary, report: Callable[[Problem], None]) -> Iterator[Source]:
    """The records of all inputs; a file that is damaged as a whole is told, and the next one read."""
    for source in inputs:
        try:
            yield from read_input(source, report)
        except DataError as error:
            summary.damaged.append(str(error))
            report(Problem(f"the rest of {source.path}", str(error)))


def _prepare(
    records: Iterator[Source],
    passages: str | Sequence[str] | None,
    is_fixing_offsets: bool,
    report: Callable[[Problem], None],
) -> Iterator[Source]:
    """The records with mended offsets, and with the text that is to be read; those without are told."""
    for record, fields in records:
        document = fix_offsets(record) if is_fixing_offsets else record
        if passages is not None and not fields:
            document = choose_passages(document, passages)
            if not document.text:
                wanted = passages if isinstance(passages, str) else ", ".join(passages)
                report(Problem(f"document {document.id}", f"no text in its passages ({wanted}); expected some."))
                continue
        yield document, fields


def _skip(records: Iterator[Source], run_state: RunState | None) -> "hashlib._Hash":
    """Read past the records that the output has, which must be those of before; a digest of them."""
    seen = hashlib.sha256()
    if run_state is None or not run_state.num_records:
        return seen
    num_read = 0
    for asked in islice(records, run_state.num_records):
        _note_down(seen, [asked])
        num_read += 1
    if num_read < run_state.num_records or seen.hexdigest() != run_state.facts.get("digest"):
        raise DataError(
            f"{run_state.paths[0]} was begun with other documents: its first {run_state.num_records} are not those of "
            "the input now. Give the same input to go on, or another name to begin anew."
        )
    return seen


def _note_down(seen: "hashlib._Hash", group: Iterable[Source]) -> None:
    for record, _ in group:
        seen.update(f"{record.id}\n{record.text}\n".encode(errors="surrogatepass"))
