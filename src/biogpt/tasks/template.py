"""Sentences with slots: one template renders items as text and finds them in a text again.

Where a text can be read in several ways ("between a and b and c"), all ways are returned, the one with the shortest
first name first; who knows the source chooses.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise, zip_longest

from biogpt.text.grammar import Choice, Grammar, Part, SourceSpan, Words

MAX_READINGS = 200
"""Ways to read one clause that are looked at; real text has a handful."""
_MAX_JOINED = 4  # parts of one clause whose names contain the separator

_SLOT = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def slots_of(sentence: str) -> list[str]:
    """The names of a sentence's slots, in their order."""
    return _SLOT.findall(sentence)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a clause."""

    values: Mapping[str, str]
    ignored: str = ""
    """What followed the sentence within its clause."""


@dataclass(frozen=True)
class Template:
    """A sentence, and how several of them make a target."""

    sentence: str
    separator: str = "; "
    end: str = "."
    none: str = ""
    phrases: Mapping[str, Mapping[str, str]] | None = None
    """Verbalizers: for a slot, value -> the text that stands for it in this sentence."""
    endings: Mapping[str, Sequence[Sequence[str]]] | None = None
    """Verbalizers of values that `phrases` lacks: for a slot, (old ending, new ending), the first that fits."""
    choices: Mapping[str, Sequence[str]] | None = None
    """For a slot with known values: these."""

    def render(self, items: Sequence[Mapping[str, str]]) -> str:
        """All items as one target."""
        if not items:
            return self.none + self.end
        clauses = (_SLOT.sub(lambda slot: self._verbalize(slot[1], item[slot[1]]), self.sentence) for item in items)  # noqa: B023
        return self.separator.join(clauses) + self.end

    def grammar(self, fold: Callable[[str], str] = str) -> Grammar:
        """What `render` can give: known values in slots that have some, spans of the source in the others.

        Args:
            fold: what becomes of the whole text after rendering, such as `str.lower`.
        """
        parts: list[Part] = []
        for literal, slot in zip_longest(self._literals, self.slots):
            if literal:
                parts.append(Words(fold(literal)))
            if slot is not None:
                texts = dict.fromkeys(fold(text) for text in self._values_of(slot))
                parts.append(Choice(tuple(texts)) if texts else SourceSpan())
        return Grammar(
            sentence=tuple(parts),
            separator=fold(self.separator),
            is_repeated=True,
            end=fold(self.end),
            none=fold(self.render([])) if self.render([]).strip() else None,
        )

    def read(self, text: str) -> Iterator[tuple[str, list[Reading]]]:
        """Each clause of a text with the ways to read it.

        A clause without any is what could not be understood; text before the first sentence comes as such a clause.
        """
        lead, clauses = self._split(text)
        if lead.strip():
            yield lead.strip(), []
        position = 0
        while position < len(clauses):
            start, stop = clauses[position]
            clause, readings, end = text[start:stop].strip(), [], position + 1
            most = position + 1 if self._opening else min(position + _MAX_JOINED, len(clauses))
            for last in range(position + 1, most + 1):
                joined = text[start : clauses[last - 1][1]].strip()
                found = list(self.readings(joined))
                if found:
                    clause, readings, end = joined, found, last
                    break
            if clause:
                yield clause, readings
            position = end

    def readings(self, clause: str) -> Iterator[Reading]:
        """The ways to read one clause; the first cuts at the first possible places."""
        clause = clause.strip()
        if self._opening:
            opened = self._opening_pattern.match(clause)
            if not opened:
                return
            clause = clause[opened.end() :]
        inner, ignored = self._end_sentence(clause)
        if inner is None:
            return
        seen = set()
        for values in islice(self._cut(inner, len(self._between), {}), MAX_READINGS):
            last, rest = self._end_value(values[self.slots[-1]])
            key = (*(values[slot] for slot in self.slots[:-1]), last)
            if key not in seen and all(key):
                seen.add(key)
                yield Reading(dict(zip(self.slots, key, strict=True)), ignored or rest)

    def may_be_cut_off(self, text: str) -> bool:
        """The text stops within a sentence whose last word fills a slot, so that no one can tell."""
        return bool(self.end) and not self._closing and not text.rstrip().endswith(self.end)

    def alternatives(self, slot: str, value: str) -> list[str]:
        """The values with the same text as this one; more than one where the text cannot tell them apart."""
        if not self.phrases or slot not in self.phrases:
            return [value]
        return self._values_of(slot).get(self._verbalize(slot, value), [value])

    @cached_property
    def slots(self) -> list[str]:
        return slots_of(self.sentence)

    @cached_property
    def _literals(self) -> list[str]:
        return _SLOT.split(self.sentence)[::2]

    @property
    def _opening(self) -> str:
        return self._literals[0].strip()

    @property
    def _closing(self) -> str:
        return self._literals[-1].strip()

    @cached_property
    def _opening_pattern(self) -> re.Pattern[str]:
        return re.compile(_bounded(self._opening))

    @cached_property
    def _closing_pattern(self) -> re.Pattern[str]:
        return re.compile(_bounded(self._closing))

    @cached_property
    def _between(self) -> list[tuple[re.Pattern[str], str]]:
        """What stands between the slots: a pattern, and the slot that it fills where it has verbalizers."""
        between: list[tuple[re.Pattern[str], str]] = []
        prefix = ""
        for slot, literal in zip(self.slots[:-1], self._literals[1:-1], strict=True):
            if slot in (self.phrases or {}):
                texts = sorted(self._values_of(slot), key=len, reverse=True)
                phrase = "|".join(map(_tolerant, texts))
                between[-1:] = [(re.compile(f"{prefix}(?P<{slot}>{phrase}){_edge(literal)}"), slot)]
            else:
                between.append((re.compile(_edge(literal)), ""))
            prefix = _edge(literal)
        return between

    @cached_property
    def _free_slots(self) -> list[str]:
        filled = {slot for _, slot in self._between if slot}
        return [slot for slot in self.slots if slot not in filled]

    def _cut(self, text: str, depth: int, later: dict[str, str]) -> Iterator[dict[str, str]]:
        """Every way to cut text at the first `depth` patterns, first places first."""
        slot = self._free_slots[depth]
        if depth == 0:
            yield {**later, slot: text.strip()}
            return
        pattern, filled = self._between[depth - 1]
        for found in _all_matches(pattern, text):
            values = {**later, slot: text[found.end() :].strip()}
            if filled:
                values[filled] = self._find_value(filled, found[filled])
            if values[slot]:
                yield from self._cut(text[: found.start()], depth - 1, values)

    def _end_sentence(self, clause: str) -> tuple[str | None, str]:
        """What stands between the sentence's first and last words, and what follows it; None where it has no end."""
        if self._closing:
            closings = list(self._closing_pattern.finditer(clause))
            rests = [clause[closing.end() :].strip() for closing in closings]
            for closing, rest in zip(closings, rests, strict=True):
                if not rest or rest.startswith(tuple(self._marks)):
                    return clause[: closing.start()], rest
            return (clause[: closings[-1].start()], rests[-1]) if closings else (None, "")
        return clause, ""

    def _end_value(self, value: str) -> tuple[str, str]:
        """The value at a sentence's end, and what follows it: known values have no marks in them, names may."""
        if not self._closing and self.slots[-1] in (self.choices or {}):
            for mark in self._marks:
                kept, found, rest = value.partition(mark + " ")
                if found:
                    return kept.strip(), rest.strip()
        return value, ""

    @property
    def _marks(self) -> list[str]:
        """What may stand behind a sentence."""
        return [mark for mark in (self.separator.strip(), self.end.strip()) if mark]

    def _split(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """What comes before the first sentence, and where the clauses stand."""
        stop = len(text.rstrip())
        if self.end.strip() and text[:stop].endswith(self.end.strip()):
            stop -= len(self.end.strip())
        if not self._opening:
            marks = list(re.finditer(_tolerant(self.separator), text[:stop])) if self.separator.strip() else []
            starts, stops = [0, *(mark.end() for mark in marks)], [*(mark.start() for mark in marks), stop]
            return "", list(zip(starts, stops, strict=True))
        starts = [found.start() for found in self._opening_pattern.finditer(text, 0, stop)]
        if not starts:
            return text[:stop], []
        stops = [start + len(self._without_mark(text[start:following])) for start, following in pairwise(starts)]
        return text[: starts[0]], list(zip(starts, [*stops, stop], strict=True))

    def _without_mark(self, clause: str) -> str:
        """A clause without what separates it from the next."""
        clause = clause.rstrip()
        for mark in self._marks:
            if clause.endswith(mark):
                return clause.removesuffix(mark)
        return clause

    def _verbalize(self, slot: str, value: str) -> str:
        if not self.phrases or slot not in self.phrases:
            return value
        text = self.phrases[slot].get(value)
        if text is not None:
            return text
        for old, new in (self.endings or {}).get(slot, ()):
            if value.endswith(old):
                return value.removesuffix(old) + new
        return value

    def _values_of(self, slot: str) -> dict[str, list[str]]:
        """Text -> the values that it stands for, the commonest first."""
        values: dict[str, list[str]] = {}
        for value in (*(self.choices or {}).get(slot, ()), *(self.phrases or {}).get(slot, {})):
            same = values.setdefault(self._verbalize(slot, value), [])
            if value not in same:
                same.append(value)
        return values

    def _find_value(self, slot: str, text: str) -> str:
        squeezed = "".join(text.split())
        for known, values in self._values_of(slot).items():
            if "".join(known.split()) == squeezed:
                return values[0]
        return text


def _tolerant(literal: str) -> str:
    """A pattern for a literal that forgives the spaces which tokenising puts around punctuation."""
    pattern = before = ""
    ends_in_word = False
    for token in _TOKEN.findall(literal):
        if token.isspace():
            before = "space"
            continue
        is_word = bool(re.match(r"\w", token))
        if pattern:
            pattern += r"\s+" if before == "space" and is_word and ends_in_word else r"\s*"
        pattern += re.escape(token)
        ends_in_word = is_word
        before = ""
    return pattern


def _bounded(literal: str) -> str:
    """A pattern for a literal that does not begin or end within a word."""
    left = r"(?<!\w)" if re.match(r"\w", literal) else ""
    right = r"(?!\w)" if re.search(r"\w$", literal) else ""
    return left + _tolerant(literal) + right


def _edge(literal: str) -> str:
    """A pattern for what stands between two slots, with its outer spaces; none begins within a run of spaces."""
    inner = literal.strip()
    if not inner:
        return r"(?<!\s)\s+" if literal else ""
    left = r"\s+" if literal[0].isspace() and re.match(r"\w", inner) else r"\s*"
    right = r"\s+" if literal[-1].isspace() and re.search(r"\w$", inner) else r"\s*"
    return r"(?<!\s)" + left + _tolerant(inner) + right


def _all_matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """All matches, also overlapping ones."""
    found = []
    position = 0
    while match := pattern.search(text, position):
        found.append(match)
        position = match.start() + 1
    return found
