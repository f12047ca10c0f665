"""Drafting: tokens that will probably come next, so that one pass can verify many of them.

A draft changes no output: what the model would not have chosen is thrown away. Most of what a task's model writes is
a copy of its source, or of what it wrote before. It knows ids alone.
"""

from collections.abc import Sequence

from biogpt.decoding.constraint import ConstraintState

MAX_DRAFT = 16
"""Tokens of a draft; a pass over so many more costs little more than a pass over one."""

_FREE_LENGTHS = (3,)  # of what must stand there before, where anything may be written
_CONSTRAINED_LENGTHS = (3, 2, 1)
_REST = 32  # tokens without a draft, after drafts that were wrong


class Drafter:
    """Drafts for one text.

    Args:
        ids: of the prompt.
        end_id: is not drafted.
    """

    def __init__(self, ids: Sequence[int], end_id: int) -> None:
        self.num_drafted: int = 0
        self.num_accepted: int = 0
        self._end_id = end_id
        self._ids: list[int] = []
        self._known: dict[tuple[int, ...], int] = {}  # some ids -> where they stood last, the place behind them
        self._length = 4
        self._resting_until = 0
        self._add(ids)

    def draft(self, new_ids: Sequence[int], num_prompt: int, state: ConstraintState | None, room: int) -> list[int]:
        """What may follow.

        Args:
            new_ids: behind the prompt, those that must follow included.
            num_prompt: ids of the prompt.
            state: of the constraint, behind all of `new_ids`.
            room: tokens of a draft at the most.
        """
        known = len(self._ids) - num_prompt
        if known > len(new_ids) or (known and self._ids[-1] != new_ids[known - 1]):  # some were taken back
            del self._ids[num_prompt + max(0, min(known, len(new_ids)) - 1) :]
            known = len(self._ids) - num_prompt
        self._add(new_ids[known:])
        room = min(room, MAX_DRAFT if state else self._length)
        if room <= 0 or len(self._ids) < self._resting_until:
            return []
        return self._follow(room) if state is None else self._follow_constraint(state, room)

    def learn(self, num_drafted: int, num_accepted: int) -> None:
        """Take in how many tokens of a draft were right."""
        self.num_drafted += num_drafted
        self.num_accepted += num_accepted
        if num_accepted == num_drafted:
            self._length = min(MAX_DRAFT, 2 * self._length)
        elif num_accepted * 2 < num_drafted:
            self._length = max(2, self._length // 2)
            if not num_accepted:
                self._resting_until = len(self._ids) + _REST

    def _add(self, ids: Sequence[int]) -> None:
        for index in ids:
            # What stands behind the last ids is known only now: those before them are noted with their place.
            end = len(self._ids)
            for length in _CONSTRAINED_LENGTHS:
                if end >= length:
                    self._known[tuple(self._ids[end - length :])] = end
            self._ids.append(index)

    def _find(self, ids: Sequence[int], lengths: Sequence[int]) -> int | None:
        for length in lengths:
            place = self._known.get(tuple(ids[-length:])) if len(ids) >= length else None
            if place is not None and place < len(self._ids):
                return place
        return None

    def _follow(self, room: int) -> list[int]:
        place = self._find(self._ids, _FREE_LENGTHS)
        if place is None:
            return []
        draft = self._ids[place : place + room]
        return draft[: draft.index(self._end_id)] if self._end_id in draft else draft

    def _follow_constraint(self, state: ConstraintState, room: int) -> list[int]:
        state = state.fork()
        tail = list(self._ids[-3:])
        draft: list[int] = []
        while len(draft) < room and not state.is_done:
            allowed = state.allowed()
            if len(allowed) == 1:
                (index,) = allowed
            else:
                place = self._find(tail, _CONSTRAINED_LENGTHS)
                if place is None or self._ids[place] not in allowed:
                    break
                index = self._ids[place]
            if index == self._end_id or state.accept(index):
                break
            draft.append(index)
            tail = [*tail[-2:], index]
        return draft
