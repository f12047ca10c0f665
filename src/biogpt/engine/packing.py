"""Matrices in int8 as oneDNN's kernels read them.

oneDNN lays a matrix out number by number: that is most of the time in which a large model loads. Where its layout is
the one known here, all matrices of a shape but the first are laid out by a plain copy, in a sixth of the time. That it
is the known one is never assumed: the first matrix is laid out in both ways, and they have to agree in each byte. On
processors with other layouts oneDNN does everything. Its layout also depends on the number of threads.

Shapes: O rows (outputs), C columns (inputs).
"""

import ctypes
from weakref import WeakValueDictionary

import torch

_BLOCK = 64  # rows and columns
_MOST_EQUAL = 4  # one in so many neighbours
_BATCH = 32  # tokens of a pass, which oneDNN asks for; other numbers are computed, too

# The last matrix of each shape and number of threads, while it is used. A copy of it has the place and the description
# that another needs.
_packed: WeakValueDictionary[tuple[int, ...], torch.Tensor] = WeakValueDictionary()

# Whether oneDNN's layout of each shape and number of threads is the known one, as far as a matrix has told it.
_is_layout_known: dict[tuple[int, ...], bool] = {}


def pack_matrix(codes: torch.Tensor) -> torch.Tensor:
    """A matrix for `torch.ops.onednn.qlinear_pointwise`.

    Args:
        codes: int8, (O, C); it is copied.

    Returns:
        An opaque tensor of oneDNN's.
    """
    key = (*codes.shape, torch.get_num_threads())
    pattern = _packed.get(key)
    if pattern is not None and _is_layout_known.get(key):
        packed = pattern.clone()
        is_aligned = codes.is_contiguous() and codes.storage_offset() % 4 == 0
        _lay_out(codes if is_aligned else codes.clone(memory_format=torch.contiguous_format), _memory_of(packed))
    else:
        packed = _pack_by_onednn(codes)
        if key not in _is_layout_known and (is_known := _compare_layouts(codes, packed)) is not None:
            _is_layout_known[key] = is_known
    _packed[key] = packed
    return packed


def _pack_by_onednn(codes: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(codes.contiguous(), [_BATCH, codes.shape[1]])
    return packed


def _compare_layouts(codes: torch.Tensor, packed: torch.Tensor) -> bool | None:
    """Whether `_lay_out` does what oneDNN did, byte by byte; None: too many neighbours are equal to tell."""
    num_rows, num_columns = codes.shape
    if num_rows % _BLOCK or num_columns % _BLOCK:
        return False
    codes = codes.clone(memory_format=torch.contiguous_format)
    try:
        memory = _memory_of(packed)
        if len(memory) != codes.numel() + 4 * num_rows:
            return False
        ours = torch.empty_like(memory)
        _lay_out(codes, ours)
    except (AttributeError, RuntimeError):  # another PyTorch may lack one of these operators
        return False
    if not torch.equal(ours, memory):
        return False
    sample = codes[:: max(1, num_rows // 256)]
    num_equal = int((sample[1:] == sample[:-1]).sum()), int((sample[:, 1:] == sample[:, :-1]).sum())
    return True if max(num_equal) * _MOST_EQUAL < sample.numel() else None


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
    torch.neg(sum_rows(codes), out=target[size:].view(torch.int32))


def sum_rows(codes: torch.Tensor) -> torch.Tensor:
    """The sum of each row, int32 (O,); several times as fast as `codes.sum(dim=1, dtype=torch.int32)`."""
    return torch._int_mm(codes, torch.ones(codes.shape[1], 8, dtype=torch.int8))[:, 0]
