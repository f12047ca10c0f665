"""Matrices in int8, laid out by oneDNN and by us: the products are the exact ones."""

import pytest
import torch

from biogpt.engine import packing
from biogpt.engine.processor import choose_dtype

pytestmark = pytest.mark.skipif(
    choose_dtype("int8", torch.device("cpu"), 0)[0] != "int8", reason="there is no int8 kernel here"
)


def multiply(inputs: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
    num_rows = packed.shape[1]
    return torch.ops.onednn.qlinear_pointwise(
        *(inputs, 1.0, 128, packed, torch.ones(num_rows), torch.zeros(num_rows, dtype=torch.int32)),
        *(None, 1.0, 0, torch.float32, "none", [], ""),
    )


@pytest.mark.parametrize("is_layout_known", [None, False])
@pytest.mark.parametrize("shape", [(128, 64), (64, 192), (100, 64), (64, 30)])
def test_every_matrix_of_a_shape_gives_the_exact_products(shape, is_layout_known, monkeypatch):
    if is_layout_known is not None:
        monkeypatch.setattr(packing, "_compare_layouts", lambda *_: is_layout_known)
    monkeypatch.setattr(packing, "_is_layout_known", {})
    num_rows, num_columns = shape
    whole = torch.randint(-127, 128, (3 * num_rows + 1, num_columns), dtype=torch.int8)
    unaligned = whole.flatten()[1 : 1 + num_rows * num_columns].view(shape)
    codes = [whole[:num_rows], whole[num_rows : 2 * num_rows], unaligned, whole[: 2 * num_rows : 2]]
    packed = [packing.pack_matrix(each) for each in codes]
    for num_tokens in (1, 5, 40):
        inputs = torch.randint(0, 256, (num_tokens, num_columns), dtype=torch.uint8)
        for each, own in zip(codes, packed, strict=True):
            torch.testing.assert_close(multiply(inputs, own), (inputs.float() - 128) @ each.float().t(), rtol=0, atol=0)


def test_a_pytorch_without_these_operators_has_everything_laid_out_by_onednn(monkeypatch):
    def lacking(packed):
        raise AttributeError("no such operator")

    monkeypatch.setattr(packing, "_memory_of", lacking)
    monkeypatch.setattr(packing, "_is_layout_known", {})
    shape = (448, 64)
    codes = [torch.randint(-127, 128, shape, dtype=torch.int8) for _ in range(2)]
    inputs = torch.randint(0, 256, (3, 64), dtype=torch.uint8)
    for each, own in zip(codes, [packing.pack_matrix(each) for each in codes], strict=True):
        assert torch.equal(multiply(inputs, own), (inputs.float() - 128) @ each.float().t())


@pytest.mark.parametrize("shape", [(192, 64), (384, 384)])
def test_a_layout_of_other_numbers_of_threads_is_not_taken_for_the_own(shape):
    before = torch.get_num_threads()
    inputs = torch.randint(0, 256, (3, shape[1]), dtype=torch.uint8)
    try:
        for num_threads in (1, 8, 4, 1):  # to oneDNN it matters how many there are
            torch.set_num_threads(num_threads)
            codes = [torch.randint(-127, 128, shape, dtype=torch.int8) for _ in range(2)]
            packed = [packing.pack_matrix(each) for each in codes]
            for each, own in zip(codes, packed, strict=True):
                assert torch.equal(multiply(inputs, own), (inputs.float() - 128) @ each.float().t())
            del packed, own  # else they would be the pattern of the next ones
    finally:
        torch.set_num_threads(before)


def test_a_layout_that_is_not_onednns_is_noticed(monkeypatch):
    def lay_out_otherwise(codes: torch.Tensor, target: torch.Tensor) -> None:
        lay_out(codes.roll(1, 0), target)

    lay_out = packing._lay_out
    codes = torch.randint(-127, 128, (128, 64), dtype=torch.int8)
    packed = packing._pack_by_onednn(codes)
    is_known = packing._compare_layouts(codes, packed)
    monkeypatch.setattr(packing, "_lay_out", lay_out_otherwise)
    assert packing._compare_layouts(codes, packed) is False
    monkeypatch.undo()
    same = torch.ones_like(codes)
    same[:, ::2] = 2  # all rows are the same: no order of them is told from another
    assert packing._compare_layouts(same, packing._pack_by_onednn(same)) is (None if is_known else False)
