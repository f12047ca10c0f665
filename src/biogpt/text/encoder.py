"""Texts -> ids with their places, many at once: Moses words, then BPE, remembered by white-space chunk.

Most chunks of a text have been seen before. What became of a chunk is a row of a table; encoding a batch is looking up
the rows of its chunks and, with numpy, laying out their pieces one after the other. Only new chunks go through Moses'
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
_NO_PIECE = "\x00"  # no vocabulary has it, as Moses drops it; stands for lone surrogates, which UTF-8 lacks
_ADDED = " "  # what the key of an added token begins with, as no chunk does
_BATCH_CHARACTERS = 200_000
_COMMON_START, _COMMON_WIDTH = 4096, 32  # characters; most pieces begin and are within that


class Segment(NamedTuple):
    """A part of a document that is encoded on its own."""

    text: str
    start: int = 0
    """Where the part begins in the document."""
    word: int = 0
    """Its number, where the document came as words."""
    added_id: int | None = None
    """The id of the part, if it is an added token as it stands."""


class Layout(NamedTuple):
    """Pieces of several texts, one after the other. All but `bounds` have one entry a piece."""

    ids: Array
    starts: Array
    """The place in the text of the first of the characters that the piece stands for."""
    ends: Array
    """The place after the last of them."""
    words: Array
    """The number of the piece's word in the text."""
    bounds: Array
    """One more than there are texts: how many pieces come before each, and how many there are."""


