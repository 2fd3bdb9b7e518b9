"""Sudoku as a task: digits that must differ within rows, columns and the layout's other groups.

task = SudokuTask(layout.standard(9))
canvas = task.encode(grid)            # grid (81,), digits 1..9 and 0 for blank; tokens are digit - 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solver.kernels import dispatch
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.sudoku.layout import Layout
from solver.tasks.task import Implied, Violation

Grid = NDArray[np.int8]
NAMES = ("row", "column", "box", "diagonal", "diagonal")


@dataclass(frozen=True)
class Sudoku:
    """A problem: ``grid`` (cells,), 0 for blank; with ``repair`` its digits are a draft, not clues."""

    grid: Grid
    repair: bool = False


class SudokuTask:
    """See the module. One object serves all puzzles of its layout."""

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
        """The puzzle as a request in English, and the answer as lines of digits."""
        side = self.layout.digits
        shown = [
            self.symbols[token] if known else "."
            for token, known in zip(canvas.tokens, canvas.known, strict=True)
        ]
        lines = ["".join(shown[row * side : (row + 1) * side]) for row in range(side)]
        groups = f"each row, each column and each {'region' if 'jigsaw' in self.layout.name else 'box'}"
        groups += " and both main diagonals" if "diagonal" in self.layout.name else ""
        draft = bool((canvas.known & ~canvas.pinned).any())
        told = (
            "Correct this Sudoku, some digits of which are wrong"
            if draft
            else "Solve this Sudoku (a point is a blank cell)"
        )
        prompt = f"{told}: {groups} holds every digit from 1 to {side} once. Answer with the {side} lines of digits alone.\n\n"
        parts: list[str | int] = []
        for row in range(side):
            parts.extend(["\n"] if row else [])
            parts.extend(range(row * side, (row + 1) * side))
        return prompt + "\n".join(lines), tuple(parts)

    def verify(self, problem: Sudoku, tokens: Tokens) -> bool:
        """Whether every unit contains every digit, and every clue is unchanged."""
        if tokens.min() < 0 or tokens.max() >= self.vocab:
            return False
        bits = np.bitwise_or.reduce((1 << tokens)[self.layout.units], axis=1)
        clues = np.asarray(problem.grid, np.int64) - 1
        kept = problem.repair or bool((tokens == clues)[clues >= 0].all())
        return kept and bool((bits == (1 << self.vocab) - 1).all())

    def check(self, problem: Sudoku, tokens: Tokens, known: Mask) -> list[Violation]:
        """Direct conflicts only: equal tokens in a group, and open cells whose every digit a known peer holds."""
        one_hot = known[:, None] & (tokens[:, None] == np.arange(self.vocab))  # (L, V)
        found = []
        clues = np.zeros_like(known) if problem.repair else np.asarray(problem.grid) > 0
        counts = one_hot[self.layout.units].sum(1)  # (U, V)
        for unit, token in np.argwhere(counts > 1):
            cells = self.layout.units[unit]
            twice = cells[one_hot[cells, token]]
            blamed = tuple(int(c) for c in twice if not clues[c]) or tuple(int(c) for c in twice)
            # any two of them force it by themselves
            reason = frozenset(int(c) for c in sorted(twice, key=lambda c: (not clues[c], c))[:2])
            message = f"{self._unit(int(unit))} has {token + 1} twice"
            found.append(Violation(message, cells=blamed, rule="twice", reason=reason))
        if not known.all():
            reach = self._peers.astype(np.float32) @ one_hot.astype(np.float32)
            for cell in np.flatnonzero(~known & (reach > 0).all(1)):
                holders = self._peers[cell][:, None] & one_hot  # (L, V)
                # one holder a digit, clues first: the weaker the reason, the more it prunes
                preferred = np.where(holders, 2.0 if problem.repair else 2.0 + clues[:, None], 0.0)
                reason = frozenset(int(c) for c in preferred.argmax(0))
                message = f"{self._cell(int(cell))} has no digit left"
                found.append(Violation(message, cells=tuple(sorted(reason)), rule="empty", reason=reason))
        return found

    def eliminate(self, canvases: Sequence[Canvas], tokens: Tokens, known: Mask) -> NDArray[np.int32]:
        """Bitmask (B, L, 1) of the digits that no known peer holds."""
        free: NDArray[np.int32] = dispatch.all_different(
            torch.from_numpy(tokens), torch.from_numpy(known), self._relations, self.vocab
        ).numpy()
        return free

    def explain(
        self, problem: Sudoku, tokens: Tokens, known: Mask, cell: int, token: int
    ) -> frozenset[int] | None:
        """One known peer that holds ``token``, a clue if there is one."""
        holders = np.flatnonzero(self._peers[cell] & known & (tokens == token))
        if not len(holders):
            return None
        clues = holders if problem.repair else holders[np.asarray(problem.grid)[holders] > 0]
        return frozenset({int(clues[0] if len(clues) else holders[0])})

    def infer(self, problem: Sudoku, tokens: Tokens, known: Mask) -> list[Implied | Violation]:
        """Naked and hidden singles, one pass; a unit with no place for a digit is a contradiction with its reason."""
        one_hot = known[:, None] & (tokens[:, None] == np.arange(self.vocab))
        taken = (self._peers.astype(np.float32) @ one_hot.astype(np.float32)) > 0  # (L, V)
        free = ~taken & ~known[:, None]
        found: list[Implied | Violation] = []

        def why_not(cell: int, token: int) -> int:
            """A known cell that keeps ``token`` out of ``cell``."""
            return cell if known[cell] else int(np.argmax(self._peers[cell] & one_hot[:, token]))

        for cell in np.flatnonzero(free.sum(1) == 1):
            token = int(free[cell].argmax())
            reason = frozenset(why_not(int(cell), t) for t in range(self.vocab) if t != token)
            found.append(Implied(int(cell), token, reason))
        places = free[self.layout.units].sum(1)  # (U, V)
        held = one_hot[self.layout.units].any(1)
        for unit, token in np.argwhere((places <= 1) & ~held):
            cells = self.layout.units[unit]
            at = [int(c) for c in cells if free[c, token]]
            reason = frozenset(why_not(int(c), int(token)) for c in cells if int(c) not in at)
            if at:
                found.append(Implied(at[0], int(token), reason))
            else:
                message = f"{self._unit(int(unit))} has no place for {token + 1}"
                found.append(Violation(message, cells=tuple(sorted(reason)), rule="no place", reason=reason))
        return found

    def _unit(self, unit: int) -> str:
        """A person's name for a unit: "row 3"."""
        kind, number = divmod(unit, self.layout.digits)
        name = NAMES[kind] if kind < len(NAMES) else "group"
        if name == "box" and "jigsaw" in self.layout.name:
            name = "region"
        return f"{name} {number + 1}"

    def _cell(self, cell: int) -> str:
        """A person's name for a cell: "r3c5"."""
        return f"r{cell // self.layout.digits + 1}c{cell % self.layout.digits + 1}"
