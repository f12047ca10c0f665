"""What the tests of the engine share."""

from collections.abc import Callable, Sequence

import pytest

from biogpt.engine.engine import Engine
from biogpt.engine.network import Segment

Reads = list[Sequence[Segment]]


@pytest.fixture
def record_reads(monkeypatch) -> Callable[[Engine], Reads]:
    """Have an engine note down what each pass through its network reads, from here to the end of the test."""

    def record(engine: Engine) -> Reads:
        reads: Reads = []
        read = engine.network.read

        def note(segments: Sequence[Segment], cache: object = None) -> object:
            reads.append(segments)
            return read(segments, cache)

        monkeypatch.setattr(engine.network, "read", note)
        return reads

    return record
