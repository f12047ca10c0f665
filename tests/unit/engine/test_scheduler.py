"""Many completions side by side, drafts, and what happens to an engine that is asked for the impossible."""

import gc
import os
import pickle
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.drafting import Draft
from biogpt.engine.engine import Engine
from biogpt.engine.processor import has_int8_kernel
from biogpt.engine.scheduler import Row, Scheduler
from biogpt.errors import InputError

GREEDY = GenerationSettings(temperature=0, max_new_tokens=40)


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path, device="cpu")


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Of mixed lengths; some repeat themselves, which makes drafts."""
    chance = random.Random(0)
    return [[2, *(chance.randrange(4, 140) for _ in range(chance.randrange(1, 12)))] * 3 for _ in range(40)]


def test_drafts_change_nothing_and_save_passes(engine, prompts):
    without = Engine(engine.model, engine.tokenizer, 4, is_drafting=False)
    with_drafts = Engine(engine.model, engine.tokenizer, 4)
    expected = list(without.generate_ids(prompts, GREEDY))
    got = list(with_drafts.generate_ids(prompts, GREEDY))
    assert [one.token_ids for one in got] == [one.token_ids for one in expected]
    assert [one.stop_reason for one in got] == [one.stop_reason for one in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.token_scores == pytest.approx(other.token_scores, abs=1e-3)
    assert with_drafts.network.num_passes < without.network.num_passes


@pytest.mark.skipif(not has_int8_kernel(), reason="PyTorch has no int8 kernel here")
def test_int8_gives_the_same_in_any_batch(tiny_model_path, prompts):
    engine = Engine.from_pretrained(tiny_model_path, device="cpu", dtype="int8")
    singles = [next(engine.generate_ids([prompt], GREEDY)) for prompt in prompts[:12]]
    batched = list(engine.with_batch_size(12).generate_ids(prompts[:12], GREEDY))
    assert [one.token_ids for one in batched] == [one.token_ids for one in singles]
    beams = engine.generate("Aspirin", num_beams=3, num_return_sequences=2, max_new_tokens=8)
    assert len(beams) == 2
    with pytest.raises(InputError, match="keeps no model"):
        _ = engine.model


def make_row(engine: Engine, prompt: list[int], max_new_tokens: int = 40) -> Row:
    return Row("", prompt, max_new_tokens, "length", random.Random(0))


def test_a_row_that_is_cancelled_leaves_and_the_others_go_on(engine, prompts):
    def make(max_bytes: int = 2**30) -> Scheduler:
        return Scheduler(
            engine.network, GREEDY, end_id=2, forbidden_ids=[0, 1], max_rows=3, max_bytes=max_bytes, is_drafting=False
        )

    (expected,) = make().run([make_row(engine, prompts[1])])
    scheduler = make()
    rows = [make_row(engine, prompt) for prompt in prompts[:3]]
    for row in rows:
        assert scheduler.has_room(row)
        scheduler.add(row)
    extra = make_row(engine, prompts[3])
    assert not scheduler.has_room(extra)
    scheduler.step()
    scheduler.cancel(rows[0])
    assert scheduler.has_room(extra)
    scheduler.add(extra)
    while rows[1].stop_reason is None:
        scheduler.step()
    assert rows[1].new_ids == expected.new_ids
    # A bound of one row's tokens: the next one waits, and is completed all the same.
    narrow = make(engine.network.bytes_per_token * 80)
    narrow.add(make_row(engine, prompts[0]))
    assert not narrow.has_room(make_row(engine, prompts[1]))
    assert len(list(make(1).run(make_row(engine, prompt) for prompt in prompts[:5]))) == 5


class TakesBack:
    """A constraint whose first token is taken back, and after which the text can only end."""

    is_done = False

    def __init__(self) -> None:
        self.can_only_end = False

    def allowed(self) -> set[int]:
        return {2} if self.can_only_end else {9}

    def fast_forward(self) -> list[int]:
        return []

    def accept(self, index: int) -> int:
        was_first = not self.can_only_end
        self.can_only_end = True
        return int(was_first)


def test_behind_what_is_taken_back_the_draft_is_not_followed_but_the_end_is_chosen_in_the_same_pass(engine):
    """The token before it was read, and is by chance the one that was drafted next."""
    scheduler = Scheduler(engine.network, GREEDY, end_id=2, forbidden_ids=[0, 1], max_rows=1, max_bytes=2**20)
    row = make_row(engine, [2, 7])
    row.new_ids, row.unread_ids, row.state = [5], [5], TakesBack()
    logits = torch.zeros(2, engine.config.vocab_size)
    logits[0, 2] = 1.5
    scheduler._take([row], [Draft([5], [-1])], logits, [0.0, 0.0])
    assert row.new_ids == [5, 2]
    assert row.scores == [1.5]
    assert row.stop_reason == "end"


def test_a_long_row_after_many_short_ones_keeps_the_cache_within_its_bound(engine, prompts):
    max_bytes = engine.network.bytes_per_token * 800
    scheduler = Scheduler(engine.network, GREEDY, end_id=2, forbidden_ids=[0, 1], max_rows=32, max_bytes=max_bytes)
    lengths = [8] * 40 + [80] + [8] * 40
    rows = [make_row(engine, (prompts[index % 40] * 27)[:length], 4) for index, length in enumerate(lengths)]
    expected = [next(engine.generate_ids([row.prompt_ids], GREEDY, max_new_tokens=4)).token_ids for row in rows]
    found = []
    for row in scheduler.run(rows):
        found.append(tuple(index for index in row.new_ids if index != 2))
        assert scheduler._cache.num_bytes <= max_bytes
    assert found == expected


def test_memory_and_the_cache_stay_within_their_bound(engine, prompts):
    scheduler = Scheduler(engine.network, GREEDY, end_id=2, forbidden_ids=[0, 1], max_rows=4, max_bytes=2**20)
    for _ in scheduler.run(make_row(engine, prompts[index % 40], 20) for index in range(300)):
        assert scheduler._cache.num_bytes <= 2**20
        assert len(scheduler._active) <= 4


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Only Linux tells the memory of a process so")
def test_two_thousand_requests_leave_memory_where_it_was(engine, prompts):
    def ask() -> None:
        """40 requests, one that is refused, and some that are given up."""
        assert len(list(engine.generate_ids(prompts, GREEDY, max_new_tokens=1))) == 40
        with pytest.raises(InputError):
            engine.generate_ids([*prompts, [2] * 500])
        next(engine.generate_ids(prompts, GREEDY, max_new_tokens=2))

    def resident_bytes() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(10):
        ask()
    before = resident_bytes()
    for _ in range(40):
        ask()
    assert resident_bytes() - before < 8 * 2**20


def test_threads_share_an_engine(engine, prompts):
    expected = [one.token_ids for one in engine.generate_ids(prompts[:8], GREEDY)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda ids: next(engine.generate_ids([ids], GREEDY)).token_ids, prompts[:8]))
    assert got == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_threads_that_are_gone_are_not_waited_for(engine):
    """PyTorch's threads do not survive a fork: with more than one, the child would wait for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        child = os.fork()
        if not child:
            status = 1
            signal.alarm(60)
            try:
                with pytest.raises(InputError, match="before this process was forked"):
                    next(engine.generate_ids([[2, 5]], max_new_tokens=2))
                status = 7
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        torch.set_num_threads(before)