class Pieces:
    """The pieces of several documents, as lists. Document `i` has those from `bounds[i]` to `bounds[i + 1]`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.bounds: list[int] = layout.bounds.tolist()
        self.ids: list[int] = layout.ids.tolist()

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """For each piece the place in its document of the characters that it stands for: first, and after the last."""
        _, starts, ends, _, _ = self._layout
        widths = ends - starts
        pairs = _common_pairs()[starts % _COMMON_START, widths % _COMMON_WIDTH]
        for place in np.nonzero((starts >= _COMMON_START) | (widths >= _COMMON_WIDTH))[0].tolist():
            pairs[place] = int(starts[place]), int(ends[place])
        offsets: list[tuple[int, int]] = pairs.tolist()
        return offsets

    @cached_property
    def words(self) -> list[int]:
        """For each piece the number of its word in the document."""
        words: list[int] = self._layout.words.tolist()
        return words


class Encoder:
    """Encodes documents with one vocabulary.

    Args:
        vocabulary: pieces and merges.
        unknown_id: the id of what the vocabulary lacks.
        max_remembered: how many pieces the table of chunks may hold (each takes about 100 bytes, all told).
    """

    def __init__(self, vocabulary: Vocabulary, unknown_id: int, max_remembered: int = 2_000_000) -> None:
        self._arguments = vocabulary, unknown_id, max_remembered
        ids, merges = vocabulary
        # Some merges make pieces that the vocabulary lacks. They take part in merging, so they get ids past its end
        # here, and become the unknown id afterwards.
        end = max(ids.values()) + 1
        lacking = dict.fromkeys(piece for pair in merges for piece in (*pair, "".join(pair)) if piece not in ids)
        every_id = {**ids, **dict(zip(lacking, count(end)))}
        model = BPE(vocab=every_id, merges=merges, end_of_word_suffix=WORD_END, unk_token="<unk>", fuse_unk=False)
        self._merger = Tokenizer(model)
        # The id and the number of characters of each piece that merging gives. An unknown one is always one character.
        self._final_ids: Array = np.arange(end + len(lacking))
        self._final_ids[end:] = unknown_id
        self._widths: Array = np.ones(end + len(lacking), np.int64)
        self._widths[list(every_id.values())] = [len(piece.removesuffix(WORD_END)) for piece in every_id]
        self._final_ids[ids["<unk>"]] = unknown_id
        self._widths[ids["<unk>"]] = 1
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
                try:
                    pieces = self._encode(some, has_words)
                except BaseException:
                    self._forget()  # the tables may be half-written
                    raise
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
        starts = _chunk_starts(self._chunks.widths[rows], chunks, bounds, segments)
        # Where each document begins and the last ends, in chunks: at the empty string before its first segment.
        places = np.array(bounds)[np.cumsum([0, *map(len, documents)])] - 1
        words_before = np.append(0, np.cumsum(self._chunks.num_words[rows]))[:-1]
        words_before -= np.repeat(words_before[places], np.diff(places, append=len(chunks)))
        layout = self._chunks.lay_out(rows, starts, words_before)
        if has_words:
            numbers = np.repeat([0, *(segment.word for segment in segments)], np.diff([0, *bounds]))
            layout = layout._replace(words=np.repeat(numbers, np.diff(layout.bounds)))
        return Pieces(layout._replace(bounds=layout.bounds[places]))

    def _look_up(self, chunks: list[str], bounds: list[int]) -> Array:
        """The row of each chunk in the table; new rows are made as needed."""
        if self._chunks.num_pieces > self._max_remembered:
            self._forget()
        known = self._chunks.rows
        rows = np.fromiter(map(known.get, chunks, repeat(-1)), np.int64, len(chunks))
        places, keys = moses.keys_of(chunks, bounds, np.nonzero(rows < 0)[0].tolist())
        plain: list[str] = []
        others: list[str] = []
        for key in dict.fromkeys(keys):
            if key not in known:
                (plain if moses.is_plain(key) else others).append(key)
        self._add_plain(plain)
        self._add_others(others)
        rows[places] = np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))
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
        marks = np.nonzero(rows < len(moses.MARKS))[0]
        firsts = np.append(0, marks[:-1] + 1)  # of chunks, in words
        sizes = marks + 1 - firsts  # of chunks, in words, the mark included
        widths = self._words.widths[rows]
        starts = np.cumsum(widths) - widths
        starts -= np.repeat(starts[firsts], sizes)
        numbers = np.arange(len(words)) - np.repeat(firsts, sizes)
        layout = self._words.lay_out(rows, starts, numbers)
        self._chunks.add(keys, starts[marks], sizes - 1, layout._replace(bounds=layout.bounds[np.append(firsts, -1)]))

    def _add_others(self, keys: list[str]) -> None:
        """Add chunks to the table that are not plain, whole texts, and added tokens."""
        split = [[] if key[0] == _ADDED else moses.split_key(key) for key in keys]
        self._add_words(word.text for words in split for word in words)
        for key, words in zip(keys, split, strict=True):
            ids: list[int] = []
            starts: list[int] = []
            ends: list[int] = []
            numbers: list[int] = []
            width = moses.width(key)
            if key[0] == _ADDED:
                _, added_id, token = key.split(_ADDED, 2)
                width = len(token)
                ids, starts, ends, numbers = [int(added_id)], [0], [width], [0]
            for number, word in enumerate(words):
                pieces = self._words.lay_out(np.array([self._words.rows[word.text]]))
                ids += pieces.ids.tolist()
                starts += [word.starts[place] for place in pieces.starts.tolist()]
                ends += [word.ends[place - 1] for place in pieces.ends.tolist()]
                numbers += [number] * len(pieces.ids)
            columns = (np.array(column, np.int64) for column in (ids, starts, ends, numbers, [0, len(ids)]))
            self._chunks.add([key], [width], [len(words) or 1], Layout(*columns))

    def _add_words(self, words: Iterable[str]) -> None:
        """Add words to their table that it lacks: as `split_plain` gives them, or with entities."""
        new = [word for word in dict.fromkeys(words) if word not in self._words.rows]
        if not new:
            return
        texts = [moses.ENTITIES.get(word) or word.replace(moses.JOINED_DOT, ".") for word in new]
        texts = [text if text.isascii() else _SURROGATE.sub(_NO_PIECE, text) for text in texts]
        encoding = self._merger.encode(texts, is_pretokenized=True, add_special_tokens=False)
        ids = np.array(encoding.ids, np.int64)
        counts = np.bincount(np.array(encoding.word_ids, np.int64), minlength=len(new))
        bounds = np.append(0, np.cumsum(counts))
        ends = np.cumsum(self._widths[ids])
        starts = ends - self._widths[ids]
        # All pieces of an entity stand for the one character that it was.
        is_entity = np.repeat([word in moses.ENTITIES for word in new], counts)
        shifts = np.repeat(starts[bounds[:-1]], counts)
        starts = np.where(is_entity, 0, starts - shifts)
        ends = np.where(is_entity, 1, ends - shifts)
        layout = Layout(self._final_ids[ids], starts, ends, np.zeros_like(ids), bounds)
        self._words.add(new, list(map(len, new)), [1] * len(new), layout)


class _Table:
    """Texts (chunks or words), and their pieces.

    Args:
        separators: what stands between texts. These come first, and have no pieces.
    """

    def __init__(self, separators: Sequence[str]) -> None:
        self.rows: dict[str, int] = {}
        self.widths, self.num_words, self._firsts, self._counts = (_Column() for _ in range(4))
        self._ids, self._starts, self._ends, self._words = (_Column() for _ in range(4))
        none = np.zeros(0, np.int64)
        zeros = np.zeros(len(separators), np.int64)
        self.add(separators, zeros, zeros, Layout(none, none, none, none, np.append(zeros, 0)))

    @property
    def num_pieces(self) -> int:
        """How many pieces all texts have together."""
        return self._ids.size

    def add(
        self, texts: Sequence[str], widths: Sequence[int] | Array, num_words: Sequence[int] | Array, layout: Layout
    ) -> None:
        """Add texts: how wide they are (in characters), how many words they have, and their pieces."""
        self.rows.update(zip(texts, count(self.widths.size)))
        self.widths.extend(widths)
        self.num_words.extend(num_words)
        self._firsts.extend(self._ids.size + layout.bounds[:-1])
        self._counts.extend(np.diff(layout.bounds))
        self._ids.extend(layout.ids)
        self._starts.extend(layout.starts)
        self._ends.extend(layout.ends)
        self._words.extend(layout.words)

    def lay_out(self, rows: Array, starts: Array | None = None, numbers: Array | None = None) -> Layout:
        """The pieces of the texts in these rows, if the texts start at these places and with words of these numbers."""
        counts = self._counts[rows]
        bounds = np.append(0, np.cumsum(counts))
        places = np.arange(bounds[-1]) + np.repeat(self._firsts[rows] - bounds[:-1], counts)
        shifts = 0 if starts is None else np.repeat(starts, counts)
        words = self._words[places]
        if numbers is not None:
            words = words + np.repeat(numbers, counts)
        return Layout(self._ids[places], self._starts[places] + shifts, self._ends[places] + shifts, words, bounds)


class _Column:
    """An array that grows at its end."""

    def __init__(self) -> None:
        self.size = 0
        self._values: Array = np.zeros(1024, np.int64)

    def extend(self, values: Sequence[int] | Array) -> None:
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
    firsts = np.array(bounds[:-1], np.int64)
    shifts = np.array([segment.start for segment in segments], np.int64) - starts[firsts]
    starts[1:] += np.repeat(shifts, np.diff(bounds))
    # The empty string after a segment starts one past its end, if just single spaces separate its chunks.
    expected = np.array([segment.start + len(segment.text) + 1 for segment in segments], np.int64)
    for index in np.nonzero(starts[np.array(bounds[1:], np.int64) - 1] != expected)[0]:
        text, start, _, _ = segments[index]
        places = slice(bounds[index], bounds[index + 1] - 1)
        starts[places] = [start + match.start() for match in _NOT_SPACE.finditer(text)]
    return starts
