"""Sources: the files of a collection, the order in which their records count, and an index of their records.

A unit is a file, or several small ones, that one task reads. `index_unit` says which records a unit has; `read_winners`
reads those of them that are to be mined. Both count a file's records in the same way: what a reader returns, and what
it reports as a problem, each takes the next ordinal. Local files and, through fsspec, any URL. Imports no torch.
"""

import contextlib
import fnmatch
import hashlib
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from biogpt.documents import Document, Problem, detect_format, read_documents
from biogpt.documents import pubmed as pubmed_xml
from biogpt.documents.links import pmid_of
from biogpt.documents.pubmed_versions import CitationVersion, read_versions
from biogpt.errors import BioGptError, DataError, InputError
from biogpt.files import Reading, open_stored, reporting_damage, unpack
from biogpt.mining.dataset import to_parquet
from biogpt.mining.inputs import STDIN, find_inputs

UNIT_BYTES = 16 << 20
"""Files are put together until they have so many bytes."""
MAX_UNIT_FILES = 500

_NLM_NAME = re.compile(r"(?:pubmed|medline)(\d\d)n(\d{4,})\b", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a collection, or a directory of brat."""

    number: int
    """Counted over all runs, from 1."""
    source: str
    """What its records name it by: its path or URL when it was first seen."""
    path: str
    """Where it lies now."""
    size: int
    modified: int
    """When it was last changed, in nanoseconds; 0 where that is not known."""
    format: str | None
    run: int
    digest: str = ""
    """SHA-256 of its bytes, once it has been read."""

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts files by which one's records are newer.

        The National Library of Medicine numbers its files: year and number count, whatever the order in which they are
        given. Files with other names come behind them, by the run that read them first and then by name.
        """
        name = PurePosixPath(self.source).name
        found = _NLM_NAME.match(name)
        if found is not None:
            return (0, int(found[1]), int(found[2]), self.run, self.number)
        return (1, self.run, *_natural(name), self.number)

    def to_dict(self) -> dict[str, Any]:
        """The file as a plain object."""
        return asdict(self)


def _natural(name: str) -> tuple[Any, ...]:
    parts = re.split(r"(\d+)", name)
    return (tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts),)


def is_url(name: str) -> bool:
    """Whether an input is read through fsspec."""
    return _URL.match(name) is not None


def list_sources(
    names: Sequence[str | Path],
    format: str | None,
    on_problem: Callable[[Problem], None],
    is_recursive: bool = False,
) -> list[SourceFile]:
    """The files that names stand for, by name, without numbers yet.

    Args:
        names: files and directories, or URLs such as `s3://bucket/pubmed/` and `s3://bucket/pubmed/*.xml.gz`.
        format: of all of them; by default each one's name and content tell.
        on_problem: called with each file of a directory that is left out.
        is_recursive: read the folders in a folder, too.

    Raises:
        InputError: there is no such format, or the package that reads a URL is not installed.
        DataError: a file cannot be opened, is of no known format, or there is none.
    """
    found: list[SourceFile] = []
    for name in map(str, names):
        if name == STDIN:
            raise InputError(
                "Got '-', expected files or folders: a collection is read twice, standard input only once."
            )
        if is_url(name):
            found += _list_remote(name, format)
            continue
        for source in find_inputs([name], BytesIO(), format, on_problem, is_recursive=is_recursive):
            path = Path(source.path).resolve()
            found.append(SourceFile(0, str(path), str(path), *_state_of(path), source.format, 0))
    unique = {source.path: source for source in found}
    return [unique[path] for path in sorted(unique)]


