"""Many problems, one batch: the driver that runs episodes against a denoiser.

Every round it gathers the canvases that the running episodes ask for, denoises them in one forward, and hands each its
prediction. A row leaves when its problem is done and the next problem takes its place.

    for number, event in solve(task, problems, denoiser, policy, budget, batch=64):
        ...                                                  # event is a Step or, last, the problem's Outcome
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solver.kernels import dispatch, reference
from solver.loop.policy import Policy
from solver.loop.refine import DenoiseRequest, Episode, Prediction, episode
from solver.loop.trace import Budget, Outcome, Step
from solver.models.protocol import Denoiser
from solver.tasks.canvas import Canvas, Tokens
from solver.tasks.task import Conditioned, Eliminates, Projects, Task

WINDOW = 1024  # problems that are prefilled together
WIDE = 256  # tokens of a vocabulary from which a settled cell's statistics cost too much
HUGE = 1e4  # for an infinity among logits


@dataclass(eq=False)
class Running:
    """An episode under way: its number among the problems, its row in the prefilled state, and what it asks for."""

    number: int
    row: int
    problem: Any
    canvas: Canvas
    run: Episode
    requests: list[DenoiseRequest]


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
    seed: int | Sequence[int] = 0,
    batch: int = 64,
    canvases: Sequence[Canvas] | None = None,
    state: Any = None,
) -> Iterator[tuple[int, Step | Outcome]]:
    """Steps and outcomes of many problems, each with the problem's number, in the order in which they happen.

    ``seed``: one for all, or one a problem. ``canvases``: the problems, where they are encoded already. ``state``: what the
    denoiser's ``prefill`` said of them, where it was asked already.

    The outcome of a problem depends on (task, problem, denoiser, policy, budget in forwards, seed) and not on its neighbours in
    the batch. Raises ValueError where ``batch`` is below 1 or a problem cannot be encoded.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    policy, budget = policy or denoiser.policy, budget or Budget()
    canvases = canvases if canvases is not None else [task.encode(problem) for problem in problems]
    seeds = [seed] * len(problems) if isinstance(seed, int) else list(seed)
    window = WINDOW if state is None else max(1, len(problems))
    for start in range(0, len(problems), window):
        numbers = range(start, min(start + window, len(problems)))
        prefilled = (
            state
            if state is not None
            else denoiser.prefill([canvases[n] for n in numbers], [seeds[n] for n in numbers])
        )
        yield from _window(
            task, problems, canvases, numbers, denoiser, policy, budget, seeds, batch, prefilled
        )


