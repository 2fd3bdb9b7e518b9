"""The comparison's plots, from results.json and nothing else.

Blue is diffusion, orange and red left to right, grey a control; every line has its own marker too.

    draw(rows, Path("docs/results"))       # writes what the rows allow, returns the names
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from solver.evaluation.report import merged, spent
from solver.pictures.marks import BLUE, DEEP_BLUE, DEEP_ORANGE, GREY, INK, ORANGE

Row = dict[str, Any]
RED = "#cc3d6e"  # told from blue and orange with any kind of colour vision, and by its marker
DASH = {"diffusion": "-", "alone": "-", "oneshot": ":", "backtracking": "-", "masked": "--"}
SHOWN = ("generated_minimal", "royle17_first_half", "sepb_diabolical_rated", "forum_hardest_1905_first_half")
NAMES = {
    "generated_minimal": "generated",
    "royle17_first_half": "17-clue",
    "sepb_diabolical_rated": "diabolical",
}
NAMES |= {"sepb_easy150_rated+sepb_medium150_rated+sepb_hard150_rated": "sepb easy to hard"}
NAMES |= {
    "csi4900_easy10k": "csi4900 easy",
    "forum_hardest_1905_first_half": "forum hardest",
    "magictour_top1465": "magictour",
}


def look(arm: str) -> dict[str, Any]:
    """Colour, dash and marker of an arm."""
    family = arm.split(",")[0].split("-")[0]
    plain, other = (
        "plain" in arm,
        "easiest" in arm or "fim" in arm,
    )  # other: not from the first cell to the last
    colours = {
        "diffusion": DEEP_BLUE if arm == "diffusion" else BLUE,
        "ar": ORANGE if plain else RED if other else DEEP_ORANGE,
    }
    markers = {
        "diffusion": "o",
        "ar": ("P" if other else "^") if plain else "D" if other else "s",
        "random": "x",
        "prior": "+",
    }
    dash = DASH.get(
        arm.split(",")[0].rpartition("-")[2], ":" if family == "ar" and "tries" not in arm else "-"
    )
    marker = markers.get(family, "v")
    return {
        "color": colours.get(family, GREY),
        "linestyle": dash,
        "marker": marker,
        "markersize": 4.5,
        "linewidth": 1.6,
    }


def tidy(axes: Axes) -> None:
    """No box, a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def panels(names: Sequence[str], height: float = 3.1) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a name, side by side, one scale."""
    figure = Figure(figsize=(max(5.5, 3.3 * len(names) + 0.6), height + 0.9), layout="constrained")
    found = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(found, names, strict=True):
        axes.set_title(NAMES.get(name, name), fontsize=10.5)
        tidy(axes)
    return figure, list(found)


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, below them."""
    handles: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    fitting = int(
        figure.get_figwidth() / (0.5 + 0.075 * max(map(len, handles), default=1))
    )  # inches of a line, and of a letter
    columns = max(1, min(5, len(handles), fitting))
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5
    )


def accuracy(rows: Sequence[Row]) -> Figure | None:
    """Every arm on every shown file, with its interval."""
    contest = merged(rows)
    files = [file for file in SHOWN if any(name == file for _, name in contest)]
    arms = list(dict.fromkeys(arm for arm, name in contest if name in files))
    if not files:
        return None
    dots = {
        NAMES.get(file, file): {
            arm: (row["share"], row["low"], row["high"])
            for (arm, name), row in contest.items()
            if name == file
        }
        for file in files
    }
    return dotted(dots, arms, "solved, %", (1.2, 2.1))


def dotted(
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    arms: Sequence[str],
    label: str,
    inches: tuple[float, float],
    most: float = 100,
) -> Figure:
    """A panel a title, a line an arm: a share with its interval (share, low, high). inches: for the arms' names, and a panel."""
    figure = Figure(
        figsize=(inches[0] + inches[1] * len(shares), 1.0 + 0.3 * len(arms)), layout="constrained"
    )
    for axes, (title, dots) in zip(
        figure.subplots(1, len(shares), sharey=True, squeeze=False)[0], shares.items(), strict=True
    ):
        for arm, (share, low, high) in dots.items():
            at, style = arms.index(arm), look(arm)
            axes.plot(
                [100 * low, 100 * high], [at, at], color=style["color"], linewidth=2.2, solid_capstyle="butt"
            )
            axes.plot(100 * share, at, style["marker"], color=style["color"], markersize=6.5)
        axes.set_title(title, fontsize=10.5)
        axes.set(xlim=(-4, most + 4), yticks=range(len(arms)), yticklabels=arms, xlabel=label)
        axes.yaxis.set_inverted(True)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def against(cost: str) -> Callable[[Sequence[Row]], Figure | None]:
    """Solved against what a puzzle may cost ("gflop" or "ms")."""

    def draw_it(rows: Sequence[Row]) -> Figure | None:
        contest = {key: row for key, row in merged(rows).items() if "each" in row}
        files = [file for file in SHOWN if any(name == file for _, name in contest)]
        if not files:
            return None
        figure, found = panels(files)
        for axes, file in zip(found, files, strict=True):
            for (arm, name), row in contest.items():
                if name != file or row["solved"] == 0:
                    continue
                costs, solved = spent(row, cost), np.array([c == "1" for c in row["each"]["solved"]])
                if not costs.max():
                    continue
                order = np.sort(costs[solved])
                share = 100 * np.arange(1, len(order) + 1) / len(costs)
                axes.step(order, share, where="post", label=arm, **{**look(arm), "markevery": [-1]})
            axes.set(xscale="log")
            axes.xaxis.set_minor_formatter(
                NullFormatter()
            )  # labels between the powers of ten run into each other
            axes.set(ylim=(0, 103), xlabel="GFLOP a puzzle" if cost == "gflop" else "ms a puzzle, batch 64")
        found[0].set_ylabel("solved, %")
        legend(figure, found)
        return figure

    return draw_it


