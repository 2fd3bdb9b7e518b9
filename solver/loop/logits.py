"""Logits: what a cell may not hold is removed, and statistics per cell are taken.

>>> finite(torch.tensor([0.0, float("inf")]), "mine").tolist()
[0.0, 10000.0]

Shapes: B canvases in the batch, L cells, V tokens, W words of a packed bitmask over the tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.errors import ModelError
from solver.kernels import reference
from solver.tasks.task import Canvas, Eliminates, Mask, Tokens

# From this vocabulary size on, selecting the open cells first is cheaper than processing all cells.
LARGE_VOCABULARY = 256
INFINITE_LOGIT = 1e4  # replaces an infinite logit


@torch.inference_mode()
def finite(logits: Tensor, name: str) -> Tensor:
    """Return fp32 ``logits`` (..., V) without infinities, changed in place if they are fp32.

    Only the task may forbid a token: the search could not tell a token with an infinite logit from a refuted
    one.

    Args:
        logits: of a denoiser.
        name: its name, for the message.

    Raises:
        ModelError: a logit is NaN, or all logits of a cell are minus infinity.
    """
    logits = logits.float()
    if logits.sum(-1).isfinite().all():  # the cheapest pass: a sum is finite only if every term is
        return logits
    if not (logits.amax(-1) > float("-inf")).all():  # the maximum is NaN if a logit is
        raise ModelError(
            f"{name}: the model's logits are NaN or all minus infinity: its weights may be damaged"
        )
    return torch.nan_to_num(logits, posinf=INFINITE_LOGIT, neginf=-INFINITE_LOGIT, out=logits)


@torch.inference_mode()
def add_up(logits: Tensor, synonyms: Tensor, current: Tensor) -> None:
    """Give the probability of all ``synonyms`` to one of them, in place: the current token of the cell, if it
    is among them, else the likeliest.

    Args:
        logits: (B, L, V).
        synonyms: tokens (N,).
        current: the token of each cell now (B, L).
    """
    group = logits[..., synonyms]
    is_current = current[..., None] == synonyms
    kept = torch.where(is_current.any(-1), is_current.int().argmax(-1), group.argmax(-1))
    total = group.logsumexp(-1, keepdim=True)
    logits[..., synonyms] = torch.full_like(group, -INFINITE_LOGIT).scatter(-1, kept[..., None], total)


def exclude(logits: Tensor, excluded: Sequence[Sequence[Tokens]]) -> Tensor:
    """Return ``logits`` (B, L, V) with the logits of each row's excluded tokens set to -1e4.

    Args:
        logits: not changed.
        excluded: for each row, arrays (L,) of tokens, -1 for none.
    """
    if all((tokens < 0).all() for row_tokens in excluded for tokens in row_tokens):
        return logits
    logits = logits.clone()  # a tensor made in inference mode must not be written to
    for row, row_tokens in enumerate(excluded):
        for tokens in row_tokens:
            cells = np.flatnonzero(tokens >= 0)
            logits[row, torch.from_numpy(cells), torch.from_numpy(tokens[cells])] = -INFINITE_LOGIT
    return logits


def statistics(
    logits: Tensor,
    allowed: Tensor | None,
    uniform: Tensor | None,
    current: Tensor,
    open_cells: Tensor,
) -> reference.Statistics:
    """Return the statistics of the open cells.

    With a small vocabulary, processing all cells is cheaper than selecting the open ones. With a large one,
    settled cells are skipped and reported as certain, so callers must not rely on their values.

    Args:
        logits: (B, L, V).
        allowed: bitmask (B, L, W), None if every token is allowed.
        uniform: (B, L) numbers to draw samples with, or None.
        current: (B, L) the token of each cell now.
        open_cells: (B, L) bool.
    """
    if logits.shape[-1] < LARGE_VOCABULARY or open_cells.all():
        statistics: reference.Statistics = reference.choose(logits).token_statistics(
            logits, allowed, uniform, current
        )
        return statistics
    ones = torch.ones_like(current, dtype=torch.float32)
    settled = reference.Statistics(current, ones, 0 * ones, 0 * ones, current, ones)
    if not open_cells.any():
        return settled
    mask, draw = (None if column is None else column[open_cells][None] for column in (allowed, uniform))
    rows = logits[open_cells][None]
    selected = reference.choose(rows).token_statistics(rows, mask, draw, current[open_cells][None])
    return reference.Statistics(
        *(base.masked_scatter(open_cells, column[0]) for base, column in zip(settled, selected, strict=True))
    )


def draw(
    result: reference.Statistics,
    logits: Tensor,
    allowed: Tensor | None,
    uniform: Tensor | None,
    tokens: Tensor,
    known: Tensor,
    heat: Tensor,
    open_cells: Tensor,
) -> reference.Statistics:
    """Return the statistics with drawn tokens in place of the best ones in rows with a temperature.

    Args:
        result: the statistics of the ``logits``; most other arguments are those of :func:`statistics`.
        tokens, known: (B, L) the canvas; a draw keeps its known cells.
        heat: (B, 1) temperature of each row, 0 for the likeliest tokens.
    """
    scaled = logits / torch.where(heat > 0, heat, 1.0)[..., None]
    drawn = statistics(scaled, allowed, uniform, result.best, open_cells).sample
    drawn = torch.where(known, tokens, drawn)
    best = torch.where((heat > 0) & (drawn >= 0), drawn, result.best)
    p = statistics(logits, allowed, None, best, open_cells).belief
    top2 = torch.where(best == result.best, result.top2, result.top1)
    return result._replace(best=best, top1=p, top2=top2, sample=torch.where(heat > 0, best, result.sample))


def allow(
    task: Eliminates | None,
    canvases: Sequence[Canvas],
    tokens: Tokens,
    settled: Mask,
    vocab: int,
) -> NDArray[np.int32] | None:
    """Return the bitmask (B, L, W) of the tokens that each cell may hold, or None if all are allowed.

    Args:
        task: eliminates tokens in conflict with settled cells, or None.
        canvases: their ``allowed`` bitmasks always apply.
        tokens, settled: (B, L).
        vocab: number of tokens V.
    """
    static = None
    if any(canvas.allowed is not None for canvas in canvases):
        all_tokens = reference.pack(torch.ones(vocab, dtype=torch.bool)).numpy()
        static = np.empty((*tokens.shape, len(all_tokens)), np.int32)
        for row, canvas in enumerate(canvases):
            static[row] = all_tokens if canvas.allowed is None else canvas.allowed
    if task is None:
        return static
    free = task.eliminate(canvases, tokens, settled)
    return free if static is None else free & static
