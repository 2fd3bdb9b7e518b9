"""The Sudoku tables of README, docs and report.md."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.evaluation.markdown import (
    FILES,
    markdown_table,
    number_cell,
    percent_cell,
    pivot,
    section_table,
    share_cell,
)
from solver.evaluation.rows import Row, select
from solver.evaluation.statistics import solved_within

EASY_TO_HARD = "sepb_easy150_rated+sepb_medium150_rated+sepb_hard150_rated"
HARD = ("generated_minimal", "royle17_first_half", "sepb_diabolical_rated", "forum_hardest_1905_first_half")
EASY = ("csi4900_easy10k", EASY_TO_HARD)


def names_of(files: Sequence[str]) -> dict[str, str]:
    return {file: FILES.get(file, file) for file in files}


def batch_ms(row: Row) -> float:
    """Milliseconds per puzzle, of a whole batch."""
    return float(1e3 * row.get("seconds") / row.get("puzzles"))


def controls_cell(row: Row | None, puzzles: int) -> str:
    """Mean decisions of a control, with what it did not solve, and on how many puzzles if not on all."""
    if row is None:
        return "not measured"
    notes = [f"{row.get('puzzles')} lines"] if row.get("puzzles") != puzzles else []
    notes += [f"{row.get('solved'):g} solved"] if row.get("solved") != row.get("puzzles") else []
    return f"{row.get('decisions_mean'):,.4g}" + (f" ({', '.join(notes)})" if notes else "")


def by_model_cell(row: Row) -> str:
    """The number of puzzles solved without the help of the search."""
    return f"{row.get('solved') - row.get('by_search', 0):g}"


def with_checks_table(rows: Sequence[Row]) -> str:
    """Every file: the network unchecked, the loop with its checks, and the decisions of the controls."""
    contest = {(row.arm, row.file): row for row in select(rows, "contest")}
    without, checks = (
        ("one forward, no rule", "up to 1,024 loops, no rule"),
        ("with checks: solved by the model", "with search"),
    )
    header = ["file", "puzzles", *without, *checks, "wrong", "forwards, mean / median / max"]
    lines = []
    for file in (file for file in FILES if ("diffusion", file) in contest):
        row = contest["diffusion", file]
        puzzles = row.get("puzzles")
        networks = [contest.get((arm, file)) for arm in ("diffusion-oneshot", "diffusion-alone")]
        unchecked = ["" if network is None else percent_cell("share")(network) for network in networks]
        forwards = (
            f"{row.get('forwards_mean'):.2f} / {row.get('forwards_median'):g} / {row.get('forwards_max'):,}"
        )
        decisions = [controls_cell(contest.get((arm, file)), puzzles) for arm in ("random", "prior")]
        solved = [
            by_model_cell(row),
            number_cell("solved", "g")(row) if row.get("by_search") is not None else "",
        ]
        solved += [row.get("wrong"), forwards, f"{row.get('decisions_mean'):.2f}"]
        lines.append([FILES[file], puzzles, *unchecked, *solved, *decisions])
    return markdown_table([*header, "decisions, trained", "random", "prior"], lines)


def arms_table(rows: Sequence[Row]) -> str:
    """Every arm on the hard files, with its mean cost."""

    def cell(row: Row) -> str:
        return f"{share_cell('share')(row)}, {row.get('gflop_mean'):.3g} GFLOP, {batch_ms(row):.3g} ms"

    return markdown_table(*pivot(select(rows, "contest"), names_of(HARD), cell))


def contest_table(rows: Sequence[Row]) -> str:
    """Every arm's share on easy to hard files, and what a generated puzzle costs it."""
    contest = select(rows, "contest")
    header, lines = pivot(contest, names_of((*EASY, *HARD)), share_cell("share"))
    costs = {row.arm: row for row in contest if row.file == HARD[0]}
    priced = [
        [*line, f"{costs[line[0]].get('gflop_mean'):.3g}", f"{batch_ms(costs[line[0]]):.3g}"]
        for line in lines
        if line[0] in costs
    ]
    return markdown_table([*header, "GFLOP a generated puzzle", "ms"], priced)


def spent(row: Row, cost: str) -> NDArray[np.float64]:
    """The cost of each puzzle (N,): ``"gflop"``, or ``"ms"``, the batch's time in proportion to forwards."""
    if cost == "gflop":
        return np.array(row.get("each")["mflop"], float) / 1e3
    forwards = np.array(row.get("each")["forwards"], float)
    seconds: float = row.get("seconds")
    return 1e3 * seconds * forwards / max(1.0, float(forwards.sum()))


