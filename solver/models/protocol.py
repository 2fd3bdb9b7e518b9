"""The interface between the loop and a denoiser. A new diffusion model is one new module beside this one.

CONTRIBUTING.md, "Add a denoiser", goes through it step by step; ``controls.py`` has the shortest
implementation.

Shapes: B rows, L cells, V tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from torch import Tensor

from solver.loop.policy import Policy
from solver.tasks.task import Canvas, Mask, Tokens

Noise = Callable[[Mask, int, np.random.Generator], Tokens]


def uniform_noise(where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
    """Random tokens (L,): a :data:`Noise`."""
    return rng.integers(0, vocab, len(where))


class State(Protocol):
    """The prefilled state: what a denoiser computes for a batch of problems before the first forward.

    Examples are a prompt's cache and relation ids.
    """

    def select(self, rows: Sequence[int]) -> Self:
        """The state of the given rows. Rows may repeat: siblings share a problem."""


class Aux(Protocol):
    """What a denoiser carries from one forward to the next, per row.

    Examples are a network's hidden state and self-conditioning.
    """

    def select(self, rows: Sequence[int]) -> Self:
        """The aux of the given rows."""

    def reset(self, cells: Mask) -> Self:
        """A copy in which the re-masked ``cells`` (B, L) are as in a new aux."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of several parts, concatenated."""


@dataclass(frozen=True)
class Stateless:
    """An aux that holds nothing per cell: one counter or seed per row."""

    numbers: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, numbers=tuple(self.numbers[row] for row in rows))

    def reset(self, cells: Mask) -> Self:
        return self

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return replace(parts[0], numbers=tuple(number for part in parts for number in part.numbers))


@runtime_checkable
class Denoiser(Protocol):
    """A bidirectional model over a canvas.

    Attributes:
        name: short name, for traces and tables.
        kind: *mask*: unknown cells hold a mask token; *uniform*: they hold random tokens, and every cell is
            sampled again at each forward.
        vocab: number of tokens V that a cell may hold.
        policy: the loop's settings that suit the model.
        uses_slots: whether it was trained on canvases in which every value has its own slot.
    """

    name: str
    kind: Literal["mask", "uniform"]
    vocab: int
    policy: Policy

    @property
    def uses_slots(self) -> bool: ...

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> Any:
        """A :class:`State` for canvases of one length.

        A row's randomness depends on its seed alone, not on its batch.
        """

    def start(self, state: Any) -> Any:
        """The :class:`Aux` for the first forward."""

    def denoise(
        self, state: Any, tokens: Tensor, known: Tensor, settled: Tensor, aux: Any
    ) -> tuple[Tensor, Any]:
        """One call, a forward of each row: fp32 logits (B, L, V), on any device, and the next aux.

        tokens: (B, L), meaningful where ``known``.
        known: (B, L), the cells whose tokens the model sees.
        settled: (B, L), the known cells to take as given: pinned, decided and implied. All other known cells
            are drafts.
        """

    def cost(self, state: Any, aux: Any) -> tuple[list[int], list[int]]:
        """Inner loops and FLOPs of each row, in the call that returned ``aux``."""

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        """Tokens (L,) for the unknown cells ``where``: random for the uniform kind, arbitrary for the mask
        kind."""


@runtime_checkable
class TextDenoiser(Denoiser, Protocol):
    """A denoiser over a language model's tokens, after a prompt.

    Attributes:
        forbidden: tokens that no cell may hold, for example a mask token.
        length: the canvas length that the model was made for, None for any.
        context: maximum number of positions, prompt and canvases together; None where unknown.
    """

    forbidden: tuple[int, ...]

    @property
    def length(self) -> int | None: ...

    @property
    def context(self) -> int | None: ...

    def extend(self, state: Any, block: Tensor) -> Any:
        """A new state in which each row's finished canvas ``block`` (B, L) follows the prompt."""
