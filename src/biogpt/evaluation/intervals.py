"""Intervals: how far a figure would move with other examples of the same kind.

The percentile bootstrap over examples. Figures of a collection as a whole, which are no sums over examples, have none.
"""

from biogpt.tasks.metrics import Counts

NUM_RESAMPLES = 1000
LEVEL = 0.95
_CHUNK = 50  # resamples at a time: bounds the memory for large data sets


def bootstrap(counts: Counts, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each figure.

    Args:
        counts: the rows that are drawn from, with replacement.
        seed: the same seed gives the same intervals.
        num_resamples: how often as many rows as there are get drawn.

    Returns:
        Figure -> (lower, upper).
    """
    import numpy as np

    rows = np.asarray(counts.rows, dtype=np.float64)
    num_rows = len(rows)
    generator = np.random.default_rng(seed)
    drawn: list[dict[str, float]] = []
    while len(drawn) < num_resamples:
        size = min(_CHUNK, num_resamples - len(drawn))
        weights = generator.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=size)
        drawn += [counts.derive(sums, num_rows) for sums in (weights @ rows).tolist()]
    tail = (1 - LEVEL) / 2
    intervals = {}
    for name in drawn[0]:
        lower, upper = np.quantile([figures[name] for figures in drawn], (tail, 1 - tail))
        intervals[name] = (float(lower), float(upper))
    return intervals
