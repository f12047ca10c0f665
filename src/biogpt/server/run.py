"""Run: the server as a process, from its socket to its end."""

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from biogpt.errors import InputError
from biogpt.server.limits import Limits
from biogpt.server.memory import share_arenas

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens. Opened before anything is loaded, so that a port that is taken is known at once.

    Args:
        host: an address or a name.
        port: 0: any that is free.

    Raises:
        InputError: the port is taken, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another with --port or --host; is a server "
            "running there already?"
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url_of(host: str, listener: socket.socket) -> str:
    """The address to tell a user."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Any, listener: socket.socket, limits: Limits, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM: then no one new is let in, and what runs is finished.

    Args:
        app: from `create_app`.
        listener: from `open_socket`.
        limits: how long finishing may take.
        on_ready: called once requests are answered.
    """
    share_arenas()
    make_server(app, limits, on_ready).run(sockets=[listener])


def make_server(app: Any, limits: Limits, on_ready: Callable[[], None]) -> uvicorn.Server:
    """The server of `run`, which stops when its `should_exit` is set."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,  # the app writes its own, without texts
        server_header=False,
        timeout_graceful_shutdown=max(1, int(limits.shutdown_seconds)),
    )
    return _Server(config, on_ready)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and ends a process that was told to stop without an error."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # only that one is told of signals
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:  # asked twice: at once
            self.force_exit = True
        self.should_exit = True
