"""Collections mined in this process: the passes are the same functions that Ray calls, one after the other."""

import contextlib

from biogpt.mining import ray_pipeline
from biogpt.mining.shards import Miner, read_shards
from biogpt.mining.sources import index_unit


def _index_units(ray, units):
    for unit in units:
        yield ray_pipeline.as_row(index_unit(**unit))


def _mine_units(ray, units, annotators, *, run, shard_size, committed, **others):
    miner = Miner(annotators)
    for unit in units:
        for row in read_shards(unit, run, shard_size, committed):
            yield miner(row)


def run_here(patch) -> None:
    """Let collections be mined without Ray."""
    patch.setattr(ray_pipeline, "cluster", lambda *options: contextlib.nullcontext())
    patch.setattr(ray_pipeline, "choose_workers", lambda ray, workers, device: (workers or 2, 0.0, 1))
    patch.setattr(ray_pipeline, "index_units", _index_units)
    patch.setattr(ray_pipeline, "mine_units", _mine_units)
