"""Words, ids, places and decoded text against sacremoses' and transformers' own: a sample of tokenizer_exactness.py."""

import random
from types import SimpleNamespace

import pytest
import tokenizer_exactness
import tokenizer_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from sacremoses import MosesDetokenizer, MosesTokenizer

from biogpt.text import bpe, moses

TEXTS = st.text(
    st.one_of(st.sampled_from(list("aB5. ',-`&<[;|@²é\u200b\ud800\x01\x1f\n")), st.characters()), max_size=40
)
SIGNS = """
    &apos; &apos;s &quot; „ “ “„ `` ` '' 's is ( (( $ $( € , . ... ,. % ) &#93; &#91; @-@ @ - -( a 漢 字x x字 &amp;lt;
    &amp; &lt; &bar; &bra; ¿ ¡ \\ é ’s { } '1 </s> \u1100 \u11ff \ua4cf
"""
WORDS = st.lists(st.sampled_from(SIGNS.split()), max_size=10)
SPLITTER, JOINER = MosesTokenizer("en"), MosesDetokenizer("en")
ONE_VOCABULARY = pytest.mark.parametrize("released_files", ["BioGPT"], indirect=True)


@pytest.fixture(scope="session")
def texts(benchmark_texts: list[str]) -> list[str]:
    """800 texts of the benchmark sets, all cases, and 400 fuzzed texts; the script takes all of them."""
    sample = random.Random(0).sample(benchmark_texts, 800)
    return [*tokenizer_texts.CASES, *sample, *tokenizer_texts.fuzzed_texts(1, 400, benchmark_texts)]


@settings(max_examples=500)
@given(TEXTS)
def test_words(text):
    expected = SPLITTER.tokenize(text, aggressive_dash_splits=True, escape=True)
    assert moses.split_words([text]) == [expected]


@settings(max_examples=500)
@given(WORDS)
def test_joined_words(words):
    assert moses.join_words(words) == JOINER.detokenize(words)


def test_ids(ours, slow, texts):
    expected = [slow(text)["input_ids"] for text in texts]
    assert [[2, *ids] for ids in ours.encode_ids(texts)] == expected
    assert ours(texts)["input_ids"] == expected


def test_places(ours, texts):
    assert tokenizer_exactness.count_wrong_places(texts, ours) == 0


@pytest.mark.parametrize("settings", [{}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": True}])
def test_decoded_text(ours, slow, texts, settings):
    sequences = ours.encode_ids(texts[::3]) + tokenizer_texts.random_ids(0, 400, len(ours))
    expected = [slow.decode(ids, **settings) for ids in sequences]
    assert ours.batch_decode(sequences, **settings) == expected
    assert [ours.decode(ids, **settings) for ids in sequences] == expected


@ONE_VOCABULARY
@pytest.mark.parametrize("text", tokenizer_texts.CASES)
def test_known_pieces(ours, text):
    assert " ".join(ours.tokenize(text)) == tokenizer_texts.CASES[text]


def test_merges_leave_no_choice(released_files):
    """No piece is made in two ways, nor used before it is made.

    So it does not matter that `tokenizers` merges pairs one by one, and the slow tokenizer all that are alike at once.
    """
    merges = bpe.read_vocabulary(*released_files).merges
    made = {}
    for rank, pair in enumerate(merges):
        assert made.setdefault("".join(pair), rank) == rank
    assert all(made.get(piece, -1) < rank for rank, pair in enumerate(merges) for piece in pair)


@ONE_VOCABULARY
def test_the_references_words_are_the_slow_tokenizers(slow, texts):
    for text in texts[::10]:
        assert tokenizer_exactness.split_by_sacremoses(text) == slow.moses_tokenize(text, "en")


@ONE_VOCABULARY
def test_files_are_those_of_transformers(ours, slow, tmp_path):
    ours_path, slow_path = tmp_path / "ours", tmp_path / "slow"
    for path, tokenizer in ((ours_path, ours), (slow_path, slow)):
        path.mkdir()
        tokenizer.save_vocabulary(str(path), filename_prefix="x")
    for name in ("x-vocab.json", "x-merges.txt"):
        assert (ours_path / name).read_bytes() == (slow_path / name).read_bytes()


@pytest.mark.parametrize(
    ("offsets", "word_ids", "holds"),
    [
        ([(0, 1), (1, 3), (3, 4), (5, 7)], [0, 0, 1, 2], True),
        ([(0, 1), (1, 3), (3, 4), (5, 6)], [0, 0, 1, 2], False),  # a character is left out
        ([(0, 1), (1, 3), (3, 4), (5, 8)], [0, 0, 1, 2], False),  # past the end
        ([(3, 4), (0, 1), (1, 3), (5, 7)], [1, 0, 0, 2], False),  # not in order
        ([(0, 1), (1, 4), (3, 4), (5, 7)], [0, 0, 1, 2], False),  # not the word
        ([(0, 3), (3, 3), (3, 4), (5, 7)], [0, 0, 1, 2], False),  # no characters
    ],
)
def test_wrong_places_are_noticed(offsets, word_ids, holds):
    encoding = SimpleNamespace(offsets=offsets, word_ids=word_ids)
    assert tokenizer_exactness.words_of(["a&b' IL"]) == [["a", "&", "b", "'", "IL"]]
    assert tokenizer_exactness.places_hold("TNF, IL", ["TNF", ",", "IL"], encoding) is holds
