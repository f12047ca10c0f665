"""Constraints: which tokens may come next, and which must, so that a text is one that a grammar allows.

A `TokenConstraint` is a grammar compiled for a vocabulary and a source. A `ConstraintState` follows one text through
it, id by id, and always knows how many ids the text still needs to its end, so that no limit cuts it in the middle.
This module knows neither models nor logits, and never imports torch.

All that may stand between two points of a text (words of a template, one of some choices, a span of the source) is a
trie of ids. Where a text can be read in several ways ("a and b" is one span or two), all of them are followed.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf
from typing import NamedTuple

from biogpt.decoding.text_stream import WORD_END
from biogpt.errors import ConfigError, InputError
from biogpt.text import moses
from biogpt.text.grammar import Grammar, SourceSpan, Words
from biogpt.text.tokenizer import BioGptTokenizer

Ids = tuple[int, ...]

# Stands for a slot while a template is encoded, because Moses looks at what is around a word.
_PLACEHOLDER = "placeholder"
# Words without a letter or digit with which a span may begin, or end.
_BEGINNERS, _ENDERS = frozenset("([{"), frozenset(")]}%+")
# What Moses may leave on a word, but no name begins or ends with. Before a word in lower case, and so in all of a
# lower-cased source, it takes every full stop for that of an abbreviation.
_LOOSE_START, _LOOSE_END = "-", ".-'"
_LOOSE = "-.,'"
_SENTENCE_ENDS = frozenset("?!")
_ABBREVIATIONS = frozenset(("subsp.", "spp.", "ssp.", "var.", "cf.", "approx.", "resp."))  # within names
_MIN_SENTENCE_END = 4  # characters of a word with its full stop; shorter ones are abbreviations


class SourceWord(NamedTuple):
    """A word of the source, as ids: within a span, and at its edges."""

    ids: Ids
    first: Ids
    """Where a span begins with the word; empty: none does."""
    last: tuple[Ids, ...]
    """Where a span ends with it, in one of these ways."""
    alone: tuple[Ids, ...]
    """Where it is the whole span."""
    has_letter: bool
    """Or a digit; a span needs one."""
    earliest: int
    """The first word of the source from which a span may run over this one: beyond itself where none may."""


@dataclass(frozen=True)
class TokenConstraint:
    """A grammar for one vocabulary and one source; `compile_constraint` makes it."""

    opening: Ids
    """Before the first slot."""
    slots: tuple[tuple[Ids, ...] | SourceSpan, ...]
    """What may fill each: one of some texts, or a span of the source."""
    inner: tuple[Ids, ...]
    """Between one slot and the next, one less than there are slots."""
    again: Ids | None
    """Between the last slot of one sentence and the first of another; None: there is but one sentence."""
    ending: Ids
    """Behind the last slot of all, the end token included."""
    none: Ids | None
    """In place of all that, the end token included."""
    source: tuple[SourceWord, ...]
    """Of no use, and empty, where no slot is a span."""

    def begin(self, max_new_tokens: int) -> "ConstraintState":
        """A state at its first id.

        Args:
            max_new_tokens: the most ids that the text may have, the end token included.

        Raises:
            InputError: they are too few for the shortest text that the grammar allows, or the source has nothing that
                could stand in a text.
        """
        return ConstraintState(self, max_new_tokens)

    def once(self) -> "TokenConstraint":
        """The constraint for one sentence in place of a list of them."""
        return replace(self, again=None)


class _Node:
    """A place in a trie."""

    __slots__ = ("children", "exits", "num_needed")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.exits: tuple[str | int, ...] = ()  # names of the tries in which the text may go on from here
        self.num_needed: float = inf  # ids to the end of the text, at the least


class _Thread(NamedTuple):
    """One way to read the text so far."""

    node: _Node
    start: int = 0
    """Where the sentence's first slot began."""
    stop: int = 0
    """Where the last slot of the last new sentence ended."""
    said: frozenset[Ids] = frozenset()
    """What stood between start and stop, of all sentences."""
    is_repeat: bool = False
    """This sentence is one of `said`."""


# Tries are named by the slot's number where they fill one, and these:
_OPENING, _CLOSING, _ENDING, _DONE = "opening", "closing", "ending", "done"