def test_an_engine_is_not_pickled_and_threads_are_checked(engine, tiny_model_path):
    with pytest.raises(InputError, match="Make one in each process"):
        pickle.dumps(engine)
    with pytest.raises(InputError, match="num_threads 0"):
        Engine.from_pretrained(tiny_model_path, num_threads=0)
    before = torch.get_num_threads()
    try:
        Engine.from_pretrained(tiny_model_path, num_threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


class FailingConstraint:
    """Allows anything, and fails after some tokens."""

    def __init__(self, num_tokens: int) -> None:
        self.num_tokens = num_tokens

    def begin(self, max_new_tokens: int) -> "FailingConstraint":
        return FailingConstraint(self.num_tokens)

    fork = fast_forward = lambda self: []
    is_done = False

    def allowed(self) -> set[int]:
        if not self.num_tokens:
            raise KeyError("of the constraint's own")
        return set(range(20, 60))

    def accept(self, index: int) -> int:
        self.num_tokens -= 1
        return 0


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_prompt_that_fails_fails_alone(engine, prompts, temperature):
    several = Engine(engine.model, engine.tokenizer, 4, is_drafting=False)
    settings = GenerationSettings(temperature=temperature, max_new_tokens=10)
    constraints = [FailingConstraint(number) for number in (10, 3, 0, 10)]
    asked = [prompts[0], prompts[1], prompts[2], prompts[3], [2] * 200, [5000]]
    results = list(several.generate_ids(asked, settings, [*constraints, *constraints[:2]], return_exceptions=True))
    assert [type(result).__name__ for result in results] == [
        *("Completion", "KeyError", "KeyError", "Completion", "InputError", "InputError")
    ]
    alone = [next(several.generate_ids([asked[at]], settings, [constraints[at]])) for at in (0, 3)]
    assert [results[0].token_ids, results[3].token_ids] == [one.token_ids for one in alone]
    handed_over = several.generate_ids(asked[:4], settings, constraints)
    assert next(handed_over).token_ids == alone[0].token_ids
    with pytest.raises(KeyError, match="of the constraint's own"):
        next(handed_over)


def test_short_of_memory_half_the_rows_go_on_and_only_what_fits_nowhere_fails(engine, prompts, monkeypatch):
    several = Engine(engine.model, engine.tokenizer, 8)
    asked = [prompt[:20] for prompt in prompts[:12]]
    asked[5] = [2, 30, 31] * 20
    expected = [one.token_ids for one in several.generate_ids(asked, GREEDY)]
    score = several.network.score
    passes = []

    def score_if_small(segments, cache=None):
        num_tokens = sum(len(segment.ids) for segment in segments)
        passes.append(len(segments))
        if len(segments) > 3 or num_tokens > 50:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return score(segments, cache)

    monkeypatch.setattr(several.network, "score", score_if_small)
    results = list(several.generate_ids(asked, GREEDY, return_exceptions=True))
    assert isinstance(results[5], RuntimeError)
    got = [result.token_ids for result in results if not isinstance(result, Exception)]
    assert got == expected[:5] + expected[6:]
    assert max(passes) == 8
