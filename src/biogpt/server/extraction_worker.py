"""Extraction worker: documents of all requests to one task model, in small slices that they share.

Each slice takes a document of each waiting request in turn, so that a request with many documents does not hold up one
with few, and requests of one document each still fill a batch.
"""

import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from biogpt.documents import Document
from biogpt.extraction.conversion import Source
from biogpt.extraction.linking import Linker
from biogpt.server.memory import give_back
from biogpt.server.tickets import OnBatch, Ticket, Worker

if TYPE_CHECKING:
    from biogpt.extraction.extractor import Extractor

_logger = logging.getLogger(__name__)

_SENTENCE_CHARACTERS = 150  # of an average sentence
_SLICES_PER_CLEANING = 50
_SLICE_CHARACTERS = 16_000  # a slice of long documents has few of them, so that none waits long for the next slice


@dataclass(frozen=True)
class Extracted:
    """A document with what was found in it."""

    index: int
    """Which one of the request it is."""
    document: Document
    error: Exception | None = None
    """Why nothing could be extracted from it."""


@dataclass(eq=False)
class ExtractionJob:
    """The documents of one request that are still to be read."""

    ticket: Ticket
    threshold: float | None = None
    linker: Linker | None = None
    """Finds identifiers for what is found."""
    sources: deque[tuple[int, Source]] = field(default_factory=deque)


class ExtractionWorker(Worker):
    """Extracts for all requests to one model.

    Several slices side by side, a core each, are faster than one slice that all cores share: an operation of a small
    model is too short to be split. A slice that is alone has all cores.

    Args:
        extractor: the model; only this worker's threads use it.
        max_waiting: see `Worker`.
        on_batch: see `OnBatch`.
        num_cores: that the model may use: so many slices are read side by side. None: the model does not compute on
            this machine's cores.
    """

    def __init__(
        self, extractor: "Extractor", max_waiting: int, on_batch: OnBatch, num_cores: int | None = None
    ) -> None:
        from biogpt.engine.cores import MAX_SIDE_BY_SIDE  # torch, which is loaded with the model

        super().__init__(extractor.name, max_waiting, min(num_cores or 1, MAX_SIDE_BY_SIDE))
        self._num_cores = num_cores
        self._num_idle = self._num_threads
        self._num_slices = 0
        self._extractors = {extractor.threshold: extractor}
        self._default = extractor
        self._on_batch = on_batch
        self._jobs: deque[ExtractionJob] = deque()  # those with sources
        predictor = extractor.predictor
        # A slice is as small as it can be without costing speed: others wait for its end.
        self._slice_size = predictor.batch_size
        self._slice_characters = _SLICE_CHARACTERS
        if extractor.task.kind.reads_sentences:
            self._slice_characters = predictor.window_size * _SENTENCE_CHARACTERS

    def submit(self, job: ExtractionJob, sources: Sequence[tuple[int, Source]]) -> None:
        """Have documents read; each comes back over the job's ticket, as an `Extracted`, in any order.

        Args:
            job: of a request; may be submitted again with further documents.
            sources: each with its number in the request.
        """
        if not sources:
            return
        with self._condition:
            if not job.sources:
                self._jobs.append(job)
            job.sources.extend(sources)
            self._wake()

    def _run(self) -> None:
        while taken := self._next_slice():
            self._on_batch(len(taken))
            try:
                self._extract(taken)
            except Exception as error:
                # One of them may be to blame: each alone, so that the others get their answers.
                _logger.info("%d documents failed (%s): each alone", len(taken), type(error).__name__)
                self._extract_each(taken)
            with self._condition:
                self._num_idle += 1
                self._num_slices += 1
                is_due = self._num_slices % _SLICES_PER_CLEANING == 0
            if is_due:
                give_back()

    def _extract_each(self, taken: Sequence[tuple[ExtractionJob, int, Source]]) -> None:
        for job, index, source in taken:
            try:
                self._extract([(job, index, source)])
            except Exception as error:
                job.ticket.deliver(Extracted(index, source[0], error))

    def _next_slice(self) -> list[tuple[ExtractionJob, int, Source]]:
        """The next documents to read together; none once closed."""
        with self._condition:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.ticket.is_cancelled)
                if self._jobs:
                    taken = self._take()
                    self._num_idle -= 1
                    self._share_cores()
                    return taken
                if self._is_closed:
                    return []
                self._condition.wait()

    def _take(self) -> list[tuple[ExtractionJob, int, Source]]:
        num_documents = sum(len(job.sources) for job in self._jobs)
        size = min(self._slice_size, math.ceil(num_documents / self._num_idle))  # the idle ones get their part
        threshold = self._jobs[0].threshold
        taken: list[tuple[ExtractionJob, int, Source]] = []
        num_characters = 0
        passed_over: list[ExtractionJob] = []
        served: set[ExtractionJob] = set()
        while self._jobs and len(taken) < size and num_characters < self._slice_characters:
            job = self._jobs.popleft()
            if job.threshold != threshold:
                passed_over.append(job)
                continue
            if job in served and len(served) > 1:  # a second document of one would make the others wait for it
                self._jobs.appendleft(job)
                break
            served.add(job)
            index, source = job.sources.popleft()
            taken.append((job, index, source))
            num_characters += len(source[0].text)
            if job.sources:
                self._jobs.append(job)
        self._jobs.extendleft(reversed(passed_over))
        return taken

    def _share_cores(self) -> None:
        """Have the calling thread use its part of the cores."""
        if self._num_cores is None:
            return
        import torch  # loaded with the model

        is_alone = not self._jobs and self._num_idle == self._num_threads - 1
        num_cores = self._num_cores if is_alone else max(1, self._num_cores // self._num_threads)
        if torch.get_num_threads() != num_cores:  # of this thread
            torch.set_num_threads(num_cores)

    def _extract(self, taken: Sequence[tuple[ExtractionJob, int, Source]]) -> None:
        extractor = self._extractor(taken[0][0].threshold)
        documents = extractor.extract_documents([source for _, _, source in taken])
        # All of them before any is handed over: should one fail, none has been delivered twice.
        for (job, index, _), document in zip(taken, list(documents), strict=True):
            linked = document if job.linker is None else job.linker.link_document(document)
            job.ticket.deliver(Extracted(index, linked))

    def _extractor(self, threshold: float | None) -> "Extractor":
        """The same model with another threshold."""
        if threshold is None or threshold == self._default.threshold:
            return self._default
        if threshold not in self._extractors:
            if len(self._extractors) > 100:
                self._extractors.clear()
            self._extractors[threshold] = self._default.with_threshold(threshold)
        return self._extractors[threshold]
