"""Intervals and curves from per-puzzle results; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 2000


def interval(values: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of ``values`` (N,) or (N, seeds): puzzles are drawn anew, their seeds together.
    ``groups`` (N,): whole groups are drawn instead, because what is in one is alike."""
    each = np.asarray(values, float)
    each = each.mean(1) if each.ndim == 2 else each
    if not len(each):
        return float("nan"), float("nan")
    if groups is not None:
        number = np.unique(np.asarray(groups), return_inverse=True)[1]
        return ratio_interval(np.bincount(number, each), np.bincount(number), seed)
    rng = np.random.default_rng(seed)
    means = np.array([each[rng.integers(0, len(each), len(each))].mean() for _ in range(DRAWS)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(part: ArrayLike, whole: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the sum of ``part`` (N,) over that of ``whole`` (N,): problems are drawn anew."""
    a, b = np.asarray(part, float), np.asarray(whole, float)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(a), len(a)) for _ in range(DRAWS))
    low, high = np.percentile([a[at].sum() / max(1e-9, b[at].sum()) for at in draws], [2.5, 97.5])
    return float(low), float(high)


def solved_within(cost: ArrayLike, solved: ArrayLike, budgets: ArrayLike) -> NDArray[np.float64]:
    """Share of puzzles (N,) that are solved at a cost of at most each of ``budgets`` (K,)."""
    spent = np.where(np.asarray(solved, bool), np.asarray(cost, float), np.inf)
    share: NDArray[np.float64] = (spent[None, :] <= np.asarray(budgets, float)[:, None]).mean(1)
    return share


def calibration(
    confidence: ArrayLike, correct: ArrayLike, bins: int = 10
) -> tuple[list[tuple[float, float, int]], float]:
    """Per bin of confidence (mean confidence, share correct, count), empty bins left out; and the expected calibration error."""
    p, hit = np.asarray(confidence, float), np.asarray(correct, float)
    number = np.minimum((p * bins).astype(int), bins - 1)
    found = [
        (float(p[number == b].mean()), float(hit[number == b].mean()), int((number == b).sum()))
        for b in np.unique(number)
    ]
    error = sum(n * abs(c - a) for c, a, n in found) / max(1, len(p))
    return found, float(error)
