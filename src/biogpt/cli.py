"""The command line: verbs, each of which reads its arguments, calls one public function and prints what that gives.

stdout carries data only. Exit codes: 0 done, 1 an error of ours in one line on stderr, 2 wrong usage, 130 interrupted.
A reader that closes the pipe early (`| head -1`) has what it wanted: that is 0. Nothing heavy is imported before a verb
runs.
"""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import biogpt
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.prompts import check_prompt, parse_prompts, read_prompt_file
from biogpt.errors import BioGptError

if TYPE_CHECKING:
    from biogpt.engine.engine import Completion, Engine

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = typer.Typer(
    name="biogpt",
    help=biogpt.__doc__.partition("\n")[0] if biogpt.__doc__ else None,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line with the arguments of this process."""
    _write_utf8()
    app(prog_name="biogpt")


@contextlib.contextmanager
def plain_endings() -> Iterator[None]:
    """Turn errors, interruption and a closed pipe into exit codes, without tracebacks. Decorates every verb."""
    try:
        yield
        sys.stdout.flush()
    except BioGptError as error:
        print("biogpt:", *str(error).split(), file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        _silence_stdout()
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _silence_stdout()
        raise SystemExit(0) from None
    except OSError as error:
        _silence_stdout()
        place, reason = error.filename or "the output", error.strerror or error
        print(f"biogpt: Cannot read or write {place}: {reason}. Check the path and the disk's space.", file=sys.stderr)
        raise SystemExit(1) from None


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"biogpt {biogpt.__version__}")
        raise typer.Exit


@app.callback()
def _biogpt(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(no_args_is_help=False)
@plain_endings()
def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="Texts to continue; without any, stdin is read.")
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="NAME", help="'mini' (bundled), a directory, or a Hugging Face hub id."),
    ] = "mini",
    input_path: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="Prompts, one a line, or JSONL with a field 'prompt' or 'text'."),
    ] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print JSONL: prompt, text, tokens, score and why it stopped.")
    ] = False,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", help="Stop after N tokens.")
    ] = GenerationSettings.max_new_tokens,
    min_new_tokens: Annotated[
        int, typer.Option(metavar="N", help="Do not end the text before N tokens.")
    ] = GenerationSettings.min_new_tokens,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="X", help="Below 1 is more deterministic, above 1 more random; 0: always the most probable token."
        ),
    ] = GenerationSettings.temperature,
    top_k: Annotated[
        int, typer.Option(metavar="N", help="Sample among the N most probable tokens; 0: among all.")
    ] = GenerationSettings.top_k,
    top_p: Annotated[
        float, typer.Option(metavar="X", help="Sample among the most probable tokens of joint probability X.")
    ] = GenerationSettings.top_p,
    num_beams: Annotated[
        int, typer.Option(metavar="N", help="Beam search with N beams instead of sampling.")
    ] = GenerationSettings.num_beams,
    num_return_sequences: Annotated[
        int, typer.Option(metavar="N", help="Completions per prompt.")
    ] = GenerationSettings.num_return_sequences,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Another seed gives another text; the same one the same text.")
    ] = GenerationSettings.seed,
) -> None:
    """Continue texts.

    Each prompt is printed with its continuation, one line per completion; a single completion is printed as it is made.
    """
    if prompts and input_path:
        raise typer.BadParameter("Give prompts as arguments or with --input, not both.")
    if not prompts and not input_path and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("Give a prompt: as an argument, with --input, or on stdin.")
    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        num_beams=num_beams,
        num_return_sequences=num_return_sequences,
        seed=seed,
    )
    if not prompts:
        prompts = read_prompt_file(input_path) if input_path else parse_prompts(sys.stdin.buffer, "stdin")
    for prompt in prompts:
        check_prompt(prompt)  # the engine does it, too, but loading it takes a while
    engine = _load_engine(model)
    if len(prompts) == settings.num_return_sequences == settings.num_beams == 1 and not is_json:
        _print_stream(prompts[0], engine.stream(prompts[0], settings))
        return
    for completions in _show_progress(engine.generate_each(prompts, settings), len(prompts)):
        for completion in completions:
            print(_as_json(completion) if is_json else completion.prompt + completion.text, flush=True)


@app.command(no_args_is_help=True)
@plain_endings()
def pretrain(
    recipe_path: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run: see docs/pretraining.md.")],
) -> None:
    """Pre-train a model from files of documents.

    A run that was killed is resumed by the same command. Under torchrun it uses all processes:
    torchrun --nproc-per-node 8 -m biogpt pretrain CONFIG.toml. The final scores are printed as JSON.
    """
    _quieten_libraries()
    from biogpt.training.public import pretrain

    report = pretrain(recipe_path)
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(report))


@app.command(no_args_is_help=True)
@plain_endings()
def finetune(
    task: Annotated[str, typer.Option("--task", "-t", metavar="TASK", help="A task's name, or your own TOML file.")],
    data: Annotated[Path, typer.Option(metavar="PATH", help="The data set's directory, or one file of it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", "--out", metavar="DIR", help="The tuned model's directory.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="What to start from: 'mini', a directory, or a hub id.")
    ] = "mini",
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="X", help="Its peak.")] = None,
    head: Annotated[
        str | None, typer.Option(metavar="generation|classification", help="Write the answer, or classify.")
    ] = None,
    peft: Annotated[str | None, typer.Option(metavar="lora", help="Train a small adapter only.")] = None,
    patience: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N evaluations on dev without a new best.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file with any setting; see docs/finetuning.md.")
    ] = None,
    train_split: Annotated[str, typer.Option(metavar="NAME", help="The split to train on.")] = "train",
    dev_fraction: Annotated[
        float | None, typer.Option(metavar="X", help="Hold out this part of it, rather than use the dev split.")
    ] = None,
    empty_documents: Annotated[
        str | None, typer.Option(metavar="drop|keep", help="Whether documents without relations are learned.")
    ] = None,
    target_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="The wording of the targets; 'biogpt tasks TASK' lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of new weights and the order of the data.")] = 0,
) -> None:
    """Fine-tune a model on a task.

    A run that was killed is resumed by the same command. Under torchrun it uses all processes:
    torchrun --nproc-per-node 8 -m biogpt finetune ... The final scores on dev are printed as JSON.
    """
    _quieten_libraries()
    from biogpt.training.public import finetune

    report = finetune(
        task,
        data,
        output,
        model=model,
        recipe=recipe,
        train_split=train_split,
        dev_fraction=dev_fraction,
        seed=seed,
        target_format=target_format,
        empty_documents=empty_documents,
        epochs=epochs,
        learning_rate=learning_rate,
        head=head,
        peft=peft,
        patience=patience,
    )
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(report))


@app.command(no_args_is_help=True)
@plain_endings()
def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A model's name, directory or hub id, or a fairseq checkpoint.pt.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The directory to make.")],
    layout: Annotated[str, typer.Option("--to", metavar="LAYOUT", help="'hf' or 'fairseq'.")] = "hf",
    vocabulary_path: Annotated[
        Path | None,
        typer.Option("--vocabulary", metavar="DIR", help="Where dict.txt and bpecodes lie, if not beside the weights."),
    ] = None,
) -> None:
    """Convert a model between Hugging Face's layout and fairseq's.

    Nothing that a file holds is run, and neither fairseq nor omegaconf is needed. The destination is printed.
    """
    from biogpt.model.conversion import convert

    _quieten_libraries()
    print(convert(source, destination, layout, vocabulary_path))


@app.command(no_args_is_help=False)
@plain_endings()
def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task's name or TOML file; without it, all are listed.")
    ] = None,
) -> None:
    """List the tasks, or show one with an example.

    A task is a TOML file: what is asked, how an answer is read, how it is scored. See docs/tasks.md.
    """
    from biogpt.tasks.listing import describe_task, list_tasks

    print(describe_task(name) if name else list_tasks())


@app.command(no_args_is_help=False)
@plain_endings()
def models() -> None:
    """List the bundled models: what each does, how good it is, how large."""
    from biogpt.extraction.model_list import list_models

    print(list_models())


@app.command(no_args_is_help=False)
@plain_endings()
def env() -> None:
    """Print versions and hardware, for a bug report."""
    from biogpt.environment import describe_environment

    print(describe_environment())


@app.command(no_args_is_help=True)
@plain_endings()
def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Documents: files, directories, or - for stdin, the default."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", "-t", metavar="TASK", help="What to look for: the model that is bundled for it is used."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="A model that 'biogpt finetune' made: a directory or a hub id."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write there; a killed run then goes on by the same command."
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="jsonl, csv, tsv, pubtator, bioc-xml, bioc-json or brat; else the input's."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Make a page, too, with what was found highlighted.")
    ] = None,
    input_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the files hold, where neither name nor content tells.")
    ] = None,
    is_unconstrained: Annotated[
        bool, typer.Option("--unconstrained", help="Let the model write freely, whether or not it can be read.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Documents that are read at once.")] = 8,
) -> None:
    """Find in documents what a model was tuned for.

    Reads text, JSON lines, PubMed XML, PubTator, BioC, brat and tables, and writes the same documents with what was
    found: names with their places, relations, answers, each with a score. See docs/predict.md.
    """
    if task is None and model is None:
        raise typer.BadParameter("Give --task or --model: what shall be looked for?")
    if not files and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("Give files, a directory, or documents on stdin.")
    from biogpt.extraction.task_models import find_task_model
    from biogpt.mining.inputs import find_inputs
    from biogpt.mining.local import Target, choose_format, predict_files

    found = find_task_model(model, task)
    inputs = find_inputs(files or ["-"], sys.stdin.buffer, input_format, _print_skipped)
    stream = None if output else sys.stdout.buffer
    target = Target(choose_format(found.task, format, output, inputs), output, stream, html)
    _quieten_libraries()
    if sys.stderr.isatty():
        quality = found.quality() or "no score on record"
        print(f"biogpt: {found.label}, a model for {found.task.name}: {quality}", file=sys.stderr)
    try:
        with _show_documents(is_wanted=output is not None or not sys.stdout.isatty()) as (on_progress, on_problem):
            summary = predict_files(
                *(found, inputs, target),
                constrained=not is_unconstrained,
                batch_size=batch_size,
                on_problem=on_problem,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        if output:
            print(f"biogpt: stopped; the same command goes on with {output}.", file=sys.stderr)
        raise
    print(f"biogpt: {summary}", file=sys.stderr)
    summary.check()


@app.command(no_args_is_help=True)
@plain_endings()
def evaluate(
    task: Annotated[str, typer.Option("--task", "-t", metavar="TASK", help="A task's name, or your own TOML file.")],
    data: Annotated[Path, typer.Option(metavar="PATH", help="The data set's directory, or one file of it.")],
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSONL, JSON, CSV, PubTator, or a completion per line.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="A tuned model: its predictions are made, and scored."),
    ] = None,
    is_unconstrained: Annotated[
        bool, typer.Option("--unconstrained", help="Let the model write freely, as published figures were made.")
    ] = False,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, dev or test.")] = "test",
    empty_documents: Annotated[
        str | None, typer.Option(metavar="drop|keep", help="Whether documents without relations count.")
    ] = None,
    target_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="The wording of the completions; 'biogpt tasks TASK' lists them.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write report.json, report.md, report.png and a model's predictions there.",
        ),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Texts that a model reads at once.")] = 8,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the bootstrap.")] = 0,
) -> None:
    """Score a model, or predictions that someone made.

    Prints each figure with its 95 % interval beside the published one, and what could not be read. With --output a run
    that was killed goes on where it was.
    """
    if (predictions is None) == (model is None):
        raise typer.BadParameter("Give either --model or --predictions.")
    if is_unconstrained and model is None:
        raise typer.BadParameter("--unconstrained says how a model writes: give it with --model.")
    from biogpt.evaluation.runs import evaluate as evaluate_task
    from biogpt.tasks.task import load_task

    settings = {"empty_documents": empty_documents, "target_format": target_format}
    loaded = load_task(task, **{key: value for key, value in settings.items() if value is not None})
    _quieten_libraries()
    with _show_count("Predicting") as on_progress:
        report = evaluate_task(
            *(loaded, data),
            model=model,
            predictions=predictions,
            split=split,
            constrained=not is_unconstrained,
            batch_size=batch_size,
            seed=seed,
            output=output,
            on_progress=on_progress,
        )
    print(report.as_json() if is_json else report.as_text(), end="\n" if is_json else "")
    if output:
        report.write(output)


def _print_skipped(problem: object) -> None:
    print("biogpt: skipped", *str(problem).split(), file=sys.stderr)


def _load_engine(name: str) -> "Engine":
    """The engine; what takes time is announced where someone is looking at stderr."""
    from biogpt.model.checkpoint import resolve_model

    _quieten_libraries()
    path = resolve_model(name)  # before the heavy imports: a wrong name is known at once
    with _show_status(f"Loading {name}") if sys.stderr.isatty() else contextlib.nullcontext():
        from biogpt.engine.engine import Engine

        return Engine.from_pretrained(path)


def _quieten_libraries() -> None:
    """Keep the libraries' warnings, and progress bars that no one sees, off stderr, unless the user asked for them.

    Our own warnings are printed, on one line each.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module="biogpt")
        warnings.showwarning = _print_warning  # type: ignore[assignment]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # read when they are imported
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _print_warning(message: Warning | str, *_: Any) -> None:
    """One line, without the place in our code."""
    print("biogpt: warning:", *str(message).split(), file=sys.stderr)


