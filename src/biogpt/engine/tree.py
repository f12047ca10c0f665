"""Several texts that begin alike, as one row of the cache: a search's sequences, a beam search's beams.

Each token stands there once, and sees its own ancestors alone. So a text that splits in two costs nothing, where
copies of its keys and values would cost more than the network itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from biogpt.engine.drafting import Draft
from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.network import Segment

Places = tuple[int, ...]
"""Where in its row the tokens of a text stand, those of the prompt left out."""

NO_DRAFT = Draft()

_MAX_DEAD = 256  # tokens of texts that were given up are dropped when there are more of them, and more than live ones


def make_segments(ids: Sequence[int], draft: Draft, row: int, start: int = 0, kept: int = 1) -> list[Segment]:
    """New tokens of one text and a draft of what may follow them, in the order in which they are to be read.

    Args:
        ids: of the text, new.
        draft: its outputs are kept.
        row: of the cache.
        start: place of the first of `ids` in it.
        kept: of how many of `ids`, the last ones, the outputs are kept.
    """
    if draft.is_chain:
        return [Segment([*ids, *draft.ids], row, start, kept=kept + len(draft))]
    if start:
        positions, visible = draft.lay_out(len(ids), start)
        return [Segment([*ids, *draft.ids], row, start, positions, visible, kept + len(draft))]
    # A whole prompt is read faster without a mask, so the tree behind it is a segment of its own.
    positions, visible = draft.lay_out(0, len(ids))
    return [Segment(ids, row, kept=kept), Segment(draft.ids, row, len(ids), positions, visible, len(draft))]


@dataclass
class TokenTree:
    """A prompt and texts that follow it."""

    prompt_ids: Sequence[int]
    row: int = 0
    """Of the cache; it may change between two readings, when its tokens are moved."""
    num_tokens: int = 0
    """That stand in the row."""

    def begin(self, ids: Sequence[int], draft: Draft = NO_DRAFT) -> tuple[list[Segment], Places]:
        """The prompt and the ids that follow it in all texts, to be read first; the last one's output is kept.

        Args:
            ids: behind the prompt.
            draft: what may follow them; its outputs are kept, too.
        """
        first = len(self.prompt_ids)
        self.num_tokens = first + len(ids) + len(draft)
        return make_segments([*self.prompt_ids, *ids], draft, self.row), tuple(range(first, first + len(ids)))

    def extend(
        self,
        texts: Sequence[tuple[Places, Sequence[int]]],
        cache: KeyValueCache,
        drafts: Sequence[Draft] | None = None,
    ) -> tuple[Segment, list[Places]]:
        """New tokens of texts, of each the output of the last one kept, and those of its draft.

        Args:
            texts: the places of each, and what is new in it; all others are given up.
            cache: in which the tree stands.
            drafts: of each what may follow. Its tokens stand right behind those of the text.

        Returns:
            The segment, and the places of each text with its new tokens, without its draft.
        """
        texts = self._drop_dead(texts, cache)
        drafts = drafts or [NO_DRAFT] * len(texts)
        first, start = len(self.prompt_ids), self.num_tokens
        num_new = sum(len(ids) for _, ids in texts) + sum(map(len, drafts))
        if len(texts) == 1 and texts[0][0] == tuple(range(first, start)) and drafts[0].is_chain:
            ((only, only_ids),) = texts
            self.num_tokens += num_new
            segment = Segment([*only_ids, *drafts[0].ids], self.row, start, kept=1 + len(drafts[0]))
            return segment, [(*only, *range(start, start + len(only_ids)))]
        visible = torch.zeros(num_new, start + num_new, dtype=torch.bool)
        visible[:, :first] = True
        ids: list[int] = []
        positions: list[int] = []
        kept: list[int] = []
        longer: list[Places] = []
        for (places, new_ids), draft in zip(texts, drafts, strict=True):
            begin, end = len(ids), len(ids) + len(new_ids)
            if places:
                visible[begin:end, list(places)] = True
            visible[begin:end, start + begin : start + end] = torch.ones(end - begin, end - begin).tril_().bool()
            depth = first + len(places)
            positions += range(depth, depth + len(new_ids))
            ids += new_ids
            kept.append(end - 1)
            longer.append((*places, *range(start + begin, start + end)))
            for number, (index, parent) in enumerate(zip(draft.ids, draft.parents, strict=True)):
                before = end + parent if parent >= 0 else end - 1
                visible[end + number] = visible[before]
                visible[end + number, start + end + number] = True
                positions.append(positions[before] + 1)
                ids.append(index)
                kept.append(end + number)
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
