"""Figures from results per problem: shares with bootstrap intervals, quantiles, curves, calibration.

>>> share("solved", [True, True, False, True])
{'solved': 0.75, 'solved_interval': [0.25, 1.0]}
>>> quantiles([1.0, 2.0, 3.0], (50, 100))
{'p50': 2.0, 'p100': 3.0}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 2000
DIGITS = 4  # of shares and their intervals

Figures = dict[str, Any]


def interval(values: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean.

    Args:
        values: (N,) or (N, seeds). Problems are resampled; the seeds of one problem stay together.
        groups: (N,) labels. Whole groups are resampled, because problems of one group are alike.
        seed: of the resampling.
    """
    values_N = np.asarray(values, float)
    values_N = values_N.mean(1) if values_N.ndim == 2 else values_N
    if not len(values_N):
        return float("nan"), float("nan")
    group = (
        np.arange(len(values_N)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    return ratio_interval(np.bincount(group, values_N), np.bincount(group), seed)


def ratio_interval(part: ArrayLike, total: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of ``sum(part) / sum(total)``, both (N,); problems are resampled."""
    part_N, total_N = np.asarray(part, float), np.asarray(total, float)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(part_N), len(part_N)) for _ in range(DRAWS))
    ratios = [part_N[index].sum() / max(1e-9, total_N[index].sum()) for index in draws]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def rounded(values: Sequence[float]) -> list[float]:
    """Round shares and interval ends, as all rows have them."""
    return [round(float(value), DIGITS) for value in values]


def share(name: str, hits: ArrayLike, groups: ArrayLike | None = None) -> Figures:
    """Return a mean and its interval as figures ``name`` and ``name_interval``; nothing without values."""
    hits_N = np.asarray(hits, float)
    if not len(hits_N):
        return {}
    (mean,) = rounded([hits_N.mean()])
    return {name: mean, f"{name}_interval": rounded(interval(hits_N, groups))}


def ratio(name: str, part: ArrayLike, total: ArrayLike) -> Figures:
    """Return ``sum(part) / sum(total)`` and its interval as figures."""
    (value,) = rounded([np.sum(part) / max(1e-9, float(np.sum(total)))])
    return {name: value, f"{name}_interval": rounded(ratio_interval(part, total))}


def quantiles(
    values: ArrayLike,
    points: Sequence[int] = (50, 90, 95, 99, 100),
    digits: int = 2,
) -> dict[str, float]:
    """Return quantiles in percent as ``{"p50": ...}``; nothing without values."""
    values_N = np.asarray(values, float)
    if not len(values_N):
        return {}
    return {f"p{point}": round(float(np.percentile(values_N, point)), digits) for point in points}


def solved_within(cost: ArrayLike, solved: ArrayLike, budgets: ArrayLike) -> NDArray[np.float64]:
    """Return the share of problems (N,) that are solved at a cost of at most each budget (K,)."""
    spent = np.where(np.asarray(solved, bool), np.asarray(cost, float), np.inf)
    shares_K: NDArray[np.float64] = (spent[None, :] <= np.asarray(budgets, float)[:, None]).mean(1)
    return shares_K


def shares_within(
    costs: Mapping[str, ArrayLike],
    solved: ArrayLike,
    budgets: Mapping[str, Sequence[float]],
) -> Figures:
    """Return the figures ``within_COST``: the share solved within each budget, for each kind of cost."""
    return {
        f"within_{name}": {
            f"{budget:g}": value
            for budget, value in zip(
                budgets[name], rounded(list(solved_within(cost, solved, budgets[name]))), strict=True
            )
        }
        for name, cost in costs.items()
    }


def calibration(
    confidence: ArrayLike,
    correct: ArrayLike,
    bins: int = 10,
) -> tuple[list[tuple[float, float, int]], float]:
    """Return the reliability curve and the expected calibration error.

    The curve has one entry per non-empty bin of confidence: mean confidence, share correct, count.
    """
    confidence_N, correct_N = np.asarray(confidence, float), np.asarray(correct, float)
    index = np.minimum((confidence_N * bins).astype(int), bins - 1)
    curve = [
        (float(confidence_N[index == k].mean()), float(correct_N[index == k].mean()), int((index == k).sum()))
        for k in np.unique(index)
    ]
    error = sum(count * abs(mean - accuracy) for mean, accuracy, count in curve) / max(1, len(confidence_N))
    return curve, float(error)
