"""The JSON evaluation's plots, from json.json and nothing else; colours as in plots.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from solver.evaluation.json_tables import chosen
from solver.evaluation.plots import dotted, legend, look, panels, tidy

Row = dict[str, Any]
CONTENT = {
    "copied": "fields copied",
    "kind_first": "kind, standing first",
    "total_first": "total, standing first",
    "exact": "whole record",
}


def content(rows: Sequence[Row]) -> Figure | None:
    """Every arm on the reserved records, with intervals."""
    found = chosen(rows, "content")
    if not found:
        return None
    dots = {
        title: {row["arm"]: (row[key], *row[f"{key}_interval"]) for row in found if row.get(key) is not None}
        for key, title in CONTENT.items()
    }
    return dotted(dots, [row["arm"] for row in found], "right, %", (1.8, 2.1))


def cross(rows: Sequence[Row]) -> Figure | None:
    """Share solved against GFLOP, a panel a task. Controls cost no FLOPs: a line across."""
    found = chosen(rows, "cross")
    if not found:
        return None
    figure, axes = panels(list(dict.fromkeys(row["file"] for row in found)))
    for panel in axes:
        for row in (row for row in found if row["file"] == panel.get_title()):
            budgets = [float(budget) for budget in row["within_gflop"]]
            panel.plot(
                budgets, [100 * s for s in row["within_gflop"].values()], label=row["arm"], **look(row["arm"])
            )
        panel.set(xscale="log", ylim=(-3, 103), xlabel="GFLOP a problem")
    axes[0].set_ylabel("solved, %")
    legend(figure, axes)
    return figure


def speed(rows: Sequence[Row]) -> Figure | None:
    """Whole distributions of what a schema and a projection take."""
    found = chosen(rows, "speed")
    if not found:
        return None
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    titles = {"compile_ms_all": "from a schema to its automaton", "project_ms_all": "projection of 256 cells"}
    panels_ = figure.subplots(1, 2, sharey=True)
    for axes, (key, title) in zip(panels_, titles.items(), strict=True):
        for number, row in enumerate(found):
            axes.plot(
                row[key],
                np.linspace(0, 100, len(row[key])),
                label=row["file"],
                color=f"C{number}",
                linewidth=1.6,
            )
        axes.set(xscale="log", xlabel="ms, one core", title=title)
        tidy(axes)
    panels_[0].set_ylabel("schemas done within, %")
    legend(figure, list(panels_))
    return figure


PLOTS: dict[str, Callable[[Sequence[Row]], Figure | None]] = {
    "json_content": content,
    "json_cross": cross,
    "json_speed": speed,
}
