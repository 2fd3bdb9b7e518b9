"""What a task is: a problem becomes a canvas, and finished or half-finished canvases are judged.

A new task is one module with these four methods (CONTRIBUTING.md, "Add a task"); the loop needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import wraps
from typing import Any, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from solver.tasks.canvas import Canvas, Mask, Tokens

Result = TypeVar("Result")


@dataclass(frozen=True)
class Violation:
    """A rule that a draft breaks, and where.

    Attributes:
        message: description for a person.
        cells: the cells to re-mask. Empty where the location is unknown.
        rule: short name of the rule.
        reason: known cells whose tokens by themselves force the violation, or None. Only a violation with a
            reason may prune the search or support a proof; any other only steers.
        excluded: those of ``cells`` whose tokens should not be drafted again soon, None for all of them.
        span: start and end (exclusive) of the offending characters, for checks that read a text.
        path: JSON pointer to the offending value, for checks that read a JSON value.
    """

    message: str
    _: KW_ONLY
    cells: tuple[int, ...] = ()
    rule: str = "check"
    reason: frozenset[int] | None = None
    excluded: tuple[int, ...] | None = None
    span: tuple[int, int] | None = None
    path: str | None = None


@runtime_checkable
class Task(Protocol):
    """Serialises problems and judges canvases. Problems are whatever the task says they are."""

    name: str
    vocab: int

    def encode(self, problem: Any) -> Canvas:
        """The problem as a canvas. Raises ValueError, in one line, where it is none."""

    def check(self, problem: Any, tokens: Tokens, known: Mask) -> Sequence[Violation]:
        """What is wrong among the ``known`` cells of ``tokens`` (L,); unknown cells are tolerated. Steers the loop."""

    def verify(self, problem: Any, tokens: Tokens) -> bool:
        """Whether full ``tokens`` (L,) solve the problem. Nothing is called solved without it."""

    def decode(self, problem: Any, tokens: Tokens) -> Any:
        """The answer that full tokens stand for."""


@runtime_checkable
class Eliminates(Protocol):
    """A task that can say which tokens conflict directly with known cells: the only inference the loop makes by itself."""

    def eliminate(self, canvases: Sequence[Canvas], tokens: Tokens, known: Mask) -> NDArray[np.int32]:
        """Bitmask (B, L, W) of the tokens each cell may hold beside the other known cells of ``tokens`` (B, L)."""


@runtime_checkable
class Explains(Protocol):
    """A task that can say why at once; without it, the loop tries the token and asks ``check``, which is slower."""

    def explain(
        self, problem: Any, tokens: Tokens, known: Mask, cell: int, token: int
    ) -> frozenset[int] | None:
        """Known cells that by themselves keep ``token`` out of ``cell``, as few as possible; None where nothing does."""


class Conditioned(Protocol):
    """Distributions over cells, given that the whole canvas is valid as far as the task's language can say.

    Attributes:
        best: the likeliest valid canvas (L,).
        marginals: the probability of each token in each cell (L, V), or (L, U) with ``columns``.
        sample: a drawn canvas (L,), if one was asked for.
        constraint_cost: minus the log-probability of validity, in nats.
        columns: the tokens (U,) of the columns of ``marginals``; None for all.
    """

    @property
    def best(self) -> Tokens: ...
    @property
    def marginals(self) -> NDArray[np.float64]: ...
    @property
    def sample(self) -> Tokens: ...
    @property
    def constraint_cost(self) -> float: ...
    @property
    def columns(self) -> Tokens | None: ...


@runtime_checkable
class Projects(Protocol):
    """A task whose validity is regular, or nearly: it conditions a denoiser's distributions on it, all cells jointly.

    Values always come from one canvas of the language; marginals are only confidences."""

    def project(
        self,
        problem: Any,
        logits: NDArray[np.float32],
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Conditioned | None:
        """``logits`` (L, V) conditioned, with ``tokens`` (L,) in the ``settled`` cells; None where nothing valid has them.
        ``rng``: to draw a sample with."""


@dataclass(frozen=True)
class Implied:
    """A cell that can hold just one token, and the known cells that force it."""

    cell: int
    token: int
    reason: frozenset[int]


@runtime_checkable
class Infers(Protocol):
    """A task with a stronger inference than elimination, off by default and labelled where it is used."""

    def infer(self, problem: Any, tokens: Tokens, known: Mask) -> Sequence[Implied | Violation]:
        """Cells that follow from the known ones (or a contradiction, with its reason), found in one pass."""


@runtime_checkable
class Wording(Protocol):
    """A task that can be put into words, for language models."""

    symbols: tuple[str, ...]

    def words(self, canvas: Canvas) -> tuple[str, tuple[str | int, ...]]:
        """A prompt, and the answer's text: literal strings, and cell numbers where a cell's symbol stands, each cell once."""


def once_per_draft(examine: Callable[[Any, Any, Tokens], Result]) -> Callable[[Any, Any, Tokens], Result]:
    """Decorate a task's method (problem, tokens) so that ``verify`` and ``check`` share its result for a draft.

    Each task object remembers the result for its last draft.
    """
    latest: WeakKeyDictionary[Any, tuple[Any, Tokens, Result]] = WeakKeyDictionary()

    @wraps(examine)
    def remembered(task: Any, problem: Any, tokens: Tokens) -> Result:
        entry = latest.get(task)
        if entry is None or entry[0] is not problem or not np.array_equal(entry[1], tokens):
            entry = latest[task] = problem, tokens.copy(), examine(task, problem, tokens)
        return entry[2]

    return remembered
