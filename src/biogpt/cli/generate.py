"""`biogpt generate`: continue texts."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biogpt.cli import console, options
from biogpt.decoding.settings import GenerationSettings, change_settings
from biogpt.engine.prompts import check_prompt, parse_prompts, read_prompt_file

if TYPE_CHECKING:
    from biogpt.engine.engine import Completion, Engine


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT", help="Texts to continue; by default read from stdin."),
    ] = None,
    model: options.Model = "mini",
    input_path: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="One prompt per line, or JSONL with 'prompt' or 'text'."),
    ] = None,
    is_json: options.Json = False,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", help="Stop after N tokens.")
    ] = GenerationSettings.max_new_tokens,
    min_new_tokens: Annotated[
        int, typer.Option(metavar="N", help="Do not end the text before N tokens.")
    ] = GenerationSettings.min_new_tokens,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="Below 1 is more deterministic, above 1 more random; 0 is greedy.",
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
    seed: options.Seed = GenerationSettings.seed,
    settings: options.Set = None,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeChoice.auto,
    revision: options.Revision = None,
) -> None:
    """Continue texts.

    Each prompt is printed with its continuation, one line per completion; a single completion is printed while it is
    generated. With --json each line is an object with the prompt, the text, its tokens, its score and why it
    stopped. --set overrides the option of the same name.
    """
    if prompts and input_path:
        raise typer.BadParameter("Give prompts as arguments or with --input, not both.")
    if not prompts and not input_path and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("Give a prompt: as an argument, with --input, or on stdin.")
    given = {
        "max_new_tokens": max_new_tokens,
        "min_new_tokens": min_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "num_beams": num_beams,
        "num_return_sequences": num_return_sequences,
        "seed": seed,
    }
    chosen = change_settings(GenerationSettings(), {**given, **options.parse_settings(settings)})
    if not prompts:
        prompts = read_prompt_file(input_path) if input_path else parse_prompts(sys.stdin.buffer, "stdin")
    for prompt in prompts:
        check_prompt(prompt)  # the engine does it, too, but loading it takes a while
    engine = _load_engine(options.at_revision(model, revision), device, str(dtype), batch_size)
    if len(prompts) == chosen.num_return_sequences == chosen.num_beams == 1 and not is_json:
        _print_stream(prompts[0], engine.stream(prompts[0], chosen))
        return
    from biogpt.progress import track

    is_wanted = console.is_watched() and not sys.stdout.isatty()  # else the output itself shows how far it is
    completed = engine.generate_each(prompts, chosen)
    for completions in track(completed, "Generating", len(prompts), unit="prompts", is_wanted=is_wanted):
        for completion in completions:
            print(_as_json(completion) if is_json else completion.prompt + completion.text, flush=True)


def _load_engine(name: str, device: str, dtype: str, batch_size: int) -> "Engine":
    """The engine; what takes time is announced where someone is looking at stderr."""
    from biogpt.model.checkpoint import resolve_model

    path = resolve_model(name)  # before the heavy imports: a wrong name is known at once
    from biogpt.progress import status_line

    with status_line(f"Loading {name}", console.is_watched()):
        from biogpt.engine.engine import Engine

        return Engine.from_pretrained(path, device=device, dtype=dtype, batch_size=batch_size)


def _print_stream(prompt: str, texts: Iterator[str]) -> None:
    print(prompt + next(texts, ""), end="", flush=True)  # not before the first piece: messages may come until then
    for text in texts:
        print(text, end="", flush=True)
    print()


def _as_json(completion: "Completion") -> str:
    record: dict[str, Any] = asdict(completion)
    del record["token_ids"], record["token_scores"]
    record["score"] = round(completion.score, 6)
    return json.dumps(record, ensure_ascii=False)
