"""Cores: work that is cut into parts runs side by side, a share of the cores each.

An operation of a small model is too short to be split between cores; two texts on a core each are read almost twice as
fast as one after the other on both.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch

MAX_SIDE_BY_SIDE = 4
"""Threads that run models: what is not PyTorch's runs in one of them at a time."""

MAX_PROCESSES = 8
_SMALL_SIZE = 512  # from this hidden size on, operations are long enough to be split between cores

T = TypeVar("T")
R = TypeVar("R")


def count_side_by_side(device: torch.device) -> int:
    """How many parts of its work a thread can have run side by side: as many as it uses cores, up to a bound."""
    return min(torch.get_num_threads(), MAX_SIDE_BY_SIDE) if device.type == "cpu" else 1


def count_processes(device: torch.device, hidden_size: int) -> int:
    """How many processes that hold the model each make the best of the cores."""
    if device.type != "cpu" or hidden_size >= _SMALL_SIZE:
        return 1
    return min(torch.get_num_threads(), MAX_PROCESSES)


def map_side_by_side(work: Callable[[T], R], parts: Iterable[T], device: torch.device) -> Iterator[R]:
    """The results of some work on each part, in the parts' order.

    Args:
        work: runs a model on `device`; called in several threads at once. What it raises is raised in its turn.
        parts: taken as there is room, a few ahead of the results that are asked for.
        device: where the model is.
    """
    remaining = iter(parts)
    num_side_by_side = count_side_by_side(device)
    first = list(islice(remaining, 2)) if num_side_by_side > 1 else []
    if len(first) < 2:  # one part alone has all cores
        yield from map(work, first)
        yield from map(work, remaining)
        return
    num_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        num_side_by_side, "biogpt", torch.set_num_threads, (max(1, num_threads // num_side_by_side),)
    )
    running: deque[Future[R]] = deque()
    try:
        for part in chain(first, remaining):
            running.append(pool.submit(work, part))
            if len(running) > num_side_by_side:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)  # PyTorch gives threads that begin later the number that was set last
