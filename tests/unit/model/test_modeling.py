import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, StaticCache

from biogpt import (
    BioGptConfig,
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
    BioGptModel,
)
from biogpt.errors import InputError
from biogpt.model.cache import CACHE_NAME
from biogpt.model.modeling import POSITION_OFFSET, count_positions, find_last_tokens

TINY = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 48,
    "initializer_range": 0.2,
}


def make(model_class, **changes):
    torch.manual_seed(0)
    return model_class._from_config(BioGptConfig(**{**TINY, **changes})).eval()


def draw_ids(*shape: int) -> torch.Tensor:
    return torch.randint(4, TINY["vocab_size"], shape, generator=torch.Generator().manual_seed(1))


def assert_close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


# Positions


def test_position_0_reads_row_2():
    model = make(BioGptModel)
    assert POSITION_OFFSET == 2
    assert model.embed_positions.weight.shape == (50, 16)
    got = model.embed_positions(torch.tensor([[-1, 0, 1]]))
    assert torch.equal(got[0], model.embed_positions.weight[1:4])


def count(mask, num_past=0, num_new=None):
    columns = len(mask[0]) if num_new is None else num_new
    embeds = torch.zeros(len(mask), columns, 1)
    return count_positions(torch.tensor(mask), num_past, embeds).tolist()


def test_positions_are_counted_over_the_mask():
    assert count([[1, 1, 1], [0, 1, 1], [1, 1, 0]]) == [[0, 1, 2], [-1, 0, 1], [0, 1, -1]]
    assert count([[1, 0, 1, 1]], num_past=2, num_new=2) == [[1, 2]]
    assert count([[1, 1, 1, 1, 0]], num_past=torch.tensor(2), num_new=2) == [[2, 3]]
    assert count_positions(None, 3, torch.zeros(2, 2, 1)).tolist() == [[3, 4]]


def test_a_mask_must_span_past_and_new_tokens():
    with pytest.raises(InputError, match="attention_mask of 1 columns for 3 cached and 1 new tokens, expected 4"):
        count([[1]], num_past=3, num_new=1)


def test_more_tokens_than_positions():
    model = make(BioGptModel)
    with pytest.raises(InputError, match="Got 49 tokens, expected at most 48, which is the number of positions"):
        model(draw_ids(1, 49))
    with pytest.raises(InputError, match="Got 49 tokens"):
        model(draw_ids(1, 49), attention_mask=torch.ones(1, 49))
    past = model(draw_ids(1, 48))[CACHE_NAME]
    with pytest.raises(InputError, match="Got 49 tokens"):
        model(draw_ids(1, 1), cache=past)
    with pytest.raises(InputError, match=r"Got 60 tokens, .* or generate less"):
        model(draw_ids(1, 3), position_ids=torch.tensor([[57, 58, 59]]), cache=past)
    mask = torch.ones(1, 60)
    mask[:, :12] = 0
    assert model(draw_ids(1, 60), attention_mask=mask).last_hidden_state.isfinite().all()


# Padding and caches


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    side=st.sampled_from(["left", "right"]),
    implementation=st.sampled_from(["eager", "sdpa"]),
)
def test_padding_never_changes_a_result(lengths, side, implementation):
    model = make(BioGptForCausalLM, attn_implementation=implementation)
    width = max(lengths) + 1
    ids, mask = torch.ones(len(lengths), width, dtype=torch.long), torch.zeros(len(lengths), width, dtype=torch.long)
    texts = [draw_ids(1, length) for length in lengths]
    for row, text in enumerate(texts):
        place = slice(width - text.shape[1], None) if side == "left" else slice(0, text.shape[1])
        ids[row, place], mask[row, place] = text[0], 1
    with torch.no_grad():
        batch = model(ids, attention_mask=mask).logits
        for row, text in enumerate(texts):
            assert_close(batch[row][mask[row] == 1], model(text).logits[0])


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.integers(1, 5), min_size=1, max_size=5), kind=st.sampled_from(["dynamic", "static", "pairs"]))
def test_a_cache_never_changes_a_result(steps, kind):
    model = make(BioGptForCausalLM)
    ids = draw_ids(2, sum(steps))
    caches = {"dynamic": DynamicCache(), "static": StaticCache(model.config, max_cache_len=30), "pairs": ()}
    past = caches[kind]
    parts = []
    with torch.no_grad():
        for part in ids.split(steps, dim=1):
            output = model(part, cache=past, use_cache=True)
            past = output[CACHE_NAME]
            parts.append(output.logits)
        assert_close(torch.cat(parts, dim=1), model(ids).logits)


def test_pairs_are_not_changed_and_pairs_come_back():
    model = make(BioGptModel)
    pairs = model(draw_ids(2, 3), cache=(), use_cache=True)[CACHE_NAME]
    assert isinstance(pairs, tuple)
    assert len(pairs) == 2
    assert pairs[0][0].shape == pairs[0][1].shape == (2, 4, 3, 4)
    before = [tensor.clone() for pair in pairs for tensor in pair]
    longer = model(draw_ids(2, 1), cache=[list(pair) for pair in pairs])[CACHE_NAME]
    assert longer[1][1].shape == (2, 4, 4, 4)
    assert all(torch.equal(old, new) for old, new in zip(before, [t for pair in pairs for t in pair], strict=True))
    with pytest.raises(InputError, match=r"a cache of 1 layers, expected a pair .* for each of the 2 layers"):
        model(draw_ids(2, 1), cache=pairs[:1])
    assert model(draw_ids(2, 3), use_cache=False).get(CACHE_NAME) is None


