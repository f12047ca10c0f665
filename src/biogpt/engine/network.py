"""The network as the engine runs it: many rows at once, each with any number of new tokens, without padding.

The same network as `biogpt.model.modeling`, whose weights and modules it uses. There a batch is a rectangle; here the
new tokens of all rows lie one after the other, and only attention knows which row they are of. It knows ids alone.

Shapes in comments: N new tokens of all rows, K of them whose outputs are asked for, R rows of a group, T new tokens of
its longest row, S tokens that they see, H heads, D size of a head, C hidden size.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from biogpt.engine.compiled import can_compile, compile_layers, compile_linear
from biogpt.engine.kv_cache import KeyValueCache
from biogpt.engine.linear import Linear, pack_linear
from biogpt.engine.padding import check_numbers
from biogpt.engine.processor import processor_features
from biogpt.errors import InputError
from biogpt.model.stored import StoredLinear, StoredModel

if TYPE_CHECKING:
    from biogpt.engine.kernels import Tokens
    from biogpt.model.modeling import AnyModel

_MAX_PADDING = 1.2  # attention over rows of the cache with different lengths may be so much larger than theirs
_MAX_KEPT_BYTES = 2**28  # of a cache that waits for its next use
_MAX_KEPT = 2  # of them: two threads may search at once
_SHORT = 16  # rows with fewer new tokens share one attention, however different they are


@dataclass(frozen=True)
class Segment:
    """New tokens of one row."""

    ids: Sequence[int]
    row: int = 0
    """In the cache."""
    start: int = 0
    """Where in the row they are written, behind what it holds."""
    positions: Sequence[int] | None = None
    """Of the tokens in their text; by default those from `start` on."""
    visible: torch.Tensor | None = None
    """Which tokens of the row each sees, itself included, (T, start + T) bool; by default all before it."""
    kept: int | Sequence[int] = 1
    """Whose outputs are asked for: so many last ones, or those at these indices, ascending."""

    @property
    def kept_indices(self) -> Sequence[int]:
        """Indices into `ids`."""
        if isinstance(self.kept, int):
            return range(len(self.ids) - self.kept, len(self.ids))
        return self.kept


@dataclass(frozen=True)
class _Layer:
    first_norm: nn.Module
    query: Linear | None  # None: part of `joined`
    joined: Linear  # (N, C) -> query, key and value, or key and value
    output: Linear
    second_norm: nn.Module
    up: Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    down: Linear
    width: int  # H * D
    num_heads: int
    scaling: float


@dataclass(frozen=True)
class _Rows:
    """Tokens of several rows among those that lie one after the other."""

    first: int
    stop: int
    num_rows: int
    width: int  # of the longest row
    index: torch.Tensor | None = None  # (R * width,): each place of the rectangle in first:stop; None: they are one
    tokens: torch.Tensor | None = None  # (tokens,): which places of the rectangle are tokens

    def unfold(self, flat: torch.Tensor, num_heads: int) -> torch.Tensor:
        """(N, H * D) -> (R, H, width, D)."""
        own = flat[self.first : self.stop]
        if self.index is not None:
            own = own.index_select(0, self.index)  # several times as fast as brackets
        return own.view(self.num_rows, self.width, num_heads, -1).transpose(1, 2)

    def fold(self, each: torch.Tensor) -> torch.Tensor:
        """(R, H, width, D) -> (tokens, H * D)."""
        flat = each.transpose(1, 2).reshape(self.num_rows * self.width, -1)
        return flat if self.tokens is None else flat.index_select(0, self.tokens)


@dataclass(frozen=True)
class _Group:
    """Rows whose attention is computed at once."""

    queries: _Rows
    keys: _Rows | None  # the new tokens; None: `num_seen` tokens of the cache from `row` on
    row: int = 0
    num_seen: int = 0
    mask: torch.Tensor | None = None  # (R, 1, T, S), added
    is_causal: bool = False


class Network:
    """A model's layers, ready to run.

    Args:
        model: in evaluation mode, on its device. In float32 and bfloat16 its modules are called, so that what changes
            there changes here; hooks on whole layers are not called.
        is_int8: pack the linear layers in int8.

    Raises:
        InputError: a layer is not one of `BioGptDecoderLayer`.
    """

    def __init__(self, model: "AnyModel | StoredModel", is_int8: bool = False) -> None:
        base = model.biogpt
        self.device: torch.device = model.device
        self.dtype: torch.dtype = base.layer_norm.weight.dtype
        self.is_int8 = is_int8
        self._process_id = os.getpid()
        self.num_passes: int = 0
        """How many times the weights were read."""
        self.num_read: int = 0
        """How many tokens were read in them."""
        self._spare_caches: list[KeyValueCache] = []
        self._embed_tokens = base.embed_tokens
        self._embed_positions = base.embed_positions
        self._layer_norm = base.layer_norm
        last = len(base.layers) - 1
        layers: list[Any] = list(base.layers)
        for layer in layers:
            _check_layer(layer)
        self._widths: list[int] = [layer.self_attn.k_proj.out_features for layer in layers]
        self._compiled = None
        if is_int8 and can_compile(processor_features()) and all(_is_gelu(layer.activation_fn) for layer in layers):
            self._compiled = compile_layers(base, _find_floor(nn.functional.gelu) or 0.0)
        self._layers = []
        if self._compiled is None:
            self._layers = [_read_layer(layer, is_int8, number == last) for number, layer in enumerate(layers)]
        heads = [getattr(model, name, None) for name in ("output_projection", "classifier", "score")]
        head: Any = next(each for each in heads if isinstance(each, nn.Module | StoredLinear))  # PEFT may wrap it
        # A head of a few labels costs nothing: it stays as precise as it is.
        pack = pack_linear if self._compiled is None else compile_linear
        self.head: Linear = pack([head], is_int8 and head is heads[0])
        """Outputs (K, C) -> logits (K, V), or of labels."""

    def make_cache(self, num_rows: int = 1, num_tokens: int = 64, max_bytes: int | None = None) -> KeyValueCache:
        """A cache for this network; see `KeyValueCache`."""
        max_places = None if max_bytes is None else max(1, max_bytes // self.bytes_per_token)
        try:
            spare = self._spare_caches.pop()  # in one step: another thread may ask, too
        except IndexError:
            spare = None
        if spare is not None and spare.serves(num_rows, num_tokens, max_places):
            return spare
        return KeyValueCache(self._widths, self.dtype, self.device, num_rows, num_tokens, max_places)

    def keep_cache(self, cache: KeyValueCache) -> None:
        """Keep a cache that is done with for the next `make_cache`: new memory costs more than writing to it."""
        if cache.num_bytes <= _MAX_KEPT_BYTES:
            self._spare_caches.append(cache)
            del self._spare_caches[:-_MAX_KEPT]

    @property
    def bytes_per_token(self) -> int:
        """What the cache takes for each token."""
        return 2 * sum(self._widths) * self.dtype.itemsize

    @torch.inference_mode()
    def score(self, segments: Sequence[Segment], cache: KeyValueCache | None = None) -> torch.Tensor:
        """As `read`, but the logits in float32, (K, V) or (K, L).

        Raises:
            CheckpointError: they are no numbers.
        """
        logits: torch.Tensor = self.head(self.read(segments, cache)).float()
        check_numbers(logits)
        return logits

    @torch.inference_mode()
    def read(self, segments: Sequence[Segment], cache: KeyValueCache | None = None) -> torch.Tensor:
        """Read new tokens.

        Args:
            segments: of different rows. Those that go on are read fastest where their rows are neighbours in the cache.
            cache: what was read before; the new tokens are added. None: nothing was, and nothing will follow.

        Returns:
            The outputs of the tokens that are to be kept, in the order of the segments, (K, C).

        Raises:
            InputError: the process was forked from the network's own, and would wait for threads that it lacks.
        """
        if os.getpid() != self._process_id and torch.get_num_threads() > 1:
            raise InputError(
                "Got a model that was loaded before this process was forked: a fork lacks the threads that compute it. "
                "Load the model in each process, or start processes with 'spawn'."
            )
        self.num_passes += 1
        device = self.device
        ids: list[int] = []
        positions: list[int] = []
        kept: list[int] = []
        places: list[int] = []
        if cache is not None:
            cache.reserve(
                1 + max(segment.row for segment in segments),
                max(segment.start + len(segment.ids) for segment in segments),
            )
        for segment in segments:
            num_new, start = len(segment.ids), segment.start
            kept += [len(ids) + index for index in segment.kept_indices]
            ids += segment.ids
            positions += range(start, start + num_new) if segment.positions is None else segment.positions
            if cache is not None:
                first = segment.row * cache.num_tokens + start
                places += range(first, first + num_new)
        self.num_read += len(ids)
        hidden = self._embed_tokens(torch.tensor(ids, device=device))
        hidden = hidden + self._embed_positions(torch.tensor(positions, device=device))  # (N, C)
        if self._compiled is not None:
            return self._compiled.read(hidden, _make_tokens(segments, places, kept, cache), cache)
        groups = _make_groups(segments, device, self.dtype, is_narrow=False)
        written = torch.tensor(places, dtype=torch.long, device=device)
        is_all_kept = len(kept) == len(ids)
        chosen = None if is_all_kept else torch.tensor(kept, device=device)
        last_groups = groups if is_all_kept else _make_groups(segments, device, self.dtype, is_narrow=True)
        for number, layer in enumerate(self._layers):
            normed = layer.first_norm(hidden)
            if layer.query is None:
                query, key, value = layer.joined(normed, is_scratch=True)
            else:
                own = normed
                if chosen is not None:  # of the last layer only the outputs that are asked for are computed
                    hidden, own = hidden.index_select(0, chosen), normed.index_select(0, chosen)
                query = layer.query(own)
                key, value = layer.joined(normed, is_scratch=True)
            if cache is not None:
                cache.keys[number].view(-1, layer.width).index_copy_(0, written, key)
                cache.values[number].view(-1, layer.width).index_copy_(0, written, value)
            attended = []
            for group in groups if layer.query is None else last_groups:
                if group.keys is not None:
                    keys, values = group.keys.unfold(key, layer.num_heads), group.keys.unfold(value, layer.num_heads)
                else:
                    assert cache is not None
                    rows = slice(group.row, group.row + group.queries.num_rows)
                    split = (group.queries.num_rows, group.num_seen, layer.num_heads, -1)
                    keys = cache.keys[number][rows, : group.num_seen].view(split).transpose(1, 2)  # (R, H, S, D)
                    values = cache.values[number][rows, : group.num_seen].view(split).transpose(1, 2)
                queries = group.queries.unfold(query, layer.num_heads)  # (R, H, T, D)
                each = scaled_dot_product_attention(
                    *(queries, keys, values), attn_mask=group.mask, is_causal=group.is_causal, scale=layer.scaling
                )
                attended.append(group.queries.fold(each))
            joined = attended[0] if len(attended) == 1 else torch.cat(attended)
            hidden = hidden.add_(layer.output(joined, is_scratch=True))
            inner = layer.activation(layer.up(layer.second_norm(hidden), is_scratch=True))
            hidden = hidden.add_(layer.down(inner, is_scratch=True))
        outputs: torch.Tensor = self._layer_norm(hidden)
        return outputs


def _check_layer(layer: Any) -> None:
    if not getattr(layer, "is_read_by_engine", False):
        raise InputError(
            f"Got a model with a layer of type {type(layer).__name__}, expected BioGptDecoderLayer in all of them. Run "
            "it with model.generate, which takes any."
        )


def _read_layer(layer: Any, is_int8: bool, is_last: bool) -> _Layer:
    attention = layer.self_attn
    width: int = attention.k_proj.out_features
    parts = [attention.k_proj, attention.v_proj]
    return _Layer(
        first_norm=layer.self_attn_layer_norm,
        query=pack_linear([attention.q_proj], is_int8) if is_last else None,
        joined=pack_linear(parts if is_last else [attention.q_proj, *parts], is_int8),
        output=pack_linear([attention.out_proj], is_int8),
        second_norm=layer.final_layer_norm,
        up=pack_linear([layer.fc1], is_int8),
        activation=_in_place(layer.activation_fn),
        down=pack_linear([layer.fc2], is_int8, _find_floor(layer.activation_fn) if is_int8 else None),
        width=width,
        num_heads=width // attention.head_dim,
        scaling=attention.scaling,
    )


def _in_place(activation: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """An activation that may overwrite what it reads; GELU does."""
    return torch.ops.aten.gelu_ if _is_gelu(activation) else activation


def _is_gelu(activation: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    # Told by the name: to import the class of transformers takes as long as all the rest here.
    is_module = type(activation).__name__ == "GELUActivation"
    return (getattr(activation, "act", None) if is_module else activation) is nn.functional.gelu


def _find_floor(activation: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
    """What an activation never falls below, such as -0.17 for GELU; None where it has no such bound."""
    with torch.inference_mode():
        made = activation(-torch.logspace(-4, 5, 10_000))
    least = min(0.0, float(made.min()))
    return least - 1e-3 if least > -1 else None


def _make_tokens(
    segments: Sequence[Segment], places: list[int], kept: list[int], cache: KeyValueCache | None
) -> "Tokens":
    """What the tokens of some segments see; their places in the cache, or, without one, among each other."""
    from biogpt.engine.kernels import Tokens

    firsts: list[int] = []
    num_seen: list[int] = []
    masks: list[int] = []
    visible: list[torch.Tensor] = []
    num_visible = 0
    for segment in segments:
        num_new, stop = len(segment.ids), segment.start + len(segment.ids)
        firsts += [len(firsts) if cache is None else segment.row * cache.num_tokens] * num_new
        if segment.visible is None:
            num_seen += range(segment.start + 1, stop + 1)
            masks += [-1] * num_new
        else:
            num_seen += [stop] * num_new
            masks += range(num_visible, num_visible + num_new * stop, stop)
            visible.append(segment.visible.flatten())
            num_visible += num_new * stop
    return Tokens(
        places=np.array(range(len(firsts)) if cache is None else places, np.int64),
        firsts=np.array(firsts, np.int64),
        num_seen=np.array(num_seen, np.int64),
        masks=np.array(masks, np.int64),
        seen=torch.cat(visible).numpy() if visible else np.empty(0, np.bool_),
        kept=np.array(kept, np.int64),
    )


def _make_groups(
    segments: Sequence[Segment], device: torch.device, dtype: torch.dtype, is_narrow: bool
) -> list[_Group]:
    """The attention of some segments; `is_narrow`: of their kept tokens alone."""
    groups = []
    first_key = first_query = 0
    for batch in _split_groups(segments):
        lengths = [len(segment.ids) for segment in batch]
        asked = [segment.kept_indices if is_narrow else range(len(segment.ids)) for segment in batch]
        keys = _make_rows(lengths, first_key, device)
        queries = _make_rows([len(each) for each in asked], first_query, device) if is_narrow else keys
        first_key, first_query = keys.stop, queries.stop
        if not queries.width:
            continue
        is_begun = batch[0].start > 0 or batch[0].visible is not None
        num_seen = max(segment.start + len(segment.ids) for segment in batch)
        mask, is_causal = None, False
        if not is_begun and not is_narrow:
            is_causal = keys.width > 1
        elif any(
            segment.visible is not None
            or segment.start + len(segment.ids) < num_seen
            or list(indices) != [len(segment.ids) - 1]
            for segment, indices in zip(batch, asked, strict=True)
        ):
            mask = _make_mask(batch, asked, queries.width, num_seen).to(device=device, dtype=dtype)
        groups.append(
            _Group(queries, None if is_begun else keys, batch[0].row, num_seen, mask=mask, is_causal=is_causal)
        )
    return groups


def _split_groups(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Segments, in their order, by which of them can share an attention without much padding."""
    batches: list[list[Segment]] = []
    total = longest = 0
    for segment in segments:
        num_new = len(segment.ids)
        is_begun = segment.start > 0 or segment.visible is not None
        if batches:
            before = batches[-1][-1]
            size = max(longest, num_new) * (len(batches[-1]) + 1)
            # Rows that begin lie as they are needed if they are equally long; else they would have to be copied.
            allowed = _MAX_PADDING if is_begun else 1
            fits = max(longest, num_new) <= _SHORT or size <= allowed * (total + num_new)
            is_neighbour = not is_begun or segment.row == before.row + 1
            if fits and is_neighbour and is_begun == (before.start > 0 or before.visible is not None):
                batches[-1].append(segment)
                total, longest = total + num_new, max(longest, num_new)
                continue
        batches.append([segment])
        total = longest = num_new
    return batches


