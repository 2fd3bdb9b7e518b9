"""Sections of the Sudoku evaluation. Each function measures one arm and yields rows.

    python -m solver evaluate sudoku --data FOLDER --out results

Measured on the reserved tenth of each file and on generated puzzles, whose seed no training uses. grade.py
grades every answer. Seconds are wall clock of the whole batch, whatever else the machine was doing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.evaluation.grade import is_solved_sudoku
from solver.evaluation.harness import Attempt, run_arm
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, calibration, rounded, share
from solver.evaluation.sudoku_arms import SPECS, Settings, Spec, load_denoiser, make_arm
from solver.loop.policy import Policy, RemaskPolicy
from solver.tasks.data import is_reserved
from solver.tasks.sudoku import data, exact, layout
from solver.tasks.sudoku.task import Sudoku

Grids = NDArray[np.int8]
GENERATED = "generated_minimal"
SEED = 990_001  # of the evaluation's own puzzles
SMALL_BATCH = 16  # puzzles for the throughput of smaller batches
MODEL_ALONE = 500  # forwards of the trained model without the search: more than the two need for most boards
# Strategies of the loop by name: the arm, and changes of its policy. The first is the trained model's own.
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "model and search": ("diffusion", {}),
    "search alone": ("random", {}),
    "model and search, nogoods apart": ("diffusion", {"share_nogoods": False}),
    f"model alone, at most {MODEL_ALONE} forwards": ("diffusion", {"search_after": None}),
}
REMASKING = {
    "off": RemaskPolicy(on_violation="none", doubt_threshold=0.0),
    "confidence": RemaskPolicy(on_violation="none"),
    "violations": RemaskPolicy(doubt_threshold=0.0),
    "both": RemaskPolicy(),
}


def evaluation_puzzles(folder: Path | None, limit: int) -> dict[str, Grids]:
    """Return at most ``limit`` reserved lines of every file in ``folder``, and generated puzzles, by name."""
    paths = sorted(folder.glob("*.txt")) if folder else []
    lines = {path.stem: [line for line in data.read_lines(path) if is_reserved(line)] for path in paths}
    puzzles = {name: data.to_grid(reserved[:limit]) for name, reserved in lines.items() if reserved}
    puzzles[GENERATED] = exact.generate_puzzles(layout.standard(9), limit, SEED)[0]
    return puzzles


def grid_text(grid: NDArray[Any]) -> str:
    """Return a grid as 81 characters, points for blanks."""
    return "".join(".123456789"[value] for value in grid)


def attempt_sudoku(
    spec: Spec,
    grids: Grids,
    settings: Settings,
    policy: Policy | None = None,
    repair: bool = False,
) -> Attempt:
    """Run an arm on grids; with ``repair`` their digits are drafts, not clues. Raises CheckpointError."""
    return run_arm(make_arm(spec, settings, policy), [Sudoku(grid, repair) for grid in grids])


def sudoku_figures(grids: Grids, attempt: Attempt, clues: bool = True, each: bool = True) -> Figures:
    """Return the figures of an attempt.

    ``solved``: the arm claims it and the grader agrees. ``by_search``: of these, found by the search without
    the denoiser; likewise ``proven_by_search``. ``wrong``: claimed, and the grader disagrees.
    ``each``: per puzzle, for curves and intervals, unless the argument leaves them out.
    """
    answers = attempt.answers
    correct = np.array(
        [
            is_solved_sudoku(grid_text(grid), answer.text, clues)
            for grid, answer in zip(grids, answers, strict=True)
        ]
    )
    claimed = np.array([answer.solved for answer in answers])
    outcomes = [answer.outcome for answer in answers]
    searched = np.array([outcome is not None and outcome.strategy == "search" for outcome in outcomes])
    status = [answer.status for answer in answers]
    forwards = np.array([answer.counters.forwards for answer in answers])
    mflop = np.array([answer.counters.flops for answer in answers]) / 1e6
    per_puzzle = {
        "solved": "".join("01"[int(hit)] for hit in correct & claimed),
        "forwards": forwards.tolist(),
        "mflop": [round(float(cost)) for cost in mflop],
    }
    return {
        "puzzles": len(grids),
        "solved": int((correct & claimed).sum()),
        **share("share", correct & claimed),
        "by_search": int((correct & claimed & searched).sum()),
        "wrong": int((claimed & ~correct).sum()),
        "unsatisfiable": status.count("unsatisfiable"),
        "proven_by_search": int((searched & ~claimed).sum()),
        "exhausted": status.count("exhausted"),
        "calls_mean": attempt.mean("calls"),
        "forwards_mean": attempt.mean("forwards", 3),
        "forwards_median": float(np.median(forwards)),
        "forwards_max": int(forwards.max()),
        "searched_mean": attempt.mean("searched", 3),
        "decisions_mean": attempt.mean("decisions", 3),
        "remasked_mean": attempt.mean("remasked"),
        "loops_mean": attempt.mean("loops", 1),
        "gflop_mean": round(float(mflop.mean()) / 1e3, 4),
        "seconds": round(attempt.seconds, 2),
        "per_second": round(len(grids) / attempt.seconds, 1),
        **({"each": per_puzzle} if each else {}),
    }


def open_boards(count: int, seed: int = SEED) -> Grids:
    """Return boards with many solutions: one empty, then in turn with one given and with a full first row."""
    rng, grids = np.random.default_rng(seed), np.zeros((count, 81), np.int8)
    for number in range(1, count):
        if number % 2:
            grids[number, rng.integers(81)] = rng.integers(1, 10)
        else:
            grids[number, :9] = 1 + rng.permutation(9)
    return grids


def measure_contest(first: Row, spec: Spec, grids: Grids, settings: Settings) -> Iterator[Row]:
    yield replace(first, figures=sudoku_figures(grids, attempt_sudoku(spec, grids, settings)))


def unsatisfiable_boards(count: int, seed: int = SEED) -> Grids:
    """Make boards without a solution whose givens do not conflict directly.

    Each is a generated puzzle with a wrong digit that no given forbids. At least half are not refuted by
    naked and hidden singles.
    """
    board, rng = layout.standard(9), np.random.default_rng(seed)
    hard, easy = list[Grids](), list[Grids]()
    while len(hard) < (count + 1) // 2 or len(hard) + len(easy) < count:
        puzzles, solutions, _ = exact.generate_puzzles(board, 64, int(rng.integers(2**31)))
        for puzzle, solution in zip(puzzles, solutions, strict=True):
            cell = int(rng.choice(np.flatnonzero(puzzle == 0)))
            peers = {int(puzzle[peer]) for peer in board.peers[cell] if peer >= 0}
            free = [digit for digit in range(1, 10) if digit not in peers and digit != solution[cell]]
            if free:
                puzzle[cell] = rng.choice(free)
                search = exact.count_solutions(board, puzzle, 1)
                if not search.solutions:
                    (hard if search.guesses else easy).append(puzzle)
    half = (count + 1) // 2
    return np.stack([*hard[:half], *(easy + hard[half:])[: count - half]])


def corrupted_grids(count: int, cells: int = 5, seed: int = SEED) -> tuple[Grids, Grids]:
    """Return solved grids with ``cells`` digits replaced, and the original grids, both (N, 81)."""
    rng = np.random.default_rng(seed)
    solutions = exact.generate_puzzles(layout.standard(9), count, seed + 1)[1]
    corrupted = solutions.copy()
    for grid in corrupted:
        index = rng.permutation(81)[:cells]
        grid[index] = (grid[index] - 1 + rng.integers(1, 9, cells)) % 9 + 1
    return corrupted, solutions


def measure_proofs(
    first: Row,
    spec: Spec,
    count: int,
    settings: Settings,
    inference: Literal["direct", "singles"],
) -> Iterator[Row]:
    """Boards without a solution: how many are proven so, and how large the proofs are."""
    grids, policy = unsatisfiable_boards(count), load_denoiser(spec, settings).policy
    attempt = attempt_sudoku(spec, grids, settings, policy.with_(inference=inference))
    outcomes = [answer.outcome for answer in attempt.answers]
    nodes = [outcome.proof for outcome in outcomes if outcome is not None and outcome.proof is not None]
    size = {
        "nodes_mean": round(float(np.mean(nodes)), 1) if nodes else None,
        "nodes_max": max(nodes, default=None),
    }
    yield replace(first, figures={**sudoku_figures(grids, attempt), **size})


def measure_strategies(first: Row, grids: Grids, settings: Settings) -> Iterator[Row]:
    """What the search without the denoiser adds, and what its nogoods do: the row's entry of STRATEGIES."""
    arm, changes = STRATEGIES[first.arm]
    spec = SPECS[arm]
    if "search_after" in changes:
        settings = replace(settings, forwards=min(settings.forwards or MODEL_ALONE, MODEL_ALONE))
    policy = load_denoiser(spec, settings).policy.with_(**changes)
    figures = sudoku_figures(grids, attempt_sudoku(spec, grids, settings, policy), each=False)
    if arm == "random":  # it is the search on its own: what it does is not the model's
        figures |= {"by_search": figures["solved"], "proven_by_search": figures["unsatisfiable"]}
        figures |= {"searched_mean": figures["forwards_mean"], "forwards_mean": 0.0}
    yield replace(first, figures=figures)