def _window(
    task: Task,
    problems: Sequence[Any],
    canvases: Sequence[Canvas],
    numbers: range,
    denoiser: Denoiser,
    policy: Policy,
    budget: Budget,
    seeds: Sequence[int],
    batch: int,
    state: Any,
) -> Iterator[tuple[int, Step | Outcome]]:
    waiting = iter(numbers)
    running: list[Running] = []
    steps: list[Step] = []

    def start(number: int) -> Iterator[tuple[int, Step | Outcome]]:
        canvas = canvases[number]

        def noise(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return denoiser.noise(where, canvas.vocab, rng)

        rng = np.random.default_rng(seeds[number])
        run = episode(task, problems[number], canvas, policy, budget, rng, noise, steps.append)
        yield from advance(Running(number, number - numbers.start, problems[number], canvas, run, []), None)

    def advance(one: Running, predictions: list[Prediction] | None) -> Iterator[tuple[int, Step | Outcome]]:
        try:
            one.requests = one.run.send(predictions) if predictions is not None else next(one.run)
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
        predictions = iter(forward(task, denoiser, state, now, policy.checks))
        for one in now:
            yield from advance(one, [next(predictions) for _ in one.requests])


def forward(
    task: Task, denoiser: Denoiser, state: Any, running: Sequence[Running], checks: bool
) -> Iterator[Prediction]:
    """One denoise call for all requests, and the predictions in their order. Without ``checks`` nothing is eliminated."""
    asked = [(one, request) for one in running for request in one.requests]
    rows = state.select([one.row for one, _ in asked])
    tokens = np.stack([request.tokens for _, request in asked])
    known = np.stack([request.known for _, request in asked])
    settled = np.stack([request.settled for _, request in asked])
    new = [at for at, (_, request) in enumerate(asked) if request.carry is None]
    first = denoiser.start(rows.select(new)) if new else None
    started = {at: first.select([k]) for k, at in enumerate(new)} if first is not None else {}
    aux = first
    if len(new) < len(asked):
        parts = [started.get(at, request.carry) for at, (_, request) in enumerate(asked)]
        aux = type(parts[0]).join(parts)
    logits, aux = denoiser.denoise(
        rows, torch.from_numpy(tokens), torch.from_numpy(known), torch.from_numpy(settled), aux
    )
    logits = without(finite(logits), [request.excluded for _, request in asked])
    loops, flops = denoiser.cost(rows, aux)
    canvases = [one.canvas for one, _ in asked]
    vocab = logits.shape[-1]
    allowed = allow(
        task if checks and isinstance(task, Eliminates) else None, canvases, tokens, settled, vocab
    )
    there = logits.device  # statistics are taken where the logits are: only a few numbers a cell come back
    packed = None if allowed is None else torch.from_numpy(allowed).to(there)
    if checks and isinstance(task, Projects):
        for at, (one, request) in enumerate(asked):
            rng = None if request.uniform is None else np.random.default_rng(request.uniform.view(np.uint32))
            joint = task.project(one.problem, logits[at].cpu().numpy(), request.tokens, request.settled, rng)
            yield conditioned(joint, request, loops[at], flops[at], aux.select([at]))
        return
    uniform = None
    if asked[0][1].uniform is not None:
        drawn = np.stack([request.uniform for _, request in asked if request.uniform is not None])
        uniform = torch.from_numpy(drawn).to(there)
    held = torch.from_numpy(np.where(known, tokens, 0)).to(there)
    found = statistics(logits, packed, uniform, held, ~torch.from_numpy(settled).to(there))
    choices = np.full(tokens.shape, vocab) if packed is None else reference.count(packed).cpu().numpy()
    best, _, top1, top2, entropy, sample, belief = (column.cpu().numpy() for column in found)
    for row in range(len(asked)):

        def probabilities(cell: int, row: int = row) -> tuple[np.ndarray, np.ndarray]:
            here = torch.ones(vocab) if packed is None else reference.unpack(packed[row, cell], vocab)
            tokens = here.nonzero()[:, 0]
            p = logits[row, cell, tokens.to(there)].cpu().double().softmax(-1)
            return tokens.cpu().numpy(), p.numpy()

        yield Prediction(
            best=best[row],
            top1=top1[row],
            top2=top2[row],
            entropy=entropy[row],
            sample=sample[row],
            choices=choices[row],
            belief=belief[row],
            probabilities=probabilities,
            loops=loops[row],
            flops=flops[row],
            carry=aux.select([row]),
        )


def conditioned(
    found: Conditioned | None, request: DenoiseRequest, loops: int, flops: int, carry: Any
) -> Prediction:
    """The prediction for a canvas whose cells are conditioned on being valid together: values come from one valid canvas, and
    marginals are only their confidences. Nothing is allowed on a canvas that cannot be completed."""
    size = len(request.tokens)
    if found is None:
        nothing, zero = np.full(size, -1), np.zeros(size, np.float32)
        none = np.zeros(0, np.int64), np.zeros(0)
        empty = (nothing, zero, zero, zero, nothing, nothing + 1, zero)
        return Prediction(*empty, lambda _: none, loops, flops, carry, np.inf)  # type: ignore[arg-type,return-value]
    p, columns = found.marginals, found.columns
    place = {} if columns is None else {int(token): at for at, token in enumerate(columns)}
    cells = np.arange(size)

    def column(tokens: Tokens) -> Tokens:
        return tokens if columns is None else np.array([place.get(int(token), 0) for token in tokens])

    others = p.copy()
    others[cells, column(found.best)] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0).sum(1)

    def probabilities(cell: int) -> tuple[Tokens, np.ndarray]:
        at = np.flatnonzero(p[cell] > 0)
        return (at if columns is None else columns[at]), p[cell, at]

    return Prediction(
        best=found.best,
        top1=p[cells, column(found.best)].astype(np.float32),
        top2=others.max(1).astype(np.float32),
        entropy=entropy.astype(np.float32),
        sample=found.sample,
        choices=(p > 0).sum(1),
        belief=p[cells, column(np.where(request.known, request.tokens, found.best))].astype(np.float32),
        probabilities=probabilities,
        loops=loops,
        flops=flops,
        carry=carry,
        constraint_cost=found.constraint_cost,
    )


