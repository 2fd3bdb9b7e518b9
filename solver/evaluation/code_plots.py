"""The code evaluation's plots, from code.json and nothing else; colours as in plots.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.figure import Figure

from solver.evaluation.json_tables import chosen
from solver.evaluation.plots import legend, look, panels

Row = dict[str, Any]
TITLES = {"gflop": "GFLOP a canvas", "seconds": "seconds a canvas"}


def infill(rows: Sequence[Row]) -> Figure | None:
    """Exact matches of every arm by kind of hole, with intervals."""
    found = [row for row in chosen(rows, "code-infill") if "tokens" not in row["file"]]
    if not found:
        return None
    files = ["all", *dict.fromkeys(row["file"] for row in found if row["file"] != "all")]
    arms = list(dict.fromkeys(row["arm"] for row in found))
    figure = Figure(figsize=(2.4 + 1.7 * len(files), 1.0 + 0.3 * len(arms)), layout="constrained")
    for axes, file in zip(figure.subplots(1, len(files), sharey=True, squeeze=False)[0], files, strict=True):
        for row in (row for row in found if row["file"] == file):
            (low, high), style, at = row["exact_interval"], look(row["arm"]), arms.index(row["arm"])
            axes.plot([100 * low, 100 * high], [at, at], color=style["color"], linewidth=2.2, solid_capstyle="butt")
            axes.plot(100 * row["exact"], at, style["marker"], color=style["color"], markersize=6.5)
        axes.set_title(file, fontsize=10.5)
        axes.set(xlim=(-4, 84), yticks=range(len(arms)), yticklabels=arms, xlabel="exact, %")
        axes.yaxis.set_inverted(True)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def dependent(rows: Sequence[Row]) -> Figure | None:
    """Holes that depend on each other: share right up to renaming within so many GFLOP, within so many seconds."""
    found = [row for row in chosen(rows, "code-dependent") if row["file"] == "all"]
    if not found:
        return None
    figure, axes = panels(list(TITLES))
    for panel, (name, title) in zip(axes, TITLES.items(), strict=True):
        for row in found:
            within = row[f"within_{name}"]
            panel.plot([float(b) for b in within], [100 * s for s in within.values()], label=row["arm"], **look(row["arm"]))
        panel.set(xscale="log", xlabel=title, title="")
    axes[0].set_ylabel("all holes right up to renaming, %")
    legend(figure, axes)
    return figure


PLOTS: dict[str, Callable[[Sequence[Row]], Figure | None]] = {"code_infill": infill, "code_dependent": dependent}
