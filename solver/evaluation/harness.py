"""Run arms on problems and collect result rows: the part of the evaluation that all tasks share.

>>> always = Arm("always", lambda problems: [Answer(("yes",), "solved") for _ in problems])
>>> attempt = run_arm(always, ["is it?", "and this?"])
>>> [answer.text for answer in attempt.answers], attempt.cost()["forwards_mean"]
(['yes', 'yes'], 0.0)
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from solver.errors import CheckpointError
from solver.evaluation.rows import ResultsFile, Row
from solver.evaluation.statistics import Figures
from solver.loop.trace import Counters, Outcome, Status
from solver.models import checkpoint

Problem = TypeVar("Problem")
Network = TypeVar("Network")
CONTROLS = ("random", "prior")


@dataclass(frozen=True, eq=False)
class Answer:
    """An arm's answer to one problem.

    Args:
        texts: the text of each hole; a problem without holes has one text. None: the arm gave up.
        status: the arm's own verdict. The evaluator grades the answer independently.
        counters: forwards, FLOPs and decisions of this problem.
        seconds: wall-clock seconds of this problem, None if problems were solved in batches.
        first_valid: whether the first complete draft passed the checks.
        constraint_cost: negative log-probability (nats) that the last unconstrained draft would have been
            valid.
        outcome: the loop's outcome, for sections that need its details.
        path: (cell, token) pairs in the order of choice, for arms that choose one token at a time.
        probabilities: of the fields of a JSON value by pointer, for each method to compute them.
        missing: pointers of the fields that the arm says are not in the text.
    """

    texts: tuple[str, ...] | None
    status: Status = "exhausted"
    counters: Counters = field(default_factory=Counters)
    seconds: float | None = None
    first_valid: bool = False
    constraint_cost: float = 0.0
    outcome: Outcome | None = None
    path: tuple[tuple[int, int], ...] = ()
    probabilities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()

    @property
    def solved(self) -> bool:
        return self.status == "solved"

    @property
    def text(self) -> str:
        """The text of a problem without holes; empty if the arm gave up."""
        return self.texts[0] if self.texts else ""

    @property
    def gflop(self) -> float:
        """Floating-point operations of the network, in units of 10^9."""
        return self.counters.flops / 1e9


@dataclass(frozen=True, eq=False)
class Arm(Generic[Problem]):
    """A method under test.

    Args:
        name: name of the arm in rows and tables.
        answer: returns an answer to each problem, in the order of the problems.
        weights: hash of the checkpoint, or the name of a control. None: no model.
    """

    name: str
    answer: Callable[[Sequence[Problem]], Sequence[Answer]]
    weights: str | None = None


@dataclass(frozen=True, eq=False)
class Attempt:
    """An arm's answers to all problems, and the wall-clock seconds that they took in total."""

    answers: Sequence[Answer]
    seconds: float

    def mean(self, name: str, digits: int = 2) -> float:
        """Return the mean of the counter ``name`` over the problems, rounded to ``digits`` places."""
        return round(float(np.mean([getattr(answer.counters, name) for answer in self.answers])), digits)

    def cost(self) -> Figures:
        """Return mean forwards, GFLOP and milliseconds per problem."""
        return {
            "forwards_mean": self.mean("forwards"),
            "gflop_mean": round(float(np.mean([answer.gflop for answer in self.answers])), 4),
            "ms": round(1e3 * self.seconds / max(1, len(self.answers)), 2),
        }


def run_arm(arm: Arm[Problem], problems: Sequence[Problem], warm_up: bool = False) -> Attempt:
    """Answer ``problems`` and measure the time. ``warm_up``: first answer one problem that is not timed."""
    if warm_up:
        arm.answer(problems[:1])
    started = time.perf_counter()
    answers = arm.answer(problems)
    return Attempt(answers, time.perf_counter() - started)


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        first: its first result row with no figures filled in. Its key is used for resuming.
        measure: runs the measurement and yields all its rows.
    """

    first: Row
    measure: Callable[[], Iterable[Row]]


def run_jobs(
    jobs: Iterable[Job],
    results: ResultsFile,
    resume: bool = False,
    report: Callable[[Row], None] = lambda row: None,
) -> None:
    """Run the jobs and write every row as soon as it is measured.

    Args:
        jobs: the measurements, in the order in which they run.
        results: the file that the rows are written to.
        resume: skip a job whose first row was measured with the same weights.
        report: called with every new row.
    """
    for job in jobs:
        present = results.find(job.first.key)
        if resume and present is not None and present.weights == job.first.weights:
            continue
        for row in job.measure():
            row = replace(row, weights=job.first.weights)
            results.add(row)
            report(row)


def weights_hash(model: str | Path) -> str | None:
    """Return what identifies a model's weights in result rows.

    This is the first 12 digits of the SHA-256 of a checkpoint's weights, the name of a control, or None for a
    folder without a checkpoint.
    """
    if str(model) in CONTROLS:
        return str(model)
    weights = Path(model) / "model.safetensors"
    return sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else None


@dataclass(frozen=True)
class ModelPair(Generic[Network]):
    """A task's denoiser and left-to-right baseline (None: missing), and the hashes of their weights."""

    network: Network | None = None
    baseline: Network | None = None
    weights: str | None = None
    baseline_weights: str | None = None


def load_pair(task: str, kind: type[Network], folders: Mapping[str, Path]) -> ModelPair[Network]:
    """Load a task's denoiser and baseline.

    Args:
        task: name of the task.
        kind: class of both networks.
        folders: checkpoints by role, ``"compact"`` (the denoiser) or ``"ar"``. A missing role uses the
            packaged checkpoint, if any.

    Raises:
        CheckpointError: a folder holds no checkpoint of this kind.
    """
    networks: list[Network | None] = []
    hashes: list[str | None] = []
    for role, name in (("compact", task), ("ar", f"{task}-ar")):
        folder = folders.get(role, checkpoint.SHIPPED / name)
        network: Any = None
        if role in folders or (folder / "config.json").is_file():
            network, _ = checkpoint.load_network(folder, task)
            if not isinstance(network, kind):
                raise CheckpointError(f"{folder}: not a model of {task}")
        networks.append(network)
        hashes.append(weights_hash(folder))
    return ModelPair(networks[0], networks[1], hashes[0], hashes[1])
