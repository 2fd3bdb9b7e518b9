"""Draw the README's picture: ``python -m solver.pictures board.gif`` (or .png, .svg, .pdf for a filmstrip)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from solver.files import replacing
from solver.loop.refine import refine
from solver.loop.trace import Budget, Step
from solver.models.checkpoint import load
from solver.pictures.boards import animate, filmstrip
from solver.pictures.marks import StepRecord
from solver.tasks.sudoku import layout, text
from solver.tasks.sudoku.task import Sudoku, SudokuTask

BUNDLED = Path(text.__file__).parent / "puzzles.txt"


def instructive_run(denoiser: str) -> Sequence[StepRecord]:
    """Steps of the first bundled 9x9 puzzle that takes ``denoiser`` four to twelve forwards, or of the first one."""
    task = SudokuTask(layout.standard(9))
    model = load(denoiser, task)
    runs: list[list[StepRecord]] = []
    for puzzle in text.read_file(BUNDLED):
        if not isinstance(puzzle, text.Puzzle) or puzzle.digits != 9:
            continue
        events = refine(task, Sudoku(puzzle.grid), model, budget=Budget(forwards=12))
        runs.append([event.to_json() for event in events if isinstance(event, Step)])
        if len(runs[-1]) >= 4 and runs[-1][-1]["solved"]:
            return runs[-1]
    return runs[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m solver.pictures", description="draw the README's picture"
    )
    parser.add_argument("picture", metavar="FILE", help="output: .gif for an animation; .png, .svg or .pdf")
    parser.add_argument(
        "--denoiser", default="compact", metavar="NAME", help="compact, random, prior or a folder"
    )
    arguments = parser.parse_args()
    steps = instructive_run(arguments.denoiser)
    with replacing(Path(arguments.picture)) as path:
        if path.suffix == ".gif":
            animate(steps, 9, path)
        else:
            filmstrip(steps, 9).savefig(path, dpi=120)


if __name__ == "__main__":
    main()