def solved_mask(row: Row) -> NDArray[np.bool_]:
    """Which puzzles (N,) are solved, in the first seed."""
    return np.array([hit == "1" for hit in row.get("each")["solved"]])


def budget_tables(rows: Sequence[Row]) -> str:
    """Shares solved at equal cost, one table per file and kind of cost, one column per power of ten."""
    contest = [row for row in select(rows, "contest") if "each" in row.figures]
    parts = []
    for file in dict.fromkeys(row.file for row in contest):
        measured = [row for row in contest if row.file == file]
        for cost, unit in (("gflop", "GFLOP"), ("ms", "ms")):
            costs = [spent(row, cost) for row in measured]
            positive = np.concatenate([values[values > 0] for values in costs])
            if len(measured) < 4 or not len(positive):
                continue
            low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
            limits = 10.0 ** np.arange(max(low, high - 6), high + 1)
            lines = [
                [row.arm, *(f"{100 * hit:.1f} %" for hit in solved_within(values, solved_mask(row), limits))]
                for row, values in zip(measured, costs, strict=True)
            ]
            header = ["arm", *(f"{limit:g} {unit}" for limit in limits)]
            parts.append(f"{FILES.get(file, file)}:\n\n{markdown_table(header, lines)}")
    return "\n".join(parts)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "with-checks": with_checks_table,
    "contest": contest_table,
    "arms": arms_table,
    "contest-costs": section_table(
        "contest",
        {
            "arm": "arm",
            "file": "file",
            "puzzles": "puzzles",
            "solved by the model": by_model_cell,
            "by search": number_cell("by_search", "g"),
            "wrong": "wrong",
            "calls": number_cell("calls_mean", ".1f"),
            "forwards, mean": number_cell("forwards_mean", ".2f"),
            "median": number_cell("forwards_median", "g"),
            "max": "forwards_max",
            "searched, mean": number_cell("searched_mean", ".2f"),
            "decisions": number_cell("decisions_mean", ".2f"),
            "GFLOP": number_cell("gflop_mean", ".3f"),
            "ms": lambda row: f"{batch_ms(row):.2f}",
        },
    ),
    "contest-budgets": budget_tables,
    "proofs": section_table(
        "proofs",
        {
            "denoiser": "arm",
            "boards": "file",
            "count": "puzzles",
            "proven": "unsatisfiable",
            "of these by search": number_cell("proven_by_search", "g"),
            "unfinished": "exhausted",
            "refuted nodes, mean": "nodes_mean",
            "max": "nodes_max",
            "forwards, mean": number_cell("forwards_mean", ".1f"),
            "searched, mean": number_cell("searched_mean", ".1f"),
            "seconds in all": "seconds",
        },
    ),
    "strategies": section_table(
        "strategies",
        {
            "boards": "file",
            "count": "puzzles",
            "strategies": "arm",
            "solved by the model": by_model_cell,
            "by search": number_cell("by_search", "g"),
            "proven": "unsatisfiable",
            "of these by search": number_cell("proven_by_search", "g"),
            "unfinished": "exhausted",
            "forwards, mean": number_cell("forwards_mean", ".1f"),
            "searched, mean": number_cell("searched_mean", ".1f"),
            "canvases, mean": lambda row: f"{row.get('forwards_mean') + row.get('searched_mean', 0.0):.1f}",
        },
        order=("file",),
    ),
    "repair": section_table(
        "repair",
        {
            "denoiser": "arm",
            "grids": "puzzles",
            "valid": "solved",
            "the original": "restored",
            "forwards, mean": "forwards_mean",
            "decisions, mean": "decisions_mean",
        },
    ),
    "throughput": section_table(
        "throughput",
        {
            "arm": "arm",
            "file": "file",
            "batch": "batch",
            "solved": "solved",
            "of": "puzzles",
            "puzzles/s": "per_second",
            "ms until a batch is done": "latency_ms",
        },
    ),
    "remasking": section_table(
        "remasking",
        {
            "file": "file",
            "accepted from": "accept",
            "re-masked by": "remask",
            "drafts": "rounds",
            "solved": share_cell("share"),
        },
    ),
    "calibration": section_table(
        "calibration",
        {"arm": "arm", "file": "file", "cells": "cells", "right": "accuracy", "calibration error": "error"},
    ),
    "mistakes": section_table(
        "mistakes",
        {
            "arm": "arm",
            "file": "file",
            "puzzles": "puzzles",
            "without a mistake": "never",
            "first mistake at this share of the cells, median": "median",
        },
    ),
    "training": section_table(
        "training",
        {"arm": "arm", "file": "file", "step": "step", "PFLOP": "pflop", "solved": share_cell("share")},
    ),
}
