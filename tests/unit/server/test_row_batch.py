"""Row batch: rows that come and go are completed as the engine completes each alone."""

import asyncio

import pytest

from biogpt import Engine, GenerationSettings
from biogpt.server.completion_worker import CompletionWorker, Wish
from biogpt.server.row_batch import RowBatch
from biogpt.server.rows import Row, Sampling, seeded_uniforms
from biogpt.server.tickets import Ticket

PROMPTS = ["Aspirin reduces the", "The patients' blood", "Cisplatin", "IL-6 and TNF-α levels rose in the blood of"]


@pytest.fixture(scope="module")
def engine(tiny_model_path):
    return Engine.from_pretrained(tiny_model_path, device="cpu")


def make_row(engine, prompt, max_new_tokens, sampling, **others):
    return Row(
        prompt_ids=engine.tokenizer(prompt)["input_ids"],
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        uniforms=seeded_uniforms(3, 0, prompt),
        **others,
    )


def test_rows_that_join_and_leave_are_completed_as_alone(engine):
    lengths = [30, 5, 12, 20]
    samplings = [Sampling(0), Sampling(1.3, 20, 0.9), Sampling(0.8), Sampling(1.3, 20, 0.9)]
    rows = [
        make_row(engine, prompt, length, sampling, num_top=2)
        for prompt, length, sampling in zip(PROMPTS, lengths, samplings, strict=True)
    ]
    batch = RowBatch(engine.model, engine.tokenizer)
    batch.add(rows[:1])
    for number in range(40):
        if number == 3:
            batch.add(rows[1:3])
        if number == 6:
            batch.add(rows[3:])
        batch.step()
    assert not batch.rows
    for row, prompt, length, sampling in zip(rows, PROMPTS, lengths, samplings, strict=True):
        settings = GenerationSettings(
            max_new_tokens=length,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            seed=3,
        )
        (alone,) = engine.generate(prompt, settings)
        assert tuple(row.new_ids[: len(alone.token_ids)]) == alone.token_ids
        assert [score.score for score in row.scores] == pytest.approx(list(alone.token_scores), abs=1e-4)
        assert all(len(score.top) == 2 and score.top[0][1] >= score.top[1][1] for score in row.scores)


def test_a_prompt_is_scored_as_the_engine_scores_it(engine):
    rows = [make_row(engine, prompt, 0, Sampling(0), num_top=1, scores_prompt=True) for prompt in PROMPTS]
    batch = RowBatch(engine.model, engine.tokenizer)
    batch.add(rows)
    assert not batch.rows, "nothing is to be written"
    for row in rows:
        first, *rest = row.prompt_scores
        assert first.score is None
        (expected,) = engine.score_ids(row.prompt_ids[:1], [row.prompt_ids[1:]])
        assert [score.score for score in rest] == pytest.approx(expected, abs=1e-4)


def test_rows_that_are_dropped_do_not_touch_the_others(engine):
    kept, gone = (make_row(engine, prompt, 15, Sampling(0)) for prompt in (PROMPTS[0], PROMPTS[3]))
    batch = RowBatch(engine.model, engine.tokenizer)
    batch.add([kept, gone])
    batch.step()
    batch.drop(lambda row: row is gone)
    num_written = len(gone.new_ids)
    while batch.rows:
        batch.step()
    assert len(gone.new_ids) == num_written
    (alone,) = engine.generate(PROMPTS[0], max_new_tokens=15, temperature=0)
    assert tuple(kept.new_ids[: len(alone.token_ids)]) == alone.token_ids


def test_short_of_memory_the_worker_goes_on_with_fewer_rows(engine, monkeypatch):
    read, step = RowBatch._read, RowBatch.step

    def read_if_small(batch, rows, logits_to_keep):
        if len(batch.rows) + len(rows) > 2 or any(len(row.prompt_ids) > 40 for row in rows):
            raise MemoryError
        read(batch, rows, logits_to_keep)

    def step_if_small(batch):
        if len(batch.rows) > 1 and len(batch.rows[0].new_ids) == 4:
            raise MemoryError
        step(batch)

    wish = Wish(max_new_tokens=12, sampling=Sampling(0))

    async def complete_all() -> list[object]:
        worker = CompletionWorker(engine, "tiny", 99, lambda size: None, 1)
        tickets = [Ticket() for _ in range(5)]
        for ticket, prompt in zip(tickets, [*PROMPTS, "blood " * 15], strict=True):
            worker.submit(ticket, [worker.encode(prompt, "The prompt")], 1, wish)
        results = await asyncio.gather(*(ticket.result(60) for ticket in tickets), return_exceptions=True)
        worker.close(10)
        return [result if isinstance(result, BaseException) else result.text for result in results]

    expected = asyncio.run(complete_all())
    monkeypatch.setattr(RowBatch, "_read", read_if_small)
    monkeypatch.setattr(RowBatch, "step", step_if_small)
    got = asyncio.run(complete_all())
    assert got[:4] == expected[:4]
    assert isinstance(got[4], MemoryError)
