"""What people do to a model from outside: hooks, recorded outputs, and layers taken out, added or put elsewhere.

Each is compared with transformers' own class, edited in the same way.
"""

import copy
import warnings

import pytest
import torch
import transformers

from biogpt import BioGptConfig, BioGptForCausalLM, BioGptModel
from biogpt.errors import ConfigError, InputError
from biogpt.model.cache import CACHE_NAME, make_cache

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 48,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.fixture
def ours():
    torch.manual_seed(0)
    return BioGptForCausalLM(BioGptConfig(**SIZES)).eval()


@pytest.fixture
def theirs(ours):
    model = transformers.BioGptForCausalLM(transformers.BioGptConfig(**SIZES)).eval()
    model.load_state_dict(ours.state_dict())
    return model


@pytest.fixture
def ids():
    return torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(1))


def take_out(model):
    del model.biogpt.layers[2]


def cut(model):
    model.biogpt.layers = model.biogpt.layers[:2]  # as BERTScore does for num_layers=2


def append(model):
    model.biogpt.layers.append(copy.deepcopy(model.biogpt.layers[1]))


def swap(model):
    model.biogpt.layers = torch.nn.ModuleList([model.biogpt.layers[index] for index in (0, 2, 1, 3)])


@pytest.mark.parametrize("edit", [take_out, cut, append, swap])
def test_the_layers_that_are_there_run(ours, theirs, ids, edit):
    whole = ours(ids).logits
    for model in (ours, theirs):
        edit(model)
    got, expected = (
        model(ids, use_cache=False, output_hidden_states=True, output_attentions=model is ours)
        for model in (ours, theirs)
    )
    assert not torch.allclose(got.logits, whole, atol=1e-4)
    torch.testing.assert_close(got.logits, expected.logits)
    assert len(got.attentions) == len(ours.biogpt.layers)
    assert len(got.hidden_states) == len(expected.hidden_states) == len(ours.biogpt.layers) + 1
    for one, other in zip(got.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("edit", [take_out, cut, swap])
def test_edited_models_generate_with_a_cache(ours, theirs, ids, edit):
    for model in (ours, theirs):
        edit(model)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 1, "attention_mask": torch.ones_like(ids)}
    cached = ours.generate(ids, **settings)
    assert torch.equal(cached, ours.generate(ids, use_cache=False, **settings))
    assert torch.equal(cached, theirs.generate(ids, **settings))


def test_hooks_change_and_read_a_layer(ours, theirs, ids):
    steer = torch.linspace(-1, 1, 16)
    seen = {}
    for model in (ours, theirs):
        layer = model.biogpt.layers[1]
        layer.register_forward_hook(lambda module, inputs, output: output + steer)
        model.biogpt.layers[2].register_forward_hook(
            lambda module, inputs, output, model=model: seen.setdefault(model, output)
        )
    before = ours.biogpt.layers[0].register_forward_hook(lambda module, inputs, output: None)
    got, expected = ours(ids), theirs(ids)
    before.remove()
    torch.testing.assert_close(got.logits, expected.logits)
    torch.testing.assert_close(seen[ours], seen[theirs])
    assert isinstance(seen[ours], torch.Tensor)


def test_attributions_flow_to_the_embeddings_and_a_layer(ours, ids):
    """captum's layer integrated gradients replaces a module's output and asks for the gradient at it."""
    kept = []
    hook = ours.biogpt.embed_tokens.register_forward_hook(
        lambda module, inputs, output: kept.append(output.detach().requires_grad_()) or kept[-1]
    )
    (gradient,) = torch.autograd.grad(ours(ids).logits[:, -1, 5].sum(), kept[0])
    hook.remove()
    assert gradient.shape == (2, 7, 16)
    assert gradient.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_a_cache_under_both_names(ours, ids, name):
    whole = ours(ids).logits
    cache = make_cache(ours.config)
    first = ours(ids[:, :4], **{name: cache})
    assert first[CACHE_NAME] is cache
    torch.testing.assert_close(ours(ids[:, 4:], **{name: cache}).logits, whole[:, 4:])
    assert cache.get_seq_length() == 7

    first = make_cache(ours.config)
    ours.biogpt(ids[:, :4], None, None, first)
    torch.testing.assert_close(ours(ids[:, 4:], None, None, first).logits, whole[:, 4:])

    hidden = torch.randn(2, 7, 16)
    for module in (ours.biogpt.layers[0], ours.biogpt.layers[0].self_attn):
        cache = make_cache(ours.config)
        module(hidden[:, :6], **{name: cache})
        assert cache.get_seq_length() == 6
    with pytest.raises(InputError, match="both cache and past_key_values"):
        ours(ids, cache=cache, past_key_values=cache)