def _make_rows(lengths: Sequence[int], first: int, device: torch.device) -> _Rows:
    width, total = max(lengths), sum(lengths)
    if total == width * len(lengths):
        return _Rows(first, first + total, len(lengths), width)
    index: list[int] = []
    tokens: list[int] = []
    place = 0
    for number, length in enumerate(lengths):
        index += [*range(place, place + length), *[0] * (width - length)]
        tokens += range(number * width, number * width + length)
        place += length
    return _Rows(
        *(first, first + total, len(lengths), width),
        index=torch.tensor(index, device=device),
        tokens=torch.tensor(tokens, device=device),
    )


def _make_mask(
    batch: Sequence[Segment], asked: Sequence[Sequence[int]], width: int, num_seen: int
) -> torch.Tensor:  # (R, 1, T, S)
    mask = torch.full((len(batch), 1, width, num_seen), float("-inf"))
    for row, (segment, indices) in enumerate(zip(batch, asked, strict=True)):
        if segment.visible is None:
            last = torch.tensor(indices, dtype=torch.long).add_(segment.start).unsqueeze(1)  # (T, 1)
            seen = torch.arange(num_seen).unsqueeze(0) <= last
        else:
            seen = segment.visible[list(indices)]
        mask[row, 0, : len(indices), : seen.shape[1]].masked_fill_(seen, 0.0)
    return mask
