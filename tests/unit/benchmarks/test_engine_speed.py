"""The benchmark of the engine's speed: engines that fail or hang are left out, and a killed run goes on."""

import argparse
import json
import sys

import engine_speed
import pytest
from engine_speed import Arm, Measurement, Worker, WorkerError, choose_arms, compare, sweep

from biogpt.engine.speed import Plan

PLAN = Plan(batch_sizes=(1,), num_prompt=4, num_new=3, num_prefill=8)

# Slow with one thread. One kind never answers, one cannot load, one ends in the middle.
WORKER = """
import sys, time
kind, _, threads = sys.argv[1:]
if kind == "vllm-bfloat16":
    time.sleep(600)
if kind == "ctranslate2-int16":
    sys.exit("no int16 here")
print("a library speaks")
print("= ready", flush=True)
for number, line in enumerate(sys.stdin):
    batch, length, num_new = map(int, line.split())
    if kind == "vllm-eager" and number == 4:
        sys.exit("out of memory")
    print("=", (length + num_new) / int(threads), flush=True)
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    monkeypatch.setattr(engine_speed, "WORKER", worker)
    monkeypatch.setattr(engine_speed, "PAUSE", 0)
    monkeypatch.setattr(engine_speed, "find_python", lambda arm, peers: sys.executable)
    return tmp_path / "model"


def test_an_engine_that_hangs_is_ended(model):
    with pytest.raises(WorkerError, match="no answer within 0 s"):
        Worker(Arm("vllm-bfloat16", 2), sys.executable, model, patience=0.2)


def test_what_fails_is_left_out_and_a_killed_run_goes_on(model, tmp_path):
    kinds = ("ctranslate2-int8", "ctranslate2-int16", "vllm-eager")
    peers = [Arm("ctranslate2-int8", 1), *(Arm(kind, 2) for kind in kinds)]
    path, facts = tmp_path / "result.json", {"weight_bytes": 4096}
    measured = Measurement(path, facts)
    sweep(measured, peers, PLAN, model, tmp_path, patience=60)
    assert measured.content["errors"] == {"ctranslate2-int16 x2": "no int16 here"}
    again = Measurement(path, facts)
    assert again.content["sweep"] == measured.content["sweep"]
    chosen = choose_arms(again, peers, PLAN)
    assert list(map(str, chosen)) == ["ctranslate2-int8 x2", "vllm-eager x2"]

    arms = {Arm("ours-int8", 2): PLAN.loads} | chosen
    options = argparse.Namespace(peers=tmp_path, patience=60, threads=1)
    compare(again, arms, PLAN, 1, model, options)
    done = again.content["seconds"]["ours-int8 x2"]
    assert {len(each) for each in done.values()} == {1}
    compare(Measurement(path, facts), arms, PLAN, 2, model, options)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert {len(each) for each in found["seconds"]["ours-int8 x2"].values()} == {2}
    assert {name: each[:1] for name, each in found["seconds"]["ours-int8 x2"].items()} == done
    assert found["against"]["ctranslate2"]["decode_1"]["times_as_fast"] == 1
    assert "vllm-eager x2" not in found["speeds"]
    assert found["errors"]["vllm-eager x2"] == "out of memory"
    assert Measurement(path, {"weight_bytes": 1}).content["sweep"] == {}
