"""The speeds that are reported of mining, on times small enough to check by hand."""

import json
import os

import pytest
from mine_collection import Arm, documents_in_file, documents_in_shards


def test_documents_are_counted_when_they_came(tmp_path):
    lines = tmp_path / "out.jsonl"
    lines.write_bytes(b"one\ntwo\nthree\n")
    assert documents_in_file(lines, [(1.0, 3), (2.0, 8), (3.0, 14)]) == [(2.0, 2), (3.0, 3)]
    (tmp_path / "manifest").mkdir()
    for name, num_documents, at in (("0001-00001-0001", 32, 5), ("0001-00001-0000", 32, 4), ("0001-00001-0002", 7, 9)):
        entry = tmp_path / "manifest" / f"{name}.json"
        entry.write_text(json.dumps({"num_documents": num_documents}))
        os.utime(entry, (at, at))
    (tmp_path / "manifest" / "0001-00001-index.json").write_text("{}")
    assert documents_in_shards(tmp_path) == [(4, 32), (5, 64), (9, 71)]


def test_starts_are_told_apart_from_the_steady_speed():
    arm = Arm(2, seconds=[20.0, 20.0], num_steady=[80, 80], steady_seconds=[8.0, 8.0])
    speeds = arm.per_second(200, 2)
    assert speeds["steady"] == 10
    assert speeds["start_and_end_seconds"] == pytest.approx(10)  # 40 s, of which 200 documents took 20
    assert speeds["as called"] == 5
    assert speeds["in one call"] == pytest.approx(200 / 30)
