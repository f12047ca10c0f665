"""Linking: names to identifiers, such as "renal failure" to MeSH D051437.

A name is looked up in a lexicon: first as it is spelled, then by looser keys (`biogpt.text.names`), then part by part
("breast and ovarian cancer"), and at last among the names that share most of its character trigrams. A name that has
none near enough gets no identifier. Abbreviations are read as their own document defines them. Never imports torch.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from biogpt.documents.types import Document, Entity
from biogpt.extraction.lexicons import Lexicon, Name, load_lexicon
from biogpt.text.abbreviations import find_abbreviations
from biogpt.text.names import (
    chemical_key,
    disease_key,
    fold_name,
    has_same_sense,
    joined_key,
    spelling_key,
    word_set_key,
    words_of_name,
)

DEFAULT_LEXICON = "mesh"

MIN_SIMILARITY = {"chemical": 0.7, "disease": 0.65}
"""How similar a name must be to one of the lexicon where no key is the same. Chosen on BC5CDR's development set with a
lexicon that lacked it: lower values find more, but F1 falls by more than half a point from its best."""

OTHER_MIN_SIMILARITY = 0.75
"""The same for all other types."""


@dataclass(frozen=True, slots=True)
class Link:
    """The identifier that was found for a name."""

    identifier: str
    """Several with `|` between them where the name is made of several: "breast and ovarian cancer"."""
    name: str
    """The lexicon's name that was found."""
    score: float
    """1 where the spelling is the same, 0.95 to 0.99 by a looser key, 0.9 in parts, or the similarity of trigrams."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A way to compare names by their words."""

    make: Callable[[Sequence[str]], str]
    score: float
    type: str = ""
    """The type of the only entities for which it may be used, beside those without a type; empty: all."""
    is_loose: bool = False
    """It is not enough where the lexicon's name is of another type."""


_KEYS = (
    _Key(spelling_key, 0.99),
    _Key(joined_key, 0.98),
    _Key(word_set_key, 0.97, is_loose=True),
    _Key(chemical_key, 0.95, "chemical", is_loose=True),
    _Key(disease_key, 0.95, "disease", is_loose=True),
)
_PARTS_SCORE = 0.9
_ALIASES = {"drug": "chemical", "specificdisease": "disease", "diseaseclass": "disease", "modifier": "disease"}
_RANK_WEIGHTS = {"label": 3, "exact": 2, "related": 1}
_ANNOTATED_WEIGHT = 10
_UNKNOWN = ("", "-", "-1")
_JOINT = re.compile(r"\s*(?:,?\s*\band/or\b|,?\s*\band\b|,?\s*\bor\b|/|,)\s*")
_MIN_LETTERS = 5  # shorter names are abbreviations, and their neighbours other abbreviations
_NUM_CANDIDATES = 20
_MAX_SIMILARITY = 0.89  # a name that is only similar scores less than any that has a key


