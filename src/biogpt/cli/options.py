"""The options that several verbs share: the same flag has the same letter, type and help in every verb."""

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class InputFormat(StrEnum):
    """The formats of `biogpt.documents.INPUT_FORMATS`; named here because importing them would slow `--help` down."""

    text = "text"
    jsonl = "jsonl"
    json = "json"
    csv = "csv"
    tsv = "tsv"
    xlsx = "xlsx"
    parquet = "parquet"
    pubmed = "pubmed"
    nbib = "nbib"
    ris = "ris"
    wos = "wos"
    jats = "jats"
    pubtator = "pubtator"
    bioc_xml = "bioc-xml"
    bioc_json = "bioc-json"
    doccano = "doccano"
    label_studio = "label-studio"
    brat = "brat"


class OutputFormat(StrEnum):
    """The formats of `biogpt.documents.OUTPUT_FORMATS`."""

    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    xlsx = "xlsx"
    parquet = "parquet"
    pubtator = "pubtator"
    bioc_xml = "bioc-xml"
    bioc_json = "bioc-json"
    brat = "brat"
    doccano = "doccano"
    label_studio = "label-studio"


class Layout(StrEnum):
    """The layouts of `biogpt.model.conversion.LAYOUTS`."""

    hf = "hf"
    fairseq = "fairseq"


class EmptyDocumentsChoice(StrEnum):
    """What happens to documents without relations."""

    drop = "drop"
    keep = "keep"


class HeadChoice(StrEnum):
    """How a fine-tuned model answers."""

    generation = "generation"
    classification = "classification"


class PeftChoice(StrEnum):
    """Which weights are trained, if not all."""

    lora = "lora"


def _complete_task(incomplete: str) -> list[str]:
    from biogpt.tasks.task import task_names

    return [name for name in task_names() if name.startswith(incomplete)]


def _complete_model(incomplete: str) -> list[str]:
    from biogpt.model.checkpoint import BUNDLED

    return [name for name in BUNDLED if name.startswith(incomplete)]


_TASK = typer.Option(
    "--task",
    "-t",
    metavar="TASK",
    help="A task's name ('biogpt tasks' lists them), or a TOML file of your own.",
    autocompletion=_complete_task,
)
_MODEL = typer.Option(
    "--model",
    "-m",
    metavar="MODEL",
    help="A bundled model ('biogpt models' lists them), a directory, or a Hugging Face hub id.",
    autocompletion=_complete_model,
)


def _output(*other_names: str) -> Any:
    return typer.Option(
        "--output",
        "-o",
        *other_names,
        metavar="PATH",
        help="Where to write. A run that was killed is resumed by the same command.",
    )


Task = Annotated[str, _TASK]
OptionalTask = Annotated[str | None, _TASK]
Tasks = Annotated[list[str] | None, _TASK]
Model = Annotated[str, _MODEL]
OptionalModel = Annotated[str | None, _MODEL]
Output = Annotated[Path, _output("--out")]
OptionalOutput = Annotated[Path | None, _output()]

Revision = Annotated[
    str | None, typer.Option("--revision", metavar="NAME", help="Of a hub model: a branch, a tag or a commit.")
]
Data = Annotated[Path, typer.Option("--data", metavar="PATH", help="The data set's directory, or one file of it.")]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="Where to run, such as cpu or cuda:1; by default a GPU where there is one."
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size", min=1, metavar="N", help="Texts that the model reads at once. More is faster, and needs memory."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Of all that is random: the same seed, the same result.")
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say what is done; twice: in detail.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only: no progress, no notes, no warnings.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, with all that is known.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting by its name. May be given several times."),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", metavar="NAME", help="Of tables and JSON: what holds the text, where its name is unusual."
    ),
]
TitleColumn = Annotated[
    str | None, typer.Option("--title-column", metavar="NAME", help="Of tables and JSON: what holds the title.")
]
IdColumn = Annotated[
    str | None, typer.Option("--id-column", metavar="NAME", help="Of tables and JSON: what names the documents.")
]
Unconstrained = Annotated[
    bool, typer.Option("--unconstrained", help="Let the model write freely, whether or not it can be read.")
]
EmptyDocuments = Annotated[
    EmptyDocumentsChoice | None, typer.Option("--empty-documents", help="Whether documents without relations count.")
]
TargetFormat = Annotated[
    str | None,
    typer.Option(
        "--target-format", metavar="NAME", help="How answers are put into words; 'biogpt tasks TASK' lists the formats."
    ),
]


def at_revision(model: str, revision: str | None) -> str:
    """The model's name with its revision, as `biogpt.model.checkpoint.resolve_model` reads it."""
    return f"{model}@{revision}" if revision else model


def parse_settings(pairs: Sequence[str] | None) -> dict[str, Any]:
    """The settings of `--set`: numbers, `true` and `false`, lists in brackets as in TOML; all else is text.

    Raises:
        BadParameter: one is not KEY=VALUE, or a key comes twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs or ():
        key, sign, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not sign or not key:
            raise typer.BadParameter(f"Got --set {pair}, expected KEY=VALUE, such as --set top_k=20.")
        if key in settings:
            raise typer.BadParameter(f"Got --set {key} twice, expected it once. Leave one out.")
        settings[key] = _parse_value(value.strip())
    return settings


def _parse_value(text: str) -> Any:
    for read in (int, float, lambda value: tomllib.loads(f"value = {value}")["value"]):
        try:
            return read(text)
        except ValueError:  # that of TOML is one, too
            continue
    return text
