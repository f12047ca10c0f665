"""Our network against transformers' own, with the same random weights."""

import copy
import itertools
import shutil

import pytest
import torch
import transformers
from transformers import DynamicCache

import biogpt
from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.model.cache import CACHE_NAME

SHAPES = {
    "usual": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37},
    "one layer, one head, relu": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 64,
        "hidden_act": "relu",
        "scale_embedding": False,
    },
    "three layers, silu, untied": {
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 24,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    },
}
CLASSES = ["BioGptModel", "BioGptForCausalLM", "BioGptForTokenClassification", "BioGptForSequenceClassification"]
NUM_TOKENS = 9
VOCAB_SIZE = 61


def make_pair(class_name: str, shape: str = "usual", **changes):
    """Their model and ours, with equal weights; livelier than at the start of training, so that attention matters."""
    torch.manual_seed(0)
    values = {
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 64,
        "initializer_range": 0.15,
        "num_labels": 3,
        "eos_token_id": None,
        "attn_implementation": "eager",
        **SHAPES[shape],
        **changes,
    }
    theirs = getattr(transformers, class_name)._from_config(transformers.BioGptConfig(**values)).eval()
    ours = getattr(biogpt, class_name)._from_config(BioGptConfig(**values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def make_batch(padding: str) -> dict[str, torch.Tensor]:
    """Three texts of 9, 6 and 4 tokens; positions given as generation gives them to today's transformers."""
    torch.manual_seed(1)
    ids = torch.randint(4, VOCAB_SIZE, (3, NUM_TOKENS))
    mask = torch.ones_like(ids)
    if padding != "none":
        for row, length in enumerate((9, 6, 4)):
            pads = slice(length, None) if padding == "right" else slice(0, NUM_TOKENS - length)
            mask[row, pads] = 0
        ids[mask == 0] = 1
    return {"input_ids": ids, "attention_mask": mask}


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    return mask.cumsum(1) * mask - 1


def labels_for(class_name: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    if class_name == "BioGptForCausalLM":
        return {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}
    if class_name == "BioGptForTokenClassification":
        return {"labels": torch.randint(0, 3, (3, NUM_TOKENS))}
    return {"labels": torch.randint(0, 3, (3,))} if class_name == "BioGptForSequenceClassification" else {}


def assert_close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("class_name", CLASSES)
def test_outputs_losses_and_gradients(class_name, shape, padding):
    theirs, ours = make_pair(class_name, shape)
    batch = make_batch(padding)
    is_token = batch["attention_mask"] == 1
    wanted = {"output_hidden_states": True, "output_attentions": True, **labels_for(class_name, batch)}
    expected = theirs(**batch, position_ids=positions_of(batch["attention_mask"]), **wanted)
    got = ours(**batch, **wanted)

    main = "last_hidden_state" if class_name == "BioGptModel" else "logits"
    if class_name == "BioGptForSequenceClassification":
        assert_close(got.logits, expected.logits)
    else:
        assert_close(got[main][is_token], expected[main][is_token])
    assert len(got.hidden_states) == len(expected.hidden_states)
    for mine, reference in zip(got.hidden_states, expected.hidden_states, strict=True):
        assert_close(mine[is_token], reference[is_token])
    for mine, reference in zip(got.attentions, expected.attentions, strict=True):
        assert_close(mine.transpose(1, 2)[is_token], reference.transpose(1, 2)[is_token])

    if class_name == "BioGptModel":
        got.last_hidden_state[is_token].square().mean().backward()
        expected.last_hidden_state[is_token].square().mean().backward()
    else:
        assert_close(got.loss, expected.loss)
        got.loss.backward()
        expected.loss.backward()
    references = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, references[name].grad, 1e-4)


@pytest.mark.parametrize(
    ("implementation", "padding"),
    [*itertools.product(["eager", "sdpa"], ["none", "right", "left"]), ("flex_attention", "left")],
)
@pytest.mark.filterwarnings("ignore")  # flex attention compiles itself, and PyTorch so warns itself
def test_attention_implementations(implementation, padding):
    if implementation == "flex_attention" and not shutil.which("g++"):
        pytest.skip("flex attention compiles itself, which needs g++")
    theirs, ours = make_pair("BioGptForCausalLM")
    ours.set_attn_implementation(implementation)
    batch = make_batch(padding)
    is_token = batch["attention_mask"] == 1
    with torch.no_grad():
        expected = theirs(**batch, position_ids=positions_of(batch["attention_mask"]), output_attentions=True)
        assert_close(ours(**batch).logits[is_token], expected.logits[is_token])
        got = ours(**batch, output_attentions=True)
    assert_close(got.logits[is_token], expected.logits[is_token])
    assert_close(got.attentions[1].transpose(1, 2)[is_token], expected.attentions[1].transpose(1, 2)[is_token])


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize("form", ["cache", "pairs"])
def test_cache(form, padding, step):
    theirs, ours = make_pair("BioGptForCausalLM")
    batch = make_batch(padding)
    positions = positions_of(batch["attention_mask"])
    with torch.no_grad():
        expected = theirs(**batch, position_ids=positions).logits
    past = DynamicCache(config=ours.config) if form == "cache" else ()
    their_past = None
    stops = [5, *range(5 + step, NUM_TOKENS, step), NUM_TOKENS]
    for start, stop in zip([0, *stops], stops, strict=False):
        ids, mask = batch["input_ids"][:, start:stop], batch["attention_mask"][:, :stop]
        with torch.no_grad():
            got = ours(ids, attention_mask=mask, cache=past, use_cache=True)
            reference = theirs(
                ids,
                attention_mask=mask,
                **{CACHE_NAME: their_past},
                use_cache=True,
                position_ids=positions[:, start:stop],
            )
        past, their_past = got[CACHE_NAME], reference[CACHE_NAME]
        is_token = batch["attention_mask"][:, start:stop] == 1
        assert_close(got.logits[is_token], expected[:, start:stop][is_token])
        assert_close(got.logits[is_token], reference.logits[is_token])
    assert isinstance(past, tuple if form == "pairs" else DynamicCache)
    layers = past if form == "pairs" else [(layer.keys, layer.values) for layer in past.layers]
    for pair, layer in zip(layers, their_past.layers, strict=True):
        is_seen = batch["attention_mask"] == 1
        assert_close(pair[0].transpose(1, 2)[is_seen], layer.keys.transpose(1, 2)[is_seen])
        assert_close(pair[1].transpose(1, 2)[is_seen], layer.values.transpose(1, 2)[is_seen])


@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_gradients_of_sdpa(padding):
    theirs, ours = make_pair("BioGptForCausalLM")
    ours.set_attn_implementation("sdpa")
    batch = make_batch(padding)
    labels = labels_for("BioGptForCausalLM", batch)
    # The first token after padding is predicted from padding, which attends to nothing: kernels differ there.
    labels["labels"][batch["attention_mask"].cumsum(1) == 1] = -100
    theirs(**batch, position_ids=positions_of(batch["attention_mask"]), **labels).loss.backward()
    ours(**batch, **labels).loss.backward()
    references = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, references[name].grad, 1e-4)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_gradients_through_a_cache_and_embeddings(implementation):
    gradients = []
    for model in make_pair("BioGptForCausalLM"):
        model.set_attn_implementation(implementation)
        torch.manual_seed(4)
        embeddings = torch.randn(2, 5, 32, requires_grad=True)
        ids = torch.randint(4, VOCAB_SIZE, (2, 4))
        past = model(inputs_embeds=embeddings, use_cache=True)[CACHE_NAME]
        model(ids, **{CACHE_NAME: past}, labels=ids).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        gradients[-1]["inputs_embeds"] = embeddings.grad
    assert gradients[0]["inputs_embeds"].abs().max() > 1e-3
    for name, gradient in gradients[1].items():
        assert_close(gradient, gradients[0][name], 1e-4)


@pytest.mark.parametrize("class_name", CLASSES)
def test_embeddings_as_inputs(class_name):
    theirs, ours = make_pair(class_name)
    embeddings = torch.randn(1, NUM_TOKENS, 32)
    assert_close(ours(inputs_embeds=embeddings)[0], theirs(inputs_embeds=embeddings)[0])
    batch = make_batch("left")
    batch["inputs_embeds"] = ours.get_input_embeddings()(batch["input_ids"])
    got = ours(inputs_embeds=batch["inputs_embeds"], attention_mask=batch["attention_mask"])[0]
    expected = ours(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    assert_close(got, expected)


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_head_mask_scales_what_a_head_adds(implementation, per_layer):
    """By hand: a factor of a head's attention weights is the same factor of its columns in the output projection."""
    theirs, ours = make_pair("BioGptForCausalLM")
    ours.set_attn_implementation(implementation)
    factors = torch.tensor([[0.0, 1.0, 0.5, 2.0], [1.0, 0.0, 1.0, -1.0]])
    if not per_layer:
        factors = factors[:1].expand(2, 4)
    for layer, layer_factors in zip(theirs.biogpt.layers, factors, strict=True):
        layer.self_attn.out_proj.weight.data *= layer_factors.repeat_interleave(8)
    batch = make_batch("left")
    is_token = batch["attention_mask"] == 1
    expected = theirs(**batch, position_ids=positions_of(batch["attention_mask"]))
    got = ours(**batch, head_mask=factors if per_layer else factors[0], output_attentions=True)
    assert_close(got.logits[is_token], expected.logits[is_token])
    assert not got.attentions[0][:, 0].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("class_name", CLASSES)
def test_half_precision(class_name, dtype):
    theirs, ours = make_pair(class_name)
    batch = make_batch("none")
    with torch.no_grad():
        exact = theirs(**batch)[0]
        expected = copy.deepcopy(theirs).to(dtype)(**batch)[0]
        got = ours.to(dtype)(**batch)[0]
    assert got.dtype == dtype
    rounding = torch.finfo(dtype).eps * exact.abs().max()
    assert (got - expected).abs().max() <= 4 * rounding
    assert (got - exact).abs().max() <= 8 * rounding


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "labels"),
    [
        (1, None, torch.tensor([0.5, -1.0, 2.0])),
        (3, "regression", torch.tensor([[0.5, 1.0, 2.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])),
        (3, None, torch.tensor([0, 2, 1])),
        (3, None, torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])),
    ],
)
@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_losses_of_sequence_classification(padding, num_labels, problem_type, labels):
    theirs, ours = make_pair("BioGptForSequenceClassification", num_labels=num_labels, problem_type=problem_type)
    batch = make_batch(padding)
    expected = theirs(**batch, position_ids=positions_of(batch["attention_mask"]), labels=labels)
    got = ours(**batch, labels=labels)
    assert_close(got.loss, expected.loss)
    assert_close(got.logits, expected.logits)
    assert ours.config.problem_type == theirs.config.problem_type