class Linker:
    """Finds the identifiers of names in a lexicon.

        >>> linker = biogpt.load_linker()
        >>> linker("failure of the kidneys", "Disease").identifier
        'D051437'

    Args:
        lexicon: the names.
        min_similarity: for each type, in small letters, how similar a name must be; see `MIN_SIMILARITY`.
    """

    def __init__(self, lexicon: Lexicon, min_similarity: Mapping[str, float] | None = None) -> None:
        self.lexicon = lexicon
        self.min_similarity: Mapping[str, float] = MIN_SIMILARITY if min_similarity is None else min_similarity
        self._names = lexicon.names
        self._types = [name.type.lower() for name in lexicon.names]
        self._known_types = set(self._types) - {""}
        self._weights = [_weight(name) for name in lexicon.names]
        self._rankers: dict[str, _Ranker] = {}
        self._ranked: dict[tuple[str, str], Link | None] = {}

    def __repr__(self) -> str:
        return f"Linker({self.lexicon.title!r}, {len(self._names)} names)"

    @classmethod
    def from_lexicon(cls, lexicon: str | Path) -> Self:
        """A linker with the lexicon of this name or file; see `biogpt.extraction.lexicons.load_lexicon`.

        Raises:
            InputError: there is no such lexicon.
            DataError: the file is not a lexicon, or a line of it cannot be used.
        """
        return cls(load_lexicon(lexicon))

    def __call__(self, name: str, type: str = "", other_form: str = "") -> Link | None:
        """The identifier of a name, or None where the lexicon has none that is near enough.

        Args:
            name: as it stands in a text.
            type: what kind of entity it is, e.g. "Chemical" or "Disease"; empty or unknown to the lexicon: any.
            other_form: what its document defines it to mean, see `other_forms`.
        """
        known_type = self._known_type(type)
        forms = sorted(filter(None, (name, other_form)), key=lambda form: -len(fold_name(form)))
        for look_up in (self._look_up, self._look_up_parts):
            for form in forms:
                if link := look_up(form, known_type):
                    return link
        return self._rank(forms[0], known_type) if forms else None

    def link_document(self, document: Document) -> Document:
        """The document with identifiers for what was extracted from it.

        Identifiers that are there stay. A name for which the document's own annotations have an identifier gets this
        one. All else comes from the lexicon.
        """
        extraction = document.extraction
        if extraction is None:
            return document
        forms = other_forms(document.text)
        known = {
            (fold_name(annotation.text), self._known_type(annotation.type)): annotation.identifier
            for annotation in document.annotations
            if annotation.identifier not in _UNKNOWN
        }

        def link(entity: Entity) -> Entity:
            if entity.identifier not in _UNKNOWN:
                return entity
            name = fold_name(entity.name)
            found = self(entity.name, entity.type, forms.get(name, ""))
            identifier = known.get((name, self._known_type(entity.type))) or (found.identifier if found else "")
            return replace(entity, identifier=identifier)

        return document.with_extraction(
            replace(
                extraction,
                entities=tuple(map(link, extraction.entities)),
                relations=tuple(
                    replace(relation, roles={role: link(entity) for role, entity in relation.roles.items()})
                    for relation in extraction.relations
                ),
            )
        )

    def _known_type(self, type: str) -> str:
        folded = type.lower().replace(" ", "").replace("_", "")
        folded = _ALIASES.get(folded, folded)
        return folded if folded in self._known_types else ""

    @cached_property
    def _spellings(self) -> dict[str, list[int]]:
        return _index(fold_name(name.name) for name in self._names)

    @cached_property
    def _words(self) -> list[tuple[str, ...]]:
        return [words_of_name(name.name) for name in self._names]

    @cached_property
    def _tables(self) -> list[dict[str, list[int]]]:
        return [
            _index(
                key.make(words) if not key.type or type in ("", key.type) else ""
                for words, type in zip(self._words, self._types, strict=True)
            )
            for key in _KEYS
        ]

    def _look_up(self, name: str, type: str, must_fit: bool = False) -> Link | None:
        if (found := self._spellings.get(fold_name(name))) and (link := self._best(found, type, 1.0, must_fit)):
            return link
        words = words_of_name(name)
        for key, table in zip(_KEYS, self._tables, strict=True):
            if key.type and type and key.type != type:
                continue
            found = table.get(key.make(words))
            if found and (link := self._best(found, type, key.score, must_fit or key.is_loose)):
                return link
        return None

    def _look_up_parts(self, name: str, type: str) -> Link | None:
        """The link of a name that is made of several, all of which must be known."""
        for parts in _ways_to_part(name):
            links = [link for part in parts if (link := self._look_up(part, type, must_fit=True))]
            identifiers = list(dict.fromkeys(link.identifier for link in links))
            if len(links) == len(parts) and len(identifiers) > 1:
                return Link("|".join(identifiers), " | ".join(link.name for link in links), _PARTS_SCORE)
        return None

    def _best(self, found: Iterable[int], type: str, score: float, must_fit: bool) -> Link | None:
        """Of the names with the same key the identifier whose type fits, and that is most often meant."""
        totals: dict[str, tuple[int, int]] = {}
        for index in found:
            identifier, own = self._names[index].identifier, self._types[index]
            fit = 2 if not type or own == type else int(not own)
            best_fit, weight = totals.get(identifier, (0, 0))
            totals[identifier] = max(fit, best_fit), weight + self._weights[index]
        best = max(totals, key=lambda identifier: (*totals[identifier], identifier))
        if must_fit and not totals[best][0]:
            return None
        return Link(best, next(self._names[i].name for i in found if self._names[i].identifier == best), score)

    def _rank(self, name: str, type: str) -> Link | None:
        if (name, type) not in self._ranked:
            if len(self._ranked) > 100_000:  # a collection has millions of names
                self._ranked.clear()
            self._ranked[name, type] = self._rank_anew(name, type)
        return self._ranked[name, type]

    def _rank_anew(self, name: str, type: str) -> Link | None:
        words = words_of_name(name)
        if sum(map(len, words)) < _MIN_LETTERS:
            return None
        if type not in self._rankers:
            places = [index for index, own in enumerate(self._types) if not type or own in ("", type)]
            self._rankers[type] = _Ranker([spelling_key(self._words[place]) for place in places], places)
        best: tuple[float, int] | None = None
        similarity = 0.0
        for index, found in self._rankers[type].find(spelling_key(words)):
            order = found + 0.001 * min(self._weights[index], _ANNOTATED_WEIGHT), index
            if has_same_sense(words, self._words[index]) and (best is None or order > best):
                best, similarity = order, found
        if best is None or similarity < self.min_similarity.get(type, OTHER_MIN_SIMILARITY):
            return None
        name_found = self._names[best[1]]
        return Link(name_found.identifier, name_found.name, round(min(similarity, _MAX_SIMILARITY), 4))