class ConstraintState:
    """One text on its way through a constraint.

    A sentence that repeats an earlier one ends the list: small models fall into loops, and forbidding the repetition
    alone would leave them less probable sentences. The repetition is taken back (see `accept`).
    """

    def __init__(self, constraint: TokenConstraint, max_new_tokens: int) -> None:
        self.ids: list[int] = []
        """The text so far."""
        self._max_new_tokens = max_new_tokens
        self._tries = _Tries(constraint)
        self._threads = tuple(self._enter(_Thread(self._tries.roots[_OPENING])))
        num_needed = min(thread.node.num_needed for thread in self._threads)
        if num_needed == inf:
            raise InputError(
                "The source has no word that could fill a slot, expected some text. Leave it out, or do without "
                "the constraint."
            )
        if num_needed > max_new_tokens:
            raise InputError(
                f"Got room for {max_new_tokens} new tokens, expected at least {num_needed}: no text that the task's "
                "sentence allows is shorter. Raise max_new_tokens, shorten the prompt, or do without the constraint."
            )

    @property
    def is_done(self) -> bool:
        """Whether the text has its end token."""
        return any(thread.node is self._tries.roots[_DONE] for thread in self._threads)

    def allowed(self) -> set[int]:
        """The ids that may come next: never none before the state is done."""
        left = self._max_new_tokens - len(self.ids) - 1
        return {
            index
            for thread in self._threads
            for index, child in thread.node.children.items()
            if child.num_needed <= left or thread.is_repeat
        }

    def fork(self) -> "ConstraintState":
        """Another state at the same place."""
        other = copy.copy(self)
        other.ids = list(self.ids)
        return other

    def fast_forward(self) -> list[int]:
        """The ids that must come next, as far as there is no choice; none where there is one."""
        ahead = self.fork()
        forced: list[int] = []
        while not ahead.is_done and len(allowed := ahead.allowed()) == 1:
            (index,) = allowed
            if ahead.accept(index):
                break  # a repetition: it ends when the last of it is said
            forced.append(index)
        return forced

    def accept(self, index: int) -> int:
        """Go on by one id.

        Returns:
            How many ids were taken back, the last ones including this: nearly always 0. With its last word a sentence
            that repeats an earlier one is taken back, and what separated it; then the text can only end.

        Raises:
            InputError: the id is not allowed here.
        """
        left = self._max_new_tokens - len(self.ids) - 1
        followed = [
            thread._replace(node=child)
            for thread in self._threads
            if (child := thread.node.children.get(index)) and (child.num_needed <= left or thread.is_repeat)
        ]
        if not followed:
            raise InputError(f"Got the id {index}, expected one of those that `allowed` gives. Take one of them.")
        self.ids.append(index)
        self._threads = tuple(entered for thread in followed for entered in self._enter(thread))
        if not all(thread.is_repeat for thread in self._threads):
            return 0
        num_taken = len(self.ids)
        last = max(self._threads, key=lambda thread: thread.stop)
        del self.ids[last.stop :]
        self._threads = tuple(self._enter(last._replace(node=self._tries.roots[_ENDING], is_repeat=False)))
        return num_taken - len(self.ids)

    def _enter(self, thread: _Thread) -> Iterator[_Thread]:
        """The thread, and those that go on from its place in other tries."""
        yield thread
        for name in () if thread.is_repeat else thread.node.exits:
            onward = thread._replace(node=self._tries.roots[name])
            if name == 0:
                onward = onward._replace(start=len(self.ids))
            elif name == _CLOSING:
                sentence = tuple(self.ids[thread.start :])
                if sentence in thread.said:
                    onward = onward._replace(is_repeat=True)
                else:
                    onward = onward._replace(stop=len(self.ids), said=thread.said | {sentence})
            yield from self._enter(onward)


