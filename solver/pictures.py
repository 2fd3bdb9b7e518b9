"""Pictures of what the loop did, drawn from the JSON of a trace's steps and nothing else.

    python -m solver.pictures docs/watch.png            # the README's picture; --denoiser NAME as in the command line

    steps = [event.to_json() for event in refine(task, problem, denoiser) if isinstance(event, Step)]
    filmstrip(steps, digits=9).savefig("steps.png")

Needs matplotlib (``pip install 'remask[notebooks]'``), which nothing else in ``solver`` imports. Orange is unsure or taken back,
blue is sure: the two stay apart under the common colour-vision deficiencies, and every mark has a shape as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

Record = dict[str, Any]  # Step.to_json(), or a "step" line of a trace

INK, GREY, PALE = "#1a1a1a", "#8a8a8a", "#efefef"
BLUE, DEEP_BLUE, ORANGE, DEEP_ORANGE = "#5b9bd5", "#0b3c6f", "#f5a742", "#b85400"
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", [ORANGE, "#fbdfb5", "#f4f4f4", "#bcd7f0", BLUE])
SHADES = Normalize(0.2, 1.0)
UNIT = 2.75  # inches a board


def draw_board(axes: Axes, step: Record, digits: int, title: str | None = None) -> None:
    """One step's board: givens black on grey, drafts on a colour by confidence, accepted cells outlined, re-masked cells
    hatched, the decided cell framed."""
    pinned, accepted, remasked = set(step["pinned"]), set(step["accepted"]), set(step["remasked"])
    decided = step["decision"][0] if step["decision"] else -1
    size = 118 / digits
    for cell, token in enumerate(step["draft"]):
        row, column = divmod(cell, digits)
        shade = PALE if cell in pinned else CONFIDENCE(SHADES(step["confidence"][cell]))
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=0.8))
        if cell in remasked:
            marks = {"facecolor": "none", "edgecolor": DEEP_ORANGE, "linewidth": 0, "hatch": "////"}
            axes.add_patch(Rectangle((column, row), 1, 1, **marks))
        if cell in accepted and cell not in remasked:
            axes.add_patch(inner(column, row, 0.09, DEEP_BLUE, 1.1))
        if cell == decided:
            axes.add_patch(inner(column, row, 0.05, INK, 2.6))
        if token < 0:
            continue
        look: dict[str, Any] = {"color": INK, "fontweight": "bold"} if cell in pinned else {"color": DEEP_BLUE}
        if cell in remasked:
            look |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}, "color": DEEP_ORANGE}
        axes.text(column + 0.5, row + 0.53, str(token + 1), ha="center", va="center", fontsize=size, **look)
    box = isqrt(digits)
    for line in range(0, digits + 1, box if box * box == digits else digits):
        axes.plot([line, line], [0, digits], color=INK, linewidth=1.4, clip_on=False)
        axes.plot([0, digits], [line, line], color=INK, linewidth=1.4, clip_on=False)
    axes.set(xlim=(0, digits), ylim=(digits, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    axes.set_title(headline(step, digits) if title is None else title, fontsize=9.5, color=INK, loc="left", pad=5)


def inner(column: int, row: int, inset: float, colour: str, width: float) -> Rectangle:
    """A frame inside a cell."""
    side = 1 - 2 * inset
    return Rectangle((column + inset, row + inset), side, side, facecolor="none", edgecolor=colour, linewidth=width)


def headline(step: Record, digits: int) -> str:
    """Two short lines over a board: which forward it was and what happened."""
    top = f"forward {step['step'] + 1}"
    if step["decision"]:
        cell, token = step["decision"]
        top += f": decided r{cell // digits + 1}c{cell % digits + 1} = {token + 1}"
    if step["solved"]:
        return f"{top}\nevery check passes: solved"
    if step["refuted"]:
        return f"{top}\nclosed: {step['refuted']['message']}"
    return f"{top}\n{len(step['accepted'])} accepted, {len(step['remasked'])} re-masked"


def blank(step: Record) -> Record:
    """The step's problem before any forward: the pinned cells alone."""
    pinned = set(step["pinned"])
    draft = [token if cell in pinned else -1 for cell, token in enumerate(step["draft"])]
    none: Record = {"accepted": [], "remasked": [], "decision": None, "violations": [], "refuted": None, "solved": False}
    return {**step, **none, "draft": draft, "confidence": [0.6] * len(draft)}


