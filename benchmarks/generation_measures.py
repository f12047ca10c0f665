"""Measures of written text: repetition, distinct n-grams, spans copied from other texts, names and what relates them.

Words are runs of letters and digits in small letters; punctuation does not count. Knows nothing of models or files.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from biogpt.text.sentences import split_sentences

SPAN_WORDS = 8
"""A span of so many words that stands in a training text counts as copied."""

_CONSTANTS = np.random.default_rng(0).integers(1, 2**63, SPAN_WORDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_WORD = re.compile(r"[^\W_]+")
_BATCH_WORDS = 1 << 20
_SHORT_NAME = 5
_MIN_NAME = 4


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return [word.lower() for word in _WORD.findall(text)]


def repetition(words: Sequence[str], length: int = 4) -> tuple[int, int]:
    """How many n-grams of a text stood in it before, and how many it has."""
    grams = list(zip(*(words[start:] for start in range(length)), strict=False))
    return len(grams) - len(set(grams)), len(grams)


def ends_in_loop(words: Sequence[str], times: int = 3) -> bool:
    """Whether a text ends with the same block of words, of any length, `times` times in a row.

    The last of them need not be whole: a text is cut off anywhere.
    """
    for period in range(1, len(words) // times + 1):
        tail = words[-times * period :]
        if tail[period:] == tail[:-period]:
            return True
    return False


def distinct(texts: Iterable[Sequence[str]], length: int) -> tuple[int, int]:
    """How many different n-grams several texts have together, and how many in all."""
    grams = Counter(gram for words in texts for gram in zip(*(words[start:] for start in range(length)), strict=False))
    return len(grams), grams.total()


@dataclass(frozen=True, slots=True)
class Copies:
    """What of one written text stands in the training texts word by word."""

    num_spans: int
    """Its different spans of `SPAN_WORDS` words."""
    num_copied: int
    """Those of them that stand there."""
    longest: tuple[str, ...]
    """The words of the longest copied span; none where it has fewer than `SPAN_WORDS`."""


class CopyFinder:
    """Looks for spans of written texts in other texts, which pass by once. Memory: the written texts and one batch.

        >>> finder = CopyFinder([words_of("We found that the risk of death was not lower.")])
        >>> finder.read(words_of("Of these, the risk of death was not lower in rats."))
        >>> " ".join(finder.finish()[0].longest)
        'the risk of death was not lower'

    Args:
        texts: the words of each written text.
        span_words: how long a span must be to count.
    """

    def __init__(self, texts: Sequence[Sequence[str]], span_words: int = SPAN_WORDS) -> None:
        self._texts = texts
        self._span_words = span_words
        self._numbers: dict[str, int] = {}
        for words in texts:
            for word in words:
                self._numbers.setdefault(word, len(self._numbers) + 1)
        self._places: dict[int, list[tuple[int, int]]] = {}
        for text, words in enumerate(texts):
            for place, value in enumerate(self._hash(self._number(words)).tolist()):
                self._places.setdefault(value, []).append((text, place))
        self._known = np.sort(np.fromiter(self._places, dtype=np.uint64, count=len(self._places)))
        self._found: set[int] = set()
        self._longest = [(0, 0)] * len(texts)  # number of words, place of the first
        self._batch: list[int] = []

    def read(self, words: Sequence[str]) -> None:
        """Take one of the other texts."""
        get = self._numbers.get
        self._batch += [get(word, 0) for word in words]
        self._batch += [0]  # in no span: so none reaches from one text into the next
        if len(self._batch) >= _BATCH_WORDS:
            self._look()

    def finish(self) -> list[Copies]:
        """What was found, for each written text."""
        self._look()
        copies = []
        for text, words in enumerate(self._texts):
            spans = set(self._hash(self._number(words)).tolist())
            length, first = self._longest[text]
            copies.append(Copies(len(spans), len(spans & self._found), tuple(words[first : first + length])))
        return copies

    def _number(self, words: Sequence[str]) -> list[int]:
        return [self._numbers[word] for word in words]

    def _hash(self, numbers: Sequence[int]) -> NDArray[np.uint64]:
        """A hash of each span. Two spans that differ have the same one with a probability of 2^-63 or so."""
        values = np.array(numbers, dtype=np.uint64)
        size = max(0, len(values) - self._span_words + 1)
        hashes = np.zeros(size, dtype=np.uint64)
        for place in range(self._span_words if size else 0):
            hashes += _mix(values[place : place + size] * _CONSTANTS[place % SPAN_WORDS] + np.uint64(place))
        return hashes

    def _look(self) -> None:
        hashes = self._hash(self._batch)
        self._batch = []
        if not len(self._known) or not len(hashes):
            return
        near = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        hits = np.flatnonzero(self._known[near] == hashes)
        last, running = -2, {}  # spans that end at the last hit, and how many follow one another in both texts
        for hit, value in zip(hits.tolist(), hashes[hits].tolist(), strict=True):
            self._found.add(value)
            before = running if hit == last + 1 else {}
            running = {(text, place): before.get((text, place - 1), 0) + 1 for text, place in self._places[value]}
            last = hit
            for (text, place), count in running.items():
                length = count + self._span_words - 1
                if length > self._longest[text][0]:
                    self._longest[text] = (length, place - count + 1)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all 64 (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence, as written and in small letters."""

    raw: list[str]
    words: list[str]


