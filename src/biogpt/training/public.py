"""The two calls that train a model: `finetune` and `pretrain`. The commands of the same names call nothing else.

Settings are checked before PyTorch is loaded, so a wrong one is told at once.
"""

import dataclasses
from pathlib import Path
from typing import Any

from biogpt.errors import ConfigError, suggest
from biogpt.tasks.recipe import FORMER_KEYS, Recipe
from biogpt.training.finetune.recipe import make_recipe
from biogpt.training.pretrain.recipe import PretrainRecipe, read_recipe

_ARGUMENTS = ("model", "recipe", "train_split", "dev_fraction", "seed", "device", "target_format", "empty_documents")


def finetune(
    task: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    model: str | Path = "mini",
    recipe: str | Path | None = None,
    train_split: str = "train",
    dev_fraction: float | None = None,
    seed: int = 0,
    device: str = "auto",
    target_format: str | None = None,
    empty_documents: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tune a model on a task, score it on dev, and save it.

    A killed run is resumed by the same call, with the losses of an unbroken run; a finished one is not trained again.
    Under `torchrun`, call it in every process.

        >>> report = biogpt.finetune("bc5cdr", "data/BC5CDR", "out", epochs=3, learning_rate=1e-3)  # doctest: +SKIP
        >>> report["constrained_scores"]["f1"]  # doctest: +SKIP
        >>> extractor = biogpt.Extractor.from_pretrained("out")  # doctest: +SKIP

    Args:
        task: a task's name, or the path of your own TOML file.
        data: the data set's directory, or one file of it.
        output: the directory to make: the fine-tuned model, its task and its report.
        model: the trained model to start from: a bundled name, a directory, or a hub id.
        recipe: a TOML file with settings, in place of the task's own.
        train_split: the split to train on.
        dev_fraction: the part of the train split that is held out to measure on, from 0 to below 1. By default the
            data set's dev split is used, or a tenth is held out where there is none.
        seed: of new weights and of the order of the data.
        device: where to train, in PyTorch's terms, such as `cpu` or `cuda:1`; `auto`: GPUs where there are some, else
            `cpu`.
        target_format: how targets are written, one of the task's formats; by default its first.
        empty_documents: `"drop"` or `"keep"`: whether documents without relations are trained on.
        settings: keys of a recipe, which go before those of the file: `epochs`, `learning_rate`, `head`, `peft`,
            `patience`, `prompt_length` and all others of `biogpt.tasks.recipe.Recipe`. None: as the recipe says.

    Returns:
        The report that is also written to `output/finetune.json`: scores and loss on dev, tokens, seconds, versions.

    Raises:
        InputError: there is no such task or device, or the task has no such split.
        ConfigError: a setting is unknown or impossible, or the output directory holds another run.
        DataError: the data cannot be read, or there is nothing in it to learn.
        CheckpointError: the model to start from is missing or damaged.
        MissingExtraError: the packages of `biogpt[train]` are not installed.
        TrainingError: the loss is no number, or memory or disk are full; the last good checkpoint stays.

    Warns:
        UserWarning: dev is test, texts of dev are in train, targets are cut, or the schedule does not fit the run.
    """
    known = [*(field.name for field in dataclasses.fields(Recipe)), *FORMER_KEYS]
    for name in settings:
        if name not in known:
            hint = suggest(name, [*known, *_ARGUMENTS])
            raise ConfigError(f"Unknown setting '{name}'.{hint} Known: {', '.join(known)}.")
    schema_settings = {"target_format": target_format, "empty_documents": empty_documents}
    run = make_recipe(
        task,
        data,
        output,
        str(model),
        settings={name: value for name, value in settings.items() if value is not None},
        recipe_path=recipe,
        schema_settings={name: value for name, value in schema_settings.items() if value is not None},
        train_split=train_split,
        dev_fraction=dev_fraction,
        seed=seed,
        device=device,
    )
    from biogpt.training.finetune.run import run_recipe

    return run_recipe(run)


def pretrain(recipe: str | Path | PretrainRecipe) -> dict[str, Any]:
    """Prepare a corpus, pre-train a model on it, evaluate and save it.

    A killed run is resumed by the same call, with the losses of an unbroken run; what is done is not done again. Under
    `torchrun`, call it in every process.

        >>> report = biogpt.pretrain("run.toml")  # doctest: +SKIP
        >>> report["heldout_bits_per_byte"]  # doctest: +SKIP

    Args:
        recipe: the path of a TOML file, or what `read_recipe` made of one.

    Returns:
        The report that is also written to `output/report.json`: held-out bits per byte, tokens, seconds, versions.

    Raises:
        ConfigError: a setting is unknown or impossible, or the output directory holds a run of another recipe.
        CheckpointError: there is no model of the name that `start_from` or `corpus.tokenizer` gives.
        DataError: the corpus cannot be read.
        MissingExtraError: the packages of `biogpt[train]` are not installed.
        TrainingError: the loss is no number, or memory or disk are full; the last good checkpoint stays.
    """
    run = recipe if isinstance(recipe, PretrainRecipe) else read_recipe(recipe)
    from biogpt.training.pretrain.run import run_recipe

    return run_recipe(run)
