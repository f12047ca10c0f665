"""Duplicates: which documents say the same, exactly or nearly.

Documents are compared by their abstract, so that an abstract and the full text of the same article are found to be the
same article. Equal abstracts have equal fingerprints. For nearly equal ones MinHash with banding (Broder 1997;
Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3) proposes pairs, and the exact Jaccard similarity
of their word triples decides. Knows nothing of files or tokens.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from biogpt.documents import Article

NUM_BANDS = 20
"""With 5 minima a band, pairs of similarity 0.8 are proposed with probability 0.9996, of 0.7 with 0.97, of 0.3 with
0.05."""

_ROWS_PER_BAND = 5
_SHINGLE_WORDS = 3
_MAX_WORDS = 256  # about one abstract: a document that goes on after it is compared by its beginning
_MIN_ABSTRACT_WORDS = 20  # below, an abstract is no abstract ("Abstract available from the publisher.")
_MAX_PARTNERS = 32  # in a large group of equal bands, each document is compared with this many others
_WORD = re.compile(r"[^\W_]+")

Hashes = NDArray[np.uint64]
_CONSTANTS: Hashes = np.frombuffer(
    b"".join(blake2b(b"biogpt minhash %d" % index).digest() for index in range(64)), dtype="<u8"
).astype(np.uint64)
_FACTORS = (_CONSTANTS[: NUM_BANDS * _ROWS_PER_BAND] | np.uint64(1))[:, None]
_OFFSETS = _CONSTANTS[NUM_BANDS * _ROWS_PER_BAND : 2 * NUM_BANDS * _ROWS_PER_BAND][:, None]
_BAND_FACTORS = _CONSTANTS[200 : 200 + _ROWS_PER_BAND] | np.uint64(1)
_WORD_FACTORS = _CONSTANTS[300 : 300 + _SHINGLE_WORDS] | np.uint64(1)


def compared_words(document: Article) -> list[str]:
    """The words by which a document is compared: its abstract's, or all of them where there is next to no abstract."""
    words: list[str] = _WORD.findall(document.abstract.casefold())
    if len(words) >= _MIN_ABSTRACT_WORDS:
        return words
    return _WORD.findall(" ".join((document.title, document.abstract, document.body)).casefold())


def fingerprint(words: list[str]) -> int:
    """64 bits that are equal for equal words. Never to be changed: it decides which documents are held out."""
    return int.from_bytes(blake2b(" ".join(words).encode(), digest_size=8).digest(), "little")


def band_hashes(words: list[str]) -> Hashes:
    """One hash per band, shape (NUM_BANDS,): documents that agree in one of them are worth comparing."""
    minima = (_FACTORS * _shingles(words) + _OFFSETS).min(axis=1)
    return _mix((minima.reshape(NUM_BANDS, _ROWS_PER_BAND) * _BAND_FACTORS).sum(axis=1, dtype=np.uint64))


def similarity(first: Hashes, second: Hashes) -> float:
    """The Jaccard similarity of two sets of word triples."""
    num_shared = len(np.intersect1d(first, second, assume_unique=True))
    return num_shared / (len(first) + len(second) - num_shared)


def find_near_duplicates(
    num_documents: int,
    num_heldout: int,
    pmids: Hashes,
    read_band: Callable[[int], Hashes],
    read_words: Callable[[int], list[str]],
    threshold: float,
) -> NDArray[np.bool_]:
    """Which documents to leave out because an earlier one is nearly the same, or is the same article by its PMID.

    An earlier document that is itself left out does not count, with one exception: a held-out document counts in any
    case against those after the held-out ones, so that nothing like it stays in training.

    Args:
        num_documents: documents are numbered from 0; an earlier one wins.
        num_heldout: how many of them, the first, are held out.
        pmids: PubMed ids, 0 where unknown; shape (num_documents,).
        read_band: the hashes of all documents in one band; shape (num_documents,).
        read_words: the `compared_words` of one document.
        threshold: the least similarity, in (0, 1], of near duplicates; 0 to look at PMIDs alone.

    Returns:
        A mask, shape (num_documents,).
    """

    @lru_cache(maxsize=4096)
    def read_shingles(number: int) -> Hashes:
        return _shingles(read_words(number))

    known = np.flatnonzero(pmids)
    same_article = known[_equal_pairs(pmids[known])]
    proposed = [_equal_pairs(read_band(band)) for band in range(NUM_BANDS)] if threshold else []
    is_left_out = np.zeros(num_documents, dtype=np.bool_)
    certain = set(map(tuple, same_article.tolist()))
    pairs = np.unique(np.concatenate([same_article, *proposed]), axis=0)
    for earlier, later in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))].tolist():
        counts = not is_left_out[earlier] or earlier < num_heldout <= later
        if is_left_out[later] or not counts:
            continue
        is_left_out[later] = (earlier, later) in certain or (
            similarity(read_shingles(earlier), read_shingles(later)) >= threshold
        )
    return is_left_out


def _shingles(words: list[str]) -> Hashes:
    """The sorted hashes of the different word triples at the beginning of a text; of the whole where it is shorter."""
    hashes = np.fromiter((crc32(word.encode()) for word in words[:_MAX_WORDS]), dtype=np.uint64)
    length = max(1, len(hashes) - _SHINGLE_WORDS + 1)
    shingles = np.zeros(length, dtype=np.uint64)
    for place, factor in enumerate(_WORD_FACTORS):
        part = _mix(hashes[place : place + length] * factor)
        shingles[: len(part)] += part * factor
    return np.unique(_mix(shingles))


def _mix(values: Hashes) -> Hashes:
    """Spread every bit over all 64 (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _equal_pairs(values: Hashes) -> NDArray[np.int64]:
    """Pairs (earlier, later) of positions with equal values, shape (pairs, 2); see `_MAX_PARTNERS`."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.append(starts, len(ordered)))

    def pair_up() -> Iterator[NDArray[np.int64]]:
        yield np.empty((0, 2), dtype=np.int64)
        for start, length in zip(starts[lengths > 1].tolist(), lengths[lengths > 1].tolist(), strict=True):
            members = order[start : start + length]
            for place in range(min(length - 1, _MAX_PARTNERS)):
                later = members[place + 1 :]
                yield np.stack((np.full_like(later, members[place]), later), axis=1)

    return np.concatenate(list(pair_up()))
