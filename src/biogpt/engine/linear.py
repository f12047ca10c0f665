"""Linear layers as the engine computes them: PyTorch's own, or packed once in int8.

Shapes: N tokens, C inputs, O outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

Linear = Callable[[torch.Tensor], torch.Tensor]
"""(N, C) -> (N, O)"""

MAX_INT8_ERROR = 0.02
"""How far an int8 row of weights may be from the row, as a share of its norm. Rows of normally distributed weights are
at 0.007 to 0.01; one weight that is twelve times as large as the others brings its row above the bound."""

_MAX_SHARE = 8  # more than one row in so many above the bound: the whole layer stays as it is


class Int8Linear:
    """A linear layer in int8: weights by output, inputs by token as they come.

    Each token has its own scale, so that what it becomes does not depend on those beside it: sums of integers are
    exact, whatever the batch. The product is oneDNN's, which PyTorch's quantised export uses, too. Rows of weights that
    int8 cannot hold well are kept in float32.

    Args:
        weight: float32, (O, C).
        bias: float32, (O,), or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        weight = weight.detach()
        self.num_outputs: int = weight.shape[0]
        scales = weight.abs().amax(dim=1).div_(127).clamp_(min=1e-30)
        rounded = (weight / scales.unsqueeze(1)).round_()
        errors = rounded.mul(scales.unsqueeze(1)).sub_(weight).norm(dim=1) / weight.norm(dim=1).clamp(min=1e-30)
        self.outliers: torch.Tensor = (errors > MAX_INT8_ERROR).nonzero().squeeze(1)
        """The outputs whose weights are kept in float32."""
        self._precise = weight[self.outliers].clone() if len(self.outliers) else None
        quantized = rounded.to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(quantized, [32, weight.shape[1]])
        self._scales = scales
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


def pack_linear(layers: Sequence[nn.Linear], is_int8: bool) -> Linear:
    """Linear layers that read the same, as one whose outputs are theirs, one after the other.

    Args:
        layers: one or several.
        is_int8: in int8; else the layers are called as they are, and share their weights with the model.
    """
    if is_int8:
        weight = torch.cat([layer.weight.detach().float() for layer in layers])
        biases = [layer.bias for layer in layers]
        bias = None if biases[0] is None else torch.cat([each.detach().float() for each in biases])
        packed = Int8Linear(weight, bias)
        if len(packed.outliers) * _MAX_SHARE > packed.num_outputs:
            return lambda inputs: nn.functional.linear(inputs, weight, bias)
        return packed
    if len(layers) == 1:
        return layers[0]
    return lambda inputs: torch.cat([layer(inputs) for layer in layers], dim=1)
