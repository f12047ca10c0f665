"""Linear layers as the engine computes them: PyTorch's own, or packed once in int8.

Shapes: N tokens, C inputs, O outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from biogpt.engine.packing import pack_matrix
from biogpt.model.quantization import Int8Matrix, quantize
from biogpt.model.stored import StoredLinear

Linear = Callable[..., Any]
"""(N, C) -> (N, O), or a tuple of several: see `pack_linear`."""


class Int8Linear:
    """A linear layer in int8: weights by output, inputs by token as they come.

    Each token has its own scale, so that what it becomes does not depend on those beside it: sums of integers are
    exact, whatever the batch. The product is oneDNN's, which PyTorch's quantised export uses, too. Rows of weights that
    int8 cannot hold well are kept in float32.

    Args:
        matrix: the weights, (O, C).
        bias: float32, (O,), or None.
        floor: what no input is below, at most 0, where that is known: the 256 steps then lie above it, and none is
            wasted on what does not come.
    """

    def __init__(self, matrix: Int8Matrix, bias: torch.Tensor | None, floor: float | None = None) -> None:
        self.num_outputs: int = matrix.codes.shape[0]
        self.outliers: torch.Tensor = matrix.outliers
        """The outputs whose weights are kept in float32."""
        self._precise = matrix.rows if len(matrix.outliers) else None
        self._weight = pack_matrix(matrix.codes)
        self._scales = matrix.scales.clone()  # the file that they may lie in is let go
        self._zero_points = torch.zeros(self.num_outputs, dtype=torch.int32)
        self._bias = torch.zeros(self.num_outputs) if bias is None else bias.detach().float().clone()
        self._floor = floor
        self._shifted_bias = self._bias
        if floor is not None:  # the inputs are read as if they began at 0
            self._shifted_bias = self._bias + floor * self._scales * matrix.codes.sum(dim=1, dtype=torch.int32)

    def __call__(self, inputs: torch.Tensor, is_scratch: bool = False) -> torch.Tensor:
        """(N, C) -> (N, O); inputs that are `is_scratch` may be overwritten."""
        precise = None
        if self._precise is not None:
            precise = nn.functional.linear(inputs, self._precise, self._bias[self.outliers])
        # Unsigned is what the kernel reads fastest; by way of signed it is made fastest.
        out = inputs if is_scratch else None
        if self._floor is None:
            zero = 128
            steps = torch.maximum(inputs.amax(dim=1, keepdim=True), inputs.amin(dim=1, keepdim=True).neg_())
            steps.clamp_(min=1e-30).div_(127)  # (N, 1)
            scaled = torch.mul(inputs, steps.reciprocal(), out=out)
        else:
            zero = 0
            steps = inputs.amax(dim=1, keepdim=True).sub_(self._floor).clamp_(min=1e-30).div_(255)  # (N, 1)
            factors = steps.reciprocal()
            scaled = torch.addcmul(-128 - self._floor * factors, inputs, factors, out=out)
        rounded = scaled.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        outputs: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(rounded, 1.0, zero, self._weight, self._scales, self._zero_points),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        torch.addcmul(self._shifted_bias, outputs, steps, out=outputs)
        if precise is not None:
            outputs[:, self.outliers] = precise
        return outputs


def pack_linear(layers: Sequence[nn.Linear | StoredLinear], is_int8: bool, floor: float | None = None) -> Linear:
    """Linear layers that read the same, as one.

    Args:
        layers: one or several.
        is_int8: in int8; else the layers are called as they are, and share their weights with the model.
        floor: what no input is below, where that is known; see `Int8Linear`.

    Returns:
        A function of the inputs and of `is_scratch`, whether they may be overwritten. It gives the outputs of one
        layer, or a tuple of those of several.
    """
    if is_int8:
        read = [read_int8(layer) for layer in layers]
        if any(isinstance(weight, torch.Tensor) for weight, _ in read):
            return _join([_pack(weight, bias, floor) for weight, bias in read])
        biases = [bias for _, bias in read if bias is not None]
        parts = [weight for weight, _ in read if isinstance(weight, Int8Matrix)]
        joined = Int8Linear(Int8Matrix.join(parts), torch.cat(biases) if biases else None, floor)
        return _split(joined, [len(each.codes) for each in parts])
    return _join(layers)


def read_int8(layer: nn.Linear | StoredLinear) -> tuple[Int8Matrix | torch.Tensor, torch.Tensor | None]:
    """A layer's weights in int8, or in float32 where too many of them would be lost, and its bias."""
    if isinstance(layer, StoredLinear):
        weight, bias = layer.read()
    else:
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach().float()
    if isinstance(weight, Int8Matrix):
        return weight, bias
    matrix = quantize(weight)
    return (weight.float() if matrix.is_coarse else matrix), bias


def _pack(weight: Int8Matrix | torch.Tensor, bias: torch.Tensor | None, floor: float | None) -> Linear:
    if isinstance(weight, Int8Matrix):
        return Int8Linear(weight, bias, floor)
    weight = weight.clone()  # neither the model nor its file is kept
    return lambda inputs: nn.functional.linear(inputs, weight, bias)


def _split(joined: Int8Linear, widths: Sequence[int]) -> Linear:
    if len(widths) == 1:
        return joined
    return lambda inputs, is_scratch=False: torch.split(joined(inputs, is_scratch), list(widths), dim=1)


def _join(layers: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> Linear:
    if len(layers) == 1:
        return lambda inputs, is_scratch=False: layers[0](inputs)
    return lambda inputs, is_scratch=False: tuple(layer(inputs) for layer in layers)