def sentences_of(text: str) -> list[Sentence]:
    """The sentences of a text that have words."""
    sentences = []
    for start, end in split_sentences(text):
        raw = _WORD.findall(text, start, end)
        if raw:
            sentences.append(Sentence(raw, [word.lower() for word in raw]))
    return sentences


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a sentence."""

    first: int
    """Its place, counted in words."""
    length: int
    """How many words it has."""
    identifier: str


class Dictionary:
    """Finds names in sentences by their words, whatever their case.

    Names of fewer than four letters and digits are left out. Abbreviations, which are one word of up to five with a
    capital behind the first one, must be spelled as they are. If several identifiers have the same name, the first one
    given has it.

    Args:
        names: pairs of identifier and name.
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._names: dict[tuple[str, ...], tuple[str, str]] = {}
        for identifier, name in names:
            raw = _WORD.findall(name)
            words = tuple(word.lower() for word in raw)
            num_characters = sum(map(len, words))
            if num_characters < _MIN_NAME or not any(map(str.isalpha, name)):
                continue
            is_short = len(raw) == 1 and num_characters <= _SHORT_NAME and not raw[0][1:].islower()
            self._names.setdefault(words, (identifier, raw[0] if is_short else ""))
        self._lengths = _lengths_by_first(self._names)

    def only(self, identifiers: Collection[str]) -> Self:
        """The names of some identifiers."""
        other = type(self)(())
        other._names = {words: entry for words, entry in self._names.items() if entry[0] in identifiers}
        other._lengths = _lengths_by_first(other._names)
        return other

    def find_all(self, sentence: Sentence) -> list[Mention]:
        """All names, also those within longer ones."""
        found = []
        words, names, lengths = sentence.words, self._names, self._lengths
        for place, word in enumerate(words):
            if word in lengths:
                for length in lengths[word]:
                    part = tuple(words[place : place + length])
                    entry = names.get(part)
                    if entry and len(part) == length and (not entry[1] or sentence.raw[place] == entry[1]):
                        found.append(Mention(place, length, entry[0]))
        return found

    def find_longest(self, sentence: Sentence) -> list[Mention]:
        """Names that are not part of a longer one; of two that overlap the one that comes first."""
        chosen: list[Mention] = []
        end = 0
        for mention in sorted(self.find_all(sentence), key=lambda one: (one.first, -one.length)):
            if mention.first >= end:
                chosen.append(mention)
                end = mention.first + mention.length
        return chosen


def _lengths_by_first(names: Iterable[tuple[str, ...]]) -> dict[str, list[int]]:
    """First word -> how many words the names have that begin with it."""
    lengths: dict[str, set[int]] = {}
    for words in names:
        lengths.setdefault(words[0], set()).add(len(words))
    return {first: sorted(found) for first, found in lengths.items()}


@dataclass
class CoOccurrences:
    """How often names stand in a sentence together with one of several terms."""

    dictionary: Dictionary
    """The names that are counted, those of the terms among them."""
    terms: frozenset[str]
    """Their identifiers."""
    num_sentences: int = 0
    sentences: Counter[str] = field(default_factory=Counter)
    """Identifier -> sentences that name it."""
    pair_sentences: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Term and identifier -> sentences that name both."""
    pair_documents: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Term and identifier -> documents with such a sentence."""

    def read(self, sentences: Iterable[Sentence]) -> None:
        """Take one document."""
        together: set[tuple[str, str]] = set()
        for sentence in sentences:
            self.num_sentences += 1
            named = {mention.identifier for mention in self.dictionary.find_all(sentence)}
            if named:
                self.sentences.update(named)
                pairs = [(term, other) for term in named & self.terms for other in named if other != term]
                self.pair_sentences.update(pairs)
                together.update(pairs)
        self.pair_documents.update(together)

    def association(self, term: str, identifier: str) -> float:
        """Pointwise mutual information in bits: how much oftener than by chance the two share a sentence."""
        both = self.pair_sentences[term, identifier]
        if not both:
            return float("-inf")
        expected = self.sentences[term] * self.sentences[identifier] / self.num_sentences
        return float(np.log2(both / expected))

    def are_related(self, term: str, identifier: str, min_documents: int, min_bits: float) -> bool:
        """Whether they share sentences in so many documents, and so much oftener than by chance."""
        return self.pair_documents[term, identifier] >= min_documents and self.association(term, identifier) >= min_bits
