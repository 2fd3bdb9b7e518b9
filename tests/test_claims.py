"""Every number quoted in a table of README and docs is the one in docs/results."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from solver.evaluation import tables
from solver.evaluation.rows import Row

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "claims.md",
    *(ROOT / "docs" / "results" / f"{task}.md" for task in ("sudoku", "json", "code")),
    *sorted((ROOT / "solver" / "weights").glob("*/README.md")),
]


@cache
def results() -> list[Row]:
    return tables.read_results()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quoted_tables_are_those_of_the_results(document: Path) -> None:
    text, rows = document.read_text(), results()
    assert tables.fill_tables(text, rows) == text, (
        "run: python -m solver.evaluation.tables README.md docs/claims.md docs/results/*.md "
        "solver/weights/*/README.md"
    )


def test_the_check_can_fail() -> None:
    text = "<!-- table: proofs -->\n| a number | 99 |\n<!-- end -->\n"
    filled = tables.fill_tables(text, results())
    assert filled != text
    assert tables.fill_tables(filled, results()) == filled


def test_the_report_lists_every_table_that_has_rows() -> None:
    assert (ROOT / "docs" / "results" / "report.md").read_text() == tables.report_text(results())


def test_reading_and_writing_a_results_file_loses_nothing() -> None:
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        written = json.loads(path.read_text())["rows"]
        assert [Row.of(row).plain() for row in written] == written
