"""Sentences and words of running text, each with its place, cut as the tagging data sets are cut.

Sentences: one ends at `.`, `?` or `!` (and what closes quotation marks or brackets behind it) where white space and
then a capital letter, a digit or an opening bracket follow, and at an empty line; but not behind a single capital
letter (`E. coli`) or one of `ABBREVIATIONS`. Words: runs of letters
and digits, and every other sign by itself; on the abstracts of the NCBI disease corpus that gives the very words of its
published files. Knows nothing of models, and never imports torch.
"""

import re

from biogpt.documents.types import Span

# fmt: off
ABBREVIATIONS = frozenset((
    "Dr", "Drs", "Eq", "Eqs", "Fig", "Figs", "Mr", "Mrs", "Ms", "No", "Nos", "Prof", "Ref", "Refs", "St", "Vol",
    "al", "approx", "ca", "cf", "e.g", "fig", "figs", "i.e", "resp", "vs",
))
# fmt: on

_END = re.compile(r"[.?!][\"')\]]*(?=\s+[\"'(\[]*[A-Z0-9])|\s*\n[ \t\r]*\n\s*")
_LAST_WORD = re.compile(r"[\w.]*$")
_WORD = re.compile(r"[^\W_]+|\S")
_LOOK_BACK = 40  # characters: no abbreviation is longer


def split_sentences(text: str) -> list[Span]:
    """Where the sentences of a text stand, without the white space around them."""
    spans = []
    start = 0
    for end in (*(mark.end() for mark in _END.finditer(text) if not _is_abbreviation(text, mark)), len(text)):
        sentence = text[start:end]
        if sentence.strip():
            first = start + len(sentence) - len(sentence.lstrip())
            spans.append((first, first + len(sentence.strip())))
        start = end
    return spans


def split_words(text: str, span: Span) -> list[Span]:
    """Where the words within a span of a text stand."""
    return [word.span() for word in _WORD.finditer(text, *span)]


def _is_abbreviation(text: str, mark: re.Match[str]) -> bool:
    if not mark[0].startswith("."):
        return False
    before = _LAST_WORD.search(text[max(0, mark.start() - _LOOK_BACK) : mark.start()])
    word = before[0] if before else ""
    if len(word) == 1:
        return word.isupper()
    return word in ABBREVIATIONS
