"""Measures Sudoku denoisers: solved with checks, the network alone, proofs of no solution, repairs.

    python -m solver evaluate sudoku --data ../shared/data --out results

Measured on the reserved tenth of each file (at most ``limit`` lines) and on puzzles from the generator, whose seed no training
uses. Every answer is graded by grade.py. Seconds are wall clock of the whole batch, on whatever else the machine was doing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.denoisers.protocol import Denoiser
from solver.drive import default_policy, solve
from solver.evaluation import grade
from solver.policies import Policy
from solver.tasks.sudoku import data, exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.trace import Budget, Outcome

GENERATED = "generated_minimal"
SEED = 990_001  # of the evaluation's own puzzles
Grids = NDArray[np.int8]
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What all sections share. forwards: the budget a puzzle; seeds: of the loop."""

    limit: int = 500
    batch: int = 64
    forwards: int | None = 5000
    seed: int = 0


def puzzles(folder: Path | None, limit: int) -> dict[str, Grids]:
    """Test puzzles by name: the reserved lines of every file in ``folder``, and generated ones."""
    found = {}
    for path in sorted(folder.glob("*.txt")) if folder else []:
        lines = [line for line in data.read_lines(path) if data.is_reserved(line)]
        if lines:
            found[path.stem] = data.to_grid(lines[:limit])
    found[GENERATED] = exact.generate(layout.standard(9), limit, SEED)[0]
    return found


def text(grid: NDArray[Any]) -> str:
    """A grid as 81 characters."""
    return "".join(".123456789"[value] for value in grid)


def run(
    grids: Grids, denoiser: Denoiser, policy: Policy | None, settings: Settings, repair: bool = False
) -> tuple[list[Outcome], float]:
    """Outcomes in order, and the seconds all of them took."""
    task = SudokuTask(layout.standard(9))
    started = time.perf_counter()
    events = solve(
        task,
        [Sudoku(grid, repair) for grid in grids],
        denoiser,
        policy,
        Budget(settings.forwards),
        settings.seed,
        settings.batch,
    )
    outcomes: dict[int, Outcome] = {}
    said = started
    for number, event in events:
        if isinstance(event, Outcome):
            outcomes[number] = event
        if time.perf_counter() - said > 10:
            said = time.perf_counter()
            print(f"  {len(outcomes)} of {len(grids)} after {said - started:.0f} s", file=sys.stderr, flush=True)
    return [outcomes[number] for number in range(len(grids))], time.perf_counter() - started


def row(name: str, denoiser: Denoiser, grids: Grids, outcomes: Sequence[Outcome], seconds: float, clues: bool = True) -> Row:
    """One line of a table. wrong: called solved, and the grader says it is not."""
    right = [grade.sudoku(text(g), text(o.tokens + 1), clues) for g, o in zip(grids, outcomes, strict=True)]
    status = [o.status for o in outcomes]
    forwards = np.array([o.counters.forwards for o in outcomes])
    decisions = np.array([o.counters.decisions for o in outcomes])
    return {
        "file": name,
        "denoiser": denoiser.name,
        "puzzles": len(grids),
        "solved": sum(s == "solved" and ok for s, ok in zip(status, right, strict=True)),
        "wrong": sum(s == "solved" and not ok for s, ok in zip(status, right, strict=True)),
        "unsatisfiable": status.count("unsatisfiable"),
        "exhausted": status.count("exhausted"),
        "forwards_mean": round(float(forwards.mean()), 3),
        "forwards_median": float(np.median(forwards)),
        "forwards_max": int(forwards.max()),
        "decisions_mean": round(float(decisions.mean()), 3),
        "remasked_mean": round(float(np.mean([o.counters.remasked for o in outcomes])), 2),
        "loops_mean": round(float(np.mean([o.counters.loops for o in outcomes])), 1),
        "gflop_mean": round(float(np.mean([o.counters.flops for o in outcomes])) / 1e9, 4),
        "seconds": round(seconds, 2),
        "per_second": round(len(grids) / seconds, 1),
    }


def with_checks(name: str, grids: Grids, denoiser: Denoiser, settings: Settings) -> Row:
    """The loop with its checks, within the budget."""
    outcomes, seconds = run(grids, denoiser, None, settings)
    return row(name, denoiser, grids, outcomes, seconds)


def neural_only(name: str, grids: Grids, denoiser: Denoiser, settings: Settings) -> Row:
    """The network alone: one forward, the argmax, givens pinned; no rule is asked before the answer is graded."""
    policy = replace(default_policy(denoiser), checks=False)
    outcomes, seconds = run(grids, denoiser, policy, replace(settings, forwards=1))
    return row(name, denoiser, grids, outcomes, seconds)


def unsatisfiable_boards(count: int, seed: int = SEED) -> Grids:
    """Boards without a solution, no direct conflict among their givens; at least half survive naked and hidden singles.

    Made from generated puzzles by adding a wrong digit that no given forbids.
    """
    grid, rng = layout.standard(9), np.random.default_rng(seed)
    survivors: list[Grids] = []
    others: list[Grids] = []
    while len(survivors) < (count + 1) // 2 or len(survivors) + len(others) < count:
        made, solutions, _ = exact.generate(grid, 64, int(rng.integers(2**31)))
        for puzzle, solution in zip(made, solutions, strict=True):
            cell = int(rng.choice(np.flatnonzero(puzzle == 0)))
            peers = {int(puzzle[p]) for p in grid.peers[cell] if p >= 0}
            free = [d for d in range(1, 10) if d not in peers and d != solution[cell]]
            if free:
                puzzle[cell] = rng.choice(free)
                found = exact.count_solutions(grid, puzzle, 1)
                (survivors if found.guesses else others).append(puzzle) if not found.solutions else None
    half = survivors[: (count + 1) // 2]
    rest = (others + survivors[len(half) :])[: count - len(half)]
    return np.stack(half + rest)


def corrupted_grids(count: int, cells: int = 5, seed: int = SEED) -> tuple[Grids, Grids]:
    """Solved grids with ``cells`` cells set to another digit, and the grids they were (N, 81)."""
    rng = np.random.default_rng(seed)
    solutions = exact.generate(layout.standard(9), count, seed + 1)[1]
    broken = solutions.copy()
    for grid in broken:
        where = rng.permutation(81)[:cells]
        grid[where] = (grid[where] - 1 + rng.integers(1, 9, cells)) % 9 + 1
    return broken, solutions


def proofs(denoiser: Denoiser, settings: Settings, count: int, inference: Any = "direct") -> Row:
    """Boards without a solution, to be proven so."""
    grids = unsatisfiable_boards(count)
    policy = replace(default_policy(denoiser), inference=inference)
    outcomes, seconds = run(grids, denoiser, policy, settings)
    nodes = [o.proof for o in outcomes if o.proof is not None]
    result = row(f"unsatisfiable, inference {inference}", denoiser, grids, outcomes, seconds)
    return {**result, "nodes_mean": round(float(np.mean(nodes)), 1) if nodes else None, "nodes_max": max(nodes, default=None)}


def repairs(denoiser: Denoiser, settings: Settings, count: int) -> Row:
    """Solved grids with five errors, no clue known: valid again, and the original again?"""
    broken, originals = corrupted_grids(count)
    outcomes, seconds = run(broken, denoiser, None, settings, repair=True)
    restored = sum((o.tokens + 1 == g).all() for o, g in zip(outcomes, originals, strict=True))
    return {**row("repair", denoiser, broken, outcomes, seconds, clues=False), "restored": int(restored)}
