"""The network in int8 as compiled kernels read it: packed weights, and the threads that run a pass together.

Where the kernels cannot run here, `biogpt.engine.network` computes the same with PyTorch's operators.

Shapes: N new tokens, K of them whose outputs are asked for, C hidden size, I inputs and O outputs of a matrix.
"""

import functools
import importlib.util
import logging
import os
import platform
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.linear import Linear, pack_linear, read_int8
from biogpt.engine.packing import sum_rows
from biogpt.model.quantization import Int8Matrix

if TYPE_CHECKING:
    from biogpt.engine.kernels import Layers, Matrices, Norms, Tokens

_logger = logging.getLogger(__name__)

_BLOCK = 64  # outputs whose weights stand together, as in `kernels`, which is imported when it is needed
_PATIENCE = 3.0  # seconds until it is said that something is compiled
_OTHER_TARGETS = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_DISABLE_JIT")
_SHORT = 2**23  # weights times tokens, below which a second thread costs more than it saves


@functools.cache
def can_compile(features: frozenset[str]) -> bool:
    """Whether the kernels run here: on this processor and system, with Numba installed."""
    is_known = "vnni512" in features and platform.system() == "Linux" and platform.machine() == "x86_64"
    if not is_known or any(map(os.environ.get, _OTHER_TARGETS)):  # LLVM ends the process over an unknown instruction
        return False
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:  # it was imported in vain
        return False


