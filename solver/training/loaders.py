"""Data loaders: batches drawn from prepared examples, again and again, with some cells hidden or wrong.

Prepared examples are a flat table of arrays, so that they can be saved and read without pickle. Where they
come in several sizes, the columns of each size are prefixed with it.

>>> examples = {"8.tokens": np.zeros((3, 8)), "16.tokens": np.zeros((1, 16))}
>>> {size: len(columns["tokens"]) for size, columns in columns_by_size(examples).items()}
{(8,): 3, (16,): 1}

A model that only saw correct visible tokens would never learn to doubt one, so a share of the visible cells
of a text is wrong:

>>> truth = np.array([[1, 2, 3, 0]])
>>> pinned, visible, rng = truth == 1, truth == 2, np.random.default_rng(0)
>>> keep_none = lambda: np.zeros((1, 1), bool)
>>> _, status, weight = corrupt_cells(truth, pinned, visible, lambda: truth + 5, keep_none, 0, 0.2, rng)
>>> status
array([[1, 2, 0, 0]])

Shapes: B rows, L cells.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from solver.files import replacing
from solver.models.blocks import KNOWN, OPEN, PINNED

Examples = dict[str, NDArray[Any]]
Facts = dict[str, Any]
Size = tuple[int, ...]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Corrupted = tuple[Ints, Ints, NDArray[np.float32]]
Report = Callable[[int, int], None]  # takes the number of examples so far, and in all
WRONG_SHARE = 0.12  # of the visible cells
VISIBLE_WEIGHT = 0.1  # loss weight of a visible cell that is right


def save_examples(examples: Examples, path: Path) -> None:
    """Write examples by way of a temporary file, so that an interrupted write leaves no damaged file."""
    with replacing(path) as temporary:
        np.savez(temporary, **examples)  # type: ignore[arg-type]  # numpy's stub takes the names for options


def load_examples(path: Path) -> Examples:
    """Read what :func:`save_examples` wrote. Raises ValueError where the file is damaged or another."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive}
    except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError, BadZipFile) as error:
        raise ValueError(f"{path}: not the examples of a run; without it they are made again") from error


def examples_digest(examples: Examples) -> str:
    total = sha256()
    for name in sorted(examples):
        total.update(name.encode() + np.ascontiguousarray(examples[name]).tobytes())
    return total.hexdigest()


def columns_by_size(examples: Examples) -> dict[Size, Examples]:
    """The columns of each size. Size (64, 96) has the prefix "64+96."."""
    columns: dict[Size, Examples] = {}
    for name, column in examples.items():
        size, dot, field = name.partition(".")
        if dot:
            columns.setdefault(tuple(map(int, size.split("+"))), {})[field] = column
    return columns


def stack_examples(rows: Mapping[Size, Sequence[Examples]]) -> Examples:
    """The examples whose columns :func:`columns_by_size` returns, made of parts (N, ...) of each size."""
    return {
        f"{'+'.join(map(str, size))}.{field}": np.concatenate([part[field] for part in parts])
        for size, parts in sorted(rows.items())
        for field in parts[0]
    }


class Loader(ABC):
    """Draws batches. A run resumes bit for bit from what ``state`` returns.

    Attributes:
        rng: the generator of everything that is drawn.
        sizes: number of examples of each source or size.
    """

    def __init__(self, examples: Examples, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self.rng, self.sizes, self.digest = rng, list(sizes), examples_digest(examples)

    @abstractmethod
    def next(self) -> tuple[Tensor, ...]:
        """The next batch."""

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Tensors and JSON values that the next batch depends on."""
        return {}, {"rng": self.rng.bit_generator.state, "examples": self.digest}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """The inverse of :meth:`state`. Raises ValueError if the run began with other examples."""
        if facts["examples"] != self.digest:
            raise ValueError("the training data is not what this run began with; resume with the same --data")
        self.rng.bit_generator.state = facts["rng"]


class SizedLoader(Loader):
    """Draws batches of examples of one size each, so that little is padded.

    Args:
        examples: with a size in each column's name.
        rows: rows of a batch of the standard size.
        standard: cells of the standard size; larger examples come in smaller batches.
        fewest: rows of a batch at least.
        rng: the generator of the batches.
    """

    def __init__(
        self,
        examples: Examples,
        rows: int,
        standard: int,
        fewest: int,
        rng: np.random.Generator,
    ) -> None:
        self.columns = columns_by_size(examples)
        self.keys = sorted(self.columns)
        counts = [len(next(iter(self.columns[key].values()))) for key in self.keys]
        super().__init__(examples, rng, counts)
        self.shares = np.array(counts, float) / sum(counts)
        self.cells, self.fewest = rows * standard, fewest

    def draw(self) -> Examples:
        index = int(self.rng.choice(len(self.keys), p=self.shares))
        key = self.keys[index]
        rows = max(self.fewest, self.cells // sum(key))
        drawn = self.rng.integers(0, self.sizes[index], rows)
        return {name: column[drawn] for name, column in self.columns[key].items()}


def corrupt_cells(
    truth: Ints,
    pinned: Mask,
    visible: Mask,
    draw_wrong: Callable[[], Ints],
    draw_given: Callable[[], Mask],
    blank: int,
    blank_weight: float,
    rng: np.random.Generator,
) -> Corrupted:
    """Make some visible cells wrong and pin others.

    Args:
        truth: true tokens (B, L).
        pinned: cells that keep their token and have no loss, (B, L).
        visible: further cells that are shown, (B, L).
        draw_wrong: draws the tokens (B, L) from which those of wrong cells are taken.
        draw_given: draws in which rows (B, 1) the visible cells that are right count as pinned.
        blank: token id of BLANK.
        blank_weight: loss weight of hidden cells whose token is BLANK; that of other hidden cells is 1.
        rng: draws which visible cells are wrong.

    Returns:
        tokens, status and loss weights, (B, L) each.
    """
    wrong = visible & (rng.random(truth.shape) < WRONG_SHARE)
    wrong_tokens = draw_wrong()
    given = visible & ~wrong & draw_given()
    status = np.where(pinned | given, PINNED, np.where(visible, KNOWN, OPEN))
    hidden_weight = np.where(truth == blank, blank_weight, 1.0)
    weight = np.where(visible & ~wrong, VISIBLE_WEIGHT, hidden_weight)
    weight = np.where(pinned | given, 0.0, weight)
    return np.where(wrong, wrong_tokens, truth), status, weight.astype(np.float32)


def shift_right(truth: Ints, first: int) -> tuple[Ints, Ints]:
    """The input of a left-to-right network: the token before each cell, ``first`` at the start; status."""
    start = np.full((len(truth), 1), first)
    return np.concatenate([start, truth[:, :-1]], 1), np.full_like(truth, KNOWN)
