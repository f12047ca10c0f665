"""Search: the sequences that a constraint allows and whose probability reaches a threshold.

Unlike a beam search it needs no number of beams: texts that exclude each other have at most the probability 1 together,
so there are never more than 1 / `threshold` of them, finished or not. It knows ids alone.

Shapes in comments: B texts that are begun, T tokens to read, S tokens seen so far including them, V vocabulary.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from biogpt.decoding.constraint import ConstraintState
from biogpt.engine.padding import check_numbers, pad_left
from biogpt.model.cache import make_cache
from biogpt.model.modeling import BioGptForCausalLM


@dataclass(frozen=True)
class ScoredSequence:
    """One of the texts that a model might say."""

    ids: tuple[int, ...]
    """With the end token."""
    probability: float
    """The product over its tokens of each one's share in the probability of all tokens that are allowed there."""


@dataclass(frozen=True)
class _Begun:
    """A text that is begun."""

    state: ConstraintState
    log_probability: float
    unread_ids: Sequence[int]


@torch.inference_mode()
def search_sequences(
    model: BioGptForCausalLM, prompt_ids: Sequence[int], state: ConstraintState, threshold: float, pad_id: int
) -> list[ScoredSequence]:
    """The texts that may follow a prompt and reach a probability.

    Args:
        model: in evaluation mode.
        prompt_ids: what stands before the text.
        state: at the text's first id; it stays there.
        threshold: above 0, what a text must have.
        pad_id: fills up what is read together.

    Returns:
        The most probable first.

    Raises:
        CheckpointError: the model's predictions are no numbers.
    """
    floor = math.log(threshold)
    found: list[ScoredSequence] = []
    first = state.fork()
    forced = _take_forced(first)
    if first.is_done:
        return [ScoredSequence(tuple(first.ids), 1.0)]  # there is but one text
    begun = [_Begun(first, 0.0, [*prompt_ids, *forced])]
    device = model.device
    attention_mask = torch.zeros((1, 0), dtype=torch.long, device=device)  # (B, S)
    cache = make_cache(model.config)
    while begun:
        input_ids, is_read = pad_left([text.unread_ids for text in begun], pad_id, device)  # (B, T) each
        attention_mask = torch.cat([attention_mask, is_read], dim=1)
        output = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            cache=cache,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1].float()  # (B, V)
        check_numbers(logits)
        parents: list[int] = []
        longer: list[_Begun] = []
        for parent, (text, row) in enumerate(zip(begun, logits, strict=True)):
            for onward in _go_on(text, row, floor):
                if onward.state.is_done:
                    found.append(ScoredSequence(tuple(onward.state.ids), math.exp(onward.log_probability)))
                else:
                    parents.append(parent)
                    longer.append(onward)
        begun = longer
        if begun:
            chosen = torch.tensor(parents, device=device)
            cache.reorder_cache(chosen)
            attention_mask = attention_mask[chosen]
    return sorted(found, key=lambda one: -one.probability)


def _go_on(text: _Begun, logits: torch.Tensor, floor: float) -> Iterator[_Begun]:
    """A text with each token that leaves it above the threshold, and with what must follow that token."""
    allowed = sorted(text.state.allowed())
    values = logits[torch.tensor(allowed, device=logits.device)].log_softmax(dim=-1)
    for index, value in zip(allowed, values.tolist(), strict=True):
        log_probability = text.log_probability + value
        if log_probability >= floor:
            state = text.state.fork()
            state.accept(index)
            yield _Begun(state, log_probability, [index, *_take_forced(state)])


def _take_forced(state: ConstraintState) -> list[int]:
    forced = state.fast_forward()
    for index in forced:
        state.accept(index)
    return forced
