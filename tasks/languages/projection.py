"""Languages: which blocks are valid, as an automaton that a distribution can be conditioned on.

tongue = unroll(Regex("^a+b$"), cells=8)                           # automata.py
found = project(tongue, Slots.whole(8), logits, tokens, known)     # the best block, and how sure each cell is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.tasks.languages.unroll import Unrolled

BLANK = 256  # the token of an unused cell


@dataclass(frozen=True, eq=False)
class Projection:
    """A factorised distribution conditioned on a language. best (L,): the likeliest block.  p (L, V): how likely each cell holds
    each token, given that the block is in the language.  sample (L,): a draw, where one was asked for, or ``best``.
    constraint_cost: minus the log-probability that a block is in the language, in nats: what validity costs.
    columns: the tokens that the
    columns of p stand for, where they are not all."""

    best: NDArray[np.int64]
    p: NDArray[np.float64]
    sample: NDArray[np.int64]
    constraint_cost: float
    columns: NDArray[np.int64] | None = None


def weights_of(
    logits: NDArray[np.floating], tokens: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log-probabilities (L, 258) of bytes, WHITE and BLANK, from logits (L, 257) of bytes and BLANK; ``known`` cells (L,) hold
    their tokens, and white space there may stand outside a string."""
    weights = np.empty((len(tokens), 258))
    shifted = logits - logits.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    weights[:, :256], weights[:, 256], weights[:, 257] = shifted[:, :256], -np.inf, shifted[:, 256]
    weights[known] = -np.inf
    at = np.flatnonzero(known)
    held = tokens[at]
    weights[at, np.where(held == BLANK, 257, held)] = 0.0
    white = at[np.isin(held, (9, 10, 13, 32))]
    weights[white, 256] = 0.0
    return weights


def project(
    unrolled: Unrolled,
    slots: Slots,
    logits: NDArray[np.floating],
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
    rng: np.random.Generator | None = None,
    refused: Sequence[NDArray[np.int64]] = (),
) -> Projection | None:
    """What is left of ``logits`` (L, 257) when the ``known`` cells hold their ``tokens`` (L,) and the block is in the language;
    None where no block is. ``rng``: to draw a sample with.  refused: blocks (L,) that will not do: the best is another one."""
    lattice = Lattice(unrolled.automaton, weights_of(logits, tokens, known), slots)
    best, score = lattice.next_best(
        {tuple(np.where(block == BLANK, 257, block).tolist()) for block in refused}, known
    )
    if score == -np.inf:
        return None
    p = lattice.marginals()
    p[:, 256] = p[:, 257]  # a symbol for white space has no say: what is known is written below
    p = p[:, :257]
    p[known] = 0.0
    p[known, tokens[known]] = 1.0
    sample = best if rng is None else lattice.sample(rng)
    best, sample = (np.where(known, tokens, np.where(path == 257, BLANK, path)) for path in (best, sample))
    return Projection(best, p, sample, max(0.0, -lattice.partition))


def possible(unrolled: Unrolled, slots: Slots, tokens: NDArray[np.int64], known: NDArray[np.bool_]) -> bool:
    """Whether any block of the language holds ``tokens`` in the ``known`` cells."""
    flat = np.zeros((len(tokens), 257))
    return Lattice(unrolled.automaton, weights_of(flat, tokens, known), slots).best()[1] > -np.inf
