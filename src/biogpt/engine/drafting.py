"""Drafting: tokens that will probably come next, so that one pass can verify many of them.

A draft changes no output: what the model would not have chosen is thrown away. Most of what a task's model writes is
a copy of its source, or of what it wrote before, with fixed words around it. It knows ids alone.

A draft is a tree: where two continuations are likely (a name ends here, or it has one more word), both are read in the
same pass, each seeing its own ancestors alone.

Where the source does not say what comes, such as at the beginning of a name, the other texts of the run do: `Choices`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from heapq import heappop, heappush

import torch

from biogpt.decoding.constraint import ConstraintState

MAX_DRAFT = 32
"""Tokens of a draft; a pass over so many more costs about as much as two passes over one."""

_ROWS_AS_DEAR_AS_A_PASS = 24  # what a pass costs however little it reads, in tokens
_FREE_LENGTH = 3  # of what must stand there before, where anything may be written
_MAX_CONTEXT = 8  # tokens before a place that are compared
_MAX_PLACES = 64  # of a token that are looked at, the last ones
_MAX_EXITS = 2  # more tokens that do not go on as the source does are no end of a name, but the beginning of one
_MIN_REPEATED = 3  # tokens of what was written before, behind which it is expected to go on
_SHARE_OF_REPETITION = 0.95
_WEIGHT_OF_MEAN = 3  # choices of a token that are supposed before it was seen, as often made as those of any other
_MAX_COUNTS = 2**18  # in memory; then they begin anew
_REST = 32  # tokens without a draft, after drafts that were wrong


@dataclass
class Draft:
    """Tokens that may follow a text; each stands behind its parent, in the tree and in the list."""

    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """Of each the number of the token before it; -1: the text itself."""
    ends: list[int] = field(default_factory=list)
    """The numbers of those behind which the text can only end."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_chain(self) -> bool:
        """Whether each token follows the one before it in the list."""
        return self.parents == list(range(-1, len(self.ids) - 1))

    def lay_out(self, num_before: int, start: int) -> tuple[list[int], torch.Tensor]:
        """How the tokens are read behind others.

        Args:
            num_before: tokens that are read in the same pass before the draft.
            start: place of the first of those, behind what was read before.

        Returns:
            The position of each token, those before included, and which ones it sees, (T, start + T) bool.
        """
        num_new = num_before + len(self.ids)
        visible = torch.ones(num_new, start + num_new, dtype=torch.bool).tril_(start)
        positions = list(range(start, start + num_new))
        first = start + num_before
        visible[num_before:, first:] = False
        for number, parent in enumerate(self.parents):
            row = visible[num_before + number]
            if parent >= 0:
                row[first:] = visible[num_before + parent, first:]
            row[first + number] = True
            positions[num_before + number] = 1 + (positions[num_before + parent] if parent >= 0 else first - 1)
        return positions, visible

    def path_to(self, number: int) -> list[int]:
        """The numbers of the tokens from the text to this one."""
        path: list[int] = []
        while number >= 0:
            path.insert(0, number)
            number = self.parents[number]
        return path

    def find(self, parent: int, ids: Sequence[int]) -> list[int] | None:
        """The numbers of the tokens `ids`, one behind the other, the first behind `parent`; None: they lack."""
        path: list[int] = []
        for index in ids:
            for number in range(parent + 1, len(self.ids)):
                if self.parents[number] == parent and self.ids[number] == index:
                    parent = number
                    path.append(number)
                    break
            else:
                return None
        return path


def least_probability(num_rows: int) -> float:
    """From which probability on it pays to draft a token, where so many rows are read in a pass.

    A token that is right saves its row's share of a pass; one that is wrong costs the work of one token.
    """
    return num_rows / (num_rows + _ROWS_AS_DEAR_AS_A_PASS)


