"""Row batch: completions of many requests that share forward passes and may come and go between any two of them.

The engine's own `generate` begins and ends a batch as a whole. A server needs single steps: a row joins while others
are under way, and one whose client has gone is dropped at once. Rows do not touch each other: each has its own
settings and random numbers, so a row completes as it would alone, up to the rounding of floating-point sums.

Shapes: B rows, S tokens that the cache holds, H heads, D head size, V vocabulary.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from biogpt.decoding.sampling import choose_greedily, draw
from biogpt.engine.padding import check_numbers, pad_left
from biogpt.model.cache import CACHE_NAME
from biogpt.server.rows import Row, Sampling, TokenScore

_MAX_LOGITS = 1 << 26  # numbers that scoring prompts may hold at once: 256 MiB


class RowBatch:
    """The rows that are under way in one model.

    Args:
        model: a `BioGptForCausalLM` in evaluation mode.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.rows: list[Row] = []
        self._model = model
        self._pad_id: int = tokenizer.pad_token_id
        self._end_id: int = tokenizer.eos_token_id
        self._forbidden_ids = sorted(set(tokenizer.all_special_ids) - {self._end_id})
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=model.device)  # (B, S)
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []  # (B, H, S, D) each

    @torch.inference_mode()
    def add(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and what they have written in another batch, and choose their next tokens."""
        silent = [row for row in rows if not row.scores_prompt or row.prompt_scores]
        if silent:
            self._read(silent, 1)
        scored = sorted(
            (row for row in rows if row.scores_prompt and not row.prompt_scores), key=lambda row: len(row.prompt_ids)
        )
        while scored:
            longest = len(scored[-1].prompt_ids)
            num_rows = max(1, _MAX_LOGITS // (longest * self._model.config.vocab_size))
            self._read(scored[-num_rows:], 0)
            del scored[-num_rows:]

    @torch.inference_mode()
    def step(self) -> None:
        """Give each row one more token; those that have stopped leave first."""
        self.drop(lambda row: row.is_stopped)
        if not self.rows:
            return
        input_ids = torch.tensor([[row.new_ids[-1]] for row in self.rows], device=self._model.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones((len(self.rows), 1))], dim=1)
        output = self._model(input_ids=input_ids, attention_mask=self._mask, cache=tuple(self._layers))
        self._layers = list(output[CACHE_NAME])
        self._choose(self.rows, output.logits[:, -1].float())

    def drop(self, is_dropped: Callable[[Row], bool]) -> None:
        """Take rows out, and the memory that they held."""
        kept = [index for index, row in enumerate(self.rows) if not is_dropped(row)]
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in kept]
        if not kept:
            self._layers, self._mask = [], self._mask.new_zeros((0, 0))
            return
        chosen = torch.tensor(kept, device=self._mask.device)
        mask = self._mask[chosen]
        first = int(mask.any(dim=0).nonzero()[0])  # columns before it are padding in all rows
        self._mask = mask[:, first:]
        self._layers = [(keys[chosen, :, first:], values[chosen, :, first:]) for keys, values in self._layers]

    def _read(self, rows: list[Row], logits_to_keep: int) -> None:
        """Read the prompts of rows, which join the batch.

        Args:
            rows: new ones.
            logits_to_keep: 1 where only the next token is wanted, 0 where the prompts are scored.
        """
        input_ids, mask = pad_left([[*row.prompt_ids, *row.new_ids] for row in rows], self._pad_id, self._model.device)
        output = self._model(
            input_ids=input_ids, attention_mask=mask, cache=(), use_cache=True, logits_to_keep=logits_to_keep
        )
        layers = output[CACHE_NAME]  # pairs, as they were passed in
        logits = output.logits
        if not logits_to_keep:
            for index, row in enumerate(rows):
                row.prompt_scores = _score_prompt(row, logits[index, -len(row.prompt_ids) :].float())
        self._choose(rows, logits[:, -1].float())
        going_on = [index for index, row in enumerate(rows) if not row.is_stopped]
        if not going_on:
            return
        chosen = torch.tensor(going_on, device=mask.device)
        self._join(
            [rows[index] for index in going_on],
            mask[chosen],
            [(keys[chosen], values[chosen]) for keys, values in layers],
        )

    def _join(self, rows: list[Row], mask: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        if not self.rows:
            self.rows, self._mask, self._layers = list(rows), mask, layers
            return
        width = max(mask.shape[1], self._mask.shape[1])
        self._mask = torch.cat([_widen(self._mask, width, 1), _widen(mask, width, 1)])
        self._layers = [
            (
                torch.cat([_widen(old[0], width, 2), _widen(new[0], width, 2)]),
                torch.cat([_widen(old[1], width, 2), _widen(new[1], width, 2)]),
            )
            for old, new in zip(self._layers, layers, strict=True)
        ]
        self.rows += rows

    def _choose(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        """Choose the next token of each row out of its logits, (B, V), and note what is wanted of it."""
        check_numbers(logits)
        allowed = logits.clone()
        allowed[:, self._forbidden_ids] = float("-inf")
        groups: dict[Sampling, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if row.max_new_tokens == 0:
                row.is_stopped = True
            else:
                groups[row.sampling].append(index)
        for sampling, indices in groups.items():
            part = allowed[indices]
            if sampling.temperature == 0:
                ids = choose_greedily(part)
            else:
                drawn = [rows[index].uniforms.random() for index in indices]
                uniforms = torch.tensor(drawn, dtype=torch.float64, device=logits.device)
                ids = draw(part, uniforms, sampling.temperature, sampling.top_k, sampling.top_p)
            for index, token_id in zip(indices, ids.tolist(), strict=True):
                self._take(rows[index], token_id, logits[index])

    def _take(self, row: Row, token_id: int, logits: torch.Tensor) -> None:
        if row.num_top is not None:
            row.scores += _score(logits.unsqueeze(0), [token_id], row.num_top)
        row.new_ids.append(token_id)
        row.is_stopped = token_id == self._end_id or len(row.new_ids) >= row.max_new_tokens


def _widen(tensor: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    """The tensor with zeros before it along an axis."""
    missing = width - tensor.shape[axis]
    if not missing:
        return tensor
    shape = list(tensor.shape)
    shape[axis] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim=axis)


def _score_prompt(row: Row, logits: torch.Tensor) -> list[TokenScore]:
    """The tokens of a prompt, by the logits after each of them, (S, V)."""
    ids = list(row.prompt_ids)
    return [TokenScore(ids[0], None), *_score(logits[:-1], ids[1:], row.num_top or 0)]


def _score(logits: torch.Tensor, ids: Sequence[int], num_top: int) -> list[TokenScore]:
    """Tokens with their log-probabilities and those of the most probable ones, by logits (len(ids), V)."""
    if not ids:
        return []
    values = logits.log_softmax(dim=-1)
    own = values.gather(-1, torch.tensor(ids, device=logits.device).unsqueeze(-1)).squeeze(-1).tolist()
    if not num_top:
        return [TokenScore(token_id, score) for token_id, score in zip(ids, own, strict=True)]
    best, places = values.topk(num_top, dim=-1)
    return [
        TokenScore(token_id, score, tuple(zip(place, value, strict=True)))
        for token_id, score, place, value in zip(ids, own, places.tolist(), best.tolist(), strict=True)
    ]
