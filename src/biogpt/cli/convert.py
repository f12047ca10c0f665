"""`biogpt convert`: a model in another layout."""

from pathlib import Path
from typing import Annotated

import typer

from biogpt.cli import options


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A model's name, directory or hub id, or a fairseq checkpoint.pt.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The directory to write.")],
    layout: Annotated[
        options.Layout, typer.Option("--to", help="Hugging Face's layout, fairseq's, or int8.")
    ] = options.Layout.hf,
    vocabulary_path: Annotated[
        Path | None,
        typer.Option("--vocabulary", metavar="DIR", help="Directory of dict.txt and bpecodes, if another."),
    ] = None,
    revision: options.Revision = None,
) -> None:
    """Convert a model between Hugging Face's layout and fairseq's, or to int8.

    In int8 a model takes a third of the space and is loaded at once; only biogpt reads it.
    No code in the files is run, and neither fairseq nor omegaconf is needed. Prints the destination.
    """
    from biogpt.model.conversion import convert as convert_model

    print(convert_model(options.at_revision(source, revision), destination, str(layout), vocabulary_path))
