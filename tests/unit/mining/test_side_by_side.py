"""Slices side by side: in order, from threads and then from processes, which may die."""

import multiprocessing
import os
import pickle
import signal
import time
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from types import SimpleNamespace

import pytest
import torch

from biogpt.documents import Extraction
from biogpt.documents.types import Passage, make_document
from biogpt.errors import DataError
from biogpt.extraction.task_models import find_task_model
from biogpt.mining.local import _extract_groups, _load_extractor
from biogpt.mining.side_by_side import NUM_BEFORE_PROCESSES, extract_slices

NUM_SLICES = 400  # as many as a slow machine may need


@dataclass(frozen=True)
class Marker:
    """Marks each document with its id and with the process that it was extracted from in."""

    dies_at: str = ""
    home: int = 0
    fails_at: str = ""

    def extract_documents(self, sources):
        for document, _ in sources:
            if document.id == self.dies_at and os.getpid() != self.home:
                os.kill(os.getpid(), signal.SIGKILL)
            if document.id == self.fails_at:
                raise DataError(f"no {document.id}")
            yield document.with_extraction(Extraction(annotator=f"{document.id} {os.getpid()}"))

    def load(self):
        """Another one, in another process."""
        if self.dies_at == "start":
            raise MemoryError
        if self.dies_at == "never":
            time.sleep(120)
        return self


def slices(seen, most=NUM_SLICES):
    """Slices of two documents, so long that a process has the time to begin, until one was seen at work."""
    for number in range(most):
        if number > NUM_BEFORE_PROCESSES:
            time.sleep(0.05)
        if len(set(seen)) > 1 and number > seen.index(seen[-1]) + 20:
            return
        yield [(make_document(f"{number}-{place}", [Passage("text")], native=object), {}) for place in "ab"]


def run(marker):
    ids, processes = [], []
    given = slices(processes, 80 if marker.dies_at == "start" else NUM_SLICES)
    for part, documents in extract_slices(marker, marker.load, given, 2):
        for (source, _), document in zip(part, documents, strict=True):
            identity, process = document.extraction.annotator.split()
            assert identity == document.id == source.id
            assert document.native is source.native
            ids.append(identity)
            processes.append(int(process))
    assert ids == [f"{number}-{place}" for number in range(len(ids) // 2) for place in "ab"]
    return processes


def test_processes_take_the_place_of_threads(two_threads):
    processes = run(Marker())
    assert set(processes[: 2 * NUM_BEFORE_PROCESSES]) == {os.getpid()}
    assert len(set(processes)) == 2
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("when", ["start", "60-a"])
def test_what_a_process_leaves_is_extracted_here(two_threads, when, capfd):
    assert os.getpid() in run(Marker(dies_at=when, home=os.getpid()))
    assert not capfd.readouterr().err


def test_nothing_waits_for_a_process_that_is_still_loading(two_threads, capfd):
    def interrupted():
        yield from islice(slices([]), NUM_BEFORE_PROCESSES + 1)
        (process,) = multiprocessing.active_children()
        time.sleep(0.5)  # Python runs by then, and imports
        os.kill(process.pid, signal.SIGINT)  # as Ctrl-C does
        time.sleep(0.5)
        assert process.is_alive()

    marker = Marker(dies_at="never")
    begin = time.monotonic()
    assert len(list(extract_slices(marker, marker.load, interrupted(), 2))) == NUM_BEFORE_PROCESSES + 1
    assert time.monotonic() - begin < 60
    assert not multiprocessing.active_children()
    assert not capfd.readouterr().err


@pytest.mark.parametrize("what", ["__init__", "submit"])
def test_processes_that_the_system_refuses_are_done_without(two_threads, what, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(f"concurrent.futures.ProcessPoolExecutor.{what}", refuse)
    marker = Marker()
    made = list(extract_slices(marker, marker.load, islice(slices([]), NUM_BEFORE_PROCESSES + 2), 2))
    assert len(made) == NUM_BEFORE_PROCESSES + 2


@pytest.mark.parametrize("group_size", [2, 4, 8])
def test_what_is_predicted_together_is_the_same_where_a_run_is_taken_up_again(two_threads, group_size):
    class Recorder(Marker):
        predictor = SimpleNamespace(group_size=group_size, window_size=4, num_processes=2)

        def extract_documents(self, sources):
            together.append([document.id for document, _ in sources])
            return list(super().extract_documents(sources))

    def record(first):
        together.clear()
        records = ((make_document(str(number), [Passage("text")]), {}) for number in range(first, 18))
        ends = [len(list(made)) for _, made in _extract_groups(Recorder(), Recorder, records, 2)]
        return list(accumulate(ends)), sorted(together, key=lambda ids: int(ids[0]))

    together = []
    ends, unbroken = record(0)
    for number, end in enumerate(ends, start=1):
        assert record(end)[1] == unbroken[number:]


def test_a_model_is_loaded_in_each_process(two_threads):
    load = partial(_load_extractor, [find_task_model("ncbi_disease")], device="cpu", batch_size=1)
    extractor = load()
    texts = ["Cystic fibrosis is inherited.", "Patients with breast cancer were seen.", "Nothing is said here."]
    sources = [(make_document(text, [Passage(text)]), {}) for text in texts]
    expected = [document.extraction for document in extractor.extract_documents(sources)]
    assert [len(extraction.entities) for extraction in expected] == [1, 1, 0]
    used = pickle.loads(pickle.dumps(load))()
    assert [document.extraction for document in used.extract_documents(sources)] == expected
    made = extract_slices(extractor, load, ([source] for _ in range(8) for source in sources), 2)
    assert [documents[0].extraction for _, documents in made] == 8 * expected


def test_an_error_comes_in_its_turn(two_threads):
    marker = Marker(fails_at="3-b")
    made = extract_slices(marker, marker.load, slices([]), 2)
    assert [len(next(made)[1]) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(DataError, match="no 3-b"):
        next(made)
