"""Vocabularies: their files, damaged ones too, and how they are learned."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest

from biogpt.errors import DataError, InputError
from biogpt.text import bpe

SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_what_is_written_is_read_again(vocabulary, tmp_path):
    files = bpe.write_vocabulary(vocabulary, tmp_path, prefix="my-")
    assert [file.name for file in files] == ["my-vocab.json", "my-merges.txt"]
    assert bpe.read_vocabulary(*files) == vocabulary


def test_fairseq_files(tmp_path):
    dictionary = write(tmp_path / "dict.txt", "the 900\nfo@@ 20\n@-@ 10\n@@@ 5\n")
    codes = write(tmp_path / "bpecodes", "t h 9\nth e</w> 8\n")
    vocabulary = bpe.read_fairseq_vocabulary(dictionary, codes)
    assert vocabulary.ids == {**SPECIAL, "the</w>": 4, "fo": 5, "@-@</w>": 6, "@": 7}
    assert vocabulary.merges == [("t", "h"), ("th", "e</w>")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 900\nfo@@\n", "line 2 is 'fo@@'"),
        ("the 900\nfoo x\n", "line 2 is 'foo x'"),
        ("the 900\nof 3\nthe 5\n", "line 3 repeats the token 'the'"),
        ("the 900\nof 3", "line 2 has no line end"),
        (b"the 900\nof \xff\n", "line 2 is not UTF-8"),
        ("<unk> 5\n<s>@@ 3\n", "line 2 repeats the token '<s>@@'"),
    ],
)
def test_damaged_dictionary(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        bpe.read_fairseq_vocabulary(write(tmp_path / "dict.txt", content), write(tmp_path / "bpecodes", ""))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("t h 9\nth\n", "line 2 is 'th'"),
        ("t h 9\n\n", "line 2 is ''"),
        ("t h 9\na b c d\n", "line 2 is 'a b c d'"),
        ("t h 9\na b c\n", "line 2 is 'a b c'"),
        ("t h 9\na b", "line 2 has no line end"),
        (b"t h 9\na \xe9\n", "line 2 is not UTF-8"),
    ],
)
def test_damaged_merges(content, message, tmp_path):
    vocabulary = write(tmp_path / "vocab.json", json.dumps(SPECIAL))
    with pytest.raises(DataError, match=message):
        bpe.read_vocabulary(vocabulary, write(tmp_path / "merges.txt", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1,\n"b": 2\n"c": 3}', "line 3 is not JSON"),
        ("[1, 2]", "line 1 is a JSON list"),
        ('{\n"a": 0,\n"b": "1"\n}', "line 3 gives 'b' the id '1'"),
        ('{\n"a": 0,\n"b": -1\n}', "line 3 gives 'b' the id -1"),
        ('{\n"a": 0,\n"b": true\n}', "line 3 gives 'b' the id True"),
        ('{\n"a": 0,\n"b": 0\n}', "line 3 repeats 'b' or its id 0"),
        ('{\n"a": 0,\n"a": 1\n}', "line 3 repeats 'a' or its id 1"),
        ('{"a": 0}', "has no '<s>'"),
        (b'{"a": 0,\n"\xff": 1}', "line 2 is not UTF-8"),
    ],
)
def test_damaged_vocabulary(content, message, tmp_path):
    merges = write(tmp_path / "merges.txt", "")
    with pytest.raises(DataError, match=message) as caught:
        bpe.read_vocabulary(write(tmp_path / "vocab.json", content), merges)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="no-such-file cannot be read"):
        bpe.read_vocabulary(tmp_path / "no-such-file", tmp_path)


WORDS = {"lower": 6, "lowest": 4, "newer": 7, "wider": 3, "new": 9, "&amp;": 2, "@-@": 5, "ß": 1}


def test_learning_counts_and_merges_the_most_frequent_pair_first():
    vocabulary = bpe.learn(WORDS.items(), vocabulary_size=40)
    assert len(vocabulary.ids) == 40
    assert sorted(vocabulary.ids.values()) == list(range(40))
    assert {piece: vocabulary.ids[piece] for piece in SPECIAL} == SPECIAL
    assert "ß" not in vocabulary.ids  # seen once
    assert {"a", "a</w>", ";", ";</w>", "r", "r</w>"} <= set(vocabulary.ids)
    pairs: Counter[tuple[str, str]] = Counter()
    for word, count in WORDS.items():
        pieces = [*word[:-1], word[-1] + "</w>"]
        for pair in pairwise(pieces):
            pairs[pair] += count
    assert pairs[vocabulary.merges[0]] == max(pairs.values())
    assert all(first + second in vocabulary.ids for first, second in vocabulary.merges)


def test_learning_does_not_depend_on_order_nor_on_how_counts_are_given():
    words = [
        (f"{stem}{ending}", 2 + len(stem)) for stem in ("gen", "cyt", "lip") for ending in ("e", "ome", "oid", "osis")
    ]
    expected = bpe.learn(words, vocabulary_size=90)
    for seed in range(3):
        shuffled = [(word, 1) for word, count in words for _ in range(count)]
        random.Random(seed).shuffle(shuffled)
        assert bpe.learn(shuffled, vocabulary_size=90) == expected


def test_the_alphabet_is_limited_to_the_most_frequent_characters():
    vocabulary = bpe.learn({"aaab": 10, "abc": 5, "xyz": 2}.items(), vocabulary_size=20, alphabet_size=3)
    assert {piece for piece in vocabulary.ids if len(piece.removesuffix("</w>")) == 1} == {
        "a", "b", "c", "a</w>", "b</w>", "c</w>"
    }  # fmt: skip


@pytest.mark.parametrize(("words", "size"), [({}, 100), ({"abcdef": 5}, 10)])
def test_learning_needs_words_and_room(words, size):
    with pytest.raises(InputError, match=f"Cannot learn a vocabulary of {size} tokens"):
        bpe.learn(words.items(), vocabulary_size=size)
