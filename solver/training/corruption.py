"""Corruption of true texts: cells are hidden, and a share of the visible ones is wrong.

A model that only saw correct visible tokens would never learn to doubt one.

>>> rng = np.random.default_rng(0)
>>> truth = np.array([[1, 2, 3, 0]])
>>> pinned, visible = truth == 1, truth == 2
>>> keep_none = lambda: np.zeros((1, 1), bool)
>>> _, status, weight = corrupt_cells(truth, pinned, visible, lambda: truth + 5, keep_none, 0, 0.2, rng)
>>> status
array([[1, 2, 0, 0]])

Shapes: B rows, L cells.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solver.models.blocks import KNOWN, OPEN, PINNED

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Corrupted = tuple[Ints, Ints, NDArray[np.float32]]
WRONG_SHARE = 0.12  # of the visible cells
VISIBLE_WEIGHT = 0.1  # loss weight of a visible cell that is right


def corrupt_cells(
    truth: Ints,
    pinned: Mask,
    visible: Mask,
    draw_wrong: Callable[[], Ints],
    draw_given: Callable[[], Mask],
    blank: int,
    blank_weight: float,
    rng: np.random.Generator,
) -> Corrupted:
    """Make some visible cells wrong and pin others.

    Args:
        truth: true tokens (B, L).
        pinned: cells that keep their token and have no loss, (B, L).
        visible: further cells that are shown, (B, L).
        draw_wrong: draws the tokens (B, L) from which those of wrong cells are taken.
        draw_given: draws in which rows (B, 1) the visible cells that are right count as pinned.
        blank: token id of BLANK.
        blank_weight: loss weight of hidden cells whose token is BLANK; that of other hidden cells is 1.
        rng: draws which visible cells are wrong.

    Returns:
        tokens, status and loss weights, (B, L) each.
    """
    wrong = visible & (rng.random(truth.shape) < WRONG_SHARE)
    wrong_tokens = draw_wrong()
    given = visible & ~wrong & draw_given()
    status = np.where(pinned | given, PINNED, np.where(visible, KNOWN, OPEN))
    hidden_weight = np.where(truth == blank, blank_weight, 1.0)
    weight = np.where(visible & ~wrong, VISIBLE_WEIGHT, hidden_weight)
    weight = np.where(pinned | given, 0.0, weight)
    return np.where(wrong, wrong_tokens, truth), status, weight.astype(np.float32)


def shift_right(truth: Ints, first: int) -> tuple[Ints, Ints]:
    """The input of a left-to-right network: the token before each cell, ``first`` at the start; status."""
    start = np.full((len(truth), 1), first)
    return np.concatenate([start, truth[:, :-1]], 1), np.full_like(truth, KNOWN)