def measure_repair(first: Row, spec: Spec, count: int, settings: Settings) -> Iterator[Row]:
    """Solved grids with five errors and no clue: are they valid again, and the originals?"""
    corrupted, originals = corrupted_grids(count)
    attempt = attempt_sudoku(spec, corrupted, settings, repair=True)
    pairs = zip(attempt.answers, originals, strict=True)
    restored = sum(answer.text == grid_text(original) for answer, original in pairs)
    figures = sudoku_figures(corrupted, attempt, clues=False)
    yield replace(first, figures={**figures, "restored": restored})


def measure_remasking(first: Row, grids: Grids, rounds: int, settings: Settings) -> Iterator[Row]:
    """The effect of re-masking without decisions: ``rounds`` drafts of the first node.

    Cells are accepted as usual, and from a confidence of 0.5, so that more of the visible cells are wrong.
    """
    limited = replace(settings, forwards=rounds)
    for accept in (Policy().accept.confidence_threshold, 0.5):
        for name, remask in REMASKING.items():
            policy = Policy(remask=remask).with_(rounds=rounds + 1, confidence_threshold=accept)
            attempt = attempt_sudoku(SPECS["diffusion"], grids, limited, policy)
            yield replace(first, remask=name, accept=accept, figures=sudoku_figures(grids, attempt))