def _state_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change, of a directory those of its files."""
    if not path.is_dir():
        state = path.stat()
        return state.st_size, state.st_mtime_ns
    states = [file.stat() for file in path.iterdir() if file.is_file()]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        scheme = url.partition("://")[0]
        package = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, "fsspec")
        raise InputError(f"Cannot read {scheme}:// ({error}). Install what reads it: pip install {package}.") from error


def _list_remote(url: str, format: str | None) -> list[SourceFile]:
    filesystem, path = _filesystem(url)
    try:
        if any(sign in path for sign in "*?["):
            parent, _, pattern = path.rpartition("/")
            entries = [one for one in filesystem.ls(parent, detail=True) if fnmatch.fnmatch(_name_of(one), pattern)]
        elif filesystem.isdir(path):
            entries = filesystem.ls(path, detail=True)
        else:
            entries = [filesystem.info(path)]
    except OSError as error:
        raise DataError(f"Cannot read {url}: {error.strerror or error}. Check the address and the access.") from error
    scheme = url.partition("://")[0]
    files = [entry for entry in entries if entry["type"] == "file" and not _name_of(entry).startswith((".", "_"))]
    if not files:
        raise DataError(f"{url} has no file. Expected files of literature; check the address.")
    sources = []
    for entry in files:
        address = f"{scheme}://{str(entry['name']).removeprefix(f'{scheme}://')}"
        sources.append(SourceFile(0, address, address, int(entry["size"] or 0), 0, format, 0))
    return sources


def _name_of(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def find_new(
    listed: Sequence[SourceFile], known: Sequence[SourceFile], run: int
) -> tuple[list[SourceFile], dict[int, str]]:
    """Those of the listed files that no run has read, numbered; and by the number of a known file, where it lies now.

    A known file is told by its path, size and time of change; where only the time is another one, or the file was
    moved, by its digest.
    """
    by_path = {source.path: source for source in known}
    lost: dict[tuple[str, int], list[SourceFile]] = {}
    for source in known:
        if not is_url(source.path) and not Path(source.path).exists():
            lost.setdefault((Path(source.path).name, source.size), []).append(source)
    number = max((source.number for source in known), default=0)
    fresh: list[SourceFile] = []
    paths: dict[int, str] = {}
    for source in listed:
        before = by_path.get(source.path)
        candidates = [before] if before else lost.get((Path(source.path).name, source.size), [])
        same = next((one for one in candidates if _is_same(source, one)), None)
        if same is not None:
            paths[same.number] = source.path
            continue
        number += 1
        fresh.append(replace(source, number=number, run=run))
    return fresh, paths


def _is_same(source: SourceFile, known: SourceFile) -> bool:
    if source.size != known.size:
        return False
    if source.path == known.path and source.modified == known.modified:
        return True
    return bool(known.digest) and not is_url(source.path) and digest_of(Path(source.path)) == known.digest


def cut_units(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """Files, newest last, put together so that no task is too small."""
    units: list[list[SourceFile]] = []
    size = UNIT_BYTES
    for source in files:
        if size >= UNIT_BYTES or len(units[-1]) >= MAX_UNIT_FILES:
            units.append([])
            size = 0
        units[-1].append(source)
        size += source.size
    return units


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes; of a directory, of its files by name."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.name.encode())
        with open_stored(file) as stored:
            while block := stored.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """A path to read from: the file itself, or a copy of what lies at a URL, for as long as the block takes."""
    if not is_url(path):
        yield Path(path)
        return
    filesystem, remote = _filesystem(path)
    with tempfile.TemporaryDirectory(prefix="biogpt-mine-") as directory:
        copy = Path(directory) / PurePosixPath(remote).name
        filesystem.get_file(remote, str(copy))
        yield copy


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: a document, or why there is none."""

    ordinal: int
    document: Document | None
    problem: Problem | None = None


def read_records(path: Path, format: str | None) -> Iterator[Record]:
    """The records of a file, also those that cannot be used, counted from 0.

    Raises:
        DataError: (while iterating) the file is damaged as a whole; what came before has been returned by then.
    """
    problems: deque[Problem] = deque()
    ordinal = 0
    documents = read_documents(path, problems.append, format)
    damage: DataError | None = None
    while True:
        try:
            document = next(documents, None)
        except DataError as error:
            document, damage = None, error
        while problems:
            yield Record(ordinal, None, problems.popleft())
            ordinal += 1
        if document is None:
            break
        yield Record(ordinal, document)
        ordinal += 1
    if damage is not None:
        raise damage


