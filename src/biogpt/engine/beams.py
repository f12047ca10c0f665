"""Beam search as transformers does it with `early_stopping=True`: finished when there are as many texts as beams.

All beams of a prompt are one row of the cache (`tree.py`). It knows ids alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from biogpt.engine.network import Network
from biogpt.engine.tree import Places, TokenTree


@dataclass(frozen=True)
class _Beam:
    ids: tuple[int, ...]
    score: float  # the sum of its log-probabilities; of a finished one their mean


def search_beams(
    network: Network,
    prompt_ids: Sequence[int],
    *,
    num_beams: int,
    max_new_tokens: int,
    min_new_tokens: int,
    forbidden_ids: Sequence[int],
    end_id: int,
) -> list[list[int]]:
    """The best continuations of a prompt by the mean log-probability of their tokens.

    Args:
        network: reads ids.
        prompt_ids: what stands before.
        num_beams: texts that are followed at once, at least 2.
        max_new_tokens: where a text is cut off.
        min_new_tokens: before so many no text ends.
        forbidden_ids: are never written.
        end_id: ends a text.

    Returns:
        `num_beams` continuations at the most, the best first; with the end token, where they have one.

    Raises:
        CheckpointError: the model's predictions are no numbers.
    """
    cache = network.make_cache(1, len(prompt_ids) + 64)
    tree = TokenTree(prompt_ids)
    segments, places = tree.begin([])
    running = [_Beam((), 0.0)]
    where: list[Places] = [places]
    finished: list[_Beam] = []
    for length in range(1, max_new_tokens + 1):
        if length > 1:
            texts = [(place, beam.ids[-1:]) for place, beam in zip(where, running, strict=True)]
            segment, where = tree.extend(texts, cache)
            segments = [segment]
        with torch.inference_mode():
            scores = network.score(segments, cache).log_softmax(dim=-1)  # (beams, V)
            scores[:, list(forbidden_ids)] = float("-inf")
            if length <= min_new_tokens:
                scores[:, end_id] = float("-inf")
            num_ids = scores.shape[1]
            scores += torch.tensor([beam.score for beam in running], device=scores.device).unsqueeze(1)
            best = scores.flatten().topk(min(2 * num_beams, scores.numel()))
        longer: list[_Beam] = []
        parents: list[int] = []
        ended: list[_Beam] = []
        for rank, (value, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            parent, token_id = divmod(index, num_ids)
            ids = (*running[parent].ids, token_id)
            if token_id == end_id or length == max_new_tokens:
                # A text that ends counts only among the best ones.
                if rank < num_beams and value > float("-inf"):
                    ended.append(_Beam(ids, value / length))
            elif len(longer) < num_beams:
                longer.append(_Beam(ids, value))
                parents.append(parent)
        if length == max_new_tokens or len(finished) < num_beams:
            finished = sorted([*finished, *ended], key=lambda beam: -beam.score)[:num_beams]
        if len(finished) == num_beams or not longer:
            break
        running = longer
        where = [where[parent] for parent in parents]
    return [list(beam.ids) for beam in finished]
