"""Sudoku puzzle files: reading, the reserved tenth, near neighbours, symmetries.

Every development file keeps a hashed tenth for testing (``sha256(line) % 10 == 0``). Nothing is trained on a reserved line,
nor on its near neighbours (equal to it up to a symmetry, or within six clues of it). :func:`training_lines` does both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.tasks.data import is_reserved

Int8 = NDArray[np.int8]
NEAR = 6  # clues


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a text file."""
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]


def to_grid(lines: list[str]) -> Int8:
    """81-character lines (further columns ignored) as digits (N, 81), 0 for blank."""
    if not lines:
        return np.zeros((0, 81), np.int8)
    codes = np.array([list(line[:81].encode()) for line in lines], np.int16) - ord("0")
    return np.where((codes >= 1) & (codes <= 9), codes, 0).astype(np.int8)


def random_symmetry(rng: np.random.Generator, box: int = 3) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A random symmetry of the standard layout: ``(cells, digits)`` with ``new = digits[old[cells]]``, digits[0] = 0."""
    n = box * box

    def axis() -> NDArray[np.int64]:
        return np.concatenate([band * box + rng.permutation(box) for band in rng.permutation(box)])

    cells = (axis()[:, None] * n + axis()[None, :]).astype(np.int64)
    if rng.random() < 0.5:
        cells = cells.T
    return cells.reshape(-1), np.concatenate([[0], 1 + rng.permutation(n)]).astype(np.int64)


def signature(puzzles: Int8) -> NDArray[np.uint64]:
    """A number a puzzle (N,) that no symmetry changes. Two different puzzles may share one; no two symmetric ones differ.

    Colour refinement on the clues: each clue's colour is hashed with the colours in its row and column (in either order,
    which covers the transpose), its box, its band and stack, and with those of the same digit.
    """
    cell = np.arange(81)
    row, column = cell // 9, cell % 9
    box = row // 3 * 3 + column // 3
    given = (puzzles > 0).astype(np.uint64)

    def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        return (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)

    def pool(colour: NDArray[np.uint64], group: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
        sums = np.stack([colour[:, group == g].sum(1, dtype=np.uint64) for g in range(count)], 1)
        return mix(sums)[:, group]

    colour = given.copy()
    for _ in range(4):
        lines = mix(pool(colour, row, 9) + mix(pool(colour, row // 3, 3))) + mix(
            pool(colour, column, 9) + mix(pool(colour, column // 3, 3))
        )
        same = np.zeros_like(colour)
        for digit in range(1, 10):
            held = (puzzles == digit).astype(np.uint64)
            same += held * mix((held * colour).sum(1, dtype=np.uint64))[:, None]
        colour = given * mix(
            mix(colour) + lines + mix(pool(colour, box, 9)) * np.uint64(3) + same * np.uint64(5)
        )
    return mix(colour.sum(1, dtype=np.uint64))


def near_neighbours(puzzles: Int8, reserved: Int8) -> NDArray[np.bool_]:
    """(N,) bool: equal to one of ``reserved`` up to a symmetry, or with at most six clues that it lacks or has besides."""
    import torch  # only for its matrix product

    hit = np.isin(signature(puzzles), signature(reserved))

    def one_hot(grids: Int8) -> torch.Tensor:
        t = torch.from_numpy(grids).long()
        return torch.nn.functional.one_hot(t, 10)[..., 1:].flatten(1).float()

    theirs, count = one_hot(reserved), torch.from_numpy((reserved > 0).sum(1))
    for at in range(0, len(puzzles), 2048):
        part = puzzles[at : at + 2048]
        common = one_hot(part) @ theirs.t()
        apart = torch.maximum(torch.from_numpy((part > 0).sum(1))[:, None], count[None, :]) - common
        hit[at : at + 2048] |= (apart <= NEAR).any(1).numpy()
    return hit


def training_lines(folder: Path, names: tuple[str, ...]) -> dict[str, Int8]:
    """The puzzles of ``folder``'s files that may be trained on, by file name; reserved ones of *all* files are kept away."""
    reserved: list[str] = []
    for path in sorted(folder.glob("*.txt")):
        reserved += [line for line in read_lines(path) if is_reserved(line)]
    kept = {}
    for name in names:
        path = folder / f"{name}.txt"
        if path.is_file():
            grids = to_grid([line for line in read_lines(path) if not is_reserved(line)])
            kept[name] = grids[~near_neighbours(grids, to_grid(reserved))]
    return kept
