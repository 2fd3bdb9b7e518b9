"""The interface of a task: it encodes problems as canvases and checks drafts.

A canvas is a fixed block of cells, some pinned, the rest open. It is immutable.
A new task is one module with the four methods of :class:`Task` (CONTRIBUTING.md, "Add a task"). The other
protocols are optional.

>>> Violation("5 is used twice", cells=(3, 7), rule="twice").cells
(3, 7)
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Tokens = NDArray[np.int64]
Mask = NDArray[np.bool_]
EMPTY: Tokens = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The encoding of a problem that a denoiser sees. L cells, P prompt tokens, R relations.

    tokens (L,): meaningful where ``known``; elsewhere arbitrary.
    pinned (L,): given cells, which never change.
    known (L,): pinned cells, and drafted cells, which may be re-masked.
    vocab: a cell may hold the tokens 0 .. vocab-1. A model's mask token is not among them.
    allowed (L, W) int32 bitmask of statically allowed tokens, W = ceil(vocab / 32) words; None for all.
    prompt (P,): tokens before the block.
    relations (R, L): group ids (row, column, box, ...), -1 for none.
    slots: (start, capacity) of holes of variable length, padded with blanks.
    blank: the token that pads a slot after its text, or None.
    problem: the problem that is encoded, for denoisers that read more of it than cells and prompt, or None.
    """

    tokens: Tokens
    pinned: Mask
    known: Mask
    vocab: int
    allowed: NDArray[np.int32] | None = None
    prompt: Tokens = field(default_factory=EMPTY.copy)
    relations: Tokens | None = None
    slots: tuple[tuple[int, int], ...] = ()
    blank: int | None = None
    problem: Any = None

    def __post_init__(self) -> None:
        num_cells = len(self.tokens)
        if self.pinned.shape != (num_cells,) or self.known.shape != (num_cells,):
            raise ValueError("tokens, pinned and known must have the same length")
        if (self.pinned & ~self.known).any():
            raise ValueError("a pinned cell must be known")
        known_tokens = self.tokens[self.known]
        if known_tokens.size and (known_tokens.min() < 0 or known_tokens.max() >= self.vocab):
            raise ValueError(f"a known token is outside 0..{self.vocab - 1}")
        if self.relations is None:
            object.__setattr__(self, "relations", np.zeros((0, num_cells), np.int64))
        for array in (self.tokens, self.pinned, self.known, self.allowed, self.prompt, self.relations):
            if array is not None:
                array.setflags(write=False)

    @property
    def num_cells(self) -> int:
        """Number of cells L."""
        return len(self.tokens)

    @property
    def groups(self) -> Tokens:
        """The group ids (R, L), never None."""
        assert self.relations is not None
        return self.relations


Result = TypeVar("Result")


@dataclass(frozen=True)
class Violation:
    """A rule that a draft breaks, and where.

    Attributes:
        message: description of the violation, for people.
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
    """Encodes problems as canvases and checks drafts. A problem may be any object.

    Attributes:
        name: short name, also of the shipped checkpoint.
        vocab: number of tokens of a cell.
    """

    name: str
    vocab: int

    def encode(self, problem: Any) -> Canvas:
        """The problem as a canvas. Raises ValueError, with one line, for an invalid problem."""

    def check(self, problem: Any, tokens: Tokens, known: Mask) -> Sequence[Violation]:
        """Violations among the ``known`` cells of ``tokens`` (L,). Unknown cells are ignored."""

    def verify(self, problem: Any, tokens: Tokens) -> bool:
        """Whether full ``tokens`` (L,) solve the problem. No outcome is solved without it."""

    def decode(self, problem: Any, tokens: Tokens) -> Any:
        """The answer that full ``tokens`` (L,) encode."""


@runtime_checkable
class Eliminates(Protocol):
    """A task that finds the tokens in direct conflict with given cells.

    This is the only inference that the loop makes by default.
    """

    def eliminate(self, canvases: Sequence[Canvas], tokens: Tokens, known: Mask) -> NDArray[np.int32]:
        """Bitmask (B, L, W) of each cell's tokens that do not conflict with other ``known`` cells.

        Args:
            canvases: the encoded problems.
            tokens: (B, L).
            known: (B, L), the cells to take as given; the loop passes the settled ones.
        """


@runtime_checkable
class Explains(Protocol):
    """A task that explains an elimination. Otherwise the loop places the token and calls ``check``."""

    def explain(
        self, problem: Any, tokens: Tokens, known: Mask, cell: int, token: int
    ) -> frozenset[int] | None:
        """A small set of ``known`` cells that exclude ``token`` from ``cell``, or None if it is not excluded."""


class Conditioned(Protocol):
    """Distributions over cells, given that the whole canvas is in the task's language.

    Attributes:
        best: the likeliest valid canvas (L,).
        marginals: the probability of each token in each cell (L, V), or (L, U) with ``columns``.
        sample: a valid canvas (L,) drawn at random, if one was requested.
        constraint_cost: minus the log-probability that a drawn canvas is valid, in nats.
        columns: the tokens (U,) of the columns of ``marginals``; None for all.
        is_refused: whether the task knows that it will refuse the draft, and may do better with fewer cells given.
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
    @property
    def is_refused(self) -> bool: ...


