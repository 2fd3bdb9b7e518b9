"""Sudoku puzzle files: reading, the reserved tenth, near neighbours and symmetries.

>>> to_grid(["53..7...." + 72 * "."])[0, :9].tolist()
[5, 3, 0, 0, 7, 0, 0, 0, 0]

Every development file keeps a tenth of its lines for testing, chosen by hash. Nothing is trained on a
reserved line or on a near neighbour of one: a puzzle that a symmetry maps to it, or that differs from it in
at most six clues. :func:`training_lines` leaves both out.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.tasks.data import is_reserved

Int8 = NDArray[np.int8]
UInt64 = NDArray[np.uint64]
MAX_NEIGHBOUR_CLUES = 6  # clues in which near neighbours differ, at most
CHUNK = 2048  # puzzles that are compared at once


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
    """Draw a symmetry of the standard layout: ``(cells, digits)``, so that ``new = digits[old[cells]]``."""
    side = box * box

    def permuted_lines() -> NDArray[np.int64]:
        return np.concatenate([band * box + rng.permutation(box) for band in rng.permutation(box)])

    cells = (permuted_lines()[:, None] * side + permuted_lines()[None, :]).astype(np.int64)
    if rng.random() < 0.5:
        cells = cells.T
    return cells.reshape(-1), np.concatenate([[0], 1 + rng.permutation(side)]).astype(np.int64)


def symmetry_signature(puzzles: Int8) -> UInt64:
    """A number (N,) per puzzle (N, 81) that no symmetry changes. Different puzzles may share a number.

    Colour refinement on the clues: each clue's colour is hashed with the colours in its row and column (in
    either order, which covers the transpose), its box, its band and stack, and with those of the same digit.
    """
    cell = np.arange(81)
    row, column = cell // 9, cell % 9
    box = row // 3 * 3 + column // 3
    given = (puzzles > 0).astype(np.uint64)

    def mix(x: UInt64) -> UInt64:
        x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        return (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)

    def pool(colour: UInt64, group: NDArray[np.int64], count: int) -> UInt64:
        sums = [colour[:, group == number].sum(1, dtype=np.uint64) for number in range(count)]
        return mix(np.stack(sums, 1))[:, group]

    colour = given.copy()
    for _ in range(4):
        rows = mix(pool(colour, row, 9) + mix(pool(colour, row // 3, 3)))
        columns = mix(pool(colour, column, 9) + mix(pool(colour, column // 3, 3)))
        same_digit = np.zeros_like(colour)
        for digit in range(1, 10):
            has_digit = (puzzles == digit).astype(np.uint64)
            same_digit += has_digit * mix((has_digit * colour).sum(1, dtype=np.uint64))[:, None]
        boxes = mix(pool(colour, box, 9)) * np.uint64(3)
        colour = given * mix(mix(colour) + rows + columns + boxes + same_digit * np.uint64(5))
    return mix(colour.sum(1, dtype=np.uint64))


def near_neighbours(puzzles: Int8, reserved: Int8) -> NDArray[np.bool_]:
    """Whether each puzzle (N, 81) is a near neighbour of a ``reserved`` one (M, 81)."""
    import torch  # only for its matrix product

    is_near = np.isin(symmetry_signature(puzzles), symmetry_signature(reserved))

    def one_hot(grids: Int8) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.from_numpy(grids).long(), 10)[..., 1:].flatten(1).float()

    reserved_hot, reserved_clues = one_hot(reserved), torch.from_numpy((reserved > 0).sum(1))
    for start in range(0, len(puzzles), CHUNK):
        part = puzzles[start : start + CHUNK]
        common = one_hot(part) @ reserved_hot.t()
        clues = torch.maximum(torch.from_numpy((part > 0).sum(1))[:, None], reserved_clues[None, :])
        is_near[start : start + CHUNK] |= (clues - common <= MAX_NEIGHBOUR_CLUES).any(1).numpy()
    return is_near


def training_lines(folder: Path, names: tuple[str, ...]) -> dict[str, Int8]:
    """The puzzles (N, 81) of some files of a folder that may be trained on, by name.

    Near neighbours of reserved lines of *all* files of the folder are left out.
    """
    files = sorted(folder.glob("*.txt"))
    reserved = to_grid([line for path in files for line in read_lines(path) if is_reserved(line)])
    puzzles = {}
    for name in names:
        path = folder / f"{name}.txt"
        if path.is_file():
            grids = to_grid([line for line in read_lines(path) if not is_reserved(line)])
            puzzles[name] = grids[~near_neighbours(grids, reserved)]
    return puzzles
