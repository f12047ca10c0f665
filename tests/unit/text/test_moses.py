"""Words and their places, and words put together again. That the words are Moses' is shown in tests/parity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacremoses import MosesTokenizer
from sacremoses.util import CJKChars, is_cjk

from biogpt.text import moses, moses_tables

# Characters for which there are rules, and a few for which there are none.
TEXTS = st.text(st.sampled_from(list("aB1. ',-`&<|@[²é\u200b\ud800\x01\x1f\n\xa0()\";5N\u3000")), max_size=30)


def texts_of(words: list[moses.Word]) -> list[str]:
    return [word.text for word in words]


@given(st.lists(TEXTS, max_size=5))
def test_words_of_a_batch_are_those_of_each_text(texts):
    assert moses.split_words(texts) == [moses.split_words([text])[0] for text in texts]


@given(TEXTS)
def test_words_by_chunks_are_those_of_the_whole(text):
    assert moses.split_words([text])[0] == texts_of(moses.split_whole(text))


@given(TEXTS)
def test_places_are_in_order_and_cover_what_moses_keeps(text):
    words = moses.split_whole(text)
    end = 0
    covered = set()
    for word in words:
        assert len(word.text) == len(word.starts) == len(word.ends) > 0
        assert word.starts[0] >= end
        assert list(word.starts) == sorted(word.starts)
        end = word.ends[-1]
        for start, stop in zip(word.starts, word.ends, strict=True):
            assert 0 <= start < stop <= len(text)
            covered.update(range(start, stop))
    kept = {place for place, sign in enumerate(text) if not sign.isspace() and not "\x00" <= sign <= "\x1b"}
    assert kept <= covered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't", ["don", "'t"]),
        ("dose-dependent", ["dose", "-", "dependent"]),
        ("a\x01b", ["a\x01b"]),
        ("\x03x\x02 'y'  z", ["x", "'", "y", "'", "z"]),
        ("No. 5, i.p.", ["No.", "5", ",", "i.p."]),
        ("wait....Now", ["wait", "....", "Now"]),
        ("aDOTMULTIb c", ["aDOTMULTIb", "c"]),
    ],
)
def test_places_give_back_the_words(text, words):
    spans = [(word.starts[0], word.ends[-1]) for word in moses.split_whole(text)]
    assert [text[start:end] for start, end in spans] == words


def test_a_chunk_is_split_by_what_surrounds_it():
    assert moses.split_words(["Art. 5", "Art. Five", "Art. five", "Art."]) == [
        ["Art.", "5"],
        ["Art", ".", "Five"],
        ["Art.", "five"],
        ["Art", "."],
    ]
    assert moses.split_words([",5", "x ,5"]) == [[",5"], ["x", ",", "5"]]


def test_what_is_remembered_does_not_leak_into_other_contexts():
    expected = [["&apos;5"], ["a", "&apos;", "5"], ["&apos;5"], ["a", "&apos;", "5"]]
    assert moses.split_words(["'5", "a '5", "'5", "a '5"]) == expected


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "a-" * 50_000, "." * 100_000, "a." * 50_000, "'" * 100_000, ",5" * 50_000, "a\x01" * 50_000]
)
def test_long_words(text):
    words = moses.split_words([text])[0]
    unescaped = "".join(words).replace("&apos;", "'").replace("@-@", "-")
    assert unescaped == text.replace("\x01", "")


def test_long_chunks_are_not_remembered():
    moses.split_words(["x" * 1000])
    assert max(map(len, moses._known_words)) <= moses.MAX_REMEMBERED


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("dose @-@ dependent", "dose-dependent"),
        ("( P &lt; 0.05 ) .", "(P < 0.05)."),
        ("don &apos;t", "don't"),
        ("the patients &apos; age", "the patients' age"),
        ("&quot; naive &quot; T cells", '"naive" T cells'),
        ("&#91; 3 &#93; , a &amp;amp; b", "[3], a &amp; b"),
        ("$ 5 ( ( a ) )", "$5 ((a))"),
        ("漢 字 a", "漢字 a"),
        ("a @-@ @-@ b", "a-@-@ b"),
        ("", ""),
    ],
)
def test_words_are_joined_by_moses_rules(words, text):
    assert moses.join_words(words.split()) == text
    assert moses.join_spaced(words) == text


def test_the_tables_are_those_of_the_installed_sacremoses():
    reference = MosesTokenizer("en")
    for table, expected in (
        (moses_tables.ALNUM, MosesTokenizer.IsAlnum),
        (moses_tables.ALPHA, MosesTokenizer.IsAlpha),
        (moses_tables.LOWER, MosesTokenizer.IsLower),
        (moses_tables.NUMBER, MosesTokenizer.IsN),
        (moses_tables.CURRENCY, MosesTokenizer.IsSc),
    ):
        assert {chr(code) for each in moses._ranges(table) for code in each} == set(expected)
    assert [(each[0], each[-1]) for each in moses._ranges(moses_tables.CJK)] == CJKChars().ranges
    assert set(moses_tables.NUMERIC_PREFIXES.split()) == set(reference.NUMERIC_ONLY_PREFIXES)
    kept = {prefix for prefix in reference.NONBREAKING_PREFIXES if " " not in prefix}
    assert set(moses_tables.PREFIXES.split()) == kept


def test_what_is_chinese_japanese_or_korean_is_for_the_installed_sacremoses_to_say():
    for each in moses._ranges(moses_tables.CJK):
        for code in (each[0] - 1, each[0], each[0] + 1, each[-1] - 1, each[-1], each[-1] + 1):
            assert moses._is_cjk(chr(code)) == is_cjk(chr(code))
