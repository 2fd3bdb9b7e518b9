"""What happened: budgets, steps, outcomes. Command line, notebooks, evaluator and pictures read these and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from solver.tasks.canvas import Mask, Tokens
from solver.tasks.task import Violation

Status = Literal["solved", "unsatisfiable", "exhausted"]


@dataclass(frozen=True)
class Budget:
    """Limits of one problem; None is none. ``cancelled`` is asked before every forward. Every problem gets one forward."""

    forwards: int | None = 5000
    seconds: float | None = None
    decisions: int | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)

    def __post_init__(self) -> None:
        for name in ("forwards", "seconds", "decisions"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, not {value}")

    def spent(self, counters: Counters) -> bool:
        """Whether another forward would be one too many."""
        if self.cancelled():
            return True
        if self.forwards is not None and counters.forwards >= max(1, self.forwards):
            return True
        if self.decisions is not None and counters.decisions > self.decisions:
            return True
        over = self.seconds is not None and time.perf_counter() - counters.started >= self.seconds
        return over and counters.forwards > 0


@dataclass
class Counters:
    """What a problem has cost. calls: sequential calls; forwards: row-forwards (siblings count singly); loops: inner loops;
    flops: of the network; decisions: guesses that were made; remasked: cells taken back; seconds: wall clock since its first
    forward was asked for, shared with whatever else was in its batch; nodes: canvases refuted."""

    calls: int = 0
    forwards: int = 0
    loops: int = 0
    flops: int = 0
    decisions: int = 0
    remasked: int = 0
    nodes: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter, repr=False)

    def summary(self) -> dict[str, int | float]:
        """All but the clock's origin."""
        names = ("calls", "forwards", "loops", "flops", "decisions", "remasked", "nodes")
        return {**{name: getattr(self, name) for name in names}, "seconds": round(self.seconds, 6)}

    def plus(self, other: Counters) -> Counters:
        """What two attempts have cost."""
        names = ("calls", "forwards", "loops", "flops", "decisions", "remasked", "nodes", "seconds")
        return Counters(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, eq=False)
class Step:
    """One forward of one canvas. draft (L,): the full canvas that was judged. confidence (L,): its cells' probabilities.

    canvas, parent: numbers of this canvas and of the one it came from.  decision: (cell, token) that made this canvas out of
    its parent, None for the first.  settled (L,): pinned cells, decisions and what they imply.  accepted, remasked (L,): cells
    newly visible to the denoiser, and taken back.  refuted: the reasoned violation that closed this canvas, if any.
    constraint_cost: nats that validity cost the draft, where the task has a language.
    """

    number: int
    canvas: int
    parent: int
    decision: tuple[int, int] | None
    draft: Tokens
    confidence: np.ndarray
    pinned: Mask
    settled: Mask
    visible: Mask
    accepted: Mask
    remasked: Mask
    violations: tuple[Violation, ...]
    refuted: Violation | None
    solved: bool
    constraint_cost: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values; cells as lists of numbers, confidence to three places."""

        def cells(mask: Mask) -> list[int]:
            return [int(c) for c in np.flatnonzero(mask)]

        return {
            "step": self.number,
            "canvas": self.canvas,
            "parent": self.parent,
            "decision": None if self.decision is None else list(self.decision),
            "draft": self.draft.tolist(),
            "confidence": [round(float(p), 3) for p in self.confidence],
            "pinned": cells(self.pinned),
            "settled": cells(self.settled),
            "visible": cells(self.visible),
            "accepted": cells(self.accepted),
            "remasked": cells(self.remasked),
            "violations": [violation_json(v) for v in self.violations],
            "refuted": None if self.refuted is None else violation_json(self.refuted),
            "solved": self.solved,
            "constraint_cost": round(self.constraint_cost, 4) if np.isfinite(self.constraint_cost) else None,
        }


@dataclass(frozen=True, eq=False)
class Outcome:
    """How it ended. tokens (L,): the answer where ``solved``, else the best draft, which violates ``violations``.

    proof: where unsatisfiable, the number of canvases refuted, each by a reasoned violation.
    constraint_cost: nats that validity cost the last draft, minus the log-probability that a draft of the denoiser's
    own is in the language; 0 where there is none.
    """

    status: Status
    tokens: Tokens
    violations: tuple[Violation, ...]
    confidence: np.ndarray
    counters: Counters
    proof: int | None = None
    constraint_cost: float = 0.0


def violation_json(violation: Violation) -> dict[str, Any]:
    """Plain values of a violation."""
    reason = None if violation.reason is None else sorted(violation.reason)
    return {
        "cells": list(violation.cells),
        "rule": violation.rule,
        "message": violation.message,
        "reason": reason,
    }


def dump(record: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(record, separators=(",", ":"))
