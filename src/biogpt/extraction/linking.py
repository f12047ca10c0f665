"""Linking: names to identifiers, such as "renal failure" to MeSH D051437.

A name is looked up in a lexicon, first as it is spelled, then by looser keys (`biogpt.text.names`), and at last among
the names that share most of its character trigrams. What has no near name gets no identifier. Abbreviations are read as
their own document defines them. Never imports torch.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from biogpt.documents.types import Entity, Extraction
from biogpt.extraction.lexicons import RANKS, Lexicon, Name, load_lexicon
from biogpt.text.abbreviations import find_abbreviations
from biogpt.text.names import (
    chemical_key,
    disease_key,
    fold_name,
    joined_key,
    spelling_key,
    word_set_key,
)

MIN_SIMILARITY = {"chemical": 0.75, "disease": 0.6}
"""How similar a name must be to one in the lexicon; chosen on BC5CDR's development set."""
DEFAULT_MIN_SIMILARITY = 0.75


@dataclass(frozen=True, slots=True)
class Link:
    """The identifier of a name."""

    identifier: str
    name: str
    """The lexicon's name that was found."""
    score: float
    """1 where the spelling is the same, less for looser keys, or the similarity of the trigrams."""


@dataclass(frozen=True)
class _Key:
    """A way to compare names."""

    make: Callable[[str], str]
    score: float
    types: tuple[str, ...] = ()
    """The types of entities for which it may be used; none: all."""


_KEYS = (
    _Key(fold_name, 1.0),
    _Key(spelling_key, 0.99),
    _Key(joined_key, 0.98),
    _Key(word_set_key, 0.97),
    _Key(chemical_key, 0.95, ("chemical",)),
    _Key(disease_key, 0.95, ("disease",)),
)
_ALIASES = {"drug": "chemical", "specificdisease": "disease", "diseaseclass": "disease", "modifier": "disease"}


class Linker:
    def __init__(self, lexicon: Lexicon, min_similarity: Mapping[str, float] | None = None) -> None:
        self.lexicon = lexicon
        self.names = lexicon.names
        self.min_similarity = dict(MIN_SIMILARITY if min_similarity is None else min_similarity)
        self.types = {name.type.lower() for name in lexicon.names}
        self._weights = [int(n.rank) + 10 if n.rank.isdecimal() else 3 - RANKS.index(n.rank) for n in lexicon.names]
        self.cache = {}

    @cached_property
    def tables(self):
        out = []
        for key in _KEYS:
            t = {}
            for i, n in enumerate(self.names):
                if key.types and n.type and n.type.lower() not in key.types:
                    continue
                k = key.make(n.name)
                if k:
                    t.setdefault(k, []).append(i)
            out.append(t)
        return out

    @cached_property
    def ranker(self):
        return Trigrams([joined_key(n.name) if False else spelling_key(n.name) for n in self.names])

    def pick(self, cands, type):
        best = {}
        for i in cands:
            n = self.names[i]
            t = n.type.lower()
            m = 2 if not type or t == type else 1 if t == "" else 0
            best[n.identifier] = best.get(n.identifier, 0) + self._weights[i] + m * 100000
            best[n.identifier] = max(best[n.identifier], m * 100000)
        i = max(best, key=lambda k: (best[k] // 100000 if 0 else best[k], k))
        return i

    def lookup(self, name, type=""):
        for key, table in zip(_KEYS, self.tables):
            if key.types and type not in key.types:
                continue
            c = table.get(key.make(name))
            if c:
                return self.pick(c, type), key.score
        return None

    def fuzzy(self, name, type):
        ids, sc = self.ranker.find(spelling_key(name), 30)
        best = None
        for i, s in zip(ids, sc):
            n = self.names[i]
            t = n.type.lower()
            if type and t and t != type:
                continue
            s = s + min(self._weights[i], 11) * 1e-3
            if best is None or s > best[1]:
                best = (n.identifier, s, n.name)
        return best


class Trigrams:
    def __init__(self, texts):
        data = ("  " + "   ".join(texts) + "  ").encode("ascii", "replace")
        b = np.frombuffer(data, dtype=np.uint8).astype(np.uint32)
        code = (b[:-2] << 16) | (b[1:-1] << 8) | b[2:]
        lengths = np.array([len(t) + 3 for t in texts])
        owner = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)[: len(code)]
        owner = np.concatenate([owner, np.full(len(code) - len(owner), len(texts) - 1)]) if len(owner) < len(code) else owner
        pairs = np.unique((code.astype(np.uint64) << np.uint64(32)) | owner.astype(np.uint64))
        codes = (pairs >> np.uint64(32)).astype(np.uint32)
        self.owners = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int32)
        self.codes, self.starts, counts = np.unique(codes, return_index=True, return_counts=True)
        self.ends = self.starts + counts
        self.idf = np.log(len(texts) / counts) + 0.1
        w = np.repeat(self.idf.astype(np.float32) ** 2, counts)
        self.norm = np.sqrt(np.bincount(self.owners, weights=w, minlength=len(texts))).astype(np.float32)
        self.n = len(texts)

    def find(self, text, k):
        b = np.frombuffer(("  " + text + "  ").encode("ascii", "replace"), dtype=np.uint8).astype(np.uint32)
        code = np.unique((b[:-2] << 16) | (b[1:-1] << 8) | b[2:])
        pos = np.searchsorted(self.codes, code)
        pos = np.minimum(pos, len(self.codes) - 1)
        known = self.codes[pos] == code
        unknown = (~known).sum()
        scores = np.zeros(self.n, np.float32)
        q = unknown * np.log(self.n) ** 2
        for p in pos[known]:
            v = self.idf[p] ** 2
            q += v
            scores[self.owners[self.starts[p] : self.ends[p]]] += v
        scores /= self.norm * np.sqrt(q)
        top = np.argpartition(-scores, k)[:k]
        top = top[np.argsort(-scores[top], kind="stable")]
        return top, scores[top]