# Attention


@pytest.mark.parametrize("num_tokens", [1, 127, 128, 129, 300])
def test_blocked_attention_is_sdpa(num_tokens):
    models = [
        make(BioGptForCausalLM, max_position_embeddings=300, attn_implementation=kind) for kind in ("blocked", "sdpa")
    ]
    ids = draw_ids(2, num_tokens)
    outputs = [model(ids, labels=ids, use_cache=False) for model in models]
    assert_close(outputs[0].logits, outputs[1].logits)
    if num_tokens > 1:
        for output in outputs:
            output.loss.backward()
        for mine, reference in zip(models[0].parameters(), models[1].parameters(), strict=True):
            assert_close(mine.grad, reference.grad)


def test_blocked_attention_refuses_padding_and_caches():
    model = make(BioGptModel, attn_implementation="blocked")
    ids, mask = draw_ids(2, 5), torch.ones(2, 5)
    assert model(ids, attention_mask=mask).last_hidden_state.shape == (2, 5, 16)
    mask[0, 0] = 0
    with pytest.raises(InputError, match="padded batch or a cache with attn_implementation='blocked', expected whole"):
        model(ids, attention_mask=mask)
    with pytest.raises(InputError, match="padded batch or a cache"):
        model(ids, cache=model(ids)[CACHE_NAME])


def test_attention_weights_are_causal_and_sum_to_one():
    model = make(BioGptModel, attn_implementation="sdpa")
    output = model(draw_ids(2, 6), output_attentions=True, output_hidden_states=True)
    assert len(output.attentions) == 2
    assert len(output.hidden_states) == 3
    for weights in output.attentions:
        assert weights.shape == (2, 4, 6, 6)
        assert_close(weights.sum(-1), torch.ones(2, 4, 6))
        assert not weights.triu(1).any()
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)


def test_a_4d_mask_is_used_as_it_is():
    model = make(BioGptModel, attn_implementation="sdpa")
    ids = draw_ids(1, 5)
    causal = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    assert_close(model(ids, attention_mask=causal).last_hidden_state, model(ids).last_hidden_state)
    only_self = torch.eye(5, dtype=torch.bool)[None, None]
    assert not torch.allclose(model(ids, attention_mask=only_self).last_hidden_state, model(ids).last_hidden_state)


def test_head_masks():
    model = make(BioGptModel)
    ids = draw_ids(2, 5)
    plain = model(ids).last_hidden_state
    assert_close(model(ids, head_mask=torch.ones(4)).last_hidden_state, plain)
    assert_close(model(ids, head_mask=torch.ones(2, 4)).last_hidden_state, plain)
    assert not torch.allclose(model(ids, head_mask=torch.tensor([0.0, 1, 1, 1])).last_hidden_state, plain)
    with pytest.raises(InputError, match=r"head_mask of shape \(3,\), expected \(4,\) or \(2, 4\)"):
        model(ids, head_mask=torch.ones(3))


# The rest of the surface


@pytest.mark.parametrize(
    "model_class",
    [BioGptModel, BioGptForCausalLM, BioGptForTokenClassification, BioGptForSequenceClassification],
)
def test_tuples_and_hidden_states(model_class):
    model = make(model_class)
    ids = draw_ids(2, 5)
    output = model(ids, output_hidden_states=True, output_attentions=True)
    values = model(ids, output_hidden_states=True, output_attentions=True, return_dict=False)
    assert isinstance(values, tuple)
    assert torch.equal(values[0], output[0])
    assert len(values) == len(output.to_tuple())
    scale = math.sqrt(16)
    embedded = model.get_input_embeddings().weight[ids] * scale
    backbone = getattr(model, "biogpt", model)
    assert_close(output.hidden_states[0], embedded + backbone.embed_positions.weight[2:7])


def test_inputs_are_ids_or_embeddings():
    model = make(BioGptModel)
    for inputs in ({}, {"input_ids": draw_ids(1, 2), "inputs_embeds": torch.zeros(1, 2, 16)}):
        with pytest.raises(InputError, match="both or neither of input_ids and inputs_embeds"):
            model(**inputs)


def test_logits_to_keep():
    model = make(BioGptForCausalLM)
    ids = draw_ids(2, 6)
    logits = model(ids).logits
    assert_close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    assert_close(model(ids, logits_to_keep=torch.tensor([0, 3])).logits, logits[:, [0, 3]])


