"""Pictures of what the loop did to a block of text, drawn from the JSON of a trace's steps and nothing else.

    steps = [event.to_json() for event in refine(JsonTask(), form, denoiser) if isinstance(event, Step)]
    film(steps).savefig("steps.png")

Colours and marks are those of the Sudoku boards (pictures.py), which see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from solver.pictures import CONFIDENCE, DEEP_BLUE, DEEP_ORANGE, GREY, INK, PALE, SHADES, hatching

Record = dict[str, Any]
BLANK = 256


def film(steps: Sequence[Record], width: int = 64, most: int = 6) -> Figure:
    """The first ``most`` - 1 drafts and the last, each in lines of ``width`` bytes; a dot is a blank cell."""
    lines = -(-len(steps[0]["draft"]) // width)
    legend = "grey: given   blue to orange: sure to unsure   underlined: accepted   striped: re-masked   dot: blank"
    return strips(
        steps,
        lambda axes, step: draw_text(axes, step, width, lines),
        (0.155 * width, 0.25 * lines),
        legend,
        most,
    )


def strips(
    steps: Sequence[Record],
    draw: Callable[[Axes, Record], None],
    inches: tuple[float, float],
    legend: str,
    most: int,
) -> Figure:
    """Drafts below each other, each of so many ``inches`` across and down: the first ``most`` - 1 and the last."""
    shown = list(steps) if len(steps) <= most else [*steps[: most - 1], steps[-1]]
    figure = Figure(figsize=(inches[0] + 0.4, (inches[1] + 0.4) * len(shown) + 0.4), layout="constrained")
    for axes, step in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        draw(axes, step)
    figure.supxlabel(legend, fontsize=8.5, color=GREY)
    return figure


def entitle(axes: Axes, step: Record, solved: str) -> None:
    """Which forward it was, and what came of it."""
    wrong = step["violations"]
    outcome = (
        solved
        if step["solved"]
        else wrong[0]["message"]
        if wrong
        else f"{len(step['accepted'])} cells accepted"
    )
    axes.set_title(f"forward {step['step'] + 1}: {outcome[:90]}", fontsize=9, loc="left", color=INK)
    axes.axis("off")


def draw_text(axes: Axes, step: Record, width: int, lines: int) -> None:
    """One draft: pinned bytes grey, others on a colour by confidence, accepted ones underlined, re-masked ones hatched."""
    pinned, accepted, remasked = set(step["pinned"]), set(step["accepted"]), set(step["remasked"])
    for cell, token in enumerate(step["draft"]):
        row, column = divmod(cell, width)
        shade = PALE if cell in pinned else CONFIDENCE(SHADES(step["confidence"][cell]))
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=0.5))
        if cell in remasked:
            axes.add_patch(hatching(column, row))
        if cell in accepted and cell not in remasked:
            axes.plot([column + 0.1, column + 0.9], [row + 0.93, row + 0.93], color=DEEP_BLUE, linewidth=1.1)
        text = "·" if token == BLANK else chr(token) if 32 <= token < 127 else "?"
        colour = (
            INK
            if cell in pinned
            else DEEP_ORANGE
            if cell in remasked
            else GREY
            if token == BLANK
            else DEEP_BLUE
        )
        axes.text(
            column + 0.5,
            row + 0.55,
            text,
            ha="center",
            va="center",
            fontsize=8,
            family="monospace",
            color=colour,
        )
    axes.set(xlim=(0, width), ylim=(lines, 0))
    entitle(axes, step, "valid")