@runtime_checkable
class Projects(Protocol):
    """A task that conditions a denoiser's distributions on its language, all cells jointly.

    Tokens always come from one canvas of the language; marginals are only confidences.
    """

    def project(
        self,
        problem: Any,
        logits: "Tensor | NDArray[np.float32]",
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Conditioned | None:
        """Condition ``logits`` (L, V) on the language and on ``tokens`` (L,) in the ``settled`` cells.

        Args:
            problem: the problem.
            logits: the denoiser's logits, unnormalised, on its device: with a large vocabulary, only what
                is needed should be copied.
            tokens: the canvas, meaningful in settled cells.
            settled: cells (L,) whose tokens are given.
            rng: generator for a sample, or None for no sample.

        Returns:
            The distributions, or None if no valid canvas has these tokens.
        """


@runtime_checkable
class Remembers(Protocol):
    """A task that remembers the last prediction of the denoiser for each problem."""

    def remember(self, problem: Any, logits: "Tensor", known: Mask) -> None:
        """Remember ``logits`` (L, V), unnormalised and on the denoiser's device.

        ``known`` (L,): the cells whose tokens the denoiser saw, so that it has only repeated them.
        """


@runtime_checkable
class HasSynonyms(Protocol):
    """A task in which some tokens mean the same in a cell, so that their probabilities add up.

    Attributes:
        synonyms: these tokens (N,).
    """

    synonyms: NDArray[np.int64]


@dataclass(frozen=True)
class Implied:
    """A cell with a single possible token, and the given cells that force it."""

    cell: int
    token: int
    reason: frozenset[int]


@runtime_checkable
class Infers(Protocol):
    """A task with a stronger inference than elimination. It is off by default."""

    def infer(self, problem: Any, tokens: Tokens, known: Mask) -> Sequence[Implied | Violation]:
        """One pass of inference: cells implied by the ``known`` ones, or a contradiction with its reason.

        ``known`` (L,): the cells to take as given; the loop passes the settled ones.
        """


@runtime_checkable
class HasFrequencies(Protocol):
    """A task whose tokens are not equally frequent, for the control ``prior``."""

    def frequencies(self) -> NDArray[np.float64]:
        """The relative frequency of each token (V,)."""


@runtime_checkable
class Wording(Protocol):
    """A task with a textual form, for language models.

    Attributes:
        symbols: the text of each token.
    """

    symbols: tuple[str, ...]

    def words(self, canvas: Canvas) -> tuple[str, tuple[str | int, ...]]:
        """A prompt, and the answer's text as literals and cell numbers; each cell occurs once."""


def once_per_draft(examine: Callable[[Any, Any, Tokens], Result]) -> Callable[[Any, Any, Tokens], Result]:
    """Decorate a task's method (problem, tokens) to remember its result, so that a draft is examined once.

    For a method that both ``verify`` and ``check`` call. Each task object remembers its latest draft.
    """
    latest: WeakKeyDictionary[Any, tuple[Any, Tokens, Result]] = WeakKeyDictionary()

    @wraps(examine)
    def remembered(task: Any, problem: Any, tokens: Tokens) -> Result:
        entry = latest.get(task)
        if entry is None or entry[0] is not problem or not np.array_equal(entry[1], tokens):
            entry = latest[task] = problem, tokens.copy(), examine(task, problem, tokens)
        return entry[2]

    return remembered
