"""Linear layers as the engine computes them: PyTorch's own, or packed once in int8.

Shapes: N tokens, C inputs, O outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from biogpt.model.quantization import Int8Matrix, quantize
from biogpt.model.stored import StoredLinear

Linear = Callable[[torch.Tensor], torch.Tensor]
"""(N, C) -> (N, O)"""


class Int8Linear:
    """A linear layer in int8: weights by output, inputs by token as they come.

    Each token has its own scale, so that what it becomes does not depend on those beside it: sums of integers are
    exact, whatever the batch. The product is oneDNN's, which PyTorch's quantised export uses, too. Rows of weights that
    int8 cannot hold well are kept in float32.

    Args:
        matrix: the weights, (O, C).
        bias: float32, (O,), or None.
    """

    def __init__(self, matrix: Int8Matrix, bias: torch.Tensor | None) -> None:
        self.num_outputs: int = matrix.codes.shape[0]
        self.outliers: torch.Tensor = matrix.outliers
        """The outputs whose weights are kept in float32."""
        self._precise = matrix.rows if len(matrix.outliers) else None
        self._weight = torch.ops.onednn.qlinear_prepack(matrix.codes, [32, matrix.codes.shape[1]])
        self._scales = matrix.scales.clone()  # the file that they may lie in is let go
        self._zero_points = torch.zeros(self.num_outputs, dtype=torch.int32)
        self._bias = torch.zeros(self.num_outputs) if bias is None else bias.detach().float().clone()

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, C) -> (N, O)."""
        # Each step is the fastest of its kind on CPUs: see benchmarks/int8_steps.py.
        largest = torch.maximum(inputs.amax(dim=1, keepdim=True), -inputs.amin(dim=1, keepdim=True))
        scales = largest.clamp_(min=1e-30).div_(127)  # (N, 1)
        signed = (inputs / scales).round_().to(torch.int8)
        # Unsigned, with 128 for 0, is what the kernel reads fastest.
        rounded = signed.view(torch.uint8).bitwise_xor_(128)
        outputs: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(rounded, 1.0, 128, self._weight, self._scales, self._zero_points),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        outputs = outputs.mul_(scales).add_(self._bias)
        if self._precise is not None:
            outputs[:, self.outliers] = nn.functional.linear(inputs, self._precise, self._bias[self.outliers])
        return outputs


def pack_linear(layers: Sequence[nn.Linear | StoredLinear], is_int8: bool) -> Linear:
    """Linear layers that read the same, as one whose outputs are theirs, one after the other.

    Args:
        layers: one or several.
        is_int8: in int8; else the layers are called as they are, and share their weights with the model.
    """
    if is_int8:
        read = [_read_int8(layer) for layer in layers]
        if any(isinstance(weight, torch.Tensor) for weight, _ in read):
            return _join([_pack(weight, bias) for weight, bias in read])
        biases = [bias for _, bias in read if bias is not None]
        matrix = Int8Matrix.join([weight for weight, _ in read if isinstance(weight, Int8Matrix)])
        return Int8Linear(matrix, torch.cat(biases) if biases else None)
    return _join(layers)


def _read_int8(layer: nn.Linear | StoredLinear) -> tuple[Int8Matrix | torch.Tensor, torch.Tensor | None]:
    """A layer's weights in int8, or in float32 where too many of them would be lost, and its bias."""
    if isinstance(layer, StoredLinear):
        weight, bias = layer.read()
    else:
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach().float()
    if isinstance(weight, Int8Matrix):
        return weight, bias
    matrix = quantize(weight)
    return (weight.float() if matrix.is_coarse else matrix), bias


def _pack(weight: Int8Matrix | torch.Tensor, bias: torch.Tensor | None) -> Linear:
    if isinstance(weight, Int8Matrix):
        return Int8Linear(weight, bias)
    weight = weight.clone()  # neither the model nor its file is kept
    return lambda inputs: nn.functional.linear(inputs, weight, bias)


def _join(layers: Sequence[Linear]) -> Linear:
    if len(layers) == 1:
        return layers[0]
    return lambda inputs: torch.cat([layer(inputs) for layer in layers], dim=1)
