"""Fixtures shared by all tests."""

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BIOGPT_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_path() -> Path:
    """The real data sets beside the checkout (or at $BIOGPT_DATA). Where they are missing, CI fails and others skip."""
    if not DATA.is_dir():
        message = f"no data sets at {DATA}: put them there or set BIOGPT_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA


@pytest.fixture(autouse=True)
def random_state() -> Iterator[None]:
    """A test leaves the random numbers of others as they were: whoever seeds them, a Trainer for example."""
    python, numpy, torch = random.getstate(), sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy else None
    torch_state = torch.get_rng_state() if torch else None
    yield
    random.setstate(python)
    if numpy:
        numpy.random.set_state(numpy_state)
    if torch:
        torch.set_rng_state(torch_state)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch uses two threads, however many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


TINY_TEXTS = (
    "Aspirin reduces the risk of myocardial infarction, but it may cause gastrointestinal bleeding (OR 1.5; P < 0.05).",
    "The patients' blood pressure wasn't lowered by beta-blockers in double-blind, placebo-controlled trials.",
    'Cisplatin-induced "nephrotoxicity" was seen at 5 mg/kg; IL-6 and TNF-α levels rose 2.5-fold [95% CI: 1.2-3.9].',
)


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a whole model: tiny, 96 positions, vocabulary and weights learned from three sentences.

    Barely trained weights are better for tests than random ones, which say the same piece over and over: these write
    words, hyphens and quotation marks, and end their texts.
    """
    import torch

    from biogpt import BioGptConfig, BioGptForCausalLM, BioGptTokenizer
    from biogpt.text import bpe, moses

    path = tmp_path_factory.mktemp("tiny-model")
    words = [(word, 1) for text in moses.split_words(TINY_TEXTS) for word in text]
    vocab_file, merges_file = bpe.write_vocabulary(bpe.learn(words, vocabulary_size=240, min_character_count=1), path)
    tokenizer = BioGptTokenizer(vocab_file, merges_file)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = BioGptConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=96,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BioGptForCausalLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    texts = [torch.tensor([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])[None] for text in TINY_TEXTS]
    for step in range(90):
        model(texts[step % len(texts)], labels=texts[step % len(texts)]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tuned_model_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of tuned models by their task, one for each head; see `tuned_models`."""
    from tuned_models import make_tuned_models

    return make_tuned_models(tmp_path_factory.mktemp("tuned-models"))
