"""The code tables of README, docs and report.md."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from solver.evaluation.markdown import (
    Cell,
    interval_cell,
    markdown_table,
    number_cell,
    percent_cell,
    pivot,
    section_table,
    share_cell,
)
from solver.evaluation.rows import Row, select


def milliseconds_cell(row: Row) -> str:
    """Median and 95th percentile; empty where it was not measured."""
    times = row.get("ms")
    return f"{times['p50']:.3g} / {times['p95']:.3g}" if times else ""


def point_cell(point: str) -> Cell:
    return lambda row: f"{row.get('ms')[point]:g}"


HOLE_COST: Mapping[str, Cell] = {
    "forwards": number_cell("forwards_mean", "g"),
    "GFLOP": number_cell("gflop_mean", ".3g"),
    "ms p50 / p95": milliseconds_cell,
}


def hole_table(
    section: str,
    count: str,
    figures: tuple[Mapping[str, Cell], Mapping[str, Cell]],
    with_budgets: bool,
    rows: Sequence[Row],
) -> str:
    """Return a table of every arm on all holes of a section, with the denoiser's lead over it.

    Args:
        section: of the rows.
        count: heading of the number of holes.
        figures: columns before and after the lead.
        with_budgets: whether to show the shares within budgets too.
        rows: of all sections.
    """
    arms = select(rows, section, file="all")
    lead_cell = interval_cell("lead", "+.1f", 100, ends=".1f")
    leads = {row.arm: lead_cell(row) for row in select(rows, f"{section}-lead", file="all")}
    within = [
        (cost, budget)
        for cost in ("gflop", "seconds")
        for budget in (arms[0].get(f"within_{cost}") if arms and with_budgets else ())
    ]
    before, after = figures
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
    header = ["arm", count, *before, "diffusion ahead by", *after, *budgets, *HOLE_COST]
    return markdown_table(header, lines)


def kind_table(section: str, figure: str, rows: Sequence[Row]) -> str:
    """Return a table of one share with its interval: arms down, kinds and lengths of holes across."""
    holes = [row for row in select(rows, section) if row.file != "all"]
    sizes = {row.file: row.get("holes") for row in reversed(holes)}
    files = {row.file: f"{row.file} ({sizes[row.file]})" for row in holes}

    def cell(row: Row) -> str:
        count = row.get("holes")
        return share_cell(figure)(row) + ("" if count == sizes[row.file] else f" of {count}")

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
    "code-infill": partial(hole_table, "code-infill", "holes", INFILL, False),
    "code-infill-by-kind": partial(kind_table, "code-infill", "exact"),
    "code-dependent": partial(hole_table, "code-dependent", "sets", DEPENDENT, True),
    "code-dependent-by-kind": partial(kind_table, "code-dependent", "renamed"),
    "code-others": partial(hole_table, "code-others", "sets", DEPENDENT, True),
    "code-others-by-kind": partial(kind_table, "code-others", "renamed"),
    "code-repair": section_table(
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
    "code-localisation": section_table(
        "code-localisation",
        {
            "damage": "file",
            "functions": "functions",
            "first place suspected": percent_cell("first"),
            "one of three": percent_cell("first_three"),
        },
    ),
    "code-misuse": section_table(
        "code-misuse",
        {
            "arm": "arm",
            "functions": "functions",
            "candidates, mean": number_cell("candidates_mean", "g"),
            "right": share_cell("right"),
            "ms": number_cell("ms", ".3g"),
        },
    ),
    "code-benchmarks": section_table(
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
    "code-speed": section_table(
        "code-speed",
        {
            "arm": "arm",
            "holes": "holes",
            **{f"ms, {point}": point_cell(point) for point in ("p10", "p50", "p90", "p95", "p99")},
            "ms, max": point_cell("p100"),
        },
    ),
}
