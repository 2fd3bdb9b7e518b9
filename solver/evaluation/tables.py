"""The tables that README and docs quote, made from the results' files, so that a quoted number cannot differ from them.

    python -m solver.evaluation.tables README.md docs/claims.md        # writes them in; --check only looks

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. tests/test_claims.py runs the check.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solver.evaluation import code_tables, json_tables
from solver.evaluation.report import merged, percent, table

Row = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "docs" / "results"  # results.json of Sudoku, json.json, code.json
MARK = re.compile(r"(<!-- table: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FILES = {
    "sepb_easy150_rated": "sepb easy",
    "sepb_medium150_rated": "sepb medium",
    "sepb_hard150_rated": "sepb hard",
    "sepb_diabolical_rated": "sepb diabolical",
    "royle17_first_half": "17-clue (royle17)",
    "generated_minimal": "generated minimal",
    "forum_hardest_1905_first_half": "forum hardest 1905",
    "magictour_top1465": "magictour",
    "csi4900_easy10k": "csi4900 easy",
    "csi4900_expert10k": "csi4900 expert",
    "norvig_easy50": "norvig easy",
    "norvig_top95": "norvig top95",
    "norvig_hardest11": "norvig hardest",
}
EASY_TO_HARD = "sepb_easy150_rated+sepb_medium150_rated+sepb_hard150_rated"
FILES[EASY_TO_HARD] = "sepb easy to hard"
CONTEST = (
    "generated_minimal",
    "royle17_first_half",
    "sepb_diabolical_rated",
    "forum_hardest_1905_first_half",
)
HEADLINE = ("csi4900_easy10k", EASY_TO_HARD, *CONTEST)


def decisions(row: Row | None, size: int) -> str:
    """Mean decisions of a control, with what it did not solve and on how many puzzles, where that is not all."""
    if row is None:
        return "not measured"
    notes = [f"{row['puzzles']} lines"] if row["puzzles"] != size else []
    notes += [f"{row['solved']:g} solved"] if row["solved"] != row["puzzles"] else []
    return f"{row['decisions_mean']:,.4g}" + (f" ({', '.join(notes)})" if notes else "")


def with_checks(rows: Sequence[Row]) -> str:
    """Every file: the network alone, the loop with its checks, and the decisions of the controls."""
    contest = merged(rows)
    header = [
        "file",
        "puzzles",
        "one forward, no rule",
        "up to 1,024 loops, no rule",
        "with checks: solved",
        "wrong",
    ]
    header += ["forwards, mean / median / max", "decisions, trained", "random", "prior"]
    lines = []
    for file, name in FILES.items():
        row = contest.get(("diffusion", file))
        if row is None:
            continue
        size = row["puzzles"]
        without = [contest.get((arm, file)) for arm in ("diffusion-oneshot", "diffusion-alone")]
        alone = ["" if one is None else f"{100 * one['share']:.1f} %" for one in without]
        forwards = f"{row['forwards_mean']:.2f} / {row['forwards_median']:g} / {row['forwards_max']:,}"
        controls = [decisions(contest.get((arm, file)), size) for arm in ("random", "prior")]
        lines.append(
            [
                name,
                size,
                *alone,
                f"{row['solved']:g}",
                row["wrong"],
                forwards,
                f"{row['decisions_mean']:.2f}",
                *controls,
            ]
        )
    return table(header, lines)


def arms(rows: Sequence[Row]) -> str:
    """Every arm on the four hard files."""
    contest = merged(rows)
    names = list(dict.fromkeys(arm for arm, _ in contest))
    lines = []
    for arm in names:
        cells = []
        for file in CONTEST:
            row = contest.get((arm, file))
            cost = (
                ""
                if row is None
                else f"{row['gflop_mean']:.3g} GFLOP, {1e3 * row['seconds'] / row['puzzles']:.3g} ms"
            )
            cells.append("" if row is None else f"{percent(row)}, {cost}")
        if any(cells):
            lines.append([arm, *cells])
    return table(["arm", *(FILES[file] for file in CONTEST)], lines)


def contest(rows: Sequence[Row]) -> str:
    """The headline: every arm's share on easy to hard files, and what a generated puzzle costs it."""
    found = merged(rows)
    lines = []
    for arm in dict.fromkeys(arm for arm, _ in found):
        shares = [found.get((arm, file)) for file in HEADLINE]
        cost = found.get((arm, CONTEST[0]))
        if cost is not None:
            spent = [f"{cost['gflop_mean']:.3g}", f"{1e3 * cost['seconds'] / cost['puzzles']:.3g}"]
            lines.append([arm, *("" if row is None else percent(row) for row in shares), *spent])
    return table(["arm", *(FILES[file] for file in HEADLINE), "GFLOP a generated puzzle", "ms"], lines)


