"""Abstracts of the corpus by their fingerprint, and what their words say of them.

A fingerprint is that of preparing a corpus: it tells the same abstract wherever it stands, and whether it is held out.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from biogpt.documents import Article, read_articles
from biogpt.training.corpus import duplicates

HELDOUT_FRACTION = 0.01
"""As in the recipes of `mini`."""

MIN_WORDS = 60
"""A shorter abstract is none."""

_TREATMENT = re.compile(
    r"\b(?:treat(?:ed|ment|ments|ing|s)?|therap(?:y|ies|eutic)|efficac(?:y|ious)|effective(?:ness)?|"
    r"improve(?:d|ment|ments|s)?|relie(?:f|ved|ves)|prophyla(?:xis|ctic))\b",
    re.IGNORECASE,
)
_HARM = re.compile(
    r"induc|\bcaus(?:e|ed|es|ing|al|ative)\b|toxic|\badverse|\bside[ -]effect|complication|poison|overdos|intoxicat|"
    r"\bharm|\binjur|hypersensitiv|allerg|anaphyla|withdraw|discontinu|iatrogenic|provok|precipitat|exacerbat|aggravat|"
    r"\brelated to\b|-related\b|\bassociated\b|-associated\b|attributed|secondary to|\bdue to\b",
    re.IGNORECASE,
)


def fingerprint(article: Article) -> int:
    """64 bits, equal for equal abstracts."""
    return duplicates.fingerprint(duplicates.compared_words(article))


def is_held_out(mark: int) -> bool:
    """Whether preparing the corpus of `mini` holds out the abstract of this fingerprint."""
    return mark < int(HELDOUT_FRACTION * 2**64)


def speaks_of_treatment_alone(text: str) -> bool:
    """Whether a text has a word of treatment, and none of those by which it could say that something did harm."""
    return bool(_TREATMENT.search(text)) and not _HARM.search(text)


def tells_no_harm(text: str) -> bool:
    """Whether a text has none of the words by which it could say that something did harm."""
    return not _HARM.search(text)


def read_abstracts(sources: Sequence[Path]) -> Iterator[tuple[int, Article]]:
    """Fingerprint and article of each abstract that has a title and a length worth reading, each once."""
    seen: set[int] = set()
    for source in sorted(sources):
        for article in read_articles(source, lambda problem: None):
            if not article.title or len(article.abstract.split()) < MIN_WORDS:
                continue
            mark = fingerprint(article)
            if mark not in seen:
                seen.add(mark)
                yield mark, article
