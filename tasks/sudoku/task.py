"""Sudoku as a task: the digits of a row, of a column and of every other group of the layout must differ.

>>> from solver.tasks.sudoku.layout import standard
>>> task = SudokuTask(standard(4))
>>> problem = Sudoku(np.array([1, 1, 0, 0] + 12 * [0], np.int8))
>>> canvas = task.encode(problem)  # tokens are digits minus 1
>>> [violation.message for violation in task.check(problem, canvas.tokens, canvas.known)]
['row 1 has 1 twice', 'box 1 has 1 twice']
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solver.kernels import reference
from solver.tasks.sudoku.layout import Layout
from solver.tasks.task import Canvas, Implied, Mask, Tokens, Violation

Grid = NDArray[np.int8]
UNIT_NAMES = ("row", "column", "box", "diagonal")


@dataclass(frozen=True)
class Sudoku:
    """A puzzle.

    Attributes:
        grid: (cells,), digits from 1, 0 for blank.
        repair: whether the digits are a draft that may be changed, not clues.
    """

    grid: Grid
    repair: bool = False


class SudokuTask:
    """The task of :class:`Sudoku`. One object serves all puzzles of its layout."""

    name = "sudoku"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.vocab = layout.digits
        self.symbols = tuple(str(digit + 1) for digit in range(layout.digits))
        cells = layout.cells
        self._peers = np.zeros((cells, cells), bool)
        for cell in range(cells):
            peers = layout.peers[cell]
            self._peers[cell, peers[peers >= 0]] = True
        self._relations = torch.tensor(layout.relations)

    def encode(self, problem: Sudoku) -> Canvas:
        grid = np.asarray(problem.grid, np.int64)
        if grid.shape != (self.layout.cells,) or grid.min() < 0 or grid.max() > self.layout.digits:
            raise ValueError(
                f"a {self.layout.name} grid has {self.layout.cells} cells of 0..{self.layout.digits}"
            )
        known = grid > 0
        pinned = np.zeros_like(known) if problem.repair else known.copy()
        return Canvas(
            np.where(known, grid - 1, 0), pinned, known, self.vocab, relations=self.layout.relations
        )

    def decode(self, problem: Sudoku, tokens: Tokens) -> str:
        return "".join(str(token + 1) for token in tokens)

    def words(self, canvas: Canvas) -> tuple[str, tuple[str | int, ...]]:
        """A prompt in English, and the answer as lines of digits, with cell numbers for the digits."""
        side = self.layout.digits
        symbols = [
            self.symbols[token] if known else "."
            for token, known in zip(canvas.tokens, canvas.known, strict=True)
        ]
        lines = ["".join(symbols[row * side : (row + 1) * side]) for row in range(side)]
        groups = f"each row, each column and each {'region' if 'jigsaw' in self.layout.name else 'box'}"
        groups += " and both main diagonals" if "diagonal" in self.layout.name else ""
        is_draft = (canvas.known & ~canvas.pinned).any()
        request = (
            "Correct this Sudoku, some digits of which are wrong"
            if is_draft
            else "Solve this Sudoku (a point is a blank cell)"
        )
        prompt = f"{request}: {groups} holds every digit from 1 to {side} once. "
        prompt += f"Answer with the {side} lines of digits alone.\n\n"
        parts: list[str | int] = []
        for row in range(side):
            parts += [*(["\n"] if row else []), *range(row * side, (row + 1) * side)]
        return prompt + "\n".join(lines), tuple(parts)

    def verify(self, problem: Sudoku, tokens: Tokens) -> bool:
        """Whether every unit holds every digit, and no clue is changed."""
        if tokens.min() < 0 or tokens.max() >= self.vocab:
            return False
        bits = np.bitwise_or.reduce((1 << tokens)[self.layout.units], axis=1)
        clues = np.asarray(problem.grid, np.int64) - 1
        keeps_clues = problem.repair or bool((tokens == clues)[clues >= 0].all())
        return keeps_clues and bool((bits == (1 << self.vocab) - 1).all())

    def check(self, problem: Sudoku, tokens: Tokens, known: Mask) -> list[Violation]:
        """Find direct conflicts:

        equal tokens in a group, and open cells for which known peers hold every digit.
        """
        one_hot = known[:, None] & (tokens[:, None] == np.arange(self.vocab))  # (L, V)
        violations = []
        clues = np.zeros_like(known) if problem.repair else np.asarray(problem.grid) > 0
        counts = one_hot[self.layout.units].sum(1)  # (U, V)
        for unit, token in np.argwhere(counts > 1):
            cells = self.layout.units[unit]
            twice = cells[one_hot[cells, token]]
            blamed = tuple(int(cell) for cell in twice if not clues[cell]) or tuple(map(int, twice))
            # Any two of the cells force the violation. A reason made of clues depends on no decision, so it
            # refutes more of the tree.
            reason = frozenset(
                int(cell) for cell in sorted(twice, key=lambda cell: (not clues[cell], cell))[:2]
            )
            message = f"{self._unit(int(unit))} has {token + 1} twice"
            violations.append(Violation(message, cells=blamed, rule="twice", reason=reason))
        if not known.all():
            peer_counts = self._peers.astype(np.float32) @ one_hot.astype(np.float32)
            for cell in np.flatnonzero(~known & (peer_counts > 0).all(1)):
                holders = self._peers[cell][:, None] & one_hot  # (L, V)
                # One holder per digit, clues first, because a reason made of clues refutes more of the tree.
                preferred = np.where(holders, 2.0 if problem.repair else 2.0 + clues[:, None], 0.0)
                reason = frozenset(map(int, preferred.argmax(0)))
                message = f"{self._cell(int(cell))} has no digit left"
                violations.append(
                    Violation(message, cells=tuple(sorted(reason)), rule="empty", reason=reason)
                )
        return violations

    def eliminate(self, canvases: Sequence[Canvas], tokens: Tokens, known: Mask) -> NDArray[np.int32]:
        """Bitmask (B, L, 1) of the digits that no known peer of a cell holds."""
        cells, given = torch.from_numpy(tokens), torch.from_numpy(known)
        kernels = reference.choose(cells)
        allowed: NDArray[np.int32] = kernels.all_different(cells, given, self._relations, self.vocab).numpy()
        return allowed

    def explain(
        self, problem: Sudoku, tokens: Tokens, known: Mask, cell: int, token: int
    ) -> frozenset[int] | None:
        """A known peer that holds ``token``, preferably a clue."""
        holders = np.flatnonzero(self._peers[cell] & known & (tokens == token))
        if not len(holders):
            return None
        clues = holders if problem.repair else holders[np.asarray(problem.grid)[holders] > 0]
        return frozenset({int(clues[0] if len(clues) else holders[0])})

    def infer(self, problem: Sudoku, tokens: Tokens, known: Mask) -> list[Implied | Violation]:
        """Find naked and hidden singles, and units without a place for a digit, in one pass."""
        one_hot = known[:, None] & (tokens[:, None] == np.arange(self.vocab))
        taken = (self._peers.astype(np.float32) @ one_hot.astype(np.float32)) > 0  # (L, V)
        free = ~taken & ~known[:, None]
        results: list[Implied | Violation] = []

        def excluding_cell(cell: int, token: int) -> int:
            return cell if known[cell] else int(np.argmax(self._peers[cell] & one_hot[:, token]))

        for cell in np.flatnonzero(free.sum(1) == 1):
            token = int(free[cell].argmax())
            reason = frozenset(
                excluding_cell(int(cell), other_token)
                for other_token in range(self.vocab)
                if other_token != token
            )
            results.append(Implied(int(cell), token, reason))
        places = free[self.layout.units].sum(1)  # (U, V)
        has_token = one_hot[self.layout.units].any(1)
        for unit, token in np.argwhere((places <= 1) & ~has_token):
            cells = self.layout.units[unit]
            open_places = [int(cell) for cell in cells if free[cell, token]]
            excluded = [int(cell) for cell in cells if not free[cell, token]]
            reason = frozenset(excluding_cell(cell, int(token)) for cell in excluded)
            if open_places:
                results.append(Implied(open_places[0], int(token), reason))
            else:
                message = f"{self._unit(int(unit))} has no place for {token + 1}"
                results.append(
                    Violation(message, cells=tuple(sorted(reason)), rule="no place", reason=reason)
                )
        return results

    def _unit(self, unit: int) -> str:
        kind, number = divmod(unit, self.layout.digits)
        name = UNIT_NAMES[kind] if kind < len(UNIT_NAMES) else "group"
        if name == "box" and "jigsaw" in self.layout.name:
            name = "region"
        return f"{name} {number + 1}"

    def _cell(self, cell: int) -> str:
        return f"r{cell // self.layout.digits + 1}c{cell % self.layout.digits + 1}"
