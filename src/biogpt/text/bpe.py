"""Byte-pair encoding: the vocabulary (tokens and merges) in its file formats, and how one is learned from words.

A token that ends a word ends in `</w>`. Two formats are read: Hugging Face's `vocab.json` + `merges.txt`, and fairseq's
`dict.txt` + `bpecodes`, where `foo@@` is the token `foo` and `foo` the token `foo</w>`.
This module knows nothing of how text is split into words, and never imports torch.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from biogpt.errors import DataError, InputError

StrPath = str | PathLike[str]

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
"""The tokens with the ids 0 to 3: fairseq's begin, padding, end and unknown."""

VOCABULARY_FILE = "vocab.json"
MERGES_FILE = "merges.txt"

WORD_END = "</w>"


class Vocabulary(NamedTuple):
    """Tokens and merges."""

    ids: dict[str, int]
    """The id of each token."""
    merges: list[tuple[str, str]]
    """Pairs of tokens that become one, the first to be merged first."""


def read_vocabulary(vocabulary_path: StrPath, merges_path: StrPath) -> Vocabulary:
    """Read Hugging Face's layout.

    Args:
        vocabulary_path: JSON, token -> id.
        merges_path: two tokens a line (a third column, fairseq's count, is ignored).

    Raises:
        DataError: a file is damaged; the message names the line.
    """
    text = _read_text(vocabulary_path)
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise _damage(
            vocabulary_path, error.lineno, f"is not JSON ({error.msg})", "an object of tokens and ids"
        ) from None
    if not isinstance(pairs, _Pairs):
        raise _damage(vocabulary_path, 1, f"is a JSON {type(pairs).__name__}", "an object of tokens and ids")
    ids: dict[str, int] = {}
    seen: set[int] = set()
    for token, number in pairs:
        if type(number) is not int or number < 0:
            raise _damage(
                vocabulary_path, _line_of(text, token), f"gives {token!r} the id {number!r}", "a whole number"
            )
        if token in ids or number in seen:
            raise _damage(vocabulary_path, _line_of(text, token), f"repeats {token!r} or its id {number}", "each once")
        ids[token] = number
        seen.add(number)
    _require_special_tokens(vocabulary_path, ids)
    return Vocabulary(ids, _read_merges(merges_path))


def read_fairseq_vocabulary(dictionary_path: StrPath, codes_path: StrPath) -> Vocabulary:
    """Read fairseq's layout; the ids are the special tokens', then the dictionary's order.

    Args:
        dictionary_path: `token count` lines.
        codes_path: `token token count` lines.

    Raises:
        DataError: a file is damaged; the message names the line.
    """
    ids = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    for number, line in _lines(dictionary_path):
        name, _, count = line.rpartition(" ")
        if not name or not count.isdecimal():
            raise _damage(dictionary_path, number, f"is {line[:80]!r}", "'token count'")
        token = name.removesuffix("@@") if name.endswith("@@") else name + WORD_END
        if token in ids:
            raise _damage(dictionary_path, number, f"repeats the token {name!r}", "each once")
        ids[token] = len(ids)
    return Vocabulary(ids, _read_merges(codes_path))


def write_vocabulary(vocabulary: Vocabulary, directory: StrPath, prefix: str = "") -> tuple[Path, Path]:
    """Write Hugging Face's layout and return the two paths (vocabulary, merges); `prefix` begins the file names."""
    vocabulary_path = Path(directory) / (prefix + VOCABULARY_FILE)
    merges_path = Path(directory) / (prefix + MERGES_FILE)
    text = json.dumps(vocabulary.ids, indent=2, sort_keys=True, ensure_ascii=False)
    vocabulary_path.write_text(text + "\n", encoding="utf-8", newline="\n")
    lines = "".join(f"{first} {second}\n" for first, second in vocabulary.merges)
    merges_path.write_text(lines, encoding="utf-8", newline="\n")
    return vocabulary_path, merges_path


