"""`biogpt pretrain`: train a model on files of documents."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from biogpt.cli import console, options


def pretrain(
    recipe_path: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The settings; see docs/pretraining.md.")],
    is_json: options.Json = False,
) -> None:
    """Pre-train a model from files of documents.

    The same command resumes a run that was killed. It can run under torchrun:
    torchrun --nproc-per-node 8 -m biogpt pretrain CONFIG.toml. At the end it prints the scores.
    """
    from biogpt.training.pretrain.recipe import read_recipe
    from biogpt.training.public import pretrain as pretrain_model

    recipe = read_recipe(recipe_path)
    report = pretrain_model(recipe)
    if os.environ.get("RANK", "0") != "0":
        return
    console.say_table("pre-trained a model", _rows(report, recipe.output / "model"))
    if is_json:
        print(json.dumps(report))


def _rows(report: dict[str, Any], model: Path) -> list[tuple[str, object]]:
    """What there is to know in the end, and what to do next."""
    return [
        ("held-out bits per byte", report["heldout_bits_per_byte"]),
        ("held-out documents", f"{report['heldout_documents']:,}"),
        ("parameters", f"{report['parameters']:,}"),
        ("steps", f"{report['steps']:,}"),
        ("tokens", f"{report['tokens']:,}"),
        ("seconds", f"{report['training_seconds']:,}"),
        ("model", model),
        ("next", f'biogpt generate -m {model} "Aspirin reduces the risk of"'),
    ]
