"""The evaluator's own judgement of an answer. Shares no code with the task's checks: it must not mark its own homework."""

from __future__ import annotations

from math import isqrt


def sudoku(puzzle: str, answer: str, clues: bool = True) -> bool:
    """Whether ``answer`` (a string of digits) fills rows, columns and boxes, and keeps the ``puzzle``'s ``clues``."""
    n = isqrt(len(answer))
    box = isqrt(n)
    digits = set("123456789"[:n])
    rows = [answer[r * n : r * n + n] for r in range(n)]
    columns = ["".join(row[c] for row in rows) for c in range(n)]
    boxes = [
        "".join(rows[r + i][c : c + box] for i in range(box))
        for r in range(0, n, box)
        for c in range(0, n, box)
    ]
    filled = len(answer) == n * n and all(set(group) == digits for group in rows + columns + boxes)
    return filled and (not clues or all(p in ".0" or p == a for p, a in zip(puzzle, answer, strict=True)))
