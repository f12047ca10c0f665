"""Extraction worker: slices that requests share, fairly; a failure stays with the document that caused it."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from biogpt.documents.types import Passage, make_document
from biogpt.server.extraction_worker import ExtractionJob, ExtractionWorker
from biogpt.server.failures import ApiError
from biogpt.server.tickets import Ticket


class FakeExtractor:
    """Notes its slices; each waits until it may go on, where a gate is given."""

    def __init__(self, slices, gate=None, threshold=None):
        self.name, self.threshold = "fake", threshold
        self.task = SimpleNamespace(
            kind=SimpleNamespace(threshold_of="", reads_sentences=False), inference=SimpleNamespace(threshold=0)
        )
        self.predictor = SimpleNamespace(batch_size=4)
        self.slices, self.gate = slices, gate

    def with_threshold(self, threshold):
        return FakeExtractor(self.slices, self.gate, threshold)

    def extract_documents(self, sources):
        if self.gate:
            assert self.gate.acquire(timeout=10)
        self.slices.append(([document.id for document, _ in sources], self.threshold))
        if any("bad" in document.id for document, _ in sources):
            raise MemoryError
        return iter([document for document, _ in sources])


def sources_of(*ids):
    return [(index, (make_document(id, [Passage("text")]), {})) for index, id in enumerate(ids)]


async def results_of(ticket, number):
    return [await ticket.result(10) for _ in range(number)]


def test_a_long_request_does_not_hold_up_a_short_one():
    slices, gate = [], threading.Semaphore(0)
    worker = ExtractionWorker(FakeExtractor(slices, gate), 10, lambda size: None)

    async def main():
        long, short = ExtractionJob(Ticket()), ExtractionJob(Ticket())
        worker.submit(long, sources_of(*(f"long{number}" for number in range(20))))
        while len(long.sources) == 20:  # until the first slice is under way
            await asyncio.sleep(0.01)
        worker.submit(short, sources_of("short"))
        gate.release(100)
        await results_of(short.ticket, 1)
        assert len(await results_of(long.ticket, 20)) == 20

    asyncio.run(main())
    worker.close(10)
    places = [index for index, (ids, _) in enumerate(slices) if "short" in ids]
    assert places == [1], "in the slice after the one that was under way"
    assert [len(ids) for ids, _ in slices][:3] == [4, 2, 4], "and not with more documents of the long one than its own"


def test_documents_of_many_requests_share_slices_but_not_across_thresholds():
    slices, gate = [], threading.Semaphore(0)
    worker = ExtractionWorker(FakeExtractor(slices, gate), 100, lambda size: None)

    async def main():
        jobs = [ExtractionJob(Ticket(), 0.9 if number % 2 else None) for number in range(9)]
        for number, job in enumerate(jobs):
            worker.submit(job, sources_of(str(number)))
        gate.release(100)
        for job in jobs:
            await results_of(job.ticket, 1)

    asyncio.run(main())
    worker.close(10)
    for ids, threshold in slices:
        assert all((threshold == 0.9) == (int(id) % 2 == 1) for id in ids)
    assert len(slices) <= 5


def test_a_document_that_fails_takes_no_other_with_it():
    slices = []
    worker = ExtractionWorker(FakeExtractor(slices), 10, lambda size: None)

    async def main():
        job = ExtractionJob(Ticket())
        worker.submit(job, [])
        worker.submit(job, sources_of("a", "bad", "b"))
        return {result.document.id: result.error for result in await results_of(job.ticket, 3)}

    found = asyncio.run(main())
    worker.close(10)
    assert found["a"] is None
    assert found["b"] is None
    assert isinstance(found["bad"], MemoryError)


def test_what_no_one_waits_for_is_not_read():
    slices, gate = [], threading.Semaphore(0)
    worker = ExtractionWorker(FakeExtractor(slices, gate), 10, lambda size: None)

    async def main():
        gone, other = ExtractionJob(Ticket()), ExtractionJob(Ticket())
        gone.ticket.is_cancelled = True
        worker.submit(gone, sources_of("gone"))
        worker.submit(other, sources_of("other"))
        gate.release(5)
        await results_of(other.ticket, 1)

    asyncio.run(main())
    worker.close(10)
    assert [ids for ids, _ in slices] == [["other"]]


def test_the_queue_is_bounded_and_a_worker_that_stops_takes_no_one():
    worker = ExtractionWorker(FakeExtractor([]), 2, lambda size: None)
    entered = [worker.enter(), worker.enter()]
    with pytest.raises(ApiError) as refused:
        worker.enter()
    assert refused.value.status == 429
    assert int(refused.value.headers["retry-after"]) >= 1
    worker.leave(entered[0])
    worker.enter()
    worker.close(1)
    with pytest.raises(ApiError) as stopped:
        worker.enter()
    assert stopped.value.status == 503
