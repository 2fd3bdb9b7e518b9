"""The evaluator's own grading of Sudoku. It shares no code with the task's checks, which help the arms.

>>> is_solved_sudoku("1...............", "1234341221434321")
True
>>> is_solved_sudoku("2...............", "1234341221434321")
False
"""

from math import isqrt


def is_solved_sudoku(puzzle: str, answer: str, clues: bool = True) -> bool:
    """Whether ``answer`` (digits) fills rows, columns and boxes, and with ``clues`` keeps the puzzle's."""
    size = isqrt(len(answer))
    box = isqrt(size)
    digits = set("123456789"[:size])
    rows = [answer[row * size : row * size + size] for row in range(size)]
    columns = ["".join(row[column] for row in rows) for column in range(size)]
    boxes = [
        "".join(rows[top + row][left : left + box] for row in range(box))
        for top in range(0, size, box)
        for left in range(0, size, box)
    ]
    filled = len(answer) == size * size and all(set(group) == digits for group in rows + columns + boxes)
    if not filled or not clues:
        return filled
    return all(given in ".0" or given == digit for given, digit in zip(puzzle, answer, strict=True))
