"""n-gram models with interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999), over numbers or over words.

Yardsticks for language models. A model of order n adds up, for each context of n-1 symbols, discounted counts and what
the shorter context says, down to all symbols being equally likely; so nothing has probability 0, and the probabilities
of all symbols after any context add up to 1. Knows nothing of files or corpora.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.integer]
"""A stream of symbols, or of streams: small numbers. The smaller their type, the less memory training takes."""

BYTE_END = 256
"""Stands after each text in a stream of bytes."""

NUM_BYTE_SYMBOLS = 257

_PIECE = re.compile(r" ?\w+| ?[^\w\s]|\s")
_FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # where there are too few symbols to estimate them
_LOOK_UP_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class _Level:
    """The n-grams of one length that were seen. The number of an n-gram is its place in `keys`."""

    keys: Symbols  # sorted: number of the n-gram without its last symbol, times the number of symbols, plus the last
    shares: NDArray[np.float64]  # probability of the last symbol after the others, discounted
    leftovers: NDArray[np.float64]  # by the number of a context: the probability that the discounts left over


class NgramModel:
    """An n-gram model over the symbols 0 to `num_symbols` - 1.

    Args:
        symbols: the stream to learn from, shape (length,).
        num_symbols: how many different ones there are, those that do not occur included.
        order: the n; at least 2.
    """

    def __init__(self, symbols: Symbols, num_symbols: int, order: int) -> None:
        self.num_symbols = num_symbols
        self.levels: list[_Level] = []
        keys = [np.arange(num_symbols)]
        counts = [np.zeros(num_symbols, dtype=np.int64)]
        numbers = symbols.astype(np.int32)  # of the n-grams that end at each place from the n-th
        for length in range(2, order + 1):
            found = numbers[:-1].astype(np.int64) * num_symbols + symbols[length - 1 :]
            in_order = np.sort(found)
            starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
            keys.append(in_order[starts])
            counts.append(np.diff(np.append(starts, len(in_order))))
            del in_order, starts
            longer = _find(keys[-1], found)
            # Kneser-Ney: a shorter n-gram counts once for each symbol that was seen before it.
            suffixes = np.empty(len(keys[-1]), dtype=np.int32)
            suffixes[longer] = numbers[1:]
            counts[-2] = np.bincount(suffixes, minlength=len(keys[-2]))
            numbers = longer
        num_contexts = 1
        for level_keys, level_counts in zip(keys, counts, strict=True):
            contexts = level_keys // num_symbols
            self.levels.append(_discount(level_keys, level_counts, contexts, num_contexts))
            num_contexts = len(level_keys)

    @property
    def num_ngrams(self) -> int:
        """How many different n-grams of all lengths it holds."""
        return sum(len(level.keys) for level in self.levels)

    def probabilities(self, symbols: Symbols) -> NDArray[np.float64]:
        """The probability of each symbol but the first, given those before it.

        Args:
            symbols: streams along the last axis, shape (..., length).

        Returns:
            Shape (..., length - 1).
        """
        symbols = symbols.astype(np.int64)
        targets = symbols[..., 1:]
        mixed = np.full(targets.shape, 1.0 / self.num_symbols)
        contexts = np.zeros_like(targets)  # number of the context of each target; -1 if it was never seen
        before = symbols[..., :1]
        for level in self.levels:
            is_known = contexts >= 0
            wanted = np.where(is_known, contexts * self.num_symbols + targets, -1)
            places = np.minimum(np.searchsorted(level.keys, wanted), len(level.keys) - 1)
            is_seen = level.keys[places] == wanted
            mixed *= np.where(is_known, level.leftovers[contexts], 1.0)
            mixed += np.where(is_seen, level.shares[places], 0.0)
            seen = np.where(is_seen, places, -1)
            contexts = np.concatenate((before, seen[..., :-1]), axis=-1)
            before = np.full_like(before, -1)
        return mixed

    def distribution(self, context: Sequence[int]) -> NDArray[np.float64]:
        """The probability of each symbol after a context, shape (num_symbols,)."""
        streams = np.tile(np.append(np.array(context, dtype=np.int64), 0), (self.num_symbols, 1))
        streams[:, -1] = np.arange(self.num_symbols)
        return self.probabilities(streams)[:, -1]


def _find(keys: Symbols, wanted: Symbols) -> NDArray[np.int32]:
    """The places of numbers that are all among the sorted `keys`."""
    places = np.empty(len(wanted), dtype=np.int32)
    for start in range(0, len(wanted), _LOOK_UP_AT_ONCE):
        part = slice(start, start + _LOOK_UP_AT_ONCE)
        places[part] = np.searchsorted(keys, wanted[part])
    return places


def _discount(keys: Symbols, counts: Symbols, contexts: Symbols, num_contexts: int) -> _Level:
    discounts = np.array((0.0, *_estimate_discounts(counts)))[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts, minlength=num_contexts)
    left = np.bincount(contexts, weights=discounts, minlength=num_contexts)
    is_continued = totals > 0  # all but what ends the stream
    leftovers = np.where(is_continued, left / np.maximum(totals, 1), 1.0)
    shares = (counts - discounts) / np.maximum(totals, 1)[contexts]
    return _Level(keys, shares, leftovers)


def _estimate_discounts(counts: Symbols) -> tuple[float, float, float]:
    """What to take off counts of 1, 2 and more (Chen and Goodman 1999, equation 26)."""
    ones, twos, threes, fours = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not all((ones, twos, threes, fours)):
        return _FALLBACK_DISCOUNTS
    share = ones / (ones + 2 * twos)
    first, second, third = 1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes
    is_possible = 0 < first < 1 and 0 < second < 2 and 0 < third < 3
    return (first, second, third) if is_possible else _FALLBACK_DISCOUNTS


def to_bytes(texts: Iterable[str]) -> Symbols:
    """One stream of bytes: `BYTE_END`, and each text with `BYTE_END` behind it."""
    parts = [np.array([BYTE_END], dtype=np.uint16)]
    for text in texts:
        parts += np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16), parts[0]
    return np.concatenate(parts)


class ByteModel:
    """Texts as bytes: any text has a probability, unseen characters included."""

    def __init__(self, texts: Sequence[str], order: int) -> None:
        self.ngrams = NgramModel(to_bytes(texts), NUM_BYTE_SYMBOLS, order)

    def bits(self, texts: Sequence[str]) -> float:
        """Bits that the texts and their ends take."""
        return float(-np.log2(self.ngrams.probabilities(to_bytes(texts))).sum())


class WordModel:
    """Texts as words, marks and blanks. What occurs only once in training stands for unknown words, which are spelled.

    A word or mark includes the blank before it, so nothing of the text is lost. The spelling comes from a byte model of
    the words that occurred once. It is proper but wasteful, as it also could spell known words: the figure is an upper
    bound of what the model could reach.
    """

    UNKNOWN = 0
    END = 1

    def __init__(self, texts: Sequence[str], order: int, spelling_order: int) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_PIECE.findall(text))
        known = [piece for piece, count in counts.items() if count > 1]
        self.numbers = {piece: number for number, piece in enumerate(known, start=2)}
        self.spelling = ByteModel([piece for piece, count in counts.items() if count == 1], spelling_order)
        del counts
        self.ngrams = NgramModel(self.to_symbols(texts), len(known) + 2, order)

    def to_symbols(self, texts: Sequence[str]) -> Symbols:
        """One stream of pieces: `END`, and each text with `END` behind it."""
        numbers, unknown = self.numbers, self.UNKNOWN
        parts = [np.array([self.END], dtype=np.int32)]
        for text in texts:
            parts += np.array([numbers.get(piece, unknown) for piece in _PIECE.findall(text)], dtype=np.int32), parts[0]
        return np.concatenate(parts)

    def unknown_pieces(self, texts: Sequence[str]) -> list[str]:
        """What is spelled of the texts."""
        return [piece for text in texts for piece in _PIECE.findall(text) if piece not in self.numbers]

    def bits(self, texts: Sequence[str]) -> float:
        """Bits that the texts, their ends and the spelling of unknown words take."""
        words = float(-np.log2(self.ngrams.probabilities(self.to_symbols(texts))).sum())
        return words + self.spelling.bits(self.unknown_pieces(texts))
