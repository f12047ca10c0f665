"""Search: the sequences that a constraint allows and whose probability reaches a threshold.

Unlike a beam search it needs no number of beams: texts that exclude each other have at most the probability 1 together,
so there are never more than 1 / `threshold` of them, finished or not. Many searches run side by side, and all that
they have to read is read in one pass. It knows ids alone.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from biogpt.decoding.constraint import ConstraintState
from biogpt.engine.drafting import MAX_DRAFT, Choices, Draft, Drafter
from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.network import Network, Segment
from biogpt.engine.tree import Places, TokenTree
from biogpt.errors import is_out_of_memory

MAX_NEW_TOKENS_READ = 1024
"""Tokens of new prompts that one pass reads, unless a single one has more: it bounds the memory of a pass."""


@dataclass(frozen=True)
class ScoredSequence:
    """One of the texts that a model might say."""

    ids: tuple[int, ...]
    """With the end token."""
    probability: float
    """The product over its tokens of each one's share in the probability of all tokens that are allowed there."""


@dataclass(frozen=True)
class SearchRequest:
    """What to search for after one prompt."""

    prompt_ids: Sequence[int]
    state: ConstraintState
    """At the text's first id; it stays there."""
    threshold: float
    """Above 0, what a text must have."""


@dataclass
class _Begun:
    """A text that is begun."""

    state: ConstraintState
    log_probability: float
    unread_ids: Sequence[int]
    places: Places = ()
    draft: Draft = field(default_factory=Draft)
    """What may follow `unread_ids`; read with them."""


