import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.text.sentences import split_sentences, split_words


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


def test_sentences_end_where_a_reader_ends_them():
    text = (
        'A trial of E. coli (e.g. K12) vs. B. subtilis.  It was p < 0.05. "Was it?" (See Fig. 2.) 12 cases\n\nNew text'
    )
    assert sentences(text) == [
        "A trial of E. coli (e.g. K12) vs. B. subtilis.",
        "It was p < 0.05.",
        '"Was it?"',
        "(See Fig. 2.)",
        "12 cases",
        "New text",
    ]


def test_words_are_runs_of_letters_and_digits_and_single_signs():
    text = "x IL-2 of 2.5 mg/kg α_1"
    assert [text[start:end] for start, end in split_words(text, (2, len(text)))] == (
        ["IL", "-", "2", "of", "2", ".", "5", "mg", "/", "kg", "α", "_", "1"]
    )


@given(st.text(alphabet=st.sampled_from("aB1 .?!()\"'\n\t-,é"), max_size=60))
def test_nothing_but_white_space_is_left_out(text):
    spans = split_sentences(text)
    words = [word for span in spans for word in split_words(text, span)]
    for parts in (spans, words):
        assert "".join("".join(text[start:end].split()) for start, end in parts) == "".join(text.split())
        assert all(text[start:end] == text[start:end].strip() != "" for start, end in parts)
        assert all(one[1] <= other[0] for one, other in pairwise(parts))


@pytest.mark.data
def test_the_words_of_the_disease_corpus_are_those_of_its_published_files(data_path):
    abstracts = (data_path / "formats" / "pubtator" / "ncbi-disease.train.original.txt").read_text(encoding="utf-8")
    documents: dict[str, str] = {}
    for id, text in re.findall(r"^(\d+)\|[ta]\|(.*)$", abstracts, re.MULTILINE):
        documents[id] = f"{documents[id]} {text}" if id in documents else text
    published = (data_path / "ner" / "NCBI-disease" / "train.tsv").read_text(encoding="utf-8").strip().split("\n\n")
    expected = [[row.split("\t")[0] for row in block.split("\n")] for block in published]
    by_letters = {"".join(words): words for words in expected}
    ours = [
        [text[start:end] for start, end in split_words(text, span)]
        for text in documents.values()
        for span in split_sentences(text)
    ]
    found = [words for words in ours if "".join(words) in by_letters]
    assert len({"".join(words) for words in found}) / len(by_letters) > 0.95  # sentences
    assert sum(by_letters["".join(words)] != words for words in found) <= 1  # words: `</s>00` of one sentence
