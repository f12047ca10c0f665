"""Texts -> ids with their places, many at once: Moses words, then BPE, remembered by white-space chunk.

Most chunks of a text have been seen before. What became of a chunk is a row of a table; encoding a batch is looking up
the rows of its chunks and, with numpy, laying out their pieces one after the other. Only new chunks go through Moses'
rules and BPE, all new ones of a batch together. The table is bounded: when it is full it is emptied.
This module knows nothing of what special tokens mean, of padding or of truncation, and never imports torch.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE

from biogpt.text import moses
from biogpt.text.bpe import Vocabulary

Array = NDArray[np.int64]

_NOT_SPACE = re.compile(r"\S+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ADDED = " "  # what the key of an added token begins with, as no chunk does
_NO_PIECE = "\x00"  # no vocabulary has it, as Moses drops it; stands for lone surrogates, which UTF-8 lacks
_BATCH_CHARACTERS = 200_000


class Segment(NamedTuple):
    """A part of a document that is encoded on its own."""

    text: str
    start: int = 0
    """Where the part begins in the document."""
    word: int = 0
    """Its number, where the document came as words."""
    added_id: int | None = None
    """The id of the part, if it is an added token as it stands."""


class Pieces:
    """The pieces of consecutive documents: those of document `i` are numbers `bounds[i]` to `bounds[i + 1]`."""

    def __init__(self, ids: Array, starts: Array, ends: Array, words: Array, bounds: Array) -> None:
        self.bounds: list[int] = bounds.tolist()
        self.ids: list[int] = ids.tolist()
        self._starts, self._ends, self._words = starts, ends, words

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """For each piece the place in its document of the characters that it stands for: first, and after the last."""
        return list(zip(self._starts.tolist(), self._ends.tolist(), strict=True))

    @cached_property
    def words(self) -> list[int]:
        """For each piece the number of its word in the document."""
        words: list[int] = self._words.tolist()
        return words


class Encoder:
    """Encodes documents with one vocabulary.

    Args:
        vocabulary: pieces and merges.
        unknown_id: the id of what the vocabulary lacks.
        max_remembered: how many pieces the table may hold (each takes about 100 bytes with its share of the rest).
    """

    def __init__(self, vocabulary: Vocabulary, unknown_id: int, max_remembered: int = 2_000_000) -> None:
        self._arguments = vocabulary, unknown_id, max_remembered
        ids, merges = vocabulary
        # Some merges make pieces that the vocabulary lacks. They take part in merging, so they get ids past its end
        # here, and become the unknown id afterwards.
        end = max(ids.values()) + 1
        lacking = dict.fromkeys(piece for pair in merges for piece in (*pair, "".join(pair)) if piece not in ids)
        every_id = {**ids, **{piece: end + index for index, piece in enumerate(lacking)}}
        model = BPE(vocab=every_id, merges=merges, end_of_word_suffix="</w>", unk_token="<unk>", fuse_unk=False)
        self._merger = Tokenizer(model)
        self._end = end
        self._unknown_id = unknown_id
        self._max_remembered = max_remembered
        self._lock = threading.Lock()
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder, self._arguments

    def encode(self, documents: Iterable[Sequence[Segment]], has_words: bool = False) -> Iterator[Pieces]:
        """Encode documents, in batches of a convenient size.

        Args:
            documents: the parts of each, in order and without overlap. At least one, though it may be empty.
            has_words: whether the parts are words (`Segment.word`); places are then counted in each word.
        """
        for some in _batches(documents):
            with self._lock:
                pieces = self._encode(some, has_words)
            yield pieces

    def _encode(self, documents: Sequence[Sequence[Segment]], has_words: bool) -> Pieces:
        segments = list(chain.from_iterable(documents))
        chunks = [""]
        bounds = [1]  # of segments, in chunks
        for text, _, _, added_id in segments:
            chunks += moses.chunks_of(text) if added_id is None else [f"{_ADDED}{added_id} {text}"]
            chunks.append("")
            bounds.append(len(chunks))
        rows = np.array(self._look_up(chunks, bounds), np.int64)

        counts = self._num_pieces[rows]
        before = np.cumsum(counts) - counts  # how many pieces come before each chunk
        places = np.arange(before[-1]) + np.repeat(self._first[rows] - before, counts)
        shifts = np.repeat(_chunk_starts(chunks, bounds, segments), counts)
        starts = self._starts[places] + shifts
        ends = self._ends[places] + shifts
        segment_bounds = before[np.array(bounds) - 1]  # in pieces; at the empty string before each segment
        document_bounds = np.cumsum([0, *map(len, documents)])  # in segments
        if has_words:
            words = np.repeat([segment.word for segment in segments], np.diff(segment_bounds))
        else:
            num_words = self._num_words[rows]
            words_before = np.cumsum(num_words) - num_words
            firsts = np.array(bounds)[document_bounds] - 1  # of documents, in chunks
            words_before -= np.repeat(words_before[firsts], np.diff(firsts, append=len(chunks)))
            words = self._words[places] + np.repeat(words_before, counts)
        return Pieces(self._ids[places], starts, ends, words, segment_bounds[document_bounds])

    def _look_up(self, chunks: list[str], bounds: list[int]) -> list[int]:
        """The row of each chunk; new rows are made as needed."""
        if self._ids.size > self._max_remembered:
            self._forget()
        rows, missing = moses.look_up(chunks, bounds, self._rows)
        first_row = self._first.size
        self._add_rows(list(missing))
        for row, (key, places) in enumerate(missing.items(), start=first_row):
            for place in places:
                rows[place] = row
            if len(key) <= moses.MAX_REMEMBERED:
                self._rows[key] = row
        return rows

    def _forget(self) -> None:
        """Empty the table, but for row 0, which is that of no text."""
        self._rows: dict[str, int] = {"": 0}
        self._merged: dict[str, _Merged] = {}
        # One entry a row: its first piece, and how many pieces and words it has.
        self._first, self._num_pieces, self._num_words = _Column([0]), _Column([0]), _Column([0])
        # One entry a piece: its id, where it starts and ends in the chunk, and the number of its word in the chunk.
        self._ids, self._starts, self._ends, self._words = _Column(), _Column(), _Column(), _Column()

    def _add_rows(self, keys: list[str]) -> None:
        """Make a row for each key."""
        split = [self._split(key) for key in keys]
        self._merge(word.text for words in split for word in words)
        ids: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        numbers: list[int] = []
        firsts = []
        for words in split:
            firsts.append(len(ids))
            for number, (text, word_starts, word_ends) in enumerate(words):
                merged = self._merged[text]
                ids += merged.ids
                starts += [word_starts[place] for place in merged.starts]
                ends += [word_ends[place] for place in merged.lasts]
                numbers += [number] * len(merged.ids)
        self._num_pieces.extend(np.diff(firsts, append=len(ids)))
        self._num_words.extend(list(map(len, split)))
        self._first.extend(np.array(firsts, np.int64) + self._ids.size)
        self._ids.extend(ids)
        self._starts.extend(starts)
        self._ends.extend(ends)
        self._words.extend(numbers)

    def _split(self, key: str) -> list[moses.Word]:
        """The words that a key stands for; an added token is one word of one piece."""
        if key[0] != _ADDED:
            return moses.split_key(key)
        _, added_id, token = key.split(_ADDED, 2)
        self._merged[key] = _Merged([int(added_id)], [0], [0])
        return [moses.Word(key, [0], [len(token)])]

    def _merge(self, words: Iterable[str]) -> None:
        """Put what BPE makes of words that have not been seen yet into `_merged`."""
        known = self._merged
        new = list(dict.fromkeys(word for word in words if word not in known))
        texts = [word if word.isascii() else _SURROGATE.sub(_NO_PIECE, word) for word in new]
        encoding = self._merger.encode(texts, is_pretokenized=True, add_special_tokens=False)
        for word in new:
            known[word] = _Merged([], [], [])
        numbers = cast(list[int], encoding.word_ids)  # none is None: there are no special tokens
        for index, (start, end), number in zip(encoding.ids, encoding.offsets, numbers, strict=True):
            ids, starts, lasts = known[new[number]]
            ids.append(index if index < self._end else self._unknown_id)
            starts.append(start)
            lasts.append(end - 1)


class _Merged(NamedTuple):
    """The pieces of one word: ids, and the characters in the word with which each begins and ends."""

    ids: list[int]
    starts: list[int]
    lasts: list[int]


class _Column:
    """An array that grows at its end."""

    def __init__(self, values: Sequence[int] = ()) -> None:
        self.size = 0
        self._values: Array = np.zeros(1024, np.int64)
        self.extend(values)

    def extend(self, values: Sequence[int] | Array) -> None:
        size = self.size + len(values)
        if size > self._values.size:
            self._values = np.concatenate([self._values, np.zeros(size, np.int64)])
        self._values[self.size : size] = values
        self.size = size

    def __getitem__(self, places: Array) -> Array:
        return self._values[places]


def _batches(documents: Iterable[Sequence[Segment]]) -> Iterator[list[Sequence[Segment]]]:
    """Documents by the handful: enough for numpy to pay, few enough to stay in the processor's cache."""
    batch: list[Sequence[Segment]] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += sum(len(segment.text) for segment in document)
        if characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _chunk_starts(chunks: list[str], bounds: list[int], segments: list[Segment]) -> Array:
    """Where in its document each chunk starts; anything for the empty strings between segments."""
    widths = np.fromiter(map(len, chunks), np.int64, len(chunks)) + 1  # a chunk and one space
    starts = np.cumsum(widths) - widths
    firsts = np.array(bounds[:-1])
    sizes = np.diff(bounds)
    shifts = np.array([segment.start for segment in segments]) - starts[firsts]
    starts[1:] += np.repeat(shifts, sizes)
    # Where each segment should end, if nothing but single spaces separates its chunks; others are searched.
    ends = starts[np.array(bounds[1:]) - 1]
    expected = np.array([segment.start + len(segment.text) + 1 for segment in segments])
    for index in np.nonzero(ends != expected)[0]:
        text, start, _, _ = segments[index]
        first, last = bounds[index], bounds[index + 1] - 1
        if chunks[first][:1].isspace():
            starts[first] = start
        else:
            starts[first:last] = [start + match.start() for match in _NOT_SPACE.finditer(text)]
    return starts
