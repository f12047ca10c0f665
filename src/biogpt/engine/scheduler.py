"""Scheduler: completions that are made side by side; one that is finished makes room for the next.

Each pass reads what every row has to read: a whole prompt, one token, or several that must come or were drafted. It
knows ids, constraints and settings, no texts.

Shapes in comments: B rows, K tokens whose logits are needed, V vocabulary.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from biogpt.decoding.constraint import ConstraintState
from biogpt.decoding.sampling import choose_greedily, draw
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.drafting import Choices, Draft, Drafter
from biogpt.engine.network import Network, Segment
from biogpt.engine.tree import make_segments
from biogpt.errors import InputError, is_out_of_memory

StopReason = Literal["end", "length", "positions"]

MAX_PROMPT_TOKENS = 1024
"""Tokens of new prompts that one pass reads, unless a single one has more: it bounds the memory of a pass."""


@dataclass(eq=False)
class Row:
    """One completion in the making."""

    prompt: str
    prompt_ids: list[int]
    max_new_tokens: int
    limit_reason: StopReason
    """Why `max_new_tokens` is what it is."""
    uniforms: random.Random
    state: ConstraintState | None = None
    """Of its constraint."""
    new_ids: list[int] = field(default_factory=list)
    """With the end token, where there is one."""
    scores: list[float] = field(default_factory=list)
    """Of `new_ids`, but for those that were forced last."""
    unread_ids: list[int] = field(default_factory=list)
    """What the model has to read next."""
    num_forced: int = 0
    """How many of them were forced."""
    stop_reason: StopReason | None = None
    error: Exception | None = None
    """Why it can go on no more: it fails alone."""
    drafter: Drafter | None = None
    endings: dict[tuple[int, ...], list[float]] = field(default_factory=dict)
    """Texts that would have ended, had the choice been another, and their scores, that of the end included."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing will follow."""
        return self.stop_reason is not None or self.error is not None

    @property
    def num_read(self) -> int:
        """Of the prompt and the new ids, how many the model has read."""
        return len(self.prompt_ids) + len(self.new_ids) - len(self.unread_ids)

    def begin(self, end_id: int) -> None:
        """Have the prompt read, and what must follow it."""
        self.unread_ids = list(self.prompt_ids)
        self._force(end_id)

    def take(self, token_id: int, scores: Sequence[float], end_id: int) -> int:
        """Go on by one token.

        Args:
            token_id: what was chosen.
            scores: of the tokens that were forced before it, and of itself.
            end_id: ends the row.

        Returns:
            How many tokens were taken back; nearly always 0.
        """
        self.new_ids.append(token_id)
        self.scores += scores
        num_void = self.state.accept(token_id) if self.state else 0
        if num_void:
            # The token before the void ones is read again: what followed it was chosen by what the model said there.
            del self.new_ids[-num_void:], self.scores[-num_void:]
        self.unread_ids = [[*self.prompt_ids, *self.new_ids][-1]]
        if self.new_ids[-1] == end_id:
            self.stop_reason = "end"
        elif len(self.new_ids) >= self.max_new_tokens:
            self.stop_reason = self.limit_reason
        if self.stop_reason:
            self.unread_ids = []
        self._force(end_id)
        return num_void

    def choose_allowed(self, logits: torch.Tensor) -> int:
        """The most probable of the ids that the constraint allows, the lowest among equals; logits (V,)."""
        assert self.state is not None
        allowed = self.state.allowed()
        if not allowed:
            raise InputError("The constraint allows no token here, expected at least one, or the end token.")
        ids = sorted(allowed)
        chosen = ids[0] if len(ids) == 1 else ids[int(choose_greedily(logits[ids].unsqueeze(0)))]
        if self.drafter is not None:
            self.drafter.learn_choice([*self.prompt_ids[-1:], *self.new_ids][-1], allowed, chosen)
        return chosen

    def draft(self, num_rows: int) -> Draft:
        """What may follow `unread_ids`, where so many rows are read in a pass."""
        room = self.max_new_tokens - len(self.new_ids) - 1
        if self.drafter is None or room <= 0 or not (self.new_ids or self.state):
            return Draft()
        return self.drafter.draft(self.new_ids, self.state, room, num_rows)

    def segments(self, place: int, draft: Draft) -> list[Segment]:
        """What is to be read: `unread_ids` and a draft of what may follow, in the cache's row `place`."""
        return make_segments(self.unread_ids, draft, place, self.num_read, kept=1 + self.num_forced)

    def _force(self, end_id: int) -> None:
        """Take what must come next, short of the end, so that it is read in one pass."""
        forced = []
        if self.state:
            forced = [index for index in self.state.fast_forward() if index != end_id]
            for index in forced:
                self.state.accept(index)
        self.new_ids += forced
        self.unread_ids += forced
        self.num_forced = len(forced)


