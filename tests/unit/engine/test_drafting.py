"""Drafts: trees of tokens that are read in one pass and change nothing that comes out."""

from dataclasses import replace

import pytest
import torch

from biogpt.decoding.constraint import compile_constraint
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine import drafting
from biogpt.engine.drafting import Choices, Draft, Drafter, least_probability
from biogpt.engine.engine import Engine
from biogpt.engine.tree import make_segments
from biogpt.text.grammar import Choice, Grammar, SourceSpan, Words

GREEDY = GenerationSettings(temperature=0, max_new_tokens=60)
SOURCES = [
    "Aspirin reduces the risk of myocardial infarction. Myocardial infarction was seen in trials of aspirin.",
    "Cisplatin-induced nephrotoxicity was seen. Renal failure and nephrotoxicity were seen after cisplatin.",
    "Fever was lowered.",
]
GRAMMAR = Grammar(
    (Words("the risk of "), SourceSpan(), Words(" with "), SourceSpan(), Words(" is seen")),
    separator="; ",
    is_repeated=True,
    end=".",
    none="there is none.",
)


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path, device="cpu", batch_size=1)


def test_a_tree_is_found_and_laid_out_by_its_parents():
    draft = Draft([5, 6, 7, 6], [-1, 0, 0, -1])
    assert not draft.is_chain
    assert Draft([5, 6], [-1, 0]).is_chain
    assert draft.find(-1, [5, 7]) == [0, 2]
    assert draft.find(0, [6]) == [1]
    assert draft.find(-1, [6]) == [3]
    assert draft.find(3, [6]) is None
    positions, visible = draft.lay_out(num_before=2, start=3)
    assert positions == [3, 4, 5, 6, 6, 5]
    seen = [[place for place, is_seen in enumerate(row) if is_seen] for row in visible.tolist()]
    before = [0, 1, 2, 3, 4]
    assert seen == [[0, 1, 2, 3], before, [*before, 5], [*before, 5, 6], [*before, 5, 7], [*before, 8]]


