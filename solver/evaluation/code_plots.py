"""The code evaluation's plots, from code.json and nothing else; colours as in plots.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.figure import Figure

from solver.evaluation.json_tables import chosen
from solver.evaluation.plots import dotted, legend, look, panels

Row = dict[str, Any]
TITLES = {"gflop": "GFLOP a canvas", "seconds": "seconds a canvas"}


def infill(rows: Sequence[Row]) -> Figure | None:
    """Exact matches of every arm by kind of hole, with intervals."""
    found = [
        row for row in chosen(rows, "code-infill") if "tokens" not in row["file"] and row["file"] != "new"
    ]
    if not found:
        return None
    files = ["all", *dict.fromkeys(row["file"] for row in found if row["file"] != "all")]
    arms = list(dict.fromkeys(row["arm"] for row in found))
    dots = {
        file: {row["arm"]: (row["exact"], *row["exact_interval"]) for row in found if row["file"] == file}
        for file in files
    }
    return dotted(dots, arms, "exact, %", (2.4, 1.7), most=40)


def dependent(rows: Sequence[Row]) -> Figure | None:
    """Holes that depend on each other: share right up to renaming within so many GFLOP, within so many seconds."""
    found = [row for row in chosen(rows, "code-dependent") if row["file"] == "all"]
    if not found:
        return None
    figure, axes = panels(list(TITLES))
    for panel, (name, title) in zip(axes, TITLES.items(), strict=True):
        for row in found:
            within = row[f"within_{name}"]
            panel.plot(
                [float(b) for b in within],
                [100 * s for s in within.values()],
                label=row["arm"],
                **line(row["arm"]),
            )
        panel.set(xscale="log", xlabel=title, title="")
    axes[0].set_ylabel("sets of holes right, %")
    legend(figure, axes)
    return figure


def line(arm: str) -> dict[str, Any]:
    """The look of an arm, with dashes that tell its variants apart."""
    dashes = {
        "ar-fim, likeliest of 16": "--",
        "ar-fim, likeliest of 256": "-.",
        "diffusion-oneshot, true length": "--",
    }
    return {**look(arm), **({"linestyle": dashes[arm]} if arm in dashes else {})}


PLOTS: dict[str, Callable[[Sequence[Row]], Figure | None]] = {
    "code_infill": infill,
    "code_dependent": dependent,
}
