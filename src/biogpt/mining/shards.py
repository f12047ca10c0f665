"""Shards: some documents of a unit in, the Parquet files of a shard out. What runs in a worker, with or without Ray.

An annotator is what is asked about each document: a model, or in tests something simpler. A document that an annotator
fails on is put into `errors`; where it fails on all of several documents the fault is not theirs, and it is raised.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from biogpt.documents import Document, Entity, Extraction
from biogpt.documents.links import pmid_of
from biogpt.errors import BioGptError, DataError
from biogpt.extraction.linking import load_linker
from biogpt.extraction.task_models import TaskModel
from biogpt.mining.dataset import TABLES, to_parquet
from biogpt.mining.sources import SourceFile, Winner, read_winners

Annotate = Callable[[Sequence[Document]], Iterable[Document]]
"""Documents -> the same with their extraction, in their order."""


class Annotator(Protocol):
    """What is asked about each document. It is sent to the workers, and loads there."""

    @property
    def task(self) -> str:
        """What its rows are marked with."""
        ...

    def describe(self) -> dict[str, Any]:
        """What `run.json` says of it: everything that decides which rows it makes."""
        ...

    def load(self) -> Annotate:
        """Make ready to annotate."""
        ...


@dataclass(frozen=True)
class ModelAnnotator:
    """A fine-tuned model."""

    found: TaskModel
    device: str = "auto"
    batch_size: int = 8
    threshold: float | None = None
    constrained: bool = True
    lexicon: str | None = None
    """The name or file of the lexicon that gives names their identifiers; each worker reads it."""
    dtype: str = "auto"

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.found.task.name

    def describe(self) -> dict[str, Any]:
        """The model with the digest of its files, and how it is asked."""
        from biogpt.mining.sources import digest_of

        return {
            "task": self.task,
            "model": self.found.label,
            "sha256": digest_of(self.found.path),
            "threshold": self.threshold if self.threshold is not None else self.found.task.inference.threshold,
            "constrained": self.constrained,
            "dtype": self.dtype,
            "lexicon": load_linker(self.lexicon).lexicon.digest if self.lexicon else None,
        }

    def load(self) -> Annotate:
        """Load the model."""
        from biogpt.extraction.extractor import Extractor

        extractor = Extractor.of(
            self.found,
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            threshold=self.threshold,
            constrained=self.constrained,
            linker=load_linker(self.lexicon) if self.lexicon else None,
        )
        group_size = extractor.predictor.group_size

        def annotate(documents: Sequence[Document]) -> Iterator[Document]:
            for first in range(0, len(documents), group_size):
                group = documents[first : first + group_size]
                yield from extractor.extract_documents([(document, {}) for document in group])

        return annotate


@dataclass(frozen=True)
class Shard:
    """Documents that are committed together."""

    name: str
    run: int
    winners: list[Winner]
    updates: frozenset[str]
    """The ids of those that replace older rows."""
    errors: tuple[dict[str, Any], ...] = ()


def read_shards(
    unit: Mapping[str, Any], run: int, shard_size: int, committed: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """Read what is to be mined of a unit, shard by shard.

    Args:
        unit: `number`, `files` and `winners` of a `UnitPlan`.
        run: the number of the run.
        shard_size: documents of a shard.
        committed: the names of the shards that are there already; they are left out.

    Returns:
        An iterator over `{"shard": name, "content": bytes}`.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(unit["winners"]))
    rows = list(zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True))
    names = [shard_name(run, unit["number"], first // shard_size) for first in range(0, len(rows), shard_size)]
    files = {entry["number"]: SourceFile(**entry) for entry in unit["files"]}
    if all(name in committed for name in names):
        return
    position = 0  # in rows; documents come in their order
    found: list[Winner] = []
    errors: list[dict[str, Any]] = []
    updates = {row[0] for row in rows if row[4]}

    def take(end: int) -> Iterator[dict[str, Any]]:
        """The shards that are whole when rows up to `end` have been read."""
        nonlocal position, found, errors
        while position < len(rows) and min(position + shard_size, len(rows)) <= end:
            name = names[position // shard_size]
            if name not in committed:
                own = frozenset(winner.document_id for winner in found) & updates
                yield {"shard": name, "content": pickle.dumps(Shard(name, run, found, own, tuple(errors)))}
            found, errors = [], []
            position += shard_size

    end = 0
    for number, source in sorted(files.items()):
        own = [row for row in rows if row[2] == number]
        wanted = {row[3]: (row[0], row[1]) for row in own}
        order = {row[3]: place for place, row in enumerate(own)}
        try:
            for winner in read_winners(source, wanted):
                place = end + order[winner.ordinal]
                yield from take(place)
                found.append(winner)
        except (BioGptError, OSError) as error:
            errors.append({"source": source.source, "place": source.source, "stage": "read", "reason": str(error)})
        end += len(own)
        yield from take(end)


_COLUMNS = ("document_id", "version", "file", "ordinal", "is_update")


def shard_name(run: int, unit: int, slice_number: int) -> str:
    """The name of a shard."""
    return f"{run:04d}-{unit:05d}-{slice_number:04d}"


class Miner:
    """Asks annotators about the documents of shards.

    Args:
        annotators: what is asked.
        threads: PyTorch's, where an annotator uses it; 0 leaves them as they are.
    """

    def __init__(self, annotators: Sequence[Annotator], threads: int = 0) -> None:
        if threads and any(isinstance(annotator, ModelAnnotator) for annotator in annotators):
            import torch

            torch.set_num_threads(threads)
        self.annotators: list[tuple[str, Annotate]] = [(annotator.task, annotator.load()) for annotator in annotators]

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The Parquet files of a shard of `read_shards`, by part; a part without rows is empty."""
        shard: Shard = pickle.loads(row["content"])  # made by read_shards, of the same run
        rows = self.annotate(shard)
        made = {part: to_parquet(part, content) if content else b"" for part, content in rows.items()}
        return {
            "shard": shard.name,
            "rows": [len(rows[table]) for table in TABLES],
            "errors": made.pop("errors"),
            **made,
        }

    def annotate(self, shard: Shard) -> dict[str, list[dict[str, Any]]]:
        """The rows of a shard, by part."""
        common = {"shard": shard.name, "run": shard.run}
        rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
        rows["errors"] = [{**common, **error} for error in shard.errors]
        warnings: list[list[str]] = [[] for _ in shard.winners]
        for task, annotate in self.annotators:
            documents = [winner.document for winner in shard.winners]
            for number, result in enumerate(_annotate_all(annotate, documents)):
                winner = shard.winners[number]
                if isinstance(result, Exception):
                    reason = f"{type(result).__name__}: {result}"
                    warnings[number].append(f"{task} failed: {reason}")
                    where = {"source": winner.source, "place": winner.document.id, "document_id": winner.document_id}
                    rows["errors"].append({**common, **where, "stage": "extract", "task": task, "reason": reason})
                    continue
                head = {"document_id": winner.document_id, **common, "task": task}
                for table, made in rows_of_document(result).items():
                    rows[table] += [{**head, **one} for one in made]
                if result.extraction is not None:
                    warnings[number] += result.extraction.warnings
        for winner, told in zip(shard.winners, warnings, strict=True):
            rows["documents"].append({**common, **_document_row(winner), "warnings": told})
        rows["tombstones"] = [
            {"document_id": identity, **common, "reason": "newer version"} for identity in sorted(shard.updates)
        ]
        return rows


def _annotate_all(annotate: Annotate, documents: Sequence[Document]) -> list[Document | Exception]:
    """Each document with its extraction, or what went wrong with it."""
    try:
        return list(annotate(documents))
    except Exception as error:
        if len(documents) == 1:
            return [error]
    made: list[Document | Exception] = []
    for document in documents:
        try:
            made += annotate([document])
        except Exception as error:
            made.append(error)
    failed = [one for one in made if isinstance(one, Exception)]
    if len(failed) == len(made) and failed:
        raise DataError(f"All {len(made)} documents of a shard failed. The last: {failed[-1]!r}") from failed[-1]
    return made


def _document_row(winner: Winner) -> dict[str, Any]:
    document = winner.document
    row: dict[str, Any] = {
        "document_id": winner.document_id,
        "id": document.id,
        "pmid": pmid_of(document) or None,
        "version": winner.version,
        "source": winner.source,
        "file": winner.file,
        "ordinal": winner.ordinal,
        "title": document.title or None,
        "text": document.text,
    }
    metadata = document.metadata
    for name in ("year", "journal", "doi", "pmcid", "language", "mesh_headings", "publication_types", "is_retracted"):
        value = getattr(metadata, name, None)
        row[name] = list(value) if isinstance(value, tuple) else value if value != "" else None
    return row


def rows_of_document(document: Document) -> dict[str, list[dict[str, Any]]]:
    """What was extracted from a document as rows, by table.

    The arguments of relations are entities, too: those of one type with the same identifier, or else the same name, are
    one, with all their mentions and the best score of their relations. What stands for itself is not repeated.
    """
    extraction = document.extraction
    if extraction is None:
        return {}
    entities: list[dict[str, Any]] = []
    for number, entity in enumerate([*extraction.entities, *_arguments_of(extraction)]):
        row = {"entity": number, **_named(entity), "score": entity.score}
        for start, end in entity.spans or [(None, None)]:
            mention = entity.name if start is None else document.text[start:end]
            entities.append({**row, "mention": mention, "start": start, "end": end})
    relations: list[dict[str, Any]] = []
    for number, relation in enumerate(extraction.relations):
        arguments = [
            {"role": role, **_named(entity), "spans": [{"start": start, "end": end} for start, end in entity.spans]}
            for role, entity in relation.roles.items()
        ]
        flat = {
            f"{end}_{name}": argument[name]
            for end, argument in zip(("head", "tail"), arguments, strict=False)
            for name in ("role", "type", "name", "identifier")
        }
        values = list(relation.values.items())
        row = {"relation": number, "type": relation.type, **flat, "arguments": arguments, "values": values}
        relations.append({**row, "score": relation.score})
    labels = [{"slot": label.slot, "value": label.value, "score": label.score} for label in extraction.labels]
    return {"entities": entities, "relations": relations, "labels": labels}


def _arguments_of(extraction: Extraction) -> list[Entity]:
    """The entities that only stand in relations, each once."""
    alone = {(entity.type, place) for entity in extraction.entities for place in entity.spans or [entity.name.lower()]}
    found: dict[tuple[str, str], Entity] = {}
    for relation in extraction.relations:
        for entity in relation.roles.values():
            key = (entity.type, entity.identifier or entity.name.lower())
            known = found.get(key, entity)
            score = relation.score if entity.score is None else entity.score
            scores = [one for one in (score, known.score) if one is not None]
            spans = tuple(sorted({*known.spans, *entity.spans}))
            found[key] = replace(known, spans=spans, score=max(scores, default=None))
    others = []
    for entity in found.values():
        spans = tuple(span for span in entity.spans if (entity.type, span) not in alone)
        if spans or (not entity.spans and (entity.type, entity.name.lower()) not in alone):
            others.append(replace(entity, spans=spans))
    return others


def _named(entity: Entity) -> dict[str, Any]:
    return {"type": entity.type, "name": entity.name, "identifier": entity.identifier or None}


def bytes_per_document(rows: Mapping[str, Sequence[Any]]) -> int:
    """Bytes that a document takes as Parquet, from the rows of some, by part."""
    size = sum(len(to_parquet(part, content)) for part, content in rows.items())
    return size // max(1, len(rows["documents"]))
