"""Token files seen as one stream."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.training.corpus.shards import TokenShards

LENGTHS = (7, 1, 12, 3)
STREAM = np.arange(sum(LENGTHS)) + 65_500


@pytest.fixture(scope="module", params=["<u2", "<u4"])
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    directory = tmp_path_factory.mktemp("shards")
    paths = [directory / f"{number}.bin" for number in range(len(LENGTHS))]
    for path, part in zip(paths, np.split(STREAM, np.cumsum(LENGTHS)[:-1]), strict=True):
        path.write_bytes(part.astype(request.param).tobytes())
    return TokenShards(paths, request.param)


@given(start=st.integers(0, len(STREAM)), length=st.integers(0, len(STREAM)))
def test_any_block_over_any_border(shards: TokenShards, start: int, length: int) -> None:
    assert len(shards) == len(STREAM)
    if start + length > len(STREAM):
        with pytest.raises(IndexError):
            shards.block(start, length)
    else:
        block = shards.block(start, length)
        assert block.dtype == np.int64
        assert block.tolist() == STREAM[start : start + length].tolist()


@pytest.mark.parametrize("length", [1, 4, 5, 23, 24])
def test_blocks_of_one_length(shards: TokenShards, length: int) -> None:
    blocks = shards.blocks(length)
    assert len(blocks) == len(STREAM) // length
    whole = len(blocks) * length
    assert [block.tolist() for block in blocks] == STREAM[:whole].reshape(-1, length).tolist()
    if blocks:
        assert blocks[-1].tolist() == blocks[len(blocks) - 1].tolist()
    with pytest.raises(IndexError):
        blocks[len(blocks)]


def test_goes_to_another_process(shards: TokenShards) -> None:
    shards.block(0, 1)
    assert pickle.loads(pickle.dumps(shards)).block(5, 9).tolist() == STREAM[5:14].tolist()


def test_an_empty_stream(tmp_path: Path) -> None:
    (tmp_path / "a.bin").touch()
    for shards in (TokenShards([], "<u2"), TokenShards([tmp_path / "a.bin"], "<u2")):
        assert len(shards) == 0
        assert len(shards.blocks(8)) == 0
        assert shards.block(0, 0).tolist() == []
