"""Matrices in int8: each row has a scale of its own, and rows that int8 cannot hold well are kept as they are.

In a file of safetensors a matrix NAME is

    NAME.int8      int8 (O, C): a weight is its row's scale times this number, from -127 to 127
    NAME.scales    float32 (O,)
    NAME.outliers  int32 (K,): the rows that are kept, where there are any
    NAME.rows      float32 (K, C): these rows

Shapes: O rows (outputs), C columns (inputs), K rows that are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from biogpt.errors import CheckpointError

MAX_INT8_ERROR = 0.02
"""How far an int8 row of weights may be from the row: the sum of the errors as a share of the sum of the weights, both
without their signs, and the largest weight left out, which is exact and would hide that all others are lost. Rows of
normally distributed weights are at 0.006 to 0.009; one weight that is ten times as large as their standard deviation
brings a row above the bound."""

INT8_PARTS = ("int8", "scales", "outliers", "rows")

_MAX_SHARE = 8  # more than one row in so many above the bound: the whole matrix stays as it is
_BLOCK = 2**20  # weights that are rounded at once: it bounds the memory


@dataclass(frozen=True)
class Int8Matrix:
    """A matrix in int8."""

    codes: torch.Tensor
    """int8, (O, C)"""
    scales: torch.Tensor
    """float32, (O,)"""
    outliers: torch.Tensor
    """int64, (K,): the rows that int8 cannot hold well."""
    rows: torch.Tensor
    """float32, (K, C): these rows."""

    @property
    def is_coarse(self) -> bool:
        """Whether so many rows are kept that the whole matrix should be."""
        return len(self.outliers) * _MAX_SHARE > len(self.codes)

    def to_float(self) -> torch.Tensor:
        """The matrix in float32, (O, C)."""
        weight = self.codes.float().mul_(self.scales.unsqueeze(1))
        weight[self.outliers] = self.rows
        return weight

    def to_tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors of a file that holds the matrix `name`."""
        tensors = {f"{name}.int8": self.codes, f"{name}.scales": self.scales}
        if len(self.outliers):
            tensors |= {f"{name}.outliers": self.outliers.to(torch.int32), f"{name}.rows": self.rows}
        return tensors

    @classmethod
    def join(cls, matrices: Sequence[Self]) -> "Int8Matrix":
        """Matrices of as many columns, one below the other."""
        if len(matrices) == 1:
            return matrices[0]
        outliers, first = [], 0
        for each in matrices:
            outliers.append(each.outliers + first)
            first += len(each.codes)
        return cls(
            torch.cat([each.codes for each in matrices]),
            torch.cat([each.scales for each in matrices]),
            torch.cat(outliers),
            torch.cat([each.rows for each in matrices]),
        )


def quantize(weight: torch.Tensor) -> Int8Matrix:
    """A matrix in int8.

    Args:
        weight: floating-point numbers, (O, C).
    """
    num_rows, num_columns = weight.shape
    codes = torch.empty(num_rows, num_columns, dtype=torch.int8)
    scales = torch.empty(num_rows)
    errors = torch.empty(num_rows)
    step = max(1, _BLOCK // num_columns)
    for first in range(0, num_rows, step):
        part = slice(first, first + step)
        block = weight[part].float()
        sizes = block.abs()
        largest = sizes.amax(dim=1)
        scales[part] = (largest / 127).clamp_(min=1e-30)
        factors = scales[part].unsqueeze(1)
        rounded = (block / factors).round_()
        codes[part] = rounded.to(torch.int8)
        lost = rounded.mul_(factors).sub_(block).abs_().sum(dim=1)
        errors[part] = lost / (sizes.sum(dim=1) - largest).clamp_(min=1e-30)
    outliers = (errors > MAX_INT8_ERROR).nonzero().squeeze(1)
    return Int8Matrix(codes, scales, outliers, weight[outliers].float())


def assemble_matrix(file: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> Int8Matrix:
    """The matrix `name` out of the tensors of a file, whose shapes were checked.

    Raises:
        CheckpointError: a row that is kept is none of the matrix.
    """
    codes = tensors[f"{name}.int8"]
    outliers = tensors.get(f"{name}.outliers", torch.empty(0)).long()
    rows = tensors.get(f"{name}.rows", torch.empty(0, codes.shape[1]))
    if len(outliers) and not 0 <= int(outliers.min()) <= int(outliers.max()) < len(codes):
        raise CheckpointError(
            f"{file}: {name}.outliers has numbers up to {int(outliers.max())}, expected rows of a matrix of "
            f"{len(codes)}. Convert the model again."
        )
    return Int8Matrix(codes, tensors[f"{name}.scales"], outliers, rows)


def restore_shapes(file: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a file's tensors are to the model: of each matrix in int8 one without memory, in float32.

    Raises:
        CheckpointError: the parts of a matrix do not fit together.
    """
    restored = {}
    for name, tensor in tensors.items():
        matrix, _, part = name.rpartition(".")
        if part not in INT8_PARTS or f"{matrix}.int8" not in tensors:
            restored[name] = tensor
        elif part == "int8":
            scales, outliers, rows = (tensors.get(f"{matrix}.{each}") for each in INT8_PARTS[1:])
            if not (
                tensor.dtype == torch.int8
                and tensor.ndim == 2
                and (scales is not None and scales.dtype == torch.float32 and scales.shape == tensor.shape[:1])
                and (outliers is None) == (rows is None)
                and (outliers is None or (outliers.dtype == torch.int32 and outliers.ndim == 1))
                and (rows is None or outliers is None or rows.shape == (len(outliers), tensor.shape[1]))
                and (rows is None or rows.dtype == torch.float32)
            ):
                raise CheckpointError(
                    f"{file}: the parts of {matrix} do not fit together, expected numbers in int8, a scale for each "
                    "row, and rows with their numbers. Convert the model again."
                )
            restored[matrix] = torch.empty(tensor.shape, device="meta")
    return restored


def restore_weights(file: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A file's tensors with its matrices in float32, as near as int8 is to what they were.

    Raises:
        CheckpointError: the parts of a matrix do not fit together.
    """
    return {
        name: tensor if name in tensors else assemble_matrix(file, name, tensors).to_float()
        for name, tensor in restore_shapes(file, tensors).items()
    }
