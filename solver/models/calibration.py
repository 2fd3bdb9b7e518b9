"""Calibration: a monotone map from probabilities of a model to the share of cases in which it is right.

>>> calibration = Calibration((0.0, 0.5, 1.0), (0.0, 0.8, 1.0))
>>> calibration(0.5), round(calibration(0.75), 2), IDENTITY(0.3)
(0.8, 0.9, 0.3)
>>> Calibration.from_json(calibration.to_json()) == calibration
True

A checkpoint's ``config.json`` may hold one under the name ``calibration``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver.errors import CheckpointError
from solver.files import replacing

MAX_BINS = 20  # of the probabilities that are fitted
MIN_PER_BIN = 10  # cases


@dataclass(frozen=True)
class Calibration:
    """A piecewise linear map that never falls.

    Attributes:
        probabilities: of the model, rising, from 0 to 1.
        shares: the calibrated probability at each of them.

    Raises:
        ValueError: the lengths differ, or the numbers do not rise from 0 to 1.
    """

    probabilities: tuple[float, ...] = (0.0, 1.0)
    shares: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        steps, rises = np.diff(self.probabilities), np.diff(self.shares)
        ends = self.probabilities[:1] == (0.0,) and self.probabilities[-1:] == (1.0,)
        if len(self.probabilities) != len(self.shares) or not ends or not (steps > 0).all():
            raise ValueError("a calibration has as many shares as probabilities, which rise from 0 to 1")
        if not (rises >= 0).all() or not 0 <= self.shares[0] <= self.shares[-1] <= 1:
            raise ValueError("the shares of a calibration do not fall and are between 0 and 1")

    def __call__(self, probability: float) -> float:
        """The calibrated probability."""
        return float(np.interp(probability, self.probabilities, self.shares))

    def to_json(self) -> list[list[float]]:
        """Return [probability, share] for every knot."""
        return [[p, share] for p, share in zip(self.probabilities, self.shares, strict=True)]

    @classmethod
    def from_json(cls, knots: Any) -> Calibration:
        """Read what :meth:`to_json` returns. Raises ValueError for anything else."""
        try:
            return cls(tuple(float(p) for p, _ in knots), tuple(float(share) for _, share in knots))
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a calibration: {error}") from None


IDENTITY = Calibration()


def fit_calibration(probabilities: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Fit a calibration by isotonic regression (pool adjacent violators, Ayer et al. 1955).

    Cases are put into bins of equal numbers first, so that few cases do not make a step. There are at most
    ``MAX_BINS`` bins, with ``MIN_PER_BIN`` cases each.

    Args:
        probabilities: of the model, in any order (N,).
        right: whether each case was right (N,).

    Raises:
        ValueError: there are no cases, or the lengths differ.

    >>> fit_calibration([0.2] * 50 + [0.9] * 50, [False] * 50 + [True] * 40 + [False] * 10).to_json()
    [[0.0, 0.0], [0.2, 0.0], [0.9, 0.8], [1.0, 0.8]]
    """
    if not len(probabilities) or len(probabilities) != len(right):
        raise ValueError("a calibration is fitted to at least one case, each with a probability and a result")
    order = np.argsort(probabilities, kind="stable")
    p_N, right_N = np.clip(np.asarray(probabilities, float)[order], 0.0, 1.0), np.asarray(right, float)[order]
    bins = max(1, min(MAX_BINS, len(p_N) // MIN_PER_BIN))
    edges = np.linspace(0, len(p_N), bins + 1).astype(int)[1:-1]
    # equal probabilities are in one bin
    starts = sorted({0, *np.searchsorted(p_N, p_N[edges]).tolist()})
    blocks = list[tuple[float, float, int]]()  # sum of probabilities, number of right cases, cases
    for start, end in zip(starts, [*starts[1:], len(p_N)], strict=True):
        blocks.append((float(p_N[start:end].sum()), float(right_N[start:end].sum()), end - start))
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            (total, hits, count), before = blocks.pop(), blocks.pop()
            blocks.append((before[0] + total, before[1] + hits, before[2] + count))
    knots = {round(total / count, 6): hits / count for total, hits, count in blocks}
    first, last_share = next(iter(knots.values())), list(knots.values())[-1]
    knots = {0.0: min(first, knots.get(0.0, first)), **knots}
    knots.setdefault(1.0, last_share)
    return Calibration(tuple(knots), tuple(knots.values()))


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Store a calibration in a checkpoint's ``config.json``, in place of an earlier one.

    Raises:
        CheckpointError: the file is missing or not JSON.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a valid configuration ({error})") from error
    with replacing(path) as file:
        file.write_text(
            json.dumps({**config, "calibration": calibration.to_json()}, indent=2) + "\n", encoding="utf-8"
        )
