from types import SimpleNamespace

import pytest

from biogpt.errors import DataError, InputError
from biogpt.mining.ray_pipeline import READER_CPUS, WORKER_CPUS, _ending_plainly, choose_workers, cluster


def cluster_of(**resources: float) -> SimpleNamespace:
    return SimpleNamespace(cluster_resources=lambda: resources)


@pytest.mark.parametrize(
    ("resources", "workers", "device", "expected"),
    [
        ({"CPU": 2}, None, "auto", (2, 0.0, 1)),
        ({"CPU": 2}, 1, "auto", (1, 0.0, 2)),
        ({"CPU": 1}, None, "cpu", (1, 0.0, 1)),
        ({"CPU": 64}, 8, "auto", (8, 0.0, 8)),
        ({"CPU": 64, "GPU": 4}, None, "auto", (4, 1.0, 0)),
        ({"CPU": 64, "GPU": 4}, 8, "cuda", (8, 0.5, 0)),
        ({"CPU": 64, "GPU": 4}, None, "cpu", (64, 0.0, 1)),
    ],
)
def test_workers_leave_room_for_readers(monkeypatch, resources, workers, device, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert choose_workers(cluster_of(**resources), workers, device) == expected
    if not expected[1]:
        assert expected[0] * WORKER_CPUS + READER_CPUS <= resources["CPU"]


def test_what_no_machine_could_run_is_refused(monkeypatch):
    with pytest.raises(InputError, match="Got 4 workers, expected at most 3 on 2 CPUs"):
        choose_workers(cluster_of(CPU=2), 4, "auto")
    with pytest.raises(InputError, match="Ray knows no GPU"):
        choose_workers(cluster_of(CPU=2), None, "cuda")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_workers(cluster_of(CPU=8), 2, "auto") == (2, 0.0, 3)


def fail_in_a_worker():
    try:
        raise DataError("the reason")
    except DataError as error:
        raise RuntimeError("a long story") from error


def test_an_error_of_a_worker_is_raised_as_it_was():
    with pytest.raises(DataError, match=r"^the reason$"), _ending_plainly():
        fail_in_a_worker()
    with pytest.raises(RuntimeError, match="a long story"), _ending_plainly():
        raise RuntimeError("a long story")


def test_no_cluster_at_the_address_is_told_at_once():
    with (
        pytest.raises(InputError, match=r"Cannot reach Ray at 127\.0\.0\.1:1: Connection refused"),
        cluster("127.0.0.1:1"),
    ):
        pass
