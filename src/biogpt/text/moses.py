"""Moses words: text -> words with their places, exactly as Moses' English tokenizer splits and escapes them.

The reference is `sacremoses.MosesTokenizer("en").tokenize(text, aggressive_dash_splits=True, escape=True)`, word for
word. Its rules look only within a white-space separated chunk. Three exceptions become part of a chunk's key:

- a chunk that ends in a full stop: is the next chunk's first character a lower-case letter, a digit, or anything else;
- the first chunk of a text, if it starts with an apostrophe or a comma (rules that want a character before it);
- the last chunk of a text, if it ends with an apostrophe or a comma (rules that want a character after it).

So what a chunk becomes is remembered, and text is mostly looked up. A text with control characters (Moses drops them,
which may join chunks), with Moses' own marker in it, or with two apostrophes about white space is split as a whole.
This module knows nothing of pieces, ids or vocabularies, and never imports torch.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

from sacremoses import MosesTokenizer
from sacremoses.util import is_cjk


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
# Older Moses wrote some entities differently. The detokeniser reads both.
_OLD_CHARACTERS = {**_CHARACTERS, "&bar;": "|", "&bra;": "[", "&ket;": "]"}
del _OLD_CHARACTERS["@-@"], _OLD_CHARACTERS["."]
_ENTITY_OR_OLD = re.compile("|".join(_OLD_CHARACTERS))
_CURRENCY = re.compile(rf"[{_character_class(MosesTokenizer.IsSc)}(\[{{¿¡]+")
_PUNCTUATION = re.compile(r"[,.?!:;\\%}\])]+")
_QUOTE = re.compile("['\"„“`]+")
_STANDS_ALONE, _LEANS_LEFT, _LEANS_RIGHT, _QUOTES, _IS_CJK = range(5)
_habits: dict[str, int] = {}
_WHITE_SPACE = re.compile(r"\s+")
_JUNK = re.compile(r"[\x00-\x08\x0e-\x1b]")  # what Moses drops; \x09-\x0d and \x1c-\x1f are white space by then
# Moses' own stand-in for dots that belong together. What it does to a text that has the stand-in in it depends on the
# version of sacremoses, so sacremoses is asked.
_MARKER = "DOTMULTI"
_MARKER_OR_CHARACTER = re.compile(rf"(?:DOT)*{_MARKER}|\S")
# The white space between two apostrophes serves the rules of only one of them, so such chunks are not independent.
_TWO_APOSTROPHES = re.compile(r"'\s+'")

# What makes up a chunk's context in its key: where it stands, and what kind of character follows it after white space.
_FIRST, _LAST = "^", "$"
_LOWER, _DIGIT, _ELSE = "a", "0", "A"
# The key of a whole text. No chunk begins with white space.
_WHOLE = "\n"

MAX_REMEMBERED = 100
"""Longer keys (in characters) are not worth remembering: they hardly come again, and whole texts are among them."""

Value = TypeVar("Value")


def chunks_of(text: str) -> list[str]:
    """The parts of a text that can be split one by one: its white-space separated chunks, or the marked whole of it."""
    if _JUNK.search(text) or ("'" in text and _TWO_APOSTROPHES.search(text)) or _MARKER in text:
        return [_WHOLE + text]
    return text.split()


def look_up(
    chunks: list[str], bounds: Sequence[int], known: Mapping[str, Value]
) -> tuple[list[Value], dict[str, list[int]]]:
    """Find what is known of each chunk in its context.

    Args:
        chunks: an empty string, then the chunks of each text (`chunks_of`) and an empty string after them. Strings that
            begin with white space are keys already, and have no context.
        bounds: where in `chunks` each text begins, and the length of `chunks`.
        known: key -> value. It has to know the empty string.

    Returns:
        A value for each chunk, and the keys that are not known, each with the places where its value is missing.
    """
    values: list[Value] = list(map(known.get, chunks))  # type: ignore[arg-type]  # the caller fills in what is missing
    missing: dict[str, list[int]] = {}

    def look_closer(place: int) -> None:
        key = _key(chunks, place)
        value = known.get(key)
        if value is None:
            missing.setdefault(key, []).append(place)
        else:
            values[place] = value

    place = -1
    for _ in range(values.count(None)):  # type: ignore[arg-type]
        place = values.index(None, place + 1)  # type: ignore[arg-type]
        look_closer(place)
    for first, end in pairwise(bounds):
        last = end - 2
        if last >= first:
            # A bare chunk in the table is one with neighbours; at an end of a text these two may be something else.
            if chunks[first][0] in "',":
                look_closer(first)
            if chunks[last][-1] in "',":
                look_closer(last)
    return values, missing


def _key(chunks: list[str], place: int) -> str:
    """The chunk, and after a space whatever matters of its context."""
    chunk = chunks[place]
    if chunk[0].isspace():
        return chunk
    following = chunks[place + 1][:1]
    context = ""
    if chunk[0] in "'," and not chunks[place - 1]:
        context += _FIRST
    if chunk[-1] in "'," and not following:
        context += _LAST
    if chunk[-1] == ".":
        context += _LOWER if following in _LOWER_SET else _DIGIT if "0" <= following <= "9" else _ELSE
    return f"{chunk} {context}" if context else chunk


def split_key(key: str) -> list[Word]:
    """The words of what a key stands for: a chunk in its context, or a whole text."""
    return split_whole(key[1:]) if key[0] == _WHOLE else split_chunk(key)


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
    junk = {match.start() for match in _JUNK.finditer(text)}
    kept = [index for index in range(len(text)) if index not in junk]
    cleaned = _JUNK.sub("", text)
    starts, ends = [], []
    for match in _MARKER_OR_CHARACTER.finditer(cleaned):
        dots = match.group().count("DOT") or 1  # a marker is as many dots as it has DOTs
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
    chunks = [""]
    bounds = [1]
    for text in texts:
        chunks += chunks_of(text)
        chunks.append("")
        bounds.append(len(chunks))
    values, missing = look_up(chunks, bounds, _known_words)
    made = {key: [word.text for word in split_key(key)] for key in missing}
    for key, places in missing.items():
        for place in places:
            values[place] = made[key]
    if len(_known_words) > _MAX_KNOWN:
        _known_words.clear()
        _known_words[""] = []
    _known_words.update((key, words) for key, words in made.items() if len(key) <= MAX_REMEMBERED)
    return [list(chain.from_iterable(values[first:end])) for first, end in pairwise(bounds)]


def join_words(words: Iterable[str]) -> str:
    """The text that Moses' detokeniser makes of escaped words."""
    text = _ENTITY_OR_OLD.sub(_to_character, f" {' '.join(words)} ".replace(" @-@ ", "-"))
    parts: list[str] = []
    space = " "
    before = ""
    quotes: Counter[str] = Counter()
    for word in text.split():
        habit = _habits.get(word)
        if habit is None:
            habit = _note_habit(word)
        if habit == _STANDS_ALONE:
            parts += (space, word)
            space = " "
        elif habit == _LEANS_LEFT:
            parts.append(word)
            space = " "
        elif habit == _LEANS_RIGHT:
            parts += (space, word)
            space = ""
        elif habit == _QUOTES:
            # Opening and closing quotes alternate; an apostrophe after an s is a genitive's, and does not count.
            mark = '"' if word[0] in "„“" and set(word) <= {"„", "“"} else word
            if quotes[mark] % 2:
                parts.append(word)
                space = " "
                quotes[mark] += 1
            elif word == "'" and before.endswith("s"):
                parts.append(word)
                space = " "
            else:
                parts += (space, word)
                space = ""
                quotes[mark] += 1
        else:
            parts += (word,) if before and is_cjk(before[-1]) else (space, word)
            space = " "
        before = word
    return "".join(parts).strip()


def _note_habit(word: str) -> int:
    """How a word stands to its neighbours."""
    if is_cjk(word[0]):
        habit = _IS_CJK
    elif _CURRENCY.fullmatch(word):
        habit = _LEANS_RIGHT
    elif _PUNCTUATION.fullmatch(word) or (word[0] == "'" and word[1:2] in _ALPHA_SET):
        habit = _LEANS_LEFT
    elif _QUOTE.fullmatch(word):
        habit = _QUOTES
    else:
        habit = _STANDS_ALONE
    if len(_habits) > _MAX_KNOWN:
        _habits.clear()
    if len(word) <= MAX_REMEMBERED:
        _habits[word] = habit
    return habit


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


def _to_character(match: re.Match[str]) -> str:
    return _OLD_CHARACTERS[match.group()]


def _unescape(word: str) -> str:
    """The characters behind the entities. In Moses' output every ampersand begins one."""
    return _ENTITY.sub(lambda match: _CHARACTERS[match.group()], word)


_known_words: dict[str, list[str]] = {"": []}
_MAX_KNOWN = 500_000