def reliability(rows: Sequence[Row]) -> Figure | None:
    """Share of right tokens by the model's confidence."""
    chosen = [row for row in rows if row["section"] == "calibration" and row["file"] in SHOWN]
    files = [file for file in SHOWN if any(row["file"] == file for row in chosen)]
    if not files:
        return None
    figure, found = panels(files)
    for axes, file in zip(found, files, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
        for row in (row for row in chosen if row["file"] == file):
            sure, right, _ = zip(*row["bins"], strict=True)
            axes.plot(sure, right, label=row["arm"], **look(row["arm"]))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel="confidence")
    found[0].set_ylabel("share of tokens right")
    legend(figure, found)
    return figure


def mistakes(rows: Sequence[Row]) -> Figure | None:
    """Share of left-to-right runs still without a mistake, along the puzzle."""
    chosen = [row for row in rows if row["section"] == "mistakes" and row["file"] in SHOWN]
    files = [file for file in SHOWN if any(row["file"] == file for row in chosen)]
    if not files:
        return None
    figure, found = panels(files)
    for axes, file in zip(found, files, strict=True):
        for row in (row for row in chosen if row["file"] == file):
            where = np.array(row["where"])
            at = np.linspace(0, 1, 41)
            alive = [100 * (where > a).mean() if a < 1 else 100 * (where >= 1).mean() for a in at]
            axes.plot(100 * at, alive, label=row["arm"], **{**look(row["arm"]), "markevery": 8})
        axes.set(xlim=(0, 100), ylim=(0, 103), xlabel="share of the cells filled, %")
    found[0].set_ylabel("runs that can still be right, %")
    legend(figure, found)
    return figure


def remasking(rows: Sequence[Row]) -> Figure | None:
    """Solved without decisions, by what may take a cell back."""
    chosen = [row for row in rows if row["section"] == "remasking" and row["file"] in SHOWN]
    files = [file for file in SHOWN if any(row["file"] == file for row in chosen)]
    if not files:
        return None
    figure, found = panels(files, 2.4)
    for axes, file in zip(found, files, strict=True):
        some = [row for row in chosen if row["file"] == file]
        for number, accept in enumerate(dict.fromkeys(row["accept"] for row in some)):
            one = [row for row in some if row["accept"] == accept]
            share = [100 * row["share"] for row in one]
            spread = [
                [100 * (row["share"] - row["low"]) for row in one],
                [100 * (row["high"] - row["share"]) for row in one],
            ]
            where = [at + 0.38 * number - 0.19 for at in range(len(one))]
            error = {"ecolor": INK, "elinewidth": 1}
            axes.bar(
                where,
                share,
                0.36,
                color=(BLUE, ORANGE)[number],
                yerr=spread,
                error_kw=error,
                label=f"accepted from {accept:g}",
            )
        axes.set_xticks(range(len(one)), [row["remask"] for row in one])
        axes.set(ylim=(0, 103))
        axes.tick_params(axis="x", labelsize=8.5)
    found[0].set_ylabel(f"solved in {chosen[0]['rounds']} drafts, %")
    legend(figure, found)
    return figure


def throughput(rows: Sequence[Row]) -> Figure | None:
    """Puzzles a second by batch size."""
    chosen = [row for row in rows if row["section"] == "throughput"]
    if not chosen:
        return None
    figure, (axes,) = panels([chosen[0]["file"]])
    for arm in dict.fromkeys(row["arm"] for row in chosen):
        some = sorted(
            (row["batch"], row["per_second"])
            for row in chosen
            if row["arm"] == arm and row["file"] == chosen[0]["file"]
        )
        axes.plot(*zip(*some, strict=True), label=arm, **look(arm))
    batches = sorted({row["batch"] for row in chosen})
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="batch",
        ylabel="puzzles a second",
        xticks=batches,
        xticklabels=batches,
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    legend(figure, [axes])
    return figure


def training(rows: Sequence[Row]) -> Figure | None:
    """Solved against training compute."""
    chosen = [row for row in rows if row["section"] == "training"]
    files = list(dict.fromkeys(row["file"] for row in chosen))[:4]
    if not files:
        return None
    figure, found = panels(files)
    for axes, file in zip(found, files, strict=True):
        for arm in dict.fromkeys(row["arm"] for row in chosen):
            some = sorted(
                (row["pflop"], 100 * row["share"])
                for row in chosen
                if row["arm"] == arm and row["file"] == file
            )
            if some:
                axes.plot(*zip(*some, strict=True), label=arm, **look(arm))
        axes.set(xscale="log", ylim=(-2, 103), xlabel="training PFLOP")
    found[0].set_ylabel("solved, %")
    legend(figure, found)
    return figure


PLOTS: dict[str, Callable[[Sequence[Row]], Figure | None]] = {
    "accuracy": accuracy,
    "flops": against("gflop"),
    "seconds": against("ms"),
    "calibration": reliability,
    "mistakes": mistakes,
    "remasking": remasking,
    "throughput": throughput,
    "training": training,
}


def draw(
    rows: Sequence[Row], folder: Path, plots: Mapping[str, Callable[[Sequence[Row]], Figure | None]] = PLOTS
) -> list[str]:
    """Write every plot that the rows allow as a PNG into ``folder``; their names."""
    names = []
    for name, make in plots.items():
        figure = make(rows)
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=130)
            names.append(f"{name}.png")
    return names
