"""Batches of pages for the code models: of one length each, so that nothing is padded but the ends of pages.

A share of the visible cells is wrong, because a model that saw only right ones would never doubt.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.code_denoiser import BLANKS
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.training.code_pages import FIELDS, Ints, Pool

WRONG = 0.12  # of the visible cells
CELLS = 128  # a row has on average


class Snippets:
    """Batches drawn from a pool of pages, again and again, each time with other cells open."""

    def __init__(self, buckets: Pool, rows: int, causal: bool, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.buckets, self.rows, self.causal = buckets, rows, causal
        self.keys = sorted(buckets)
        sizes = np.array([len(buckets[key]) for key in self.keys], float)
        self.shares = sizes / sizes.sum()

    def next(self) -> tuple[Tensor, ...]:
        """tokens, status, offset, truth (B, L), weight (B, L)."""
        length = self.keys[int(self.rng.choice(len(self.keys), p=self.shares))]
        rows = max(4, self.rows * CELLS // length)
        bucket = self.buckets[length]
        drawn = self.rng.integers(0, len(bucket), rows)
        truth, pinned, offset, wanted = (getattr(bucket, name)[drawn] for name in FIELDS)
        truth, offset, wanted = truth.astype(np.int64), offset.astype(np.int64), wanted.astype(np.float32)
        if self.causal:
            tokens = np.concatenate([np.full((rows, 1), Vocabulary.load().size), truth[:, :-1]], 1)
            return tuple(map(torch.from_numpy, (tokens, np.full_like(truth, KNOWN), offset, truth, wanted)))
        tokens, status, weight = self.noised(truth, pinned, offset)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(a)) for a in (tokens, status, offset, truth, weight)
        )

    def noised(
        self, truth: Ints, pinned: NDArray[np.bool_], offset: Ints
    ) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Every row with its own share of visible cells. Of pages with holes, often none; of the others single cells or runs."""
        rng, rows, length = self.rng, len(truth), truth.shape[1]
        holes: NDArray[np.bool_] = (offset != 0).max(1)
        share = np.where(holes & (rng.random(rows) < 0.5), 0.0, rng.random(rows))[:, None]
        share = np.where(
            holes[:, None], share, np.maximum(share, 0.2)
        )  # of a plain page something is to be seen
        drawn = rng.random(truth.shape)
        runs = (np.arange(length) + rng.integers(0, 8, rows)[:, None]) // rng.integers(2, 9, rows)[:, None]
        drawn = np.where(rng.random(rows)[:, None] < 0.5, drawn, np.take_along_axis(drawn, runs, 1))
        visible = (drawn < share) & ~pinned
        wrong = visible & (rng.random(truth.shape) < WRONG)
        other = np.take_along_axis(truth, rng.integers(0, length, truth.shape), 1)  # a token of the same page
        other = np.where(
            rng.random(truth.shape) < 0.5, other, rng.integers(0, Vocabulary.load().blank + 1, truth.shape)
        )
        given = (
            visible
            & ~wrong
            & (~holes[:, None] | (rng.random(rows) < 0.25)[:, None])
            & (rng.random(rows) < 0.6)[:, None]
        )
        status = np.where(pinned | given, PINNED, np.where(visible, KNOWN, OPEN))
        wrong &= ~given
        blank = truth == Vocabulary.load().blank
        weight = np.where(pinned | given, 0.0, np.where(visible & ~wrong, 0.1, np.where(blank, BLANKS, 1.0)))
        return np.where(wrong, other, truth), status, weight.astype(np.float32)
