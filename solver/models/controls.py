"""Untrained denoisers: the two controls of every experiment, and two that probe the loop in tests.

``random`` and ``prior`` run the same loop with the same checks and budget as a trained model, so the
difference in results is the contribution of the model. ``oracle`` knows the answer; ``adversary`` is certain
and wrong.

    >>> random(vocab=9).name, prior(vocab=9).kind
    ('random', 'mask')

Shapes: B rows, L cells, V tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.loop.policy import DEPTH_FIRST, Policy
from solver.models.protocol import Stateless, uniform_noise
from solver.tasks.task import Canvas, Mask, Tokens

Kind = Literal["mask", "uniform"]
Logits = Callable[[Canvas, Tokens, Mask, np.random.Generator], NDArray[np.float64]]
BLANK_MARGIN = 6.0  # nats by which BLANK is the likeliest token after the drawn length
JITTER = 1e-3  # breaks ties at random, and is too small to look like knowledge


@dataclass(frozen=True)
class ControlState:
    canvases: tuple[Canvas, ...]
    seeds: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        canvases = tuple(self.canvases[row] for row in rows)
        return replace(self, canvases=canvases, seeds=tuple(self.seeds[row] for row in rows))


class Control:
    """A :class:`~solver.models.protocol.Denoiser` made of a function.

    logits: from canvas, tokens (L,), known cells (L,) and a random generator to logits (L, V).
    policy: depth first, the better search order for probabilities without information, or another policy.
    """

    uses_slots = False

    def __init__(
        self,
        name: str,
        vocab: int,
        logits: Logits,
        kind: Kind = "mask",
        policy: Policy = DEPTH_FIRST,
    ) -> None:
        self.name, self.vocab, self.kind, self.policy = name, vocab, kind, policy
        self._logits = logits

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> ControlState:
        return ControlState(tuple(canvases), tuple(seeds))

    def start(self, state: ControlState) -> Stateless:
        """The number of forwards so far: with the seed, it determines a row's random numbers."""
        return Stateless((0,) * len(state.seeds))

    def denoise(
        self, state: ControlState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        rows = []
        for row, (canvas, seed, number) in enumerate(
            zip(state.canvases, state.seeds, aux.numbers, strict=True)
        ):
            rng = np.random.default_rng((seed, number))
            rows.append(self._logits(canvas, tokens[row].numpy(), known[row].numpy(), rng))
        return torch.from_numpy(np.stack(rows)).float(), Stateless(tuple(n + 1 for n in aux.numbers))

    def cost(self, state: ControlState, aux: Stateless) -> tuple[list[int], list[int]]:
        return [0] * len(aux.numbers), [0] * len(aux.numbers)

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return uniform_noise(where, vocab, rng)


def with_random_length(
    logits: NDArray[np.float64], blank: int | None, best: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """``logits`` (L, V) with ``blank``, if there is one, above the ``best`` token from a random cell on; in
    place."""
    if blank is not None:
        logits[rng.integers(0, len(logits) + 1) :, blank] = best + BLANK_MARGIN
    return logits


def random(vocab: int, kind: Kind = "mask", policy: Policy = DEPTH_FIRST) -> Control:
    """Uniform over the tokens, ties broken at random.

    On a canvas with a blank token, all text lengths are equally likely. Without that rule nearly every draw
    would fill the canvas.
    """

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        return with_random_length(JITTER * rng.random((canvas.num_cells, vocab)), canvas.blank, 0.0, rng)

    return Control("random", vocab, logits, kind, policy)


def prior(
    vocab: int,
    table: NDArray[np.float64] | None = None,
    blank: int | None = None,
    policy: Policy = DEPTH_FIRST,
) -> Control:
    """Token frequencies, the same for every cell.

    table: (V,), frequencies. Without it, the number of times that each token still has to be placed, where
        every token occurs equally often on a full canvas (as in Sudoku), at least 0.1.
    blank: the token that follows a text of any length, equally likely, or None.
    """

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        weight = table
        if weight is None:
            placed = np.bincount(tokens[known], minlength=vocab)
            weight = np.maximum(canvas.num_cells / vocab - placed, 0.1)
        values = np.log(weight)[None, :] + JITTER * rng.random((canvas.num_cells, vocab))
        return with_random_length(values, blank, float(np.log(weight).max()), rng)

    return Control("prior", vocab, logits, policy=policy)


def oracle(vocab: int, answer: Tokens, kind: Kind = "mask") -> Control:

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.where(np.arange(vocab) == answer[:, None], 20.0, 0.0)

    return Control("oracle", vocab, logits, kind, Policy())


def adversary(vocab: int, kind: Kind = "mask", seed: int = 0) -> Control:
    """Certain of random tokens, other ones at each forward; a tenth of its cells have one finite logit."""

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        values = 30.0 * rng.standard_normal((canvas.num_cells, vocab))
        cells = np.flatnonzero(rng.random(canvas.num_cells) < 0.1)
        values[cells] = float("-inf")
        values[cells, rng.integers(0, vocab, len(cells))] = 0.0
        return values

    return Control("adversary", vocab, logits, kind, Policy())
