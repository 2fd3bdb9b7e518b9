"""results.json as Markdown: the contest as one table a question, every other section as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from solver.evaluation.statistics import interval, solved_within

Row = dict[str, Any]
COLUMNS: dict[str, tuple[str, ...]] = {
    "contest": (
        "solved",
        "forwards_mean",
        "forwards_median",
        "forwards_max",
        "decisions_mean",
        "remasked_mean",
    ),
    "proofs": (
        "puzzles",
        "unsatisfiable",
        "exhausted",
        "wrong",
        "nodes_mean",
        "nodes_max",
        "decisions_mean",
        "seconds",
    ),
    "repair": ("puzzles", "solved", "wrong", "restored", "forwards_mean", "decisions_mean", "seconds"),
    "remasking": (
        "puzzles",
        "remask",
        "accept",
        "rounds",
        "share",
        "low",
        "high",
        "forwards_mean",
        "remasked_mean",
    ),
    "calibration": ("puzzles", "cells", "accuracy", "error"),
    "mistakes": ("puzzles", "never", "median"),
    "throughput": ("batch", "puzzles", "solved", "per_second", "latency_ms", "gflop_mean"),
    "training": ("model", "step", "pflop", "puzzles", "share", "low", "high", "forwards_mean"),
}
TITLES = {
    "contest": "Contest",
    "proofs": "Boards without a solution",
    "repair": "Repair",
    "remasking": "Re-masking without decisions",
    "calibration": "Calibration",
    "mistakes": "First mistake that nothing can repair",
    "throughput": "Throughput",
    "training": "Accuracy against training compute",
}


def table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    rows = [" | ".join(str(cell) for cell in line) for line in lines]
    return (
        "| "
        + " | ".join(header)
        + " |\n|"
        + "---|" * len(header)
        + "\n"
        + "".join(f"| {row} |\n" for row in rows)
    )


def merged(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """The contest's rows by arm and file, seeds together: share and interval over puzzles, means over seeds."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["section"] == "contest":
            groups.setdefault((row["arm"], row["file"]), []).append(row)
    found = {}
    for key, some in groups.items():
        first = some[0]
        means = {
            name: float(np.mean([r[name] for r in some]))
            for name, value in first.items()
            if isinstance(value, int | float)
        }
        one = {
            **first,
            **means,
            "wrong": sum(r["wrong"] for r in some),
            "forwards_max": max(r["forwards_max"] for r in some),
        }
        each = [r["each"]["solved"] for r in some if "each" in r and r["puzzles"] == first["puzzles"]]
        if len(each) == len(some):
            low, high = interval(np.array([[c == "1" for c in line] for line in each]).T)
            one |= {"low": low, "high": high}
        found[key] = {**one, "puzzles": first["puzzles"], "seeds": len(some)}
    return found


def percent(row: Row) -> str:
    """A share with its interval."""
    return f"{100 * row['share']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def budgets(rows: dict[tuple[str, str], Row], file: str, cost: str) -> str:
    """Solved shares at equal cost ("gflop" or "ms" a puzzle), one column a budget that is a power of ten."""
    some = {arm: row for (arm, name), row in rows.items() if name == file and "each" in row}
    if not some:
        return ""
    costs = {arm: spent(row, cost) for arm, row in some.items()}
    positive = np.concatenate([c[c > 0] for c in costs.values()])
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    limits = 10.0 ** np.arange(max(low, high - 6), high + 1)
    lines = []
    for arm, row in some.items():
        solved = [c == "1" for c in row["each"]["solved"]]
        lines.append([arm, *(f"{100 * share:.1f} %" for share in solved_within(costs[arm], solved, limits))])
    return table(["arm", *(f"{limit:g} {'GFLOP' if cost == 'gflop' else 'ms'}" for limit in limits)], lines)


