"""The engine with constraints."""

import pytest
import torch

from biogpt.decoding.constraint import TokenConstraint, compile_constraint
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.engine import Completion, Engine
from biogpt.errors import InputError
from biogpt.text.grammar import Choice, Grammar, SourceSpan, Words

SOURCES = [
    "Aspirin reduces the risk of myocardial infarction.",
    "Cisplatin-induced nephrotoxicity was seen.",
    "The patients' blood pressure wasn't lowered by beta-blockers in double-blind, placebo-controlled trials.",
]
GRAMMAR = Grammar(
    (Words("the risk of "), SourceSpan(), Words(" is "), Choice(("lowered", "seen in trials"))),
    separator="; ",
    is_repeated=True,
    end=".",
)
WAYS = [
    GenerationSettings(temperature=0, max_new_tokens=40),
    GenerationSettings(temperature=3, top_k=0, top_p=1, max_new_tokens=60, seed=5),
    GenerationSettings(temperature=1, max_new_tokens=30),
]


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path, device="cpu")


@pytest.fixture(scope="module")
def prompts(engine) -> list[list[int]]:
    return engine.tokenizer(SOURCES)["input_ids"]


@pytest.fixture(scope="module")
def constraints(engine, prompts) -> list[TokenConstraint]:
    return [compile_constraint(GRAMMAR, engine.tokenizer, ids) for ids in prompts]


def assert_follows(constraint: TokenConstraint, completion: Completion, end_id: int) -> None:
    state = constraint.begin(1000)
    for index in (*completion.token_ids, end_id):
        assert state.accept(index) == 0
    assert state.is_done
    assert completion.stop_reason == "end"


@pytest.mark.parametrize("way", WAYS)
def test_completions_follow_their_rules_within_the_limit(engine, prompts, constraints, way):
    for constraint, completion in zip(constraints, engine.generate_ids(prompts, way, constraints), strict=True):
        assert_follows(constraint, completion, engine.tokenizer.eos_token_id)
        assert len(completion.token_ids) < way.max_new_tokens
        assert completion.text.startswith("the risk of ")
        assert completion.text.endswith(".")


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_the_same_as_single_prompts(engine, prompts, constraints, way):
    batched = list(engine.generate_ids(prompts, way, constraints))
    assert len({completion.text for completion in batched}) == len(prompts)
    for ids, constraint, completion in zip(prompts, constraints, batched, strict=True):
        (single,) = engine.generate_ids([ids], way, [constraint])
        assert (single.text, single.token_ids) == (completion.text, completion.token_ids)
        assert single.token_scores == pytest.approx(completion.token_scores, abs=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_the_models_own_also_of_what_was_forced_or_came_after_a_repetition(
    engine, prompts, constraints, way
):
    for ids, completion in zip(prompts, engine.generate_ids(prompts, way, constraints), strict=True):
        new_ids = [*completion.token_ids, engine.tokenizer.eos_token_id]
        (expected,) = engine.score_ids(ids, [new_ids])
        assert completion.token_scores == pytest.approx(expected, abs=1e-3)
        assert completion.score == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def walk_greedily(
    engine: Engine, ids: list[int], constraint: TokenConstraint, max_new_tokens: int
) -> tuple[list[int], int]:
    """The most probable of the allowed ids, one pass each; also how many of them were taken back."""
    state = constraint.begin(max_new_tokens)
    num_void = 0
    while not state.is_done:
        with torch.no_grad():
            logits = engine.model(torch.tensor([ids + state.ids])).logits[0, -1]
        allowed = sorted(state.allowed())
        num_void += state.accept(allowed[int(logits[allowed].argmax())])
    return state.ids, num_void


def test_greedy_takes_the_most_probable_of_the_allowed_tokens(engine, prompts, constraints):
    way = GenerationSettings(temperature=0, max_new_tokens=24)
    for ids, constraint, completion in zip(
        prompts, constraints, engine.generate_ids(prompts, way, constraints), strict=True
    ):
        expected, _ = walk_greedily(engine, ids, constraint, min(24, engine.max_positions - len(ids)))
        assert [*completion.token_ids, engine.tokenizer.eos_token_id] == expected


def test_a_repetition_is_taken_back_and_ends_the_text(engine, prompts, constraints):
    # One thing to say, and a likely one: greedy says it again where it can.
    grammar = Grammar((Words("aspirin "), Choice(("reduces the risk",))), separator=" of ", is_repeated=True, end=".")
    constraint = compile_constraint(grammar, engine.tokenizer, prompts[0])
    expected, num_void = walk_greedily(engine, prompts[0], constraint, 40)
    assert num_void > 0, "the model did not repeat itself, which this test is about"
    way = GenerationSettings(temperature=0, max_new_tokens=40)
    _, completion = engine.generate_ids([prompts[1], prompts[0]], way, [constraints[1], constraint])
    assert completion.text == "aspirin reduces the risk."
    assert [*completion.token_ids, engine.tokenizer.eos_token_id] == expected
    assert completion.token_scores == pytest.approx(engine.score_ids(prompts[0], [expected])[0], abs=1e-3)


def test_forced_tokens_are_read_in_one_pass(engine, prompts, constraints, record_reads):
    way = GenerationSettings(temperature=0, max_new_tokens=30)
    completion = next(engine.generate_ids(prompts[:1], way, constraints[:1]))
    opening = engine.tokenizer.encode_ids(["the risk of"])[0]
    reads = record_reads(engine)
    list(engine.generate_ids(prompts[:1], way, constraints[:1]))
    assert tuple(reads[0][0].ids[len(prompts[0]) :][: len(opening)]) == tuple(opening)
    assert len(reads) < len(completion.token_ids)


def test_rules_that_do_not_fit_are_refused_before_any_work(engine, prompts, constraints, record_reads):
    reads = record_reads(engine)

    def refuse(says: str, constraints: list[TokenConstraint], **way: float) -> None:
        with pytest.raises(InputError, match=says):
            engine.generate_ids(prompts, GenerationSettings(**way), constraints)

    refuse("Got 2 constraints for 3 prompts", constraints[:2])
    refuse("Got constraints and num_beams 2, expected only one", constraints, num_beams=2)
    refuse("Got constraints and min_new_tokens 3", constraints, min_new_tokens=3)
    refuse("Got room for 5 new tokens", constraints, max_new_tokens=5)
    assert list(engine.generate_ids([], constraints=[])) == []
    assert reads == []
