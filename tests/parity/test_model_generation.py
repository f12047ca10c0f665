"""What `generate` offers, on our model: the same text whichever way it is made, and batches equal to singles."""

import pytest
import torch
from transformers import DynamicCache, StaticCache
from transformers.models.biogpt.modeling_biogpt import BioGptForCausalLM as Reference

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.model.cache import CACHE_NAME

NUM_NEW = 12


@pytest.fixture(scope="module")
def model(tiny_model_path) -> BioGptForCausalLM:
    return BioGptForCausalLM.from_pretrained(tiny_model_path)


@pytest.fixture(scope="module")
def reference(tiny_model_path) -> Reference:
    return Reference.from_pretrained(tiny_model_path)


PROMPTS = ([2, 10, 20, 30, 5], [2, 44, 7], [2, 11, 12, 13, 14, 15, 16, 17])


def write(model, ids, **settings):
    settings = {"max_new_tokens": NUM_NEW, "do_sample": False, **settings}
    return model.generate(torch.tensor([ids]) if isinstance(ids, list) else ids, **settings)[0].tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt_lookup_num_tokens": 2},
        {"cache_implementation": "static", "disable_compile": True},
        {"use_cache": False},
        {"assistant_early_exit": 1},
        {"prefill_chunk_size": 2},
    ],
    ids=str,
)
def test_all_ways_write_the_greedy_text(model, settings):
    for prompt in PROMPTS:
        assert write(model, prompt, **settings) == write(model, prompt)


def test_assisted_by_a_smaller_model(model, reference):
    torch.manual_seed(0)
    config = BioGptConfig.from_pretrained(model.name_or_path, num_hidden_layers=1)
    assistant = BioGptForCausalLM(config).eval()
    for prompt in PROMPTS:
        assert write(model, prompt, assistant_model=assistant) == write(reference, prompt)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 5, "min_length": 60, "max_new_tokens": 70},
        {"num_beams": 4, "num_return_sequences": 4, "early_stopping": True},
        {"do_sample": True, "temperature": 0.7},
        {"guidance_scale": 1.5},
    ],
    ids=str,
)
def test_the_texts_of_transformers(model, reference, settings):
    for prompt in PROMPTS:
        texts = []
        for writer in (model, reference):
            torch.manual_seed(1)
            texts.append(write(writer, prompt, **settings))
        assert texts[0] == texts[1]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 3}, {"cache_implementation": "static", "disable_compile": True}, {"use_cache": False}],
    ids=str,
)
def test_a_left_padded_batch_equals_singles(model, settings, implementation):
    model.set_attn_implementation(implementation)
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[1] * (width - len(prompt)) + prompt for prompt in PROMPTS])
    mask = (ids != 1).long()
    batch = model.generate(ids, attention_mask=mask, max_new_tokens=NUM_NEW, do_sample=False, **settings)
    for row, prompt in zip(batch.tolist(), PROMPTS, strict=True):
        new = write(model, prompt, **settings)[len(prompt) :]
        assert row[width : width + len(new)] == new
        assert set(row[width + len(new) :]) <= {1}


def test_scores_attentions_and_hidden_states(model):
    output = model.generate(
        torch.tensor([PROMPTS[0]]),
        max_new_tokens=3,
        min_new_tokens=3,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        output_attentions=True,
        output_hidden_states=True,
    )
    assert len(output.logits) == len(output.attentions) == len(output.hidden_states) == 3
    assert output.attentions[0][1].shape == (1, 4, 5, 5)
    assert output.attentions[1][1].shape == (1, 4, 1, 6)
    assert output.hidden_states[2][2].shape == (1, 1, 32)
    assert len(output[CACHE_NAME].layers) == 2


def test_generation_goes_on_from_a_cache(model):
    whole = write(model, PROMPTS[0])
    first = model.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=4, do_sample=False, return_dict_in_generate=True)
    rest = model.generate(
        first.sequences, **{CACHE_NAME: first[CACHE_NAME]}, max_new_tokens=NUM_NEW - 4, do_sample=False
    )
    assert rest[0].tolist() == whole


def test_generation_from_embeddings(model):
    ids = torch.tensor([PROMPTS[0]])
    embeds = model.get_input_embeddings()(ids)
    new = model.generate(inputs_embeds=embeds, max_new_tokens=NUM_NEW, do_sample=False)
    assert [*PROMPTS[0], *new[0].tolist()] == write(model, PROMPTS[0])


def test_generation_in_training_with_gradient_checkpointing(tiny_model_path):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path)
    expected = write(model, PROMPTS[0])
    model.train()
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()  # its newer name
    assert write(model, PROMPTS[0]) == expected


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about itself
def test_a_compiled_step_is_one_graph_and_never_compiled_again(model, padded):
    """The first step may compile; the others must run what it made."""
    torch._dynamo.reset()
    model.set_attn_implementation("sdpa")
    compiled = torch.compile(model.forward, fullgraph=True, backend="eager")
    prompt = [1, 1, *PROMPTS[0]] if padded else PROMPTS[0]
    ids = torch.tensor([prompt])
    mask = torch.zeros(1, 24, dtype=torch.long)
    mask[0, : len(prompt)] = ids[0] != 1
    cache = StaticCache(config=model.config, max_cache_len=24)
    given = {"attention_mask": mask} if padded else {}
    with torch.no_grad():
        logits = model(ids, cache=cache, **({"attention_mask": mask[:, : len(prompt)]} if padded else {})).logits
        texts = [logits[:, -1].argmax(-1)]
        for step in range(8):
            mask[0, len(prompt) + step] = 1
            with torch.compiler.set_stance("default" if step == 0 else "fail_on_recompile"):
                logits = compiled(texts[-1][:, None], cache=cache, **given).logits
            texts.append(logits[:, -1].argmax(-1))
    expected = write(model, PROMPTS[0], max_new_tokens=9, eos_token_id=None)
    assert [*PROMPTS[0], *(int(token) for token in texts)] == expected


@pytest.mark.parametrize("make", [lambda model: DynamicCache(config=model.config), lambda _: None])
def test_caches_are_transformers_own(model, make):
    output = model(torch.tensor([PROMPTS[0]]), cache=make(model), use_cache=True)
    assert isinstance(output[CACHE_NAME], DynamicCache)
    assert output[CACHE_NAME].get_seq_length() == len(PROMPTS[0])
