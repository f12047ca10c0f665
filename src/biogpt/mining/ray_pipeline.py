"""Ray: the two passes over a collection as Ray Data pipelines, on this machine or on a cluster.

Ray Data reads, holds readers back when workers are busy, repeats what a lost process or node had in hand, and shows
progress. The driver alone commits, so workers need the inputs and the models, but not the output directory.

Workers ask for half a CPU and readers for a quarter: with whole ones, workers would leave nothing to the readers that
feed them, and those of a lost node would not fit onto the others. Ray's usage statistics are off.
"""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from biogpt.errors import BioGptError, InputError
from biogpt.mining.shards import Annotator, Miner, read_shards
from biogpt.mining.sources import index_unit

WORKER_CPUS = 0.5
READER_CPUS = 0.25
OBJECT_STORE_BYTES = 512 << 20
"""What a Ray that is started here keeps in shared memory at most: documents that were read ahead."""
WAVE_UNITS = 200
"""Units of one pipeline: what the driver holds of a plan at once."""


@contextlib.contextmanager
def cluster(address: str | None, is_watched: bool = False, is_verbose: bool = False) -> Iterator[Any]:
    """Ray, started here or found at an address; what was started here ends with the block.

    Args:
        address: of a cluster, by default that in RAY_ADDRESS; without both, Ray is started on this machine.
        is_watched: show Ray Data's progress.
        is_verbose: show Ray's log and what workers print.

    Yields:
        The module `ray`.

    Raises:
        InputError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported
    if not is_verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    level = logging.INFO if is_verbose else logging.ERROR
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(level)
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        _check_reachable(address)
    import ray
    import ray.data

    is_ours = not ray.is_initialized()
    if is_ours:
        options: dict[str, Any] = {"log_to_driver": is_verbose, "logging_level": level}
        if address is None:
            options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        try:
            with contextlib.nullcontext() if is_verbose else _quiet_stderr():
                ray.init(address=address or "local", configure_logging=True, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f"at {address}" if address else "on this machine"
            raise InputError(f"Cannot reach Ray {where}: {error}. Check --ray-address and RAY_ADDRESS.") from error
    context = ray.data.DataContext.get_current()
    wanted = {
        "enable_progress_bars": is_watched,
        "print_on_execution_start": is_verbose,
        "target_max_block_size": 1,  # a row is a whole shard: each is handed on by itself
        "target_min_block_size": 0,
    }
    before = {name: getattr(context, name) for name in wanted}
    for name, value in wanted.items():
        setattr(context, name, value)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(level)
    try:
        yield ray
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        if is_ours:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Make sure that someone listens at an address: Ray would try for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdecimal():  # `auto`, `local`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"Cannot reach Ray at {address}: {reason}. Check --ray-address and RAY_ADDRESS.") from error


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what Ray's own code says about its log off stderr; what is wrong is raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def choose_workers(ray: Any, workers: int | None, device: str) -> tuple[int, float, int]:
    """How many workers there are to be.

    Args:
        ray: from `cluster`.
        workers: how many were asked for; by default one for each GPU, or else for each CPU.
        device: where models run.

    Returns:
        The number of workers, the GPUs and the threads of each.

    Raises:
        InputError: GPUs are asked for, and there is none.
    """
    resources = ray.cluster_resources()
    num_cpus, num_gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    if device.startswith("cuda") and not num_gpus:
        raise InputError(f"Got the device {device}, but Ray knows no GPU. Leave out --device.")
    if num_gpus and device != "cpu":
        workers = workers or num_gpus
        return workers, min(1.0, num_gpus / workers), 0
    workers = workers or num_cpus
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdecimal() and int(asked) else max(1, num_cpus // workers)
    if WORKER_CPUS * workers + READER_CPUS > num_cpus:
        raise InputError(
            f"Got {workers} workers, expected at most {int((num_cpus - READER_CPUS) / WORKER_CPUS)} on {num_cpus} CPUs."
        )
    return workers, 0.0, threads


def index_units(ray: Any, units: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first pass: what `index_unit` says of each unit, as it comes.

    Args:
        ray: from `cluster`.
        units: each with the arguments of `index_unit`.
    """
    with _ending_plainly():
        data = ray.data.from_items([dict(unit) for unit in units], override_num_blocks=len(units))
        yield from data.map(_index, num_cpus=READER_CPUS).iter_rows()


def _index(unit: Mapping[str, Any]) -> dict[str, Any]:
    return as_row(index_unit(**unit))


def as_row(index: Mapping[str, Any]) -> dict[str, Any]:
    """What `index_unit` returns, with a value for each column."""
    return {"errors": b"", **index}


def mine_units(
    ray: Any,
    units: Sequence[Mapping[str, Any]],
    annotators: Sequence[Annotator],
    *,
    run: int,
    shard_size: int,
    committed: frozenset[str],
    workers: int,
    gpus: float,
    threads: int,
) -> Iterator[dict[str, Any]]:
    """The second pass: the Parquet files of each shard, as they come; see `shards.Miner`.

    Args:
        ray: from `cluster`.
        units: `number`, `files` and `winners` of each `UnitPlan`.
        annotators: what is asked about the documents.
        run: the number of the run.
        shard_size: documents of a shard.
        committed: the names of shards that are there already.
        workers: how many actors hold the annotators.
        gpus: of each worker.
        threads: of each worker.
    """

    def read(unit: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return read_shards(unit, run, shard_size, committed)

    with _ending_plainly():
        data = ray.data.from_items([dict(unit) for unit in units], override_num_blocks=len(units))
        read_ahead = data.flat_map(read, num_cpus=READER_CPUS)
        mined = read_ahead.map(
            Miner,
            fn_constructor_args=(list(annotators), threads),
            num_cpus=WORKER_CPUS,
            num_gpus=gpus or None,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        yield from mined.iter_rows()


@contextlib.contextmanager
def _ending_plainly() -> Iterator[None]:
    """Raise our own errors as they were raised in a worker."""
    try:
        yield
    except BioGptError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, BioGptError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, BioGptError):
            raise type(cause)(*cause.args) from error
        raise
