"""Rows of ids of different lengths as one batch, and whether what a model made of it are numbers at all.

Shapes: B rows, T tokens of the longest.
"""

from collections.abc import Sequence

import torch

from biogpt.errors import CheckpointError


def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[
    torch.Tensor,  # (B, T)
    torch.Tensor,  # (B, T)
]:
    """The rows with padding before them, so that the last token of each stands in the last column, and their mask."""
    width = max(map(len, rows))
    input_ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    is_read = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(input_ids, device=device), torch.tensor(is_read, device=device)


def check_numbers(logits: torch.Tensor) -> None:
    """Raise a `CheckpointError` where a prediction is not a number."""
    if logits.isnan().any():
        raise CheckpointError(
            "The model's predictions are not numbers, expected probabilities. Its weights are damaged: fetch or tune "
            "it again."
        )
