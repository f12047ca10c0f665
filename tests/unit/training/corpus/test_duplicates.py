"""Which documents are taken for the same."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.documents import Article
from biogpt.training.corpus.duplicates import (
    NUM_BANDS,
    band_hashes,
    compared_words,
    find_near_duplicates,
    fingerprint,
    similarity,
)
from biogpt.training.corpus.duplicates import _equal_pairs as equal_pairs
from biogpt.training.corpus.duplicates import _shingles as shingles

VOCABULARY = [f"{first}{second}" for first in range(70) for second in "abcdefghijklmnopqrstuvwxyz" * 3]


@pytest.fixture
def make_words() -> Callable[[int], list[str]]:
    """Words by chance, in each test the same."""
    dice = random.Random(0)
    return lambda count: dice.choices(VOCABULARY, k=count)


def change(words: list[str], count: int) -> list[str]:
    """The words, of which so many are others, at even distances."""
    places = {round(place * len(words) / count) for place in range(count)} if count else set()
    assert len(places) == count
    return ["changed" if place in places else word for place, word in enumerate(words)]


def find(texts: list[list[str]], num_heldout: int, threshold: float, pmids: list[int] | None = None) -> list[bool]:
    bands = np.stack([band_hashes(text) for text in texts], axis=1)
    pmid_array = np.array(pmids or [0] * len(texts), dtype=np.uint64)
    mask = find_near_duplicates(
        len(texts), num_heldout, pmid_array, lambda band: bands[band], lambda index: texts[index], threshold
    )
    return mask.tolist()


def test_the_fingerprint_never_changes() -> None:
    # The held-out splits of users depend on it. `printf "aspirin reduces β2" | b2sum -l 64`, read from the right.
    assert fingerprint(["aspirin", "reduces", "β2"]) == 9017527635154102091
    assert fingerprint([]) == 13020603013274838756


def test_an_abstract_is_the_same_with_and_without_title_body_case_and_punctuation(
    make_words: Callable[[int], list[str]],
) -> None:
    abstract = " ".join(make_words(40))
    documents = [
        Article("1", "Some title", abstract),
        Article("2", "", abstract.upper().replace(" ", ", ") + "!"),
        Article("3", "Some other title", f"  {abstract}", "A body."),
    ]
    assert len({fingerprint(compared_words(document)) for document in documents}) == 1


def test_documents_without_a_real_abstract_are_compared_by_all_they_have() -> None:
    words = [compared_words(Article("1", title, "Available from the publisher.", body)) for title, body in ("ab", "cd")]
    assert words == [
        ["a", "available", "from", "the", "publisher", "b"],
        ["c", "available", "from", "the", "publisher", "d"],
    ]


@given(st.lists(st.text(min_size=1, max_size=5), max_size=30))
def test_any_words_have_hashes(words: list[str]) -> None:
    words = [word.replace("\ud800", "") for word in words]
    words = [word.encode(errors="replace").decode() for word in words]
    assert band_hashes(words).shape == (NUM_BANDS,)
    assert similarity(shingles(words), shingles(list(words))) == 1


def test_similarity_is_that_of_the_sets_of_word_triples() -> None:
    first, second = list("abcdef"), list("abcdex")
    assert similarity(shingles(first), shingles(second)) == pytest.approx(3 / 5)
    assert similarity(shingles(first), shingles(first[::-1])) == 0


@pytest.mark.parametrize(("num_changed", "is_near"), [(0, True), (2, True), (8, True), (60, False), (150, False)])
def test_finds_texts_with_few_changed_words(
    num_changed: int, is_near: bool, make_words: Callable[[int], list[str]]
) -> None:
    texts = [make_words(200) for _ in range(50)]
    copies = [change(text, num_changed) for text in texts]
    expected = [similarity(shingles(a), shingles(b)) >= 0.7 for a, b in zip(texts, copies, strict=True)]
    assert all(each is is_near for each in expected)
    assert find(texts + copies, 0, 0.7) == [False] * 50 + expected


def test_an_earlier_document_wins_unless_it_is_out_itself(make_words: Callable[[int], list[str]]) -> None:
    first = make_words(100)
    second, bridge = change(first, 5), first[5:] + make_words(5)
    third = bridge[5:] + make_words(5)
    near = [similarity(shingles(a), shingles(b)) >= 0.85 for a, b in ((first, bridge), (bridge, third), (first, third))]
    assert near == [True, True, False]
    assert find([first, bridge, third], 0, 0.85) == [False, True, False]
    assert find([second, first], 0, 0.7) == [False, True]


def test_nothing_like_a_heldout_document_stays_in_training_even_if_that_is_out_itself(
    make_words: Callable[[int], list[str]],
) -> None:
    first = make_words(100)
    bridge = first[5:] + make_words(5)
    third = bridge[5:] + make_words(5)
    assert find([first, bridge, third], 2, 0.85) == [False, True, True]


def test_the_same_article_by_its_pubmed_id(make_words: Callable[[int], list[str]]) -> None:
    texts = [make_words(50) for _ in range(4)]
    assert find(texts, 0, 0, pmids=[5, 0, 5, 0]) == [False, False, True, False]
    assert find(texts, 0, 0.7, pmids=[0, 0, 0, 0]) == [False] * 4


def test_no_documents() -> None:
    assert (
        find_near_duplicates(0, 0, np.empty(0, np.uint64), lambda _: np.empty(0, np.uint64), list, 0.7).tolist() == []
    )


def test_a_large_group_of_equals_costs_little_and_leaves_one(make_words: Callable[[int], list[str]]) -> None:
    texts = [make_words(60)] * 600
    assert find(texts, 0, 0.7) == [False] + [True] * 599


@given(st.lists(st.integers(0, 5), max_size=30))
def test_pairs_of_equal_values(values: list[int]) -> None:
    expected = {(i, j) for j in range(len(values)) for i in range(j) if values[i] == values[j]}
    assert set(map(tuple, equal_pairs(np.array(values, dtype=np.uint64)).tolist())) == expected
