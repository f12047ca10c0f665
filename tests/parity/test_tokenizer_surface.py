"""What transformers' users call, against the slow tokenizer: the same lists, and files that either can load."""

import copy
import json
import pickle
import random
from itertools import pairwise, product

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.biogpt.tokenization_biogpt import BioGptTokenizer as SlowTokenizer

from biogpt import BioGptTokenizer
from biogpt.errors import InputError

pytestmark = pytest.mark.parametrize("released_files", ["BioGPT"], indirect=True)
TEXT = "a [DRUG] b newtokc <e1>x  lstr  y single singles xsingle <e1><e1>single </s>z"
SIDES = ["left", "right"]


@pytest.fixture
def texts(benchmark_texts: list[str]) -> list[str]:
    return random.Random(5).sample(benchmark_texts, 60)


@pytest.fixture
def both(released_files) -> tuple[BioGptTokenizer, SlowTokenizer]:
    """New ones, to be changed by a test."""
    return BioGptTokenizer(*released_files), SlowTokenizer(*map(str, released_files))


def add_tokens(tokenizer):
    """Add tokens of each kind; returns how many were new each time."""
    return [
        tokenizer.add_tokens(["[DRUG]", "newtok", "of</w>"]),
        tokenizer.add_tokens(["[DRUG]"]),
        tokenizer.add_special_tokens({"extra_special_tokens": ["<e1>"]}),
        tokenizer.add_tokens(AddedToken("lstr", lstrip=True, rstrip=True)),
        tokenizer.add_tokens(AddedToken("single", single_word=True)),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"add_special_tokens": False},
        {"return_special_tokens_mask": True, "return_token_type_ids": True},
        {"return_attention_mask": False},
        {"padding": "max_length", "max_length": 700},
        {"padding": "max_length", "max_length": 700, "padding_side": "left"},
        {"padding": True, "pad_to_multiple_of": 8, "return_special_tokens_mask": True},
        {"truncation": True, "max_length": 12},
        {"truncation": True, "max_length": 12, "add_special_tokens": False},
        {"truncation": "only_first", "max_length": 900, "padding": True},
    ],
    ids=str,
)
def test_single_texts_and_pairs(ours, slow, texts, settings):
    for first, second in zip(texts, texts[30:], strict=False):
        assert dict(ours(first, **settings)) == dict(slow(first, **settings))
        assert dict(ours(first, second, **settings)) == dict(slow(first, second, **settings))
        assert ours.encode(first, second, **settings) == slow.encode(first, second, **settings)


@pytest.mark.parametrize(("side", "padding_side"), list(product(SIDES, SIDES)))
def test_truncation_and_padding_of_batches(both, texts, side, padding_side):
    for tokenizer in both:
        tokenizer.truncation_side, tokenizer.padding_side = side, padding_side
    ours, slow = both
    long = [text for text in texts if len(text) > 100]
    for length in (1, 24, 29, 500):
        for strategy in ("longest_first", "only_first"):
            settings = {"truncation": strategy, "max_length": length, "padding": True}
            assert dict(ours(long, **settings)) == dict(slow(long, **settings))
    pairs = list(pairwise(long))
    for length in (2, 24, 29, 500):
        settings = {"truncation": True, "max_length": length, "padding": True}
        expected = slow([first for first, _ in pairs], [second for _, second in pairs], **settings)
        assert dict(ours([first for first, _ in pairs], [second for _, second in pairs], **settings)) == dict(expected)
        assert dict(ours(pairs, **settings)) == dict(expected)
    for first, second in pairs:
        for strategy, other in (("only_first", second), ("only_second", first)):
            settings = {"truncation": strategy, "max_length": len(slow(other).input_ids) + 9, "padding": "max_length"}
            assert dict(ours(first, second, **settings)) == dict(slow(first, second, **settings))


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_tensors(ours, slow, texts, kind):
    found, expected = (tokenizer(texts, padding=True, return_tensors=kind) for tokenizer in (ours, slow))
    for name in expected:
        assert type(found[name]) is type(expected[name])
        assert (found[name] == expected[name]).all()


def test_texts_that_came_as_words(ours, slow, texts):
    words = [text.split() for text in texts] + [["No.", "5", "", "don't", "</s>", "x</s>y"], [" "]]
    for each in words:
        assert ours(each, is_split_into_words=True).input_ids == slow(each, is_split_into_words=True).input_ids
    assert ours(words, is_split_into_words=True).input_ids == slow(words, is_split_into_words=True).input_ids
    pair = (words[0], words[1])
    assert (
        ours(*pair, is_split_into_words=True).input_ids
        == ours([pair], is_split_into_words=True).input_ids[0]
        == slow(*pair, is_split_into_words=True).input_ids
    )


def test_added_tokens(both):
    ours, slow = both
    assert add_tokens(ours) == add_tokens(slow)
    assert len(ours) == len(slow)
    assert ours.vocab_size == slow.vocab_size
    assert ours.get_vocab() == slow.get_vocab()
    assert ours.get_added_vocab() == slow.get_added_vocab()
    assert ours.all_special_tokens == slow.all_special_tokens
    assert ours.all_special_ids == slow.all_special_ids
    ids = slow(TEXT).input_ids
    assert ours(TEXT).input_ids == ids
    assert ours.tokenize(TEXT) == slow.tokenize(TEXT)
    for settings in ({}, {"skip_special_tokens": True}):
        assert ours.decode(ids, **settings) == slow.decode(ids, **settings)
        assert ours.convert_ids_to_tokens(ids, **settings) == slow.convert_ids_to_tokens(ids, **settings)
    assert ours(TEXT, split_special_tokens=True).input_ids == slow(TEXT, split_special_tokens=True).input_ids


