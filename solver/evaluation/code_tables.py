"""The code tables of README, docs and report.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solver.evaluation.markdown import (
    Cell,
    Table,
    interval_cell,
    markdown_table,
    number_cell,
    percent_cell,
    pivot,
    share_cell,
)
from solver.evaluation.rows import Row, select


def milliseconds_cell(row: Row) -> str:
    """Median and 95th percentile; empty where it was not measured."""
    times = row.get("ms")
    return f"{times['p50']:.3g} / {times['p95']:.3g}" if times else ""


def point_cell(point: str) -> Cell:
    """One quantile of the milliseconds."""
    return lambda row: f"{row.get('ms')[point]:g}"


HOLE_COST: Mapping[str, Cell] = {
    "forwards": number_cell("forwards_mean", "g"),
    "GFLOP": number_cell("gflop_mean", ".3g"),
    "ms p50 / p95": milliseconds_cell,
}


@dataclass(frozen=True)
class HoleTable:
    """Every arm on all holes of a section, with the denoiser's lead over it.

    Args:
        section: of the rows.
        count: heading of the number of holes.
        figures: columns before and after the lead.
        budgets: whether to show the shares within budgets too.
    """

    section: str
    count: str
    figures: tuple[Mapping[str, Cell], Mapping[str, Cell]]
    budgets: bool

    def __call__(self, rows: Sequence[Row]) -> str:
        """Return the table of ``rows``."""
        arms = select(rows, self.section, file="all")
        lead_cell = interval_cell("lead", ".1f", 100)
        leads = {row.arm: lead_cell(row) for row in select(rows, f"{self.section}-lead", file="all")}
        within = [
            (cost, budget)
            for cost in ("gflop", "seconds")
            for budget in (arms[0].get(f"within_{cost}") if arms and self.budgets else ())
        ]
        before, after = self.figures
        lines = [
            [
                row.arm,
                row.get("holes"),
                *(cell(row) for cell in before.values()),
                leads.get(row.arm, ""),
                *(cell(row) for cell in after.values()),
                *(f"{100 * row.get(f'within_{cost}')[budget]:.0f} %" for cost, budget in within),
                *(cell(row) for cell in HOLE_COST.values()),
            ]
            for row in arms
        ]
        budgets = [f"in {budget} {'GFLOP' if cost == 'gflop' else 's'}" for cost, budget in within]
        header = ["arm", self.count, *before, "diffusion ahead by", *after, *budgets, *HOLE_COST]
        return markdown_table(header, lines)


@dataclass(frozen=True)
class KindTable:
    """One share with its interval: arms down, kinds and lengths of holes across."""

    section: str
    figure: str

    def __call__(self, rows: Sequence[Row]) -> str:
        """Return the table of ``rows``."""
        holes = [row for row in select(rows, self.section) if row.file != "all"]
        sizes = {row.file: row.get("holes") for row in reversed(holes)}
        files = {row.file: f"{row.file} ({sizes[row.file]})" for row in holes}

        def cell(row: Row) -> str:
            count = row.get("holes")
            return share_cell(self.figure)(row) + ("" if count == sizes[row.file] else f" of {count}")

        return markdown_table(*pivot(holes, files, cell))


INFILL = (
    {"exact": share_cell("exact")},
    {
        "compiles, first try": percent_cell("first_compiles"),
        "compiles": share_cell("compiles"),
        "brings in an unknown name": share_cell("unknown"),
        "repeats what follows": share_cell("doubled"),
    },
)
DEPENDENT = ({"right up to renaming": share_cell("renamed")}, {"compiles": share_cell("compiles")})
TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "code-infill": HoleTable("code-infill", "holes", INFILL, budgets=False),
    "code-infill-by-kind": KindTable("code-infill", "exact"),
    "code-dependent": HoleTable("code-dependent", "sets", DEPENDENT, budgets=True),
    "code-dependent-by-kind": KindTable("code-dependent", "renamed"),
    "code-others": HoleTable("code-others", "sets", DEPENDENT, budgets=True),
    "code-others-by-kind": KindTable("code-others", "renamed"),
    "code-repair": Table(
        "code-repair",
        {
            "denoiser": "arm",
            "damage": "file",
            "functions": "functions",
            "parses again": share_cell("compiles"),
            "the same tokens as before": share_cell("alike"),
            "the same text": share_cell("restored"),
            "edits over the damage's, median": number_cell("edits_median", "g"),
            "forwards": number_cell("forwards_mean", "g"),
            "ms p50 / p95": milliseconds_cell,
        },
    ),
    "code-localisation": Table(
        "code-localisation",
        {
            "damage": "file",
            "functions": "functions",
            "first place suspected": percent_cell("first"),
            "one of three": percent_cell("first_three"),
        },
    ),
    "code-misuse": Table(
        "code-misuse",
        {
            "arm": "arm",
            "functions": "functions",
            "candidates, mean": number_cell("candidates_mean", "g"),
            "right": share_cell("right"),
            "ms": number_cell("ms", ".3g"),
        },
    ),
    "code-benchmarks": Table(
        "code-benchmarks",
        {
            "benchmark": "file",
            "arm": "arm",
            "problems": "problems",
            "pass@1": share_cell("pass_1"),
            "compiles": percent_cell("compiles"),
            "ms p50 / p95": milliseconds_cell,
        },
    ),
    "code-speed": Table(
        "code-speed",
        {
            "arm": "arm",
            "holes": "holes",
            **{f"ms, {point}": point_cell(point) for point in ("p10", "p50", "p90", "p95", "p99")},
            "ms, max": point_cell("p100"),
        },
    ),
}
