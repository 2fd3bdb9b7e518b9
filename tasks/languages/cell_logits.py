"""The logits of a canvas over a large vocabulary: each is read once, and only the columns in use are copied.

>>> cells = CellLogits.of(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, bool), 2)
>>> cells.columns(np.array([3])).round(3).tolist(), len(cells.likeliest)
([[-1.386]], 2)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels.log_totals import log_totals
from solver.tasks.languages.token_bytes import Tokens

BLOCKS = 2048  # blocks of tokens, whose maxima narrow down the likeliest tokens
LARGE_VOCABULARY = 1 << 15  # from this size on, the vocabulary is read in blocks
NO_TOKENS = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class CellLogits:
    """The logits of a canvas, and what is computed from all of them.

    Attributes:
        logits: (L, V), on any device.
        tokens: the tokens of the ``known`` cells (L,).
        known: cells whose tokens are fixed (L,).
        log_total: log-sum-exp (L,); 0 in known cells.
        likeliest: the likeliest tokens of every open cell (N,).
    """

    logits: Tensor
    tokens: Tokens
    known: NDArray[np.bool_]
    log_total: NDArray[np.float64]
    likeliest: Tokens

    @classmethod
    def of(
        cls,
        logits: Tensor | NDArray[np.float32],
        tokens: Tokens,
        known: NDArray[np.bool_],
        count: int,
    ) -> CellLogits:
        """Read the logits of the open cells, without a second array of their size on the host."""
        table = torch.as_tensor(logits).float()
        log_total, open_cells = np.zeros(len(known)), np.flatnonzero(~known)
        if not len(open_cells):
            return cls(table, tokens, known, log_total, NO_TOKENS)
        rows = torch.from_numpy(open_cells).to(table.device)
        top, likeliest = top_tokens(table, rows, count)
        if table.device.type != "cpu" or table.shape[1] < LARGE_VOCABULARY:
            log_total[open_cells] = table.logsumexp(-1)[rows].cpu().numpy()
        else:
            log_total[open_cells] = log_totals(table.numpy(), open_cells, top.numpy())
        return cls(table, tokens, known, log_total, np.unique(likeliest.cpu().numpy()))

    def columns(self, tokens: Tokens) -> NDArray[np.float64]:
        """The log-probabilities (L, N) of N tokens in every cell."""
        selected = self.logits[:, torch.from_numpy(tokens).to(self.logits.device)]
        log_p: NDArray[np.float64] = selected.float().cpu().numpy() - self.log_total[:, None]
        return log_p


def top_tokens(logits: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest of the logits (N,) and the ``count`` likeliest tokens (N, count) of N ``rows``.

    On the CPU, the tokens are looked for in the blocks of tokens with the largest maxima: they are there, and
    few tokens need to be sorted.

    Args:
        logits: (L, V).
        rows: indices of cells (N,).
        count: number of tokens; there are V if V is smaller.
    """
    vocab = logits.shape[1]
    width = vocab // BLOCKS
    if logits.device.type != "cpu" or vocab < LARGE_VOCABULARY or count * width > vocab // 2:
        values, tokens = logits.topk(min(count, vocab))
        return values[rows, 0], tokens[rows]
    whole = BLOCKS * width
    maxima = logits[:, :whole].reshape(len(logits), BLOCKS, width).amax(-1)[rows]
    tokens = (maxima.topk(count).indices[..., None] * width + torch.arange(width)).flatten(1)
    tokens = torch.cat([tokens, torch.arange(whole, vocab).expand(len(rows), -1)], 1)
    values, index = logits[rows[:, None], tokens].topk(count)
    return values[:, 0], tokens.gather(1, index)
