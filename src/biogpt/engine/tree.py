"""Several texts that begin alike, as one row of the cache: a search's sequences, a beam search's beams.

Each token stands there once, and sees its own ancestors alone. So a text that splits in two costs nothing, where
copies of its keys and values would cost more than the network itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.network import Segment

Places = tuple[int, ...]
"""Where in its row the tokens of a text stand, those of the prompt left out."""

_MAX_DEAD = 256  # tokens of texts that were given up are dropped when there are more of them, and more than live ones


@dataclass
class TokenTree:
    """A prompt and texts that follow it."""

    prompt_ids: Sequence[int]
    row: int = 0
    """Of the cache; it may change between two readings, when its tokens are moved."""
    num_tokens: int = 0
    """That stand in the row."""

    def begin(self, ids: Sequence[int]) -> tuple[Segment, Places]:
        """The prompt and the ids that follow it in all texts, to be read first; only the last one's output is kept."""
        first = len(self.prompt_ids)
        self.num_tokens = first + len(ids)
        return Segment([*self.prompt_ids, *ids], self.row), tuple(range(first, self.num_tokens))

    def extend(
        self, texts: Sequence[tuple[Places, Sequence[int]]], cache: KeyValueCache
    ) -> tuple[Segment, list[Places]]:
        """New tokens of texts, of each the output of the last one kept.

        Args:
            texts: the places of each, and what is new in it; all others are given up.
            cache: in which the tree stands.

        Returns:
            The segment, and the places of each text with its new tokens.
        """
        texts = self._drop_dead(texts, cache)
        first, start = len(self.prompt_ids), self.num_tokens
        num_new = sum(len(ids) for _, ids in texts)
        if len(texts) == 1 and texts[0][0] == tuple(range(first, start)):
            ((only, only_ids),) = texts
            self.num_tokens += num_new
            return Segment(only_ids, self.row, start), [(*only, *range(start, start + num_new))]
        visible = torch.zeros(num_new, start + num_new, dtype=torch.bool)
        visible[:, :first] = True
        ids: list[int] = []
        positions: list[int] = []
        kept: list[int] = []
        longer: list[Places] = []
        for places, new_ids in texts:
            begin, end = len(ids), len(ids) + len(new_ids)
            if places:
                visible[begin:end, list(places)] = True
            visible[begin:end, start + begin : start + end] = torch.ones(end - begin, end - begin).tril_().bool()
            depth = first + len(places)
            positions += range(depth, depth + len(new_ids))
            ids += new_ids
            kept.append(end - 1)
            longer.append((*places, *range(start + begin, start + end)))
        self.num_tokens += num_new
        return Segment(ids, self.row, start, positions, visible, kept), longer

    def _drop_dead(
        self, texts: Sequence[tuple[Places, Sequence[int]]], cache: KeyValueCache
    ) -> Sequence[tuple[Places, Sequence[int]]]:
        first = len(self.prompt_ids)
        live = {place for places, _ in texts for place in places}
        num_dead = self.num_tokens - first - len(live)
        if num_dead <= _MAX_DEAD or num_dead <= len(live):
            return texts
        kept = sorted(live)
        cache.compact(self.row, first, kept)
        self.num_tokens = first + len(kept)
        moved = {place: first + number for number, place in enumerate(kept)}
        return [(tuple(moved[place] for place in places), ids) for places, ids in texts]
