"""Jobs: many independent calls, done in this process or in several, with a progress bar.

Knows nothing of what the calls do.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from types import TracebackType
from typing import Any, Self

from biogpt.errors import DataError
from biogpt.progress import ProgressBars

Tick = Callable[[int, int], None]
"""Called during a job with the numbers of documents and of bytes that were done since the last call."""

Job = tuple[Any, ...]
"""The arguments of one call, without the `Tick` that comes last."""

_POLL_SECONDS = 0.2


class JobBoard:
    """Where jobs are done and shown. A context manager: the bar is taken down at its end.

    Args:
        num_workers: how many processes; with 1, all is done in this one.
        progress: show a bar on stderr if that is a terminal.
    """

    def __init__(self, num_workers: int, progress: bool) -> None:
        self._num_workers = num_workers
        self._bars = ProgressBars("bytes", is_wanted=progress)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    @contextmanager
    def stage(self, description: str, num_bytes: int | None) -> Iterator[Tick]:
        """Show one stage of work that is done in this process; `num_bytes` None where there is nothing to count."""
        bar = self._bars.add(description, total=num_bytes)
        totals = [0, 0]

        def tick(documents: int, done_bytes: int) -> None:
            totals[0] += documents
            totals[1] += done_bytes
            bar.update(totals[1], note=f"{totals[0]:,} documents")

        yield tick
        bar.update(totals[1], total=totals[1])

    def run(self, description: str, call: Callable[..., None], jobs: Sequence[Job], num_bytes: int) -> None:
        """Call `call(*job, tick)` for each job, in any order.

        Args:
            description: what the bar says.
            call: a function of a module (other processes import it).
            jobs: arguments.
            num_bytes: what the jobs' ticks will add up to.

        Raises:
            Whatever a call raises; other calls that are under way end at their next tick.
        """
        if not jobs:
            return
        with self.stage(description, num_bytes) as tick:
            if min(self._num_workers, len(jobs)) <= 1:
                for job in jobs:
                    call(*job, tick)
            else:
                _run_in_processes(call, jobs, min(self._num_workers, len(jobs)), tick)


def _run_in_processes(call: Callable[..., None], jobs: Sequence[Job], num_workers: int, tick: Tick) -> None:
    # Not forked: the caller may have threads (torch's, for one), and a forked copy of a threaded process may hang.
    context = multiprocessing.get_context("spawn")
    counters = context.Array("q", 3)  # documents, bytes, whether to stop
    seen = [0, 0]

    def report() -> None:
        now = [counters[0], counters[1]]
        tick(now[0] - seen[0], now[1] - seen[1])
        seen[:] = now

    with ProcessPoolExecutor(num_workers, context, _start_worker, (counters,)) as pool:
        waiting: set[Future[None]] = {pool.submit(_work, call, job) for job in jobs}
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
                report()
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            message = "A worker process was ended from outside, perhaps for lack of memory."
            raise DataError(f"{message} Run again with fewer num_workers; finished work is kept.") from error
        finally:
            counters[2] = 1
            for future in waiting:
                future.cancel()


class _StoppedError(Exception):
    """Ends a job whose outcome nobody waits for."""


_counters: Any = None


def _start_worker(counters: Any) -> None:
    global _counters  # noqa: PLW0603  # set once, before the process's first job
    _counters = counters
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells the others to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, and they would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(call: Callable[..., None], job: Job) -> None:
    call(*job, _tick_counters)


def _tick_counters(documents: int, done_bytes: int) -> None:
    with _counters.get_lock():
        _counters[0] += documents
        _counters[1] += done_bytes
        if _counters[2]:
            raise _StoppedError
