"""The evaluation's plots, made from rows alone.

draw_plots(read_results(), Path("docs/results"))       # writes what the rows allow, returns the file names
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from solver.evaluation.charts import (
    Points,
    add_legend,
    arm_style,
    draw_curves,
    draw_shares,
    make_panels,
    panels_size,
)
from solver.evaluation.rows import Row, select
from solver.evaluation.sudoku_tables import HARD, solved_mask, spent
from solver.files import replacing
from solver.pictures.marks import BLUE, GREY, INK, ORANGE

CONTENT = {
    "copied": "fields copied",
    "kind_first": "kind, standing first",
    "total_first": "total, standing first",
    "exact": "whole record",
}
PROSE = {
    "right_all": "all fields",
    "right_string": "strings",
    "right_level_1": "difficulty 1",
    "right_level_2": "difficulty 2",
    "right_level_3": "difficulty 3",
    "whole": "whole record",
}
GENERATED = "generated prose"
CODE_COSTS = {"gflop": "GFLOP a canvas", "seconds": "seconds a canvas"}
SPEEDS = {"compile_ms_all": "from a schema to its automaton", "project_ms_all": "projection of 256 cells"}

Plot = Callable[[Sequence[Row]], Figure | None]


def curves_of(
    rows: Iterable[Row],
    points: Callable[[Row], Points | None],
    files: Sequence[str] | None = None,
) -> dict[str, dict[str, Points]]:
    """Collect one curve per row, by file (in the order of ``files``, or of the rows) and arm."""
    curves: dict[str, dict[str, Points]] = {file: {} for file in files or ()}
    for row in rows:
        curve = points(row) if files is None or row.file in curves else None
        if curve is not None:
            curves.setdefault(row.file, {})[row.arm] = curve
    return {file: arms for file, arms in curves.items() if arms}


def shares_of(rows: Iterable[Row], figure: str) -> dict[str, tuple[float, float, float]]:
    """A share with its interval, by arm."""
    return {
        row.arm: (row.get(figure), *row.get(f"{figure}_interval"))
        for row in rows
        if row.get(figure) is not None
    }


def accuracy_plot(rows: Sequence[Row]) -> Figure | None:
    panels = {file: shares_of(select(rows, "contest", file=file), "share") for file in HARD}
    return draw_shares({file: dots for file, dots in panels.items() if dots}, "solved, %", (1.2, 2.1))


def content_plot(rows: Sequence[Row]) -> Figure | None:
    """Every arm on the reserved records."""
    content = select(rows, "content")
    panels = {title: shares_of(content, figure) for figure, title in CONTENT.items()} if content else {}
    return draw_shares(panels, "right, %", (1.8, 2.1))


def prose_plot(rows: Sequence[Row]) -> Figure | None:
    """Every arm on texts as people write them, and on generated ones."""
    prose = select(rows, "prose")
    written = [row for row in prose if row.file != GENERATED]
    panels = {title: shares_of(written, figure) for figure, title in PROSE.items()} if written else {}
    if len(written) < len(prose):
        panels[GENERATED] = shares_of([row for row in prose if row.file == GENERATED], "right_all")
    return draw_shares(panels, "right, %", (1.8, 2.1))


def code_infill_plot(rows: Sequence[Row]) -> Figure | None:
    """Exact matches of every arm by kind of hole."""
    infill = [row for row in select(rows, "code-infill") if "tokens" not in row.file and row.file != "new"]
    kinds = sorted(dict.fromkeys(row.file for row in infill), key=lambda kind: kind != "all")
    panels = {kind: shares_of([row for row in infill if row.file == kind], "exact") for kind in kinds}
    return draw_shares(panels, "exact, %", (2.4, 1.7), limit=40)


def cost_plot(cost: str, xlabel: str) -> Plot:
    """A plot of shares solved against the cost of a puzzle."""

    def points(row: Row) -> Points | None:
        if "each" not in row.figures or row.get("solved") == 0:
            return None
        costs = spent(row, cost)
        order = np.sort(costs[solved_mask(row)])
        return (list(order), list(100 * np.arange(1, len(order) + 1) / len(costs))) if costs.max() else None

    def plot(rows: Sequence[Row]) -> Figure | None:
        curves = curves_of(select(rows, "contest"), points, HARD)
        axis: dict[str, Any] = {"xscale": "log", "ylim": (0, 103), "xlabel": xlabel}
        end = {"markevery": [-1], "where": "post"}
        return draw_curves(curves, "solved, %", lambda arm: arm_style(arm) | end, "step", **axis)

    return plot


def reliability_plot(section: str, ylabel: str, files: Sequence[str] | None = None) -> Plot:
    """A plot of the shares right by probability, beside the diagonal of perfect calibration."""

    def points(row: Row) -> Points | None:
        if not row.get("bins"):
            return None
        confidence, correct, _ = zip(*row.get("bins"), strict=True)
        return confidence, correct

    def plot(rows: Sequence[Row]) -> Figure | None:
        curves = curves_of(select(rows, section), points, files)
        axis: dict[str, Any] = {"xlim": (0, 1.02), "ylim": (0, 1.03), "xlabel": "confidence"}
        figure = draw_curves(curves, ylabel, **axis)
        for axes in figure.axes if figure is not None else ():
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        return figure

    return plot


def mistakes_plot(rows: Sequence[Row]) -> Figure | None:
    """Share of left-to-right runs without a mistake so far, along the puzzle."""

    def points(row: Row) -> Points:
        mistakes, grid = np.array(row.get("where")), np.linspace(0, 1, 41)
        alive = [100 * (mistakes > x).mean() if x < 1 else 100 * (mistakes >= 1).mean() for x in grid]
        return list(100 * grid), alive

    curves = curves_of(select(rows, "mistakes"), points, HARD)
    axis: dict[str, Any] = {"xlim": (0, 100), "ylim": (0, 103), "xlabel": "share of the cells filled, %"}
    return draw_curves(
        curves, "runs that can still be right, %", lambda arm: arm_style(arm) | {"markevery": 8}, **axis
    )


def remasking_plot(rows: Sequence[Row]) -> Figure | None:
    """Shares solved without decisions, by what re-masks accepted cells."""
    measured = [row for row in select(rows, "remasking") if row.file in HARD]
    if not measured:
        return None
    files = [file for file in HARD if any(row.file == file for row in measured)]
    figure, panels = make_panels(files, panels_size(len(files), 3.3))
    for axes, file in zip(panels, files, strict=True):
        bars = [row for row in measured if row.file == file]
        for k, accept in enumerate(dict.fromkeys(row.accept for row in bars)):
            group = [row for row in bars if row.accept == accept]
            shares = np.array([row.get("share") for row in group])
            low, high = np.array([row.get("share_interval") for row in group]).T
            axes.bar(
                np.arange(len(group)) + 0.38 * k - 0.19,
                100 * shares,
                0.36,
                color=(BLUE, ORANGE)[k],
                yerr=100 * np.array([shares - low, high - shares]),
                error_kw={"ecolor": INK, "elinewidth": 1},
                label=f"accepted from {accept:g}",
            )
            axes.set_xticks(range(len(group)), [row.remask or "" for row in group])
        axes.set(ylim=(0, 103))
        axes.tick_params(axis="x", labelsize=8.5)
    panels[0].set_ylabel(f"solved in {measured[0].rounds} drafts, %")
    add_legend(figure, panels)
    return figure


def series_plot(section: str, x: str, y: Callable[[Row], float], ylabel: str, **axis: Any) -> Plot:
    """A plot of several rows per arm: one point per row, sorted by ``x``."""

    def plot(rows: Sequence[Row]) -> Figure | None:
        curves: dict[str, dict[str, Points]] = {}
        for row in sorted(select(rows, section), key=lambda row: row.get(x)):
            xs, ys = curves.setdefault(row.file, {}).setdefault(row.arm, ([], []))
            xs.append(row.get(x))  # type: ignore[attr-defined]  # the lists of the line above
            ys.append(y(row))  # type: ignore[attr-defined]
        return draw_curves(curves, ylabel, **axis)

    return plot


def within(row: Row, cost: str) -> Points:
    shares = row.get(f"within_{cost}")
    return [float(budget) for budget in shares], [100 * share for share in shares.values()]


def dependent_fields_plot(rows: Sequence[Row]) -> Figure | None:
    """Shares solved against GFLOP, one panel per task. Controls cost no FLOPs: a horizontal line."""
    curves = curves_of(select(rows, "cross"), lambda row: within(row, "gflop"))
    return draw_curves(curves, "solved, %", xscale="log", ylim=(-3, 103), xlabel="GFLOP a problem")


def dependent_holes_plot(rows: Sequence[Row]) -> Figure | None:
    """Dependent holes: shares right up to renaming within a number of GFLOP, and of seconds."""
    holes = select(rows, "code-dependent", file="all")
    curves = {
        title: {row.arm: within(row, cost) for row in holes} for cost, title in CODE_COSTS.items() if holes
    }
    return draw_curves(curves, "sets of holes right, %", xscale="log")


def json_speed_plot(rows: Sequence[Row]) -> Figure | None:
    """Distributions of the time for a schema and for a projection."""
    speeds = select(rows, "speed")
    curves = {
        title: {row.file: (row.get(key), list(np.linspace(0, 100, len(row.get(key))))) for row in speeds}
        for key, title in SPEEDS.items()
        if speeds
    }
    styles = {row.file: {"color": f"C{k}", "linewidth": 1.6} for k, row in enumerate(speeds)}
    return draw_curves(
        curves, "schemas done within, %", styles.__getitem__, xscale="log", xlabel="ms, one core"
    )


PLOTS: dict[str, Plot] = {
    "accuracy": accuracy_plot,
    "flops": cost_plot("gflop", "GFLOP a puzzle"),
    "seconds": cost_plot("ms", "ms a puzzle, batch 64"),
    "calibration": reliability_plot("calibration", "share of tokens right", HARD),
    "mistakes": mistakes_plot,
    "remasking": remasking_plot,
    "throughput": series_plot(
        "throughput",
        "batch",
        lambda row: float(row.get("per_second")),
        "puzzles a second",
        xscale="log",
        yscale="log",
        xlabel="batch",
    ),
    "training": series_plot(
        "training",
        "pflop",
        lambda row: float(100 * row.get("share")),
        "solved, %",
        xscale="log",
        ylim=(-2, 103),
        xlabel="training PFLOP",
    ),
    "json_content": content_plot,
    "json_prose": prose_plot,
    "json_calibration": reliability_plot("json-calibration", "share of fields right"),
    "json_cross": dependent_fields_plot,
    "json_speed": json_speed_plot,
    "code_infill": code_infill_plot,
    "code_dependent": dependent_holes_plot,
}


def draw_plots(rows: Sequence[Row], folder: Path) -> list[str]:
    """Write every plot that the rows allow as a PNG into ``folder``; return the file names."""
    figures = {f"{name}.png": figure for name, make in PLOTS.items() if (figure := make(rows)) is not None}
    for file, figure in figures.items():
        with replacing(folder / file) as path:
            figure.savefig(path, dpi=130)
    return list(figures)
