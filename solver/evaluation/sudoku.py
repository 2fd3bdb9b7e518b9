"""Sections of the Sudoku evaluation: each yields rows for results.json.

    python -m solver evaluate sudoku --data ../shared/data --out results

Measured on the reserved tenth of each file (at most ``limit`` lines) and on puzzles from the generator, whose seed no training
uses. Every answer is graded by grade.py. Seconds are wall clock of the whole batch, on whatever else the machine was doing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.evaluation import grade
from solver.evaluation.arms import ARMS, Arm, Attempt, Grids, Settings, attempt, denoiser, gather
from solver.evaluation.statistics import calibration, interval
from solver.loop.engine import solve
from solver.loop.policy import Policy, RemaskPolicy
from solver.tasks.sudoku import data, exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask

GENERATED = "generated_minimal"
SEED = 990_001  # of the evaluation's own puzzles
Row = dict[str, Any]


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


def row(
    section: str, arm: Arm, file: str, grids: Grids, done: Attempt, settings: Settings, clues: bool = True
) -> Row:
    """One line of a table. solved: the arm says so and the grader agrees; without checks, the grader alone.  wrong: called
    solved, and the grader says it is not.  each: per puzzle, for curves and intervals."""
    outcomes = done.outcomes
    right = np.array(
        [grade.sudoku(text(g), text(o.tokens + 1), clues) for g, o in zip(grids, outcomes, strict=True)]
    )
    called = np.array([o.status == "solved" for o in outcomes])
    status = [o.status for o in outcomes]
    forwards = np.array([o.counters.forwards for o in outcomes])
    mflop = np.array([o.counters.flops for o in outcomes]) / 1e6
    low, high = interval(right & called)
    return {
        "section": section,
        "file": file,
        "arm": arm.name,
        "seed": settings.seed,
        "loops": settings.loops,
        "puzzles": len(grids),
        "solved": int((right & called).sum()),
        "share": round(float((right & called).mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "wrong": int((called & ~right).sum()),
        "unsatisfiable": status.count("unsatisfiable"),
        "exhausted": status.count("exhausted"),
        "calls_mean": round(float(np.mean([o.counters.calls for o in outcomes])), 2),
        "forwards_mean": round(float(forwards.mean()), 3),
        "forwards_median": float(np.median(forwards)),
        "forwards_max": int(forwards.max()),
        "decisions_mean": round(float(np.mean([o.counters.decisions for o in outcomes])), 3),
        "remasked_mean": round(float(np.mean([o.counters.remasked for o in outcomes])), 2),
        "loops_mean": round(float(np.mean([o.counters.loops for o in outcomes])), 1),
        "gflop_mean": round(float(mflop.mean()) / 1e3, 4),
        "seconds": round(done.seconds, 2),
        "per_second": round(len(grids) / done.seconds, 1),
        "each": {
            "solved": "".join("01"[int(ok)] for ok in right & called),
            "forwards": forwards.tolist(),
            "mflop": [round(float(m)) for m in mflop],
        },
    }


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


def proofs(arm: Arm, count: int, settings: Settings, inference: Literal["direct", "singles"]) -> list[Row]:
    """Boards without a solution, to be proven so."""
    grids, model = unsatisfiable_boards(count), denoiser(arm, settings)
    done = attempt(arm, grids, settings, model.policy.with_(inference=inference))
    nodes = [o.proof for o in done.outcomes if o.proof is not None]
    result = row("proofs", arm, f"unsatisfiable, inference {inference}", grids, done, settings)
    mean = round(float(np.mean(nodes)), 1) if nodes else None
    return [{**result, "nodes_mean": mean, "nodes_max": max(nodes, default=None)}]


def repairs(arm: Arm, count: int, settings: Settings) -> list[Row]:
    """Solved grids with five errors, no clue known: valid again, and the original again?"""
    broken, originals = corrupted_grids(count)
    task, model, started = SudokuTask(layout.standard(9)), denoiser(arm, settings), time.perf_counter()
    problems = [Sudoku(grid, repair=True) for grid in broken]
    done = gather(
        solve(task, problems, model, None, settings.budget, settings.seed, settings.batch), count, started
    )
    restored = sum((o.tokens + 1 == g).all() for o, g in zip(done.outcomes, originals, strict=True))
    return [{**row("repair", arm, "repair", broken, done, settings, clues=False), "restored": int(restored)}]


REMASKING = {
    "off": RemaskPolicy(on_violation="none", doubt_threshold=0.0),
    "confidence": RemaskPolicy(on_violation="none"),
    "violations": RemaskPolicy(doubt_threshold=0.0),
    "both": RemaskPolicy(),
}


def remasking(file: str, grids: Grids, rounds: int, settings: Settings) -> Iterator[Row]:
    """What re-masking adds where nothing is decided: ``rounds`` drafts of the first canvas, four ways to take a cell back, with
    cells accepted as the loop does it, and loosely, so that more of what is shown is wrong."""
    arm = ARMS["diffusion"]
    for accept in (Policy().accept.confidence_threshold, 0.5):
        for how, remask in REMASKING.items():
            policy = Policy(remask=remask).with_(rounds=rounds + 1, confidence_threshold=accept)
            now = replace(settings, forwards=rounds)
            found = row("remasking", arm, file, grids, attempt(arm, grids, now, policy), now)
            yield {**found, "remask": how, "rounds": rounds, "accept": accept}


def contest(arm: Arm, file: str, grids: Grids, settings: Settings) -> list[Row]:
    """One arm on one file with one seed."""
    return [row("contest", arm, file, grids, attempt(arm, grids, settings), settings)]


def confidence(arm: Arm, file: str, grids: Grids, settings: Settings) -> list[Row]:
    """How often a token is right by how sure the model was of it: one-shot drafts, or the tokens of a raw left-to-right run."""
    _, answers, _ = exact.count_many(layout.standard(9), grids)
    done = attempt(arm, grids, settings)
    sure, correct = [], []
    for grid, answer, outcome in zip(grids, answers, done.outcomes, strict=True):
        blank = grid == 0
        sure += outcome.confidence[blank].tolist()
        correct += (outcome.tokens + 1 == answer)[blank].tolist()
    bins, error = calibration(sure, correct)
    plain = {
        "section": "calibration",
        "file": file,
        "arm": arm.name,
        "seed": settings.seed,
        "loops": settings.loops,
    }
    rounded = [[round(c, 4), round(a, 4), n] for c, a, n in bins]
    accuracy = round(float(np.mean(correct)), 4)
    about = {"puzzles": len(grids), "cells": len(sure), "accuracy": accuracy, "error": round(error, 4)}
    return [{**plain, **about, "bins": rounded}]


def first_mistakes(arm: Arm, file: str, grids: Grids, settings: Settings) -> list[Row]:
    """Where a left-to-right run first chooses a token after which no solution is left, as a share of its cells.

    The puzzles have one solution, so that is the first token which differs from it; the exact solver says it, to the judge only.
    """
    _, answers, _ = exact.count_many(layout.standard(9), grids)
    done = attempt(arm, grids, settings)
    where = []
    for answer, path in zip(answers, done.paths, strict=True):
        wrong = [at for at, (cell, token) in enumerate(path) if answer[cell] != token + 1]
        where.append(round(wrong[0] / len(path), 4) if wrong else 1.0)
    plain = {
        "section": "mistakes",
        "file": file,
        "arm": arm.name,
        "seed": settings.seed,
        "loops": settings.loops,
    }
    never = sum(w == 1.0 for w in where)
    median = float(np.median([w for w in where if w < 1.0])) if never < len(where) else None
    return [{**plain, "puzzles": len(grids), "never": never, "median": median, "where": where}]


def throughput(
    arm: Arm, file: str, grids: Grids, batches: Sequence[int], settings: Settings
) -> Iterator[Row]:
    """Puzzles a second and milliseconds a puzzle at several batch sizes; small batches get fewer puzzles, at least one batch."""
    attempt(arm, grids[:2], settings)  # whatever is loaded or compiled at first use
    for batch in batches:
        count = min(len(grids), max(batch, 16))
        some = np.concatenate([grids] * -(-batch // len(grids)))[: max(batch, count)]
        now = replace(settings, batch=batch)
        result = row("throughput", arm, file, some, attempt(arm, some, now), now)
        del result["each"]
        yield {**result, "batch": batch, "latency_ms": round(1e3 * batch * result["seconds"] / len(some), 2)}


def snapshot(arm: Arm, file: str, grids: Grids, settings: Settings, folder: Path) -> list[Row]:
    """An arm with the weights that a training run had at some step."""
    summary = json.loads((folder / "config.json").read_text())["training"]
    now = replace(settings, checkpoints=(*settings.checkpoints, (arm.model, str(folder))))
    result = row("training", arm, file, grids, attempt(arm, grids, now), now)
    del result["each"]
    return [
        {**result, "model": arm.model, "step": summary["steps"], "pflop": round(summary["flops"] / 1e15, 5)}
    ]