@pytest.mark.parametrize("class_name", CLASSES)
def test_each_side_loads_what_the_other_saved(class_name, tmp_path):
    theirs, ours = make_pair(class_name)
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    batch = make_batch("none")
    expected = theirs(**batch)[0]
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert_close(getattr(biogpt, class_name).from_pretrained(tmp_path / "theirs")(**batch)[0], expected)
    assert_close(getattr(transformers, class_name).from_pretrained(tmp_path / "ours")(**batch)[0], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 5, "min_length": 30, "early_stopping": True},
        {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.5},
        {"do_sample": True, "top_k": 20, "top_p": 0.9, "temperature": 0.8},
        {"do_sample": True, "num_beams": 3},
        {"prompt_lookup_num_tokens": 3},
        {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
        {"use_cache": False},
        {"cache_implementation": "static", "disable_compile": True},
    ],
    ids=str,
)
def test_generation(settings):
    theirs, ours = make_pair("BioGptForCausalLM", eos_token_id=2)
    batch = make_batch("left" if "prompt_lookup_num_tokens" not in settings else "none")
    if "prompt_lookup_num_tokens" in settings:
        batch = {name: tensor[:1] for name, tensor in batch.items()}
    results = []
    for model in (theirs, ours):
        torch.manual_seed(3)
        results.append(model.generate(**batch, max_length=40, pad_token_id=1, **{"do_sample": False, **settings}))
    assert torch.equal(*results)
    assert results[0].shape[1] > NUM_TOKENS


def test_the_base_shape():
    """At its real size; gradients are compared in small ones."""
    torch.manual_seed(0)
    config = transformers.BioGptConfig()
    with torch.device("meta"):
        theirs = transformers.BioGptForCausalLM(config)
        ours = BioGptForCausalLM(BioGptConfig.preset("base"))
    weights = {name: torch.randn(tensor.shape).mul_(0.02) for name, tensor in theirs.state_dict().items()}
    weights["output_projection.weight"] = weights["biogpt.embed_tokens.weight"]
    assert sum(tensor.numel() for name, tensor in weights.items() if "projection" not in name) == 346_763_264
    ids = torch.randint(4, config.vocab_size, (1, 24))
    results = []
    for model in (theirs, ours):
        model.load_state_dict(weights, assign=True)
        model.tie_weights()
        model.eval()
        with torch.no_grad():
            output = model(ids, labels=ids)
        results.append((output.logits, output.loss))
    for expected, got in zip(*results, strict=True):
        assert_close(got, expected)
