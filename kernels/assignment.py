"""The cheapest assignment of columns to rows, by shortest augmenting paths (Jonker and Volgenant 1987).

>>> cheapest_assignment(np.array([[1.0, 2.0, 9.0], [1.0, 5.0, 9.0]])).tolist()
[1, 0]
"""

import numpy as np
from numpy.typing import NDArray

from solver.kernels.deadline import check_time


def cheapest_assignment(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a column for each row, all of them different, with the least sum of ``costs`` (N, K), N <= K."""
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)  # the row of each column
    for start in range(rows):
        check_time()
        distance, previous = (
            np.full(columns, np.inf),
            np.full(columns, -1),
        )  # of the shortest path to each column
        visited, row, column, length = np.zeros(columns, bool), start, -1, 0.0
        path_length = {start: 0.0}
        while row >= 0:
            through = length + costs[row] - row_price[row] - column_price
            closer = ~visited & (through < distance)
            distance[closer], previous[closer] = through[closer], column
            column = int(np.where(visited, np.inf, distance).argmin())
            length, visited[column] = float(distance[column]), True
            row = int(owner[column])
            if row >= 0:
                path_length[row] = length
        for used, at in path_length.items():
            row_price[used] += length - at
        column_price[visited] -= length - distance[visited]
        while column >= 0:  # each column of the path takes the row of the one before
            before = int(previous[column])
            owner[column] = start if before < 0 else owner[before]
            column = before
    assigned = np.empty(rows, np.int64)
    taken = np.flatnonzero(owner >= 0)
    assigned[owner[taken]] = taken
    return assigned
