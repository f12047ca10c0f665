"""A server in a thread of the tests' own process, at a port that is free."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from biogpt.server import run
from biogpt.server.limits import Limits


@contextlib.contextmanager
def serving(app: Any, limits: Limits | None = None) -> Iterator[str]:
    """Serve an app; gives its address."""
    listener = run.open_socket("127.0.0.1", 0)
    is_ready = threading.Event()
    server = run.make_server(app, limits or Limits(), is_ready.set)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    assert is_ready.wait(30)
    try:
        yield run.url_of("127.0.0.1", listener)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
