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
    int8 = "int8"


class DtypeChoice(StrEnum):
    """The types of `biogpt.engine.processor`."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


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
    help="The name of a task (see 'biogpt tasks'), or the path of a TOML file.",
    autocompletion=_complete_task,
)
_MODEL = typer.Option(
    "--model",
    "-m",
    metavar="MODEL",
    help="A bundled model (see 'biogpt models'), a directory, or a Hugging Face hub id.",
    autocompletion=_complete_model,
)


def _output(*other_names: str) -> Any:
    return typer.Option(
        "--output",
        "-o",
        *other_names,
        metavar="PATH",
        help="The output. The same command resumes a long run that was killed.",
    )


Task = Annotated[str, _TASK]
OptionalTask = Annotated[str | None, _TASK]
Tasks = Annotated[list[str] | None, _TASK]
Model = Annotated[str, _MODEL]
OptionalModel = Annotated[str | None, _MODEL]
Models = Annotated[list[str] | None, _MODEL]
Output = Annotated[Path, _output("--out")]
OptionalOutput = Annotated[Path | None, _output()]

InputFormatChoice = Annotated[
    InputFormat | None, typer.Option("--input-format", help="The format of the input, if it cannot be detected.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        metavar="X",
        help="Leave out results with a lower score; by default that of the model.",
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Read the folders in a folder, too.")]
Link = Annotated[bool, typer.Option("--link", help="Find MeSH identifiers for the names of chemicals and diseases.")]
Lexicon = Annotated[
    Path | None,
    typer.Option(
        "--lexicon",
        metavar="FILE",
        help="Find identifiers in this lexicon instead: TSV, SSSOM, OBO or MeSH XML.",
    ),
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="NAME", help="The branch, tag or commit of a hub model.")
]
Data = Annotated[Path, typer.Option("--data", metavar="PATH", help="Directory of the data set, or one of its files.")]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="The device, such as cpu or cuda:1; by default a GPU if there is one."
    ),
]
_DTYPE = typer.Option("--dtype", help="Type to compute in; by default what the processor does well.")
Dtype = Annotated[DtypeChoice, _DTYPE]
Dtypes = Annotated[list[DtypeChoice] | None, _DTYPE]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Processes with a model each; by default one per GPU or CPU core. predict takes one for few documents and "
        "for models that are not small.",
    ),
]

BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        metavar="N",
        help="Texts that are processed at once. More is faster but needs more memory.",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="The random seed. The same seed gives the same result.")
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Print more; twice for debug output.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print all results as JSON.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting by name; can be repeated."),
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
    bool, typer.Option("--unconstrained", help="Do not constrain generation to the template of the task.")
]
EmptyDocuments = Annotated[
    EmptyDocumentsChoice | None,
    typer.Option("--empty-documents", help="Keep or drop documents without relations."),
]
TargetFormat = Annotated[
    str | None,
    typer.Option(
        "--target-format", metavar="NAME", help="The format of answers; 'biogpt tasks TASK' lists the formats."
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
