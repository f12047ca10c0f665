import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.engine import Completion, Engine
from biogpt.errors import CheckpointError, InputError

PROMPTS = [
    "Aspirin reduces the risk of",
    "IL-6",
    "The patients' blood pressure wasn't",
    'Cisplatin-induced "',
    "beta",
    "In double-blind, placebo-controlled trials at 5 mg/kg, the",
]
WAYS = {
    "greedy": {"temperature": 0},
    "sampling": {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "seed": 3},
    "narrow sampling": {"top_k": 5, "top_p": 0.8, "num_return_sequences": 3},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "at least": {"temperature": 1.5, "min_new_tokens": 12, "max_new_tokens": 15},
    "as long as it goes": {"temperature": 1.2, "max_new_tokens": 500, "min_new_tokens": 50},
}


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path, device="cpu")


@pytest.fixture(params=WAYS)
def way(request) -> GenerationSettings:
    return GenerationSettings(**{"max_new_tokens": 30, **WAYS[request.param]})


def assert_same(first: Completion, second: Completion) -> None:
    assert first.score == pytest.approx(second.score, abs=1e-4)
    assert first.token_scores == pytest.approx(second.token_scores, abs=1e-3)
    assert vars(first) | {"score": 0, "token_scores": ()} == vars(second) | {"score": 0, "token_scores": ()}


def test_batches_are_the_same_as_single_prompts(engine, way):
    singles = [engine.generate(prompt, way) for prompt in PROMPTS]
    for batch_size, prompts in ((2, PROMPTS), (64, PROMPTS[::-1])):
        batched = Engine(engine.model, engine.tokenizer, batch_size).generate(prompts, way)
        for prompt, completions in zip(prompts, batched, strict=True):
            for single, one in zip(singles[PROMPTS.index(prompt)], completions, strict=True):
                assert_same(single, one)


def test_the_score_is_the_mean_log_probability_of_what_was_generated(engine, way):
    for completion in engine.generate(PROMPTS[0], way):
        prompt_ids = engine.tokenizer(completion.prompt)["input_ids"]
        new_ids = [*completion.token_ids, *([engine.tokenizer.eos_token_id] if completion.stop_reason == "end" else [])]
        with torch.no_grad():
            logits = engine.model(torch.tensor([prompt_ids + new_ids])).logits[0].log_softmax(dim=-1)
        values = [logits[len(prompt_ids) + index - 1, token_id].item() for index, token_id in enumerate(new_ids)]
        assert completion.score == pytest.approx(sum(values) / len(values), abs=1e-4)
        assert completion.token_scores == pytest.approx(values, abs=1e-3)


def test_prompt_and_text_are_what_the_tokenizer_decodes(engine, way):
    for completions in engine.generate(PROMPTS, way):
        for completion in completions:
            prompt_ids = engine.tokenizer(completion.prompt)["input_ids"]
            decoded = engine.tokenizer.decode([*prompt_ids, *completion.token_ids], skip_special_tokens=True)
            assert engine.tokenizer.decode(prompt_ids, skip_special_tokens=True) + completion.text == decoded
            assert engine.tokenizer.convert_tokens_to_ids(list(completion.tokens)) == list(completion.token_ids)
            assert not set(completion.token_ids) & set(engine.tokenizer.all_special_ids)


def test_why_it_stopped(engine, way):
    for prompt, completions in zip(PROMPTS, engine.generate(PROMPTS, way), strict=True):
        room = engine.max_positions - len(engine.tokenizer(prompt)["input_ids"])
        for completion in completions:
            num_new = len(completion.token_ids)
            assert way.min_new_tokens <= num_new <= min(way.max_new_tokens, room)
            if completion.stop_reason != "end":
                assert (num_new, completion.stop_reason) == min((way.max_new_tokens, "length"), (room, "positions"))


def test_all_reasons_to_stop_occur(engine):
    ways = [{"max_new_tokens": 3}, {"max_new_tokens": 500}, {"max_new_tokens": 500, "min_new_tokens": 80}]
    reasons = {engine.generate("Aspirin", GenerationSettings(**way))[0].stop_reason for way in ways}
    assert reasons == {"length", "end", "positions"}


