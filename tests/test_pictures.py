"""Pictures: every kind is drawn from the JSON of steps, with the marks that the steps ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip(
    "matplotlib", reason="pictures: matplotlib is not installed (pip install '.[notebooks]')"
)
matplotlib.use("Agg")

from matplotlib.figure import Figure  # noqa: E402  # only where matplotlib is there

from solver.api.fields import Field  # noqa: E402
from solver.loop.refine import refine  # noqa: E402
from solver.loop.trace import Step  # noqa: E402
from solver.models import controls  # noqa: E402
from solver.pictures import blocks, boards, curves, sources  # noqa: E402
from solver.tasks.code_edit.task import EditProblem  # noqa: E402
from solver.tasks.code_edit.vocabulary import Vocabulary  # noqa: E402
from solver.tasks.sudoku import layout  # noqa: E402
from solver.tasks.sudoku.task import Sudoku, SudokuTask  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FOUR = SudokuTask(layout.standard(4))
SOURCE = "def area(width, height):\n    size = width * height\n    return size\n"
PUZZLE, NO_SOLUTION = "1......2....3...", "123............4"


def steps(puzzle: str) -> list[dict[str, Any]]:
    """Steps as a trace file would bring them back."""
    grid = np.array([int(symbol) for symbol in puzzle.replace(".", "0")], np.int8)
    found = [event for event in refine(FOUR, Sudoku(grid), controls.random(4)) if isinstance(event, Step)]
    return [json.loads(json.dumps(step.to_json())) for step in found]


def words(figure: Figure) -> list[str]:
    """Every text of a figure, titles included, legends of lines not."""
    found = []
    for axes in figure.get_axes():
        found += [axes.get_title(loc) for loc in ("left", "center")] + [
            text.get_text() for text in axes.texts
        ]
    return [text for text in found if text]


def test_a_board_shows_every_digit_and_mark() -> None:
    step = steps(PUZZLE)[0] | {
        "accepted": [1],
        "remasked": [2, 3],
        "decision": [4, 0],
        "draft": [0, 1, 2, 3] * 4,
    }
    axes = Figure().subplots()
    boards.draw_board(axes, step, 4, "a title")
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3", "4"] * 4
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 2
    assert len(axes.patches) == 16 + 2 + 1 + 1  # cells, stripes, the accepted frame, the decided frame
    assert [text.get_fontweight() == "bold" for text in axes.texts] == [
        cell in step["pinned"] for cell in range(16)
    ]


def test_a_filmstrip_opens_with_the_problem_and_ends_with_the_last_step(tmp_path: Path) -> None:
    all_steps = steps(PUZZLE)
    assert len(all_steps) > 2
    figure = boards.filmstrip(all_steps, 4, most=2)
    titles = [text for text in words(figure) if "\n" in text]
    assert titles[0] == "the problem\n3 givens"
    assert (
        titles[-1] == f"forward {len(all_steps)} ({len(all_steps) - 2} not shown)\nevery check passes: solved"
    )
    assert len(titles) == 3
    figure.savefig(tmp_path / "strip.png")
    assert (tmp_path / "strip.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no step"):
        boards.filmstrip([], 4)


def test_an_animation_has_a_frame_for_the_problem_and_for_each_step(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures: pillow is not installed")
    all_steps = steps(PUZZLE)
    boards.animate(all_steps, 4, tmp_path / "run.gif", seconds=0.1)
    with image.open(tmp_path / "run.gif") as animation:
        # The writer merges equal frames, as the repeated last one.
        assert 1 + len(all_steps) <= animation.n_frames <= 3 + len(all_steps)


def test_a_grid_to_repair_is_shown_as_it_came() -> None:
    draft = [0, 1, 2, 3] * 4
    figure = boards.filmstrip(steps(PUZZLE)[:1], 4, draft=draft)
    first = figure.get_axes()[0]
    assert [text.get_text() for text in first.texts] == [str(token + 1) for token in draft]
    assert first.get_title("left") == "the grid\nto be repaired"


def test_curves_count_what_the_steps_say() -> None:
    all_steps = steps(PUZZLE)
    found = curves.counts(all_steps)
    assert found["violations"][-1] == found["remasked"][-1] == 0
    assert found["remasked"] == [len(step["remasked"]) for step in all_steps]
    assert all(3 <= sure <= 16 for sure in found["known"])
    figure = curves.curve(all_steps, "a title")
    drawn = [list(line.get_ydata()) for line in figure.get_axes()[1].lines]
    assert drawn[:2] == [found["remasked"], found["violations"]]


def test_a_comparison_says_who_did_not_solve_it() -> None:
    all_steps = steps(PUZZLE)
    text = words(curves.comparison({"one": all_steps, "other": all_steps[:1]}))
    assert f" {len(all_steps)}" in text
    assert " 1 (not solved)" in text


def test_a_proof_is_a_line_for_each_canvas_closed_by_a_violation() -> None:
    all_steps = steps(NO_SOLUTION)
    lines = curves.proof_lines(all_steps, 4)
    assert len(lines) == sum(step["refuted"] is not None for step in all_steps) >= 1
    assert all(": " in line and "because of r" in line for line in lines)


def test_the_rest_of_the_package_does_without_matplotlib() -> None:
    code = "import sys, solver.loop.refine, solver.cli.sudoku, solver.models.checkpoint; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_draft_against_its_decision_does_not_show_it_as_decided() -> None:
    step = steps(PUZZLE)[-1] | {"decision": [4, 3], "draft": [0, 1, 2, 3] * 4}
    assert boards.step_title(step, 4).endswith(": against the decision\nevery check passes: solved")


def test_a_film_of_code_shows_every_token_of_the_holes() -> None:
    at = SOURCE.index("width * height")
    edit = EditProblem.of(SOURCE, [(at, at + 14)], [6], 96)
    start, capacity = edit.window.slots[0]
    draft = edit.window.tokens.copy()
    draft[start : start + 6] = Vocabulary.load().blank
    draft[start] = edit.window.encode_fill(0, "width")[0]
    one = {
        "step": 0,
        "draft": draft.tolist(),
        "confidence": [0.5] * len(draft),
        "accepted": [start],
        "remasked": [start + 1],
    }
    figure = blocks.code_strip(
        edit, [{**one, "violations": [{"message": "it does not compile"}], "solved": False}] * 9, most=3
    )
    assert len(figure.axes) == 3
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("·") == capacity - 1
    assert "width".startswith(texts[1])
    assert figure.axes[0].get_title(loc="left") == "forward 1: it does not compile"


def test_a_field_and_its_source_have_one_colour() -> None:
    text = "Ann lives in a house at the very end of a long road that leads to New\nYork."
    start = text.index("New")
    fields = {
        "/name": Field("Ann", 0.9, span=(0, 3)),
        "/city": Field("New York", 0.5, span=(start, len(text) - 1)),
        "/age": Field(7, 0.1, missing=True),
        "/note": Field(None, 0.9, missing=True),
    }
    left, right = sources.sources(text, fields).axes

    def colours(axes: Any) -> list[Any]:
        return [patch.get_facecolor()[:3] for patch in axes.patches]

    name, city, age = colours(right)  # what was left out has no box
    assert colours(left) == [city, city, name]  # the longest first; it is in two lines
    assert len({name, city, age}) == 3
    doubtful = sources.sources(text, {"/name": Field("Ann", 0.1, span=(0, 3))}).axes[1]
    assert sum(colours(doubtful)[0]) > sum(name)  # less probable, so paler
    written = "".join(label.get_text() for label in left.texts)
    assert written.replace(" ", "") == text.replace(" ", "").replace("\n", "")
