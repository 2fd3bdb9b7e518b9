"""Tables of documents, made from the results files, so that no quoted figure differs from the measured one.

    python -m solver.evaluation.tables README.md docs/results/*.md      # writes them; --check only compares

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``:

>>> fill_tables("<!-- table: code-speed --><!-- end -->", []).splitlines()[1]
'| arm | holes | ms, p10 | ms, p50 | ms, p90 | ms, p95 | ms, p99 | ms, max |'
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from solver.evaluation import code_tables, json_tables, sudoku_tables
from solver.evaluation.markdown import Cell, markdown_table, share_cell
from solver.evaluation.rows import Row, load_rows, select
from solver.files import replace_text

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FILES = ("code.json", "json.json", "results.json")  # the last is Sudoku's
MARK = re.compile(r"(<!-- table: ([a-z-]+) -->)(.*?)(<!-- end -->)", re.DOTALL)
# Kinds of arms by name in the table: which arms of the results belong to a kind.
KINDS: dict[str, Callable[[str], bool]] = {
    "diffusion": lambda arm: arm == "diffusion",
    "diffusion, one forward": lambda arm: arm == "diffusion-oneshot",
    "left to right, best of its arms": lambda arm: arm.startswith("ar"),
    "random, same checks": lambda arm: arm == "random",
    "prior, same checks": lambda arm: arm == "prior",
}


def decisions_per_puzzle(row: Row) -> str:
    """Mean number of decisions; arms of a single forward make none."""
    decisions = row.get("decisions_mean")
    return "no search" if row.arm.endswith("-oneshot") or decisions is None else f"{decisions:.3g}"


# Columns by heading: section and file, the figure by which arms are compared, how the best arm is shown.
MEASURES: dict[str, tuple[str, str, str, Cell]] = {
    "Sudoku solved": ("contest", "generated_minimal", "share", share_cell("share")),
    "decisions per puzzle": ("contest", "generated_minimal", "share", decisions_per_puzzle),
    "JSON records right": ("content", "records", "exact", share_cell("exact")),
    "type first": ("content", "records", "kind_first", share_cell("kind_first")),
    "dependent code holes right": ("code-dependent", "all", "renamed", share_cell("renamed")),
}


def summary_table(rows: Sequence[Row]) -> str:
    """What each kind of arm achieves on one measurement of each task.

    Every cell is that of the kind's best arm, so that the baseline is never a weak one.
    """
    lines = [[kind] for kind in KINDS]
    for section, file, figure, cell in MEASURES.values():
        measured = [row for row in select(rows, section, file=file) if row.get(figure) is not None]
        for line, belongs in zip(lines, KINDS.values(), strict=True):
            members = [row for row in measured if belongs(row.arm)]
            line.append(cell(max(members, key=lambda row: row.get(figure))) if members else "")
    return markdown_table(["arm", *MEASURES], lines)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "summary": summary_table,
    **sudoku_tables.TABLES,
    **json_tables.TABLES,
    **code_tables.TABLES,
}


def read_results(folder: Path = RESULTS) -> list[Row]:
    return [row for name in FILES if (folder / name).exists() for row in load_rows(folder / name)]


def fill_tables(text: str, rows: Sequence[Row]) -> str:
    """Return ``text`` with every marked table made from ``rows``. Raises KeyError for an unknown table."""
    return MARK.sub(lambda match: f"{match[1]}\n{TABLES[match[2]](rows)}{match[4]}", text)


def report_text(rows: Sequence[Row]) -> str:
    """Return a document of all tables for which there are rows."""
    tables = {name: make(rows) for name, make in TABLES.items()}
    parts = [f"\n## {name}\n\n{table}" for name, table in tables.items() if table.count("\n") > 2]
    return "# Measured\n" + "".join(parts)


def update_documents() -> int:
    """Write the tables of documents, or check them."""
    parser = argparse.ArgumentParser(description="put measured tables into documents")
    parser.add_argument("documents", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table differs")
    options = parser.parse_args()
    rows, stale = read_results(options.results), []
    for document in options.documents:
        text = document.read_text()
        filled = fill_tables(text, rows)
        if filled != text:
            stale.append(str(document))
            if not options.check:
                replace_text(document, filled)
    if options.check and stale:
        print(f"differs from {options.results}: {', '.join(stale)}", file=sys.stderr)
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(update_documents())
