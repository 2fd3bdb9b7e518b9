"""The code tables that README and docs quote, made from docs/results/code.json (see tables.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from solver.evaluation.json_tables import chosen, share
from solver.evaluation.report import table

Row = dict[str, Any]


def cost(row: Row) -> list[str]:
    """Forwards, GFLOP, ms of the median and of the 95th percentile."""
    return [
        f"{row['forwards_mean']:g}",
        f"{row['gflop_mean']:.3g}",
        f"{row['ms']['p50']:.3g} / {row['ms']['p95']:.3g}",
    ]


def infill(rows: Sequence[Row]) -> str:
    """Every arm on all single holes."""
    keys, leads = ("exact", "compiles", "unknown", "doubled"), ahead(rows, "code-infill")
    lines = [
        [
            row["arm"],
            row["holes"],
            share(row, keys[0]),
            leads.get(row["arm"], ""),
            f"{100 * row['first_compiles']:.1f} %",
            *(share(row, key) for key in keys[1:]),
            *cost(row),
        ]
        for row in chosen(rows, "code-infill")
        if row["file"] == "all"
    ]
    header = [
        "arm",
        "holes",
        "exact",
        "diffusion ahead by",
        "compiles, first try",
        "compiles",
        "brings in an unknown name",
        "repeats what follows",
    ]
    return table([*header, "forwards", "GFLOP", "ms p50 / p95"], lines)


def ahead(rows: Sequence[Row], section: str) -> dict[str, str]:
    """By arm: how many points the denoiser is ahead of it."""
    return {
        row[
            "arm"
        ]: f"{100 * row['lead']:+.1f} [{100 * row['lead_interval'][0]:.1f}, {100 * row['lead_interval'][1]:.1f}]"
        for row in chosen(rows, f"{section}-lead")
        if row["file"] == "all"
    }


def by_file(rows: Sequence[Row], section: str, key: str) -> str:
    """Arms down, kinds and lengths across: one figure, with its interval."""
    found = {(row["arm"], row["file"]): row for row in chosen(rows, section)}
    files = list(dict.fromkeys(file for _, file in found if file != "all"))
    sizes = {file: next(row["holes"] for (_, name), row in found.items() if name == file) for file in files}

    def cell(arm: str, file: str) -> str:
        row = found.get((arm, file))
        if row is None:
            return ""
        return share(row, key) + ("" if row["holes"] == sizes[file] else f" of {row['holes']}")

    lines = [[arm, *(cell(arm, file) for file in files)] for arm in dict.fromkeys(arm for arm, _ in found)]
    return table(["arm", *(f"{file} ({sizes[file]})" for file in files)], lines)


def dependent(rows: Sequence[Row], section: str = "code-dependent") -> str:
    """Every arm on holes that depend on each other: all right up to renaming, at most so many GFLOP or seconds each."""
    found, leads = [row for row in chosen(rows, section) if row["file"] == "all"], ahead(rows, section)
    budgets = [
        (name, b) for name in ("gflop", "seconds") for b in (found[0][f"within_{name}"] if found else {})
    ]
    lines = [
        [
            row["arm"],
            row["holes"],
            share(row, "renamed"),
            leads.get(row["arm"], ""),
            share(row, "compiles"),
            *(f"{100 * row[f'within_{name}'][b]:.0f} %" for name, b in budgets),
            *cost(row),
        ]
        for row in found
    ]
    header = [f"in {b} {'GFLOP' if name == 'gflop' else 's'}" for name, b in budgets]
    first = ["arm", "sets", "right up to renaming", "diffusion ahead by", "compiles"]
    return table([*first, *header, "forwards", "GFLOP", "ms p50 / p95"], lines)


def repair(rows: Sequence[Row]) -> str:
    """Functions with one small damage, by kind of damage."""
    lines = [
        [
            row["arm"],
            row["file"],
            row["functions"],
            *(share(row, key) for key in ("compiles", "alike", "restored")),
            "" if row["edits_median"] is None else f"{row['edits_median']:g}",
            f"{row['forwards_mean']:g}",
            f"{row['ms']['p50']:.3g} / {row['ms']['p95']:.3g}",
        ]
        for row in chosen(rows, "code-repair")
    ]
    header = ["denoiser", "damage", "functions", "parses again", "the same tokens as before", "the same text"]
    return table([*header, "edits over the damage's, median", "forwards", "ms p50 / p95"], lines)


def localisation(rows: Sequence[Row]) -> str:
    """How often the place that is suspected first, or one of the first three, is the damaged one."""
    lines = [
        [row["file"], row["functions"], f"{100 * row['first']:.1f} %", f"{100 * row['first_three']:.1f} %"]
        for row in chosen(rows, "code-localisation")
    ]
    return table(["damage", "functions", "first place suspected", "one of three"], lines)


def misuse(rows: Sequence[Row]) -> str:
    """Which variable belongs in a place that is given."""
    lines = [
        [row["arm"], row["functions"], f"{row['candidates_mean']:g}", share(row, "right"), f"{row['ms']:.3g}"]
        for row in chosen(rows, "code-misuse")
    ]
    return table(["arm", "functions", "candidates, mean", "right", "ms"], lines)


def benchmarks(rows: Sequence[Row]) -> str:
    """pass@1 in the sandbox."""
    lines = [
        [
            row["file"],
            row["arm"],
            row["problems"],
            share(row, "pass_1"),
            f"{100 * row['compiles']:.1f} %",
            f"{row['ms']['p50']:.3g} / {row['ms']['p95']:.3g}" if "ms" in row else "",
        ]
        for row in chosen(rows, "code-benchmarks")
    ]
    return table(["benchmark", "arm", "problems", "pass@1", "compiles", "ms p50 / p95"], lines)


def speed(rows: Sequence[Row]) -> str:
    """One hole at a time, warm."""
    points = ("p10", "p50", "p90", "p95", "p99", "p100")
    lines = [
        [row["arm"], row["holes"], *(f"{row['ms'][p]:g}" for p in points)]
        for row in chosen(rows, "code-speed")
    ]
    return table(["arm", "holes", *(f"ms, {'max' if p == 'p100' else p}" for p in points)], lines)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "code-infill": infill,
    "code-infill-by-kind": lambda rows: by_file(rows, "code-infill", "exact"),
    "code-dependent": dependent,
    "code-dependent-by-kind": lambda rows: by_file(rows, "code-dependent", "renamed"),
    "code-others": lambda rows: dependent(rows, "code-others"),
    "code-others-by-kind": lambda rows: by_file(rows, "code-others", "renamed"),
    "code-repair": repair,
    "code-localisation": localisation,
    "code-misuse": misuse,
    "code-benchmarks": benchmarks,
    "code-speed": speed,
}
