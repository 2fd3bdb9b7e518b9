"""The controls that every result stands beside, and two denoisers that only tests need.

``random`` and ``prior`` run the same loop with the same checks and budget as the trained model; what the trained model adds over
them is the result. ``Oracle`` knows the answer and ``Adversary`` is confidently wrong: they probe the loop, not the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.loop.policy import Policy
from solver.tasks.canvas import Canvas, Mask, Tokens

Kind = Literal["mask", "uniform"]


@dataclass(frozen=True)
class ControlState:
    """The canvases of the batch and a seed a row."""

    canvases: tuple[Canvas, ...]
    seeds: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(
            self, canvases=tuple(self.canvases[r] for r in rows), seeds=tuple(self.seeds[r] for r in rows)
        )


@dataclass(frozen=True)
class Calls:
    """How many forwards each row has had: the counter behind a row's random numbers."""

    count: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, count=tuple(self.count[r] for r in rows))

    def reset(self, cells: Mask) -> Self:
        return self

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return replace(parts[0], count=tuple(n for part in parts for n in part.count))


class Control:
    """A denoiser made of a function from (canvas, tokens, known, random generator) to logits (L, V)."""

    def __init__(
        self, name: str, vocab: int, logits: Logits, kind: Kind = "mask", informed: bool = False
    ) -> None:
        self.name, self.vocab, self.kind = name, vocab, kind
        # depth first is the stronger order for probabilities that mean nothing
        self.policy = Policy() if informed else Policy(order="depth", rounds=1, settle=True)
        self._logits = logits

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> ControlState:
        return ControlState(tuple(canvases), tuple(seeds))

    def start(self, state: ControlState) -> Calls:
        return Calls((0,) * len(state.seeds))

    def denoise(
        self, state: ControlState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Calls
    ) -> tuple[Tensor, Calls]:
        count = aux.count
        rows = []
        for row, canvas in enumerate(state.canvases):
            rng = np.random.default_rng((state.seeds[row], count[row]))
            rows.append(self._logits(canvas, tokens[row].numpy(), known[row].numpy(), rng))
        return torch.from_numpy(np.stack(rows)).float(), Calls(tuple(n + 1 for n in count))

    def cost(self, state: ControlState, aux: Calls) -> tuple[list[int], list[int]]:
        return [0] * len(aux.count), [0] * len(aux.count)

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return rng.integers(0, vocab, len(where))


Logits = Callable[[Canvas, Tokens, Mask, np.random.Generator], NDArray[np.float64]]
EMPTY = 6.0  # nats by which a cell behind the drawn length is a blank
JITTER = 1e-3  # enough to make the choice among equals random, too little to look like knowledge


def ended(
    logits: NDArray[np.float64], blank: int | None, best: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The same (L, V) with a ``blank``, if there is one, likelier than the ``best`` token from a random cell on."""
    if blank is not None:
        logits[rng.integers(0, len(logits) + 1) :, blank] = best + EMPTY
    return logits


def random(vocab: int, kind: Kind = "mask", blank: int | None = None) -> Control:
    """Uniform over the tokens, ties broken at random. With a ``blank``, texts of all lengths are equally likely: nearly every
    text is as long as the canvas, and a uniform denoiser would draw no other."""

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        return ended(JITTER * rng.random((canvas.cells, vocab)), blank, 0.0, rng)

    return Control("random", vocab, logits, kind)


def prior(vocab: int, table: NDArray[np.float64] | None = None, blank: int | None = None) -> Control:
    """Token frequencies: ``table`` (V,), or else those among the canvas's own known cells (add-one smoothed). In Sudoku
    every digit is equally frequent over all grids, so a digit that has been placed less often has more places left: the prior
    of an open cell is the number of times that the token still has to be placed. ``blank`` as in :func:`random`."""

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        if table is not None:
            weight = table
        else:
            expected = canvas.cells / vocab
            weight = np.maximum(expected - np.bincount(tokens[known], minlength=vocab), 0.1)
        found = np.log(weight)[None, :] + JITTER * rng.random((canvas.cells, vocab))
        return ended(found, blank, float(np.log(weight).max()), rng)

    return Control("prior", vocab, logits)


def oracle(vocab: int, answer: Tokens, kind: Kind = "mask") -> Control:
    """Knows the answer (L,) and is sure of it."""

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.where(np.arange(vocab) == answer[:, None], 20.0, 0.0)

    return Control("oracle", vocab, logits, kind, informed=True)


def adversary(vocab: int, kind: Kind = "mask", seed: int = 0) -> Control:
    """Sure of nonsense, and of other nonsense at every forward; at times it has no finite opinion at all."""

    def logits(canvas: Canvas, tokens: Tokens, known: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
        values = 30.0 * rng.standard_normal((canvas.cells, vocab))
        values[rng.random(canvas.cells) < 0.1] = float("-inf")
        return values

    return Control("adversary", vocab, logits, kind, informed=True)
