"""Matrices in int8 as oneDNN's kernels read them.

oneDNN lays a matrix out number by number: that is most of the time in which a large model loads. Where its layout is
the one known here, all matrices of a shape but the first are laid out by a plain copy, in a sixth of the time. That it
is the known one is never assumed: oneDNN lays out random numbers of the same shape, and both have to agree in each
byte. On processors with other layouts oneDNN does everything. Its layout also depends on the number of threads.

Shapes: O rows (outputs), C columns (inputs).
"""

import ctypes
import functools
from weakref import WeakValueDictionary

import torch

_BLOCK = 64  # rows and columns
_BATCH = 32  # tokens of a pass, which oneDNN asks for; other numbers are computed, too

# The last matrix of each shape and number of threads, while it is used. A copy of it has the place and the description
# that another needs.
_packed: WeakValueDictionary[tuple[int, ...], torch.Tensor] = WeakValueDictionary()


def pack_matrix(codes: torch.Tensor) -> torch.Tensor:
    """A matrix for `torch.ops.onednn.qlinear_pointwise`.

    Args:
        codes: int8, (O, C); it is copied.

    Returns:
        An opaque tensor of oneDNN's.
    """
    key = (*codes.shape, torch.get_num_threads())
    pattern = _packed.get(key)
    if pattern is not None and _is_layout_known(*key):
        packed = pattern.clone()
        is_aligned = codes.is_contiguous() and codes.storage_offset() % 4 == 0
        _lay_out(codes if is_aligned else codes.clone(memory_format=torch.contiguous_format), _memory_of(packed))
    else:
        packed = _pack_by_onednn(codes)
    _packed[key] = packed
    return packed


def _pack_by_onednn(codes: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(codes.contiguous(), [_BATCH, codes.shape[1]])
    return packed


@functools.cache
def _is_layout_known(num_rows: int, num_columns: int, num_threads: int) -> bool:
    """Whether `_lay_out` does what oneDNN does in so many threads, which are the caller's, byte by byte."""
    if num_rows % _BLOCK or num_columns % _BLOCK:
        return False
    codes = torch.randint(
        -127, 128, (num_rows, num_columns), dtype=torch.int8, generator=torch.Generator().manual_seed(0)
    )
    expected = _pack_by_onednn(codes)
    try:
        memory = _memory_of(expected)
        if len(memory) != codes.numel() + 4 * num_rows:
            return False
        ours = torch.empty_like(memory)
        _lay_out(codes, ours)
    except (AttributeError, RuntimeError):  # another PyTorch may lack one of these operators
        return False
    return torch.equal(ours, memory)


def _memory_of(packed: torch.Tensor) -> torch.Tensor:
    """The bytes of an opaque tensor, (bytes,) int8: a view that must not outlive it."""
    size = torch.ops.mkldnn._nbytes(packed)
    return torch.frombuffer((ctypes.c_int8 * size).from_address(torch.ops.mkldnn.data_ptr(packed)), dtype=torch.int8)


def _lay_out(codes: torch.Tensor, target: torch.Tensor) -> None:
    """Write blocks of 64 rows, in each of them four columns of every row and then the next four; behind them int32
    (O,), minus the sum of each row, with which oneDNN undoes the zero point of the inputs."""
    num_rows, num_columns = codes.shape
    size = codes.numel()
    blocks = codes.view(torch.int32).view(num_rows // _BLOCK, _BLOCK, num_columns // 4).transpose(1, 2)
    target[:size].view(torch.int32).view(blocks.shape).copy_(blocks)
    sums = torch._int_mm(codes, torch.ones(num_columns, 8, dtype=torch.int8))  # several times as fast as `sum`
    torch.neg(sums[:, 0], out=target[size:].view(torch.int32))
