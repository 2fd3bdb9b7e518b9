"""Data loader of the code models: windows of one length per batch, with cells hidden and some made wrong.

Shapes: B rows, L cells.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from solver.models.code_denoiser import BLANKS
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.training.corruption import Corrupted, Ints, Mask, corrupt, shift_right
from solver.training.loaders import Examples, SizedLoader

STANDARD = 128  # cells of a row, on average
MIN_ROWS = 4
MIN_SHARE = 0.2  # of the cells of a window without holes that are visible


class CodeLoader(SizedLoader):
    """Batches of windows, each time with other cells hidden.

    Args:
        examples: windows; see :mod:`solver.training.code_examples`.
        rows: rows of a batch of windows of the standard length.
        causal: whether the batches are for the left-to-right network.
        seed: of the batches.
    """

    def __init__(self, examples: Examples, rows: int, causal: bool, seed: int) -> None:
        super().__init__(examples, rows, STANDARD, MIN_ROWS, np.random.default_rng(seed))
        self.causal = causal

    def next(self) -> tuple[Tensor, ...]:
        """tokens, status, offset, truth, loss weight; (B, L) each."""
        columns = self.draw()
        truth, offset = columns["truth"].astype(np.int64), columns["offset"].astype(np.int64)
        if self.causal:
            tokens, status = shift_right(truth, Vocabulary.load().size)
            weight = columns["wanted"].astype(np.float32)
        else:
            tokens, status, weight = self.corrupted(truth, columns["pinned"], offset)
        arrays = (tokens, status, offset, truth, weight)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)

    def corrupted(self, truth: Ints, pinned: Mask, offset: Ints) -> Corrupted:
        """Hide and spoil cells: each row has its own share of visible cells, single cells or runs.

        In half of the windows with holes nothing is visible; in windows without holes always something.
        """
        rng, rows, length = self.rng, len(truth), truth.shape[1]
        has_holes: Mask = (offset != 0).max(1)[:, None]
        share = np.where(has_holes[:, 0] & (rng.random(rows) < 0.5), 0.0, rng.random(rows))[:, None]
        share = np.where(has_holes, share, np.maximum(share, MIN_SHARE))
        by_cell = rng.random(truth.shape)
        runs = (np.arange(length) + rng.integers(0, 8, rows)[:, None]) // rng.integers(2, 9, rows)[:, None]
        is_single = rng.random(rows)[:, None] < 0.5
        visible = (np.where(is_single, by_cell, np.take_along_axis(by_cell, runs, 1)) < share) & ~pinned
        return corrupt(
            truth,
            pinned,
            visible,
            partial(self.wrong_tokens, truth),
            lambda: (~has_holes | (rng.random(rows) < 0.25)[:, None]) & (rng.random(rows) < 0.6)[:, None],
            Vocabulary.load().blank,
            BLANKS,
            rng,
        )

    def wrong_tokens(self, truth: Ints) -> Ints:
        """Tokens (B, L) for wrong cells: half of them from the same window, half from the vocabulary."""
        rng = self.rng
        nearby = np.take_along_axis(truth, rng.integers(0, truth.shape[1], truth.shape), 1)
        is_nearby = rng.random(truth.shape) < 0.5
        return np.where(is_nearby, nearby, rng.integers(0, Vocabulary.load().blank + 1, truth.shape))
