"""The engine's network against the model's own `forward`, and its parts."""

import pytest
import torch

from biogpt.engine.engine import Engine
from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.linear import Int8Linear, pack_linear
from biogpt.engine.network import Network, Segment, _find_floor
from biogpt.engine.processor import choose_dtype, has_int8_kernel, processor_features
from biogpt.engine.tree import TokenTree
from biogpt.errors import InputError
from biogpt.model.quantization import MAX_INT8_ERROR, quantize

LENGTHS = (5, 30, 31, 60, 7)

needs_int8 = pytest.mark.skipif(not has_int8_kernel(), reason="PyTorch has no int8 kernel here")


@pytest.fixture(scope="module")
def model(tiny_model_path):
    return Engine.from_pretrained(tiny_model_path, device="cpu").model


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(4, 140, (length,), generator=generator).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def expected(model, rows) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [model(torch.tensor([ids])).logits[0] for ids in rows]


@pytest.mark.parametrize("num_before", [0, 1, 4])
def test_rows_of_any_length_are_read_together_and_in_parts(model, rows, expected, num_before):
    network = Network(model)
    cache = network.make_cache()
    if num_before:
        network.read([Segment(ids[:num_before], row) for row, ids in enumerate(rows)], cache)
    rest = [Segment(ids[num_before:], row, num_before, kept=len(ids) - num_before) for row, ids in enumerate(rows)]
    logits = network.score(rest, cache).split([len(ids) - num_before for ids in rows])
    for got, wanted in zip(logits, expected, strict=True):
        torch.testing.assert_close(got, wanted[num_before:], atol=1e-4, rtol=1e-4)


def test_only_what_is_asked_for_is_kept(model, rows, expected):
    logits = Network(model).score([Segment(ids, kept=[1, 3]) for ids in rows]).split(2)
    for got, wanted in zip(logits, expected, strict=True):
        torch.testing.assert_close(got, wanted[[1, 3]], atol=1e-4, rtol=1e-4)


def test_texts_of_a_tree_see_their_own_ancestors_alone(model):
    network = Network(model)
    prompt = [2, 10, 20, 30]
    tree = TokenTree(prompt)
    cache = network.make_cache()
    segments, root = tree.begin([40])
    network.read(segments, cache)
    texts = {(5,): root, (6, 7): root, (8,): root}
    for step in range(200):  # long enough for dead texts to be dropped
        segment, places = tree.extend([(where, ids[-2:]) for ids, where in texts.items()], cache)
        logits = network.score([segment], cache)
        if step in (0, 1, 40):
            for ids, got in zip(texts, logits, strict=True):
                whole = torch.tensor([[*prompt, 40, *ids]])
                with torch.inference_mode():
                    torch.testing.assert_close(got, model(whole).logits[0, -1], atol=1e-4, rtol=1e-4)
        if step >= 40:
            texts = {(9, index): root for index in range(3)}
        else:
            texts = {(*ids, 11): where for (ids, _), where in zip(list(texts.items())[:1], places, strict=False)}
            texts = {(*next(iter(texts)), 12 + index): next(iter(texts.values())) for index in range(2)}
    assert tree.num_tokens < 600


@needs_int8
def test_int8_is_near_and_the_same_alone_and_among_others():
    torch.manual_seed(0)
    weight, bias, inputs = torch.randn(48, 64), torch.randn(48), torch.randn(9, 64) * torch.logspace(-2, 2, 9)[:, None]
    packed = Int8Linear(quantize(weight), bias)
    outputs = packed(inputs)
    exact = torch.nn.functional.linear(inputs, weight, bias)
    assert ((outputs - exact).norm(dim=1) / exact.norm(dim=1)).max() < 0.02
    for row in range(9):
        assert torch.equal(packed(inputs[row : row + 1])[0], outputs[row])
    assert torch.equal(packed(torch.zeros(1, 64))[0], bias)
    assert packed(torch.full((1, 64), torch.nan)).isnan().all()


@needs_int8
def test_inputs_that_never_fall_below_a_floor_lose_half_as_much():
    torch.manual_seed(0)
    layer = torch.nn.Linear(256, 64)
    inputs = torch.nn.functional.gelu(torch.randn(9, 256) * torch.logspace(-2, 2, 9)[:, None])
    exact = torch.nn.functional.linear(inputs, quantize(layer.weight.detach()).to_float(), layer.bias).detach()
    errors = [
        (pack_linear([layer], is_int8=True, floor=floor)(inputs.clone()) - exact).norm(dim=1) for floor in (None, -0.17)
    ]
    assert errors[1][4:].sum() < 0.7 * errors[0][4:].sum()  # of the first ones, GELU leaves halves of the inputs
    packed = pack_linear([layer], is_int8=True, floor=-0.17)
    for row in range(9):
        assert torch.equal(packed(inputs[row : row + 1])[0], packed(inputs)[row])
    assert torch.equal(packed(inputs.clone(), is_scratch=True), packed(inputs))


