"""The geometry of a Sudoku: which cells must differ, as relation ids.

    layout = standard(9)              # rows, columns, 3x3 boxes
    layout = standard(9, diagonal=True)
    layout = jigsaw(regions)          # any 81 (or 16, ...) region ids in place of boxes

Everything else (checks, denoiser, exact solver) reads the relation ids alone, so a variant is one more row in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Layout:
    """Cells, digits and the groups whose cells must all differ.

    digits: how many symbols (9); cells: digits squared (81).
    relations: (R, cells) int64, group id of each cell in each relation (row, column, box, ...), -1 for none.
    units: (U, digits) int64, the cells of each group.  peers: (cells, P) int64, cells sharing a group, padded with -1.
    """

    name: str
    digits: int
    relations: NDArray[np.int64]
    units: NDArray[np.int64]
    peers: NDArray[np.int64]

    @property
    def cells(self) -> int:
        return self.digits * self.digits


def from_relations(name: str, digits: int, relations: NDArray[np.int64]) -> Layout:
    """A layout from its relation ids (R, digits²).

    Raises ValueError for another shape, and where a group does not have ``digits`` cells.
    """
    if relations.ndim != 2 or not len(relations) or relations.shape[1] != digits * digits:
        raise ValueError(f"relations of shape {relations.shape}, not (R, {digits * digits})")
    relations = np.array(relations, np.int64)  # the caller keeps its own
    units = []
    for row in relations:
        for group in sorted(set(row.tolist()) - {-1}):
            members = np.flatnonzero(row == group)
            if len(members) != digits:
                raise ValueError(f"group {group} has {len(members)} cells, not {digits}")
            units.append(members)
    cells = digits * digits
    neighbours: list[list[int]] = [[] for _ in range(cells)]
    for cell in range(cells):
        found = {int(other) for unit in units if cell in unit for other in unit} - {cell}
        neighbours[cell] = sorted(found)
    width = max(len(found) for found in neighbours)
    peers = np.full((cells, width), -1, np.int64)
    for cell, found_list in enumerate(neighbours):
        peers[cell, : len(found_list)] = found_list
    for array in (relations, peers):
        array.setflags(write=False)  # shared by every canvas
    return Layout(name, digits, relations, np.array(units, np.int64), peers)


@lru_cache(maxsize=16)
def standard(digits: int, diagonal: bool = False) -> Layout:
    """Rows, columns and square boxes; with ``diagonal`` both main diagonals too (one relation each: they cross)."""
    box = isqrt(digits)
    if box * box != digits or digits < 4:
        raise ValueError(f"{digits} is not a square of at least 4")
    cell = np.arange(digits * digits)
    row, column = cell // digits, cell % digits
    relations = [row, column, (row // box) * box + column // box]
    if diagonal:
        relations.append(np.where(row == column, 0, -1))
        relations.append(np.where(row + column == digits - 1, 0, -1))
    name = f"{digits}x{digits}" + (" diagonal" if diagonal else "")
    return from_relations(name, digits, np.stack(relations).astype(np.int64))


def jigsaw(regions: NDArray[np.int64]) -> Layout:
    """Rows, columns and irregular regions; ``regions`` (digits²,) holds a region id a cell."""
    digits = isqrt(len(regions))
    if digits * digits != len(regions):
        raise ValueError(f"{len(regions)} regions do not fill a square grid")
    cell = np.arange(digits * digits)
    relations = np.stack([cell // digits, cell % digits, np.asarray(regions)]).astype(np.int64)
    return from_relations(f"{digits}x{digits} jigsaw", digits, relations)