@settings(max_examples=20, deadline=None)
@given(
    prompt=st.sampled_from(PROMPTS) | st.text(alphabet="ab -'\",.()[]α5", min_size=1, max_size=12).filter(str.strip),
    temperature=st.sampled_from([0, 0.7, 1.5, 5]),
    max_new_tokens=st.integers(1, 90),
    seed=st.integers(0, 1000),
)
def test_the_stream_joined_is_the_text(engine, prompt, temperature, max_new_tokens, seed):
    way = GenerationSettings(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    pieces = list(engine.stream(prompt, way))
    assert all(pieces)
    assert "".join(pieces) == engine.generate(prompt, way)[0].text


def test_greedy_and_beams_find_the_tokens_that_transformers_finds(engine):
    for prompt, num_beams in product(PROMPTS, (1, 4)):
        inputs = engine.tokenizer(prompt, return_tensors="pt")
        special = [index for index in engine.tokenizer.all_special_ids if index != engine.tokenizer.eos_token_id]
        expected = engine.model.generate(
            **inputs,
            do_sample=False,
            num_beams=num_beams,
            max_new_tokens=30,
            suppress_tokens=special,
            early_stopping=num_beams > 1,
        )[0, inputs["input_ids"].shape[1] :].tolist()
        way = {"num_beams": num_beams} if num_beams > 1 else {"temperature": 0}
        completion = engine.generate(prompt, GenerationSettings(max_new_tokens=30, **way))[0]
        end = [engine.tokenizer.eos_token_id] if completion.stop_reason == "end" else []
        assert [*completion.token_ids, *end] == expected


def test_sampling_follows_the_models_distribution(engine):
    prompt, num_samples = "Aspirin", 3000
    way = GenerationSettings(temperature=1, top_k=0, top_p=1, max_new_tokens=1, num_return_sequences=num_samples)
    sampled = Engine(engine.model, engine.tokenizer, batch_size=500).generate(prompt, way)
    end = engine.tokenizer.eos_token_id
    drawn = torch.bincount(
        torch.tensor([next(iter(one.token_ids), end) for one in sampled]), minlength=engine.model.config.vocab_size
    )
    with torch.no_grad():
        logits = engine.model(**engine.tokenizer(prompt, return_tensors="pt")).logits[0, -1]
    logits[[index for index in engine.tokenizer.all_special_ids if index != end]] = -math.inf
    expected = num_samples * logits.softmax(dim=-1)
    often = expected > 5
    chi_squared = ((drawn - expected)[often] ** 2 / expected[often]).sum().item()
    num_free = int(often.sum())
    # Six standard deviations above its mean: with a fixed seed this passes or fails for good.
    assert chi_squared < num_free + 6 * math.sqrt(2 * num_free)


def test_seeds_make_other_texts_and_the_same_seed_the_same(engine):
    texts = [
        engine.generate(PROMPTS[4], GenerationSettings(temperature=2, seed=seed))[0].text for seed in (0, 1, 2, 0, 1, 2)
    ]
    assert texts[:3] == texts[3:]
    assert len(set(texts)) == 3


def test_the_random_state_of_others_neither_matters_nor_changes(engine):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = engine.generate(PROMPTS[0], GenerationSettings(temperature=2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert engine.generate(PROMPTS[0], GenerationSettings(temperature=2)) == first


def test_a_string_gives_completions_and_a_list_gives_lists(engine):
    assert [type(one) for one in engine.generate("Aspirin")] == [Completion]
    assert [[type(one) for one in each] for each in engine.generate(["Aspirin", "IL-6"])] == [[Completion]] * 2
    assert engine.generate([]) == []


def test_completions_come_as_they_are_done(engine, record_reads):
    pairs = Engine(engine.model, engine.tokenizer, batch_size=2)
    reads = record_reads(pairs)
    each = pairs.generate_each(PROMPTS, GenerationSettings(max_new_tokens=1))
    assert reads == []
    next(each)
    assert len(reads) == 1
    assert len(list(each)) == len(PROMPTS) - 1
    assert len(reads) == 3


def test_a_finished_row_makes_room_for_the_next(engine, record_reads):
    pairs = Engine(engine.model, engine.tokenizer, batch_size=2, is_drafting=False)
    way = GenerationSettings(temperature=0, max_new_tokens=40)
    lengths = [len(pairs.generate(prompt, way)[0].token_ids) + 1 for prompt in PROMPTS]
    reads = record_reads(pairs)
    pairs.generate(PROMPTS, way)
    assert all(len(segments) == 2 for segments in reads[: sum(lengths) // 2 - max(lengths)])
    assert len(reads) < sum(max(pair) for pair in zip(lengths[::2], lengths[1::2], strict=True))


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "The prompt is empty, expected some text"),
        (" \n\t", "The prompt is empty"),
        ("\x01\x02", "no character that the tokenizer keeps"),
        ("a\ud800b", "is no valid text \\(character 2 cannot be encoded\\), expected Unicode"),
        (5, "Got a prompt of type int, expected a string"),
        ("risk " * 40, "has 1[0-9]{2} tokens, expected at most 95: the model has 96 positions, and 1 must be left"),
    ],
)
def test_impossible_prompts_are_refused_before_any_work(engine, prompt, says, record_reads):
    reads = record_reads(engine)
    with pytest.raises(InputError, match=says):
        engine.generate_each(["Aspirin", prompt, "IL-6"])
    with pytest.raises(InputError, match=says):
        engine.stream(prompt)
    assert reads == []


def test_the_longest_prompt_is_completed_and_one_more_token_is_too_many(engine):
    num_tokens = {count: len(engine.tokenizer("b" * count)["input_ids"]) for count in range(80, 110)}
    longest = next(count for count, tokens in num_tokens.items() if tokens == 95)
    completion = engine.generate("b" * longest)[0]
    assert (len(completion.token_ids), completion.stop_reason) in [(1, "positions"), (0, "end")]
    with pytest.raises(InputError, match="has 96 tokens, expected at most 95"):
        engine.generate("b" * (longest + 1))
    with pytest.raises(InputError, match=r"has 95 tokens, expected at most 91.* lower min_new_tokens"):
        engine.generate("b" * longest, GenerationSettings(min_new_tokens=5))


def test_beams_do_not_stream(engine):
    for way in ({"num_beams": 2}, {"num_return_sequences": 2}):
        with pytest.raises(InputError, match="expected 1 of each for a stream"):
            engine.stream("Aspirin", GenerationSettings(**way))


@pytest.mark.parametrize("name", sorted(set(WAYS) - {"narrow sampling", "beams"}))
def test_prompts_as_ids_get_the_tokens_of_the_same_prompts_as_texts(engine, name):
    way = GenerationSettings(**{"max_new_tokens": 30, **WAYS[name]})
    encoded = engine.tokenizer(PROMPTS)["input_ids"]
    # Sampling is seeded by the prompt's text, which decoding gives back up to blanks; here it must be the same.
    decoded = [engine.tokenizer.decode(ids, skip_special_tokens=True) for ids in encoded]
    texts = engine.generate(decoded, way)
    for ids, prompt, completion, (text,) in zip(
        encoded, decoded, engine.generate_ids(encoded, way), texts, strict=True
    ):
        assert engine.tokenizer(prompt)["input_ids"] == ids
        assert completion.prompt == prompt
        assert completion.text == engine.tokenizer.decode(list(completion.token_ids))
        assert (completion.token_ids, completion.stop_reason) == (text.token_ids, text.stop_reason)
        assert completion.token_scores == pytest.approx(text.token_scores, abs=1e-3)


def test_prompts_as_ids_may_have_special_tokens_which_no_text_shows(engine):
    ids = [2, *engine.tokenizer.encode_ids(["aspirin"])[0], engine.tokenizer.unk_token_id, 2]
    (completion,) = engine.generate_ids([ids], GenerationSettings(temperature=0, max_new_tokens=5))
    assert completion.prompt == "aspirin"
    assert not {"<unk>", "</s>"} & set(completion.text.split())


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([], "Prompt 2 has the id none, expected at least one id"),
        ([2, 9999], "Prompt 2 has the id 9999, expected at least one id, each from 0 to"),
        ([2, -1], "Prompt 2 has the id -1"),
        ([5] * 96, "Prompt 2 has 96 tokens, expected at most 95"),
    ],
)
def test_impossible_ids_are_refused_before_any_work(engine, ids, says):
    with pytest.raises(InputError, match=says):
        engine.generate_ids([[2, 5], ids])
    with pytest.raises(InputError, match="Got num_return_sequences 2 for prompts given as ids"):
        engine.generate_ids([[2, 5]], GenerationSettings(num_return_sequences=2))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_continuations_get_the_scores_that_a_whole_pass_gives(engine, batch_size):
    prompt_ids = engine.tokenizer(PROMPTS[0])["input_ids"]
    continuations = [*engine.tokenizer.encode_ids(PROMPTS), [engine.tokenizer.eos_token_id], [7, 2, 9]]
    scores = Engine(engine.model, engine.tokenizer, batch_size).score_ids(prompt_ids, continuations)
    assert len({len(ids) for ids in continuations}) > 3
    for ids, values in zip(continuations, scores, strict=True):
        with torch.no_grad():
            logits = engine.model(torch.tensor([prompt_ids + ids])).logits[0].log_softmax(dim=-1)
        expected = [logits[len(prompt_ids) + place - 1, index].item() for place, index in enumerate(ids)]
        assert values == pytest.approx(expected, abs=1e-4)
    assert engine.score_ids(prompt_ids, []) == []