def test_the_language_model_loss():
    model = make(BioGptForCausalLM)
    ids = draw_ids(2, 6)
    labels = ids.clone()
    labels[0, :4] = -100
    output = model(ids, labels=labels)
    log_probabilities = output.logits.log_softmax(-1)
    terms = [
        -log_probabilities[row, at - 1, ids[row, at]] for row in range(2) for at in range(1, 6) if labels[row, at] > 0
    ]
    assert_close(output.loss, torch.stack(terms).mean())
    assert_close(model(ids, labels=labels, num_items_in_batch=14).loss, torch.stack(terms).sum() / 14)


def test_the_token_classification_loss_ignores_masked_positions():
    model = make(BioGptForTokenClassification, num_labels=3)
    ids, labels = draw_ids(2, 4), torch.tensor([[0, 1, 2, 1], [2, 0, -100, 1]])
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    output = model(ids, attention_mask=mask, labels=labels, token_type_ids=torch.zeros_like(ids))
    assert output.logits.shape == (2, 4, 3)
    log_probabilities = output.logits.log_softmax(-1)
    kept = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    expected = torch.stack([-log_probabilities[row, at, labels[row, at]] for row, at in kept]).mean()
    assert_close(output.loss, expected)


@pytest.mark.parametrize("pad_token_id", [1, 2])
@pytest.mark.parametrize("side", ["left", "right"])
def test_classification_reads_the_last_token(side, pad_token_id):
    model = make(BioGptForSequenceClassification, num_labels=3, pad_token_id=pad_token_id)
    texts = [draw_ids(1, 6), draw_ids(1, 2)]
    singles = torch.cat([model(text).logits for text in texts])
    ids, mask = torch.full((2, 6), pad_token_id), torch.zeros(2, 6, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(6 - text.shape[1], None) if side == "left" else slice(0, text.shape[1])
        ids[row, place], mask[row, place] = text[0], 1
    assert_close(model(ids, attention_mask=mask).logits, singles)
    assert_close(model(ids, attention_mask=mask, logits_to_keep=1).logits, singles)
    embeds = model.get_input_embeddings()(ids)
    assert_close(model(inputs_embeds=embeds, attention_mask=mask).logits, singles)


def test_where_texts_end():
    states = torch.zeros(2, 4, 8)
    ids = torch.tensor([[5, 6, 1, 1], [1, 1, 7, 8]])
    assert find_last_tokens(1, ids, None, states).tolist() == [1, 3]
    assert find_last_tokens(1, None, torch.tensor([[9, 1, 1, 0, 0], [0, 0, 0, 1, 1]]), states).tolist() == [1, 3]
    assert find_last_tokens(None, ids[:1], None, states[:1]).tolist() == [3]


def test_classifying_a_batch_needs_a_pad_token():
    model = make(BioGptForSequenceClassification, pad_token_id=None)
    assert model(draw_ids(1, 4)).logits.shape == (1, 2)
    with pytest.raises(InputError, match="Got 2 texts and no pad_token_id, expected one text or"):
        model(draw_ids(2, 4))


@pytest.mark.parametrize(
    ("num_labels", "labels", "expected"),
    [
        (1, torch.tensor([1, 2]), "regression"),
        (3, torch.tensor([1, 2]), "single_label_classification"),
        (3, torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]), "multi_label_classification"),
    ],
)
def test_the_problem_type_is_inferred(num_labels, labels, expected):
    model = make(BioGptForSequenceClassification, num_labels=num_labels)
    loss = model(draw_ids(2, 4), labels=labels).loss
    assert loss.isfinite()
    assert model.config.problem_type == expected
    loss.backward()


def test_layerdrop_skips_layers_in_training_only():
    model = make(BioGptModel, layerdrop=1.0, hidden_dropout_prob=0.0)
    ids = draw_ids(1, 4)
    evaluated = model(ids).last_hidden_state
    model.train()
    embedded = model.embed_tokens(ids) + model.embed_positions(torch.arange(4)[None])
    trained = model(ids, output_hidden_states=True)
    assert_close(trained.last_hidden_state, model.layer_norm(embedded))
    assert not torch.allclose(trained.last_hidden_state, evaluated)


def test_gradient_checkpointing_gives_the_same_gradients_and_no_cache():
    model = make(BioGptForCausalLM, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    ids = draw_ids(2, 6)
    model(ids, labels=ids).loss.backward()
    plain = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()  # its newer name
    output = model(ids, labels=ids, use_cache=True)
    assert output.get(CACHE_NAME) is None
    output.loss.backward()
    with pytest.raises(InputError, match="a cache in training with gradient checkpointing, expected none"):
        model(ids, cache=DynamicCache())
    for parameter, expected in zip(model.parameters(), plain, strict=True):
        assert_close(parameter.grad, expected)
    assert model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=1).shape[1] > 6


def test_resizing_the_embedding_keeps_it_tied():
    model = make(BioGptForCausalLM)
    ids = draw_ids(1, 4)
    before = model(ids).logits
    model.resize_token_embeddings(43, mean_resizing=False)
    assert model.config.vocab_size == 43
    assert model.output_projection.weight is model.biogpt.embed_tokens.weight
    after = model(ids, labels=torch.tensor([[40, 41, 42, 5]]))
    assert_close(after.logits[..., :40], before)
    assert after.loss.isfinite()
    assert model.biogpt.embed_tokens.embed_scale == 4.0
