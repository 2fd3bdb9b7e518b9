"""Every number quoted in a table of README and docs is the one in docs/results."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from solver.evaluation import tables

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "claims.md",
    *sorted((ROOT / "solver" / "weights").glob("*/README.md")),
]


@cache
def results() -> list[tables.Row]:
    return tables.results()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quoted_tables_are_those_of_the_results(document: Path) -> None:
    text, rows = document.read_text(), results()
    assert tables.filled(text, rows) == text, (
        "run: python -m solver.evaluation.tables README.md docs/claims.md solver/weights/*/README.md"
    )


def test_the_check_can_fail() -> None:
    text = "<!-- table: proofs -->\n| a number | 99 |\n<!-- end -->\n"
    filled = tables.filled(text, results())
    assert filled != text
    assert tables.filled(filled, results()) == filled
