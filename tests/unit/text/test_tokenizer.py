"""BioGptTokenizer: places, words, overlapping parts, errors. That it equals the slow one is shown in tests/parity."""

import gc
import pickle
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from biogpt import BioGptTokenizer
from biogpt.errors import DataError, InputError
from biogpt.text import bpe

TEXT = "Patients' dose-dependent <b> risk\x01s </s>of i.p. zidovudine."
LISTS = ("ids", "type_ids", "tokens", "offsets", "word_ids", "attention_mask", "special_tokens_mask", "sequence_ids")


@pytest.fixture(scope="module")
def shared(vocabulary_files):
    return BioGptTokenizer(*vocabulary_files)


def test_offsets_give_back_words(tokenizer):
    encoding = tokenizer(TEXT, return_offsets_mapping=True)
    spans = {}
    for number, (start, end) in zip(encoding.word_ids(), encoding.offset_mapping, strict=True):
        spans[number] = (spans.get(number, (start, end))[0], end)
    assert spans.pop(None) == (0, 0)  # the separator
    words = "Patients|'|dose|-|dependent|<|b|>|risk\x01s|</s>|of|i.p.|zidovudine|."
    assert "|".join(TEXT[start:end] for start, end in spans.values()) == words


def test_lookups_between_characters_tokens_and_words(tokenizer):
    encoding = tokenizer(TEXT)
    token = encoding.char_to_token(TEXT.index("dependent") + 3)
    start, end = encoding.token_to_chars(token)
    assert start <= TEXT.index("dependent") + 3 < end
    word = encoding.char_to_word(TEXT.index("dependent"))
    assert word == encoding.token_to_word(token) == 4
    assert TEXT[slice(*encoding.word_to_chars(word))] == "dependent"
    first, last = encoding.word_to_tokens(word)
    assert first <= token < last
    assert encoding.char_to_token(TEXT.index(" ")) is None
    assert encoding.token_to_sequence(token) == 0
    assert encoding.tokens()[0] == "</s>"


def test_pairs(tokenizer):
    encoding = tokenizer("the risk", "of 5", return_offsets_mapping=True, return_token_type_ids=True)
    second = encoding.sequence_ids().index(1)
    assert encoding.input_ids[second - 1] == tokenizer.sep_token_id == encoding.input_ids[0]
    assert encoding.sequence_ids()[second - 1] is None
    assert encoding.offset_mapping[second] == (0, 2)
    assert encoding.word_ids()[second] == 0
    assert encoding.token_type_ids == [0] * (second - 1) + [1] * (len(encoding.input_ids) - second + 1)
    assert encoding.char_to_token(0, sequence_index=1) == second


def test_texts_that_came_as_words(tokenizer):
    words = ["No.", "5-lipoxygenase", "didn't", "</s>", ""]
    encoding = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    for number, (start, end) in zip(encoding.word_ids(), encoding.offset_mapping, strict=True):
        assert number is None or words[number][start:end]
    assert list(dict.fromkeys(encoding.word_ids())) == [None, 0, 1, 2, 3]
    batch = tokenizer([words, []], is_split_into_words=True, padding=True)
    assert batch.word_ids(0) == encoding.word_ids()
    assert batch.word_ids(1) == [None] * len(encoding.input_ids)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stride", [0, 3])
def test_overlapping_parts(tokenizer, side, stride):
    tokenizer.truncation_side = side
    text = "the risk of myocardial infarction; " * 4
    whole = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    settings = {"truncation": True, "max_length": 10, "stride": stride, "return_overflowing_tokens": True}
    parts = tokenizer([text, "a"], return_offsets_mapping=True, padding=True, **settings)
    assert parts.overflow_to_sample_mapping == [0] * (len(parts.input_ids) - 1) + [1]
    spans = []
    for index in range(len(parts.input_ids) - 1):
        offsets = parts.offset_mapping[index]
        kept = [place for place, number in enumerate(parts.sequence_ids(index)) if number == 0]
        spans.append([whole.offset_mapping.index(offsets[place]) for place in kept])
        assert parts.input_ids[index][0] == tokenizer.sep_token_id
        assert [parts.input_ids[index][place] for place in kept] == [whole.input_ids[place] for place in spans[-1]]
    if side == "left":
        spans.reverse()
    assert set().union(*spans) == set(range(len(whole.input_ids)))
    if side == "right":
        for before, after in pairwise(spans):
            assert before[len(before) - stride :] == after[:stride]


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize(
    "settings", [{}, {"max_length": 6}, {"max_length": 6, "stride": 2}, {"max_length": 1}], ids=str
)
def test_an_encoding_is_the_same_in_python_and_rust(tokenizer, settings, padding_side):
    for texts in (["the risk of (5 %)", "a"], [""]):
        truncated = {**settings, "truncation": True} if settings else {}
        found = tokenizer(texts, padding="max_length" if settings else True, padding_side=padding_side, **truncated)
        for encoding in found.encodings:
            python = {name: getattr(encoding, name) for name in LISTS if name not in ("tokens", "sequence_ids")}
            length = len(encoding)
            rust = encoding.to_rust()
            assert isinstance(rust, tokenizers.Encoding)
            assert python == {name: getattr(rust, name) for name in python}
            assert length == len(rust) == len(encoding)
            assert python == {name: getattr(encoding, name) for name in python}
            assert len(encoding.overflowing) == len(rust.overflowing)
            again = pickle.loads(pickle.dumps(encoding))
            assert {name: getattr(again, name) for name in LISTS} == {name: getattr(rust, name) for name in LISTS}