def test_overlapping_added_tokens_are_found_as_the_slow_tokenizer_finds_them(both):
    ours, slow = both
    chance = random.Random(0)
    for tokenizer in both:
        tokenizer.add_tokens(["ab", "abc", "bcd", "x.y", "(", "a b"])
        tokenizer.add_tokens([AddedToken("cc", single_word=True), AddedToken("dd", single_word=True, lstrip=True)])
        tokenizer.add_tokens([AddedToken("rr", rstrip=True), AddedToken("ll", lstrip=True)])
    texts = [
        "".join(chance.choices(["a", "b", "c", "d", "x.y", " ", "(", "cc", "dd", "rr", "ll"], k=12))
        for _ in range(2000)
    ]
    assert ours(texts).input_ids == [slow(text).input_ids for text in texts]


def test_converting(ours, slow):
    tokens = ["of</w>", "</s>", "no such token", "ti"]
    assert ours.convert_tokens_to_ids(tokens) == slow.convert_tokens_to_ids(tokens)
    assert [ours.convert_tokens_to_ids(token) for token in tokens] == slow.convert_tokens_to_ids(tokens)
    assert ours.convert_ids_to_tokens([5, -1, 10**6]) == slow.convert_ids_to_tokens([5, -1, 10**6])
    assert ours.convert_ids_to_tokens(5) == slow.convert_ids_to_tokens(5)
    pieces = ["hydro", "chlor", "ide</w>", "(", "(</w>"]
    assert ours.convert_tokens_to_string(pieces) == slow.convert_tokens_to_string(pieces)
    for ids in ([5, 6], [5, 6, 2], []):
        assert ours.build_inputs_with_special_tokens(ids) == slow.build_inputs_with_special_tokens(ids)
        assert ours.build_inputs_with_special_tokens(ids, [7]) == slow.build_inputs_with_special_tokens(ids, [7])
        assert ours.get_special_tokens_mask(ids) == slow.get_special_tokens_mask(ids)
        assert ours.get_special_tokens_mask(ids, [7]) == slow.get_special_tokens_mask(ids, [7])
        marked = slow.get_special_tokens_mask(ids, already_has_special_tokens=True)
        assert ours.get_special_tokens_mask(ids, already_has_special_tokens=True) == marked
        types = slow.create_token_type_ids_from_sequences(ids, [7])
        assert ours.create_token_type_ids_from_sequences(ids, [7]) == types
        assert ours.create_token_type_ids_from_sequences(ids) == slow.create_token_type_ids_from_sequences(ids)
    for is_pair in (False, True):
        assert ours.num_special_tokens_to_add(is_pair) == slow.num_special_tokens_to_add(is_pair)
    assert ours.model_max_length == slow.model_max_length
    assert ours.special_tokens_map == slow.special_tokens_map


def test_another_separator(both):
    ours, slow = both
    for tokenizer in both:
        tokenizer.add_special_tokens({"sep_token": "[SEP]"})
    assert ours("a").input_ids == slow("a").input_ids
    assert ours("a", "b").input_ids == slow("a", "b").input_ids


def test_padding_afterwards(ours, slow):
    examples = [{"input_ids": [2, 5]}, {"input_ids": [2, 5, 6, 7]}]
    assert dict(ours.pad(examples)) == dict(slow.pad(examples))


def test_saved_by_one_and_loaded_by_the_other(both, tmp_path):
    _, slow = both
    for name, tokenizer in zip(("ours", "slow"), both, strict=True):
        add_tokens(tokenizer)
        tokenizer.model_max_length = 1024
        tokenizer.save_pretrained(tmp_path / name)
    configs = [json.loads((tmp_path / name / "tokenizer_config.json").read_text()) for name in ("ours", "slow")]
    assert configs[0] == configs[1]
    assert not (tmp_path / "ours" / "tokenizer.json").exists()
    loaded = [
        SlowTokenizer.from_pretrained(tmp_path / "ours"),
        AutoTokenizer.from_pretrained(tmp_path / "ours"),
        BioGptTokenizer.from_pretrained(tmp_path / "ours"),
        BioGptTokenizer.from_pretrained(tmp_path / "slow"),
    ]
    assert type(loaded[1]) is SlowTokenizer
    for tokenizer in loaded:
        ids = slow(TEXT).input_ids
        assert tokenizer(TEXT).input_ids == ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == slow.decode(ids, skip_special_tokens=True)
        assert len(tokenizer) == len(slow)
        assert tokenizer.model_max_length == 1024
        assert tokenizer.extra_special_tokens == ["<e1>"]


def test_copies(both):
    ours, _ = both
    add_tokens(ours)
    ours("something to remember")
    for other in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert dict(other(TEXT, return_offsets_mapping=True)) == dict(ours(TEXT, return_offsets_mapping=True))
        other.add_tokens(["[MORE]"])
        assert len(other) == len(ours) + 1


def test_scripts_that_ask_for_a_fast_tokenizer(ours):
    assert isinstance(ours, PreTrainedTokenizerFast)
    assert ours.is_fast
    assert ours("a").is_fast


def test_the_attributes_of_the_slow_tokenizer(both, texts):
    ours, slow = both
    assert ours.encoder == slow.encoder
    assert ours.decoder == slow.decoder
    assert ours.bpe_ranks == slow.bpe_ranks
    assert ours.lang == slow.lang
    for text in texts:
        words = slow.moses_tokenize(text, slow.lang)
        assert ours.moses_tokenize(text, ours.lang) == words
        assert ours.moses_detokenize(words, "en") == slow.moses_detokenize(words, "en")
    for method in (ours.moses_tokenize, ours.moses_detokenize):
        with pytest.raises(InputError, match="Got lang='de', expected 'en'"):
            method("Ein Satz.", "de")