class _Tries:
    """All that a constraint allows."""

    def __init__(self, constraint: TokenConstraint) -> None:
        num_slots = len(constraint.slots)
        self.roots: dict[str | int, _Node] = {_DONE: _Node()}
        self.roots[_DONE].num_needed = 0
        self._grow(_ENDING, (constraint.ending, _DONE))
        self._grow(_CLOSING, (constraint.ending, _DONE))
        spans: dict[int, _Spans] = {}
        # From the last to the first, because each has to know how far it is from there to the end.
        for number in reversed(range(num_slots)):
            behind = 2 * number + 1 if number < num_slots - 1 else _CLOSING
            if number < num_slots - 1:
                self._grow(behind, (constraint.inner[number], 2 * number + 2))
            slot = constraint.slots[number]
            if isinstance(slot, SourceSpan):
                known = spans.get(slot.max_words) or _Spans(constraint.source, slot.max_words)
                spans[slot.max_words] = known
                first = [(0, place) for place in known.first]
                self.roots[2 * number] = _SpanNode(known, first, behind, self.roots[behind].num_needed)
            else:
                self._grow(2 * number, *((ids, behind) for ids in slot))
        if constraint.again is not None:
            self._grow(_CLOSING, (constraint.ending, _DONE), (constraint.again, 0))
        self._grow(_OPENING, (constraint.opening, 0), *([] if constraint.none is None else [(constraint.none, _DONE)]))

    def _grow(self, name: str | int, *paths: tuple[Ids, str | int]) -> None:
        """The trie of some paths, and what follows each."""
        self.roots[name] = _Node()
        for ids, leads_to in paths:
            nodes = [self.roots[name]]
            for index in ids:
                nodes.append(nodes[-1].children.setdefault(index, _Node()))
            nodes[-1].exits += (leads_to,)
            for num_left, node in enumerate(reversed(nodes)):
                node.num_needed = min(node.num_needed, num_left + self.roots[leads_to].num_needed)


class _Place(NamedTuple):
    """A word within a span, as it is encoded there."""

    start: int
    """The span's first word in the source."""
    word: int
    """This word in the source."""
    ids: Ids
    is_last: bool
    """The span ends with this word."""
    num_needed: float
    """Ids from the word's first one to the end of the span, at the least."""


class _Spans:
    """The spans of a source, of some words at the most: what slots share that such spans fill."""

    def __init__(self, source: Sequence[SourceWord], max_words: int) -> None:
        self._source = source
        self._max_words = max_words
        # How many words before each have a letter or digit, and what was found: all are asked for often.
        self._num_letters = [0, *accumulate(word.has_letter for word in source)]
        self._known_needs: dict[tuple[int, int], float] = {}
        self._known_places: dict[tuple[int, int], list[_Place]] = {}
        self.first: list[_Place] = [place for start in range(len(source)) for place in self.enter(start, start)]
        """Where a span may begin."""

    def enter(self, start: int, word: int) -> list[_Place]:
        """The ways to read one more word in a span: as its last or not."""
        known = self._known_places.get((start, word))
        if known is None:
            known = self._known_places[start, word] = self._enter(start, word)
        return known

    def _enter(self, start: int, word: int) -> list[_Place]:
        if not self._may_reach(start, word):
            return []
        at = self._source[word]
        ids = at.first if word == start else at.ids
        if not ids:
            return []
        ends = [_Place(start, word, end, True, len(end)) for end in self._ends(start, word)]
        num_needed = len(ids) + self._needed_after(start, word)
        return [_Place(start, word, ids, False, num_needed), *ends] if num_needed < inf else ends

    def _needed_after(self, start: int, word: int) -> float:
        """How many ids there are at the least behind a word to the nearest end of its span."""
        key = (start, word)
        known = self._known_needs.get(key)
        if known is None:
            num_ids = 0
            known = inf
            while self._may_reach(start, word := word + 1):
                if ends := self._ends(start, word):
                    known = num_ids + min(map(len, ends))
                    break
                num_ids += len(self._source[word].ids)
            self._known_needs[key] = known
        return known

    def _may_reach(self, start: int, word: int) -> bool:
        is_within = word < start + self._max_words and word < len(self._source)
        return is_within and start >= self._source[word].earliest

    def _ends(self, start: int, word: int) -> tuple[Ids, ...]:
        if word == start:
            return self._source[word].alone
        has_letter = self._num_letters[word + 1] > self._num_letters[start]
        return self._source[word].last if has_letter else ()


