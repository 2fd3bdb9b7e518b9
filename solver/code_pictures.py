"""Pictures of what the loop did to the holes of a code edit: a row a hole and draft, a box a token.

    film(edit, steps)      # edit: the Edit; steps: of a run of refine or solve, or the records of a trace

Colours and marks are those of the Sudoku boards (pictures.py), the layout that of texts (text_pictures.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from solver.pictures import CONFIDENCE, DEEP_BLUE, DEEP_ORANGE, GREY, SHADES, hatching
from solver.tasks.code_edit.task import Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.text_pictures import entitle, strips

Record = dict[str, Any]
MARKS = {"newline": "⏎", "indent": "⇥", "dedent": "⇤"}
LEGEND = "blue to orange: sure to unsure   underlined: accepted   striped: re-masked   dot: blank   ⇥ ⏎: indent, line end"


def film(edit: Edit, steps: Sequence[Record], width: int = 96, most: int = 6) -> Figure:
    """The first ``most`` - 1 drafts and the last. ``width``: characters across."""
    size = 0.1 * width, 0.3 * len(edit.page.slots)
    return strips(steps, lambda axes, step: draw_holes(axes, edit, step, width), size, LEGEND, most)


def draw_holes(axes: Axes, edit: Edit, step: Record, width: int) -> None:
    """One draft: the tokens of every hole."""
    accepted, remasked = set(step["accepted"]), set(step["remasked"])
    for row, (start, capacity) in enumerate(edit.page.slots):
        at = 4.0
        axes.text(0.2, row + 0.5, str(row + 1), va="center", fontsize=8, color=GREY)
        for cell in range(start, start + capacity):
            text = shown(step["draft"][cell])
            size = len(text) + 0.8
            if at + size > width:
                axes.text(at, row + 0.5, "…", va="center", fontsize=8, color=GREY)
                break
            axes.add_patch(
                Rectangle(
                    (at, row + 0.08), size, 0.84, facecolor=CONFIDENCE(SHADES(step["confidence"][cell]))
                )
            )
            if cell in remasked:
                axes.add_patch(hatching(at, row + 0.08, size, 0.84))
            if cell in accepted and cell not in remasked:
                axes.plot([at + 0.2, at + size - 0.2], [row + 0.9] * 2, color=DEEP_BLUE, linewidth=1.1)
            colour = DEEP_ORANGE if cell in remasked else GREY if text == "·" else DEEP_BLUE
            axes.text(
                at + size / 2,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=8,
                family="monospace",
                color=colour,
            )
            at += size + 0.25
    axes.set(xlim=(0, width), ylim=(len(edit.page.slots), 0))
    entitle(axes, step, "compiles")


def shown(token: int) -> str:
    """A token as it can be seen."""
    v = Vocabulary.load()
    if token == v.blank:
        return "·"
    if token in v.markers:
        return MARKS.get(v.markers[token], v.markers[token])
    return v.text_of(token).replace(" ", "␣").replace("\n", "⏎") or "?"
