"""`biogpt bench`: its table, its JSON, and what it refuses."""

import json

import pytest
from command_line import run

from biogpt.engine import speed


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(speed, "time_run", lambda engine, load: 0.01 * load.num_new)


def test_a_table_and_the_same_as_json(quick, tmp_path):
    path = tmp_path / "speed.json"
    done = run("bench", "mini", "--dtype", "float32", "--dtype", "bfloat16", "--device", "cpu", "--output", path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("mini on cpu, ")
    assert lines[1].split() == ["tokens", "per", "second", "float32", "bfloat16"]
    assert lines[3].split() == ["decoding,", "batch", "8", "800.0", "800.0"]
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["types"]["bfloat16"]["decode_32"] == 3200
    again = run("bench", "--dtype", "float32", "--device", "cpu", "--json", "--repeats", "1")
    assert json.loads(again.stdout)["types"].keys() == {"float32"}


def test_what_cannot_be_is_refused_at_once(tmp_path):
    assert run("bench", "--output", tmp_path / "no" / "file.json").returncode == 2
    assert run("bench", "--threads", "0").returncode == 2
    missing = run("bench", tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
