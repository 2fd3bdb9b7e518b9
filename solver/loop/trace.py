"""Limits, costs and records of a run: all that commands, notebooks, evaluation and pictures read.

A :class:`Budget` limits the cost of one problem, and :class:`Counters` record it. A budget is split here and
nowhere else:

>>> budget = Budget(forwards=100, seconds=10.0)
>>> spent = Counters(forwards=20, seconds=4.0)
>>> budget.remaining(spent)
Budget(forwards=80, seconds=6.0, decisions=None)
>>> budget.remaining(spent).split(2)
(Budget(forwards=40, seconds=3.0, decisions=None), Budget(forwards=40, seconds=3.0, decisions=None))

A :class:`Step` records one canvas that was drafted and checked, an :class:`Outcome` how the run ended. All
arrays have shape (L,).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Mask, Tokens, Violation

SECONDS = 30.0  # default limit of one call of solver.fill, edit or repair, and of one puzzle

Status = Literal["solved", "unsatisfiable", "exhausted"]
Limit = Literal["forwards", "seconds"]
StrategyName = Literal["model", "search"]


@dataclass(frozen=True)
class Budget:
    """Limits of one problem; None means no limit. Every problem gets at least one forward.

    Args:
        forwards: canvases, denoised (row-forwards) or visited by the search without the denoiser.
        seconds: wall clock since the problem was started.
        decisions: decisions of the search.
        cancelled: asked before every forward; True ends the run.

    Raises:
        InvalidArgument: a limit is negative or not a number.
    """

    forwards: int | None = 5000
    seconds: float | None = None
    decisions: int | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)

    def __post_init__(self) -> None:
        for name in ("forwards", "seconds", "decisions"):
            limit = getattr(self, name)
            number = (int, float) if name == "seconds" else int
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, number):
                raise InvalidArgument(f"{name} must be a number or None, not {limit!r}")
            if not limit >= 0:
                raise InvalidArgument(f"{name} must not be negative, not {limit}")

    def is_spent(self, counters: Counters) -> bool:
        if self.cancelled():
            return True
        if self.forwards is not None and counters.canvases >= max(1, self.forwards):
            return True
        if self.decisions is not None and counters.decisions > self.decisions:
            return True
        late = self.seconds is not None and time.perf_counter() - counters.started >= self.seconds
        return late and counters.canvases > 0

    def remaining(self, spent: Counters, parallel: int = 1) -> Budget:
        """Return what is left after ``spent``, never less than zero.

        With ``parallel`` above 1, return the budget of each of that many attempts that run side by side: they
        share the forwards and decisions, and each has all of the time.
        """
        return replace(
            self,
            forwards=None if self.forwards is None else max(0, self.forwards - spent.canvases) // parallel,
            seconds=None if self.seconds is None else max(0.0, self.seconds - spent.seconds),
            decisions=None
            if self.decisions is None
            else max(0, self.decisions - spent.decisions) // parallel,
        )

    def reached(self, spent: Counters) -> Limit:
        """Return the limit that ended a run at this cost."""
        if self.forwards is not None and spent.canvases >= self.forwards:
            return "forwards"
        return "forwards" if self.seconds is None else "seconds"

    def split(self, parts: int) -> tuple[Budget, ...]:
        """Divide the budget among ``parts`` attempts, one after another. Later ones get the remainder."""
        return tuple(
            replace(
                self,
                forwards=None if self.forwards is None else max(1, (self.forwards + part) // parts),
                seconds=None if self.seconds is None else self.seconds / parts,
                decisions=None if self.decisions is None else (self.decisions + part) // parts,
            )
            for part in range(parts)
        )


@dataclass
class Counters:
    """The cost of a problem. ``first + second`` is the cost of both, with the clock of the first.

    Attributes:
        calls: sequential calls of the denoiser.
        forwards: row-forwards; canvases that share a call count one each.
        loops: inner loops of the network.
        flops: floating point operations of the network.
        decisions: decisions of the search.
        remasked: drafted tokens that were rejected (see :class:`Step`).
        nodes: search nodes that were refuted.
        searched: canvases that the strategy "search" visited, without a forward.
        seconds: wall clock since the problem was started, shared with the rest of its batch.
        started: origin of that clock. If a batch divides its time, what others took is added to it.
    """

    calls: int = 0
    forwards: int = 0
    loops: int = 0
    flops: int = 0
    decisions: int = 0
    remasked: int = 0
    nodes: int = 0
    searched: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def canvases(self) -> int:
        """All canvases that a budget counts: forwards, and those visited without one."""
        return self.forwards + self.searched

    def summary(self) -> dict[str, int | float]:
        """Return all counters by name, without the origin of the clock; seconds to six places."""
        return {item.name: round(getattr(self, item.name), 6) for item in fields(self) if item.repr}

    def __add__(self, other: Counters) -> Counters:
        names = [item.name for item in fields(self) if item.repr]
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in names})

    def stop_clock(self) -> None:
        self.seconds = time.perf_counter() - self.started


@dataclass(frozen=True, eq=False)
class Step:
    """One canvas: one round of a search node, with a forward if the strategy is "model".

    Attributes:
        number: number of the step, from 0.
        strategy: "model" drafts with the denoiser, "search" without it.
        node: number of the search node.
        parent: number of the node's parent, -1 for the first node.
        decision: (cell, token) that distinguishes the node from its parent; None for the first node and for
            later rounds.
        draft: the full canvas that was checked; the last one, if several were drawn (``SearchPolicy.draws``).
        confidence: probability of each cell's token; 1 for settled cells.
        pinned: cells that never change.
        settled: pinned, decided and implied cells.
        visible: drafted cells that the denoiser is given as known in the next round.
        accepted: cells that have just become visible.
        remasked: drafted tokens that were rejected: visible cells that were re-masked, and blamed open cells.
        violations: violations of the draft.
        refuted: the violation with a reason that closed the node, if any.
        solved: whether the draft is the answer.
        constraint_cost: cost, in nats, of conditioning the draft on the task's language; 0 without one.
    """

    number: int
    strategy: StrategyName
    node: int
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
        """Return plain values: masks as lists of cells, confidence to three places."""
        masks = ("pinned", "settled", "visible", "accepted", "remasked")
        return {
            "step": self.number,
            "strategy": self.strategy,
            "node": self.node,
            "parent": self.parent,
            "decision": None if self.decision is None else list(self.decision),
            "draft": self.draft.tolist(),
            "confidence": [round(float(p), 3) for p in self.confidence],
            **{name: np.flatnonzero(getattr(self, name)).tolist() for name in masks},
            "violations": [violation_json(violation) for violation in self.violations],
            "refuted": None if self.refuted is None else violation_json(self.refuted),
            "solved": self.solved,
            "constraint_cost": round(self.constraint_cost, 4) if np.isfinite(self.constraint_cost) else None,
        }


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended.

    Attributes:
        status: "solved", "unsatisfiable" or "exhausted".
        tokens: the answer if solved, otherwise the best draft.
        violations: of that draft; empty if solved.
        confidence: probability of each cell's token.
        counters: what the run cost.
        strategy: which one found the answer or completed the proof; None if exhausted.
        proof: if unsatisfiable, how many nodes were refuted, each by a violation with a reason.
        constraint_cost: cost, in nats, of conditioning the best draft on the task's language: minus the
            log-probability that a draft of the denoiser is in the language; 0 without one.
    """

    status: Status
    tokens: Tokens
    violations: tuple[Violation, ...]
    confidence: np.ndarray
    counters: Counters
    strategy: StrategyName | None = None
    proof: int | None = None
    constraint_cost: float = 0.0


def violation_json(violation: Violation) -> dict[str, Any]:
    reason = None if violation.reason is None else sorted(violation.reason)
    return {
        "cells": list(violation.cells),
        "rule": violation.rule,
        "message": violation.message,
        "reason": reason,
    }


def dump(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))
