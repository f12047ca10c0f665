"""How well a model predicts texts: bits per byte, the measure that does not depend on the vocabulary.

Takes token ids and byte counts; it knows neither where texts come from nor what a score is used for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """A document to be scored.

    Args:
        token_ids: its ids without any `</s>`.
        num_bytes: length of its text in UTF-8 bytes, as its author wrote it.
    """

    token_ids: Sequence[int]
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Summed negative log-likelihood of documents, which adds up over parts of a collection.

    Args:
        nats: negative log-likelihood of all predicted tokens, the closing `</s>` of each document included.
        num_tokens: how many tokens were predicted.
        num_bytes: UTF-8 bytes of the documents' texts.
    """

    nats: float
    num_tokens: int
    num_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits needed per byte of the original text; a compressor's figure on the same bytes compares directly."""
        return self.nats / log(2) / self.num_bytes

    @property
    def nats_per_token(self) -> float:
        """Mean loss per token; comparable only between models of one vocabulary."""
        return self.nats / self.num_tokens


@torch.inference_mode()
def score_documents(
    model: nn.Module,
    documents: Iterable[ScoredDocument],
    *,
    eos_token_id: int,
    max_length: int,
    batch_tokens: int = 2048,
) -> Likelihood:
    """Sum the negative log-likelihood of `</s> X </s>` given its first token, for each document X.

    A document longer than the model reads is scored through windows that overlap by half, so that each of its tokens
    is predicted once, with at least half a window of context.

    Args:
        model: a causal language model; called with `input_ids` (B, T) in evaluation mode.
        documents: what to score.
        eos_token_id: id of `</s>`, which begins and ends a document.
        max_length: longest window in tokens.
        batch_tokens: tokens per forward pass, padding included.
    """
    windows: list[tuple[list[int], int]] = []  # ids, and how many of the first predictions another window makes
    num_bytes = 0
    for document in documents:
        num_bytes += document.num_bytes
        ids = [eos_token_id, *document.token_ids, eos_token_id]
        start, num_done = 0, 0
        while num_done < len(ids) - 1:
            window = ids[start : start + max_length + 1]
            windows.append((window, num_done - start))
            num_done = start + len(window) - 1
            start = num_done - max_length // 2
    windows.sort(key=lambda window: len(window[0]))

    device = next(model.parameters()).device
    nats, num_tokens = 0.0, 0
    was_training = model.training
    model.eval()
    while windows:
        rows = max(1, batch_tokens // len(windows[-1][0]))
        batch = [windows.pop() for _ in range(min(rows, len(windows)))]
        width = len(batch[0][0]) - 1
        # Padding stands on the right of causal sequences, where no scored token can see it: no mask is needed.
        inputs = torch.full((len(batch), width), eos_token_id)  # (B, T)
        targets = torch.full((len(batch), width), -100)  # (B, T)
        for row, (ids, num_done) in enumerate(batch):
            inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            targets[row, num_done : len(ids) - 1] = torch.tensor(ids[num_done + 1 :])
        logits = model(input_ids=inputs.to(device), use_cache=False).logits.float()  # (B, T, V)
        targets = targets.to(device)
        nats += nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
        num_tokens += int((targets != -100).sum())
    model.train(was_training)
    return Likelihood(nats, num_tokens, num_bytes)
