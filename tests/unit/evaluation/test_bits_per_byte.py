"""Bits per byte: windows, padding and batches must not change a document's likelihood."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.evaluation.bits_per_byte import Likelihood, ScoredDocument, score_documents

EOS = 2


@pytest.fixture(scope="module")
def model() -> BioGptForCausalLM:
    torch.manual_seed(0)
    config = BioGptConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    return BioGptForCausalLM(config).eval()


def nats_one_by_one(model: BioGptForCausalLM, ids: list[int]) -> float:
    """The definition, token after token: what each costs given all before it."""
    sequence = [EOS, *ids, EOS]
    logits = model(torch.tensor([sequence[:-1]])).logits.log_softmax(-1)[0]
    return -sum(logits[place, sequence[place + 1]].item() for place in range(len(sequence) - 1))


@given(st.lists(st.lists(st.integers(4, 29), max_size=20), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_sums_what_each_token_costs(model: BioGptForCausalLM, documents: list[list[int]]) -> None:
    scored = [ScoredDocument(ids, 7) for ids in documents]
    likelihood = score_documents(model, scored, eos_token_id=EOS, max_length=32, batch_tokens=64)
    assert likelihood.nats == pytest.approx(sum(nats_one_by_one(model, ids) for ids in documents), rel=1e-4)
    assert likelihood.num_tokens == sum(len(ids) + 1 for ids in documents)
    assert likelihood.num_bytes == 7 * len(documents)


def nats_by_windows(model: BioGptForCausalLM, ids: list[int], max_length: int) -> float:
    """The definition for long documents: windows of `max_length` predictions that overlap by half."""
    sequence, total, hop = [EOS, *ids, EOS], 0.0, max_length - max_length // 2
    for place in range(1, len(sequence)):
        start = 0 if place <= max_length else ((place - max_length - 1) // hop + 1) * hop
        logits = model(torch.tensor([sequence[start:place]])).logits[0, -1]
        total -= logits.log_softmax(-1)[sequence[place]].item()
    return total


@pytest.mark.parametrize("length", [7, 8, 9, 16, 23, 60])
def test_long_documents_predict_each_token_once(model: BioGptForCausalLM, length: int) -> None:
    ids = torch.randint(4, 30, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    likelihood = score_documents(model, [ScoredDocument(ids, 1)], eos_token_id=EOS, max_length=8)
    assert likelihood.num_tokens == length + 1
    assert likelihood.nats == pytest.approx(nats_by_windows(model, ids, 8), rel=1e-4)


def test_bits_per_byte_is_what_a_compressor_would_print() -> None:
    assert Likelihood(nats=8 * math.log(2), num_tokens=4, num_bytes=2).bits_per_byte == pytest.approx(4.0)
    assert Likelihood(nats=6.0, num_tokens=4, num_bytes=2).nats_per_token == pytest.approx(1.5)


def test_training_mode_is_given_back(model: BioGptForCausalLM) -> None:
    model.train()
    score_documents(model, [ScoredDocument([5], 1)], eos_token_id=EOS, max_length=8)
    assert model.training
    model.eval()
