"""The command line in this process: what a new one would print, and its exit code, without its seconds of start.

What depends on the process is tested with real ones: signals, pipes, terminals, sockets, and what is imported.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from typer.testing import CliRunner

from biogpt.cli.app import app


@dataclass(frozen=True)
class Ended:
    """How a command ended, with the names of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object, stdin: str | bytes = "", environment: Mapping[str, str] | None = None) -> Ended:
    """Run `biogpt` with these arguments; an exception that a user would see as a traceback is raised."""
    logger = logging.getLogger("biogpt")
    level, handlers = logger.level, list(logger.handlers)
    try:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=environment)
    finally:  # the log as it was
        logger.setLevel(level)
        logger.handlers[:] = handlers
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
