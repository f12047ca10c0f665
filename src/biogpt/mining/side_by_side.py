"""Side by side: slices of documents that are extracted from at once, a core each, in their order.

A small model's operations are too short to be split between cores, and threads of one process wait for each other's
Python. So once there are many documents, processes are started that load the model themselves; each takes the place of
a thread when it is ready. One that cannot start, or dies, loses nothing: its slices are extracted from here. Nothing
waits for one at the end, which may still be loading.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Protocol

from biogpt.documents import Document, Extraction
from biogpt.extraction.conversion import Source

NUM_BEFORE_PROCESSES = 4
"""Slices that are handed to threads before processes are started: fewer are done before these would be ready."""

_AHEAD = 3  # slices for each worker ahead of the results that are asked for

_logger = logging.getLogger(__name__)


class DocumentExtractor(Protocol):
    """`Extractor` or `JointExtractor`."""

    def extract_documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        """The documents with what is extracted from them."""
        ...


def extract_slices(
    extractor: DocumentExtractor,
    load: Callable[[], DocumentExtractor],
    slices: Iterable[Sequence[Source]],
    num_workers: int,
) -> Iterator[tuple[Sequence[Source], list[Document]]]:
    """Extract from slices of documents, several at once.

    Args:
        extractor: runs on the CPU.
        load: makes another one like it; it is sent to the processes.
        slices: a few are taken ahead of the results that are asked for.
        num_workers: how many slices are extracted from at once, at least 2.

    Returns:
        An iterator over the slices, each with its documents and what was extracted from them.
    """
    import torch

    num_threads = torch.get_num_threads()
    own = max(1, num_threads // num_workers)
    threads = [_start_thread(extractor, own) for _ in range(num_workers)]
    processes: list[_Worker] = []
    running: deque[tuple[Sequence[Source], Future[list[Extraction | None]]]] = deque()

    def finish() -> tuple[Sequence[Source], list[Document]]:
        part, future = running.popleft()
        try:
            extractions = future.result()
        except BrokenProcessPool:
            extractions = threads[0].submit(part).result()
        found = zip(part, extractions, strict=True)
        return part, [replace(document, extraction=extraction) for (document, _), extraction in found]

    try:
        for number, part in enumerate(slices):
            if number == NUM_BEFORE_PROCESSES:
                processes = _start_processes(load, own, num_workers - 1)
            ready = [worker for worker in processes if worker.is_ready()]
            worker = min([*ready, *threads[len(ready) :]], key=_Worker.count_waiting)
            running.append((part, worker.submit(part)))
            if len(running) > _AHEAD * num_workers:
                yield finish()
        while running:
            yield finish()
    finally:
        for worker in processes:
            worker.stop()
        for worker in [*threads, *processes]:
            worker.executor.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)  # PyTorch gives threads that begin later the number that was set last


@dataclass
class _Worker:
    """Extracts from one slice at a time."""

    executor: Executor
    extractor: DocumentExtractor | None
    """None: it has its own, in its process."""
    begun: "Future[None] | None" = None
    """Done when it has begun."""
    line: Connection | None = None
    """To its process, which ends when this is closed."""
    given: "list[Future[list[Extraction | None]]]" = field(default_factory=list)

    def stop(self) -> None:
        """End its process, whatever that does."""
        if self.line is not None:
            self.line.close()

    def is_ready(self) -> bool:
        """Whether it has begun, and did not die."""
        if self.begun is not None and self.begun.done() and (error := self.begun.exception()) is not None:
            _logger.debug("A process for extraction could not start: %r", error)
            return False
        is_broken = any(isinstance(future.exception(), BrokenProcessPool) for future in self.given if future.done())
        return not is_broken and (self.begun is None or self.begun.done())

    def count_waiting(self) -> int:
        """How many slices it has not done."""
        return sum(not future.done() for future in self.given)

    def submit(self, part: Sequence[Source]) -> "Future[list[Extraction | None]]":
        """Hand a slice over."""
        self.given = [future for future in self.given if not future.done() or future.exception()]
        if self.extractor is None:  # what a document is in its file may be large, and decides nothing
            part = [(replace(document, native=None, collection=None), fields) for document, fields in part]
        try:
            future = self.executor.submit(_extract, self.extractor, part)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self.given.append(future)
        return future


def _start_thread(extractor: DocumentExtractor, num_threads: int) -> _Worker:
    import torch

    return _Worker(ThreadPoolExecutor(1, "biogpt", torch.set_num_threads, (num_threads,)), extractor)


def _start_processes(load: Callable[[], DocumentExtractor], num_threads: int, number: int) -> list[_Worker]:
    """So many, or fewer where the system refuses one: it may lack memory, or what processes share."""
    workers: list[_Worker] = []
    try:
        while len(workers) < number:
            workers.append(_start_process(load, num_threads))
    except (OSError, ImportError, NotImplementedError) as error:
        _logger.debug("A process for extraction could not start: %r", error)
    return workers


def _start_process(load: Callable[[], DocumentExtractor], num_threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork would lack PyTorch's threads
    theirs, ours = context.Pipe(duplex=False)
    with theirs:
        executor = ProcessPoolExecutor(1, context, _begin, (load, num_threads, theirs))
        with _without_interrupts():
            begun = executor.submit(_do_nothing)
    return _Worker(executor, None, begun, ours)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started here does not see Ctrl-C, not even while it still imports; this one sees it behind."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_own: list[DocumentExtractor] = []
"""In a process that was started here: its extractor."""


def _begin(load: Callable[[], DocumentExtractor], num_threads: int, line: Connection) -> None:
    """What such a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it; for systems without masks
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    logging.disable(logging.CRITICAL)  # was said already
    import torch

    torch.set_num_threads(num_threads)
    _own.append(load())


def _end_with(line: Connection) -> None:
    """End when the process that started this one closes its end, or has died and could not."""
    try:
        line.poll(None)
    finally:
        os._exit(1)


def _do_nothing() -> None:
    pass


def _extract(extractor: DocumentExtractor | None, part: Sequence[Source]) -> list[Extraction | None]:
    extractor = extractor or _own[0]
    return [document.extraction for document in extractor.extract_documents(part)]
