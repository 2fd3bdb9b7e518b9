"""Every number quoted in a table of README and docs is the one in docs/results."""

from __future__ import annotations

from pathlib import Path

import pytest

from solver.evaluation import tables

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "claims.md",
    *sorted((ROOT / "solver" / "weights").glob("*/README.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quoted_tables_are_those_of_the_results(document: Path) -> None:
    rows = tables.results()
    text = document.read_text()
    assert tables.filled(text, rows) == text, (
        "run: python -m solver.evaluation.tables README.md docs/claims.md solver/weights/*/README.md"
    )


def test_the_check_can_fail() -> None:
    text = "<!-- table: with-checks -->\n| a number | 99 |\n<!-- end -->\n"
    rows = tables.results()
    assert tables.filled(text, rows) != text
    assert tables.filled(tables.filled(text, rows), rows) == tables.filled(text, rows)
