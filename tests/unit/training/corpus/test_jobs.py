"""Jobs in this process and in several."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from biogpt.errors import DataError
from biogpt.training.corpus.jobs import JobBoard, _run_in_processes

# Worker processes import the functions of jobs, which they could not from a test module under every import mode.
CALLS = """
import os, time
from biogpt.errors import DataError

def write_square(directory, number, tick):
    tick(1, number)
    (directory / str(number)).write_text(str(number * number))

def fail_at_three(directory, number, tick):
    if number == 3:
        raise DataError("three cannot be used")
    for _ in range(1200):
        time.sleep(0.05)
        tick(0, 1)
    (directory / "done").touch()

def end_process(tick):
    os._exit(9)
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "calls_of_jobs.py").write_text(CALLS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("calls_of_jobs")
    del sys.modules["calls_of_jobs"]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_all_jobs_are_done(calls: ModuleType, tmp_path: Path, num_workers: int) -> None:
    (tmp_path / "squares").mkdir()
    with JobBoard(num_workers, progress=True) as board:
        board.run("Squaring", calls.write_square, [(tmp_path / "squares", number) for number in range(10)], 45)
        board.run("Nothing", calls.write_square, [], 0)
    squares = {int(path.name): int(path.read_text()) for path in (tmp_path / "squares").iterdir()}
    assert squares == {number: number * number for number in range(10)}


def test_the_ticks_of_all_processes_add_up(calls: ModuleType, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    jobs = [(tmp_path, number) for number in range(10)]
    _run_in_processes(calls.write_square, jobs, 2, lambda documents, done_bytes: ticks.append((documents, done_bytes)))
    assert [sum(column) for column in zip(*ticks, strict=True)] == [10, 45]


def test_an_error_ends_the_other_jobs(calls: ModuleType, tmp_path: Path) -> None:
    with JobBoard(2, progress=False) as board, pytest.raises(DataError, match="three cannot be used"):
        board.run("Failing", calls.fail_at_three, [(tmp_path, number) for number in (0, 3, 1)], 0)
    assert not (tmp_path / "done").exists()


def test_a_worker_that_dies_is_explained(calls: ModuleType) -> None:
    with JobBoard(2, progress=False) as board, pytest.raises(DataError, match=r"ended from outside.*fewer num_workers"):
        board.run("Dying", calls.end_process, [(), ()], 0)