class Choices:
    """What was chosen among tokens that the source does not tell apart, in all texts of a run.

    A name may begin with any word of its source. Some words are often chosen where they stand there, others never are.
    """

    def __init__(self) -> None:
        # By the token before, and the one there; of all of them together: None. How often it was allowed, and chosen.
        # Both are replaced in one step: other threads may be reading them.
        self._counts: tuple[Counter[tuple[int, int | None]], Counter[tuple[int, int | None]]] = (Counter(), Counter())

    def learn(self, before: int, allowed: Iterable[int], chosen: int) -> None:
        """Take in a choice: which token stands before it, which were allowed, and which one was chosen."""
        if len(self._counts[0]) > _MAX_COUNTS:
            self._counts = (Counter(), Counter())
        num_allowed, num_chosen = self._counts
        keys = [(before, index) for index in allowed]
        num_allowed.update(keys)
        num_allowed[before, None] += len(keys)
        num_chosen[before, chosen] += 1
        num_chosen[before, None] += 1

    def guess(self, before: int, allowed: Collection[int], places: Mapping[int, Sequence[int]]) -> dict[int, float]:
        """A guess of the probability of each token that is allowed behind another, given where each stands so far."""
        num_allowed, num_chosen = self._counts
        num_all = num_chosen[before, None]
        if not num_all:
            return dict.fromkeys(allowed, 1 / len(allowed))
        mean = num_all / num_allowed[before, None]
        weights = {
            index: (num_chosen[before, index] + _WEIGHT_OF_MEAN * mean)
            / (num_allowed[before, index] + _WEIGHT_OF_MEAN)
            * len(places.get(index) or (0,))
            for index in allowed
        }
        total = sum(weights.values())
        return {index: weight / total for index, weight in weights.items()}