def test_the_older_name_is_deprecated_where_transformers_has_another(ours, ids):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours(ids, past_key_values=make_cache(ours.config))
    is_deprecated = CACHE_NAME != "past_key_values"
    assert [warning.filename for warning in caught] == [__file__] * is_deprecated


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_generation_goes_on_from_a_cache_under_both_names(ours, ids, name):
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 1}
    expected = ours.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    cache = make_cache(ours.config)
    ours(ids[:, :5], cache=cache)
    assert torch.equal(ours.generate(ids, attention_mask=torch.ones_like(ids), **{name: cache}, **settings), expected)
    with pytest.raises(InputError, match="both cache and past_key_values"):
        ours.generate(ids, cache=cache, past_key_values=cache)


@pytest.mark.parametrize(
    "name", ["encoder_hidden_states", "encoder_attention_mask", "encoder_outputs", "key_value_states"]
)
def test_cross_attention_is_refused(ours, ids, name):
    with pytest.raises(InputError, match=f"Got {name}, expected none: BioGPT has no cross-attention"):
        ours(ids, **{name: torch.ones(2, 3, 16)})
    assert ours(ids, **{name: None}).logits.isfinite().all()
    with pytest.raises(InputError, match="key_value_states"):
        ours.biogpt.layers[0].self_attn(torch.ones(1, 2, 16), torch.ones(1, 2, 16))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hidden_size": 37}, "hidden_size=37, expected a multiple of num_attention_heads=2"),
        ({"add_cross_attention": True}, "add_cross_attention=True, expected False"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder=True, expected False"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_by_the_model(changes, says):
    config = BioGptConfig(**{**SIZES, **changes})  # a configuration alone may hold it
    for kind in (BioGptModel, BioGptForCausalLM):
        with pytest.raises(ConfigError, match=says):
            kind(config)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 100},
        {"max_length": 200},
        {"max_new_tokens": 100, "num_beams": 3},
        {"max_new_tokens": 100, "prompt_lookup_num_tokens": 3},
    ],
)
def test_generation_stops_at_the_last_position_with_a_warning(ours, ids, settings):
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 1, **settings}
    batch = ids[:1] if "prompt_lookup_num_tokens" in settings else ids
    with pytest.warns(UserWarning, match="stopped at the last of the model's 48 positions") as caught:
        texts = ours.generate(batch, attention_mask=torch.ones_like(batch), **settings)
    assert len(caught) == 1
    assert texts.shape[1] == 48 - settings.get("prompt_lookup_num_tokens", 0)
    assert torch.equal(texts[:, :7], batch)


def test_generation_counts_positions_without_padding_and_default_lengths(ours):
    padded = torch.full((1, 60), 1)
    padded[:, -40:] = 5
    mask = (padded != 1).long()
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 1}
    with pytest.warns(UserWarning, match="48 positions"):  # 20 tokens by default, and room for 8
        assert ours.generate(padded, attention_mask=mask, **settings).shape[1] == 68
    assert ours.generate(padded, attention_mask=mask, max_new_tokens=8, **settings).shape[1] == 68
    with pytest.raises(InputError, match="Got 49 tokens"):
        ours.generate(torch.full((1, 49), 5), max_new_tokens=3, **settings)
