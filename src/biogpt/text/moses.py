"""Moses words: text -> words with their places, exactly as Moses' English tokenizer splits and escapes them.

The reference is `sacremoses.MosesTokenizer("en").tokenize(text, aggressive_dash_splits=True, escape=True)`, word for
word. Its rules look only within a white-space separated chunk. Three exceptions become part of a chunk's key:

- a chunk that ends in a full stop: is the next chunk's first character a lower-case letter, a digit, or anything else;
- the first chunk of a text, if it starts with an apostrophe or a comma (rules that want a character before it);
- the last chunk of a text, if it ends with an apostrophe or a comma (rules that want a character after it).

So what a chunk becomes is remembered, and text is mostly looked up; `ChunkMemo` does that for any value made of chunks.
This module knows nothing of pieces, ids or vocabularies, and never imports torch.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

from sacremoses import MosesTokenizer


class Word(NamedTuple):
    """One Moses word and the places of its characters."""

    text: str
    """The word as Moses writes it: `&apos;` for an apostrophe, `@-@` for a hyphen that splits a word."""
    starts: Sequence[int]
    """For each character of `text`, where in the source the character begins that it stands for."""
    ends: Sequence[int]
    """For each character of `text`, where in the source the character ends that it stands for."""


def _character_class(characters: str) -> str:
    """The inside of a regular expression's `[...]` that matches `characters`, as ranges."""
    codes = sorted({ord(character) for character in characters})
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)


# The character classes are sacremoses' own tables, not Python's: `isalnum` knows other characters.
_ALNUM = _character_class(MosesTokenizer.IsAlnum)
_ALPHA = _character_class(MosesTokenizer.IsAlpha)
_NUMBER = _character_class(MosesTokenizer.IsN)
_ALPHA_SET = frozenset(MosesTokenizer.IsAlpha)
_LOWER_SET = frozenset(MosesTokenizer.IsLower)
_REFERENCE = MosesTokenizer("en")
_NUMERIC_PREFIXES = frozenset(_REFERENCE.NUMERIC_ONLY_PREFIXES)
_PREFIXES = frozenset(_REFERENCE.NONBREAKING_PREFIXES) - _NUMERIC_PREFIXES

# Stand-ins while a chunk is taken apart. Moses drops both characters from its input, so none can come from there.
_SPLIT_HYPHEN = "\x00"
_JOINED_DOT = "\x01"

