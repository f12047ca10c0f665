"""Every directory under assets, as it ships: it loads here and in transformers, and generates with a cache."""

from pathlib import Path

import pytest
import torch
import transformers

import biogpt
from biogpt import BioGptForCausalLM, BioGptTokenizer, Engine
from biogpt.errors import CheckpointError
from biogpt.model.checkpoint import load_tokenizer
from biogpt.model.loading import load_model

ASSETS = Path(biogpt.__file__).parent / "assets"
DIRECTORIES = sorted(file.parent for file in ASSETS.glob("**/config.json"))
WITH_WEIGHTS = [path for path in DIRECTORIES if (path / "model.safetensors").is_file()]
PROMPT = "The patients were treated with cisplatin and the patients were"

every_directory = pytest.mark.parametrize("path", DIRECTORIES, ids=lambda path: path.name)
every_model = pytest.mark.parametrize("path", WITH_WEIGHTS, ids=lambda path: path.name)


def test_the_assets_are_found():
    assert {path.name for path in DIRECTORIES} >= {"mini", "bc5cdr", "ncbi_disease"}
    assert "mini" in {path.name for path in WITH_WEIGHTS}


def encode(path: Path) -> dict[str, torch.Tensor]:
    return dict(BioGptTokenizer.from_pretrained(path)(PROMPT, return_tensors="pt"))


@every_directory
def test_it_loads_and_transformers_computes_the_same(path, tmp_path):
    model = load_model(path).eval()
    tokenizer = load_tokenizer(path, model.config.vocab_size)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    source = path if path in WITH_WEIGHTS else tmp_path  # a task's weights are a difference, written out whole
    peer = getattr(transformers, type(model).__name__).from_pretrained(source).eval()
    inputs = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        expected = peer(**inputs).logits
        got = model(**inputs).logits
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    slow = transformers.models.biogpt.tokenization_biogpt.BioGptTokenizer.from_pretrained(path)
    assert slow(PROMPT)["input_ids"] == tokenizer(PROMPT)["input_ids"]


@every_directory
def test_the_engine_loads_it(path):
    if not isinstance(load_model(path), BioGptForCausalLM):
        with pytest.raises(CheckpointError, match="a BioGptForTokenClassification, expected a model that writes text"):
            Engine.from_pretrained(path)
        return
    engine = Engine.from_pretrained(path)
    text = engine.generate(PROMPT, max_new_tokens=8, temperature=0.0)[0].text
    assert text
    assert engine.model.generation_config.use_cache


@every_model
def test_it_generates_with_a_cache_and_the_same_without(path):
    model = BioGptForCausalLM.from_pretrained(path).eval()
    peer = transformers.BioGptForCausalLM.from_pretrained(path).eval()
    inputs = encode(path)
    settings = {"max_new_tokens": 24, "do_sample": False}
    lengths = []
    hook = model.biogpt.embed_tokens.register_forward_hook(lambda module, args, output: lengths.append(output.shape[1]))
    text = model.generate(**inputs, **settings)
    hook.remove()
    assert set(lengths[1:]) == {1}, "each step reads one token: the shipped generation_config.json uses the cache"
    assert torch.equal(model.generate(**inputs, **settings, use_cache=False), text)
    assert torch.equal(peer.generate(**inputs, **settings), text)
    assert torch.equal(model.generate(**inputs, **settings, prompt_lookup_num_tokens=3), text)
    assert torch.equal(model.generate(**inputs, **settings, assistant_early_exit=2), text)
    assert torch.equal(model.generate(**inputs, **settings, assistant_model=peer), text)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's and transformers' own
def test_a_blank_behind_the_prompt_keeps_words_apart_in_transformers_pipeline():
    """docs/models.md says so: the pipeline decodes the new tokens alone, and joins them to the prompt as they are."""
    engine = Engine.from_pretrained("mini")
    pipe = transformers.pipeline("text-generation", model=engine.model, tokenizer=engine.tokenizer)
    ids = engine.tokenizer(PROMPT, return_tensors="pt")
    settings = {"max_new_tokens": 6, "do_sample": False}
    whole = engine.tokenizer.decode(engine.model.generate(**ids, **settings)[0], skip_special_tokens=True)
    assert pipe(f"{PROMPT} ", **settings)[0]["generated_text"] == whole
    assert pipe(PROMPT, **settings)[0]["generated_text"] == whole.replace(f"{PROMPT} ", PROMPT)
