"""The cache of keys and values of several rows that are read together: allocated early, and grown in large steps.

Shapes: R rows (slots), S tokens that fit, H heads, D size of a head.
"""

from collections.abc import Sequence

import numpy as np
import torch

_CARRIERS = {torch.float32: np.float32, torch.bfloat16: np.int16}  # types as wide that NumPy has


class KeyValueCache:
    """Keys and values of all layers; row `r`'s token `s` stands at `[r, s]`.

    Memory that no token was written to is not taken: the system gives zeros out on their first use.
    What stands behind a row's tokens is of no meaning, but always numbers: masked, it adds nothing.

    Args:
        widths: of each layer, H * D.
        dtype: of keys and values.
        device: where they are.
        num_rows: rows at first.
        num_tokens: tokens of each at first.
        max_places: rows times tokens, where that is enough for what is asked for.
    """

    def __init__(
        self,
        widths: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
        num_rows: int = 1,
        num_tokens: int = 64,
        max_places: int | None = None,
    ) -> None:
        self.num_rows: int = num_rows
        self.num_tokens: int = num_tokens
        self._max_places = max_places
        self._dtype, self._device = dtype, device
        self.keys: list[torch.Tensor] = [self._make_zeros(num_rows, num_tokens, width) for width in widths]
        self.values: list[torch.Tensor] = [self._make_zeros(num_rows, num_tokens, width) for width in widths]

    @property
    def num_bytes(self) -> int:
        """What it takes of memory."""
        return 2 * sum(keys.numel() * keys.element_size() for keys in self.keys)

    def serves(self, num_rows: int, num_tokens: int, max_places: int | None) -> bool:
        """Whether it can be used again as one of this size; it then holds to that bound."""
        is_within = max_places is None or self.num_rows * self.num_tokens <= max_places
        if num_rows > self.num_rows or num_tokens > self.num_tokens or not is_within:
            return False
        self._max_places = max_places
        return True

    @torch.inference_mode()
    def reserve(self, num_rows: int, num_tokens: int) -> None:
        """Make room for so many rows of so many tokens; what is there of them stays.

        Rows and tokens behind those are given up where the cache would else grow beyond its bound.
        """
        if num_rows <= self.num_rows and num_tokens <= self.num_tokens:
            return
        rows = self.num_rows if num_rows <= self.num_rows else max(num_rows, 2 * self.num_rows)
        tokens = self.num_tokens if num_tokens <= self.num_tokens else max(num_tokens + 64, self.num_tokens * 5 // 4)
        if self._max_places is not None and rows * tokens > self._max_places:
            rows = num_rows
            fitting = self._max_places // rows
            tokens = min(tokens, fitting) if num_tokens <= fitting else num_tokens + 64
        for tensors in (self.keys, self.values):
            for index, old in enumerate(tensors):
                tensors[index] = self._make_zeros(rows, tokens, old.shape[2])
                tensors[index][: old.shape[0], : old.shape[1]] = old[:rows, :tokens]
        self.num_rows, self.num_tokens = rows, tokens

    def _make_zeros(self, *shape: int) -> torch.Tensor:
        if self._device.type != "cpu" or self._dtype not in _CARRIERS:
            return torch.zeros(shape, dtype=self._dtype, device=self._device)
        # PyTorch would write the zeros; NumPy asks the system for memory that is zero when it is first touched.
        return torch.from_numpy(np.zeros(shape, _CARRIERS[self._dtype])).view(self._dtype)

    @torch.inference_mode()
    def move(self, source: int, target: int, num_tokens: int) -> None:
        """Copy a row's first tokens to another row."""
        for tensors in (self.keys, self.values):
            for each in tensors:
                each[target, :num_tokens] = each[source, :num_tokens]

    @torch.inference_mode()
    def compact(self, row: int, first: int, places: Sequence[int]) -> None:
        """Keep of a row's tokens from `first` on only those at these places, in this order."""
        chosen = torch.tensor(places, dtype=torch.long, device=self.keys[0].device)
        for tensors in (self.keys, self.values):
            for each in tensors:
                each[row, first : first + len(places)] = each[row, chosen]