@torch.inference_mode()
def finite(logits: torch.Tensor) -> torch.Tensor:
    """fp32 ``logits`` without infinities, changed in place where they are fp32: what may stand in a cell is for the task to say,
    or the search could miss it."""
    logits = logits.float()
    return torch.nan_to_num(logits, nan=0.0, posinf=HUGE, neginf=-HUGE, out=logits)


def statistics(
    logits: torch.Tensor,
    allowed: torch.Tensor | None,
    uniform: torch.Tensor | None,
    held: torch.Tensor,
    asked: torch.Tensor,
) -> reference.Statistics:
    """Of the cells that are ``asked`` for (B, L); of the others, which are settled, that they hold what they hold. In a small
    vocabulary all cells are cheaper than the choice among them."""
    if logits.shape[-1] < WIDE or asked.all():
        return dispatch.token_statistics(logits, allowed, uniform, held)
    one, zero = torch.ones_like(held, dtype=torch.float32), torch.zeros_like(held)
    settled = reference.Statistics(held, zero - 1, one, 0 * one, 0 * one, held, one)
    if not asked.any():
        return settled
    mask, draw = (None if column is None else column[asked][None] for column in (allowed, uniform))
    some = dispatch.token_statistics(logits[asked][None], mask, draw, held[asked][None])
    return reference.Statistics(
        *(base.masked_scatter(asked, column[0]) for base, column in zip(settled, some, strict=True))
    )


def without(logits: torch.Tensor, excluded: Sequence[Sequence[Tokens]]) -> torch.Tensor:
    """``logits`` (B, L, V) with the tokens that each row's ``excluded`` names, each (L,), -1 for none, as good as impossible."""
    if all((tokens < 0).all() for some in excluded for tokens in some):
        return logits
    logits = logits.clone()  # it may be of torch's inference mode, and then nothing is written to it
    for row, some in enumerate(excluded):
        for tokens in some:
            cells = np.flatnonzero(tokens >= 0)
            logits[row, torch.from_numpy(cells), torch.from_numpy(tokens[cells])] = -HUGE
    return logits


def allow(
    task: Eliminates | None, canvases: Sequence[Canvas], tokens: np.ndarray, settled: np.ndarray, vocab: int
) -> np.ndarray | None:
    """Bitmask (B, L, W) of what each cell may hold: the canvas's own and the task's elimination; None where all is allowed."""
    static = None
    if any(c.allowed is not None for c in canvases):
        every = reference.pack(torch.ones(vocab, dtype=torch.bool)).numpy()
        static = np.empty((*tokens.shape, len(every)), np.int32)
        for row, canvas in enumerate(canvases):
            static[row] = every if canvas.allowed is None else canvas.allowed
    if task is not None:
        free = task.eliminate(canvases, tokens, settled)
        return free if static is None else free & static
    return static
