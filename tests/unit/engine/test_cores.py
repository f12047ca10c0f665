"""Work side by side: results in order, errors in their turn, threads as they were."""

import threading

import pytest
import torch

from biogpt.engine.cores import count_processes, count_side_by_side, map_side_by_side

CPU = torch.device("cpu")


def test_parts_run_side_by_side_with_a_core_each_and_come_back_in_order(two_threads):
    both = threading.Barrier(2, timeout=30)  # neither passes it alone

    def work(part):
        both.wait()
        return part, torch.get_num_threads()

    assert list(map_side_by_side(work, iter(range(6)), CPU)) == [(part, 1) for part in range(6)]
    assert torch.get_num_threads() == 2


def test_a_part_alone_has_all_cores_and_a_gpu_runs_one_after_the_other(two_threads):
    assert list(map_side_by_side(lambda part: (part, torch.get_num_threads()), [7], CPU)) == [(7, 2)]
    here = threading.get_ident()
    gpu = torch.device("cuda")
    assert count_side_by_side(gpu) == 1
    assert set(map_side_by_side(lambda part: threading.get_ident(), range(4), gpu)) == {here}


def test_parts_are_taken_as_results_are_asked_for_and_an_error_comes_in_its_turn(two_threads):
    taken = []

    def parts():
        for part in range(100):
            taken.append(part)
            yield part

    def work(part):
        if part == 2:
            raise ValueError("two")
        return part

    made = map_side_by_side(work, parts(), CPU)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)
    assert len(taken) < 10
    assert torch.get_num_threads() == 2


def test_only_small_models_on_the_cpu_are_held_by_several_processes(two_threads):
    assert count_processes(CPU, 320) == 2
    assert count_processes(CPU, 1024) == 1
    assert count_processes(torch.device("cuda"), 320) == 1
