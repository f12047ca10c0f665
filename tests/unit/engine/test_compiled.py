"""The network in int8 as compiled kernels read it: against exact numbers, and against PyTorch's operators."""

import sys
import threading

import numpy as np
import pytest
import torch

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.engine import compiled
from biogpt.engine.compiled import CompiledLinear, can_compile
from biogpt.engine.linear import Int8Linear
from biogpt.engine.network import Network, Segment
from biogpt.engine.processor import processor_features
from biogpt.errors import CheckpointError
from biogpt.model.quantization import quantize

pytestmark = pytest.mark.skipif(
    not can_compile(processor_features()), reason="the compiled kernels need Numba, Linux and AVX-512 with VNNI"
)

LENGTHS = (1, 30, 9, 64)


def make_model(**changes) -> BioGptForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 100} | changes
    model = BioGptForCausalLM(BioGptConfig(vocab_size=150, max_position_embeddings=128, **sizes)).eval()
    with torch.no_grad():  # as drawn, the outputs hardly depend on the inputs
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.normal_(std=0.1)
            elif parameter.ndim == 2:
                parameter.mul_(4)
    return model


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(4, 150, (length,), generator=generator).tolist() for length in LENGTHS]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("num_outputs", "num_inputs"), [(64, 64), (200, 36), (9, 129)])
def test_a_matrix_is_multiplied_as_by_the_other_kernels(num_outputs, num_inputs):
    torch.manual_seed(0)
    layer = torch.nn.Linear(num_inputs, num_outputs)
    with torch.no_grad():
        layer.weight[3, 5] = 500.0  # int8 would lose all the others of this row
    inputs = torch.randn(9, num_inputs) * torch.logspace(-2, 2, 9)[:, None]
    matrix = quantize(layer.weight.detach())
    product = CompiledLinear(matrix, layer.bias)
    outputs = product(inputs)
    torch.testing.assert_close(outputs, Int8Linear(matrix, layer.bias)(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outputs[:, 3], layer(inputs)[:, 3].detach(), rtol=1e-4, atol=1e-3)
    for row in range(9):
        assert torch.equal(product(inputs[row : row + 1])[0], outputs[row])
    torch.testing.assert_close(product(torch.zeros(1, num_inputs))[0], layer.bias.detach())
    assert product(torch.full((1, num_inputs), torch.nan)).isnan().all()


@pytest.mark.parametrize("changes", [{}, {"num_attention_heads": 1}, {"hidden_size": 36}], ids=["32", "64", "odd"])
def test_a_pass_is_near_the_model_itself(rows, monkeypatch, changes):
    model = make_model(**changes)
    segments = [Segment(ids, kept=len(ids)) for ids in rows]
    network = Network(model, is_int8=True)
    assert network._compiled is not None
    got = network.score(segments)
    with torch.inference_mode():
        exact = torch.cat([model(torch.tensor([ids])).logits[0] for ids in rows])
    monkeypatch.setattr("biogpt.engine.network.can_compile", lambda _: False)
    other = Network(model, is_int8=True)
    assert other._compiled is None
    errors = [float((each - exact).norm() / exact.norm()) for each in (got, other.score(segments))]
    assert errors[0] < 0.06
    assert errors[0] < 1.2 * errors[1]  # no worse than the same in PyTorch's operators


@pytest.mark.parametrize("num_heads", [1, 2], ids=["64", "32"])
def test_a_token_is_the_same_alone_and_among_others_and_in_parts(rows, num_heads):
    network = Network(make_model(num_attention_heads=num_heads), is_int8=True)
    together = network.score([Segment(ids) for ids in rows])
    for row, ids in enumerate(rows):
        assert torch.equal(network.score([Segment(ids)])[0], together[row])
    cache = network.make_cache(1, 8)  # it has to grow
    network.read([Segment(ids[:-1], row) for row, ids in enumerate(rows) if len(ids) > 1], cache)
    last = [Segment(ids[-1:], row, len(ids) - 1) for row, ids in enumerate(rows)]
    assert torch.equal(network.score(last, cache), together)
    visible = [Segment(ids, visible=torch.ones(len(ids), len(ids), dtype=torch.bool).tril()) for ids in rows]
    assert torch.equal(network.score(visible), together)
    chosen = network.score([Segment(ids, kept=[0, len(ids) - 1] if len(ids) > 1 else 1) for ids in rows])
    assert torch.equal(chosen[[0, 2, 4, 6]], together)


def test_what_is_not_visible_counts_nothing(rows):
    network = Network(make_model(), is_int8=True)
    ids = rows[2]
    visible = torch.ones(8, 8, dtype=torch.bool).tril()
    visible[:, 2] = False
    visible[2, 2] = True
    kept = [3, 7]
    positions = range(8)
    got = network.score([Segment(ids[:8], positions=positions, visible=visible, kept=kept)])
    other = network.score([Segment([*ids[:2], 149, *ids[3:8]], positions=positions, visible=visible, kept=kept)])
    assert torch.equal(got, other)


@pytest.mark.usefixtures("two_threads")
def test_threads_give_what_one_gives(rows, monkeypatch):
    monkeypatch.setattr(compiled, "_SHORT", 0)  # even so small a pass is shared
    network = Network(make_model(num_attention_heads=1), is_int8=True)
    segments = [Segment(ids, kept=len(ids)) for ids in rows]
    shared = network.score(segments)
    found: list[torch.Tensor] = []
    threads = [threading.Thread(target=lambda: found.append(network.score(segments))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(1)
    alone = network.score(segments)
    assert len(found) == 4
    assert all(torch.equal(each, alone) for each in (shared, *found))


def test_damaged_weights_are_noticed(rows):
    model = make_model()
    with torch.no_grad():
        model.biogpt.embed_tokens.weight[rows[1][4]] = torch.nan
    with pytest.raises(CheckpointError):
        Network(model, is_int8=True).score([Segment(rows[1])])


def test_another_activation_or_coarse_weights_are_left_to_pytorch(rows):
    other = make_model(hidden_act="relu")
    assert Network(other, is_int8=True)._compiled is None
    coarse = make_model()
    with torch.no_grad():
        coarse.biogpt.layers[1].fc1.weight[:, 3] = 50.0
        exact = coarse(torch.tensor([rows[1]])).logits[0, -1]
    network = Network(coarse, is_int8=True)
    assert network._compiled is None
    assert float((network.score([Segment(rows[1])])[0] - exact).norm() / exact.norm()) < 0.06


def test_without_numba_or_for_another_processor_there_are_no_kernels(monkeypatch):
    assert can_compile.__wrapped__(frozenset({"vnni512"}))
    with monkeypatch.context() as patch:
        patch.setenv("NUMBA_CPU_NAME", "generic")
        assert not can_compile.__wrapped__(frozenset({"vnni512"}))
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not can_compile.__wrapped__(frozenset({"vnni512"}))
    assert not can_compile.__wrapped__(frozenset({"vnni"}))


def test_numbers_that_are_far_from_usual(rows):
    from biogpt.engine.kernels import _exp, _gelu

    numbers = np.linspace(-30, 30, 2001, dtype=np.float32)
    exact = torch.nn.functional.gelu(torch.from_numpy(numbers).double()).numpy()
    assert max(abs(_gelu(each) - wanted) for each, wanted in zip(numbers, exact, strict=True)) < 4e-6
    assert max(abs(_exp(each) / np.exp(np.float64(each)) - 1) for each in numbers) < 3e-7
    assert 0 < _exp(np.float32(-1e4)) < 1e-30
