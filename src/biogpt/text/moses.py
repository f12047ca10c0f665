"""Moses words: text -> words with their places, exactly as Moses' English tokenizer splits and escapes them.

The reference is `sacremoses.MosesTokenizer("en").tokenize(text, aggressive_dash_splits=True, escape=True)`, word for
word. Its rules look only within a white-space separated chunk. Three exceptions become part of a chunk's key:

- a chunk that ends in a full stop: is the next chunk's first character a lower-case letter, a digit, or anything else;
- the first chunk of a text, if it starts with an apostrophe or a comma (rules that want a character before it);
- the last chunk of a text, if it ends with an apostrophe or a comma (rules that want a character after it).

So what a chunk becomes is remembered, and text is mostly looked up. A text with control characters (Moses drops them,
which may join chunks), with Moses' own marker in it, or with two apostrophes about white space is split as a whole.
This module knows nothing of tokens, ids or vocabularies, and never imports torch. sacremoses takes half a second to
import: its tables are in `moses_tables.py`, and it is imported for the rare text that needs more.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise, takewhile
from typing import Any, NamedTuple, cast

from biogpt.text import moses_tables


class Word(NamedTuple):
    """One Moses word and the places of its characters."""

    text: str
    """The word as Moses writes it: `&apos;` for an apostrophe, `@-@` for a hyphen that splits a word."""
    starts: Sequence[int]
    """For each character of `text`, where in the source the character begins that it stands for."""
    ends: Sequence[int]
    """For each character of `text`, where in the source the character ends that it stands for."""


def _ranges(table: str) -> list[range]:
    """The code points of a table in `moses_tables`."""
    pairs = [part.partition("-") for part in table.split()]
    return [range(int(first, 16), int(last or first, 16) + 1) for first, _, last in pairs]


def _character_class(table: str) -> str:
    """The inside of a regular expression's `[...]` that matches the characters of a table."""
    return "".join(rf"\U{each[0]:08x}-\U{each[-1]:08x}" for each in _ranges(table))


# The character classes are sacremoses' own tables, not Python's: `isalnum` knows other characters.
_ALNUM = _character_class(moses_tables.ALNUM)
_ALPHA = _character_class(moses_tables.ALPHA)
_NUMBER = _character_class(moses_tables.NUMBER)
_LOWER_SET = frozenset(map(chr, chain.from_iterable(_ranges(moses_tables.LOWER))))
_NUMERIC_PREFIXES = frozenset(moses_tables.NUMERIC_PREFIXES.split())
_PREFIXES = frozenset(moses_tables.PREFIXES.split())

# Moses drops these characters from its input, so here they can stand for something else: a hyphen that splits a word, a
# dot that is not alone, and the ends of chunks.
SPLIT_HYPHEN = "\x00"
JOINED_DOT = "\x01"
MARKS = "\x02\x03\x04"
_MARK_CLASS = re.escape(MARKS)