def section(name: str, columns: dict[str, str]) -> Callable[[Sequence[Row]], str]:
    """A section as it is, with these columns: key -> heading."""

    def make(rows: Sequence[Row]) -> str:
        chosen = [row for row in rows if row["section"] == name]
        return table(
            list(columns.values()),
            [[FILES.get(str(row.get(key)), row.get(key, "")) for key in columns] for row in chosen],
        )

    return make


COLUMNS: dict[str, dict[str, str]] = {
    "proofs": {
        "arm": "denoiser",
        "file": "boards",
        "puzzles": "count",
        "unsatisfiable": "proven",
        "exhausted": "unfinished",
        "nodes_mean": "canvases, mean",
        "nodes_max": "max",
        "seconds": "seconds in all",
    },
    "repair": {
        "arm": "denoiser",
        "puzzles": "grids",
        "solved": "valid",
        "restored": "the original",
        "forwards_mean": "forwards, mean",
        "decisions_mean": "decisions, mean",
    },
    "throughput": {
        "arm": "arm",
        "file": "file",
        "batch": "batch",
        "solved": "solved",
        "puzzles": "of",
        "per_second": "puzzles/s",
        "latency_ms": "ms until a batch is done",
    },
    "remasking": {
        "file": "file",
        "accept": "accepted from",
        "remask": "re-masked by",
        "rounds": "drafts",
        "share": "solved",
        "low": "low",
        "high": "high",
    },
    "calibration": {
        "arm": "arm",
        "file": "file",
        "cells": "cells",
        "accuracy": "right",
        "error": "calibration error",
    },
    "mistakes": {
        "arm": "arm",
        "file": "file",
        "puzzles": "puzzles",
        "never": "without a mistake",
        "median": "first mistake at this share of the cells, median",
    },
    "training": {
        "arm": "arm",
        "file": "file",
        "step": "step",
        "pflop": "PFLOP",
        "share": "solved",
        "low": "low",
        "high": "high",
    },
}
TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "with-checks": with_checks,
    "arms": arms,
    "contest": contest,
}
TABLES |= {name: section(name, columns) for name, columns in COLUMNS.items()}
TABLES |= json_tables.TABLES | code_tables.TABLES


def results(folder: Path = RESULTS) -> list[Row]:
    """The rows of all files of a folder."""
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())["rows"]]


def filled(text: str, rows: Sequence[Row]) -> str:
    """``text`` with every marked table made anew. Raises KeyError for a name that is none."""
    return MARK.sub(lambda match: match[1] + TABLES[match[2]](rows) + match[4], text)


def main() -> int:
    """Write the tables into files, or check that they are there."""
    parser = argparse.ArgumentParser(
        prog="python -m solver.evaluation.tables", description="put measured tables into documents"
    )
    parser.add_argument("documents", nargs="+", metavar="FILE")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a table differs")
    arguments = parser.parse_args()
    rows = results(Path(arguments.results))
    stale = []
    for name in arguments.documents:
        text = Path(name).read_text()
        new = filled(text, rows)
        if new != text:
            stale.append(name)
            if not arguments.check:
                Path(name).write_text(new)
    if arguments.check and stale:
        print(f"differs from {arguments.results}: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
