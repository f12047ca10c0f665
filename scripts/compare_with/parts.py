"""What is compared: the documents, and the commands that both versions run on them."""

import gzip
import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASKS = ("bc5cdr", "ncbi_disease")
"""Those for which both versions bundle a model."""
FORMATS = ("csv", "bioc-xml", "bioc-json", "pubtator", "brat")
"""What `predict` writes besides JSON lines."""
TEST_SETS = {"bc5cdr": "BC5CDR", "ncbi_disease": "NCBI-disease"}
"""Each of the tasks -> the directory, among the inputs, of what its model is evaluated on."""


@dataclass(frozen=True)
class Sizes:
    """How much is compared."""

    documents: int
    """For the tokenizer, the model, and `predict` to JSON lines."""
    formatted: int
    """For `predict` to each of the other formats."""
    prompts: int
    """For `generate`."""
    evaluated: int
    """Abstracts for `evaluate`."""
    sentences: int
    """Sentences for `evaluate`. The whole test set has 940."""


FULL = Sizes(documents=500, formatted=60, prompts=20, evaluated=100, sentences=940)
QUICK = Sizes(documents=25, formatted=10, prompts=5, evaluated=20, sentences=200)


@dataclass(frozen=True)
class Part:
    """A part of the work: one command, whose outputs are compared."""

    name: str
    documents: int
    arguments: tuple[str, ...]
    """Of `biogpt`. They name files of the inputs; `{out}` stands for the directory of the outputs."""
    stdout: str
    """The file for what the command prints."""
    outputs: tuple[str, ...]
    """The files and directories to compare."""
    is_python: bool = False
    """The arguments are those of side.py."""

    @property
    def command(self) -> str:
        """The verb."""
        return self.arguments[0]


def list_parts(sizes: Sizes) -> list[Part]:
    """All parts, in the order in which they are run."""
    return [
        *_public_names(sizes),
        *_generate(sizes),
        *_predict(sizes),
        *_evaluate(sizes),
        *_lists(),
        *_convert(),
    ]


def _part(name: str, documents: int, arguments: str, stdout: str, **others: Any) -> Part:
    return Part(name, documents, tuple(arguments.split()), stdout, **{"outputs": (stdout,), **others})


def _public_names(sizes: Sizes) -> Iterator[Part]:
    for name in ("tokens", "likelihood"):
        yield _part(name, sizes.documents, f"{name} documents.jsonl", f"{name}.jsonl", is_python=True)


def _generate(sizes: Sizes) -> Iterator[Part]:
    settings = {
        "greedy": "--temperature 0",
        "sampled": "--seed 1 --num-return-sequences 2",
        "beams": "--num-beams 5",
    }
    for name, options in settings.items():
        arguments = f"generate --input prompts.txt --json {options}"
        yield _part(f"generate {name}", sizes.prompts, arguments, "completions.jsonl")


def _predict(sizes: Sizes) -> Iterator[Part]:
    for task in TASKS:
        arguments = f"predict --task {task} documents.jsonl --format jsonl"
        yield _part(f"predict {task}", sizes.documents, arguments, "found.jsonl")
    arguments = "predict --task bc5cdr documents-few.jsonl --format jsonl --unconstrained --batch-size 4"
    yield _part("predict bc5cdr unconstrained", sizes.formatted, arguments, "found.jsonl")
    for task in TASKS:
        for format in FORMATS:
            name = f"predict {task} {format}"
            arguments = f"predict --task {task} documents-few.jsonl --format {format}"
            if format == "brat":
                yield _part(name, sizes.formatted, f"{arguments} --output {{out}}/brat", "stdout", outputs=("brat",))
            elif format == "csv":
                outputs = ("found.csv", "page.html")
                arguments += " --html {out}/page.html"
                yield _part(f"{name} and html", sizes.formatted, arguments, "found.csv", outputs=outputs)
            else:
                yield _part(name, sizes.formatted, arguments, f"found.{format}")


def _evaluate(sizes: Sizes) -> Iterator[Part]:
    for task, directory in TEST_SETS.items():
        num_examples = sizes.sentences if task == "ncbi_disease" else sizes.evaluated
        arguments = f"evaluate --task {task} --model {task} --data {directory} --split test --json"
        yield _part(f"evaluate {task}", num_examples, arguments, "report.json")


def _lists() -> Iterator[Part]:
    """Lists for people: the words may change, the names and numbers may not."""
    yield _part("tasks", 1, "tasks", "tasks.facts")
    for task in TASKS:
        yield _part(f"tasks {task}", 1, f"tasks {task}", "task.facts")
    yield _part("models", 1, "models", "models.facts")


def _convert() -> Iterator[Part]:
    for layout in ("hf", "fairseq"):
        arguments = f"convert mini {{out}}/{layout} --to {layout}"
        yield _part(f"convert {layout}", 1, arguments, "stdout", outputs=(layout,))


def write_inputs(data: Path, directory: Path, sizes: Sizes) -> None:
    """Write the files that the parts read: always the first documents of the data sets.

    Raises:
        FileNotFoundError: a data set is missing.
    """
    directory.mkdir()
    documents = list(itertools.islice(_usable_documents(data / "corpus" / "abstracts.jsonl.gz"), sizes.documents))
    _write_lines(directory / "documents.jsonl", map(json.dumps, documents))
    _write_lines(directory / "documents-few.jsonl", map(json.dumps, documents[: sizes.formatted]))
    _write_lines(directory / "prompts.txt", (_first_sentence(one["abstract"]) for one in documents[: sizes.prompts]))

    for name in TEST_SETS.values():
        (directory / name).mkdir()
    source = data / "benchmarks" / "BC5CDR"
    abstracts = json.loads((source / "test.json").read_text(encoding="utf-8"))
    _write_first(abstracts, directory / "BC5CDR" / "test.json", sizes.evaluated)
    shutil.copy(source / "test.entities.json", directory / "BC5CDR")
    sentences = (data / "ner" / "NCBI-disease" / "test.tsv").read_text(encoding="utf-8").split("\n\n")
    few = "\n\n".join(sentences[: sizes.sentences])
    (directory / "NCBI-disease" / "test.tsv").write_text(f"{few.strip()}\n\n", encoding="utf-8")


def _usable_documents(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            if document["title"] and document["abstract"]:
                yield document


def _first_sentence(text: str) -> str:
    return " ".join(re.split(r"(?<=[.?!])\s+(?=[A-Z])", text)[0].split())


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_first(entries: dict[str, Any], path: Path, number: int) -> None:
    """Write the first entries of a JSON object."""
    path.write_text(json.dumps(dict(itertools.islice(entries.items(), number))), encoding="utf-8")