def learn(
    words: Iterable[tuple[str, int]],
    vocabulary_size: int,
    alphabet_size: int = 1000,
    min_character_count: int = 2,
    min_pair_count: int = 2,
) -> Vocabulary:
    """Learn a vocabulary. The same words give the same vocabulary, in whatever order they come.

    Args:
        words: Moses words and how often each occurs. A word may come more than once.
        vocabulary_size: how many tokens to have in all: the special tokens, the alphabet, one token per merge.
            Fewer, if the words do not give enough pairs.
        alphabet_size: how many different characters to have at most, the most frequent ones. Each makes two tokens,
            within a word and at its end. Others become `<unk>`.
        min_character_count: how often a character has to occur to be in the alphabet.
        min_pair_count: how often a pair has to occur to be merged.

    Raises:
        InputError: the vocabulary would have no room for the alphabet, or there are no words.
    """
    counts: Counter[str] = Counter()
    for word, count in words:
        counts[word] += count
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters, key=lambda character: (-characters[character], character))
    alphabet = sorted(character for character in ranked[:alphabet_size] if characters[character] >= min_character_count)
    # The trainer numbers tokens as it meets them and breaks ties by number, so they are all given to it beforehand,
    # sorted, as if they were special: only so does the outcome not depend on the order of its hash tables.
    tokens = [*SPECIAL_TOKENS, *alphabet, *(character + WORD_END for character in alphabet)]
    if not alphabet or len(tokens) > vocabulary_size:
        raise InputError(
            f"Cannot learn a vocabulary of {vocabulary_size} tokens: {len(alphabet)} different characters take"
            f" {len(tokens)} of them. Give words, and a larger vocabulary_size or a smaller alphabet_size."
        )
    tokenizer = Tokenizer(BPE(end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_pair_count,
        special_tokens=tokens,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeat(counts), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    ids = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    return Vocabulary(ids, [(first, second) for first, second in model["merges"]])


def _repeat(counts: Counter[str]) -> Iterator[str]:
    """Texts with each word as often as it counts: the trainer takes no counts."""
    for word in sorted(counts):
        remaining = counts[word]
        while remaining > 0:
            yield " ".join([word] * min(remaining, 10_000))
            remaining -= 10_000


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands in the file, repeated keys included."""


def _read_merges(path: StrPath) -> list[tuple[str, str]]:
    merges = []
    for number, line in _lines(path):
        columns = line.split()
        if len(columns) not in (2, 3) or (len(columns) == 3 and not columns[2].isdecimal()):
            raise _damage(path, number, f"is {line[:80]!r}", "two tokens, or two tokens and a count")
        merges.append((columns[0], columns[1]))
    return merges


def _lines(path: StrPath) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers from 1. The last has to end like the others, or it may be cut off."""
    lines = _read_text(path).split("\n")
    if lines[-1]:
        raise _damage(path, len(lines), "has no line end, so the file may be cut off", "a line end")
    yield from enumerate(lines[:-1], start=1)


def _read_text(path: StrPath) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path} cannot be read ({reason}); expected a vocabulary's file. Check the path.") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _damage(path, line, f"is not UTF-8 (byte {content[error.start]:#04x})", "UTF-8") from None


def _line_of(text: str, token: str) -> int:
    """The line on which a token stands (the last one, where it is repeated)."""
    place = max(text.rfind(json.dumps(token, ensure_ascii=ascii)) for ascii in (False, True))
    return text.count("\n", 0, max(place, 0)) + 1


def _require_special_tokens(path: StrPath, ids: dict[str, int]) -> None:
    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        raise DataError(
            f"{path} has no {missing[0]!r}; expected {', '.join(SPECIAL_TOKENS)}. Is it BioGPT's vocabulary?"
        )


def _damage(path: StrPath, line: int, got: str, expected: str) -> DataError:
    return DataError(f"{path}, line {line} {got}; expected {expected}. Get the file again.")