class _SpanNode(_Node):
    """A place in the trie of all spans, which grows where it is looked at: as a whole it is hundreds of times larger
    than its source.

    Args:
        spans: of the source.
        places: each with how many of its ids were read.
        leads_to: the trie behind the slot.
        needed_behind: ids from there to the end of the text, at the least.
    """

    __slots__ = ("_children", "_leads_to", "_needed_behind", "_places", "_spans")

    def __init__(
        self, spans: _Spans, places: Sequence[tuple[int, _Place]], leads_to: str | int, needed_behind: float
    ) -> None:
        self._spans, self._places, self._leads_to, self._needed_behind = spans, places, leads_to, needed_behind
        self._children: dict[int, _Node] | None = None
        nearest = min([place.num_needed - num_read for num_read, place in places], default=inf)
        self.num_needed = nearest + needed_behind
        is_end = any(place.is_last and num_read == len(place.ids) for num_read, place in places)
        self.exits = (leads_to,) if is_end else ()

    @property
    def children(self) -> dict[int, _Node]:  # type: ignore[override]
        if self._children is None:
            by_id: dict[int, list[tuple[int, _Place]]] = {}
            for num_read, place in self._places:
                if num_read < len(place.ids):
                    by_id.setdefault(place.ids[num_read], []).append((num_read + 1, place))
                elif not place.is_last:
                    for onward in self._spans.enter(place.start, place.word + 1):
                        by_id.setdefault(onward.ids[0], []).append((1, onward))
            behind = self._leads_to, self._needed_behind
            self._children = {index: _SpanNode(self._spans, places, *behind) for index, places in by_id.items()}
        return self._children


def compile_constraint(grammar: Grammar, tokenizer: BioGptTokenizer, source_ids: Sequence[int]) -> TokenConstraint:
    """A constraint for the texts that a grammar allows after one source.

    Args:
        grammar: what the text may look like.
        tokenizer: the model's own.
        source_ids: what the model reads; special tokens in it are no part of the source.

    Raises:
        ConfigError: the grammar cannot be followed token by token: a slot is not a word of its own, nothing stands
            between two sentences, or the vocabulary lacks a character of the grammar.
    """
    slots = [part for part in grammar.sentence if not isinstance(part, Words)]
    choices = [() if isinstance(slot, SourceSpan) else tuple(_encode(slot.texts, tokenizer)) for slot in slots]
    text = _render(grammar)
    (ids,) = _encode([text], tokenizer)
    if any(tokenizer.unk_token_id in known for known in (ids, *(ids for texts in choices for ids in texts))):
        raise ConfigError(
            f"Cannot hold a text to {text!r}: the vocabulary lacks a character of the sentence or of a slot's "
            "choices. Write it with other characters."
        )
    runs = _split_at_slots(ids, tokenizer)
    num_slots = len(slots)
    if not slots or len(runs) != (2 * num_slots if grammar.is_repeated else num_slots) + 1:
        raise ConfigError(
            f"Cannot hold a text to {text!r}, where '{_PLACEHOLDER}' stands for a slot: expected at least one slot, "
            "each apart from the words around it. Correct the sentence, or do without the constraint (--unconstrained)."
        )
    if grammar.is_repeated and not runs[num_slots]:
        raise ConfigError(f"Cannot hold a text to {text!r}: nothing stands between its sentences. Set a separator.")
    end_id: int = tokenizer.eos_token_id
    return TokenConstraint(
        opening=runs[0],
        slots=tuple(
            slot if isinstance(slot, SourceSpan) else texts for slot, texts in zip(slots, choices, strict=True)
        ),
        inner=tuple(runs[1:num_slots]),
        again=runs[num_slots] if grammar.is_repeated else None,
        ending=(*runs[-1], end_id),
        none=None if grammar.none is None else (*_encode([grammar.none], tokenizer)[0], end_id),
        source=tuple(_read_source(source_ids, tokenizer, grammar)) if () in choices else (),
    )


def _render(grammar: Grammar) -> str:
    """A text of one or two sentences with placeholders in the slots."""
    sentence = "".join(part.text if isinstance(part, Words) else _PLACEHOLDER for part in grammar.sentence)
    sentences = [sentence, sentence] if grammar.is_repeated else [sentence]
    return grammar.opening + grammar.separator.join(sentences) + grammar.end


def _split_at_slots(ids: Ids, tokenizer: BioGptTokenizer) -> list[Ids]:
    """The ids of what stands before, between and behind the placeholders of a text."""
    (placeholder,) = _encode([_PLACEHOLDER], tokenizer)
    runs: list[Ids] = [()]
    for _, word in _split_words(ids, tokenizer):
        if word == placeholder:
            runs.append(())
        else:
            runs[-1] += word
    return runs


