"""The stages of preparing a corpus: read, select, learn or take a vocabulary, encode.

Each stage leaves its results as files in the work directory (or, the last, in the corpus), under their names only once
they are complete; what is there is not done again. Documents are read one at a time and stored as lines; all later
stages know them by the place of their line. Knows nothing of recipes, and never imports torch.

What is in the work directory:

    source-00000.texts      the documents of a source, white space reduced, one JSON object a line
    source-00000.rows       `_ROW` of each
    source-00000.bands      `duplicates.band_hashes` of each
    source-00000.json       counts and problems; its presence means that the source is read
    selection.rows, .json   `_SELECTED` of the documents that stay, in their final order; counts
    words-00000.json        how often each word occurs in one run of documents
    tokenizer/              the vocabulary
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from biogpt.documents import TEXT_FIELDS, Article, Problem, read_articles
from biogpt.errors import DataError
from biogpt.files import read_json, write_json, writing_atomically
from biogpt.text import bpe, moses
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.corpus import duplicates
from biogpt.training.corpus.jobs import JobBoard, Tick

logger: logging.Logger = logging.getLogger(__name__)

END_ID = 2
"""The id of `</s>`, which begins each document of the stream."""

UNKNOWN_ID = 3

VOCABULARY_FILES = (bpe.VOCABULARY_FILE, bpe.MERGES_FILE)

# One row per document that was read, beside its text.
_ROW = np.dtype(
    [
        ("fingerprint", "<u8"),  # see `duplicates.fingerprint`
        ("digest", "<u8"),  # of the stored line: decides between duplicates of equal size
        ("pmid", "<u8"),  # 0 where unknown
        ("offset", "<u8"),  # where the stored line begins
        ("length", "<u4"),  # bytes of the stored line
        ("size", "<u4"),  # bytes of the text
    ]
)
_MAX_SHOWN_PROBLEMS = 20


def read_sources(
    sources: list[Path], fields: tuple[str, ...], max_problem_fraction: float, work: Path, board: JobBoard
) -> dict[str, Any]:
    """Read all sources into the work directory.

    Returns:
        Counts, and the first problems.

    Raises:
        DataError: more records than `max_problem_fraction` are unusable, or there are none.
    """
    todo = [(path, number) for number, path in enumerate(sources) if not _marker(work, number).is_file()]
    arguments = [(path, work, number, fields) for path, number in todo]
    board.run("Reading", _read_source, arguments, sum(path.stat().st_size for path, _ in todo))
    totals: Counter[str] = Counter()
    problems: list[str] = []
    for number in range(len(sources)):
        marker = read_json(_marker(work, number))
        totals.update(marker["counts"])
        problems += marker["problems"]
    num_problems, num_records = totals["num_problems"], totals["num_problems"] + totals["num_documents_read"]
    for problem in problems[:_MAX_SHOWN_PROBLEMS]:
        logger.warning("Skipped %s", problem)
    if not num_records:
        raise DataError(f"{sources[0]} and the other sources hold no records. Expected documents; check the files.")
    if num_problems > max_problem_fraction * num_records:
        raise DataError(
            f"{num_problems} of {num_records} records ({num_problems / num_records:.1%}) cannot be used; expected at"
            f" most max_problem_fraction = {max_problem_fraction:.1%}. The first: {' | '.join(problems[:3])}"
            " Mend or leave out these files, or raise max_problem_fraction."
        )
    return {**totals, "problems": problems[:_MAX_SHOWN_PROBLEMS]}


def _marker(work: Path, number: int) -> Path:
    return work / f"source-{number:05d}.json"


def _read_source(path: Path, work: Path, number: int, fields: tuple[str, ...], tick: Tick) -> None:
    """Read one source. A job."""
    counts = Counter(num_documents_read=0, num_problems=0, num_empty=0)
    problems: list[str] = []
    deletions: list[int] = []

    def report(problem: Problem) -> None:
        counts["num_problems"] += 1
        if len(problems) < _MAX_SHOWN_PROBLEMS:
            problems.append(str(problem))

    stem = work / f"source-{number:05d}"
    documents = read_articles(
        path,
        report,
        on_deletion=lambda pmid: deletions.append(int(pmid) if pmid.isdecimal() else 0),
        on_read=lambda count: tick(0, count),
    )
    offset = 0
    with (
        stem.with_suffix(".texts").open("wb") as texts,
        stem.with_suffix(".rows").open("wb") as rows,
        stem.with_suffix(".bands").open("wb") as bands,
    ):
        for document in documents:
            counts["num_documents_read"] += 1
            tick(1, 0)
            chosen = _choose_fields(document, fields)
            words = duplicates.compared_words(chosen)
            if not words or not (fields == ("title",) or chosen.abstract or chosen.body):
                counts["num_empty"] += 1
                continue
            line = _to_line(chosen)
            digest = int.from_bytes(hashlib.blake2b(line, digest_size=8).digest(), "little")
            size = len(chosen.text(fields).encode())
            row = (duplicates.fingerprint(words), digest, int(chosen.pmid or 0), offset, len(line), size)
            texts.write(line)
            rows.write(np.array(row, dtype=_ROW).tobytes())
            bands.write(duplicates.band_hashes(words).astype("<u8").tobytes())
            offset += len(line)
        for file in (texts, rows, bands):
            file.flush()
            os.fsync(file.fileno())
    write_json(_marker(work, number), {"counts": counts, "problems": problems, "deletions": deletions}, indent=None)


def _choose_fields(document: Article, fields: tuple[str, ...]) -> Article:
    """The document with only these fields, white space reduced to single spaces."""
    texts = {name: " ".join(getattr(document, name).split()) if name in fields else "" for name in TEXT_FIELDS}
    return Article(id=document.id, pmid=document.pmid, **texts)


def _to_line(document: Article) -> bytes:
    record = {name: value for name, value in dataclasses.asdict(document).items() if value}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


_SELECTED = np.dtype([("source", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("size", "<u4")])


def select(
    num_sources: int, heldout_fraction: float, near_duplicates: float, work: Path, board: JobBoard
) -> dict[str, Any]:
    """Put the documents in order, leave out duplicates and withdrawn ones, and hold some out.

    Returns:
        Counts.

    Raises:
        DataError: nothing stays to train on.
    """
    if (work / "selection.json").is_file():
        counts: dict[str, Any] = read_json(work / "selection.json")
        return counts
    with board.stage("Finding duplicates", None):
        parts = [np.fromfile(work / f"source-{number:05d}.rows", dtype=_ROW) for number in range(num_sources)]
        sources = np.repeat(np.arange(num_sources), [len(part) for part in parts])
        rows = np.concatenate(parts)
        deleted = [pmid for number in range(num_sources) for pmid in read_json(_marker(work, number))["deletions"]]
        is_deleted = np.isin(rows["pmid"], np.array(deleted, dtype=np.uint64)) & (rows["pmid"] > 0)
        # Of equal fingerprints the longest text stays: the full text rather than its abstract.
        order = np.lexsort((rows["digest"], -rows["size"].astype(np.int64), rows["fingerprint"]))
        order = order[~is_deleted[order]]
        fingerprints = rows["fingerprint"][order]
        is_copy = np.concatenate(([False], fingerprints[1:] == fingerprints[:-1]))[: len(order)]
        order, fingerprints = order[~is_copy], fingerprints[~is_copy]
        limit = min(int(heldout_fraction * 2**64), 2**64 - 1)
        is_heldout = fingerprints < np.uint64(limit)
        selected = np.empty(len(order), dtype=_SELECTED)
        selected["source"] = sources[order]
        for name in ("offset", "length", "size"):
            selected[name] = rows[name][order]
        # Held-out documents win, then longer ones: again the full text rather than its abstract.
        ranked = np.lexsort((-selected["size"].astype(np.int64), ~is_heldout))
        is_near = np.empty(len(order), dtype=np.bool_)
        with _Texts(work) as texts:
            is_near[ranked] = duplicates.find_near_duplicates(
                len(order),
                int(is_heldout.sum()),
                rows["pmid"][order[ranked]],
                lambda band: _read_band(work, num_sources, band)[order[ranked]],
                lambda rank: duplicates.compared_words(texts.read(selected[ranked[rank]])),
                near_duplicates,
            )
    with writing_atomically(work / "selection.rows") as file:
        file.write(selected[~is_near].tobytes())
    counts = {
        "num_withdrawn": int(is_deleted.sum()),
        "num_exact_duplicates": int(is_copy.sum()),
        "num_near_duplicates": int(is_near.sum()),
        "num_heldout_documents": int((is_heldout & ~is_near).sum()),
        "num_train_documents": int((~is_heldout & ~is_near).sum()),
    }
    if not counts["num_train_documents"]:
        raise DataError("No document with text stays to train on. Give more documents, or a smaller heldout_fraction.")
    write_json(work / "selection.json", counts, indent=None)
    return counts


def _read_band(work: Path, num_sources: int, band: int) -> duplicates.Hashes:
    paths = (work / f"source-{number:05d}.bands" for number in range(num_sources))
    columns = [
        np.memmap(path, dtype="<u8", mode="r")[band :: duplicates.NUM_BANDS] for path in paths if path.stat().st_size
    ]
    return np.concatenate([np.empty(0, dtype=np.uint64), *columns])


class _Texts(contextlib.AbstractContextManager["_Texts"]):
    """The stored texts of all sources, read where a row says. Keeps a limited number of files open, until its end."""

    _MAX_OPEN = 64

    def __init__(self, work: Path) -> None:
        self._work = work
        self._files: OrderedDict[int, IO[bytes]] = OrderedDict()

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def read(self, row: np.void) -> Article:
        source = int(row["source"])
        if source not in self._files:
            self._files[source] = (self._work / f"source-{source:05d}.texts").open("rb", buffering=0)
            if len(self._files) > self._MAX_OPEN:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(source)
        self._files[source].seek(int(row["offset"]))
        return Article(**json.loads(self._files[source].read(int(row["length"]))))


@dataclass(frozen=True)
class Selection:
    """The documents that stay, the held-out ones first."""

    work: Path
    rows: NDArray[np.void]
    num_heldout: int

    @classmethod
    def open(cls, work: Path) -> "Selection":
        rows = np.memmap(work / "selection.rows", dtype=_SELECTED, mode="r")
        return cls(work, rows, read_json(work / "selection.json")["num_heldout_documents"])

    def units(self, num_bytes: int) -> list[tuple[int, int]]:
        """The training documents in runs (first, end) of about `num_bytes` of text."""
        sizes = self.rows["size"][self.num_heldout :].astype(np.int64)
        unit = (np.cumsum(sizes) - sizes) // num_bytes
        starts = np.flatnonzero(np.diff(unit, prepend=-1)) + self.num_heldout
        ends = [*starts[1:].tolist(), len(self.rows)]
        return list(zip(starts.tolist(), ends, strict=True))

    def num_bytes(self, first: int, end: int) -> int:
        """Bytes of text."""
        return int(self.rows["size"][first:end].sum(dtype=np.int64))

    def documents(self, first: int, end: int) -> Iterator[Article]:
        """Read a run of documents."""
        with _Texts(self.work) as texts:
            yield from map(texts.read, self.rows[first:end])


def _batches(documents: Iterator[Article]) -> Iterator[list[Article]]:
    while batch := list(islice(documents, _BATCH_DOCUMENTS)):
        yield batch


_MAX_DISTINCT_WORDS = 2_000_000  # about 300 MB; beyond, the rarest are forgotten
_BATCH_DOCUMENTS = 256


def learn_vocabulary(
    selection: Selection,
    units: list[tuple[int, int]],
    fields: tuple[str, ...],
    vocabulary_size: int,
    work: Path,
    board: JobBoard,
) -> None:
    """Learn a vocabulary from the training documents; `work/tokenizer` holds it afterwards."""
    if (work / "tokenizer").is_dir():
        return
    todo = [(number, *unit) for number, unit in enumerate(units) if not _words_path(work, number).is_file()]
    arguments = [(work, fields, *unit) for unit in todo]
    board.run("Counting words", _count_words, arguments, sum(selection.num_bytes(*unit[1:]) for unit in todo))
    with board.stage("Learning the vocabulary", None):
        words = _merge_counts(work, len(units))
        vocabulary = bpe.learn((words.popitem() for _ in range(len(words))), vocabulary_size)
        learned = work / "vocabulary"
        learned.mkdir(exist_ok=True)
        bpe.write_vocabulary(vocabulary, learned)
    take_vocabulary(learned, work)


def take_vocabulary(path: Path, work: Path) -> None:
    """Take the vocabulary in a directory; `work/tokenizer` holds it afterwards."""
    if (work / "tokenizer").is_dir():
        return
    unfinished = work / "tokenizer.partial"
    _load_tokenizer(path).save_pretrained(unfinished)
    unfinished.rename(work / "tokenizer")


def _words_path(work: Path, number: int) -> Path:
    return work / f"words-{number:05d}.json"


def _count_words(work: Path, fields: tuple[str, ...], number: int, first: int, end: int, tick: Tick) -> None:
    """Count the Moses words of one unit. A job."""
    selection = Selection.open(work)
    words: Counter[str] = Counter()
    for batch in _batches(selection.documents(first, end)):
        texts = [document.text(fields) for document in batch]
        for text_words in moses.split_words(texts):
            words.update(text_words)
        tick(len(texts), sum(len(text.encode()) for text in texts))
    write_json(_words_path(work, number), words, indent=None)


def _merge_counts(work: Path, num_units: int) -> Counter[str]:
    words: Counter[str] = Counter()
    least = 1
    for number in range(num_units):
        words.update(read_json(_words_path(work, number)))
        while len(words) > _MAX_DISTINCT_WORDS:
            least += 1
            words = Counter({word: count for word, count in words.items() if count >= least})
    return words


def encode(
    selection: Selection, units: list[tuple[int, int]], fields: tuple[str, ...], path: Path, board: JobBoard
) -> dict[str, Any]:
    """Turn the texts into token files in `path`, one per unit and one for the held-out documents.

    Returns:
        Counts, and what the files are made of.
    """
    vocabulary_size = len(read_json(path / "work" / "tokenizer" / bpe.VOCABULARY_FILE))
    dtype = "<u2" if vocabulary_size <= 0xFFFF else "<u4"
    named = [("heldout.bin", 0, selection.num_heldout)]
    named += [(f"train-{number:05d}.bin", *unit) for number, unit in enumerate(units)]
    todo = [job for job in named if not (path / job[0]).is_file()]
    arguments = [(path, fields, dtype, *job) for job in todo]
    board.run("Encoding", _encode_unit, arguments, sum(selection.num_bytes(*job[1:]) for job in todo))
    with writing_atomically(path / "heldout.jsonl") as file:
        for document in selection.documents(0, selection.num_heldout):
            record = json.loads(_to_line(document)) | {"text": document.text(fields)}
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    counts: Counter[str] = Counter()
    for name, first, end in named:
        tokens = np.fromfile(path / name, dtype=dtype)
        if int(np.count_nonzero(tokens == END_ID)) != end - first:
            raise DataError(f"{path / name} does not hold {end - first} documents. Delete {path} and prepare it anew.")
        part = name.partition(".")[0].partition("-")[0]
        counts[f"num_{part}_tokens"] += len(tokens)
        counts[f"num_{part}_unknown_tokens"] += int(np.count_nonzero(tokens == UNKNOWN_ID))
        counts[f"num_{part}_bytes"] += selection.num_bytes(first, end)
    return {
        "num_train_tokens": 0,
        **counts,
        "num_shards": len(units),
        "dtype": dtype,
        "vocabulary_size": vocabulary_size,
    }


def _encode_unit(path: Path, fields: tuple[str, ...], dtype: str, name: str, first: int, end: int, tick: Tick) -> None:
    """Encode one unit. A job."""
    selection = Selection.open(path / "work")
    tokenizer = _load_tokenizer(path / "work" / "tokenizer")
    with writing_atomically(path / name) as file:
        for batch in _batches(selection.documents(first, end)):
            texts = [document.text(fields) for document in batch]
            for ids in _encode_texts(tokenizer, texts):
                file.write(np.array([END_ID, *ids], dtype=dtype).tobytes())
            tick(len(texts), sum(len(text.encode()) for text in texts))


@lru_cache(maxsize=1)
def _load_tokenizer(path: Path) -> BioGptTokenizer:
    return BioGptTokenizer(path / bpe.VOCABULARY_FILE, path / bpe.MERGES_FILE)


def _encode_texts(tokenizer: BioGptTokenizer, texts: list[str]) -> list[list[int]]:
    """The ids of texts in which `</s>` and the like are ordinary characters: nothing in a text ends a document."""
    is_special = [any(token in text for token in bpe.SPECIAL_TOKENS) for text in texts]
    encoded = iter(tokenizer.encode_ids([text for text, special in zip(texts, is_special, strict=True) if not special]))
    return [
        tokenizer(text, split_special_tokens=True)["input_ids"][1:] if special else next(encoded)
        for text, special in zip(texts, is_special, strict=True)
    ]