def load_linker(lexicon: str | Path = DEFAULT_LEXICON) -> Linker:
    """A linker with a shipped lexicon or one of your own.

        >>> biogpt.load_linker()("paracetamol", "Chemical").identifier
        'D000082'

    Args:
        lexicon: `mesh`, or a file; see `biogpt.extraction.lexicons.load_lexicon`.

    Raises:
        InputError: there is no such lexicon.
        DataError: the file is not a lexicon, or a line of it cannot be used.
    """
    return Linker.from_lexicon(lexicon)


def other_forms(text: str) -> dict[str, str]:
    """For each abbreviation that a text defines, folded by `fold_name`, its long form; and the other way round."""
    found: dict[str, str] = {}
    for short, long in find_abbreviations(text).items():
        found.setdefault(fold_name(short), long)
        found.setdefault(fold_name(long), short)
    return found


def _weight(name: Name) -> int:
    return _RANK_WEIGHTS.get(name.rank) or _ANNOTATED_WEIGHT + int(name.rank)


def _index(keys: Iterable[str]) -> dict[str, list[int]]:
    table: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if key:
            table.setdefault(key, []).append(index)
    return table


def _ways_to_part(name: str) -> Iterator[list[str]]:
    """The ways in which a name can be several: "A and B", "A and B HEAD", "MODIFIER A and B"."""
    parts = list(filter(None, _JOINT.split(name)))
    if not 2 <= len(parts) <= 4:
        return
    yield parts
    last, first = parts[-1].split(), parts[0].split()
    for place in range(1, len(last)):
        head = " ".join(last[place:])
        yield [*(f"{part} {head}" for part in parts[:-1]), parts[-1]]
    for place in range(len(first) - 1, 0, -1):
        modifier = " ".join(first[:place])
        yield [parts[0], *(f"{modifier} {part}" for part in parts[1:])]


class _Ranker:
    """Finds similar texts by the cosine of their character trigrams, weighted by how rare these are.

    Args:
        texts: in ASCII; other characters all count as one.
        numbers: what each text is called.
    """

    def __init__(self, texts: Sequence[str], numbers: Sequence[int]) -> None:
        self._numbers = numbers
        trigrams = [_trigrams(text) for text in texts]
        lengths = [len(own) for own in trigrams]
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        codes = np.concatenate(trigrams) if trigrams else np.zeros(0, np.uint32)
        order = np.argsort(codes, kind="stable")
        self._owners = owners[order]
        self._codes, self._starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
        self._ends = self._starts + counts
        self._unseen = float(np.log(len(texts) + 1) ** 2)
        self._weights = (np.log((len(texts) + 1) / counts) ** 2).astype(np.float32)
        squares = np.bincount(self._owners, np.repeat(self._weights, counts), len(texts))
        self._norms = np.sqrt(squares).astype(np.float32) + np.float32(1e-6)

    def find(self, text: str) -> list[tuple[int, float]]:
        """The most similar texts, as many as are looked at, in no order: (its number, its similarity from 0 to 1)."""
        codes = _trigrams(text)
        if not len(self._codes) or not len(codes):
            return []
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = places[self._codes[places] == codes]
        scores = np.zeros(len(self._norms), np.float32)
        for place in known:
            scores[self._owners[self._starts[place] : self._ends[place]]] += self._weights[place]
        norm = float(self._weights[known].sum()) + self._unseen * (len(codes) - len(known))
        scores /= self._norms * np.float32(np.sqrt(norm) + 1e-6)
        size = min(_NUM_CANDIDATES, len(scores))
        best = np.argpartition(-scores, size - 1)[:size]
        return [(self._numbers[index], float(scores[index])) for index in best]


def _trigrams(text: str) -> npt.NDArray[np.uint32]:
    """A text's trigrams, each once, as numbers."""
    letters = np.frombuffer(f"  {text}  ".encode("ascii", "replace"), np.uint8).astype(np.uint32)
    return np.unique((letters[:-2] << 16) | (letters[1:-1] << 8) | letters[2:])