def filmstrip(steps: Sequence[Record], digits: int, columns: int = 4, most: int = 7, opening: bool = True) -> Figure:
    """The problem (``opening``) and up to ``most`` steps as boards in rows of ``columns``, the last step always among them,
    with a legend below. Raises ValueError where there is no step."""
    if not steps:
        raise ValueError("there is no step to draw")
    shown = list(steps) if len(steps) <= most else [*steps[: most - 1], steps[-1]]
    boards: list[tuple[Record, str | None]] = [(step, None) for step in shown]
    if opening:
        boards.insert(0, (blank(steps[0]), f"the problem\n{len(steps[0]['pinned'])} givens"))
    if len(steps) > most:
        boards[-1] = (steps[-1], f"... {len(steps) - most} forwards later\n" + headline(steps[-1], digits).split("\n")[1])
    columns = min(columns, len(boards))
    rows = -(-len(boards) // columns)
    wide = max(columns, 3)  # room for the legend
    figure = Figure(figsize=(wide * UNIT, rows * (UNIT + 0.25) + 0.55), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[rows * (UNIT + 0.25), 0.55])
    for axes in (cells := upper.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
    for axes, (step, title) in zip(cells, boards, strict=False):
        draw_board(axes, step, digits, title)
    draw_legend(lower.subplots())
    return figure


def draw_legend(axes: Axes) -> None:
    """What the marks mean, in one row."""
    axes.set(xlim=(0, 30), ylim=(1.5, -0.5), aspect="equal")
    axes.set_axis_off()

    def entry(x: float, label: str, shade: Any, look: dict[str, Any], frame: Rectangle | None = None) -> None:
        axes.add_patch(Rectangle((x, 0), 1, 1, facecolor=shade, edgecolor="white"))
        if frame is not None:
            axes.add_patch(frame)
        axes.text(x + 0.5, 0.53, "5", ha="center", va="center", fontsize=10, **look)
        axes.text(x + 1.3, 0.53, label, va="center", fontsize=9.5, color=INK)

    drafted = {"color": DEEP_BLUE}
    entry(0, "given", PALE, {"color": INK, "fontweight": "bold"})
    entry(4, "accepted", CONFIDENCE(1.0), drafted, inner(4, 0, 0.09, DEEP_BLUE, 1.1))
    hatched = Rectangle((9, 0), 1, 1, facecolor="none", edgecolor=DEEP_ORANGE, linewidth=0, hatch="////")
    back = {"color": DEEP_ORANGE, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}}
    entry(9, "re-masked", CONFIDENCE(0.3), back, hatched)
    entry(14.5, "decided", CONFIDENCE(1.0), drafted, inner(14, 0, 0.05, INK, 2.6).__class__((14.55, 0.05), 0.9, 0.9, fill=False))
    bar = axes.inset_axes((20.8, 0.15, 6.2, 0.7), transform=axes.transData)
    axes.figure.colorbar(ScalarMappable(SHADES, CONFIDENCE), cax=bar, orientation="horizontal", ticks=[])
    bar.set_in_layout(False)
    axes.text(20.5, 0.53, "unsure", va="center", ha="right", fontsize=9.5, color=INK)
    axes.text(27.3, 0.53, "sure", va="center", fontsize=9.5, color=INK)


def counts(steps: Sequence[Record]) -> dict[str, list[int]]:
    """Per step: ``sure`` (cells known after it, givens too), ``remasked``, ``violations``, and ``decisions`` made so far."""
    made = np.cumsum([step["decision"] is not None for step in steps]) if steps else []
    return {
        "sure": [len(set(step["shown"]) | set(step["trail"])) for step in steps],
        "remasked": [len(step["remasked"]) for step in steps],
        "violations": [len(step["violations"]) for step in steps],
        "decisions": [int(n) for n in made],
    }
