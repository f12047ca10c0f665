import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from biogpt.decoding.sampling import choose_greedily, draw

NUM_STEPS = 20_000


def rows(seed: int, num_rows: int = 1, vocab_size: int = 30) -> torch.Tensor:
    return 3 * torch.randn(num_rows, vocab_size, generator=torch.Generator().manual_seed(seed))


def probabilities_of_draw(logits: torch.Tensor, **settings: float) -> torch.Tensor:
    """What `draw` makes of one row: its outcomes over evenly spread numbers."""
    uniforms = (torch.arange(NUM_STEPS, dtype=torch.float64) + 0.5) / NUM_STEPS
    drawn = draw(logits.expand(NUM_STEPS, -1), uniforms, **settings)
    return torch.bincount(drawn, minlength=logits.shape[-1]) / NUM_STEPS


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 5, 30, 100])
@pytest.mark.parametrize("top_p", [0.05, 0.7, 1.0])
def test_the_distribution_is_that_of_transformers(temperature, top_k, top_p):
    for seed in range(2):
        logits = rows(seed)
        warped = TemperatureLogitsWarper(temperature)(None, logits)
        if top_k:
            warped = TopKLogitsWarper(top_k)(None, warped)
        warped = TopPLogitsWarper(top_p)(None, warped)
        drawn = probabilities_of_draw(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        torch.testing.assert_close(drawn, warped.softmax(dim=-1)[0], atol=2 / NUM_STEPS, rtol=0)


@given(seed=st.integers(0, 2**31), uniform=st.floats(0, 1, exclude_max=True), forbidden=st.sets(st.integers(0, 28)))
def test_a_forbidden_id_is_never_drawn(seed, uniform, forbidden):
    logits = rows(seed)
    logits[:, sorted(forbidden)] = float("-inf")
    for number in (uniform, 0.0, 1 - 2**-53):
        drawn = draw(logits, torch.tensor([number], dtype=torch.float64), temperature=0.7)
        assert drawn.item() not in forbidden


@given(seed=st.integers(0, 2**31), order=st.permutations(range(4)))
def test_a_row_does_not_depend_on_the_rows_beside_it(seed, order):
    logits = rows(seed, num_rows=4)
    uniforms = torch.rand(4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    together = draw(logits, uniforms, 0.8, 10, 0.9)
    assert draw(logits[order], uniforms[order], 0.8, 10, 0.9).tolist() == together[order].tolist()
    for index in range(4):
        assert draw(logits[index : index + 1], uniforms[index : index + 1], 0.8, 10, 0.9).item() == together[index]


@given(seed=st.integers(0, 2**31), uniform=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-300}])
def test_the_limits_are_greedy(seed, uniform, settings):
    logits = rows(seed)
    drawn = draw(logits, torch.tensor([uniform], dtype=torch.float64), **settings)
    assert drawn.tolist() == choose_greedily(logits).tolist()


def test_greedy_takes_the_lowest_id_among_equals():
    assert choose_greedily(torch.tensor([[0.0, 2.0, 2.0], [5.0, 5.0, 5.0]])).tolist() == [1, 0]
