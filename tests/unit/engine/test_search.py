"""All likely texts, against plain arithmetic: the probability of each text that a rule allows, computed one by one."""

import math

import pytest
import torch

from biogpt.decoding.constraint import Rule, Walk, compile_rule
from biogpt.engine.engine import Engine
from biogpt.errors import CheckpointError, InputError
from biogpt.text.grammar import Choice, Grammar, Span, Words

SOURCE = "Aspirin reduces the risk of fever."
GRAMMAR = Grammar(
    (Words("the risk of "), Span(max_words=3), Words(" is "), Choice(("lowered", "seen in trials", "seen"))),
    separator="; ",
    is_repeated=True,
    end=".",
    none="there is none.",
)


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.load(tiny_model_path, device="cpu")


@pytest.fixture(scope="module")
def prompt(engine) -> list[int]:
    return engine.tokenizer(SOURCE)["input_ids"]


@pytest.fixture(scope="module")
def rule(engine, prompt) -> Rule:
    return compile_rule(GRAMMAR, engine.tokenizer, prompt).once()


def all_texts(walk: Walk) -> list[list[int]]:
    if walk.is_done:
        return [walk.ids]
    texts = []
    for index in walk.allowed():
        onward = walk.fork()
        onward.take(index)
        texts += all_texts(onward)
    return texts


def probability_of(engine: Engine, prompt: list[int], rule: Rule, ids: list[int]) -> float:
    """Read once as a whole, without a cache."""
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 :].float()
    walk = rule.begin(500)
    total = 0.0
    for index, row in zip(ids, logits, strict=False):
        allowed = sorted(walk.allowed())
        total += row[allowed].log_softmax(dim=-1)[allowed.index(index)].item()
        walk.take(index)
    return math.exp(total)


def test_all_texts_are_found_with_their_probabilities(engine, prompt, rule):
    expected = {tuple(ids): probability_of(engine, prompt, rule, ids) for ids in all_texts(rule.begin(500))}
    assert len(expected) > 30
    found = engine.find_likely(prompt, rule, 1e-30)
    assert {one.ids: one.probability for one in found} == pytest.approx(expected, rel=1e-4)
    assert sum(one.probability for one in found) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("min_probability", [1e-4, 0.004, 0.1])
def test_those_below_the_probability_are_left_out_and_no_others(engine, prompt, rule, min_probability):
    everything = engine.find_likely(prompt, rule, 1e-30)
    found = engine.find_likely(prompt, rule, min_probability)
    kept = [one for one in everything if one.probability >= min_probability]
    assert 0 < len(kept) < len(everything)
    assert [one.ids for one in found] == [one.ids for one in kept]
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)


@pytest.mark.parametrize("min_probability", [1e-30, 0.2])
def test_no_pass_reads_more_texts_than_there_can_be(engine, prompt, rule, min_probability):
    sizes: list[int] = []
    hook = engine.model.register_forward_pre_hook(
        lambda _, arguments, named: sizes.append(len(named["input_ids"])), with_kwargs=True
    )
    try:
        engine.find_likely(prompt, rule, min_probability)
    finally:
        hook.remove()
    assert max(sizes) <= 1 / min_probability
    assert sizes[0] == 1  # the prompt is read once
    assert (max(sizes) > 1) is (min_probability < 0.1)


def test_impossible_probabilities_and_damaged_weights_are_refused(engine, prompt, rule, tiny_model_path):
    for wrong in (0, -1, 1.5):
        with pytest.raises(InputError, match="expected above 0 and at most 1"):
            engine.find_likely(prompt, rule, wrong)
    damaged = Engine.load(tiny_model_path, device="cpu")
    with torch.no_grad():
        damaged.model.biogpt.layer_norm.weight.fill_(math.nan)
    with pytest.raises(CheckpointError, match="not numbers"):
        damaged.find_likely(prompt, rule, 0.1)


def test_a_source_without_words_leaves_the_one_text_that_says_so(engine):
    prompt = engine.tokenizer("?")["input_ids"]
    (only,) = engine.find_likely(prompt, compile_rule(GRAMMAR, engine.tokenizer, prompt).once(), 0.3)
    assert only.probability == 1.0
    assert engine.tokenizer.decode(only.ids, skip_special_tokens=True) == "there is none."
