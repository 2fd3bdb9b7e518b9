"""Charts of arms: curves, and shares with their intervals, in panels with one legend.

Blue is diffusion, orange and red are left to right, grey is a control; every arm has its own marker too.

>>> figure = draw_curves({"hard": {"diffusion": ([1, 2], [50, 100])}}, "solved, %")
>>> [axes.get_title() for axes in figure.axes]
['hard']
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from solver.pictures.marks import BLUE, DEEP_BLUE, DEEP_ORANGE, GREY, ORANGE

RED = "#cc3d6e"  # distinct from blue and orange with any kind of colour vision
DASHES = {
    "diffusion": "-",
    "alone": "-",
    "oneshot": ":",
    "backtracking": "-",
    "masked": "--",
    "ar-fim, likeliest of 16": "--",
    "ar-fim, likeliest of 256": "-.",
    "diffusion-oneshot, true length": "--",
}
TITLES = {
    "generated_minimal": "generated",
    "royle17_first_half": "17-clue",
    "sepb_diabolical_rated": "diabolical",
    "sepb_easy150_rated+sepb_medium150_rated+sepb_hard150_rated": "sepb easy to hard",
    "csi4900_easy10k": "csi4900 easy",
    "forum_hardest_1905_first_half": "forum hardest",
    "magictour_top1465": "magictour",
}
Points = tuple[Sequence[float], Sequence[float]]
Curves = Mapping[str, Mapping[str, Points]]  # by panel, then by arm


def arm_style(arm: str) -> dict[str, Any]:
    """Return colour, dashes and marker of an arm."""
    base = arm.split(",")[0]
    family, suffix = base.split("-")[0], base.rpartition("-")[2]
    plain, reordered = "plain" in arm, "easiest" in arm or "fim" in arm
    dotted = family == "ar" and "tries" not in arm
    match family:
        case "solver.fill by default":
            color, marker = BLUE if "," in arm else DEEP_BLUE, "o"
        case "diffusion":
            color, marker = DEEP_BLUE if arm == "diffusion" else BLUE, "o"
        case "ar" if plain:
            color, marker = ORANGE, "P" if reordered else "^"
        case "ar":
            color, marker = (RED, "D") if reordered else (DEEP_ORANGE, "s")
        case _:
            color, marker = GREY, {"random": "x", "prior": "+", "rules": "*"}.get(family, "v")
    dashes = DASHES.get(arm, DASHES.get(suffix, ":" if dotted else "-"))
    return {"color": color, "linestyle": dashes, "marker": marker, "markersize": 4.5, "linewidth": 1.6}


def panels_size(count: int, height: float = 4.0) -> tuple[float, float]:
    """Return the inches of a figure with ``count`` panels of curves or bars."""
    return max(5.5, 3.3 * count + 0.6), height


def make_panels(
    titles: Collection[str],
    inches: tuple[float, float],
    grid: Literal["x", "y"] = "y",
    hidden: Sequence[str] = ("top", "right"),
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, which share their vertical axis.

    Args:
        titles: of the panels; files by their names in charts.
        inches: of the figure.
        grid: axis with grid lines.
        hidden: sides of the panels without a line.
    """
    figure = Figure(figsize=inches, layout="constrained")
    panels = list(figure.subplots(1, len(titles), sharey=True, squeeze=False)[0])
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(TITLES.get(title, title), fontsize=10.5)
        axes.spines[list(hidden)].set_visible(False)
        axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def add_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend for all panels below them."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # a line takes half an inch, a letter 0.075
    fitting = int(figure.get_figwidth() / (0.5 + 0.075 * max(map(len, handles), default=1)))
    columns = max(1, min(5, len(handles), fitting))
    text: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": 8.5}
    figure.legend(handles.values(), handles, loc="outside lower center", **text)


def draw_curves(
    curves: Curves,
    ylabel: str,
    style: Callable[[str], dict[str, Any]] = arm_style,
    draw: str = "plot",
    **axis: Any,
) -> Figure | None:
    """Draw one panel per file and one curve per arm.

    Args:
        curves: points by panel and arm.
        ylabel: of the left panel.
        style: options of an arm's curve.
        draw: method of the axes that draws a curve.
        axis: properties of every panel.

    Returns:
        None if there are no curves.
    """
    if not curves:
        return None
    figure, panels = make_panels(curves, panels_size(len(curves)))
    for axes, arms in zip(panels, curves.values(), strict=True):
        for arm, (x, y) in arms.items():
            getattr(axes, draw)(x, y, label=arm, **style(arm))
        axes.set(**axis)
        if axis.get("xscale") == "log":
            axes.xaxis.set_minor_formatter(NullFormatter())  # labels between powers of ten overlap
    panels[0].set_ylabel(ylabel)
    add_legend(figure, panels)
    return figure


def draw_shares(
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    xlabel: str,
    inches: tuple[float, float],
    limit: float = 100,
) -> Figure | None:
    """Draw shares with their intervals: one panel per title, one line per arm.

    Args:
        shares: (share, low, high) by title and arm.
        xlabel: of every panel.
        inches: width of the arms' names, and of a panel.
        limit: of the horizontal axis, in percent.
    """
    if not shares:
        return None
    arms = list(dict.fromkeys(arm for panel in shares.values() for arm in panel))
    size = (inches[0] + inches[1] * len(shares), 1.0 + 0.3 * len(arms))
    figure, panels = make_panels(shares, size, "x", ("top", "right", "left"))
    for axes, dots in zip(panels, shares.values(), strict=True):
        for arm, (share, low, high) in dots.items():
            line, style = arms.index(arm), arm_style(arm)
            ends = [100 * low, 100 * high]
            axes.plot(ends, [line, line], color=style["color"], linewidth=2.2, solid_capstyle="butt")
            axes.plot(100 * share, line, style["marker"], color=style["color"], markersize=6.5)
        axes.set(xlim=(-4, limit + 4), yticks=range(len(arms)), yticklabels=arms, xlabel=xlabel)
        axes.yaxis.set_inverted(True)
        axes.tick_params(axis="y", length=0)
    return figure
