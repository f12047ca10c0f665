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
from itertools import chain, repeat
from typing import Any, NamedTuple

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
        rows = self._look_up(chunks, bounds)

        counts = self._num_pieces[rows]
        before = np.cumsum(counts) - counts  # how many pieces come before each chunk
        places = _runs(self._first[rows], counts)
        shifts = np.repeat(_chunk_starts(self._widths[rows], chunks, bounds, segments), counts)
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

    def _look_up(self, chunks: list[str], bounds: list[int]) -> Array:
        """The row of each chunk; new rows are made as needed."""
        if self._ids.size > self._max_remembered:
            self._forget()
        known = self._rows
        rows = np.fromiter(map(known.get, chunks, repeat(-1)), np.int64, len(chunks))
        keys = moses.keys_of(chunks, bounds, np.nonzero(rows < 0)[0].tolist())
        new = [key for key in keys if key not in known]
        plain = [key for key in new if moses.is_plain(key)]
        others = [key for key in new if not moses.is_plain(key)]
        first_row = self._first.size
        self._add_plain_rows(plain)
        self._add_other_rows(others)
        made = {key: row for row, key in enumerate(chain(plain, others), start=first_row)}
        for key, places in keys.items():
            row = made[key] if key in made else known[key]
            for place in places:
                rows[place] = row
        known.update((key, row) for key, row in made.items() if len(key) <= moses.MAX_REMEMBERED)
        return rows

    def _forget(self) -> None:
        """Empty the tables, but for the rows of no text and of marks."""
        # Chunks. One entry a row: its first piece, how many pieces and words it has, and its width in characters.
        self._rows: dict[str, int] = {"": 0}
        self._first, self._num_pieces, self._num_words, self._widths = (_Column([0]) for _ in range(4))
        # One entry a piece: its id, where it starts and ends in the chunk, and the number of its word in the chunk.
        self._ids, self._starts, self._ends, self._words = (_Column() for _ in range(4))
        # Words, as they stand in a chunk. One entry a row: first piece, number of pieces, width.
        self._word_rows: dict[str, int] = {mark: row for row, mark in enumerate(moses.MARKS)}
        self._word_first, self._word_num_pieces, self._word_widths = (_Column([0] * len(moses.MARKS)) for _ in range(3))
        # One entry a piece: its id, where it starts and ends in the word.
        self._word_ids, self._word_starts, self._word_ends = (_Column() for _ in range(3))

    def _add_plain_rows(self, keys: list[str]) -> None:
        """Make a row for each key that is plain, all at once."""
        if not keys:
            return
        words = moses.split_plain(keys)
        self._add_words(words)
        rows = np.fromiter(map(self._word_rows.__getitem__, words), np.int64, len(words))
        marks = np.nonzero(rows < len(moses.MARKS))[0]
        firsts = np.append(0, marks[:-1] + 1)  # of keys, in words
        sizes = np.diff(firsts, append=len(words))  # of keys, in words, the mark included
        widths = self._word_widths[rows]
        starts = np.cumsum(widths) - widths
        starts -= np.repeat(starts[firsts], sizes)
        numbers = np.arange(len(words)) - np.repeat(firsts, sizes)
        counts = self._word_num_pieces[rows]
        places = _runs(self._word_first[rows], counts)
        shifts = np.repeat(starts, counts)
        before = np.cumsum(counts) - counts
        self._first.extend(self._ids.size + before[firsts])
        self._num_pieces.extend(before[marks] - before[firsts])
        self._num_words.extend(sizes - 1)
        self._widths.extend(starts[marks])
        self._ids.extend(self._word_ids[places])
        self._starts.extend(self._word_starts[places] + shifts)
        self._ends.extend(self._word_ends[places] + shifts)
        self._words.extend(np.repeat(numbers, counts))

    def _add_other_rows(self, keys: list[str]) -> None:
        """Make a row for each key: added tokens, and what is split by Moses' rules one by one."""
        split = [[] if key[0] == _ADDED else moses.split_key(key) for key in keys]
        self._add_words(word.text for words in split for word in words)
        for key, words in zip(keys, split, strict=True):
            if key[0] == _ADDED:
                _, added_id, token = key.split(_ADDED, 2)
                self._add_row([int(added_id)], [0], [len(token)], [0], len(token))
                continue
            ids: list[int] = []
            starts: list[int] = []
            ends: list[int] = []
            numbers: list[int] = []
            for number, word in enumerate(words):
                row = self._word_rows[word.text]
                first = self._word_first[row]
                places = slice(first, first + self._word_num_pieces[row])
                ids += self._word_ids[places].tolist()
                starts += [word.starts[place] for place in self._word_starts[places].tolist()]
                ends += [word.ends[place - 1] for place in self._word_ends[places].tolist()]
                numbers += [number] * (len(ids) - len(numbers))
            self._add_row(ids, starts, ends, numbers, moses.width(key))

    def _add_row(self, ids: list[int], starts: list[int], ends: list[int], numbers: list[int], width: int) -> None:
        self._first.extend([self._ids.size])
        self._num_pieces.extend([len(ids)])
        self._num_words.extend([numbers[-1] + 1 if numbers else 0])
        self._widths.extend([width])
        self._ids.extend(ids)
        self._starts.extend(starts)
        self._ends.extend(ends)
        self._words.extend(numbers)

    def _add_words(self, words: Iterable[str]) -> None:
        """Make rows for words that have none yet.

        Args:
            words: as `moses.split_plain` gives them, or with entities.
        """
        known = self._word_rows
        new = [word for word in dict.fromkeys(words) if word not in known]
        if not new:
            return
        texts = [moses.ENTITIES.get(word) or word.replace(moses.JOINED_DOT, ".") for word in new]
        texts = [text if text.isascii() else _SURROGATE.sub(_NO_PIECE, text) for text in texts]
        encoding = self._merger.encode(texts, is_pretokenized=True, add_special_tokens=False)
        ids = np.array(encoding.ids, np.int64)
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        counts = np.bincount(np.array(encoding.word_ids, np.int64), minlength=len(new))
        # All pieces of an entity stand for the one character that it was.
        is_entity = np.repeat([word in moses.ENTITIES for word in new], counts)
        known.update(zip(new, range(self._word_first.size, self._word_first.size + len(new)), strict=True))
        self._word_first.extend(self._word_ids.size + np.cumsum(counts) - counts)
        self._word_num_pieces.extend(counts)
        self._word_widths.extend(list(map(len, new)))
        self._word_ids.extend(np.where(ids < self._end, ids, self._unknown_id))
        self._word_starts.extend(np.where(is_entity, 0, offsets[:, 0]))
        self._word_ends.extend(np.where(is_entity, 1, offsets[:, 1]))


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

    def __getitem__(self, places: Any) -> Any:
        return self._values[places]


def _runs(firsts: Array, counts: Array) -> Array:
    """For each first and count the numbers first, first + 1, ...: count of them."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    runs: Array = np.arange(total) + np.repeat(firsts - (ends - counts), counts)
    return runs


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


def _chunk_starts(widths: Array, chunks: list[str], bounds: list[int], segments: list[Segment]) -> Array:
    """Where in its document each chunk starts; anything for the empty strings between segments."""
    starts = np.cumsum(widths + 1) - (widths + 1)  # if one space follows each
    firsts = np.array(bounds[:-1])
    shifts = np.array([segment.start for segment in segments]) - starts[firsts]
    starts[1:] += np.repeat(shifts, np.diff(bounds))
    # The empty string after a segment starts one past its end, if just single spaces separate its chunks.
    expected = np.array([segment.start + len(segment.text) + 1 for segment in segments])
    for index in np.nonzero(starts[np.array(bounds[1:]) - 1] != expected)[0]:
        text, start, _, _ = segments[index]
        places = slice(bounds[index], bounds[index + 1] - 1)
        starts[places] = [start + match.start() for match in _NOT_SPACE.finditer(text)]
    return starts