def test_which_activations_have_a_floor():
    assert _find_floor(torch.nn.functional.gelu) == pytest.approx(-0.171, abs=1e-3)
    assert _find_floor(torch.nn.functional.silu) == pytest.approx(-0.2795, abs=1e-3)
    assert _find_floor(torch.relu) == pytest.approx(-0.001)
    assert _find_floor(lambda inputs: inputs) is None
    assert _find_floor(torch.nn.functional.leaky_relu) is None


@needs_int8
def test_weights_that_int8_cannot_hold_are_kept():
    torch.manual_seed(0)
    weight, inputs = torch.randn(64, 256) * 0.02, torch.randn(3, 256)
    weight[5, 17] = 5.0  # 250 times as large as the others of its row
    packed = Int8Linear(quantize(weight), None)
    assert packed.outliers.tolist() == [5]
    torch.testing.assert_close(packed(inputs)[:, 5], inputs @ weight[5], atol=1e-4, rtol=1e-4)
    steps = weight.abs().amax(dim=1) / 127
    lost = ((weight / steps[:, None]).round() * steps[:, None] - weight).abs().sum(dim=1)
    errors = lost / (weight.abs().sum(dim=1) - weight.abs().amax(dim=1))
    assert (errors > MAX_INT8_ERROR).tolist() == [row == 5 for row in range(64)]
    for size, is_kept in ((0.02 * 6, False), (0.02 * 12, True), (1e6, True)):
        weight[5, 17] = size
        assert quantize(weight).outliers.tolist() == ([5] if is_kept else [])
    layer = torch.nn.Linear(256, 64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.weight[:, 3] = 5.0  # all rows
        exact = layer(inputs)
    assert torch.equal(pack_linear([layer], is_int8=True)(inputs), exact)


def test_a_cache_grows_and_moves_rows():
    cache = KeyValueCache([4, 6], torch.float32, torch.device("cpu"), 1, 8)
    cache.keys[0][0, :3] = 1.0
    cache.reserve(3, 100)
    cache.move(0, 2, 3)
    assert cache.keys[0].shape[0] >= 3
    assert cache.keys[0][2, :3].eq(1).all()
    assert cache.keys[0][2, 3:].eq(0).all()
    assert cache.num_bytes == 2 * (4 + 6) * 4 * cache.num_rows * cache.num_tokens


def test_a_cache_is_used_again_where_it_serves(model, rows, expected):
    network = Network(model)
    cache = network.make_cache(2, 64, max_bytes=2**20)
    network.read([Segment(rows[3], 0), Segment(rows[2], 1)], cache)
    network.keep_cache(cache)
    again = network.make_cache(2, 40, max_bytes=2**20)
    assert again is cache
    assert network.make_cache(2, 40) is not cache  # it is in use
    network.read([Segment(rows[1][:10], 0)], again)
    got = network.score([Segment(rows[1][10:], 0, 10, kept=20)], again)
    torch.testing.assert_close(got, expected[1][10:], atol=1e-4, rtol=1e-4)
    for size in ((3, 40, None), (2, 200, None), (1, 8, network.bytes_per_token * 16)):
        network.keep_cache(cache)
        assert network.make_cache(*size) is not cache


def test_the_type_is_looked_up(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr("biogpt.engine.processor.processor_features", lambda: frozenset({"vnni"}))
    monkeypatch.setattr("biogpt.engine.processor.has_int8_kernel", lambda: True)
    assert choose_dtype("auto", cpu, 347_000_000)[0] == "int8"
    assert choose_dtype("auto", cpu, 10_000_000)[0] == "float32"
    assert choose_dtype("auto", torch.device("cuda"), 10_000_000)[0] == "bfloat16"
    assert choose_dtype("int8", torch.device("cuda"), 10_000_000)[0] == "bfloat16"
    monkeypatch.setattr("biogpt.engine.processor.has_int8_kernel", lambda: False)
    assert choose_dtype("auto", cpu, 347_000_000)[0] == "float32"
    assert choose_dtype("int8", cpu, 347_000_000)[0] == "float32"
    with pytest.raises(InputError, match=r"Unknown dtype 'int9'.*'int8'"):
        choose_dtype("int9", cpu, 1)


@pytest.mark.parametrize(
    ("vendor", "flags", "found"),
    [
        ("GenuineIntel", "avx512_bf16 avx512_vnni", {"vnni", "vnni512"}),
        ("GenuineIntel", "avx_vnni", {"vnni"}),
        ("GenuineIntel", "avx512_bf16 avx512_vnni amx_bf16 amx_int8", {"vnni", "vnni512", "bf16", "amx"}),
        ("AuthenticAMD", "avx512_bf16 avx512_vnni", {"vnni", "vnni512", "bf16"}),
        ("AuthenticAMD", "avx2", set()),
    ],
)
def test_what_a_processor_does_well(monkeypatch, vendor, flags, found):
    text = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n"
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: text)
    assert processor_features.__wrapped__() == found
