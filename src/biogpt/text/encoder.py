"""Texts -> ids with their places, many at once: Moses words, then BPE, remembered by white-space chunk.

Most chunks of a text have been seen before. What became of a chunk is a row of a table; encoding a batch is looking up
the rows of its chunks and, with numpy, laying out their tokens one after the other. Only new chunks go through Moses'
rules and BPE, all new ones of a batch together. The tables are bounded: when they are full they are emptied.
This module knows nothing of what special tokens mean, of padding or of truncation, and never imports torch.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import chain, count, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE

from biogpt.text import moses
from biogpt.text.bpe import WORD_END, Vocabulary

Array = NDArray[np.int64]

_NOT_SPACE = re.compile(r"\S+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_TOKEN = "\x00"  # no vocabulary has it, as Moses drops it; stands for lone surrogates, which UTF-8 lacks
_ADDED = " "  # what the key of an added token begins with, as no chunk does
_BATCH_CHARACTERS = 200_000
_COMMON_START, _COMMON_WIDTH = 4096, 32  # characters; most tokens begin and are within that
_FEW = 500  # tokens, for which the detour by ready-made pairs does not pay


class Segment(NamedTuple):
    """A part of a document that is encoded on its own."""

    text: str
    start: int = 0
    """Where the part begins in the document."""
    word: int = 0
    """Its number, where the document came as words."""
    added_id: int | None = None
    """The id of the part, if it is an added token as it stands."""


Article = str | Sequence[Segment]
"""A text, or its parts: in order, without overlap."""


class Tokens:
    """The tokens of several documents, in lists; document `i` has those from `bounds[i]` to `bounds[i + 1]`.

    Args:
        table: knows the tokens of chunks.
        rows: where in the table the chunks are. A row of no tokens comes before each segment and at the end.
        segments: what the documents consist of.
        segment_bounds: where in `rows` each segment begins, and the length of `rows`.
        document_places: where in `rows` each document begins and the last ends: at the row before its first segment.
        has_words: whether segments are words, in which places are counted.
    """

    def __init__(
        self,
        table: "_Table",
        rows: Array,
        segments: list[str | Segment],
        segment_bounds: list[int],
        document_places: Array,
        has_words: bool,
    ) -> None:
        self._places, self._counts, before = table.spread(rows)
        self._table, self._rows, self._segments, self._segment_bounds = table, rows, segments, segment_bounds
        self._document_places, self._has_words = document_places, has_words
        self.bounds: list[int] = _to_list(before[document_places])
        self.ids: list[int] = _to_list(table.ids[self._places])

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """For each token the place in its document of the characters that it stands for: first, and after the last."""
        shifts = _chunk_starts(self._table.widths[self._rows], self._segments, self._segment_bounds)
        shifts = shifts.repeat(self._counts)
        starts = self._table.starts[self._places] + shifts
        ends = self._table.ends[self._places] + shifts
        if starts.size < _FEW:
            return list(zip(starts.tolist(), ends.tolist(), strict=True))
        widths = ends - starts
        pairs = _common_pairs()[np.minimum(starts, _COMMON_START - 1), np.minimum(widths, _COMMON_WIDTH - 1)]
        offsets: list[tuple[int, int]] = pairs.tolist()
        rare = ((starts >= _COMMON_START) | (widths >= _COMMON_WIDTH)).nonzero()[0]
        for place, start, end in zip(rare.tolist(), starts[rare].tolist(), ends[rare].tolist(), strict=True):
            offsets[place] = start, end
        return offsets

    @cached_property
    def words(self) -> list[int]:
        """For each token the number of its word in the document."""
        if self._has_words:
            numbers = [0, *(0 if isinstance(segment, str) else segment.word for segment in self._segments)]
            sizes = np.diff(self._segment_bounds, prepend=0)
            return _to_list(np.array(numbers).repeat(sizes).repeat(self._counts))
        num_words = self._table.num_words[self._rows]
        before = _sum_before(num_words)
        sizes = np.diff(self._document_places, append=len(self._rows))
        before -= before[self._document_places].repeat(sizes)
        return _to_list(self._table.words[self._places] + before.repeat(self._counts))


class Encoder:
    """Encodes documents with one vocabulary.

    Args:
        vocabulary: tokens and merges.
        unknown_id: the id of what the vocabulary lacks.
        max_remembered: how many chunks and how many tokens their table may hold (about 170 bytes a token, all told).
    """

    def __init__(self, vocabulary: Vocabulary, unknown_id: int, max_remembered: int = 1_000_000) -> None:
        self._arguments = vocabulary, unknown_id, max_remembered
        ids, merges = vocabulary
        # Some merges make tokens that the vocabulary lacks. They take part in merging, so they get ids past its end
        # here, and become the unknown id afterwards.
        end = max(ids.values()) + 1
        lacking = dict.fromkeys(token for pair in merges for token in (*pair, "".join(pair)) if token not in ids)
        every_id = {**ids, **dict(zip(lacking, count(end)))}
        model = BPE(vocab=every_id, merges=merges, end_of_word_suffix=WORD_END, unk_token="<unk>", fuse_unk=False)
        self._merger = Tokenizer(model)
        # The id and the number of characters of each token that merging gives. An unknown one is always one character.
        self._final_ids: Array = np.arange(end + len(lacking))
        self._final_ids[end:] = unknown_id
        self._widths: Array = np.ones(end + len(lacking), np.int64)
        self._widths[list(every_id.values())] = [len(token.removesuffix(WORD_END)) for token in every_id]
        self._final_ids[ids["<unk>"]] = unknown_id
        self._widths[ids["<unk>"]] = 1
        self._max_remembered = max_remembered
        self._lock = threading.Lock()
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder, self._arguments

    def encode(self, documents: Iterable[Article], has_words: bool = False) -> Iterator[Tokens]:
        """Encode documents, in batches of a convenient size.

        Args:
            documents: texts, or their parts.
            has_words: whether the parts are words; places are then counted in each word.
        """
        for some in _batches(documents):
            with self._lock:
                try:
                    tokens = self._encode(some, has_words)
                except BaseException:
                    self._forget()  # the tables may be half-written
                    raise
            yield tokens

    def _encode(self, documents: Sequence[Article], has_words: bool) -> Tokens:
        segments: list[str | Segment] = []
        chunks = [""]
        segment_bounds = [1]
        document_places = [0]
        for document in documents:
            for segment in (document,) if isinstance(document, str) else document:
                if isinstance(segment, str):
                    chunks += moses.chunks_of(segment)
                elif segment.added_id is None:
                    chunks += moses.chunks_of(segment.text)
                else:
                    chunks.append(f"{_ADDED}{segment.added_id} {segment.text}")
                segments.append(segment)
                chunks.append("")
                segment_bounds.append(len(chunks))
            document_places.append(len(chunks) - 1)
        rows = self._look_up(chunks, segment_bounds)
        return Tokens(self._chunks, rows, segments, segment_bounds, np.array(document_places), has_words)

    def _look_up(self, chunks: list[str], bounds: list[int]) -> Array:
        """The row of each chunk in the table; new rows are made as needed."""
        if max(self._chunks.ids.size, len(self._chunks.rows)) > self._max_remembered:  # some have no tokens
            self._forget()
        known = self._chunks.rows
        rows = np.fromiter(map(known.get, chunks, repeat(-1)), np.int64, len(chunks))
        keys = moses.keys_of(chunks, bounds, (rows < 0).nonzero()[0].tolist())
        plain: list[str] = []
        others: list[str] = []
        for key in dict.fromkeys(keys.values()):
            if key not in known:
                (plain if moses.is_plain(key) else others).append(key)
        self._add_plain(plain)
        self._add_others(others)
        places = np.fromiter(keys, np.int64, len(keys))
        rows[places] = np.fromiter(map(known.__getitem__, keys.values()), np.int64, len(keys))
        for key in chain(plain, others):
            if len(key) > moses.MAX_REMEMBERED:
                del known[key]
        return rows

    def _forget(self) -> None:
        """Empty the tables, but for the empty string between texts and the marks between chunks."""
        self._chunks = _Table([""])
        self._words = _Table(moses.MARKS)

    def _add_plain(self, keys: list[str]) -> None:
        """Add plain chunks to the table, all at once."""
        if not keys:
            return
        words = moses.split_plain(keys)
        self._add_words(words)
        rows = np.fromiter(map(self._words.rows.__getitem__, words), np.int64, len(words))
        marks = (rows < len(moses.MARKS)).nonzero()[0]
        firsts = np.zeros_like(marks)  # of chunks, in words
        firsts[1:] = marks[:-1] + 1
        sizes = marks + 1 - firsts  # of chunks, in words, the mark included
        widths = self._words.widths[rows]
        starts = _sum_before(widths)
        starts -= starts[firsts].repeat(sizes)
        numbers = np.arange(len(words)) - firsts.repeat(sizes)
        places, counts, before = self._words.spread(rows)
        shifts = starts.repeat(counts)
        self._chunks.add(
            keys,
            widths=starts[marks],
            num_words=sizes - 1,
            counts=before[marks] - before[firsts],
            ids=self._words.ids[places],
            starts=self._words.starts[places] + shifts,
            ends=self._words.ends[places] + shifts,
            words=numbers.repeat(counts),
        )

    def _add_others(self, keys: list[str]) -> None:
        """Add chunks to the table that are not plain, whole texts, and added tokens."""
        if not keys:
            return
        split = {key: moses.split_key(key) for key in keys if key[0] != _ADDED}
        self._add_words(word.text for words in split.values() for word in words)
        for key in keys:
            if key[0] == _ADDED:
                _, added_id, token = key.split(_ADDED, 2)
                self._chunks.add([key], [len(token)], [1], [1], [int(added_id)], [0], [len(token)], [0])
                continue
            words = split[key]
            rows = np.fromiter((self._words.rows[word.text] for word in words), np.int64, len(words))
            places, counts, _ = self._words.spread(rows)
            numbers = np.arange(len(words)).repeat(counts).tolist()
            firsts = zip(numbers, self._words.starts[places].tolist(), strict=True)
            lasts = zip(numbers, (self._words.ends[places] - 1).tolist(), strict=True)
            self._chunks.add(
                [key],
                widths=[moses.width(key)],
                num_words=[len(words)],
                counts=[len(numbers)],
                ids=self._words.ids[places],
                starts=[words[number].starts[first] for number, first in firsts],
                ends=[words[number].ends[last] for number, last in lasts],
                words=numbers,
            )

    def _add_words(self, words: Iterable[str]) -> None:
        """Add words to their table that it lacks: as `split_plain` gives them, or with entities."""
        new = [word for word in dict.fromkeys(words) if word not in self._words.rows]
        if not new:
            return
        texts = [moses.ENTITIES.get(word) or word.replace(moses.JOINED_DOT, ".") for word in new]
        texts = [text if text.isascii() else _SURROGATE.sub(_NO_TOKEN, text) for text in texts]
        encoding = self._merger.encode(texts, is_pretokenized=True, add_special_tokens=False)
        ids = np.array(encoding.ids, np.int64)
        counts = np.bincount(np.array(encoding.word_ids, np.int64), minlength=len(new))
        widths = self._widths[ids]
        starts = _sum_before(widths)
        ends = starts + widths
        shifts = starts[_sum_before(counts)].repeat(counts)
        starts -= shifts
        ends -= shifts
        if not moses.ENTITIES.keys().isdisjoint(new):
            # All tokens of an entity stand for the one character that it was.
            are_entities = np.array([word in moses.ENTITIES for word in new]).repeat(counts)
            starts[are_entities] = 0
            ends[are_entities] = 1
        self._words.add(
            new,
            widths=list(map(len, new)),
            num_words=[1] * len(new),
            counts=counts,
            ids=self._final_ids[ids],
            starts=starts,
            ends=ends,
            words=[0] * len(ids),
        )


Numbers = Sequence[int] | Array


class _Table:
    """Texts (chunks or words) with their tokens.

    Args:
        separators: what stands between texts. They come first, and have no tokens.
    """

    def __init__(self, separators: Sequence[str]) -> None:
        self.rows: dict[str, int] = {}
        # One entry a text.
        self.widths: _Column = _Column()
        self.num_words: _Column = _Column()
        self._firsts, self._counts = _Column(), _Column()
        # One entry a token.
        self.ids: _Column = _Column()
        self.starts: _Column = _Column()
        self.ends: _Column = _Column()
        self.words: _Column = _Column()
        zeros = [0] * len(separators)
        self.add(separators, zeros, zeros, zeros, [], [], [], [])

    def add(
        self,
        texts: Sequence[str],
        widths: Numbers,
        num_words: Numbers,
        counts: Numbers,
        ids: Numbers,
        starts: Numbers,
        ends: Numbers,
        words: Numbers,
    ) -> None:
        """Add texts: how many characters, words and tokens each has, and then of each token what it is and where."""
        self.rows.update(zip(texts, count(self.widths.size)))
        self.widths.extend(widths)
        self.num_words.extend(num_words)
        counts = np.array(counts, np.int64)
        self._firsts.extend(self.ids.size + _sum_before(counts))
        self._counts.extend(counts)
        self.ids.extend(ids)
        self.starts.extend(starts)
        self.ends.extend(ends)
        self.words.extend(words)

    def spread(self, rows: Array) -> tuple[Array, Array, Array]:
        """Where the tokens of the texts in these rows are, how many each has, and how many come before each."""
        counts = self._counts[rows]
        before = _sum_before(counts)
        places = (self._firsts[rows] - before).repeat(counts)
        places += np.arange(places.size)
        return places, counts, before


class _Column:
    """An array that grows at its end."""

    def __init__(self) -> None:
        self.size: int = 0
        self._values: Array = np.zeros(1024, np.int64)

    def extend(self, values: Numbers) -> None:
        size = self.size + len(values)
        if size > self._values.size:
            self._values = np.concatenate([self._values, np.zeros(size, np.int64)])
        self._values[self.size : size] = values
        self.size = size

    def __getitem__(self, places: Array) -> Array:
        return self._values[places]


@cache
def _common_pairs() -> NDArray[np.object_]:
    """The tuples (start, start + width), ready made: looking them up takes a tenth of the time of making them anew."""
    numbers = list(range(_COMMON_START + _COMMON_WIDTH))
    pairs = ((start, end) for start in numbers[:_COMMON_START] for end in numbers[start : start + _COMMON_WIDTH])
    return np.fromiter(pairs, np.object_, _COMMON_START * _COMMON_WIDTH).reshape(_COMMON_START, _COMMON_WIDTH)


def _to_list(numbers: Array) -> list[int]:
    as_list: list[int] = numbers.tolist()
    return as_list


def _sum_before(numbers: Array) -> Array:
    """For each number the sum of those before it."""
    sums: Array = np.add.accumulate(numbers)  # half the time of `cumsum`, where there are few
    return sums - numbers


def _batches(documents: Iterable[Article]) -> Iterator[list[Article]]:
    """Documents by the handful: enough for numpy to pay, few enough to stay in the processor's cache."""
    batch: list[Article] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document) if isinstance(document, str) else sum(len(segment.text) for segment in document)
        if characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _chunk_starts(widths: Array, segments: list[str | Segment], bounds: list[int]) -> Array:
    """Where in its document each chunk starts; anything for what stands before, between and after segments."""
    widths = widths + 1
    starts = _sum_before(widths)  # if one space follows each
    places = np.array(bounds)
    shifts = [0 if isinstance(segment, str) else segment.start for segment in segments]
    ends = [len(segment) if isinstance(segment, str) else segment.start + len(segment.text) for segment in segments]
    starts[1:] += (shifts - starts[places[:-1]]).repeat(places[1:] - places[:-1])
    # What comes after a segment starts one past its end, if just single spaces separate its chunks.
    for index in (starts[places[1:] - 1] != np.array(ends) + 1).nonzero()[0].tolist():
        segment = segments[index]
        text = segment if isinstance(segment, str) else segment.text
        matches = _NOT_SPACE.finditer(text)
        starts[bounds[index] : bounds[index + 1] - 1] = [shifts[index] + match.start() for match in matches]
    return starts
