"""Network: the strongest pairs as a picture: where each name stands, how large it is, and what joins it.

Positions come from a small force-directed layout (Fruchterman and Reingold, 1991) that begins on a circle, so the same
pairs make the same picture. Knows nothing of markup.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 960, 640
_MARGIN_X, _MARGIN_Y = 90, 40
_STEPS = 300
_LABEL_STEPS = 200
_LABEL_WIDTH, _LABEL_HEIGHT = 100, 34


@dataclass(frozen=True)
class Node:
    """A name in the picture."""

    type: str
    name: str
    identifier: str
    documents: int
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Edge:
    """A pair in the picture."""

    row: int
    """The number of the pair among the rows that were given."""
    start: Node
    end: Node
    width: float
    title: str


def lay_out(pairs: Sequence[Mapping[str, Any]]) -> tuple[list[Node], list[Edge]]:
    """The nodes and edges of pairs, in pixels of a picture of `WIDTH` by `HEIGHT`.

    Args:
        pairs: rows of the table of pairs.
    """
    keys: dict[tuple[str, str], int] = {}
    weights: dict[tuple[str, str], int] = {}
    identifiers: dict[tuple[str, str], str] = {}
    for pair in pairs:
        for end in ("head", "tail"):
            key = (pair[f"{end}_type"], pair[end])
            keys.setdefault(key, len(keys))
            weights[key] = weights.get(key, 0) + pair["documents"]
            identifiers[key] = pair[f"{end}_identifier"] or ""
    if not keys:
        return [], []
    joined = np.array([[keys[pair[f"{end}_type"], pair[end]] for end in ("head", "tail")] for pair in pairs])
    places = _positions(len(keys), joined)
    most = max(weights.values())
    nodes = []
    for (type, name), number in keys.items():
        count = weights[type, name]
        x, y = map(float, places[number])
        nodes.append(
            Node(type, name, identifiers[type, name], count, x, y, 6 + 10 * ((count - 1) / max(1, most - 1)) ** 0.5)
        )
    heaviest = max(pair["documents"] for pair in pairs)
    edges = []
    for number, (pair, (start, end)) in enumerate(zip(pairs, joined, strict=True)):
        count = pair["documents"]
        title = f"{pair['head']} - {pair['relation']} - {pair['tail']}: {count} document{'' if count == 1 else 's'}"
        edges.append(
            Edge(number, nodes[start], nodes[end], 1.5 + 5 * ((count - 1) / max(1, heaviest - 1)) ** 0.5, title)
        )
    return nodes, edges


def _positions(count: int, joined: NDArray[np.int64]) -> NDArray[np.float64]:
    angles = np.arange(count) * 2.399963  # the golden angle: neighbours in the list begin far apart
    radii = np.sqrt((np.arange(count) + 0.5) / count)
    places = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    spring = 1.1 / np.sqrt(count)
    for step in range(_STEPS):
        apart = places[:, None] - places[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
        push = (apart * (spring**2 / distance**2)[..., None]).sum(axis=1)
        along = places[joined[:, 0]] - places[joined[:, 1]]
        pull = along * (np.linalg.norm(along, axis=1, keepdims=True) / spring)
        np.add.at(push, joined[:, 0], -pull)
        np.add.at(push, joined[:, 1], pull)
        push -= places * 0.6  # towards the middle, so that parts that are not joined stay in the picture
        length = np.maximum(np.linalg.norm(push, axis=1, keepdims=True), 1e-9)
        places = places + push / length * np.minimum(length, 0.1 * (1 - step / _STEPS))
    low, high = places.min(axis=0), places.max(axis=0)
    scaled = (places - low) / np.maximum(high - low, 1e-9) if count > 1 else np.full((1, 2), 0.5)
    room = np.array([WIDTH - 2 * _MARGIN_X, HEIGHT - 2 * _MARGIN_Y])
    return _apart(scaled * room + np.array([_MARGIN_X, _MARGIN_Y]))


def _apart(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places, moved up and down until names do not stand on each other, as far as there is room."""
    placed = places.copy()
    for _ in range(_LABEL_STEPS):
        across, down = (np.abs(placed[:, None, axis] - placed[None, :, axis]) for axis in (0, 1))
        is_close = (across < _LABEL_WIDTH) & (down < _LABEL_HEIGHT) & ~np.eye(len(placed), dtype=bool)
        if not is_close.any():
            break
        ranks = np.arange(len(placed))
        is_below = (placed[:, None, 1] > placed[None, :, 1]) | (
            (placed[:, None, 1] == placed[None, :, 1]) & (ranks[:, None] > ranks[None])
        )
        step = np.where(is_close, np.where(is_below, 1.0, -1.0) * (_LABEL_HEIGHT - down) / 4, 0).sum(axis=1)
        placed[:, 1] = np.clip(placed[:, 1] + step, _MARGIN_Y / 2, HEIGHT - _MARGIN_Y)
    return placed
