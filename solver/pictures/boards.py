"""Sudoku boards: single steps, a filmstrip of a run, an animation.

steps = [event.to_json() for event in refine(task, problem, denoiser) if isinstance(event, Step)]
filmstrip(steps, digits=9).savefig("steps.png")
animate(steps, digits=9, path="steps.gif")
"""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from solver.pictures.marks import (
    CONFIDENCE,
    DEEP_BLUE,
    DEEP_ORANGE,
    INK,
    NEUTRAL,
    PALE,
    CellMarks,
    StepRecord,
    first_and_last,
    frame,
    hatch,
    shade,
)

BOARD_INCHES = 2.75
# A light box keeps the digit of a striped cell legible.
LABEL_BOX: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


def draw_board(axes: Axes, step: StepRecord, digits: int, title: str) -> None:
    """Draw one step's draft on a board of ``digits`` x ``digits`` cells.

    Givens are bold on grey, drafted digits are shaded by confidence. Accepted cells are outlined, re-masked ones are
    striped, the decided cell has a thick frame.
    """
    marks = CellMarks.of_step(step)
    decided = step["decision"][0] if keeps_decision(step) else None
    for cell, token in enumerate(step["draft"]):
        y, x = divmod(cell, digits)
        shade(axes, x, y, 1, 1, None if cell in marks.pinned else step["confidence"][cell])
        if cell in marks.remasked:
            hatch(axes, x, y)
        if cell in marks.accepted:
            frame(axes, x, y, 0.09, DEEP_BLUE, 1.1)
        if cell == decided:
            frame(axes, x, y, 0.05, INK, 2.6)
        if token >= 0:
            style = marks.text_style(cell)
            if cell in marks.remasked:
                style["bbox"] = LABEL_BOX
            size = min(20.0, 118 / digits)
            axes.text(x + 0.5, y + 0.53, str(token + 1), ha="center", va="center", fontsize=size, **style)
    # Thick lines between boxes, where the boxes are squares; a frame alone for jigsaw boards.
    box = isqrt(digits)
    for line in range(0, digits + 1, box if box * box == digits else digits):
        axes.plot([line, line], [0, digits], color=INK, linewidth=1.4, clip_on=False)
        axes.plot([0, digits], [line, line], color=INK, linewidth=1.4, clip_on=False)
    axes.set(xlim=(0, digits), ylim=(digits, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=5)


def keeps_decision(step: StepRecord) -> bool:
    return step["decision"] is not None and step["draft"][step["decision"][0]] == step["decision"][1]


def step_title(step: StepRecord, digits: int) -> str:
    top = f"forward {step['step'] + 1}"
    if keeps_decision(step):
        cell, token = step["decision"]
        top += f": decided r{cell // digits + 1}c{cell % digits + 1} = {token + 1}"
    elif step["decision"]:
        top += ": against the decision"
    if step["solved"]:
        return f"{top}\nevery check passes: solved"
    if step["refuted"]:
        return f"{top}\nclosed: {step['refuted']['message']}"
    return f"{top}\n{len(step['accepted'])} accepted, {len(step['remasked'])} re-masked"


def initial_board(step: StepRecord, draft: Sequence[int] | None = None) -> StepRecord:
    """A record of the board before any forward: the givens, or with ``draft`` the grid to be repaired."""
    pinned = set(step["pinned"])
    givens = [token if cell in pinned else -1 for cell, token in enumerate(step["draft"])]
    return {
        **step,
        "accepted": [],
        "remasked": [],
        "decision": None,
        "violations": [],
        "refuted": None,
        "solved": False,
        "draft": givens if draft is None else list(draft),
        "confidence": [NEUTRAL] * len(givens),
    }


def filmstrip(
    steps: Sequence[StepRecord],
    digits: int,
    columns: int = 4,
    most: int = 7,
    draft: Sequence[int] | None = None,
) -> Figure:
    """Draw the problem and up to ``most`` steps, the last one included, as boards with a legend.

    Args:
        steps: records of one run.
        digits: side of the board.
        columns: boards per row.
        most: steps to draw.
        draft: tokens of the grid that was to be repaired, if it was one.

    Raises:
        ValueError: there are no steps.
    """
    drawn = first_and_last(steps, most)
    title = f"the problem\n{len(steps[0]['pinned'])} givens" if draft is None else "the grid\nto be repaired"
    boards = [(initial_board(steps[0], draft), title), *((step, step_title(step, digits)) for step in drawn)]
    if len(steps) > most:
        second_line = boards[-1][1].split("\n")[1]
        omitted = f"forward {len(steps)} ({len(steps) - most} not shown)"
        boards[-1] = (steps[-1], f"{omitted}\n{second_line}")
    rows = -(-len(boards) // columns)
    columns = -(-len(boards) // rows)
    # The legend needs the width of three boards.
    size = (max(columns, 3) * BOARD_INCHES, rows * (BOARD_INCHES + 0.25) + 0.55)
    figure = Figure(figsize=size, layout="constrained")
    heights = [rows * (BOARD_INCHES + 0.25), 0.55]
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).ravel()
    cells = upper.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    for axes, (step, text) in zip(cells, boards, strict=False):
        draw_board(axes, step, digits, text)
    draw_legend(lower.subplots())
    return figure


def draw_legend(axes: Axes, fontsize: float = 9.5) -> None:
    """Explain the marks of a board, in one row."""
    axes.set(xlim=(0, 30), ylim=(1.5, -0.5), aspect="equal")
    axes.set_axis_off()
    drafted = {"color": DEEP_BLUE}

    def entry(x: float, label: str, colour: Any, style: dict[str, Any]) -> None:
        axes.add_patch(Rectangle((x, 0), 1, 1, facecolor=colour, edgecolor="white"))
        axes.text(x + 0.5, 0.53, "5", ha="center", va="center", fontsize=fontsize, **style)
        axes.text(x + 1.3, 0.53, label, va="center", fontsize=fontsize, color=INK)

    entry(0, "given", PALE, {"color": INK, "fontweight": "bold"})
    entry(4.2, "accepted", CONFIDENCE(1.0), drafted)
    frame(axes, 4.2, 0, 0.09, DEEP_BLUE, 1.1)
    entry(9.6, "re-masked", CONFIDENCE(0.3), {"color": DEEP_ORANGE, "bbox": LABEL_BOX})
    hatch(axes, 9.6, 0)
    entry(15.4, "decided", CONFIDENCE(1.0), drafted)
    frame(axes, 15.4, 0, 0.05, INK, 2.6)
    axes.text(23, 0.53, "unsure", va="center", ha="right", fontsize=fontsize, color=INK)
    for part in range(16):
        patch = Rectangle(
            (23.3 + part / 4, 0.1), 0.26, 0.8, facecolor=CONFIDENCE(part / 15), edgecolor="none"
        )
        axes.add_patch(patch)
    axes.text(27.6, 0.53, "sure", va="center", fontsize=fontsize, color=INK)


def animate(steps: Sequence[StepRecord], digits: int, path: Path | str, seconds: float = 1.2) -> None:
    """Write an animated GIF: the problem, then one board per step; the last one stays three times as long.

    Raises:
        ValueError: there are no steps.
    """
    boards = first_and_last(steps, len(steps) or 1)
    frames = [(initial_board(boards[0]), f"the problem\n{len(boards[0]['pinned'])} givens")]
    frames += [(step, step_title(step, digits)) for step in boards]
    frames += [frames[-1]] * 2
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[14, 1])
    draw_legend(lower, fontsize=7.5)

    def draw(number: int) -> list[Any]:
        upper.clear()
        draw_board(upper, frames[number][0], digits, frames[number][1])
        return []

    animation = FuncAnimation(figure, draw, frames=len(frames), init_func=lambda: [])
    writer = PillowWriter(fps=1 / seconds)  # type: ignore[arg-type]  # a fraction works: it divides 1000 ms
    animation.save(str(path), writer=writer, dpi=90)
