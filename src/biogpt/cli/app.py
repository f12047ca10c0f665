"""The program: its verbs, `--verbose` and `--quiet`, and its exit codes.

Exit codes: 0 done, 1 an error of ours in one line on stderr, 2 wrong usage, 130 interrupted. A reader that closes the
pipe early (`| head -1`) has what it wanted: that is 0.
"""

import contextlib
import functools
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

import biogpt
from biogpt.cli import console, options
from biogpt.cli.bench import bench
from biogpt.cli.convert import convert
from biogpt.cli.env import env
from biogpt.cli.evaluate import evaluate
from biogpt.cli.finetune import finetune
from biogpt.cli.generate import generate
from biogpt.cli.mine import mine
from biogpt.cli.models import models
from biogpt.cli.predict import predict
from biogpt.cli.pretrain import pretrain
from biogpt.cli.serve import serve
from biogpt.cli.summarize import summarize
from biogpt.cli.tasks import tasks
from biogpt.errors import BioGptError, is_out_of_memory

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def plain_endings() -> Iterator[None]:
    """Turn errors, interruption and a closed pipe into exit codes, without tracebacks. Every verb runs in it."""
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
    except (MemoryError, RuntimeError) as error:
        if not _is_of_hardware(error):
            raise
        _silence_stdout()
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        advice = "give a smaller --batch-size, a smaller model, or another --device"
        problem = "There is not enough memory" if is_out_of_memory(error) else "The device failed"
        print(f"biogpt: {problem} ({reason}). What is written is kept: {advice}.", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        _silence_stdout()
        place, why = error.filename or "the output", error.strerror or error
        print(f"biogpt: Cannot read or write {place}: {why}. Check the path and the disk's space.", file=sys.stderr)
        raise SystemExit(1) from None


def _is_of_hardware(error: Exception) -> bool:
    """Whether the machine is to blame, not the program: no memory, or a GPU that fails."""
    return is_out_of_memory(error) or type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def as_verb(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a verb: with `--verbose` and `--quiet`, and with plain endings."""

    @functools.wraps(function)
    def run(verbose: int, quiet: bool, **arguments: Any) -> None:
        if verbose or quiet:  # else what stands before the verb holds
            console.configure(verbose, quiet)
        started_at = time.monotonic()
        with plain_endings():
            function(**arguments)
        _logger.info("%s took %.1f s", function.__name__, time.monotonic() - started_at)

    signature = inspect.signature(function)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, default, annotation in (("verbose", 0, options.Verbose), ("quiet", False, options.Quiet))
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined]
    run.__annotations__ = {**function.__annotations__, **{one.name: one.annotation for one in more}}
    return run


app: typer.Typer = typer.Typer(
    name="biogpt",
    help=biogpt.__doc__.partition("\n")[0] if biogpt.__doc__ else None,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_NEED_ARGUMENTS = {predict, mine, summarize, evaluate, finetune, pretrain, convert}
_VERBS = (
    *(generate, predict, mine, summarize, evaluate, finetune, pretrain, serve, convert, bench, tasks, models, env),
)
for _function in _VERBS:
    app.command(no_args_is_help=_function in _NEED_ARGUMENTS)(as_verb(_function))


def main() -> None:
    """Run the command line with the arguments of this process."""
    console.write_utf8()
    app(prog_name="biogpt")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"biogpt {biogpt.__version__}")
        raise typer.Exit


@app.callback()
def _biogpt(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    console.configure(verbose, quiet)


def _silence_stdout() -> None:
    """Keep the interpreter from failing on what is left in the buffer when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
