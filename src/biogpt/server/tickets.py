"""Tickets: what a request holds while a model's thread works for it.

Requests live in an event loop, models in threads: a model is Python and PyTorch that no loop could wait for. A ticket
is the only thing that both touch.
"""

import asyncio
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from biogpt.server.failures import ApiError


class Ticket:
    """A request's place with a model. Made in the event loop; `deliver` is called from the model's thread."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self._loop = asyncio.get_running_loop()
        self._results: asyncio.Queue[Any] = asyncio.Queue()

    def deliver(self, result: Any) -> None:
        """Hand a result over; an exception is raised where it is awaited."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._results.put_nowait, result)

    async def result(self, seconds: float) -> Any:
        """The next result.

        Args:
            seconds: how long it may take.

        Raises:
            TimeoutError: it took longer.
        """
        async with asyncio.timeout(seconds):
            result = await self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result


class Worker(ABC):
    """Works for all requests to one model, in one thread or several.

    Args:
        name: the model's, for messages.
        max_waiting: requests that are accepted and not yet answered; one more is refused.
        num_threads: how many call `_run`.
    """

    def __init__(self, name: str, max_waiting: int, num_threads: int = 1) -> None:
        self.name = name
        self.num_waiting: int = 0
        """Requests that are accepted and not yet answered."""
        self._max_waiting = max_waiting
        self._seconds = 1.0  # of a request, lately
        self._condition = threading.Condition()
        self._is_closed = False
        self._num_threads = num_threads
        self._threads: list[threading.Thread] = []

    def enter(self) -> float:
        """Take a request in; `leave` must follow. Called in the event loop.

        Returns:
            What `leave` wants to be given.

        Raises:
            ApiError: there are too many already, or the server is about to stop.
        """
        if self._is_closed:
            raise ApiError(
                503, "The server is stopping. Try another one, or later.", type="server_error", code="stopping"
            )
        if self.num_waiting >= self._max_waiting:
            seconds = min(60, math.ceil(self._seconds))
            raise ApiError(
                429,
                f"{self.num_waiting} requests wait for the model '{self.name}' already, expected fewer. Try again in "
                f"{seconds} s.",
                type="rate_limit_error",
                code="queue_full",
                retry_after=seconds,
            )
        self.num_waiting += 1
        return time.monotonic()

    def leave(self, entered_at: float) -> None:
        """A request is answered, or given up."""
        self.num_waiting -= 1
        self._seconds += 0.1 * (time.monotonic() - entered_at - self._seconds)

    def close(self, seconds: float) -> None:
        """Stop after what is under way."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _wake(self) -> None:
        """Have the threads look for work; begin them where there are none. Called with the condition held."""
        if not self._threads:
            # Daemons: a process that is to end does not wait for a pass that hangs.
            self._threads = [
                threading.Thread(target=self._run, name=f"biogpt-{self.name}-{number}", daemon=True)
                for number in range(self._num_threads)
            ]
            for thread in self._threads:
                thread.start()
        self._condition.notify_all()

    @abstractmethod
    def _run(self) -> None:
        """Work until closed. Never raises: an error goes to the tickets that it concerns."""


OnBatch = Callable[[int], None]
"""Called with the number of texts or rows of each pass."""