class MatrixStack:
    """The same matrix of several layers, packed one by one as they are read.

    Args:
        num_layers: how many.
        shape: (O, I) of each.
        floor: what no input is below, at most 0, where that is known; see `biogpt.engine.linear.Int8Linear`.
    """

    def __init__(self, num_layers: int, shape: tuple[int, ...], floor: float = 0.0) -> None:
        num_outputs, num_inputs = shape
        self.shape: tuple[int, int] = (num_outputs, num_inputs)
        self._floor = floor
        num_blocks, num_quads = -(-num_outputs // _BLOCK), -(-num_inputs // 4)
        self._codes = np.empty((num_layers, num_blocks, num_quads, _BLOCK, 4), np.int8)
        self._sums = np.zeros((num_layers, num_blocks * _BLOCK), np.int32)
        self._scales = np.zeros((num_layers, num_blocks * _BLOCK), np.float32)
        self._biases = np.zeros((num_layers, num_blocks * _BLOCK), np.float32)
        self._outputs: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._row_biases: list[np.ndarray] = []

    def add(self, matrix: Int8Matrix, bias: torch.Tensor | None) -> None:
        """Pack the matrix of the next layer."""
        layer = len(self._rows)
        (num_outputs, num_inputs), (_, num_blocks, num_quads, *_) = self.shape, self._codes.shape
        codes = matrix.codes
        padding = (0, 4 * num_quads - num_inputs, 0, num_blocks * _BLOCK - num_outputs)
        padded = torch.nn.functional.pad(codes, padding) if any(padding) else codes
        if not padded.is_contiguous() or padded.storage_offset() % 4:
            padded = padded.clone(memory_format=torch.contiguous_format)
        quads = padded.view(torch.int32).view(num_blocks, _BLOCK, num_quads).transpose(1, 2)
        torch.from_numpy(self._codes[layer]).view(torch.int32).squeeze(-1).copy_(quads)
        sums = sum_rows(padded)[:num_outputs]
        biases = torch.zeros(num_outputs) if bias is None else bias.detach().float().clone()
        scales = matrix.scales.clone()
        self._rows.append(matrix.rows.float().numpy().copy())
        self._outputs.append(matrix.outliers.numpy().copy())
        self._row_biases.append(biases[matrix.outliers].numpy().copy())
        if self._floor:  # the inputs are read as if they began at 0
            biases += self._floor * scales * sums
            sums.zero_()
        for each in (sums, scales, biases):
            each[matrix.outliers] = 0
        self._sums[layer, :num_outputs] = sums.mul_(128).numpy()
        self._scales[layer, :num_outputs] = scales.numpy()
        self._biases[layer, :num_outputs] = biases.numpy()

    def finish(self) -> "Matrices":
        """All of them, as the kernels read them."""
        from biogpt.engine.kernels import Matrices

        return Matrices(
            self._codes,
            *(self._sums, self._scales, self._biases),
            np.cumsum([0, *map(len, self._outputs)]),
            np.concatenate(self._outputs).astype(np.int64),
            np.concatenate(self._rows).astype(np.float32),
            np.concatenate(self._row_biases).astype(np.float32),
            self.shape[0],
        )


def stack_norms(norms: Sequence[Any]) -> "Norms":
    """The same layer norm of several layers."""
    from biogpt.engine.kernels import Norms

    weights, biases = (
        np.stack([getattr(norm, name).detach().float().numpy() for norm in norms]) for name in ("weight", "bias")
    )
    return Norms(weights, biases, float(norms[0].eps))


class CompiledLayers:
    """The layers of a network, ready to read.

    Args:
        layers: packed.
        num_heads: of attention.
    """

    def __init__(self, layers: "Layers", num_heads: int) -> None:
        self._layers = layers
        self._num_heads = num_heads
        packed = (layers.query, layers.key, layers.value, layers.output, layers.up, layers.down)
        self._num_weights = sum(matrices.codes.size for matrices in packed)
        self._largest = max(4 * matrices.codes.shape[2] for matrices in packed)
        self._num_layers, self._width = len(layers.query.scales), layers.query.num_outputs

    def read(self, hidden: torch.Tensor, tokens: "Tokens", cache: KeyValueCache | None) -> torch.Tensor:
        """Outputs of tokens.

        Args:
            hidden: their embeddings, (N, C), which are overwritten.
            tokens: what they see.
            cache: gets their keys and values. None: nothing is kept, and places are those of the tokens.

        Returns:
            (K, C)
        """
        from biogpt.engine.kernels import Scratch, read

        num_tokens, size = hidden.shape
        num_threads = _count_threads(self._num_weights * num_tokens)
        if cache is None:
            num_places = num_tokens
            own = np.empty((2, num_tokens, self._width), np.float32)  # one layer's, written anew by the next
            keys, values = (np.full(self._num_layers, each.ctypes.data) for each in own)
        else:
            num_places = cache.num_rows * cache.num_tokens
            keys, values = (np.array([each.data_ptr() for each in part]) for part in (cache.keys, cache.values))
        num_seen = int(tokens.num_seen.max())
        scratch = Scratch(
            hidden.numpy(),
            np.empty((num_tokens, max(size, self._width)), np.float32),
            np.empty((num_tokens, self._largest), np.uint8),
            np.empty(num_tokens, np.float32),
            np.empty((num_tokens, self._width), np.float32),
            np.empty((num_tokens, self._layers.up.num_outputs), np.float32),
            np.empty((num_threads, 4, num_seen), np.float32),
            np.empty((num_threads, num_seen), np.int64),
            np.empty((num_threads, 4), np.int64),
            np.empty((num_threads, 4, _BLOCK), np.float32),
        )
        _team.run(read, num_threads, self._layers, self._num_heads, tokens, keys, values, num_places, scratch)
        return hidden[: len(tokens.kept)]


class CompiledLinear:
    """One matrix: (N, I) float32 -> (N, O)."""

    def __init__(self, matrix: Int8Matrix, bias: torch.Tensor | None) -> None:
        stack = MatrixStack(1, matrix.codes.shape)
        stack.add(matrix, bias)
        self._matrices = stack.finish()

    def __call__(self, inputs: torch.Tensor, is_scratch: bool = False) -> torch.Tensor:
        del is_scratch
        from biogpt.engine.kernels import Scratch, multiply

        num_tokens = len(inputs)
        num_threads = _count_threads(self._matrices.codes.size * num_tokens)
        outputs = torch.empty(num_tokens, self._matrices.num_outputs)
        empty = np.empty((0, 0), np.float32)
        scratch = Scratch(
            empty,
            inputs.detach().contiguous().numpy(),
            np.empty((num_tokens, 4 * self._matrices.codes.shape[2]), np.uint8),
            np.empty(num_tokens, np.float32),
            *(empty, empty, np.empty((0, 0, 0), np.float32)),
            np.empty((num_threads, 0), np.int64),
            np.empty((num_threads, 4), np.int64),
            np.empty((num_threads, 4, _BLOCK), np.float32),
        )
        _team.run(multiply, num_threads, self._matrices, scratch, outputs.numpy())
        return outputs


def compile_linear(layers: Sequence[Any], is_int8: bool) -> Linear:
    """As `biogpt.engine.linear.pack_linear`, of one layer, for the kernels where they know its kind."""
    weight, bias = read_int8(layers[0]) if is_int8 else (None, None)
    return CompiledLinear(weight, bias) if isinstance(weight, Int8Matrix) else pack_linear(layers, is_int8)


def compile_layers(base: Any, floor: float) -> CompiledLayers | None:
    """A model's layers as the kernels read them.

    Args:
        base: the module whose `layers` are `BioGptDecoderLayer`s, with GELU between their matrices.
        floor: what the activation never falls below.

    Returns:
        None where a matrix has too many rows that int8 cannot hold well, or where layers differ in size.
    """
    from biogpt.engine.kernels import Layers

    stacks: dict[str, MatrixStack] = {}
    for layer in base.layers:
        attention = layer.self_attn
        parts = {
            "query": attention.q_proj,
            "key": attention.k_proj,
            "value": attention.v_proj,
            "output": attention.out_proj,
            "up": layer.fc1,
            "down": layer.fc2,
        }
        for name, part in parts.items():
            weight, bias = read_int8(part)
            if not isinstance(weight, Int8Matrix):
                return None
            if name not in stacks:
                stacks[name] = MatrixStack(len(base.layers), weight.codes.shape, floor if name == "down" else 0.0)
            if stacks[name].shape != weight.codes.shape:
                return None
            stacks[name].add(weight, bias)
    first = base.layers[0].self_attn
    layers = Layers(
        first_norm=stack_norms([layer.self_attn_layer_norm for layer in base.layers]),
        second_norm=stack_norms([layer.final_layer_norm for layer in base.layers]),
        last_norm=stack_norms([base.layer_norm]),
        scaling=float(first.scaling),
        floor=floor,
        **{name: stack.finish() for name, stack in stacks.items()},
    )
    return CompiledLayers(layers, first.k_proj.out_features // first.head_dim)


def _count_threads(work: int) -> int:
    return torch.get_num_threads() if work >= _SHORT else 1


class _Team:
    """Threads that run one function together. They are started when they are first needed, and wait in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: list[SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]]] = []
        self._called: set[Callable[..., None]] = set()

    def run(self, function: Callable[..., None], num_threads: int, *arguments: Any) -> None:
        """`function(thread, num_threads, arrivals, *arguments)` in each of so many threads, this one among them.

        It ends with a meeting of all of them. Where the others are at work for another thread it runs in this one
        alone, which gives the same."""
        if function not in self._called:  # it is compiled now, or read from where the last process left it
            self._called.add(function)
            text = "Compiling the engine for this processor; the next process will find it done."
            notice = threading.Timer(_PATIENCE, _logger.warning, [text])
            notice.daemon = True
            notice.start()
            try:
                self._run(function, 1, *arguments)
            finally:
                notice.cancel()
        else:
            self._run(function, num_threads, *arguments)

    def _run(self, function: Callable[..., None], num_threads: int, *arguments: Any) -> None:
        if num_threads > 1 and self._lock.acquire(blocking=False):
            try:
                while len(self._queues) < num_threads - 1:
                    self._queues.append(SimpleQueue())
                    threading.Thread(target=_serve, args=(self._queues[-1],), name="biogpt-pass", daemon=True).start()
                arrivals = np.zeros(1, np.int64)
                for thread, queue in enumerate(self._queues[: num_threads - 1], start=1):
                    queue.put((function, (thread, num_threads, arrivals, *arguments)))
                function(0, num_threads, arrivals, *arguments)
            finally:
                self._lock.release()
        else:
            function(0, 1, np.zeros(1, np.int64), *arguments)


def _serve(queue: "SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]]") -> None:
    while True:
        function, arguments = queue.get()
        function(*arguments)
        del function, arguments  # the memory of a pass is let go


_team = _Team()
