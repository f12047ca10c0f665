"""The search, against plain arithmetic: the probability of each text that a constraint allows, one by one."""

import math
from dataclasses import replace

import pytest
import torch

from biogpt.decoding.constraint import ConstraintState, TokenConstraint, compile_constraint
from biogpt.engine.engine import Engine
from biogpt.errors import CheckpointError, InputError
from biogpt.text.grammar import Choice, Grammar, SourceSpan, Words

SOURCE = "Aspirin reduces the risk of fever."
GRAMMAR = Grammar(
    (Words("the risk of "), SourceSpan(max_words=3), Words(" is "), Choice(("lowered", "seen in trials", "seen"))),
    separator="; ",
    is_repeated=True,
    end=".",
    none="there is none.",
)


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path, device="cpu")


@pytest.fixture(scope="module")
def prompt(engine) -> list[int]:
    return engine.tokenizer(SOURCE)["input_ids"]


@pytest.fixture(scope="module")
def constraint(engine, prompt) -> TokenConstraint:
    return compile_constraint(GRAMMAR, engine.tokenizer, prompt).once()


def test_an_impossible_constraint_is_named_before_any_prompt_is_read(engine, prompt, constraint):
    impossible = replace(constraint, none=None, source=())
    num_passes = engine.network.num_passes
    for ask in (
        lambda constraints: engine.search_each([prompt] * 2, constraints, 0.1),
        lambda constraints: engine.generate_ids([prompt] * 2, temperature=0, constraints=constraints),
    ):
        with pytest.raises(InputError, match="Prompt 2: The source has no word"):
            ask([constraint, impossible])
    assert engine.network.num_passes == num_passes
    first, second = engine.search_each([prompt] * 2, [constraint] * 2, 0.1)
    assert first == second


def all_texts(state: ConstraintState) -> list[list[int]]:
    if state.is_done:
        return [state.ids]
    texts = []
    for index in state.allowed():
        onward = state.fork()
        onward.accept(index)
        texts += all_texts(onward)
    return texts


def probability_of(engine: Engine, prompt: list[int], constraint: TokenConstraint, ids: list[int]) -> float:
    """Read once as a whole, without a cache."""
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 :].float()
    state = constraint.begin(500)
    total = 0.0
    for index, row in zip(ids, logits, strict=False):
        allowed = sorted(state.allowed())
        total += row[allowed].log_softmax(dim=-1)[allowed.index(index)].item()
        state.accept(index)
    return math.exp(total)


def test_all_texts_are_found_with_their_probabilities(engine, prompt, constraint):
    expected = {tuple(ids): probability_of(engine, prompt, constraint, ids) for ids in all_texts(constraint.begin(500))}
    assert len(expected) > 30
    found = engine.search_sequences(prompt, constraint, 1e-30)
    assert {one.ids: one.probability for one in found} == pytest.approx(expected, rel=1e-4)
    assert sum(one.probability for one in found) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("threshold", [1e-4, 0.004, 0.1])
def test_those_below_the_probability_are_left_out_and_no_others(engine, prompt, constraint, threshold):
    everything = engine.search_sequences(prompt, constraint, 1e-30)
    found = engine.search_sequences(prompt, constraint, threshold)
    kept = [one for one in everything if one.probability >= threshold]
    assert 0 < len(kept) < len(everything)
    assert [one.ids for one in found] == [one.ids for one in kept]
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)


@pytest.mark.parametrize("threshold", [1e-30, 0.2])
def test_no_pass_reads_more_texts_than_there_can_be(engine, prompt, constraint, threshold, record_reads):
    engine = Engine(engine.model, engine.tokenizer, is_drafting=False)
    reads = record_reads(engine)
    engine.search_sequences(prompt, constraint, threshold)
    sizes = [len(segment.kept_indices) for (segment,) in reads]
    assert len(reads[0][0].ids) > len(prompt)  # and what must follow it
    assert max(sizes) <= 1 / threshold
    assert sizes[0] == 1  # the prompt is read once
    assert (max(sizes) > 1) is (threshold < 0.1)


@pytest.mark.parametrize("threshold", [1e-30, 0.01])
def test_drafts_change_nothing_and_save_passes(engine, prompt, constraint, threshold):
    without = Engine(engine.model, engine.tokenizer, is_drafting=False)
    with_drafts = Engine(engine.model, engine.tokenizer)
    expected = {one.ids: one.probability for one in without.search_sequences(prompt, constraint, threshold)}
    got = {one.ids: one.probability for one in with_drafts.search_sequences(prompt, constraint, threshold)}
    assert got == pytest.approx(expected, rel=1e-4)
    assert with_drafts.network.num_passes <= without.network.num_passes - (threshold < 1e-3)


def test_impossible_probabilities_and_damaged_weights_are_refused(engine, prompt, constraint, tiny_model_path):
    for wrong in (0, -1, 1.5):
        with pytest.raises(InputError, match="expected above 0 and at most 1"):
            engine.search_sequences(prompt, constraint, wrong)
    damaged = Engine.from_pretrained(tiny_model_path, device="cpu")
    with torch.no_grad():
        damaged.model.biogpt.layer_norm.weight.fill_(math.nan)
    with pytest.raises(CheckpointError, match="not numbers"):
        damaged.search_sequences(prompt, constraint, 0.1)


def test_a_source_without_words_leaves_the_one_text_that_says_so(engine):
    prompt = engine.tokenizer("?")["input_ids"]
    (only,) = engine.search_sequences(prompt, compile_constraint(GRAMMAR, engine.tokenizer, prompt).once(), 0.3)
    assert only.probability == 1.0
    assert engine.tokenizer.decode(only.ids, skip_special_tokens=True) == "there is none."


def test_a_search_that_fails_fails_alone_and_half_go_on_where_memory_is_short(engine, prompt, constraint, monkeypatch):
    class Failing(ConstraintState):
        def accept(self, index):
            if len(self.ids) > 4:
                raise KeyError("of the constraint's own")
            return super().accept(index)

    class FailingConstraint:
        def begin(self, max_new_tokens):
            return Failing(constraint, max_new_tokens)

    several = engine.with_batch_size(4)
    (expected,) = several.search_each([prompt], [constraint], 0.01)
    asked = [constraint, FailingConstraint(), constraint, replace(constraint, none=None, source=()), constraint]
    score = engine.network.score

    def score_if_small(segments, cache=None):
        if len({segment.row for segment in segments}) > 1:
            raise MemoryError
        return score(segments, cache)

    for read in (score, score_if_small):
        monkeypatch.setattr(engine.network, "score", read)
        found = list(several.search_each([prompt] * 5, asked, 0.01, return_exceptions=True))
        assert [type(one).__name__ for one in found] == ["list", "KeyError", "list", "InputError", "list"]
        for one in (found[0], found[2], found[4]):
            assert [text.ids for text in one] == [text.ids for text in expected]
