"""A fine-tuned model as its difference from the model that it was fine-tuned from, four bits a weight.

Fine-tuning moves weights by little, and a coarse record of by how much is enough (Liu et al. 2024, "BitDelta", get by
with one bit): a file of a quarter of the size in half precision, from which `biogpt.model.checkpoint` reads an ordinary
model. This is how the fine-tuned models of this package are shipped. Importing this module does not import torch.

The file, safetensors, has for each matrix NAME of both models

    NAME.codes    uint8 (rows, (columns + 1) // 2): two codes a byte, the left column's in the lower half
    NAME.scales   float16 (rows,): a weight's difference is its row's scale times (code - 8)

and everything else whole, in float16: vectors as NAME, rows that only the fine-tuned matrix has as NAME.rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from biogpt.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_LARGEST = 7  # codes run from 1 to 15; 8 is no difference
DIFFERENCE_FILE = "difference.safetensors"

_PARTS = ("codes", "scales", "rows")


def write_difference(
    weights: Mapping[str, torch.Tensor], base: str, base_weights: Mapping[str, torch.Tensor], path: Path
) -> Path:
    """Write what makes a fine-tuned model out of its base.

    Args:
        weights: the fine-tuned model's, without a tied projection.
        base: the name of the model that it was fine-tuned from, as whoever reads the file can resolve it.
        base_weights: that model's.
        path: the directory to write to.

    Returns:
        The file.
    """
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        start = base_weights.get(name)
        if start is None or tensor.ndim != 2 or tensor.shape[1:] != start.shape[1:] or len(tensor) < len(start):
            tensors[name] = tensor.to(torch.float16)
            continue
        tensors[f"{name}.codes"], tensors[f"{name}.scales"] = _encode(tensor[: len(start)].float() - start.float())
        if len(tensor) > len(start):
            tensors[f"{name}.rows"] = tensor[len(start) :].to(torch.float16)
    file = path / DIFFERENCE_FILE
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"base": base})
    file.chmod(0o644)
    return file


def apply_difference(
    file: Path, tensors: Mapping[str, torch.Tensor], base: str, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The fine-tuned model's weights in float32.

    Args:
        file: where the difference is from, for messages.
        tensors: what it holds.
        base: the name of the base model.
        weights: the base model's.

    Raises:
        CheckpointError: the difference does not fit the base model.
    """
    import torch

    tuned: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        matrix, _, part = name.rpartition(".")
        if part not in _PARTS:
            tuned[name] = tensor.float()
        elif part == "codes":
            start, scales = weights.get(matrix), tensors.get(f"{matrix}.scales")
            if start is None or scales is None or start.ndim != 2 or not _fits(start, tensor, scales):
                raise CheckpointError(
                    f"{file}: {name} does not fit the base model '{base}', expected codes and scales for one of its "
                    "matrices. Put files together that were made together."
                )
            rows = tensors.get(f"{matrix}.rows", start.new_empty(0, start.shape[1]))
            if rows.ndim != 2 or rows.shape[1] != start.shape[1]:
                raise CheckpointError(
                    f"{file}: {matrix}.rows has shape {tuple(rows.shape)}, expected rows of {start.shape[1]} numbers "
                    f"as the base model '{base}' has. Put files together that were made together."
                )
            changed = start.float() + _decode(tensor, scales, start.shape[1])
            tuned[matrix] = torch.cat([changed, rows.float()])
    return tuned


def read_base(file: Path) -> str:
    """The name of the model that a file is the difference from.

    Raises:
        CheckpointError: the file does not say.
    """
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        base = (opened.metadata() or {}).get("base")
    if not base:
        raise CheckpointError(f"{file} does not name its base model, expected 'base' in its metadata. Make it again.")
    return str(base)


def _fits(start: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> bool:
    num_rows, num_columns = start.shape
    return (
        str(codes.dtype) == "torch.uint8"
        and codes.shape == (num_rows, (num_columns + 1) // 2)
        and scales.shape == (num_rows,)
    )


def _encode(difference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # (rows, columns)
    import torch

    scales = (difference.abs().amax(dim=1) / _LARGEST).to(torch.float16)
    divisors = scales.float().clamp(min=torch.finfo(torch.float16).tiny).unsqueeze(1)
    codes = (difference / divisors).round().clamp(-_LARGEST, _LARGEST).to(torch.int16) + 8
    if codes.shape[1] % 2:
        codes = torch.nn.functional.pad(codes, (0, 1), value=8)
    return (codes[:, 0::2] | (codes[:, 1::2] << 4)).to(torch.uint8), scales


def _decode(codes: torch.Tensor, scales: torch.Tensor, num_columns: int) -> torch.Tensor:
    import torch

    both = torch.stack([codes & 15, codes >> 4], dim=2).flatten(1)[:, :num_columns]  # (rows, columns)
    return (both.float() - 8) * scales.float().unsqueeze(1)
