"""``python -m solver trace``: list the files whose functions solve one small problem.

Not to be confused with the option ``--trace``, which records the steps of a run.

>>> sorted(record_calls(lambda: is_import(None)))
[]
"""

import argparse
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import solver
from solver.cli import options
from solver.cli.watch import spinner

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "born": {"type": "integer"}},
    "required": ["name", "born"],
}
TEXT = "name: Ada Lovelace, born: 1815"
SOURCE = "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return 0\n"
HOLE = SOURCE.rindex("0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=("sudoku", "json", "code"), help="the task of the problem")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    problems: dict[str, Callable[[], object]] = {
        "sudoku": solve_sudoku,
        "json": lambda: solver.fill(SCHEMA, TEXT, length=64),
        "code": lambda: solver.edit(SOURCE, [(HOLE, HOLE + 1)]),
    }
    with spinner("solving", is_shown=True):
        options.limit_threads(1)
        functions = record_calls(problems[arguments.task])
    total = sum(map(len, functions.values()))
    if arguments.json:
        files = {name: sorted(names) for name, names in sorted(functions.items())}
        print(json.dumps({"task": arguments.task, "files": files, "functions": total}))
        return 0
    for name, names in sorted(functions.items()):
        print(f"{len(names):>4}  {name}")
    print(f"{len(functions)} files, {total} functions")
    return 0


def solve_sudoku() -> None:
    from solver.loop.refine import refine
    from solver.models.checkpoint import load
    from solver.tasks.sudoku import layout, text
    from solver.tasks.sudoku.task import Sudoku, SudokuTask

    task = SudokuTask(layout.standard(9))
    puzzle = Sudoku(text.parse_line(PUZZLE, "the puzzle").grid)
    *_, _ = refine(task, puzzle, load("compact", task))


def record_calls(work: Callable[[], object]) -> dict[str, set[str]]:
    """Run ``work`` and return the functions of this package that it called, by file; imports do not count."""
    functions = defaultdict[str, set[str]](set)
    files: dict[CodeType, str | None] = {}
    root = Path(solver.__file__).parent.parent

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code not in files:
            files[code] = package_file(frame, root)
        file = files[code]
        if event == "call" and file is not None and not is_import(frame):
            functions[file].add(code.co_qualname)
            files[code] = None  # listed once is enough

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return dict(functions)


def package_file(frame: FrameType, root: Path) -> str | None:
    """Return the file of a function relative to ``root``, None if it is not a function of this package."""
    module, file = frame.f_globals.get("__name__", ""), Path(frame.f_code.co_filename)
    if not module.startswith("solver.") or module.startswith("solver.cli.") or not file.is_relative_to(root):
        return None
    is_named = not frame.f_code.co_name.startswith(
        "<"
    )  # neither a module nor a lambda or a generator expression
    return file.relative_to(root).as_posix() if is_named else None


def is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