_PLAIN = re.compile(rf"[{_ALNUM}]+")
_OTHER = re.compile(rf"[^{_ALNUM}\s.'`,\-]")
_HYPHEN = re.compile(rf"(?<=[{_ALNUM}])-(?=[{_ALNUM}])")
_DOTS = re.compile(r"\.{2,}")
# A space goes where these match, one rule after the other. Each rule consumes the characters around the sign, as Moses'
# do: in `a'b'c` the second apostrophe is not seen because the first match took the b.
_COMMAS = [
    (re.compile(rf"([^{_NUMBER}]),"), r"\1 , "),
    (re.compile(rf",([^{_NUMBER}])"), r" , \1"),
    (re.compile(rf"([{_NUMBER}]),$"), r"\1 , "),
]
_APOSTROPHES = [
    (re.compile(rf"([^{_ALPHA}])'([^{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([^{_ALPHA}{_NUMBER}])'([{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([{_ALPHA}])'([^{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([{_ALPHA}])'([{_ALPHA}])"), r"\1 '\2"),
    (re.compile(rf"([{_NUMBER}])'(s)"), r"\1 '\2"),
]
_ENTITIES = {
    "&": "&amp;",
    "|": "&#124;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "[": "&#91;",
    "]": "&#93;",
    _SPLIT_HYPHEN: "@-@",
    _JOINED_DOT: ".",
}
_ESCAPABLE = re.compile("[" + re.escape("".join(_ENTITIES)) + "]")
_ENTITY = re.compile("&[a-z0-9#]+;")
_CHARACTERS = {entity: character for character, entity in _ENTITIES.items()}
_WHITE_SPACE = re.compile(r"\s+")
_JUNK = re.compile(r"[\x00-\x08\x0e-\x1b]")  # what Moses drops; \x09-\x0d and \x1c-\x1f are white space by then
# Moses' own stand-in for dots that belong together. What it does to a text that has the stand-in in it depends on the
# version of sacremoses, so sacremoses is asked.
_MARKER = "DOTMULTI"
_MARKER_OR_CHARACTER = re.compile(rf"(?:DOT)*{_MARKER}|\S")
# Texts with these are not a sequence of independent chunks: a dropped character may join chunks or leave none, and the
# white space between two apostrophes serves the rules of only one of them.
_ENTANGLED = re.compile(rf"{_JUNK.pattern}|'\s+'|{_MARKER}")

# What makes up a chunk's context in its key: where it stands, and what kind of character follows it after white space.
_FIRST, _LAST = "^", "$"
_LOWER, _DIGIT, _ELSE = "a", "0", "A"

Value = TypeVar("Value")


class ChunkMemo(Generic[Value]):
    """Remembers what is made of each chunk in its context.

    Args:
        make: turns keys (see `split_chunk`) into values, as many and in the same order.
        limit: how many values to keep. When there are more, all are forgotten.
    """

    def __init__(self, make: Callable[[list[str]], Sequence[Value]], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._values: dict[str, Value] = {}

    def look_up(self, batch: Iterable[list[str]]) -> list[list[Value]]:
        """The value of each chunk of each text.

        Args:
            batch: the chunks of each text, as `str.split` gives them; no text may be `is_entangled`.
        """
        known = self._values
        results: list[list[Value]] = []
        gaps: list[tuple[list[Value], int, str]] = []
        for chunks in batch:
            values: list[Value] = list(map(known.get, chunks))  # type: ignore[arg-type]  # the gaps are filled below
            results.append(values)
            for index in _context_places(chunks, values):
                key = _key(chunks, index)
                value = known.get(key)
                if value is None:
                    gaps.append((values, index, key))
                else:
                    values[index] = value
        if gaps:
            missing = list(dict.fromkeys(key for _, _, key in gaps))
            made = dict(zip(missing, self._make(missing), strict=True))
            for values, index, key in gaps:
                values[index] = made[key]
            if len(known) + len(made) > self._limit:
                known.clear()
            if len(made) <= self._limit:
                known.update(made)
        return results


def _context_places(chunks: list[str], values: Sequence[object]) -> list[int]:
    """Where the bare chunk does not do: not found (none is that ends in a full stop), or a special case at an end."""
    places = [index for index, value in enumerate(values) if value is None] if None in values else []
    if chunks:
        if chunks[0][0] in "',":
            places.append(0)
        if chunks[-1][-1] in "',":
            places.append(len(chunks) - 1)
    return places


def _key(chunks: list[str], index: int) -> str:
    """The chunk, and after a space whatever matters of its context."""
    chunk = chunks[index]
    is_last = index == len(chunks) - 1
    context = ""
    if index == 0 and chunk[0] in "',":
        context += _FIRST
    if is_last and chunk[-1] in "',":
        context += _LAST
    if chunk[-1] == ".":
        following = "" if is_last else chunks[index + 1][0]
        context += _LOWER if following in _LOWER_SET else _DIGIT if following and following in "0123456789" else _ELSE
    return f"{chunk} {context}" if context else chunk


def is_entangled(text: str) -> bool:
    """Whether `text` must be split as a whole (`split_whole`), because its chunks depend on each other."""
    return _ENTANGLED.search(text) is not None


def split_chunk(key: str) -> list[Word]:
    """The words of one chunk in its context, their places counted from the start of the chunk.

    Args:
        key: the chunk; if its context matters, followed by a space and the context.
    """
    chunk, _, context = key.partition(" ")
    if _PLAIN.fullmatch(chunk):
        return [Word(chunk, range(len(chunk)), range(1, len(chunk) + 1))]
    is_last = _LAST in context
    words = _space_out(chunk, _FIRST in context, is_last)
    words = _split_stops(words, is_last, context.strip(_FIRST + _LAST))
    return _place(words, range(len(chunk)), range(1, len(chunk) + 1))


def split_whole(text: str) -> list[Word]:
    """The words of any text, entangled ones too, their places counted from its start. Slower than by chunks."""
    kept = [index for index, character in enumerate(text) if not _JUNK.match(character)]
    cleaned = "".join(text[index] for index in kept)
    starts, ends = [], []
    for match in _MARKER_OR_CHARACTER.finditer(cleaned):
        dots = match.group().count("DOT") or 1
        starts += [kept[match.start()]] * dots
        ends += [kept[match.end() - 1] + 1] * dots
    if _MARKER in cleaned:
        escaped = _REFERENCE.tokenize(text, aggressive_dash_splits=True, escape=True)
        words = [word if word == "@-@" else _unescape(word) for word in escaped]
        words = [_SPLIT_HYPHEN if word == "@-@" else word for word in words]
    else:
        words = _space_out(_WHITE_SPACE.sub(" ", cleaned).strip(), True, True)
        words = _split_stops(words, True, "")
    return _place(words, starts, ends)


def split_words(texts: Sequence[str]) -> list[list[str]]:
    """The Moses words of each text, escaped: what BPE is learned on and applied to."""
    chunks = [[] if is_entangled(text) else text.split() for text in texts]
    words = [list(chain.from_iterable(values)) for values in _WORDS.look_up(chunks)]
    for index, text in enumerate(texts):
        if not chunks[index] and text:
            words[index] = [word.text for word in split_whole(text)]
    return words


def _space_out(text: str, is_first: bool, is_last: bool) -> list[str]:
    """Put spaces where Moses does, except before full stops, and cut there.

    Args:
        text: without white space at its ends; any inside is single spaces.
        is_first: whether the text starts here, rather than other words and white space coming before.
        is_last: likewise at its end.

    Returns:
        Unescaped words with stand-ins.
    """
    text = _OTHER.sub(r" \g<0> ", text)
    text = _HYPHEN.sub(f" {_SPLIT_HYPHEN} ", text)
    text = _DOTS.sub(_join_dots, text)
    text = ("" if is_first else " ") + text + ("" if is_last else " ")
    if "," in text:
        for rule, replacement in _COMMAS:
            text = rule.sub(replacement, text)
    if "'" in text:
        for rule, replacement in _APOSTROPHES:
            text = rule.sub(replacement, text)
    return text.split()


def _join_dots(match: re.Match[str]) -> str:
    return " " + _JOINED_DOT * len(match.group()) + " "


def _split_stops(words: list[str], is_last: bool, following: str) -> list[str]:
    """Cut the full stop off words that do not keep it; `following`: the first character after the last word, or ''."""
    split = []
    for index, word in enumerate(words):
        if len(word) > 1 and word[-1] == ".":
            after = words[index + 1][0] if index + 1 < len(words) else following
            if not _keeps_stop(word[:-1], after):
                split += [word[:-1], "."]
                continue
        split.append(word)
    if is_last and split and split[-1].endswith(".'"):
        before = split.pop()[:-2]
        split += [before, ".", "'"] if before else [".", "'"]
    return split


def _keeps_stop(prefix: str, following: str) -> bool:
    """Whether the full stop after `prefix` is a part of the word, before a word that begins with `following`."""
    if "." in prefix and not _ALPHA_SET.isdisjoint(prefix):
        return True
    if prefix in _PREFIXES or following in _LOWER_SET:
        return True
    return prefix in _NUMERIC_PREFIXES and "0" <= following <= "9"


def _place(words: Iterable[str], starts: Sequence[int], ends: Sequence[int]) -> list[Word]:
    """Escape words that together are, character by character, what stands at these places."""
    placed = []
    first = 0
    for word in words:
        last = first + len(word)
        word_starts, word_ends = starts[first:last], ends[first:last]
        if _ESCAPABLE.search(word):
            pieces = [_ENTITIES.get(character, character) for character in word]
            word_starts = [start for piece, start in zip(pieces, word_starts, strict=True) for _ in piece]
            word_ends = [end for piece, end in zip(pieces, word_ends, strict=True) for _ in piece]
            placed.append(Word("".join(pieces), word_starts, word_ends))
        else:
            placed.append(Word(word, word_starts, word_ends))
        first = last
    return placed


def _unescape(word: str) -> str:
    """The characters behind the entities. In Moses' output every ampersand begins one."""
    return _ENTITY.sub(lambda match: _CHARACTERS[match.group()], word)


_WORDS: ChunkMemo[list[str]] = ChunkMemo(
    lambda keys: [[word.text for word in split_chunk(key)] for key in keys], 500_000
)