class _Search:
    """A request on its way."""

    def __init__(self, request: SearchRequest, end_id: int | None, choices: Choices) -> None:
        self.request = request
        self.floor: float = math.log(request.threshold)
        self.error: Exception | None = None
        self._drafter = None if end_id is None else Drafter(request.prompt_ids, end_id, choices)
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew."""
        self.tree: TokenTree = TokenTree(self.request.prompt_ids)
        self.begun: list[_Begun] = []
        self.found: list[ScoredSequence] = []
        try:
            first = self.request.state.fork()
            forced = _take_forced(first)
        except Exception as error:
            self.fail(error)
            return
        if first.is_done:  # there is but one text
            self.found.append(ScoredSequence(tuple(first.ids), 1.0))
        else:
            self.begun.append(_Begun(first, 0.0, forced))

    def fail(self, error: Exception) -> None:
        """End without a result; the other searches go on."""
        self.error, self.begun = error, []

    def finish(self) -> list[ScoredSequence] | Exception:
        """What was found, or why nothing can be."""
        return self.error or sorted(self.found, key=lambda one: -one.probability)

    def draft(self, num_rows: int) -> None:
        """Draft what may follow each text, where so many texts are read in the pass."""
        if self._drafter is None:
            return
        for text in self.begun:
            end = [*self.tree.prompt_ids[-8:], *text.state.ids]
            # What fails in the constraint fails again where the text goes on.
            with suppress(Exception):
                text.draft = self._drafter.follow(text.state, end, MAX_DRAFT, num_rows)

    def take(self, logits: "np.ndarray") -> None:
        """Go on by one token, by what must follow it, and by what was drafted of that, in each text that is begun.

        Args:
            logits: of each text, and of the tokens of its draft, (K, V).
        """
        longer: list[_Begun] = []
        first = 0
        for text in self.begun:
            draft = text.draft
            behind = text.places[-1] + 1 if text.places else len(self.tree.prompt_ids)
            waiting = [(text, -1)]  # texts, and the last token of each in the draft
            while waiting:
                each, last = waiting.pop()
                if self._drafter is not None:
                    self._learn_choice(each.state, logits[first + 1 + last])
                for onward in _go_on(each, logits[first + 1 + last], self.floor):
                    if onward.state.is_done:
                        self.found.append(ScoredSequence(tuple(onward.state.ids), math.exp(onward.log_probability)))
                    elif (path := draft.find(last, onward.unread_ids)) is not None:
                        onward.places = (*onward.places, *(behind + number for number in path))
                        waiting.append((onward, path[-1]))
                    else:
                        longer.append(onward)
            first += 1 + len(draft)
        self.begun = longer

    def _learn_choice(self, state: ConstraintState, logits: "np.ndarray") -> None:
        assert self._drafter is not None
        allowed = state.allowed()
        if len(allowed) > 1:
            before = [*self.request.prompt_ids[-1:], *state.ids][-1]
            self._drafter.learn_choice(before, allowed, max(sorted(allowed), key=logits.__getitem__))

    @property
    def num_scored(self) -> int:
        """Tokens whose outputs are asked for."""
        return sum(1 + len(text.draft) for text in self.begun)


def search_sequences(
    network: Network,
    requests: Iterable[SearchRequest],
    max_rows: int,
    max_bytes: int,
    end_id: int | None = None,
    num_tokens: int = 256,
    choices: Choices | None = None,
) -> Iterator[list[ScoredSequence] | Exception]:
    """The texts that may follow each prompt and reach its probability.

    Args:
        network: reads ids.
        requests: taken as there is room.
        max_rows: how many of them run side by side.
        max_bytes: of the cache; more only where a single request needs more.
        end_id: ends a text. With it, tokens that probably follow are drafted and read together; that changes no result.
        num_tokens: of the longest request with what is read behind its prompt, as far as that is known: a cache that
            has to grow is copied.
        choices: of texts before these, from which drafts learn; those of these texts are added.

    Returns:
        For each request, in their order, the most probable first; or the exception of one that failed alone, in its
        own constraint or because memory was too short even for it.

    Raises:
        CheckpointError: the model's predictions are no numbers.
    """
    waiting = iter(requests)
    choices = choices or Choices()
    active: list[_Search] = []  # by their row of the cache
    order: list[_Search] = []
    num_rows = max(1, min(max_rows, max_bytes // (num_tokens * network.bytes_per_token)))
    cache = network.make_cache(num_rows, num_tokens, max_bytes)
    is_exhausted = False
    held: _Search | None = None
    set_back: deque[_Search] = deque()  # that memory was too short for; they begin anew
    while True:
        segments: list[Segment] = []
        num_texts = sum(len(search.begun) for search in active)
        for search in active:
            search.draft(num_texts)
            texts = [(text.places, text.unread_ids) for text in search.begun]
            segment, places = search.tree.extend(texts, cache, [text.draft for text in search.begun])
            segments.append(segment)
            for text, where in zip(search.begun, places, strict=True):
                text.places = where
        num_new = 0
        while len(active) < max_rows and not (is_exhausted and held is None and not set_back):
            if held is None and set_back:
                held = set_back.popleft()
            if held is None:
                request = next(waiting, None)
                if request is None:
                    is_exhausted = True
                    break
                held = _Search(request, end_id, choices)
                order.append(held)
            if not held.begun:
                held = None
                continue
            length = len(held.tree.prompt_ids) + len(held.begun[0].unread_ids)
            longest = max(length, cache.num_tokens if active else 0)
            is_full = num_new + length > MAX_NEW_TOKENS_READ
            if (num_new and is_full) or (active and (len(active) + 1) * longest * network.bytes_per_token > max_bytes):
                break
            held.tree.row = len(active)
            held.draft(max_rows)
            begun, held.begun[0].places = held.tree.begin(held.begun[0].unread_ids, held.begun[0].draft)
            segments += begun
            active.append(held)
            num_new += length
            held = None
        if segments:
            try:
                rows = network.score(segments, cache).cpu().numpy()  # (texts of all, V)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                cache = network.make_cache(1, max_bytes=max_bytes)
                max_rows = (len(active) + 1) // 2
                if len(active) == 1:
                    active[0].fail(error)
                else:
                    for search in active:
                        search.begin()
                    set_back.extendleft(reversed(active))
                active = []
                continue
            _take_each(active, rows)
            _remove_finished(active, cache)
        while order and not order[0].begun and order[0] is not held:
            yield order.pop(0).finish()
        if is_exhausted and not active and not set_back and held is None:
            network.keep_cache(cache)
            return


def _take_each(active: Sequence[_Search], logits: "np.ndarray") -> None:
    """Give each search the logits of its own texts, (texts of all, V); one that fails fails alone."""
    first = 0
    for search in active:
        num_scored = search.num_scored
        try:
            search.take(logits[first : first + num_scored])
        except Exception as error:
            search.fail(error)
        first += num_scored


def _remove_finished(active: list[_Search], cache: KeyValueCache) -> None:
    """Take out the searches without a text that goes on; the last ones move to their rows of the cache."""
    for row in reversed(range(len(active))):
        if not active[row].begun:
            last = active.pop()
            if row < len(active):
                cache.move(last.tree.row, row, last.tree.num_tokens)
                last.tree.row = row
                active[row] = last


def _go_on(text: _Begun, logits: "np.ndarray", floor: float) -> Iterator[_Begun]:
    """A text with each token that leaves it above the threshold, and with what must follow that token."""
    allowed = sorted(text.state.allowed())
    values = logits[allowed].astype(np.float64)
    values -= values.max()
    values -= math.log(np.exp(values).sum())
    for index, value in zip(allowed, values.tolist(), strict=True):
        log_probability = text.log_probability + value
        if log_probability >= floor:
            state = text.state.fork()
            state.accept(index)
            yield _Begun(state, log_probability, [index, *_take_forced(state)], text.places)


def _take_forced(state: ConstraintState) -> list[int]:
    forced = state.fast_forward()
    for index in forced:
        state.accept(index)
    return forced
