"""Pictures of what the loop did, drawn from the JSON of a trace's steps and nothing else.

    python -m solver.pictures docs/watch.png            # the README's picture; --denoiser NAME as in the command line

    steps = [event.to_json() for event in refine(task, problem, denoiser) if isinstance(event, Step)]
    filmstrip(steps, digits=9).savefig("steps.png")

Needs matplotlib (``pip install 'remask[notebooks]'``), which nothing else in ``solver`` imports. Orange is unsure or taken back,
blue is sure: the two stay apart under the common colour-vision deficiencies, and every mark has a shape as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

Record = dict[str, Any]  # Step.to_json(), or a "step" line of a trace

INK, GREY, PALE = "#1a1a1a", "#8a8a8a", "#efefef"
BLUE, DEEP_BLUE, ORANGE, DEEP_ORANGE = "#7fb2e5", "#08305c", "#f5a742", "#a84a00"
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", [ORANGE, "#fbdfb5", "#f6f6f6", "#cfe2f4", BLUE])
SHADES = Normalize(0.2, 1.0)
NEUTRAL = 0.6  # the middle of the shades: no confidence to show
UNIT = 2.75  # inches a board


def draw_board(axes: Axes, step: Record, digits: int, title: str) -> None:
    """One step's board: givens black on grey, drafts on a colour by confidence, accepted cells outlined, re-masked cells
    hatched, the decided cell framed."""
    pinned, accepted, remasked = set(step["pinned"]), set(step["accepted"]), set(step["remasked"])
    decided = step["decision"][0] if stands(step) else -1
    size = min(20.0, 118 / digits)
    for cell, token in enumerate(step["draft"]):
        row, column = divmod(cell, digits)
        shade = PALE if cell in pinned else CONFIDENCE(SHADES(step["confidence"][cell]))
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=0.8))
        if cell in remasked:
            axes.add_patch(hatching(column, row))
        if cell in accepted and cell not in remasked:
            axes.add_patch(inner(column, row, 0.09, DEEP_BLUE, 1.1))
        if cell == decided:
            axes.add_patch(inner(column, row, 0.05, INK, 2.6))
        if token < 0:
            continue
        look: dict[str, Any] = (
            {"color": INK, "fontweight": "bold"} if cell in pinned else {"color": DEEP_BLUE}
        )
        if cell in remasked:
            look |= {
                "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
                "color": DEEP_ORANGE,
            }
        axes.text(column + 0.5, row + 0.53, str(token + 1), ha="center", va="center", fontsize=size, **look)
    box = isqrt(digits)
    for line in range(0, digits + 1, box if box * box == digits else digits):
        axes.plot([line, line], [0, digits], color=INK, linewidth=1.4, clip_on=False)
        axes.plot([0, digits], [line, line], color=INK, linewidth=1.4, clip_on=False)
    axes.set(xlim=(0, digits), ylim=(digits, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=5)


def inner(column: float, row: float, inset: float, colour: str, width: float) -> Rectangle:
    """A frame inside a cell."""
    side = 1 - 2 * inset
    return Rectangle(
        (column + inset, row + inset), side, side, facecolor="none", edgecolor=colour, linewidth=width
    )


def hatching(column: float, row: float, width: float = 1, height: float = 1) -> Rectangle:
    """Stripes over a cell."""
    return Rectangle(
        (column, row), width, height, facecolor="none", edgecolor=DEEP_ORANGE, linewidth=0, hatch="////"
    )


def stands(step: Record) -> bool:
    """Whether the board was decided on and the draft keeps to it. What the denoiser would write regardless may solve it too."""
    return step["decision"] is not None and step["draft"][step["decision"][0]] == step["decision"][1]


def headline(step: Record, digits: int) -> str:
    """Two short lines over a board: which forward it was and what happened."""
    top = f"forward {step['step'] + 1}"
    if stands(step):
        cell, token = step["decision"]
        top += f": decided r{cell // digits + 1}c{cell % digits + 1} = {token + 1}"
    elif step["decision"]:
        top += ": against the decision"
    if step["solved"]:
        return f"{top}\nevery check passes: solved"
    if step["refuted"]:
        return f"{top}\nclosed: {step['refuted']['message']}"
    return f"{top}\n{len(step['accepted'])} accepted, {len(step['remasked'])} re-masked"


def opening(step: Record, draft: Sequence[int] | None = None) -> Record:
    """The problem before any forward: the pinned cells alone, or with ``draft`` the grid that is to be repaired."""
    pinned = set(step["pinned"])
    tokens = [token if cell in pinned else -1 for cell, token in enumerate(step["draft"])]
    none: Record = {
        "accepted": [],
        "remasked": [],
        "decision": None,
        "violations": [],
        "refuted": None,
        "solved": False,
    }
    return {
        **step,
        **none,
        "draft": tokens if draft is None else list(draft),
        "confidence": [NEUTRAL] * len(tokens),
    }


def filmstrip(
    steps: Sequence[Record], digits: int, columns: int = 4, most: int = 7, draft: Sequence[int] | None = None
) -> Figure:
    """The problem and up to ``most`` steps, the last one among them, as boards in rows of ``columns``, and a legend.

    ``draft``: tokens of the grid that was to be repaired, if it was one. Raises ValueError where there is no step.
    """
    if not steps:
        raise ValueError("there is no step to draw")
    title = f"the problem\n{len(steps[0]['pinned'])} givens" if draft is None else "the grid\nto be repaired"
    boards: list[tuple[Record, str]] = [(opening(steps[0], draft), title)]
    shown = list(steps) if len(steps) <= most else [*steps[: most - 1], steps[-1]]
    boards += [(step, headline(step, digits)) for step in shown]
    if len(steps) > most:
        hidden = f"forward {len(steps)} ({len(steps) - most} not shown)\n"
        boards[-1] = (steps[-1], hidden + headline(steps[-1], digits).split("\n")[1])
    rows = -(-len(boards) // columns)
    columns = -(-len(boards) // rows)
    figure = Figure(
        figsize=(max(columns, 3) * UNIT, rows * (UNIT + 0.25) + 0.55), layout="constrained"
    )  # room for the legend
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[rows * (UNIT + 0.25), 0.55]).ravel()
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
    entry(4.2, "accepted", CONFIDENCE(1.0), drafted, inner(4.2, 0, 0.09, DEEP_BLUE, 1.1))
    back = {
        "color": DEEP_ORANGE,
        "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
    }
    entry(9.6, "re-masked", CONFIDENCE(0.3), back, hatching(9.6, 0))
    entry(15.4, "decided", CONFIDENCE(1.0), drafted, inner(15.4, 0, 0.05, INK, 2.6))
    axes.text(23, 0.53, "unsure", va="center", ha="right", fontsize=9.5, color=INK)
    for part in range(16):
        axes.add_patch(
            Rectangle((23.3 + part / 4, 0.1), 0.26, 0.8, facecolor=CONFIDENCE(part / 15), edgecolor="none")
        )
    axes.text(27.6, 0.53, "sure", va="center", fontsize=9.5, color=INK)


def counts(steps: Sequence[Record]) -> dict[str, list[int]]:
    """Per step: ``sure`` (cells known after it, givens too), ``remasked`` cells, ``violations`` of the draft."""
    return {
        "sure": [len(set(step["visible"]) | set(step["settled"])) for step in steps],
        "remasked": [len(step["remasked"]) for step in steps],
        "violations": [len(step["violations"]) for step in steps],
    }


def curve(steps: Sequence[Record], title: str = "") -> Figure:
    """Cells sure (above), and re-masked cells and violations (below) over the forwards; a tick on the axis is a decision."""
    number, found = range(1, len(steps) + 1), counts(steps)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    dots = {"marker": "o", "markersize": 4, "linewidth": 1.8} if len(steps) <= 40 else {"linewidth": 1.2}
    cells = len(steps[0]["draft"]) if steps else 0
    upper.plot(number, found["sure"], color=DEEP_BLUE, **dots)
    upper.axhline(cells, color=GREY, linewidth=0.8, linestyle=":")
    upper.set(ylabel="cells sure", ylim=(0, cells * 1.08), title=title)
    lower.plot(number, found["remasked"], color=DEEP_ORANGE, label="cells re-masked", **dots)
    lower.plot(
        number, found["violations"], color=BLUE, linestyle="--", label="violations of the draft", **dots
    )
    decided = [n for n, step in zip(number, steps, strict=True) if step["decision"]]
    lower.plot(decided, [0] * len(decided), "|", color=INK, markersize=9, clip_on=False, label="a decision")
    lower.set(xlabel="forward", ylabel="count", ylim=(0, None))
    lower.legend(frameon=False, fontsize=9, ncols=3, loc="upper right", bbox_to_anchor=(1, 1.22))
    for axes in (upper, lower):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def comparison(runs: dict[str, Sequence[Record]]) -> Figure:
    """Forwards and decisions of several denoisers on the same problem, as bars with their numbers; the first one in blue. A run
    that was not solved says so."""
    figure = Figure(figsize=(8, 0.9 + 0.42 * len(runs)), layout="constrained")
    names = list(runs)
    numbers = {
        "forwards": [len(steps) for steps in runs.values()],
        "decisions": [sum(step["decision"] is not None for step in steps) for steps in runs.values()],
    }
    for axes, (what, values) in zip(figure.subplots(1, 2, sharey=True), numbers.items(), strict=True):
        axes.barh(names, values, color=[BLUE, *[ORANGE] * (len(names) - 1)], height=0.62)
        for at, value in enumerate(values):
            solved = any(step["solved"] for step in runs[names[at]])
            note = f" {value}" + ("" if solved or what == "decisions" else " (not solved)")
            axes.text(value, at, note, va="center", fontsize=9.5, color=INK)
        axes.set(xlim=(0, 1.25 * max(1, *values)), title=what)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.yaxis.set_inverted(True)
    return figure


def proof(steps: Sequence[Record], digits: int) -> list[str]:
    """One line a canvas that was closed by a violation among its settled cells: what was decided there, and what broke."""

    def name(cell: int) -> str:
        return f"r{cell // digits + 1}c{cell % digits + 1}"

    made: dict[int, tuple[list[int] | None, int]] = {
        step["canvas"]: (step["decision"], step["parent"])
        for step in reversed(steps)  # the first step of a canvas says it
    }
    lines = []
    for step in steps:
        if not step["refuted"]:
            continue
        path, canvas = [], step["canvas"]
        while canvas in made:
            decision, canvas = made[canvas]
            path += [f"{name(decision[0])}={decision[1] + 1}"] if decision else []
        held = ", ".join(reversed(path)) or "no decision"
        reason = " ".join(name(cell) for cell in step["refuted"]["reason"])
        lines.append(f"canvas {step['canvas']} ({held}): {step['refuted']['message']}, because of {reason}")
    return lines


def watch(denoiser: str) -> Figure:
    """The README's picture: the first bundled puzzle that takes ``denoiser`` four forwards to twelve, or else the first one."""
    from solver.loop.refine import refine
    from solver.loop.trace import Budget, Step
    from solver.models.registry import load
    from solver.tasks.sudoku import layout, text
    from solver.tasks.sudoku.task import Sudoku, SudokuTask

    task = SudokuTask(layout.standard(9))
    model = load(denoiser, task)
    puzzles = [
        p
        for p in text.read_file(Path(text.__file__).parent / "puzzles.txt")
        if isinstance(p, text.Puzzle) and p.digits == 9
    ]
    first: list[Record] = []
    for puzzle in puzzles:
        events = refine(task, Sudoku(puzzle.grid), model, budget=Budget(forwards=12))
        steps = [event.to_json() for event in events if isinstance(event, Step)]
        first = first or steps
        if len(steps) >= 4 and steps[-1]["solved"]:
            return filmstrip(steps, 9)
    return filmstrip(first, 9)


def main() -> None:
    """Write the README's picture."""
    parser = argparse.ArgumentParser(
        prog="python -m solver.pictures", description="draw the README's picture"
    )
    parser.add_argument("picture", metavar="FILE", help="where to write it (.png, .svg, .pdf)")
    parser.add_argument(
        "--denoiser",
        default="compact",
        metavar="NAME",
        help="compact, random, prior or a checkpoint's folder",
    )
    arguments = parser.parse_args()
    watch(arguments.denoiser).savefig(arguments.picture, dpi=120)


if __name__ == "__main__":
    main()