@given(
    texts=st.lists(st.text(st.sampled_from(list("ar1. ',-&</s>é\ud800\x01\n")), max_size=25), min_size=1, max_size=4)
)
def test_a_batch_gives_what_each_text_gives_alone(shared, texts):
    batch = shared(texts, padding=True, return_offsets_mapping=True)
    for index, text in enumerate(texts):
        alone = shared(text, return_offsets_mapping=True)
        kept = [place for place, is_kept in enumerate(batch.attention_mask[index]) if is_kept]
        assert [batch.input_ids[index][place] for place in kept] == alone.input_ids
        assert [batch.offset_mapping[index][place] for place in kept] == alone.offset_mapping
    assert shared.encode_ids(texts) == shared(texts, add_special_tokens=False).input_ids


def test_round_trip(tokenizer):
    text = 'So-called "naive" T cells reduce the risk (5) of myocardial infarction.'
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer.batch_decode(tokenizer([text, "the risk"]).input_ids, skip_special_tokens=True) == [
        text,
        "the risk",
    ]


def test_the_backend_is_used_as_one_of_tokenizers(tokenizer):
    backend = tokenizer.backend_tokenizer
    assert backend.encode("the risk").ids == tokenizer("the risk").input_ids
    assert backend.encode("the", "risk", add_special_tokens=False).ids == tokenizer.encode_ids(["the risk"])[0]
    assert backend.token_to_id("</s>") == 2
    with pytest.raises(AttributeError, match="has no attribute 'to_str'"):
        backend.to_str()


def test_the_collector_of_cycles_is_left_as_it_was(tokenizer):
    assert gc.isenabled()
    tokenizer(["the risk"])
    assert gc.isenabled()
    gc.disable()
    try:
        tokenizer.encode_ids(["the risk"])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_training_another(tokenizer):
    batches = [["tumour necrosis factor", "tumour growth"], ["growth factor"]] * 3
    new = tokenizer.train_new_from_iterator(batches, vocab_size=80, new_special_tokens=["<e>"])
    assert isinstance(new, BioGptTokenizer)
    assert len(new.tokenize("tumour <e>")) < len(tokenizer.tokenize("tumour <e>"))
    assert new.decode(new.encode_ids(["growth factor"])[0]) == "growth factor"


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        (["a", None], {}, "Got None to tokenize; expected a text"),
        ([["a"], ["b", 5]], {"is_split_into_words": True}, "Got \\['b', 5\\] to tokenize; expected a list of words"),
        ("the risk", {"truncation": True, "max_length": 0}, "Cannot cut texts of 2 tokens"),
        ("the risk", {"truncation": "only_second", "max_length": 2}, "by 'only_second'"),
        ("the risk of 5", {"truncation": True, "max_length": 3, "stride": 2}, "Got stride=2, expected less than the 2"),
    ],
)
def test_what_cannot_be_done(tokenizer, texts, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        tokenizer(texts, **settings)
    assert "\n" not in str(caught.value)


def test_a_directory_without_a_vocabulary(vocabulary, tmp_path):
    with pytest.raises(DataError, match=r"Found no vocab\.json in"):
        BioGptTokenizer.from_pretrained(str(tmp_path))
    _, merges = bpe.write_vocabulary(vocabulary, tmp_path)
    merges.unlink()
    with pytest.raises(DataError, match=r"Found no merges\.txt in"):
        BioGptTokenizer.from_pretrained(str(tmp_path))


def test_a_damaged_vocabulary_is_named_with_its_line(vocabulary, tmp_path):
    _, merges = bpe.write_vocabulary(vocabulary, tmp_path)
    merges.write_text("a b\nno-pair\n")
    with pytest.raises(DataError, match=r"merges\.txt, line 2 is 'no-pair'"):
        BioGptTokenizer.from_pretrained(str(tmp_path))


def test_saving_to_no_directory(tokenizer, tmp_path):
    with pytest.raises(InputError, match="expected an existing directory"):
        tokenizer.save_vocabulary(str(tmp_path / "none"))
