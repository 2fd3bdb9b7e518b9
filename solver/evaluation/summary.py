"""The README's table: what each kind of arm achieves on one measurement of each task.

Every column picks the best arm of a kind, so that the baseline is never a weak one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from solver.evaluation.markdown import markdown_table, share_cell
from solver.evaluation.rows import Row, select

# Kinds of arms by name in the table: which arms of the results belong to a kind.
KINDS: dict[str, Callable[[str], bool]] = {
    "diffusion": lambda arm: arm == "diffusion",
    "diffusion, one forward": lambda arm: arm == "diffusion-oneshot",
    "left to right, best arm": lambda arm: arm.startswith("ar"),
    "random, same checks": lambda arm: arm == "random",
    "prior, same checks": lambda arm: arm == "prior",
}


@dataclass(frozen=True)
class Measure:
    """One column: a share of ``section`` on ``file``.

    Args:
        section: the experiment.
        file: its problems.
        share: name of the figure that is compared.
        text: how a row is shown; the share with its interval by default.
    """

    section: str
    file: str
    share: str
    text: Callable[[Row], str] | None = field(default=None)

    def cell(self, rows: Sequence[Row], belongs: Callable[[str], bool]) -> str:
        """The best row among the arms that ``belongs`` selects; empty if none was measured."""
        measured = [row for row in select(rows, self.section, file=self.file) if belongs(row.arm)]
        measured = [row for row in measured if row.get(self.share) is not None]
        if not measured:
            return ""
        best: Any = max(measured, key=lambda row: row.get(self.share))
        return (self.text or share_cell(self.share))(best)


def decisions_per_puzzle(row: Row) -> str:
    """Mean number of decisions, where the search made any."""
    decisions = row.get("decisions_mean")
    searched = row.arm in ("diffusion", "random", "prior")
    return f"{decisions:.3g}" if searched and decisions is not None else "no search"


MEASURES = {
    "Sudoku solved": Measure("contest", "generated_minimal", "share"),
    "decisions per puzzle": Measure("contest", "generated_minimal", "share", decisions_per_puzzle),
    "JSON records right": Measure("content", "records", "exact"),
    "type first": Measure("content", "records", "kind_first"),
    "dependent code holes right": Measure("code-dependent", "all", "renamed"),
}


def summary_table(rows: Sequence[Row]) -> str:
    """One line per kind of arm, one column per measure."""
    lines = [[kind, *(m.cell(rows, belongs) for m in MEASURES.values())] for kind, belongs in KINDS.items()]
    return markdown_table(["arm", *MEASURES], lines)
