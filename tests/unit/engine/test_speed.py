"""The figures of `biogpt bench`: what they are made of. No test asserts a time."""

import pytest
import torch

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.engine import speed
from biogpt.engine.engine import Engine
from biogpt.engine.speed import Load, Plan, count_read_weights, measure_speed, time_run
from biogpt.errors import InputError

SMALL = Plan(batch_sizes=(1, 3), num_prompt=4, num_new=3, num_prefill=8)


def test_figures_are_of_medians_with_the_first_tokens_left_out():
    seconds = {
        Load(1, 4, 1): [1.0, 9.0, 1.0],
        Load(1, 4, 3): [2.0, 2.0, 20.0],
        Load(3, 4, 1): [1.0],
        Load(3, 4, 3): [4.0],
        Load(1, 8, 1): [0.5],
    }
    assert SMALL.speeds(seconds) == {"decode_1": 2.0, "decode_3": 2.0, "prefill_8": 0.5}
    assert SMALL.speeds({Load(1, 8, 1): [0.5], Load(1, 4, 1): [1.0], Load(1, 4, 3): []}) == {"prefill_8": 0.5}


def test_the_weights_that_a_pass_reads_are_those_of_the_linear_layers():
    for preset in ("mini", "base"):
        config = BioGptConfig.preset(preset)
        with torch.device("meta"):
            model = BioGptForCausalLM(config)
        linear = [module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear)]
        assert count_read_weights(config) == sum(linear)


def test_a_run_reads_its_load_and_no_draft(record_reads):
    engine = Engine.from_pretrained("mini", dtype="float32", device="cpu")
    reads = record_reads(engine)
    assert time_run(engine, Load(3, 4, 5)) > 0
    assert [[len(segment.ids) for segment in read] for read in reads] == [[4, 4, 4], *[[1, 1, 1]] * 4]
    assert engine._is_drafting


def test_all_types_are_measured_in_each_round(monkeypatch):
    timed = []
    monkeypatch.setattr(speed, "time_run", lambda engine, load: timed.append((engine.network.dtype, load)) or 0.1)
    seen = []
    found = measure_speed(
        "mini",
        dtypes=["float32", "bfloat16"],
        device="cpu",
        num_repeats=2,
        plan=SMALL,
        on_progress=lambda *each: seen.append(each),
    )
    assert len(timed) == 3 * 5 * 2
    assert seen[-1] == (30, 30)
    for first in range(0, 30, 2):
        assert {dtype for dtype, _ in timed[first : first + 2]} == {torch.float32, torch.bfloat16}
    assert [each.dtype for each in found.types] == ["float32", "bfloat16"]
    assert found.types[0].weight_bytes == 2 * found.types[1].weight_bytes
    record = found.to_dict()
    assert record["types"]["float32"]["read_bytes_per_second"] > 0
    assert "decoding, batch 3" in found.as_text()


def test_what_cannot_be_measured_is_told_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setattr(speed, "choose_dtype", lambda *_: ("float32", "for which there is no kernel"))
    with pytest.raises(InputError, match="Got dtype int8"):
        measure_speed("nowhere", dtypes=["int8"], device="cpu")
    with pytest.raises(InputError, match="num_repeats 0"):
        measure_speed("nowhere", num_repeats=0)
    monkeypatch.undo()
    with pytest.raises(InputError, match="expected at least 5001"):
        measure_speed("mini", dtypes=["float32"], device="cpu", plan=Plan(num_prefill=5000))