def measure_calibration(first: Row, spec: Spec, grids: Grids, settings: Settings) -> Iterator[Row]:
    """How often a token is right, by confidence: in one-shot drafts, or in raw left-to-right runs."""
    _, solutions, _ = exact.count_many(layout.standard(9), grids)
    confidence, correct = list[float](), list[bool]()
    for grid, solution, answer in zip(
        grids, solutions, attempt_sudoku(spec, grids, settings).answers, strict=True
    ):
        assert answer.outcome is not None
        blank = grid == 0
        confidence += answer.outcome.confidence[blank].tolist()
        correct += (answer.outcome.tokens + 1 == solution)[blank].tolist()
    bins, error = calibration(confidence, correct)
    accuracy, error = rounded([float(np.mean(correct)), error])
    figures = {"puzzles": len(grids), "cells": len(correct), "accuracy": accuracy, "error": error}
    yield replace(first, figures={**figures, "bins": [[*rounded(pair), count] for *pair, count in bins]})


def measure_mistakes(first: Row, spec: Spec, grids: Grids, settings: Settings) -> Iterator[Row]:
    """The first token of a left-to-right run after which there is no solution, as a share of its cells.

    The puzzles have one solution, so this is the first token that differs from it.
    """
    _, solutions, _ = exact.count_many(layout.standard(9), grids)
    shares = []
    for solution, answer in zip(solutions, attempt_sudoku(spec, grids, settings).answers, strict=True):
        wrong = [k for k, (cell, token) in enumerate(answer.path) if solution[cell] != token + 1]
        shares.append(round(wrong[0] / len(answer.path), 4) if wrong else 1.0)
    mistakes = [value for value in shares if value < 1.0]
    median = float(np.median(mistakes)) if mistakes else None
    figures = {"puzzles": len(grids), "never": len(shares) - len(mistakes), "median": median}
    yield replace(first, figures={**figures, "where": shares})


def measure_throughput(
    first: Row,
    spec: Spec,
    grids: Grids,
    batches: Sequence[int],
    settings: Settings,
) -> Iterator[Row]:
    """Puzzles per second and milliseconds per batch at several batch sizes.

    Small batches get fewer puzzles, at least one batch; large ones get the grids repeated.
    """
    attempt_sudoku(spec, grids[:2], settings)  # loads and compiles what the first use needs
    for batch in batches:
        count = max(batch, min(len(grids), SMALL_BATCH))
        repeated = np.concatenate([grids] * -(-count // len(grids)))[:count]
        attempt = attempt_sudoku(spec, repeated, replace(settings, batch=batch))
        latency = {"latency_ms": round(1e3 * batch * attempt.seconds / count, 2)}
        figures = sudoku_figures(repeated, attempt, each=False)
        yield replace(first, batch=batch, figures={**figures, **latency})


def measure_snapshot(
    first: Row,
    spec: Spec,
    grids: Grids,
    settings: Settings,
    folder: Path,
) -> Iterator[Row]:
    """An arm with the weights of one step of a training run."""
    training = json.loads((folder / "config.json").read_text())["training"]
    earlier = replace(settings, checkpoints={**settings.checkpoints, spec.model: folder})
    figures = sudoku_figures(grids, attempt_sudoku(spec, grids, earlier), each=False)
    compute = {"model": spec.model, "pflop": round(training["flops"] / 1e15, 5)}
    yield replace(first, figures={**figures, **compute})