class Scheduler:
    """Completes rows.

    Args:
        network: reads ids.
        settings: how tokens are chosen.
        end_id: ends a text.
        forbidden_ids: are never written.
        max_rows: how many rows are made side by side.
        max_bytes: of the cache: a row waits while there is no room; more is taken only for one that is alone.
        is_drafting: verify several tokens at once where they can be guessed. Only greedy choices are drafted.
        choices: of texts before these, from which drafts learn; those of these texts are added.
    """

    def __init__(
        self,
        network: Network,
        settings: GenerationSettings,
        *,
        end_id: int,
        forbidden_ids: Sequence[int],
        max_rows: int,
        max_bytes: int,
        is_drafting: bool = True,
        choices: Choices | None = None,
    ) -> None:
        self._network = network
        self._settings = settings
        self._end_id = end_id
        self._forbidden_ids = list(forbidden_ids)
        self._max_rows = max_rows
        self._max_tokens = max(1, max_bytes // network.bytes_per_token)  # of all rows
        self._is_drafting = is_drafting and not settings.is_sampling
        self._cache = network.make_cache(max(1, min(max_rows, self._max_tokens // 256)), max_bytes=max_bytes)
        self._make_cache = partial(network.make_cache, max_bytes=max_bytes)
        self._choices = choices or Choices()
        self._active: list[Row] = []  # by their row of the cache
        self._set_back: list[Row] = []  # rows that memory was too short for; they are read again

    def run(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Complete rows, which are taken as there is room; they come back in their order.

        A row that fails comes back with its `error`; the others go on.
        """
        waiting = iter(rows)
        following = next(waiting, None)
        order: list[Row] = []
        while following is not None or order:
            num_new = 0
            while not self._set_back and following is not None and self.has_room(following, num_new):
                num_new += len(following.prompt_ids)
                self.add(following)
                order.append(following)
                following = next(waiting, None)
            self.step()
            while order and order[0].is_finished:
                yield order.pop(0)

    def has_room(self, row: Row, num_new: int = 0) -> bool:
        """Whether a row can be begun now, beside `num_new` tokens of others that are begun in the same pass."""
        if not self._active:
            return True
        if len(self._active) >= self._max_rows or num_new + len(row.prompt_ids) > max(MAX_PROMPT_TOKENS, num_new):
            return False
        longest = max(len(each.prompt_ids) + each.max_new_tokens for each in (row, *self._active))
        return (len(self._active) + 1) * longest <= self._max_tokens

    def add(self, row: Row) -> None:
        """Begin a row; one that fails at once is left out."""
        with _failing_alone(row):
            row.begin(self._end_id)
            if self._is_drafting:
                row.drafter = Drafter(row.prompt_ids, self._end_id, self._choices)
        if not row.is_finished:
            self._active.append(row)

    def cancel(self, row: Row) -> None:
        """Give a row up; its place is free at once."""
        if row in self._active:
            self._remove(self._active.index(row))
        elif row in self._set_back:
            self._set_back.remove(row)

    def step(self) -> None:
        """Give active rows at least one more token; those that are finished leave.

        Where memory is too short for all of them, half are set back and go on later, when the others are done. A row
        that it is too short for alone fails.
        """
        if not self._active and self._set_back:
            self._active, self._set_back = self._set_back[: self._max_rows], self._set_back[self._max_rows :]
        rows = self._active
        if not rows:
            return
        try:
            self._read_and_take(rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._shrink(error)
        for place in reversed(range(len(self._active))):
            if self._active[place].is_finished:
                self._remove(place)

    def _read_and_take(self, rows: Sequence[Row]) -> None:
        drafts: list[Draft] = []
        for row in rows:
            drafts.append(Draft())
            with _failing_alone(row):
                drafts[-1] = row.draft(len(rows))
        segments = [
            segment
            for place, (row, draft) in enumerate(zip(rows, drafts, strict=True))
            for segment in row.segments(place, draft)
        ]
        with torch.inference_mode():
            logits = self._network.score(segments, self._cache)  # (K, V)
            totals = logits.logsumexp(dim=-1).tolist()
            self._take(rows, drafts, logits, totals)

    def _shrink(self, error: Exception) -> None:
        """Go on with half the rows, and with a new cache, into which they are read again."""
        rows, self._active = self._active, []
        self._cache = self._make_cache()
        if len(rows) == 1:
            rows[0].error = error
            return
        self._max_rows = (len(rows) + 1) // 2
        for row in rows:
            row.unread_ids = [*row.prompt_ids, *row.new_ids]
        self._active = rows[: self._max_rows]
        self._set_back = rows[self._max_rows :] + self._set_back

    def _take(
        self, rows: Sequence[Row], drafts: Sequence[Draft], logits: torch.Tensor, totals: Sequence[float]
    ) -> None:
        """Take what is chosen, and of what was drafted as much as would have been chosen.

        Args:
            rows: all that are active, each in the cache's row of its number.
            drafts: of each.
            logits: of what each row has to score, one row after the other, (K, V).
            totals: the logarithm of the sum of their exponentials.
        """
        places = []  # where the first choice of each row is made
        num_scored = 0
        for row, draft in zip(rows, drafts, strict=True):
            places.append(num_scored + row.num_forced)
            num_scored += 1 + row.num_forced + len(draft)
        chosen = self._choose(rows, drafts, places, logits)
        for number, (row, draft, first, ids) in enumerate(zip(rows, drafts, places, chosen, strict=True)):
            if row.error is None:
                with _failing_alone(row):
                    self._take_of(row, number, draft, first, ids, logits, totals)

    def _take_of(
        self,
        row: Row,
        number: int,
        draft: Draft,
        first: int,
        ids: Sequence[int],
        logits: torch.Tensor,
        totals: Sequence[float],
    ) -> None:
        """Take what is chosen for the row of this number, whose first choice is made at `first` of `logits`."""
        start = row.num_read + len(row.unread_ids)  # where the draft stands in the cache
        forced = row.new_ids[len(row.new_ids) - row.num_forced :]
        before = list(range(first - row.num_forced, first + 1))  # whose logits choose those and the first token
        for number_of_last in draft.ends:
            path = draft.path_to(number_of_last)
            drafted = [draft.ids[token] for token in path]
            behind = [*before, *(first + 1 + token for token in path)]
            values = logits[behind, [*forced, *drafted, self._end_id]].tolist()
            row.endings[*row.new_ids, *drafted] = [
                *row.scores,
                *(value - totals[at] for value, at in zip(values, behind, strict=True)),
            ]
        right: list[int] = []  # which tokens of the draft
        behind = before  # whose logits choose the next tokens
        is_first = True
        while True:
            token_id = ids[len(right)] if is_first or row.state is None else row.choose_allowed(logits[behind[-1]])
            is_first = False
            scored = [*row.new_ids[len(row.new_ids) - row.num_forced :], token_id]
            values = logits[behind, scored].tolist()
            num_void = row.take(
                token_id, [value - totals[at] for value, at in zip(values, behind, strict=True)], self._end_id
            )
            if num_void and (scores := row.endings.get(tuple(row.new_ids))):
                row.take(self._end_id, scores[-1 - row.num_forced :], self._end_id)
            if row.stop_reason or num_void > 1 + len(right):
                break
            unread = row.unread_ids
            if num_void:
                # Behind what was taken back, the text goes on from a token that was read already.
                del right[len(right) + 1 - num_void :]
                unread = unread[1:]
            last = right[-1] if right else -1
            following = draft.find(last, unread)
            if following is None:
                break
            right += following
            behind = [first + 1 + token for token in ([last, *following] if num_void else following)]
        if right != list(range(len(right))):  # others stand between them
            self._cache.compact(number, start, [start + token for token in right])
        if draft.ids and row.drafter:
            row.drafter.learn(len(draft), len(right))

    def _choose(
        self, rows: Sequence[Row], drafts: Sequence[Draft], places: Sequence[int], logits: torch.Tensor
    ) -> list[list[int]]:
        """The next id of each row; where anything may be written, those behind each token of its draft, too."""
        settings = self._settings
        if settings.is_sampling:
            allowed = logits[list(places)]
            allowed[:, self._forbidden_ids] = float("-inf")
            for number, (row, place) in enumerate(zip(rows, places, strict=True)):
                if row.state:
                    with _failing_alone(row):
                        ids = list(row.state.allowed())
                        allowed[number] = float("-inf")
                        allowed[number, ids] = logits[place, ids]
                elif len(row.new_ids) < settings.min_new_tokens:
                    allowed[number, self._end_id] = float("-inf")
                if row.error is not None:  # nothing may be left to draw from
                    allowed[number] = 0.0
            numbers = [row.uniforms.random() for row in rows]
            uniforms = torch.tensor(numbers, dtype=torch.float64, device=logits.device)
            drawn = draw(allowed, uniforms, settings.temperature, settings.top_k, settings.top_p)
            return [[index] for index in drawn.tolist()]
        held = logits[:, self._forbidden_ids]
        logits[:, self._forbidden_ids] = float("-inf")
        ends = logits[:, self._end_id].clone()
        for row, draft, place in zip(rows, drafts, places, strict=True):
            num_short = min(1 + len(draft), settings.min_new_tokens - len(row.new_ids))
            if num_short > 0:
                logits[place : place + num_short, self._end_id] = float("-inf")
        best = choose_greedily(logits).tolist()
        logits[:, self._forbidden_ids] = held
        logits[:, self._end_id] = ends
        chosen: list[list[int]] = []
        for row, draft, place in zip(rows, drafts, places, strict=True):
            chosen.append(best[place : place + 1 + len(draft)])
            if row.state:
                with _failing_alone(row):
                    chosen[-1] = [row.choose_allowed(logits[place])]
        return chosen

    def _remove(self, place: int) -> None:
        """Take a row out; the last one moves to its place."""
        last = self._active.pop()
        if place < len(self._active):
            self._cache.move(len(self._active), place, last.num_read)
            self._active[place] = last


@contextmanager
def _failing_alone(row: Row) -> Iterator[None]:
    """What goes wrong in here, such as in the row's own constraint, ends the row, not the others."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        row.error = error