def _show_status(text: str) -> contextlib.AbstractContextManager[object]:
    from rich.console import Console

    return Console(stderr=True).status(text)


def _print_stream(prompt: str, texts: Iterator[str]) -> None:
    print(prompt, end="", flush=True)
    for text in texts:
        print(text, end="", flush=True)
    print()


def _as_json(completion: "Completion") -> str:
    record: dict[str, Any] = asdict(completion)
    del record["token_ids"], record["token_scores"]
    record["score"] = round(completion.score, 6)
    return json.dumps(record, ensure_ascii=False)


def _show_progress(completed: Iterator[Sequence["Completion"]], num_prompts: int) -> Iterator[Sequence["Completion"]]:
    """Hand over what comes, with a bar on stderr where someone looks at stderr and the output goes elsewhere."""
    if sys.stdout.isatty() or not sys.stderr.isatty():
        yield from completed
        return
    from rich.console import Console
    from rich.progress import Progress

    # Left to itself, rich would take over stdout and print the data beside the bar.
    with Progress(console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False) as progress:
        yield from progress.track(completed, total=num_prompts, description="Generating")


@contextlib.contextmanager
def _show_count(description: str) -> Iterator[Callable[[int, int], None]]:
    """A function to tell how many of how many are done, with a bar on stderr where someone looks at it."""
    if not sys.stderr.isatty():
        yield lambda num_done, num_all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task(description)
        yield lambda num_done, num_all: progress.update(bar, completed=num_done, total=num_all)


@contextlib.contextmanager
def _show_documents(is_wanted: bool) -> Iterator[tuple[Callable[[object], None], Callable[[object], None]]]:
    """Functions to tell how far a run is and what it skips, with a line on stderr where someone looks at it."""
    if not is_wanted or not sys.stderr.isatty():
        yield lambda summary: None, _print_skipped
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status("Loading the model") as status:
        yield (
            lambda summary: status.update(Text(str(summary))),
            lambda problem: console.print(f"biogpt: skipped {problem}", markup=False, highlight=False, soft_wrap=True),
        )


def _write_utf8() -> None:
    """Write UTF-8 even where the system's own encoding could not express a Greek letter."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _silence_stdout() -> None:
    """Keep the interpreter from failing on what is left in the buffer when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
