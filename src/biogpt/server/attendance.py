"""Attendance: work goes on only as long as its client waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class ClientGoneError(Exception):
    """No one waits for the answer."""


async def while_attended(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work, and cancel it when the client hangs up.

    Args:
        request: whose body has been read.
        work: frees what it holds when it is cancelled.

    Raises:
        ClientGoneError: the client has hung up.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class OwningStream(StreamingResponse):
    """A stream that frees what it holds when it ends, however it ends, even where no part of it was ever asked for.

    Args:
        parts: of the answer; they stop being asked for when the client hangs up.
        held: closed at the end.
        media_type: of the answer.
    """

    def __init__(self, parts: AsyncIterator[str], held: contextlib.AsyncExitStack, media_type: str) -> None:
        # A proxy that gathers an answer before it passes it on would make a stream useless.
        super().__init__(parts, media_type=media_type, headers={"x-accel-buffering": "no"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)
