"""Texts -> ids with their places: many at once, remembered, bounded."""

import pickle
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.text import encoder, moses
from biogpt.text.encoder import Encoder, Segment

UNKNOWN = 3
TEXTS = st.lists(
    st.text(st.sampled_from(list("aerT1. ',-&@é\u200b\ud800\x01\n\xa0();☃")), max_size=25), min_size=1, max_size=4
)


def encode(encoder, documents, **settings):
    """For each document its ids, offsets and words."""
    return [
        (pieces.ids[first:last], pieces.offsets[first:last], pieces.words[first:last])
        for pieces in encoder.encode(documents, **settings)
        for first, last in pairwise(pieces.bounds)
    ]


@pytest.fixture(scope="module")
def shared(vocabulary):
    return Encoder(vocabulary, UNKNOWN)


@given(texts=TEXTS)
def test_a_batch_gives_what_each_text_gives_alone_and_anew(shared, vocabulary, texts):
    fresh = Encoder(vocabulary, UNKNOWN)
    assert encode(shared, texts) == [encode(fresh, [text])[0] for text in texts]


@given(texts=TEXTS)
def test_places_agree_with_moses_words(shared, texts):
    for text, (_, offsets, numbers) in zip(texts, encode(shared, texts), strict=True):
        words = moses.split_whole(text)
        spans = [(word.starts[0], word.ends[-1]) for word in words]
        found = {}
        for (start, end), number in zip(offsets, numbers, strict=True):
            assert 0 <= start < end <= len(text)
            first, last = found.get(number, (start, end))
            assert start >= first
            found[number] = (first, max(end, last))
        assert [found[number] for number in range(len(words))] == spans


def test_pieces_of_a_word_share_out_its_characters(shared, vocabulary):
    text = "zidovudine & 5-lipoxygenase"
    ids, offsets, words = encode(shared, [text])[0]
    pieces = {index: piece for piece, index in vocabulary.ids.items()}
    assert words == sorted(words)
    for index, (start, end), word in zip(ids, offsets, words, strict=True):
        if text[start:end] not in "&-":
            assert pieces[index].removesuffix("</w>") == text[start:end]
        assert word == {0: 0, 11: 1, 13: 2, 14: 3}.get(start, word)
    assert words[-1] == 4


def test_entities_stand_for_one_character(shared):
    ids, offsets, words = encode(shared, ["a 'b'"])[0]
    assert len(ids) == len(offsets)
    assert set(offsets) == {(0, 1), (2, 3), (3, 4), (4, 5)}
    assert words == sorted(words)


def test_unknown_characters(shared):
    assert encode(shared, ["☃ a\ud800b"])[0][0].count(UNKNOWN) == 2


def test_segments_and_added_tokens(shared):
    document = [Segment("No.", 1), Segment("</s>", 5, added_id=2), Segment("5 a", 9)]
    ids, offsets, words = encode(shared, [document, "No."])[0]
    alone = [encode(shared, [text])[0][0] for text in ("No.", "5 a")]
    assert ids == [*alone[0], 2, *alone[1]]
    assert (5, 9) in offsets
    assert offsets[0][0] == 1
    assert offsets[-1] == (11, 12)
    assert words == sorted(words)


def test_documents_that_came_as_words(shared):
    documents = [[Segment("don't", word=0), Segment("e.g.", word=1)], [], [Segment("", word=0), Segment("a", word=1)]]
    first, empty, last = encode(shared, documents, has_words=True)
    assert set(first[2]) == {0, 1}
    assert first[1][0] == (0, 1)
    assert first[1][-1][1] == 4
    assert empty == ([], [], [])
    assert last[1:] == ([(0, 1)], [1])


def test_tables_are_bounded(vocabulary, shared):
    small = Encoder(vocabulary, UNKNOWN, max_remembered=50)
    for number in range(100):
        text = f"gene{number} x{number}. y"
        assert encode(small, [text]) == encode(shared, [text])
        assert small._chunks.ids.size < 50 + 2 * len(text)
    assert len(small._chunks.rows) < 200


def test_tables_are_bounded_where_nothing_has_pieces(vocabulary):
    small = Encoder(vocabulary, UNKNOWN, max_remembered=50)
    for number in range(200):
        assert encode(small, ["".join("\x01\x02"[bit == "1"] for bit in f"{number:b}")]) == [([], [], [])]
        assert len(small._chunks.rows) < 55


def test_long_texts_are_not_remembered(shared):
    encode(shared, ["'x' '" + "y" * 1000, "z" * 1000, "b\x01" * 500])
    assert max(map(len, shared._chunks.rows)) <= moses.MAX_REMEMBERED


@pytest.mark.parametrize("text", ["a" * 100_000, "ar" * 50_000, "'" * 100_000, "e.g." * 25_000, "a " * 50_000])
def test_long_words(shared, text):
    ids, offsets, _ = encode(shared, [text])[0]
    assert len(ids) == len(offsets)
    assert offsets[-1][1] == len(text.rstrip())


@pytest.mark.parametrize("unit", ["a", "ar", "'", "a-", "e.g.", "a.", ",5", "a ", "' ", "a\x01", "é☃", "DOTMULTI"])
def test_work_grows_with_the_length_of_a_text(vocabulary, unit):
    """Not with its square: ten times the text takes at most ten times the calls, and the same in the table."""
    calls, pieces = [], []
    for length in (500, 5000):
        fresh = Encoder(vocabulary, UNKNOWN)
        calls.append(0)

        def count(*_):
            calls[-1] += 1

        sys.setprofile(count)
        try:
            encode(fresh, [unit * length])
        finally:
            sys.setprofile(None)
        pieces.append(fresh._chunks.ids.size)
    assert calls[1] <= 10.5 * calls[0]
    assert pieces[1] <= 10.5 * pieces[0]


def test_far_and_wide_places(shared):
    text = " " * 5000 + "risk\n\n" + "ri" * 10
    offsets = encode(shared, [text])[0][1]
    assert offsets[0][0] == 5000
    assert offsets[-1][1] == len(text)
    assert all(text[start:end].strip() for start, end in offsets)


def test_batches_keep_the_order(shared, monkeypatch):
    texts = [f"risk of dose {number}" for number in range(50)]
    expected = encode(shared, texts)
    monkeypatch.setattr(encoder, "_BATCH_CHARACTERS", 30)
    assert len(list(shared.encode(texts))) > 10
    assert encode(shared, texts) == expected
    assert encode(shared, []) == []


def test_threads_share_one_encoder(vocabulary):
    shared = Encoder(vocabulary, UNKNOWN, max_remembered=300)
    texts = [f"dose{number % 40} of (risk{number}), e.g. {number}." for number in range(400)]
    expected = encode(Encoder(vocabulary, UNKNOWN), texts)
    results = {}

    def work(name):
        results[name] = [encode(shared, [text])[0] for text in texts]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), expected)


def test_after_an_interruption_it_starts_afresh(vocabulary, monkeypatch):
    interrupted = Encoder(vocabulary, UNKNOWN)
    expected = encode(interrupted, ["risk of dose"])

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moses, "is_plain", interrupt)
        with pytest.raises(KeyboardInterrupt):
            encode(interrupted, ["a new word"])
    assert encode(interrupted, ["risk of dose"]) == expected
    assert encode(interrupted, ["a new word"]) == encode(Encoder(vocabulary, UNKNOWN), ["a new word"])


def test_pickling(shared):
    again = pickle.loads(pickle.dumps(shared))
    assert encode(again, ["the risk (5 %)"]) == encode(shared, ["the risk (5 %)"])