def _read_source(source_ids: Sequence[int], tokenizer: BioGptTokenizer, grammar: Grammar) -> list[SourceWord]:
    """The words of a source, with all that a span has to know of them."""
    words = [(_to_text(word), ids) for word, ids in _split_words(source_ids, tokenizer)]
    trimmed = {core for text, _ in words for core in _cores(text) if core != text}
    encoded = dict(zip(trimmed, _encode(list(trimmed), tokenizer), strict=True))
    marks = tuple(mark for mark in (grammar.separator.strip(), grammar.end.strip()) if mark)
    opener = grammar.sentence[0].text if isinstance(grammar.sentence[0], Words) else ""
    opening = [_to_text(word).strip(_LOOSE) for word in moses.split_words([opener])[0]]
    plain = [text.strip(_LOOSE) for text, _ in words]
    neighbours = _neighbours(grammar)
    source = []
    for place, (text, ids) in enumerate(words):
        earliest = place if place and _ends_sentence(words[place - 1][0]) else 0
        # A word that ends in dots is what cutting the source left of one.
        if not ids or text.startswith(marks) or text in _SENTENCE_ENDS or (".." in text):
            earliest = place + 1
        elif opening and plain[max(0, place + 1 - len(opening)) : place + 1] == opening:
            earliest = max(earliest, place + 2 - len(opening))
        has_letter = any(map(str.isalnum, text))
        is_edge = has_letter and text not in neighbours
        may_begin = (is_edge and text[0] != "'") or text in _BEGINNERS
        may_end = is_edge or text in _ENDERS
        first, last, alone = (encoded.get(core, ids) for core in _cores(text))
        # An abbreviation with other full stops in it may end in its own; in other words it ends a sentence.
        whole = (ids,) if text.endswith(".") and "." in text[:-1] else ()
        source.append(
            SourceWord(
                ids=ids,
                first=first if may_begin else (),
                last=(last, *whole) if may_end else (),
                alone=(alone, *whole) if is_edge and may_begin else (),
                has_letter=has_letter,
                earliest=earliest,
            )
        )
    return source


def _neighbours(grammar: Grammar) -> set[str]:
    """The template's words next to a slot. A span neither begins nor ends with one: "and and" would be hard to read."""
    neighbours: set[str] = set()
    for place, part in enumerate(grammar.sentence):
        words = [_to_text(word) for word in moses.split_words([part.text])[0]] if isinstance(part, Words) else []
        neighbours.update(words[:1] if place > 0 else ())
        neighbours.update(words[-1:] if place < len(grammar.sentence) - 1 else ())
    return neighbours


def _split_words(ids: Sequence[int], tokenizer: BioGptTokenizer) -> list[tuple[str, Ids]]:
    """Each word of some ids, as Moses writes it; a special token, or a word with an unknown token, has no ids."""
    special, unknown_id = set(tokenizer.all_special_ids), tokenizer.unk_token_id
    words: list[tuple[str, Ids]] = []
    token_ids: list[int] = []
    text, is_known = "", True
    for index, token in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        if index == unknown_id:
            is_known = False
        elif index in special:
            words.append(("", ()))
            text, is_known = "", True
            token_ids.clear()
        else:
            text += token.removesuffix(WORD_END)
            token_ids.append(index)
            if token.endswith(WORD_END):
                words.append((text, tuple(token_ids) if is_known else ()))
                text, is_known = "", True
                token_ids.clear()
    return words


def _encode(texts: Sequence[str], tokenizer: BioGptTokenizer) -> list[Ids]:
    return [tuple(ids) for ids in tokenizer.encode_ids(texts)]


def _ends_sentence(word: str) -> bool:
    """Whether a word's full stop is that of a sentence: `i.v.`, `E.`, `St.` and `subsp.` are abbreviations."""
    is_plain = word.endswith(".") and "." not in word[:-1]
    return is_plain and len(word) >= _MIN_SENTENCE_END and word not in _ABBREVIATIONS


@functools.lru_cache(maxsize=2**16)
def _to_text(word: str) -> str:
    return moses.join_words([word])


def _cores(text: str) -> tuple[str, str, str]:
    """A word as it is where a span begins with it, ends with it, and is nothing else."""
    first = text.lstrip(_LOOSE_START) or text
    return first, text.rstrip(_LOOSE_END) or text, first.rstrip(_LOOSE_END) or text
