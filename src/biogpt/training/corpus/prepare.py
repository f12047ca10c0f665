"""The corpus: files of documents -> token shards on disk that training maps into memory.

`prepare` reads the sources, leaves out duplicates, holds some documents out, learns (or takes) a vocabulary and packs
the rest as tokens. Every stage keeps its finished parts, so that a killed run goes on where it stopped, and no stage
holds the texts in memory. What comes out depends on the documents and the recipe alone: not on the order of the
sources, the number of processes, or interruptions. Knows nothing of models or of how training draws its blocks, and
never imports torch.

The order of all documents is that of their fingerprints (`duplicates.py`), 64 bits that are as good as
random; the first of them, by the recipe's fraction, are held out. So a document stays on its side for ever, an abstract
and its full text are on the same side, and the training documents are shuffled. Among duplicates a held-out
document wins over training documents, so that nothing like it is trained on, and a longer one over a shorter one.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from biogpt.config import Limits, check, check_format_version, require
from biogpt.documents import TEXT_FIELDS, Article, Problem, check_format, read_articles
from biogpt.errors import BioGptError, ConfigError, DataError, suggest
from biogpt.files import read_json, write_json
from biogpt.training.corpus import stages
from biogpt.training.corpus.jobs import JobBoard, Tick
from biogpt.training.corpus.shards import TokenShards

FORMAT_VERSION = 1
"""Of the directory. It rises when an older biogpt would misread it."""

_LIMITS = {
    "vocabulary_size": Limits(0),
    "heldout_fraction": Limits(0, 0.5),
    "near_duplicates": Limits(0, 1),
    "max_problem_fraction": Limits(0, 1),
    "shard_bytes": Limits(1),
    "num_workers": Limits(1),
}


@dataclass(frozen=True)
class CorpusRecipe:
    """What a corpus is made from and how.

    Raises:
        ConfigError: a setting is impossible.
    """

    sources: tuple[str, ...]
    """Files of documents (see `biogpt.documents.read_articles`), as paths or glob patterns."""
    fields: tuple[str, ...] = ("title", "abstract")
    """Which parts of a document are trained on. A document that has none of them but a title is left out."""
    vocabulary_size: int = 0
    """How many tokens to learn from the training part; or 0, and `tokenizer` is given."""
    tokenizer: str = ""
    """A directory with vocab.json and merges.txt to use; or empty, and `vocabulary_size` is given."""
    heldout_fraction: float = 0.01
    """The fraction of documents that are never trained on, in [0, 0.5]."""
    near_duplicates: float = 0.7
    """Leave out a document whose abstract shares at least this fraction of its word triples (Jaccard similarity) with
    another's, in (0, 1]; 0 to leave out only exact duplicates."""
    shard_bytes: int = 16 << 20
    """How many bytes of text go into one shard: what one process works on at a time, and what a killed run loses."""
    max_problem_fraction: float = 0.01
    """The fraction of records that may be unusable before the run stops."""
    num_workers: int = 1
    """How many processes work at once. More than one asks the calling script for an `if __name__ == "__main__"`."""

    def __post_init__(self) -> None:
        for name in ("sources", "fields"):
            value = getattr(self, name)
            require(not isinstance(value, str), f"corpus.{name}", value, f"a list: [{value!r}]")
            object.__setattr__(self, name, tuple(value))
        check(self, _LIMITS, "corpus")
        for field in self.fields:
            if field not in TEXT_FIELDS:
                hint = suggest(field, TEXT_FIELDS)
                raise ConfigError(f"corpus.fields has '{field}', expected some of {', '.join(TEXT_FIELDS)}.{hint}")
        require(bool(self.sources), "corpus.sources", [], "at least one file or pattern")
        require(bool(self.fields), "corpus.fields", [], f"some of {', '.join(TEXT_FIELDS)}")
        if bool(self.vocabulary_size) == bool(self.tokenizer):
            raise ConfigError(
                f"Got {'both' if self.tokenizer else 'neither'} of corpus.vocabulary_size (to learn a vocabulary) and "
                "corpus.tokenizer (a directory that has one), expected one of them."
            )

    def source_paths(self) -> list[Path]:
        """The files that `sources` stands for, each once, sorted.

        Raises:
            ConfigError: a source stands for no file.
        """
        paths: dict[Path, Path] = {}
        for source in self.sources:
            names = [source] if Path(source).is_file() else glob.glob(source, recursive=True)  # noqa: PTH207  # absolute
            files = [path for path in map(Path, names) if path.is_file()]
            if not files:
                raise ConfigError(f"corpus.sources has '{source}', which stands for no file. Check the path.")
            paths.update((path.resolve(), path) for path in files)
        return sorted(paths.values())


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus."""

    path: Path
    """The directory."""
    summary: dict[str, Any]
    """What corpus.json holds: the recipe, the sources, the counts."""

    @classmethod
    def open(cls, directory: str | Path) -> "Corpus":
        """Open a directory that `prepare` has made.

        Raises:
            DataError: it is not one, or it is unfinished or damaged.
        """
        path = Path(directory)
        try:
            summary = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            state = "is unfinished" if (path / "work").is_dir() else "has no corpus.json"
            raise DataError(f"{path} {state}. Expected a prepared corpus; run the preparation (again).") from None
        except ValueError as error:
            raise DataError(
                f"{path / 'corpus.json'} is not JSON ({error}). Delete the directory and prepare anew."
            ) from error
        if "format" in summary:  # of version 0.1.0
            summary["format_version"] = summary.pop("format")
        check_format_version(summary, FORMAT_VERSION, path / "corpus.json", is_required=True, error=DataError)
        corpus = cls(path, summary)
        for tokens, name in (
            (corpus.train_tokens(), "num_train_tokens"),
            (corpus.heldout_tokens(), "num_heldout_tokens"),
        ):
            if len(tokens) != summary[name]:
                message = f"{len(tokens)} tokens, corpus.json says {name} = {summary[name]}"
                raise DataError(f"{path} holds {message}. Delete the directory and prepare it anew.")
        return corpus

    @staticmethod
    def is_complete(directory: str | Path) -> bool:
        """Whether `prepare` has finished there."""
        return (Path(directory) / "corpus.json").is_file()

    @property
    def tokenizer_path(self) -> Path:
        """A directory that `BioGptTokenizer.from_pretrained` takes."""
        return self.path

    @property
    def num_train_tokens(self) -> int:
        return int(self.summary["num_train_tokens"])

    @property
    def num_heldout_tokens(self) -> int:
        return int(self.summary["num_heldout_tokens"])

    @property
    def vocabulary_size(self) -> int:
        return int(self.summary["vocabulary_size"])

    def train_tokens(self) -> TokenShards:
        """The training stream: for each document `</s>` and its tokens, one document after the other."""
        return self._shards([f"train-{number:05d}.bin" for number in range(self.summary["num_shards"])])

    def heldout_tokens(self) -> TokenShards:
        """The same of the held-out documents."""
        return self._shards(["heldout.bin"])

    def heldout_documents(self) -> Iterator[Article]:
        """The held-out documents, in the order of their tokens. Fields that the recipe leaves out are empty."""

        def fail(problem: Problem) -> None:
            raise DataError(f"{problem} Delete the directory and prepare it anew.")

        return read_articles(self.path / "heldout.jsonl", fail)

    def heldout_texts(self) -> Iterator[str]:
        """The held-out documents as the text that their tokens stand for."""
        fields = self.summary["recipe"]["fields"]
        return (document.text(fields) for document in self.heldout_documents())

    def _shards(self, names: list[str]) -> TokenShards:
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            raise DataError(f"{self.path} lacks {missing[0]}. Delete the directory and prepare it anew.")
        return TokenShards([self.path / name for name in names], self.summary["dtype"])


def prepare(recipe: CorpusRecipe, directory: str | Path, progress: bool = True) -> Corpus:
    """Make the corpus of a recipe, or finish one that was begun, or open one that is complete.

    Args:
        recipe: what to make.
        directory: where; it is created. Rerunning the same recipe in it goes on where the last run stopped.
        progress: show bars on stderr, if that is a terminal.

    Raises:
        ConfigError: the recipe is impossible, or the directory belongs to another one.
        DataError: a source is damaged or of an unknown kind, too many records are unusable, or the disk is full or not
            writable.
    """
    path = Path(directory)
    sources = recipe.source_paths()
    for source in sources:
        check_format(source)
    board = JobBoard(recipe.num_workers, progress)
    with _explain_os_errors(path), board:
        work = path / "work"
        identity = _identify(recipe, sources, board)
        if Corpus.is_complete(path):
            corpus = Corpus.open(path)
            _require_same(identity, corpus.summary["recipe"], path)
            shutil.rmtree(work, ignore_errors=True)  # of a run that was killed at the very end
            return corpus
        if not (work / "identity.json").is_file() and path.exists() and {*path.iterdir()} - {work}:
            raise ConfigError(f"{path} holds other files. Expected an empty or new directory; choose another one.")
        work.mkdir(parents=True, exist_ok=True)
        with _locked(work):
            if not (work / "identity.json").is_file():
                write_json(work / "identity.json", identity, indent=None)
            _require_same(identity, read_json(work / "identity.json"), path)
            _prepare_in_stages(recipe, sources, identity, path, board)
        shutil.rmtree(work)
    return Corpus.open(path)


def _prepare_in_stages(
    recipe: CorpusRecipe, sources: list[Path], identity: dict[str, Any], path: Path, board: JobBoard
) -> None:
    work = path / "work"
    counts = stages.read_sources(sources, recipe.fields, recipe.max_problem_fraction, work, board)
    counts |= stages.select(len(sources), recipe.heldout_fraction, recipe.near_duplicates, work, board)
    selection = stages.Selection.open(work)
    units = selection.units(recipe.shard_bytes)
    if recipe.tokenizer:
        stages.take_vocabulary(Path(recipe.tokenizer), work)
    else:
        stages.learn_vocabulary(selection, units, recipe.fields, recipe.vocabulary_size, work, board)
    counts |= stages.encode(selection, units, recipe.fields, path, board)
    for name in _TOKENIZER_FILES:
        shutil.copyfile(work / "tokenizer" / name, path / name)
    versions = {name: metadata.version(name) for name in ("numpy", "sacremoses", "tokenizers")}
    versions["biogpt"] = metadata.version("biogpt")
    write_json(
        path / "corpus.json", {"format_version": FORMAT_VERSION, "recipe": identity, **counts, "versions": versions}
    )


def _identify(recipe: CorpusRecipe, sources: list[Path], board: JobBoard) -> dict[str, Any]:
    """All that the output depends on. Sources count by name and content, so that they may lie elsewhere next time."""
    with board.stage("Checking sources", sum(path.stat().st_size for path in sources)) as tick:
        described = [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": _digest(path, tick)} for path in sources
        ]
    settings = dataclasses.asdict(recipe) | {"fields": list(recipe.fields), "sources": described}
    for name in _INDIFFERENT:
        del settings[name]
    if recipe.tokenizer:
        files = [Path(recipe.tokenizer, name) for name in stages.VOCABULARY_FILES]
        missing = " and ".join(path.name for path in files if not path.is_file())
        if missing:
            raise ConfigError(
                f"corpus.tokenizer is '{recipe.tokenizer}', which lacks {missing}. Give a directory with both."
            )
        settings["tokenizer"] = {path.name: _digest(path) for path in files}
    return settings


_TOKENIZER_FILES = (*stages.VOCABULARY_FILES, "tokenizer_config.json")
_INDIFFERENT = ("max_problem_fraction", "num_workers")  # settings that do not change what comes out


def _digest(path: Path, tick: Tick | None = None) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
                if tick:
                    tick(0, len(part))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Check the file and the disk.") from error
    return digest.hexdigest()


def _require_same(identity: dict[str, Any], existing: dict[str, Any], path: Path) -> None:
    """
    Raises:
        ConfigError: the directory was begun with another recipe or other sources.
    """
    if identity == existing:
        return
    differences = []
    for name in sorted({*identity, *existing} - {"sources"}):
        if identity.get(name) != existing.get(name):
            differences.append(f"{name} was {existing.get(name)} and is {identity.get(name)}")
    before, now = ({file["sha256"]: file["name"] for file in each["sources"]} for each in (existing, identity))
    names = sorted(
        {before[key] for key in before.keys() - now.keys()} | {now[key] for key in now.keys() - before.keys()}
    )
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        differences.append(f"sources differ in {shown}")
    elif identity["sources"] != existing["sources"]:
        differences.append("sources have other names or another order")
    raise ConfigError(
        f"{path} belongs to another recipe: {'; '.join(differences)}. Delete it, or choose another directory."
    )


@contextlib.contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep a second process out of the same directory. The system frees the lock of a process that ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another process is preparing {work.parent}. Wait for it, or choose another directory."
            ) from None
        yield


@contextlib.contextmanager
def _explain_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except BioGptError:
        raise
    except OSError as error:
        place = error.filename or path
        message = f"Cannot work on {place}: {error.strerror}. Expected a writable directory with enough space"
        raise DataError(
            f"{message}; make room or choose another. Finished work is kept, run again to go on."
        ) from error