@pytest.mark.parametrize("start", [0, 2])
def test_a_tree_is_scored_as_its_branches_are_one_by_one(engine, start):
    prompt, draft = [2, 9, 12, 30], Draft([5, 6, 7, 6], [-1, 0, 0, -1])
    cache = engine.network.make_cache()
    if start:
        engine.network.score(make_segments(prompt[:start], Draft(), row=0), cache)
    got = engine.network.score(make_segments(prompt[start:], draft, 0, start, kept=2), cache)
    for number, branch in enumerate((prompt[:3], prompt, *([*prompt, *ids] for ids in ([5], [5, 6], [5, 7], [6])))):
        alone = engine.network.score(make_segments(branch, Draft(), row=0))
        torch.testing.assert_close(got[number], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_constrained_lists_are_the_same_with_drafts_and_take_fewer_passes(engine, batch_size):
    prompts = engine.tokenizer(SOURCES)["input_ids"]
    constraints = [compile_constraint(GRAMMAR, engine.tokenizer, ids) for ids in prompts]
    made = []
    for is_drafting in (False, True):
        one = Engine(engine.model, engine.tokenizer, batch_size, is_drafting=is_drafting)
        completions = list(one.generate_ids(prompts, GREEDY, constraints))
        made.append((completions, one.network.num_passes))
    (expected, num_passes), (got, num_fewer) = made
    assert [one.token_ids for one in got] == [one.token_ids for one in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.token_scores == pytest.approx(other.token_scores, abs=1e-4)
    assert num_fewer < num_passes


def test_the_fixed_words_are_read_with_the_prompt(engine, record_reads):
    prompt = engine.tokenizer(SOURCES[0])["input_ids"]
    constraint = compile_constraint(GRAMMAR, engine.tokenizer, prompt)
    reads = record_reads(engine)
    next(engine.generate_ids([prompt], GREEDY, [constraint]))
    opening, none = (engine.tokenizer.encode_ids([text])[0] for text in ("the risk of", "there is none"))
    read = [index for segment in reads[0] for index in segment.ids][len(prompt) :]
    assert {*opening, *none} <= {*read}


@pytest.mark.parametrize("max_draft", [1, 2, 3, 5, 8])
def test_a_repetition_that_is_found_late_takes_no_pass_for_the_end(engine, monkeypatch, record_reads, max_draft):
    # One thing to say: greedy says it again. With so short a draft, the repetition is found one pass later.
    monkeypatch.setattr(drafting, "MAX_DRAFT", max_draft)
    engine = Engine(engine.model, engine.tokenizer, 1)
    grammar = Grammar((Words("aspirin "), Choice(("reduces the risk",))), separator=" of ", is_repeated=True, end=".")
    prompt = engine.tokenizer("Aspirin reduces the risk of myocardial infarction.")["input_ids"]
    constraint = compile_constraint(grammar, engine.tokenizer, prompt)
    alone = Engine(engine.model, engine.tokenizer, 1, is_drafting=False)
    (expected,) = alone.generate_ids([prompt], GREEDY, [constraint])
    reads = record_reads(engine)
    (got,) = engine.generate_ids([prompt], GREEDY, [constraint])
    assert got.token_ids == expected.token_ids
    assert got.token_scores == pytest.approx(expected.token_scores, abs=1e-4)
    if max_draft != 3:
        return
    full_stop = got.token_ids[-1]
    assert len(reads) > 1, "the repetition was found at once, or there was none"
    assert full_stop in reads[-2][0].ids, "the end was not drafted, which this test is about"
    assert full_stop not in reads[-1][0].ids


def test_a_name_and_the_words_behind_it_are_drafted_as_the_source_has_them(engine):
    tokenizer = engine.tokenizer
    prompt = tokenizer("Renal failure was seen. Severe renal failure was lowered. Renal failure of mice.")["input_ids"]
    state = compile_constraint(GRAMMAR, tokenizer, prompt).begin(100)
    (opening,) = tokenizer.encode_ids(["the risk of Renal"])
    (whole,) = tokenizer.encode_ids(["the risk of Renal failure with"])
    for index in opening:
        state.accept(index)
    draft = Drafter(prompt, tokenizer.eos_token_id).draft(opening, state, room=90, num_rows=1)
    assert draft.find(-1, whole[len(opening) :]) is not None
    # In a large batch a token costs more than a pass's share: only what is nearly certain is drafted.
    assert least_probability(1) < 0.1
    assert least_probability(32) > 0.5


def test_names_are_drafted_to_begin_as_they_did_in_other_texts():
    choices = Choices()
    places = {5: [0], 6: [1, 4], 7: [2], 8: [3]}
    assert choices.guess(9, {5, 6}, places) == {5: 0.5, 6: 0.5}  # nothing is known
    for _ in range(3):
        choices.learn(9, {5, 6, 7}, 5)
    shares = choices.guess(9, {5, 6, 7, 8}, places)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[5] == max(shares.values())  # it was chosen each time
    assert shares[8] > shares[7]  # this one was never passed over
    assert shares[6] == pytest.approx(2 * shares[7])  # it stands there twice
    assert choices.guess(10, {5, 6}, places) == {5: 0.5, 6: 0.5}  # behind another word nothing is known


def test_a_second_text_takes_fewer_passes_than_the_first(engine):
    one = Engine(engine.model, engine.tokenizer, 1)
    prompt = engine.tokenizer(SOURCES[2])["input_ids"]
    constraint = compile_constraint(replace(GRAMMAR, none=None), engine.tokenizer, prompt)
    made = []
    for _ in range(3):
        before = one.network.num_passes
        (completion,) = one.generate_ids([prompt], GREEDY, [constraint])
        made.append((completion.token_ids, one.network.num_passes - before))
    assert made[0][0] == made[1][0] == made[2][0]
    assert made[2][1] < made[0][1], made


def test_counts_are_bounded(monkeypatch):
    monkeypatch.setattr(drafting, "_MAX_COUNTS", 10)
    choices = Choices()
    for before in range(100):
        choices.learn(before, {1, 2, 3}, 1)
    assert len(choices._counts[0]) < 20