def test_a_prompt_is_read_once_for_all_its_continuations(engine, record_reads):
    reads = record_reads(engine)
    engine.score_ids([2] * 50, [[5, 6, 7]] * 16)
    assert [sum(len(segment.ids) for segment in segments) for segments in reads] == [50, 16, 16]


def test_scoring_many_continuations_keeps_passes_and_cache_within_their_bounds(engine, record_reads, monkeypatch):
    prompt_ids, continuations = [2] * 20, [[5 + length] * length for length in range(1, 60)]
    expected = engine.with_batch_size(1).score_ids(prompt_ids, continuations)
    wide = engine.with_batch_size(64)
    for max_tokens, max_bytes in ((100, 2**30), (10_000, 200 * engine.network.bytes_per_token)):
        monkeypatch.setattr("biogpt.engine.engine.MAX_PROMPT_TOKENS", max_tokens)
        monkeypatch.setattr("biogpt.engine.engine.CACHE_BYTES", max_bytes)
        reads = record_reads(wide)
        scores = wide.score_ids(prompt_ids, continuations)
        assert len(reads) < 50
        for segments in reads:
            assert sum(len(segment.ids) for segment in segments) <= max_tokens
            longest = max(segment.start + len(segment.ids) for segment in segments)
            assert len(segments) * longest * engine.network.bytes_per_token <= max_bytes
        for one, other in zip(scores, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_continuations_that_cannot_be_scored_are_refused(engine):
    for prompt, ids, says in (
        ([], [5], "The prompt has the id none"),
        ([2], [], "Continuation 2 has the id none"),
        ([2], [9999], "Continuation 2 has the id 9999"),
        ([2] * 90, [5] * 8, "Continuation 2 has 8 tokens after 90 of the prompt, expected at most 7"),
    ):
        with pytest.raises(InputError, match=says):
            engine.score_ids(prompt, [[5], ids])
    assert len(engine.score_ids([2] * 90, [[5] * 7])[0]) == 7


def test_batch_size_is_checked(engine):
    with pytest.raises(InputError, match="batch_size 0"):
        Engine(engine.model, engine.tokenizer, batch_size=0)


def test_an_unknown_model_is_refused():
    with pytest.raises(CheckpointError, match="Unknown model 'minni'"):
        Engine.from_pretrained("minni")


@pytest.fixture(scope="module")
def mini() -> Engine:
    return Engine.from_pretrained("mini", device="cpu")


class TestMini:
    """What must hold of the model that comes with the package."""

    def test_it_writes_text_that_continues_the_prompt(self, mini):
        completion = mini.generate("Aspirin reduces the risk of")[0]
        words = completion.text.split()
        assert completion.text.startswith(" ")
        assert len(words) > 10
        assert len(set(words)) > len(words) / 2, "it repeats itself"
        assert completion.score > -5

    def test_it_prefers_real_sentences_to_shuffled_ones(self, mini):
        real = "The patients were treated with aspirin and the risk of myocardial infarction was reduced."
        shuffled = " ".join(sorted(real.split()))

        def loss(text: str) -> float:
            inputs = mini.tokenizer(text, return_tensors="pt")
            with torch.no_grad():
                return mini.model(**inputs, labels=inputs["input_ids"]).loss.item()

        assert loss(real) < loss(shuffled) - 1

    def test_the_stream_joined_is_the_text(self, mini):
        for prompt in PROMPTS[:2]:
            way = GenerationSettings(max_new_tokens=20)
            assert "".join(mini.stream(prompt, way)) == mini.generate(prompt, way)[0].text

    def test_batches_are_the_same_as_single_prompts(self, mini):
        way = GenerationSettings(max_new_tokens=10)
        for prompt, completions in zip(PROMPTS[:3], mini.generate(PROMPTS[:3], way), strict=True):
            assert_same(mini.generate(prompt, way)[0], completions[0])
