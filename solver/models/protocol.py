"""What the loop asks of a denoiser. A new diffusion model is one new module beside this one (CONTRIBUTING.md).

Shapes: B rows, L cells, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from torch import Tensor

from solver.loop.policy import Policy
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.errors import SolverError


class ModelError(SolverError, ValueError):
    """A model that cannot be used so; the message is one line."""


class State(Protocol):
    """What a denoiser knows of a batch of problems before the first forward (a prompt's cache, relation ids, ...)."""

    def select(self, rows: Sequence[int]) -> Self:
        """The state of some rows, which may repeat: siblings share a problem."""


class Aux(Protocol):
    """What a denoiser carries from one forward to the next (a hidden state, self-conditioning), a row a canvas."""

    def select(self, rows: Sequence[int]) -> Self:
        """Some rows."""

    def reset(self, cells: Mask) -> Self:
        """The same with nothing carried at ``cells`` (B, L): they were re-masked."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of several, one after another."""


@runtime_checkable
class Denoiser(Protocol):
    """A bidirectional model over a canvas.

    kind: *mask* (unknown cells hold a mask token) or *uniform* (they hold random tokens, and every cell is decided anew).
    policy: how the loop is to go about it by default.
    """

    name: str
    kind: Literal["mask", "uniform"]
    vocab: int
    policy: Policy

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> Any:
        """A :class:`State` for a batch of canvases of one length. ``seeds`` make a row's noise its own, whatever its batch."""

    def start(self, state: Any) -> Any:
        """The :class:`Aux` that a first forward begins with."""

    def denoise(
        self, state: Any, tokens: Tensor, known: Tensor, settled: Tensor, aux: Any
    ) -> tuple[Tensor, Any]:
        """One forward: fp32 logits (B, L, V), on any device, and the next aux, from ``tokens`` (B, L), meaningful where
        ``known`` (B, L).

        ``settled`` (B, L) are the known cells to take as given: pinned, decided and implied. The other known cells are drafts.
        """

    def cost(self, state: Any, aux: Any) -> tuple[list[int], list[int]]:
        """Inner loops and FLOPs of the last forward, per row."""

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        """Tokens (L,) to stand in the cells ``where``: random ones for the uniform kind, anything for the mask kind."""


@runtime_checkable
class TextDenoiser(Denoiser, Protocol):
    """A denoiser over a language model's tokens, after a prompt.

    forbidden: tokens that no cell may hold (a mask token).  length: the canvas length it was made for, None for any.
    context: the most tokens it has positions for, prompt and canvases together, None where it does not say.
    """

    forbidden: tuple[int, ...]

    @property
    def length(self) -> int | None: ...

    @property
    def context(self) -> int | None: ...

    def extend(self, state: Any, block: Tensor) -> Any:
        """The state after each row's finished canvas, ``block`` (B, L); the one that was given stays as it is."""
