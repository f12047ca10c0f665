"""Calibration: scores that mean how often what bears them is right.

A model is surer, or less sure, of an item than it should be. On dev each item's score is held against whether it was
right: isotonic regression over bins of equally many items (Zadrozny and Elkan 2002) gives a rising curve from score to
probability, straight between the bins' means. Of few items bins say little: a logistic curve is learned instead (Platt
1999). The curve is kept with the model (`InferenceSettings.calibration`). Knows numbers only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from biogpt.tasks.inference import Calibration, InferenceSettings

NUM_BINS = 15
"""Of the error, and at most of a curve."""

MIN_ITEMS = 20
"""Items a bin of a curve, at least; of fewer than two bins nothing is learned."""

MIN_ISOTONIC = 1000
"""Items that isotonic regression wants, at least; of fewer a logistic curve is learned, which has two numbers."""

_SPACING = 0.25
"""Between the points of a logistic curve, in log-odds."""
_SMALLEST = 1e-6
_MAX_STEPS = 100

MIN_SEARCH_THRESHOLD = 0.01
"""A search above a lower probability would have to look at more than a hundred sequences at once."""

ANY = ""
"""The label under which a curve stands that is for all."""


def fit_calibration(scores: Sequence[float], is_right: Sequence[bool], num_bins: int = NUM_BINS) -> Calibration | None:
    """The curve from score to probability: isotonic regression over bins, or a logistic curve where items are few.

    Args:
        scores: of items, from 0 to 1.
        is_right: whether each was right.
        num_bins: of equally many items; fewer where there are not `MIN_ITEMS` for each. A logistic curve has none.

    Returns:
        The curve, which rises from (0, 0) to a score of 1; None where there are too few items.
    """
    num_bins = min(num_bins, len(scores) // MIN_ITEMS)
    if num_bins < 2:
        return None
    points = _fit_logistic(scores, is_right) if len(scores) < MIN_ISOTONIC else []
    points = _as_rising(points or _fit_isotonic(scores, is_right, num_bins))
    return Calibration(tuple(score for score, _ in points), tuple(rate for _, rate in points))


def calibrate(score: float, inference: InferenceSettings, label: str = ANY) -> float:
    """The probability that an item of this score is right; the score itself where the model is not calibrated."""
    curve = _find_curve(inference, label)
    return score if curve is None else _interpolate(score, curve.scores, curve.probabilities)


def search_threshold(inference: InferenceSettings) -> float:
    """The score from which on sequences are searched for, so that all above the probability threshold are found."""
    curve = _find_curve(inference, ANY)
    if curve is None:
        return inference.threshold
    return max(MIN_SEARCH_THRESHOLD, _interpolate(inference.threshold, curve.probabilities, curve.scores))


def threshold_of(inference: InferenceSettings, label: str) -> float:
    """The probability threshold for a label."""
    return inference.thresholds.get(label, inference.threshold)


def expected_calibration_error(
    scores: Sequence[float], is_right: Sequence[bool], num_bins: int = NUM_BINS
) -> tuple[float, list[tuple[float, float, int]]]:
    """How far scores are from how often they are right, on average over items.

    Args:
        scores: of items, from 0 to 1.
        is_right: whether each was right.
        num_bins: of equally many items, by score.

    Returns:
        The error, and the bins that a reliability diagram shows: mean score, share of right ones, number of items.
    """
    bins = []
    for part in _equal_parts(sorted(zip(scores, is_right, strict=True)), min(num_bins, len(scores))):
        number = len(part)
        bins.append((sum(score for score, _ in part) / number, sum(right for _, right in part) / number, number))
    error = sum(number * abs(score - rate) for score, rate, number in bins) / max(1, len(scores))
    return error, bins


def _fit_isotonic(scores: Sequence[float], is_right: Sequence[bool], num_bins: int) -> list[tuple[float, float]]:
    """Mean score and share of right ones of bins; neighbours whose shares do not rise are one bin."""
    blocks: list[list[float]] = []  # sum of scores, of right ones, of items
    for part in _equal_parts(sorted(zip(scores, is_right, strict=True)), num_bins):
        blocks.append([sum(score for score, _ in part), sum(right for _, right in part), len(part)])
        while len(blocks) > 1 and _rate(blocks[-2]) >= _rate(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = [first + second for first, second in zip(blocks[-1], last, strict=True)]
    return [(block[0] / block[2], _rate(block)) for block in blocks]


def _fit_logistic(scores: Sequence[float], is_right: Sequence[bool]) -> list[tuple[float, float]]:
    """Points of the curve whose log-odds are a line over the log-odds of the scores; none where it does not rise.

    The shares that the line is fitted to are Platt's (1999), not quite 0 and 1: where scores tell right from wrong
    without a mistake, the curve stays finite.
    """
    import numpy as np

    odds = np.clip(np.asarray(scores), _SMALLEST, 1 - _SMALLEST)
    odds = np.log(odds / (1 - odds))
    num_right = sum(is_right)
    shares = np.where(is_right, (num_right + 1) / (num_right + 2), 1 / (len(scores) - num_right + 2))
    design, line = np.stack([odds, np.ones_like(odds)]), np.array([1.0, 0.0])
    for _ in range(_MAX_STEPS):  # Newton's
        rates = 1 / (1 + np.exp(-np.clip(line @ design, -30, 30)))
        curvature = (design * (rates * (1 - rates))) @ design.T + _SMALLEST * np.eye(2)
        step = np.linalg.solve(curvature, design @ (rates - shares))
        line = line - step
        if abs(step).max() < _SMALLEST:
            break
    else:
        return []
    if line[0] <= 0:
        return []
    places = np.arange(odds.min(), odds.max() + _SPACING, _SPACING)
    points = [1 / (1 + np.exp(-values)) for values in (places, line[0] * places + line[1])]
    return list(zip(*(values.tolist() for values in points), strict=True))


def _as_rising(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that rise, rounded, from (0, 0) to a score of 1."""
    rising = [(0.0, 0.0)]
    for point in points:
        score, rate = (round(value, 6) for value in point)
        if score > rising[-1][0] and rising[-1][1] < rate < 1:
            rising.append((score, rate))
    return rising if rising[-1][0] == 1 else [*rising, (1.0, round((rising[-1][1] + 1) / 2, 6))]


def _find_curve(inference: InferenceSettings, label: str) -> Calibration | None:
    return inference.calibration.get(label) or inference.calibration.get(ANY)


def _equal_parts(pairs: list[tuple[float, bool]], num_parts: int) -> list[list[tuple[float, bool]]]:
    """The pairs in so many parts of about equal length; none is empty."""
    ends = [round(len(pairs) * part / num_parts) for part in range(num_parts + 1)] if num_parts else []
    return [pairs[start:end] for start, end in pairwise(ends)]


def _rate(block: Sequence[float]) -> float:
    """The share of right ones, with one more of each: a bin without a wrong one is still no certainty."""
    _, right, number = block
    return (right + 1) / (number + 2)


def _interpolate(value: float, froms: Sequence[float], tos: Sequence[float]) -> float:
    """Between the points of a rising curve, straight; beyond its ends, the ends."""
    place = bisect_left(froms, value)
    if place == 0:
        return tos[0]
    if place == len(froms):
        return tos[-1]
    share = (value - froms[place - 1]) / (froms[place] - froms[place - 1])
    return tos[place - 1] + share * (tos[place] - tos[place - 1])
