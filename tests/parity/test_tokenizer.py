"""Our words and ids against sacremoses' and transformers' own."""

import json
from pathlib import Path

import pytest
from sacremoses import MosesTokenizer
from transformers.models.biogpt.tokenization_biogpt import BioGptTokenizer as ReferenceTokenizer

from biogpt import BioGptTokenizer
from biogpt.text import bpe, moses

# Text -> the pieces that the released vocabulary makes of it.
CASES = {
    "2'3'-dideoxy": "2</w> &apos;</w> 3&apos; -di deoxy</w>",
    "5' '6": "5</w> &apos;</w> &apos; 6</w>",
    "No. 5": "No.</w> 5</w>",
    "No. Five": "No</w> .</w> Five</w>",
    "Fig. 2": "Fig</w> .</w> 2</w>",
    "foo. bar": "fo o.</w> bar</w>",
    "i.p.)": "i.p.</w> )</w>",
    "1....": "1</w> . ...</w>",
    ",5": ", 5</w>",
    "x ,5": "x</w> ,</w> 5</w>",
    "²-5": "²</w> -5</w>",
    "a--b": "a-- b</w>",
    "@-@": "@</w> -</w> @</w>",
    "&apos;": "&amp;</w> ap os</w> ;</w>",
    "a\x01b": "ab</w>",
    "a\x1fb": "a</w> b</w>",
    "a\xa0b": "a</w> b</w>",
    "a\u200bb": "a</w> <unk> b</w>",
    "evertheless": "<unk>",
    "a</s>b": "a</w> </s> b</w>",
    "": "",
}


@pytest.fixture(scope="session", params=["BioGPT", "BioGPT-Large"])
def vocabulary_files(request: pytest.FixtureRequest, data_path: Path, tmp_path_factory: pytest.TempPathFactory):
    """Each released vocabulary in Hugging Face's layout: its two files."""
    folder = data_path / "vocab" / request.param
    vocabulary = bpe.read_fairseq_vocabulary(folder / "dict.txt", folder / "bpecodes")
    return bpe.write_vocabulary(vocabulary, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def tokenizer(vocabulary_files):
    return BioGptTokenizer(*vocabulary_files)


@pytest.fixture(scope="session")
def reference(vocabulary_files):
    return ReferenceTokenizer(*vocabulary_files)


@pytest.fixture(scope="session")
def abstracts(data_path: Path) -> list[str]:
    documents = json.loads((data_path / "benchmarks/BC5CDR/test.json").read_text())
    return [document["abstract"] for document in documents.values()]


def test_words_are_those_of_sacremoses(abstracts):
    splitter = MosesTokenizer("en")
    texts = [*CASES, *abstracts]
    assert moses.split_words(texts) == [splitter.tokenize(text, aggressive_dash_splits=True) for text in texts]


def test_ids_are_those_of_transformers(tokenizer, reference, abstracts):
    texts = [*CASES, *abstracts]
    expected = [reference(text)["input_ids"] for text in texts]
    assert [[2, *ids] for ids in tokenizer.encode_ids(texts)] == expected
    assert [tokenizer(text)["input_ids"] for text in texts] == expected


@pytest.mark.parametrize("vocabulary_files", ["BioGPT"], indirect=True)
@pytest.mark.parametrize("text", CASES)
def test_known_pieces(tokenizer, text):
    ids = tokenizer.encode_ids([text])[0]
    assert " ".join(tokenizer.convert_ids_to_tokens(ids)) == CASES[text]
