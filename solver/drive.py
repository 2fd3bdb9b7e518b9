"""Many problems, one batch: the driver that runs episodes against a denoiser.

Every round it gathers the canvases that the running episodes ask for, denoises them in one forward, and hands each its reply.
A row leaves when its problem is done and the next problem takes its place.

    for number, event in solve(task, problems, denoiser, policy, budget, batch=64):
        ...                                                  # event is a Step or, last, the problem's Outcome
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solver.denoisers.protocol import Denoiser
from solver.kernels import dispatch, reference
from solver.policies import Policy
from solver.refine import Episode, Reply, Request, episode
from solver.tasks.canvas import Canvas
from solver.tasks.task import Eliminates, Task
from solver.trace import Budget, Outcome, Step

WINDOW = 1024  # problems that are prefilled together


@dataclass(eq=False)
class Running:
    """An episode under way: its number among the problems, its row in the prefilled state, and what it asks for."""

    number: int
    row: int
    canvas: Canvas
    run: Episode
    requests: list[Request]


def refine(
    task: Task,
    problem: Any,
    denoiser: Denoiser,
    policy: Policy | None = None,
    budget: Budget | None = None,
    seed: int = 0,
) -> Iterator[Step | Outcome]:
    """One problem's steps as they happen, then its outcome."""
    for _, event in solve(task, [problem], denoiser, policy, budget, seed=seed, batch=1):
        yield event


def solve(
    task: Task,
    problems: Sequence[Any],
    denoiser: Denoiser,
    policy: Policy | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    batch: int = 64,
    canvases: Sequence[Canvas] | None = None,
) -> Iterator[tuple[int, Step | Outcome]]:
    """Steps and outcomes of many problems, each with the problem's number, in the order in which they happen.

    The outcome of a problem depends on (task, problem, denoiser, policy, budget in forwards, seed) and not on its neighbours in
    the batch. Raises ValueError where ``batch`` is below 1 or a problem cannot be encoded.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    policy, budget = policy or default_policy(denoiser), budget or Budget()
    canvases = canvases if canvases is not None else [task.encode(problem) for problem in problems]
    for start in range(0, len(problems), WINDOW):
        numbers = range(start, min(start + WINDOW, len(problems)))
        yield from _window(task, problems, canvases, numbers, denoiser, policy, budget, seed, batch)


def default_policy(denoiser: Denoiser) -> Policy:
    """Best-first for a denoiser whose probabilities mean something; for the controls depth-first, their stronger order."""
    return Policy() if denoiser.informed else Policy(order="depth", rounds=1, settle=True)


def _window(
    task: Task,
    problems: Sequence[Any],
    canvases: Sequence[Canvas],
    numbers: range,
    denoiser: Denoiser,
    policy: Policy,
    budget: Budget,
    seed: int,
    batch: int,
) -> Iterator[tuple[int, Step | Outcome]]:
    state = denoiser.prefill([canvases[n] for n in numbers], [seed for _ in numbers])
    waiting = iter(numbers)
    running: list[Running] = []
    steps: list[Step] = []

    def start(number: int) -> Iterator[tuple[int, Step | Outcome]]:
        canvas = canvases[number]

        def noise(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return denoiser.noise(where, canvas.vocab, rng)

        rng = np.random.default_rng(seed)
        run = episode(task, problems[number], canvas, policy, budget, rng, noise, steps.append)
        yield from advance(Running(number, number - numbers.start, canvas, run, []), None)

    def advance(one: Running, replies: list[Reply] | None) -> Iterator[tuple[int, Step | Outcome]]:
        try:
            one.requests = one.run.send(replies) if replies is not None else next(one.run)
            running.append(one)
        except StopIteration as end:
            yield from ((one.number, step) for step in steps)
            steps.clear()
            yield one.number, end.value
        else:
            yield from ((one.number, step) for step in steps)
            steps.clear()

    while True:
        while len(running) < batch and (number := next(waiting, None)) is not None:
            yield from start(number)
        if not running:
            return
        now, running = running, []
        replies = iter(forward(task, denoiser, state, now, policy.checks))
        for one in now:
            yield from advance(one, [next(replies) for _ in one.requests])


def forward(task: Task, denoiser: Denoiser, state: Any, running: Sequence[Running], checks: bool) -> Iterator[Reply]:
    """One denoise call for all requests, and the replies in their order. Without ``checks`` nothing is eliminated."""
    asked = [(one, request) for one in running for request in one.requests]
    rows = state.select([one.row for one, _ in asked])
    tokens = np.stack([request.tokens for _, request in asked])
    known = np.stack([request.known for _, request in asked])
    trail = np.stack([request.trail for _, request in asked])
    new = [at for at, (_, request) in enumerate(asked) if request.carry is None]
    first = denoiser.start(rows.select(new)) if new else None
    started = {at: first.select([k]) for k, at in enumerate(new)} if first is not None else {}
    aux = first
    if len(new) < len(asked):
        parts = [started.get(at, request.carry) for at, (_, request) in enumerate(asked)]
        aux = type(parts[0]).join(parts)
    logits, aux = denoiser.denoise(rows, torch.from_numpy(tokens), torch.from_numpy(known), torch.from_numpy(trail), aux)
    # infinite opinions are made finite: what may stand in a cell is for the task to say, or the search could miss it
    logits = logits.float().nan_to_num(nan=0.0, posinf=1e4, neginf=-1e4)
    loops, flops = denoiser.cost(rows, aux)
    canvases = [one.canvas for one, _ in asked]
    vocab = logits.shape[-1]
    allowed = allow(task if checks and isinstance(task, Eliminates) else None, canvases, tokens, trail, vocab)
    packed = None if allowed is None else torch.from_numpy(allowed)
    found = dispatch.token_statistics(logits, packed)
    held = torch.from_numpy(tokens)[..., None]
    possible = None if packed is None else reference.unpack(packed, vocab)
    belief = (logits if possible is None else logits.masked_fill(~possible, -1e5)).softmax(-1).gather(-1, held)[..., 0].numpy()
    choices = np.full(tokens.shape, vocab) if possible is None else possible.sum(-1).numpy()
    best, top1, top2 = found.best.numpy(), found.top1.numpy(), found.top2.numpy()
    for row in range(len(asked)):

        def probabilities(cell: int, row: int = row) -> dict[int, float]:
            here = torch.ones(vocab, dtype=torch.bool) if possible is None else possible[row, cell]
            p = logits[row, cell].masked_fill(~here, -1e5).softmax(-1)
            return {int(t): float(p[t]) for t in here.nonzero()[:, 0]}

        yield Reply(
            best[row],
            top1[row],
            top2[row],
            choices[row],
            belief[row],
            probabilities,
            loops[row],
            flops[row],
            aux.select([row]),
        )


def allow(
    task: Eliminates | None, canvases: Sequence[Canvas], tokens: np.ndarray, trail: np.ndarray, vocab: int
) -> np.ndarray | None:
    """Bitmask (B, L, W) of what each cell may hold: the canvas's own and the task's elimination; None where all is allowed."""
    static = None
    if any(c.allowed is not None for c in canvases):
        every = reference.pack(torch.ones(canvases[0].cells, vocab, dtype=torch.bool)).numpy()
        static = np.stack([every if c.allowed is None else c.allowed for c in canvases])
    if task is not None:
        free = task.eliminate(canvases, tokens, trail)
        return free if static is None else free & static
    return static