class Drafter:
    """Drafts for one text.

    Args:
        ids: of the prompt.
        end_id: is not drafted.
        choices: of the texts of the same run; those of this one are added by `learn_choice`.
    """

    def __init__(self, ids: Sequence[int], end_id: int, choices: Choices | None = None) -> None:
        self.num_drafted: int = 0
        self.num_accepted: int = 0
        self._end_id = end_id
        self._choices = choices or Choices()
        self._num_prompt = len(ids)
        self._ids: list[int] = []
        self._places: dict[int, list[int]] = {}  # id -> where it stands
        self._length = 4
        self._resting_until = 0
        self._add(ids)

    def draft(
        self,
        new_ids: Sequence[int],
        state: ConstraintState | None,
        room: int,
        num_rows: int,
    ) -> Draft:
        """What may follow.

        Args:
            new_ids: behind the prompt, those that must follow included.
            state: of the constraint, behind all of `new_ids`.
            room: tokens of the draft at the most.
            num_rows: that are read in the same pass.
        """
        known = self._ids[self._num_prompt :]
        num_same = next((at for at, (old, new) in enumerate(zip(known, new_ids, strict=False)) if old != new), None)
        if num_same is None:
            num_same = min(len(known), len(new_ids))
        self._cut(self._num_prompt + num_same)  # what was taken back
        self._add(new_ids[num_same:])
        if state is not None:
            return self.follow(state, self._ids[-_MAX_CONTEXT:], room, num_rows)
        room = min(room, self._length, 2 * MAX_DRAFT // num_rows)
        if room <= 0 or len(self._ids) < self._resting_until:
            return Draft()
        ids = self._follow(room)
        return Draft(ids, list(range(-1, len(ids) - 1)))

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

    def learn_choice(self, before: int, allowed: Set[int], chosen: int) -> None:
        """Take in which of several tokens was chosen behind another, where the source does not tell them apart."""
        if len(allowed) > 1 and self._find_exits(before, allowed) is None:
            self._choices.learn(before, allowed, chosen)

    def _find_exits(self, before: int, allowed: Set[int]) -> Set[int] | None:
        """Which allowed tokens leave a name: they follow its last token nowhere. None: there is no name to leave."""
        places = [place for place in self._places.get(before, ()) if place < self._num_prompt - 1]
        exits = allowed - {self._ids[place + 1] for place in places[-_MAX_PLACES:]}
        return exits if len(exits) <= _MAX_EXITS and len(exits) < len(allowed) else None

    def _add(self, ids: Sequence[int]) -> None:
        for place, index in enumerate(ids, start=len(self._ids)):
            self._places.setdefault(index, []).append(place)
        self._ids += ids

    def _cut(self, num_ids: int) -> None:
        for index in reversed(self._ids[num_ids:]):
            self._places[index].pop()
        del self._ids[num_ids:]

    def _find(self, tail: Sequence[int]) -> tuple[list[int], int]:
        """Where the longest possible part of a text's end stood before, the places behind it, and how long it is."""
        ids, best, longest = self._ids, list[int](), 0
        for place in self._places.get(tail[-1], [])[-_MAX_PLACES:]:
            length = 1
            while length < len(tail) and length <= place and ids[place - length] == tail[-1 - length]:
                length += 1
            if place + 1 < len(ids) and length >= longest:
                best = [*best, place + 1] if length == longest else [place + 1]
                longest = length
        return best, longest

    def _follow(self, room: int) -> list[int]:
        places, length = self._find(self._ids[-_FREE_LENGTH:])
        if length < _FREE_LENGTH:
            return []
        draft = self._ids[places[-1] : places[-1] + room]
        return draft[: draft.index(self._end_id)] if self._end_id in draft else draft

    def follow(self, state: ConstraintState, text: Sequence[int], room: int, num_rows: int) -> Draft:
        """What may follow a text that a constraint allows: always the most probable token next, whatever it follows.

        Args:
            state: of the constraint, behind the text.
            text: or its end.
            room, num_rows: see `draft`.
        """
        draft = Draft()
        end = list(text[-_MAX_CONTEXT:])
        least = least_probability(num_rows)
        states: list[ConstraintState] = []
        tails: list[list[int]] = []
        waiting: list[tuple[float, int, int]] = []  # probability, below 0; parent; id

        def expand(parent: int, probability: float) -> None:
            here, tail = (states[parent], tails[parent]) if parent >= 0 else (state, end)
            if here.is_done:
                return
            allowed = here.allowed()
            if allowed == {self._end_id}:
                if parent >= 0:
                    draft.ends.append(parent)
                return
            shares = sorted(self._guess(allowed, tail), key=lambda each: (-each[0], each[1]))  # common ids are low
            for share, index in shares:
                if share * probability >= least and index != self._end_id:
                    heappush(waiting, (-share * probability, parent, index))

        expand(-1, 1.0)
        while waiting and len(draft) < min(room, MAX_DRAFT):
            probability, parent, index = heappop(waiting)
            onward = (states[parent] if parent >= 0 else state).fork()
            if onward.accept(index):
                continue  # what is taken back is not read
            tail = tails[parent] if parent >= 0 else end
            states.append(onward)
            tails.append([*tail[1 - _MAX_CONTEXT :], index])
            draft.ids.append(index)
            draft.parents.append(parent)
            expand(len(draft) - 1, -probability)
        return draft

    def _guess(self, allowed: set[int], tail: Sequence[int]) -> Iterator[tuple[float, int]]:
        """Tokens that may follow, with a guess of their probabilities."""
        if len(allowed) == 1:
            yield from ((1.0, index) for index in allowed)
            return
        places, length = self._find(tail)
        exits = self._find_exits(tail[-1], allowed)
        others = 1.0
        if length >= _MIN_REPEATED and places[-1] > self._num_prompt and (known := self._ids[places[-1]]) in allowed:
            # A list goes on as it began: with the name that the last relation had there, or with that relation again.
            others -= _SHARE_OF_REPETITION
            yield _SHARE_OF_REPETITION, known
            if exits is not None:
                return
            allowed = allowed - {known}
        if exits is None:
            guessed = self._choices.guess(tail[-1], allowed, self._places)
            yield from ((others * share, index) for index, share in guessed.items())
            return
        following = Counter(self._ids[place] for place in places)
        going_on = {index: number for index, number in following.items() if index in allowed}
        if not exits:
            total = sum(going_on.values())
            yield from ((number / total, index) for index, number in going_on.items())
            return
        # Words that stand together wherever they stand are one name; what often follows many words is no part of it.
        share_of_exits = 1.0
        for index, number in going_on.items():
            bond = number * number / (len(places) * len(self._places[index]))
            share = (0.1 + 0.85 * bond * number / (number + 1)) * number / len(places)
            share_of_exits -= share
            yield share, index
        yield from ((share_of_exits / len(exits), index) for index in exits)
