"""`biogpt serve`: answer over HTTP."""

import logging
import os
from typing import Annotated

import typer

from biogpt.cli import console, options
from biogpt.errors import InputError, MissingExtraError

_KEY_VARIABLE = "BIOGPT_API_KEY"


def serve(
    model: options.Models = None,
    task: options.Tasks = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any that is free.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", envvar=_KEY_VARIABLE, help="What clients must send as 'Authorization: Bearer KEY'."
        ),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A name by which clients call the server, such as that of a proxy."
        ),
    ] = None,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeChoice.auto,
    settings: options.Set = None,
) -> None:
    """Answer over HTTP: completions as OpenAI has them, extraction, and a page for the browser.

    Serves the bundled models unless --model and --task name others; both can be repeated. Each is loaded when it is
    first asked for. --set changes a limit, such as --set max_documents=1000. See docs/serve.md.
    """
    from biogpt.server.limits import change_limits

    limits = change_limits(options.parse_settings(settings))
    try:
        from biogpt.server import run
        from biogpt.server.app import create_app
        from biogpt.server.gate import LOOPBACK_NAMES
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (
            "fastapi",
            "prometheus_client",
            "pydantic",
            "starlette",
            "uvicorn",
        ):
            raise
        raise MissingExtraError(str(error.name), "serve") from None
    if api_key is not None and not api_key.strip():
        raise InputError(f"The API key is empty, expected some characters. Leave out --api-key and {_KEY_VARIABLE}.")
    is_private = run.is_loopback(host)
    names = [*LOOPBACK_NAMES, host, *(allowed_hosts or [])] if is_private or allowed_hosts else []
    listener = run.open_socket(host, port)
    with listener:
        app = create_app(
            model or (),
            task or (),
            device=device,
            dtype=str(dtype),
            batch_size=batch_size,
            api_key=(api_key or "").strip(),
            allowed_hosts=names,
            limits=limits,
        )
        if not is_private and not api_key:
            console.say(f"warning: other machines can use this server without a key; set --api-key or {_KEY_VARIABLE}.")
        _log_requests()
        served = ", ".join(one.name for one in app.state.server.models)
        url = run.url_of(host, listener)
        run.run(app, listener, limits, lambda: console.say(f"listening on {url}, process {os.getpid()}: {served}"))
    console.say("stopped.")


def _log_requests() -> None:
    """Write a line for each request to stderr, as it is: JSON without our name before it."""
    from biogpt.server.gate import access_log

    if not console.is_quiet():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        access_log.handlers = [handler]
        access_log.setLevel(logging.INFO)
        access_log.propagate = False