def spent(row: Row, cost: str) -> Any:
    """What each puzzle cost (N,): its GFLOP, or its share of the batch's milliseconds by its forwards."""
    if cost == "gflop":
        return np.array(row["each"]["mflop"]) / 1e3
    forwards = np.array(row["each"]["forwards"], float)
    return 1e3 * row["seconds"] * forwards / max(1.0, forwards.sum())


def report(rows: Sequence[Row]) -> str:
    """Everything."""
    parts = ["# Sudoku, measured\n"]
    contest = merged(rows)
    if contest:
        files = list(dict.fromkeys(file for _, file in contest))
        arms = list(dict.fromkeys(arm for arm, _ in contest))
        parts.append("\n## Contest: exactly solved, with 95 % bootstrap intervals\n\n")
        sizes = {
            file: max(int(row["puzzles"]) for (_, name), row in contest.items() if name == file)
            for file in files
        }
        lines = [
            [
                arm,
                *(
                    percent(contest[arm, f]) + of(contest[arm, f], sizes[f]) if (arm, f) in contest else ""
                    for f in files
                ),
            ]
            for arm in arms
        ]
        parts.append(table(["arm", *(f"{file} ({sizes[file]})" for file in files)], lines))
        parts.append("\n## Contest: what it took, a puzzle\n\n")
        names = (
            "arm",
            "file",
            "puzzles",
            "solved",
            "wrong",
            "calls",
            "forwards, mean",
            "median",
            "max",
            "decisions",
            "GFLOP",
            "ms",
        )
        lines = []
        for (arm, file), row in contest.items():
            ms = 1e3 * row["seconds"] / row["puzzles"]
            numbers = [
                row["puzzles"],
                f"{row['solved']:g}",
                row["wrong"],
                f"{row.get('calls_mean', 0):.1f}",
                f"{row['forwards_mean']:.2f}",
            ]
            numbers += [f"{row['forwards_median']:g}", row["forwards_max"], f"{row['decisions_mean']:.2f}"]
            lines.append([arm, file, *numbers, f"{row['gflop_mean']:.3f}", f"{ms:.2f}"])
        parts.append(table(names, lines))
        for file in files:
            for cost, name in (("gflop", "FLOPs"), ("ms", "seconds")):
                if len([1 for arm, f in contest if f == file and "each" in contest[arm, f]]) > 3 and (
                    found := budgets(contest, file, cost)
                ):
                    parts.append(f"\n### {file}: solved at equal {name}, a puzzle\n\n{found}")
    for section, columns in COLUMNS.items():
        chosen = [row for row in rows if row["section"] == section]
        if section != "contest" and chosen:
            used = [c for c in columns if any(c in row for row in chosen)]
            parts.append(
                f"\n## {TITLES[section]}\n\n"
                + table(
                    ["arm", "file", *used],
                    [[r["arm"], r["file"], *(r.get(c, "") for c in used)] for r in chosen],
                )
            )
    return "".join(parts)


def of(row: Row, size: int) -> str:
    """A note where an arm ran on fewer puzzles than the others."""
    return "" if row["puzzles"] == size else f" of {row['puzzles']}"


def line(row: Row) -> str:
    """A row for a person who watches."""
    start = f"{row['section']:<12} {row['file']:<28} {row['arm']:<26}"
    if "share" not in row:
        return start + "  ".join(f"{key} {row[key]}" for key in COLUMNS[row["section"]] if key in row)
    extra = "".join(
        f"  {key} {row[key]}"
        for key in ("nodes_mean", "nodes_max", "restored", "batch", "remask", "step")
        if key in row
    )
    forwards = (
        f"forwards {row['forwards_mean']} (median {row['forwards_median']:.0f}, max {row['forwards_max']})"
    )
    unsatisfiable = f", {row['unsatisfiable']} unsatisfiable" if row["unsatisfiable"] else ""
    return f"{start} {row['solved']}/{row['puzzles']}, {row['wrong']} wrong{unsatisfiable}; {forwards}, {row['seconds']} s{extra}"
