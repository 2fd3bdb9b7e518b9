"""Conditions a factorised distribution over bytes on a language.

    >>> from solver.tasks.languages.grammar import PatternGrammar
    >>> from solver.tasks.languages.unroll import unroll
    >>> unrolled, slots = unroll(PatternGrammar("^a+b$"), cells=4), Slots.single(4)
    >>> tokens, known = np.array([97, 0, 0, 0]), np.array([True, False, False, False])
    >>> logits = np.zeros((4, 257))
    >>> logits[2, ord("b")] = 2.0
    >>> projection = project(unrolled, slots, logits, tokens, known)
    >>> bytes(projection.best[projection.best != BLANK].tolist())
    b'aab'

``best`` is one block of the language; marginals are confidences, and need not be consistent with each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from solver.kernels.deadline import check_time
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_fast import Lattice
from solver.kernels.lattice_pairs import Layers
from solver.kernels.trie import WHITE_BYTES
from solver.tasks.languages.unroll import MAX_PAIRS, Unrolled

# Refused blocks that the best one must differ from. Models repeat a refused draft at once or not at all.
MAX_EXCLUDED = 32
MAX_DRAWS = 64
BLANK = 256  # the token of an unused cell
BLANK_SYMBOL = 257  # its symbol in the lattice, where 256 is WHITE
_LAYERS: WeakKeyDictionary[Automaton, dict[bytes, Layers | None]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Projection:
    """A factorised distribution conditioned on a language.

    Attributes:
        best: the likeliest block (L,).
        marginals: the probability (L, V) of each token in each cell, given that the block is in the language.
        sample: a block drawn from the conditioned distribution (L,), or ``best`` if no generator was given.
        constraint_cost: minus the log-probability of the language, in nats.
        columns: the tokens of the columns of ``marginals``; None if they are all tokens in order.
        is_refused: whether a check will refuse the draft, which may do better with fewer known cells.
    """

    best: NDArray[np.int64]
    marginals: NDArray[np.float64]
    sample: NDArray[np.int64]
    constraint_cost: float
    columns: NDArray[np.int64] | None = None
    is_refused: bool = False


def byte_weights(
    logits: NDArray[np.floating],
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Log-probabilities (L, 258) of bytes, WHITE and BLANK from logits (L, 257) of bytes and BLANK.

    The ``known`` cells (L,) hold their ``tokens`` with certainty; white space in them may be WHITE.
    """
    weights = np.empty((len(tokens), 258))
    shifted = logits - logits.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    weights[:, :256], weights[:, 256], weights[:, BLANK_SYMBOL] = shifted[:, :256], -np.inf, shifted[:, 256]
    weights[known] = -np.inf
    cells, symbols = np.flatnonzero(known), tokens[known]
    weights[cells, np.where(symbols == BLANK, BLANK_SYMBOL, symbols)] = 0.0
    weights[cells[np.isin(symbols, WHITE_BYTES)], 256] = 0.0
    return weights


def project(
    unrolled: Unrolled,
    slots: Slots,
    logits: NDArray[np.floating],
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
    rng: np.random.Generator | None = None,
    refused: Sequence[NDArray[np.int64]] = (),
    layers: Layers | None = None,
) -> Projection | None:
    """Condition the cells' distributions on the language and on the known cells.

    Args:
        unrolled: the language.
        slots: cells that may be BLANK.
        logits: of bytes and BLANK (L, 257).
        tokens: the tokens of the ``known`` cells (L,).
        known: cells whose tokens are fixed (L,).
        rng: draws a sample, if given.
        refused: blocks (L,) that are not drawn again; ``best`` differs from the latest of them.
        layers: the live pairs of the block in which only some of the known cells are (:func:`open_layers`).

    Returns:
        The projection, or None if no block of the language holds the known tokens.
    """
    check_time()
    lattice = Lattice(unrolled.automaton, byte_weights(logits, tokens, known), slots, layers)
    excluded = [tuple(np.where(block == BLANK, BLANK_SYMBOL, block).tolist()) for block in refused]
    best, score = lattice.next_best(set(excluded[-MAX_EXCLUDED:]), known)
    check_time()
    if score == -np.inf:
        return None
    marginals = lattice.marginals()
    marginals[:, 256] = marginals[
        :, BLANK_SYMBOL
    ]  # WHITE occurs in known cells only, which are written below
    marginals = marginals[:, :257]
    marginals[known] = 0.0
    marginals[known, tokens[known]] = 1.0
    check_time()
    sample = best if rng is None else draw_new(lattice, rng, set(excluded), best)
    best, sample = (
        np.where(known, tokens, np.where(path == BLANK_SYMBOL, BLANK, path)) for path in (best, sample)
    )
    return Projection(best, marginals, sample, max(0.0, -lattice.partition))


def open_layers(
    unrolled: Unrolled, slots: Slots, tokens: NDArray[np.int64], given: NDArray[np.bool_]
) -> Layers | None:
    """The live pairs of a block of which the ``given`` cells (L,) are known; None if it is empty.

    Projections of the block need not search for them again. They are computed once for an automaton and a
    block, whatever the logits.
    """
    key = slots.last.tobytes() + given.tobytes() + tokens[given].tobytes()
    layers = _LAYERS.setdefault(unrolled.automaton, {})
    if key not in layers:
        weights = byte_weights(np.zeros((len(tokens), 257)), tokens, given)
        weights[~given, 256] = 0.0  # such a cell may become known, and hold WHITE
        layers[key] = Lattice(unrolled.automaton, weights, slots).layers
    return layers[key]


def draw_new(
    lattice: Lattice,
    rng: np.random.Generator,
    excluded: set[tuple[int, ...]],
    otherwise: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Draw a block (L,) that is not ``excluded``; ``otherwise`` where several draws find none."""
    draws = (lattice.sample(rng) for _ in range(MAX_DRAWS))
    return next((block for block in draws if tuple(block.tolist()) not in excluded), otherwise)


def draws(
    unrolled: Unrolled,
    slots: Slots,
    logits: NDArray[np.floating],
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    """Draw blocks (L,) without end, by turns from the conditioned distribution and from all texts alike.

    The arguments are those of :func:`project`; there has to be a block with the known tokens.
    """
    lattices = [
        Lattice(unrolled.automaton, byte_weights(scores, tokens, known), slots)
        for scores in (logits, np.zeros_like(logits))
    ]
    while True:
        for lattice in lattices:
            path = lattice.sample(rng)
            yield np.where(known, tokens, np.where(path == BLANK_SYMBOL, BLANK, path))


def is_possible(
    unrolled: Unrolled,
    slots: Slots,
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> bool:
    """Whether any block of the language holds ``tokens`` in the ``known`` cells."""
    return not uniform_lattice(unrolled, slots, tokens, known).is_empty


def has_few_pairs(
    unrolled: Unrolled,
    slots: Slots,
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> bool:
    """Whether a lattice with these ``known`` cells has at most MAX_PAIRS pairs of states and cells."""
    return uniform_lattice(unrolled, slots, tokens, known).has_few_pairs(MAX_PAIRS)


def uniform_lattice(
    unrolled: Unrolled,
    slots: Slots,
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> Lattice:
    """The lattice of the language in which all texts with the ``known`` cells have the same weight."""
    weights = byte_weights(np.zeros((len(tokens), BLANK + 1)), tokens, known)
    return Lattice(unrolled.automaton, weights, slots)
