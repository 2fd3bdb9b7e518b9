"""The geometry of a Sudoku: which cells must differ, as relation ids.

>>> standard(9).name, standard(9).relations.shape  # rows, columns, 3x3 boxes
('9x9', (3, 81))
>>> standard(9, diagonal=True).relations.shape  # the two main diagonals are a relation each
(5, 81)
>>> jigsaw(np.repeat(np.arange(4), 4)).name  # any region ids instead of boxes
'4x4 jigsaw'

The checks, the denoisers and the exact solver read only the relation ids, so a variant is one more row of
them.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Cells, digits and the groups whose cells must all differ.

    Attributes:
        name: for people, such as "9x9 diagonal".
        digits: the number of digits; there are ``digits`` squared cells.
        relations: (R, cells), the group of each cell in each relation (row, column, box, ...), -1 for none.
        units: (U, digits), the cells of each group.
        peers: (cells, P), the cells that share a group with each cell, padded with -1.
    """

    name: str
    digits: int
    relations: Int64
    units: Int64
    peers: Int64

    @property
    def cells(self) -> int:
        return self.digits * self.digits


def from_relations(name: str, digits: int, relations: Int64) -> Layout:
    """A layout from its relation ids (R, digits²).

    Raises ValueError for another shape, and if a group does not have ``digits`` cells.
    """
    cells = digits * digits
    if relations.ndim != 2 or not len(relations) or relations.shape[1] != cells:
        raise ValueError(f"relations of shape {relations.shape}, not (R, {cells})")
    relations = np.array(relations, np.int64)  # the caller keeps its own
    units = []
    for row in relations:
        for group in sorted(set(row.tolist()) - {-1}):
            members = np.flatnonzero(row == group)
            if len(members) != digits:
                raise ValueError(f"group {group} has {len(members)} cells, not {digits}")
            units.append(members)
    neighbours = [
        sorted({int(peer) for unit in units if cell in unit for peer in unit} - {cell})
        for cell in range(cells)
    ]
    peers = np.full((cells, max(map(len, neighbours))), -1, np.int64)
    for cell, cell_peers in enumerate(neighbours):
        peers[cell, : len(cell_peers)] = cell_peers
    for array in (relations, peers):
        array.setflags(write=False)  # shared by every canvas
    return Layout(name, digits, relations, np.array(units, np.int64), peers)


@lru_cache(maxsize=16)  # finding the peers is slow, and many modules ask for the same layout
def standard(digits: int, diagonal: bool = False) -> Layout:
    """Rows, columns and square boxes; with ``diagonal`` both main diagonals too (one relation each:

    they cross).
    """
    box = isqrt(digits)
    if box * box != digits or digits < 4:
        raise ValueError(f"{digits} is not a square of at least 4")
    cell = np.arange(digits * digits)
    row, column = cell // digits, cell % digits
    relations = [row, column, (row // box) * box + column // box]
    if diagonal:
        relations += [np.where(row == column, 0, -1), np.where(row + column == digits - 1, 0, -1)]
    name = f"{digits}x{digits}" + (" diagonal" if diagonal else "")
    return from_relations(name, digits, np.stack(relations).astype(np.int64))


def jigsaw(regions: Int64) -> Layout:
    """Rows, columns and irregular regions. ``regions`` (digits²,) holds the region id of each cell."""
    digits = isqrt(len(regions))
    if digits * digits != len(regions):
        raise ValueError(f"{len(regions)} regions do not fill a square grid")
    cell = np.arange(digits * digits)
    relations = np.stack([cell // digits, cell % digits, np.asarray(regions)]).astype(np.int64)
    return from_relations(f"{digits}x{digits} jigsaw", digits, relations)
