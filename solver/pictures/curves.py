"""Counts over the forwards of a run, a comparison of runs, and the proof that a board has no solution."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from solver.pictures.marks import BLUE, DEEP_BLUE, DEEP_ORANGE, GREY, INK, ORANGE, StepRecord


def counts(steps: Sequence[StepRecord]) -> dict[str, list[int]]:
    """Count per step: ``known`` cells after it (givens included), ``remasked`` cells, ``violations`` of the draft."""
    return {
        "known": [len(set(step["visible"]) | set(step["settled"])) for step in steps],
        "remasked": [len(step["remasked"]) for step in steps],
        "violations": [len(step["violations"]) for step in steps],
    }


def curve(steps: Sequence[StepRecord], title: str = "") -> Figure:
    """Plot known cells (above), re-masked cells and violations (below) over forwards; ticks on the axis are decisions."""
    numbers, series = range(1, len(steps) + 1), counts(steps)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    style: dict[str, Any] = {"linewidth": 1.2}
    if len(steps) <= 40:
        style = {"marker": "o", "markersize": 4, "linewidth": 1.8}
    cells = len(steps[0]["draft"]) if steps else 0
    upper.plot(numbers, series["known"], color=DEEP_BLUE, **style)
    upper.axhline(cells, color=GREY, linewidth=0.8, linestyle=":")
    upper.set(ylabel="known cells", ylim=(0, cells * 1.08), title=title)
    lower.plot(numbers, series["remasked"], color=DEEP_ORANGE, label="cells re-masked", **style)
    label = "violations of the draft"
    lower.plot(numbers, series["violations"], color=BLUE, linestyle="--", label=label, **style)
    decided = [number for number, step in zip(numbers, steps, strict=True) if step["decision"]]
    zeros = [0] * len(decided)
    lower.plot(decided, zeros, "|", color=INK, markersize=9, clip_on=False, label="a decision")
    lower.set(xlabel="forward", ylabel="count", ylim=(0, None))
    lower.legend(frameon=False, fontsize=9, ncols=3, loc="upper right", bbox_to_anchor=(1, 1.22))
    for axes in (upper, lower):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def comparison(runs: dict[str, Sequence[StepRecord]]) -> Figure:
    """Plot forwards and decisions of several denoisers on one problem as bars, the first one in blue.

    A run that was not solved is labelled so.
    """
    figure = Figure(figsize=(8, 0.9 + 0.42 * len(runs)), layout="constrained")
    names = list(runs)
    measures = {
        "forwards": [len(steps) for steps in runs.values()],
        "decisions": [sum(step["decision"] is not None for step in steps) for steps in runs.values()],
    }
    for axes, (measure, values) in zip(figure.subplots(1, 2, sharey=True), measures.items(), strict=True):
        axes.barh(names, values, color=[BLUE, *[ORANGE] * (len(names) - 1)], height=0.62)
        for row, value in enumerate(values):
            solved = any(step["solved"] for step in runs[names[row]])
            note = f" {value}" + ("" if solved or measure == "decisions" else " (not solved)")
            axes.text(value, row, note, va="center", fontsize=9.5, color=INK)
        axes.set(xlim=(0, 1.25 * max(1, *values)), title=measure)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.yaxis.set_inverted(True)
    return figure


def proof_lines(steps: Sequence[StepRecord], digits: int) -> list[str]:
    """Describe each refuted node in one line: the decisions that lead to it, and the violation that closed it."""

    def name(cell: int) -> str:
        return f"r{cell // digits + 1}c{cell % digits + 1}"

    # The first step of a node has its decision; in reverse order it overwrites the later ones.
    nodes: dict[int, tuple[list[int] | None, int]] = {
        step["node"]: (step["decision"], step["parent"]) for step in reversed(steps)
    }
    lines = []
    for step in steps:
        if not step["refuted"]:
            continue
        path, node = [], step["node"]
        while node in nodes:
            decision, node = nodes[node]
            path += [f"{name(decision[0])}={decision[1] + 1}"] if decision else []
        decisions = ", ".join(reversed(path)) or "no decision"
        reason = " ".join(name(cell) for cell in step["refuted"]["reason"])
        lines.append(f"node {step['node']} ({decisions}): {step['refuted']['message']}, because of {reason}")
    return lines
