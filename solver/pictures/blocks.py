"""Drafts of a JSON text or of the holes of a code edit, one below the other.

text_strip(steps).savefig("json.png")            # steps of a run on JsonTask
code_strip(problem, steps).savefig("code.png")   # steps of a run on CodeTask
"""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from solver.pictures.marks import GREY, INK, CellMarks, StepRecord, first_and_last, hatch, shade, underline
from solver.tasks.code_edit.task import EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.languages.projection import BLANK

BLANK_MARK = "·"
MARKER_SYMBOLS = {"newline": "⏎", "indent": "⇥", "dedent": "⇤"}
TEXT_LEGEND = (
    "grey: given   blue to orange: sure to unsure   underlined: accepted   striped: re-masked   dot: blank"
)
CODE_LEGEND = "blue to orange: sure to unsure   underlined: accepted   striped: re-masked   dot: blank   ⇥ ⏎: indent, line end"


def text_strip(steps: Sequence[StepRecord], width: int = 64, most: int = 6) -> Figure:
    """Draw the first ``most - 1`` drafts and the last, in lines of ``width`` bytes."""
    lines = -(-len(steps[0]["draft"]) // width)
    inches = (0.155 * width, 0.25 * lines)
    return _strip(steps, lambda axes, step: draw_text(axes, step, width, lines), inches, TEXT_LEGEND, most)


def code_strip(problem: EditProblem, steps: Sequence[StepRecord], width: int = 96, most: int = 6) -> Figure:
    """Draw the first ``most - 1`` drafts of the holes and the last, one row per hole, ``width`` characters wide."""
    inches = (0.1 * width, 0.3 * len(problem.window.slots))
    return _strip(steps, lambda axes, step: draw_holes(axes, problem, step, width), inches, CODE_LEGEND, most)


def _strip(
    steps: Sequence[StepRecord],
    draw: Callable[[Axes, StepRecord], None],
    inches: tuple[float, float],
    legend: str,
    most: int,
) -> Figure:
    """Draw steps below each other, each of ``inches`` (width, height)."""
    drawn = first_and_last(steps, most)
    figure = Figure(figsize=(inches[0] + 0.4, (inches[1] + 0.4) * len(drawn) + 0.4), layout="constrained")
    for axes, step in zip(figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn, strict=True):
        draw(axes, step)
    figure.supxlabel(legend, fontsize=8.5, color=GREY)
    return figure


def _draw_title(axes: Axes, step: StepRecord, solved: str) -> None:
    outcome = f"{len(step['accepted'])} cells accepted"
    if step["solved"]:
        outcome = solved
    elif step["violations"]:
        outcome = step["violations"][0]["message"]
    axes.set_title(f"forward {step['step'] + 1}: {outcome[:90]}", fontsize=9, loc="left", color=INK)
    axes.axis("off")


def draw_text(axes: Axes, step: StepRecord, width: int, lines: int) -> None:
    """Draw one draft of bytes: pinned ones grey, the others shaded by confidence."""
    marks = CellMarks.of_step(step)
    for cell, token in enumerate(step["draft"]):
        y, x = divmod(cell, width)
        shade(axes, x, y, 1, 1, None if cell in marks.pinned else step["confidence"][cell])
        if cell in marks.remasked:
            hatch(axes, x, y)
        if cell in marks.accepted:
            underline(axes, x, y + 0.93, 1)
        text = BLANK_MARK if token == BLANK else chr(token) if 32 <= token < 127 else "?"
        _draw_token(axes, x + 0.5, y + 0.55, text, marks, cell)
    axes.set(xlim=(0, width), ylim=(lines, 0))
    _draw_title(axes, step, "valid")


def draw_holes(axes: Axes, problem: EditProblem, step: StepRecord, width: int) -> None:
    """Draw one draft: a row per hole and a box per token."""
    marks = CellMarks.of_step(step)
    for row, (start, capacity) in enumerate(problem.window.slots):
        x = 4.0
        axes.text(0.2, row + 0.5, str(row + 1), va="center", fontsize=8, color=GREY)
        for cell in range(start, start + capacity):
            text = token_text(step["draft"][cell])
            size = len(text) + 0.8
            if x + size > width:
                axes.text(x, row + 0.5, "…", va="center", fontsize=8, color=GREY)
                break
            shade(axes, x, row + 0.08, size, 0.84, step["confidence"][cell])
            if cell in marks.remasked:
                hatch(axes, x, row + 0.08, size, 0.84)
            if cell in marks.accepted:
                underline(axes, x, row + 0.9, size)
            _draw_token(axes, x + size / 2, row + 0.5, text, marks, cell)
            x += size + 0.25
    axes.set(xlim=(0, width), ylim=(len(problem.window.slots), 0))
    _draw_title(axes, step, "compiles")


def _draw_token(axes: Axes, x: float, y: float, text: str, marks: CellMarks, cell: int) -> None:
    style = {"color": GREY} if text == BLANK_MARK else marks.text_style(cell)
    axes.text(x, y, text, ha="center", va="center", fontsize=8, family="monospace", **style)


def token_text(token: int) -> str:
    vocabulary = Vocabulary.load()
    if token == vocabulary.blank:
        return BLANK_MARK
    if token in vocabulary.markers:
        return MARKER_SYMBOLS.get(vocabulary.markers[token], vocabulary.markers[token])
    return vocabulary.display(token).replace(" ", "␣").replace("\n", "⏎") or "?"
