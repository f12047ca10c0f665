"""Measures of written text, on texts small enough to check by hand, and the committed list of terms."""

import json
from collections import Counter

import pytest
from generation import (
    KINDS,
    NUM_TERMS,
    RANGES,
    SEEDS,
    TERMS,
    Names,
    Term,
    count_rows,
    figures_of,
    print_table,
    read_terms,
    text_of,
)
from generation_measures import (
    CoOccurrences,
    CopyFinder,
    Dictionary,
    distinct,
    ends_in_loop,
    repetition,
    sentences_of,
    words_of,
)
from record import RESULTS, ROOT

NAMES = [
    ("D1", "aspirin"), ("D2", "cancer"), ("D3", "lung cancer"), ("D2", "neoplasm"), ("D4", "REST"), ("D5", "Fever"),
    ("D6", "IL-6"), ("D9", "cancer"), ("D7", "cancer pain"),
]  # fmt: skip
ASPIRIN, FEVER = Term("Aspirin", "D1", "chemical"), Term("Fever", "D5", "disease")


def test_words_have_no_punctuation_and_no_case():
    assert words_of("TNF-α (5 mg/kg), the_drug.") == ["tnf", "α", "5", "mg", "kg", "the", "drug"]


def test_repetition_counts_ngrams_that_stood_before():
    assert repetition(list("abcdabcd")) == (1, 5)
    assert repetition(list("ababab"), 2) == (3, 5)
    assert repetition(list("abc")) == (0, 0)


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ("so it is the risk of the risk of the risk of", True),
        ("so it is the risk of the risk of the risk", False),  # twice and a part
        ("it is of the risk of the risk of the risk", True),  # cut off within the block
        ("no no no", True),
        ("the risk of the risk of the risk of all", False),
        ("", False),
    ],
)
def test_a_loop_is_three_times_the_same_at_the_end(text, is_loop):
    assert ends_in_loop(text.split()) is is_loop


def test_distinct_ngrams_are_those_of_all_texts_together():
    assert distinct([list("ab"), list("abc")], 1) == (3, 5)
    assert distinct([list("ab"), list("abc")], 2) == (2, 3)  # none reaches into the next text


def test_copies_are_whole_spans_of_one_text():
    written = [list("xabcdey"), list("defg"), list("ab")]
    finder = CopyFinder(written, span_words=3)
    for text in ("wabcdw", "bcdefw", "de", "fg"):
        finder.read(list(text))
    first, second, third = finder.finish()
    assert (first.num_spans, first.num_copied, "".join(first.longest)) == (5, 3, "abcd")
    assert (second.num_spans, second.num_copied, "".join(second.longest)) == (2, 1, "def")
    assert (third.num_spans, third.longest) == (0, ())


def test_copies_follow_one_another_in_both_texts():
    finder = CopyFinder([list("abcdef")], span_words=3)
    finder.read(list("abcxbcde"))
    finder.read(list("def"))
    assert finder.finish()[0].longest == tuple("bcde")


def test_names_are_found_by_their_words_and_short_ones_by_their_case():
    dictionary = Dictionary(NAMES)
    (sentence,) = sentences_of("Aspirin at rest, REST, but no IL-6, and lung cancer.")
    assert [mention.identifier for mention in dictionary.find_longest(sentence)] == ["D1", "D4", "D3"]
    assert Counter(mention.identifier for mention in dictionary.find_all(sentence)) == Counter(["D1", "D4", "D3", "D2"])
    assert [mention.identifier for mention in dictionary.only({"D2"}).find_all(sentence)] == ["D2"]


def names_of(*documents: str) -> Names:
    names = Names(Dictionary(NAMES))
    names.counts = CoOccurrences(names.dictionary, frozenset(("D1", "D5")))
    for document in documents:
        names.counts.read(sentences_of(document))
    return names


def test_association_is_measured_against_chance():
    counts = names_of("Aspirin and cancer. Neoplasm and aspirin. Nothing here. Nor here.", "Aspirin. Cancer.").counts
    assert counts.num_sentences == 6
    assert (counts.pair_sentences["D1", "D2"], counts.pair_documents["D1", "D2"]) == (2, 1)
    assert counts.association("D1", "D2") == pytest.approx(0.415, abs=1e-3)  # log2(2 / (3 * 3 / 6))
    assert counts.association("D1", "D3") == float("-inf")
    assert counts.are_related("D1", "D2", 1, 0.4)
    assert not counts.are_related("D1", "D2", 2, 0.4)
    assert not counts.are_related("D1", "D2", 1, 0.5)


def test_the_first_sentence_is_held_against_the_term_and_against_others():
    names = names_of(*["Aspirin and cancer. Fever and REST. Nothing."] * 3)
    terms = [ASPIRIN, FEVER]
    texts = [text_of(ASPIRIN, "Aspirin. It prevents cancer. REST."), text_of(FEVER, "Fever in cancer patients. REST.")]
    assert [names.beside(text) for text in texts] == [{"D2": ("cancer",)}] * 2
    copies = CopyFinder([text.words for text in texts]).finish()
    aspirin, fever = map(figures_of, count_rows(texts, copies, terms, names))
    assert (aspirin["related"], aspirin["related_to_others"]) == (1, 0)
    assert (fever["related"], fever["related_to_others"]) == (0, 1)


def test_a_term_is_not_related_to_itself_or_its_parts():
    names = names_of(*["Cancer and lung cancer and fever."] * 5)
    cancer = Term("Cancer", "D2", "disease")
    assert set(names.beside(text_of(cancer, "Cancer, a neoplasm, and lung cancer with fever."))) == {"D5"}


def test_the_terms_are_of_all_kinds_and_ranges():
    terms = read_terms()
    assert Counter(term.kind for term in terms) == {
        kind: sum(sizes) for kind, sizes in zip(KINDS, NUM_TERMS, strict=True)
    }
    assert len({term.text for term in terms}) == len({term.identifier for term in terms}) == 50
    counts = [one["num_documents"] for one in json.loads(TERMS.read_text(encoding="utf-8"))["terms"]]
    per_range = [sum(least <= count <= most for count in counts) for least, most in RANGES]
    assert per_range == [sum(sizes) for sizes in zip(*NUM_TERMS, strict=True)]


def test_the_page_shows_the_result_file(capsys):
    print_table(json.loads((RESULTS / "generation.json").read_text(encoding="utf-8")))
    assert capsys.readouterr().out in (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")


def test_the_samples_are_all_that_was_written():
    lines = (RESULTS / "generation_samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [(one["way"], one["seed"], one["term"]) for one in map(json.loads, lines)]
    ways = [("beam", None), *(("sampling", seed) for seed in SEEDS)]
    assert samples == [(way, seed, term.text) for way, seed in ways for term in read_terms()]