def index_unit(files: Sequence[dict[str, Any]], shard: str, run: int) -> dict[str, Any]:
    """What records the files of a unit have.

    Args:
        files: of `SourceFile.to_dict`.
        shard: the name that the index is committed under.
        run: the number of the run.

    Returns:
        `index` and `errors`, Parquet files, and `sources`: the files with their digests, and how many records each has.
    """
    rows: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    for entry in files:
        source = SourceFile(**entry)
        common = {"shard": shard, "run": run, "source": source.source, "stage": "read"}
        num_before = len(rows)
        try:
            with local_copy(source.path) as path:
                digest = digest_of(path)
                format = source.format or detect_format(path)
                sources.append({**entry, "digest": digest, "format": format})
                for row, problem in _index_file(path, format, source):
                    rows.append(row)
                    if problem is not None:
                        place = problem.place.replace(str(path), source.source)
                        identity = row["document_id"] or None
                        errors.append({**common, "place": place, "document_id": identity, "reason": problem.message})
        except (BioGptError, OSError) as error:
            errors.append({**common, "place": source.source, "reason": f"the rest was not read: {error}"})
            if not sources or sources[-1]["number"] != source.number:
                sources.append({**entry, "digest": "", "format": source.format})
        sources[-1]["num_records"] = len(rows) - num_before
    files_made = {"index": to_parquet("index", rows)}
    if errors:
        files_made["errors"] = to_parquet("errors", errors)
    return {"shard": shard, "sources": sources, "num_errors": len(errors), **files_made}


def _index_file(path: Path, format: str, source: SourceFile) -> Iterator[tuple[dict[str, Any], Problem | None]]:
    """A row of the index for each record and deletion of a file."""
    is_pubmed = format == pubmed_xml.NAME
    versions = _VersionReader(path) if is_pubmed else None
    seen: Counter[str] = Counter()
    try:
        for record in read_records(path, format):
            version = versions.next_citation() if versions is not None else None
            if version is not None and version.pmid:
                identity = version.pmid
            elif record.document is not None:
                identity = _identify(record.document, source, seen)
            else:
                identity = ""
            row = {
                "document_id": identity,
                "version": version.version if version is not None else 1,
                "file": source.number,
                "ordinal": record.ordinal,
                "is_deletion": False,
                "is_readable": record.document is not None,
            }
            yield row, record.problem
    finally:
        if versions is not None:
            versions.read_to_end()
    if versions is not None:
        for deletion in versions.deletions:
            row = {"document_id": deletion.pmid, "version": deletion.version, "file": source.number, "ordinal": None}
            yield {**row, "is_deletion": True, "is_readable": False}, None


class _VersionReader:
    """Reads a file's citations beside the reader of documents, and puts deletions aside."""

    def __init__(self, path: Path) -> None:
        self.deletions: list[CitationVersion] = []
        self._versions = self._read(path)

    def _read(self, path: Path) -> Iterator[CitationVersion]:
        with contextlib.suppress(DataError), open_stored(path) as stored, reporting_damage(path):
            yield from read_versions(unpack(path, stored), Reading(path, lambda problem: None))

    def next_citation(self) -> CitationVersion | None:
        for version in self._versions:
            if not version.is_deletion:
                return version
            self.deletions.append(version)
        return None

    def read_to_end(self) -> None:
        while self.next_citation() is not None:
            pass


def _identify(document: Document, source: SourceFile, seen: Counter[str]) -> str:
    """The id of a document in the collection: its PMID, or its id behind the name of its file."""
    pmid = pmid_of(document)
    if pmid:
        return pmid
    seen[document.id] += 1
    again = f"~{seen[document.id]}" if seen[document.id] > 1 else ""
    return f"{source.source}#{document.id}{again}"


@dataclass(frozen=True, slots=True)
class Winner:
    """A record that is to be mined, with what the index knows of it."""

    document_id: str
    version: int
    ordinal: int
    source: str
    file: int
    document: Document


def read_winners(source: SourceFile, wanted: Mapping[int, tuple[str, int]]) -> Iterator[Winner]:
    """The documents of a file that are to be mined.

    Args:
        source: the file.
        wanted: by the ordinal of a record, the document's id in the collection and its version.

    Raises:
        DataError: the file cannot be read, or is not the one that was indexed.
    """
    last = max(wanted, default=-1)
    with local_copy(source.path) as path:
        if not is_url(source.path) and (not path.exists() or _state_of(path)[0] != source.size):
            raise DataError(f"{source.path} was changed or removed since it was indexed. Put it back.")
        with contextlib.suppress(DataError):  # where the file is damaged: the index has told it
            for record in read_records(path, source.format):
                if record.ordinal > last:
                    return
                if record.document is not None and record.ordinal in wanted:
                    identity, version = wanted[record.ordinal]
                    document = replace(record.document, native=None, collection=None)
                    yield Winner(identity, version, record.ordinal, source.source, source.number, document)
