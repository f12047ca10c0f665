"""Token shards: files of token ids, mapped into memory and seen as one stream.

Knows nothing of documents, vocabularies or where the files come from, and never imports torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TokenShards:
    """The token stream that lies in several files, as if it were one. Files are mapped when first needed."""

    def __init__(self, paths: Sequence[Path], dtype: str) -> None:
        self._paths = list(paths)
        self._dtype = np.dtype(dtype)
        self._maps: dict[int, NDArray[Any]] = {}
        lengths = [path.stat().st_size // self._dtype.itemsize for path in self._paths]
        self._ends = np.cumsum(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def block(self, start: int, length: int) -> NDArray[np.int64]:
        """The `length` tokens from position `start`, over file borders.

        Raises:
            IndexError: there are not so many tokens.
        """
        if start < 0 or length < 0 or start + length > len(self):
            raise IndexError(f"tokens {start} to {start + length} of {len(self)}")
        block = np.empty(length, dtype=np.int64)
        filled = 0
        shard = int(np.searchsorted(self._ends, start, side="right"))
        while filled < length:
            tokens = self._map(shard)
            offset = start + filled - (int(self._ends[shard]) - len(tokens))
            part = tokens[offset : offset + length - filled]
            block[filled : filled + len(part)] = part
            filled += len(part)
            shard += 1
        return block

    def blocks(self, length: int) -> "TokenBlocks":
        """The stream cut into blocks of `length` tokens; what remains at the end is left out."""
        return TokenBlocks(self, length)

    def _map(self, shard: int) -> NDArray[Any]:
        if shard not in self._maps:
            self._maps[shard] = np.memmap(self._paths[shard], dtype=self._dtype, mode="r")
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


class TokenBlocks(Sequence[NDArray[np.int64]]):
    """Blocks of equal length: block `i` begins at token `i * length`."""

    def __init__(self, tokens: TokenShards, length: int) -> None:
        self.tokens = tokens
        self.length = length

    def __len__(self) -> int:
        return len(self.tokens) // self.length

    def __getitem__(self, index: int) -> NDArray[np.int64]:  # type: ignore[override]  # slices are not needed
        if not -len(self) <= index < len(self):
            raise IndexError(f"block {index} of {len(self)}")
        return self.tokens.block(index % len(self) * self.length, self.length)
