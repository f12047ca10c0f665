"""`biogpt tasks`: what can be asked."""

from typing import Annotated

import typer


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Name or TOML file; by default all are listed."),
    ] = None,
) -> None:
    """List the tasks, or show one with an example.

    A task is a TOML file: what is asked, how an answer is read, how it is scored. See docs/tasks.md.
    """
    from biogpt.tasks.listing import describe_task, list_tasks

    print(describe_task(name) if name else list_tasks())