_OTHER = re.compile(rf"([^{_ALNUM}\s.'`,\-{_MARK_CLASS}])")
# Here and below the sign comes first and then what stands about it, because that is what `re` searches fast.
_HYPHEN = re.compile(rf"-(?<=[{_ALNUM}]-)(?=[{_ALNUM}])")
_LETTER = re.compile(f"[{_ALPHA}]")
_DOTS = re.compile(r"\.{2,}")
# A space goes where these match, one rule after the other. Each rule consumes the characters around the sign, as Moses'
# do: in `a'b'c` the second apostrophe is not seen because the first match took the b.
_COMMAS = [
    (re.compile(rf"([^{_NUMBER}]),"), r"\1 , "),
    (re.compile(rf",([^{_NUMBER}])"), r" , \1"),
    (re.compile(rf"([{_NUMBER}]),$"), r"\1 , "),
]
# The same for chunks between others without two commas in a row, where consuming makes no difference.
_LOOSE_COMMA = re.compile(rf",(?:(?<=[^{_NUMBER}],)|(?=[^{_NUMBER}]))")
_STOP = re.compile(r"\.(?= +(\S))")
_APOSTROPHES = [
    (re.compile(rf"([^{_ALPHA}])'([^{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([^{_ALPHA}{_NUMBER}])'([{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([{_ALPHA}])'([^{_ALPHA}])"), r"\1 ' \2"),
    (re.compile(rf"([{_ALPHA}])'([{_ALPHA}])"), r"\1 '\2"),
    (re.compile(rf"([{_NUMBER}])'(s)"), r"\1 '\2"),
]
ENTITIES = {
    "&": "&amp;",
    "|": "&#124;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "[": "&#91;",
    "]": "&#93;",
    SPLIT_HYPHEN: "@-@",
    JOINED_DOT: ".",
}
_ESCAPABLE = re.compile("[" + re.escape("".join(ENTITIES)) + "]")
_ENTITY = re.compile("&[a-z0-9#]+;")
_CHARACTERS = {entity: character for character, entity in ENTITIES.items()}
# Older Moses wrote some entities differently. The detokeniser reads both.
_OLD_CHARACTERS = {**_CHARACTERS, "&bar;": "|", "&bra;": "[", "&ket;": "]"}
del _OLD_CHARACTERS["@-@"], _OLD_CHARACTERS["."]
_ENTITY_OR_OLD = re.compile("|".join(_OLD_CHARACTERS))
_CURRENCY = _character_class(moses_tables.CURRENCY)
_OPENING = re.compile(rf"[{_CURRENCY}(\[{{¿¡]+")
_CLOSING = re.compile(rf"[,.?!:;\\%}}\])]+|'[{_ALPHA}].*")
_QUOTE = re.compile("['\"„“`]+")
# The same in a text with a space on each side of each word.
_NEEDLESS_SPACE = re.compile(rf" (?:(?=[,.?!:;\\%}}\])]+ |'[{_ALPHA}])|(?<= [{_CURRENCY}(\[{{¿¡] ))")
_QUOTE_OR_OPENINGS = re.compile(rf" (?:['\"„“`]+|[{_CURRENCY}(\[{{¿¡]{{2,}}) ")
_CJK = re.compile(f"[{_character_class(moses_tables.CJK)}]")
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
_AT_START, _AT_END = f" {_FIRST}", f" {_LAST}"
_LOWER, _DIGIT, _ELSE = "a", "0", "A"
_OTHER_KIND = f" {_ELSE}"
_KINDS = {**dict.fromkeys(_LOWER_SET, f" {_LOWER}"), **dict.fromkeys("0123456789", f" {_DIGIT}")}
_MARK_OF = dict(zip((_ELSE, _LOWER, _DIGIT), MARKS, strict=True))
_CONTEXT_OF = {mark: context for context, mark in _MARK_OF.items()}
# The key of a whole text. No chunk begins with white space.
_WHOLE = "\n"

MAX_REMEMBERED = 100
"""Longer keys (in characters) are not worth remembering: they hardly come again, and whole texts are among them."""


def chunks_of(text: str) -> list[str]:
    """The parts of a text that can be split one by one: its white-space separated chunks, or the marked whole of it."""
    if _JUNK.search(text) or ("'" in text and _TWO_APOSTROPHES.search(text)) or _MARKER in text:
        return [_WHOLE + text]
    return text.split()


def keys_of(chunks: list[str], bounds: Sequence[int], unknown: Sequence[int]) -> dict[int, str]:
    """What to look up in place of bare chunks, which stand for chunks between others and without a full stop.

    Args:
        chunks: an empty string, then the chunks of each text (`chunks_of`) and an empty string after them. Strings that
            begin with white space are keys already.
        bounds: where in `chunks` each text begins, and the length of `chunks`.
        unknown: places of chunks that are not known as they stand; among them all that end in a full stop.

    Returns:
        Places in `chunks`, these and those at the ends of texts where that makes a difference, with their keys.
    """
    keys = {place: _key_within(chunks[place], chunks[place + 1]) for place in unknown}
    for first, end in pairwise(bounds):
        last = end - 2
        if last >= first:
            if chunks[first][0] in "',":
                keys[first] = _key(chunks, first)
            if chunks[last][-1] in "',":
                keys[last] = _key(chunks, last)
    return keys


def _key_within(chunk: str, following: str) -> str:
    """The key of a chunk that is no special case at an end of its text."""
    if chunk[-1] == "." and chunk[0] > " ":
        return chunk + _KINDS.get(following[:1], _OTHER_KIND)
    return chunk


def _key(chunks: list[str], place: int) -> str:
    """The key of a chunk, and after a space whatever matters of its context."""
    chunk, following = chunks[place : place + 2]
    key = _key_within(chunk, following)
    if chunk[0] <= " ":
        return key
    context = _FIRST if chunk[0] in "'," and not chunks[place - 1] else ""
    context += _LAST if chunk[-1] in "'," and not following else ""
    return f"{chunk} {context}{key[len(chunk) + 1 :]}" if context else key


def width(key: str) -> int:
    """How many characters what a key stands for has."""
    return len(key) - 1 if key[0] == _WHOLE else len(key.partition(" ")[0])


def split_key(key: str) -> list[Word]:
    """The words of what a key stands for: a chunk in its context, or a whole text."""
    return split_whole(key[1:]) if key[0] == _WHOLE else split_chunk(key)


def is_plain(key: str) -> bool:
    """Whether `split_plain` may be used: the key is of a chunk with neither apostrophes nor two commas in a row."""
    return not ("'" in key or ",," in key or key[0] <= " " or _AT_START in key or _AT_END in key)


def split_plain(keys: Sequence[str]) -> list[str]:
    """The words of many chunks that are `is_plain`, in a tenth of the time of one by one.

    Returns:
        For each key its words, as they stand in the chunk (so without entities), and then one of MARKS. Together the
        words are the chunk's characters; SPLIT_HYPHEN and JOINED_DOT stand for some of them.
    """
    text = " ".join([key[:-1] + _MARK_OF[key[-1]] if " " in key else f"{key} {MARKS[0]}" for key in keys])
    text = f" {text} "
    text = " ".join(_OTHER.split(text))
    text = _HYPHEN.sub(f" {SPLIT_HYPHEN} ", text)
    text = _DOTS.sub(_join_dots, text)
    text = _LOOSE_COMMA.sub(" , ", text)
    text = _STOP.sub(_cut_stop, text)
    return text.split()


def _cut_stop(match: re.Match[str]) -> str:
    """A full stop at a word's end, cut off where it is no part of the word."""
    text, place = match.string, match.start()
    prefix = text[text.rfind(" ", 0, place) + 1 : place]
    following = match.group(1)
    return "." if not prefix or _keeps_stop(prefix, _CONTEXT_OF.get(following, following)) else " ."


def split_chunk(key: str) -> list[Word]:
    """The words of one chunk in its context, their places counted from the start of the chunk.

    Args:
        key: the chunk; if its context matters, followed by a space and the context.
    """
    chunk, _, context = key.partition(" ")
    is_last = _LAST in context
    words = _split_stops(_space_out(chunk, _FIRST in context, is_last), is_last, context.strip(_FIRST + _LAST))
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
        escaped = _load_reference().tokenize(text, aggressive_dash_splits=True, escape=True)
        words = [word if word == "@-@" else _unescape(word) for word in escaped]
        words = [SPLIT_HYPHEN if word == "@-@" else word for word in words]
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
    known = _known_words
    values = list(map(known.get, chunks))
    keys = keys_of(chunks, bounds, [place for place, value in enumerate(values) if value is None])
    made = _split_all([key for key in dict.fromkeys(keys.values()) if key not in known])
    for place, key in keys.items():
        values[place] = made[key] if key in made else known[key]
    if len(known) > _MAX_KNOWN:
        known.clear()
        known[""] = []
    known.update((key, words) for key, words in made.items() if len(key) <= MAX_REMEMBERED)
    filled = cast(list[list[str]], values)
    return [list(chain.from_iterable(filled[first:end])) for first, end in pairwise(bounds)]


def _split_all(keys: list[str]) -> dict[str, list[str]]:
    """The escaped words of each key."""
    made = {key: [word.text for word in split_key(key)] for key in keys if not is_plain(key)}
    plain = [key for key in keys if key not in made]
    words = iter(split_plain(plain))
    for key in plain:
        made[key] = [escape(word) for word in takewhile(lambda word: word not in MARKS, words)]
    return made


def join_words(words: Iterable[str]) -> str:
    """The text that Moses' detokeniser makes of escaped words."""
    return join_spaced(" ".join(words))


def join_spaced(words: str) -> str:
    """As `join_words`, for words with one space between them and no other white space."""
    text = _unescape_spaced(words)
    if _QUOTE_OR_OPENINGS.search(text) or not (text.isascii() or not _CJK.search(text)):
        return Joiner().join(text.split()).strip()
    return _NEEDLESS_SPACE.sub("", text).strip()


def _unescape_spaced(words: str) -> str:
    """Words with a space on each side: joined by their hyphens, without entities."""
    text = f" {words} ".replace(" @-@ ", "-")
    return _ENTITY_OR_OLD.sub(_to_character, text) if "&" in text else text


class Joiner:
    """Does what `join_words` does, some words at a time.

    A word's space depends on the word, the one before it, and how many quotes of its kind came before: this is what is
    remembered, so that no word is joined twice.

    Example:
        >>> joiner = Joiner()
        >>> joiner.add(["the", "&quot;", "effect"]), joiner.add(["&quot;", "of"])
        (' the "effect', '" of')
    """

    def __init__(self) -> None:
        self._space = " "
        self._before = ""
        self._quotes: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> str:
        """The text of the next escaped words, with the space before them, which the first words have, too.

        Args:
            words: not cut beside a hyphen that joins words (`@-@`).
        """
        return self.join(_unescape_spaced(" ".join(words)).split())

    def join(self, words: Iterable[str]) -> str:
        """As `add`, for words without entities, joined by their hyphens already."""
        parts: list[str] = []
        space, before, quotes = self._space, self._before, self._quotes
        for word in words:
            if _is_cjk(word[0]):
                parts += (word,) if before and _is_cjk(before[-1]) else (space, word)
                space = " "
            elif _OPENING.fullmatch(word):
                parts += (space, word)
                space = ""
            elif _CLOSING.fullmatch(word):
                parts.append(word)
                space = " "
            elif _QUOTE.fullmatch(word):
                # Opening and closing quotes alternate; an apostrophe after an s is a genitive's, and does not count.
                mark = '"' if set(word) <= {"„", "“"} else word
                if quotes[mark] % 2 == 1:
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
                parts += (space, word)
                space = " "
            before = word
        self._space, self._before = space, before
        return "".join(parts)


def _space_out(text: str, is_first: bool, is_last: bool) -> list[str]:
    """Put spaces where Moses does, except before full stops, and cut there.

    Args:
        text: without white space at its ends; any inside is single spaces.
        is_first: whether the text starts here, rather than other words and white space coming before.
        is_last: likewise at its end.

    Returns:
        Unescaped words with stand-ins.
    """
    text = " ".join(_OTHER.split(text))
    text = _HYPHEN.sub(f" {SPLIT_HYPHEN} ", text)
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
    return " " + JOINED_DOT * len(match.group()) + " "


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
    if "." in prefix and _LETTER.search(prefix):
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
        text = escape(word)
        if len(text) == len(word):  # without entities
            placed.append(Word(text, starts[first:last], ends[first:last]))
            first = last
            continue
        widths = [len(ENTITIES.get(character, character)) for character in word]
        word_starts = [start for start, width in zip(starts[first:last], widths, strict=True) for _ in range(width)]
        word_ends = [end for end, width in zip(ends[first:last], widths, strict=True) for _ in range(width)]
        placed.append(Word(text, word_starts, word_ends))
        first = last
    return placed


def escape(word: str) -> str:
    """The word with entities, and without stand-ins."""
    return _ESCAPABLE.sub(_to_entity, word)


@functools.cache
def _load_reference() -> Any:
    """sacremoses' tokenizer."""
    from sacremoses import MosesTokenizer

    return MosesTokenizer("en")


def _is_cjk(character: str) -> bool:
    if not _CJK.match(character):
        return False
    from sacremoses.util import is_cjk  # its releases differ about the first and the last character of a range

    return bool(is_cjk(character))


def _to_entity(match: re.Match[str]) -> str:
    return ENTITIES[match.group()]


def _to_character(match: re.Match[str]) -> str:
    return _OLD_CHARACTERS[match.group()]


def _unescape(word: str) -> str:
    """The characters behind the entities. In Moses' output every ampersand begins one."""
    return _ENTITY.sub(lambda match: _CHARACTERS[match.group()], word)


_known_words: dict[str, list[str]] = {"": []}
_MAX_KNOWN = 500_000
