"""Predictions: one call of the denoiser for a batch of canvases, read out cell by cell.

A :class:`DenoiseRequest` goes in, a :class:`Prediction` comes out. Between the logits and the probabilities,
tokens that a cell cannot hold are removed: tokens in conflict with settled cells
(:class:`~solver.tasks.task.Eliminates`), tokens excluded for this cell for now, or everything outside of the
task's language (:class:`~solver.tasks.task.Projects`).

Shapes: B canvases in the batch, L cells, V tokens, W words of a packed bitmask over the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels import dispatch, reference
from solver.loop.policy import Floats, Ints
from solver.models.protocol import Denoiser
from solver.tasks.canvas import EMPTY, Canvas, Mask, Tokens
from solver.tasks.task import Conditioned, Eliminates, Projects, Task

LARGE_VOCABULARY = (
    256  # tokens from which computing statistics of settled cells costs more than leaving them out
)
INFINITE_LOGIT = 1e4  # stands in for an infinite logit

Probabilities = NDArray[np.float64]
Distribution = Callable[[int], tuple[Tokens, Probabilities]]


@dataclass(frozen=True, eq=False)
class DenoiseRequest:
    """A canvas to denoise. Arrays have shape (L,).

    Attributes:
        problem, canvas: what it belongs to.
        tokens: settled and visible cells hold their token, all others noise.
        known: settled and visible cells.
        settled: pinned, decided and implied cells; elimination starts from these alone.
        carry: the denoiser's state after the last forward of this search node, None at its first.
        uniform: numbers in [0, 1) to draw a sample with, None if none is wanted.
        excluded: tokens that a cell may not draft now, one array for each forward that excluded some; -1 for
            no token.
    """

    problem: Any
    canvas: Canvas
    tokens: Tokens
    known: Mask
    settled: Mask
    carry: Any
    uniform: Floats | None = None
    excluded: tuple[Tokens, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """A denoiser's prediction for one canvas. Arrays have shape (L,).

    Attributes:
        best: the likeliest of the allowed tokens, -1 if there is none.
        top1, top2: probabilities of the best token and of the next.
        entropy: in nats.
        sample: a drawn token, or the best if no sample was asked for.
        choices: how many tokens are allowed.
        belief: probability of the token that the cell holds now, among the allowed ones.
        distribution: returns the allowed tokens of a cell and their probabilities. Keeps the forward's logits
            alive.
        loops, flops: what the forward cost.
        carry: the denoiser's state, for the next forward of the same search node.
        constraint_cost: nats that conditioning on the language cost.
    """

    best: Tokens
    top1: Floats
    top2: Floats
    entropy: Floats
    sample: Tokens
    choices: Ints
    belief: Floats
    distribution: Distribution
    loops: int
    flops: int
    carry: Any
    constraint_cost: float = 0.0


class Predictor:
    """Turns requests into predictions with one call of the denoiser.

    Args:
        task: its elimination or its language restricts the tokens, where it has one.
        denoiser: the model.
        checks: False leaves out the restrictions of the task.
    """

    def __init__(self, task: Task, denoiser: Denoiser, checks: bool) -> None:
        self.denoiser = denoiser
        self.eliminates = task if checks and isinstance(task, Eliminates) else None
        self.projects = task if checks and isinstance(task, Projects) else None

    def predict(self, rows: Any, requests: Sequence[DenoiseRequest]) -> Iterator[Prediction]:
        """Yield a prediction for each of ``requests``; ``rows`` is the prefilled state, a row for each."""
        tokens, known, settled = map(torch.from_numpy, stack_requests(requests))
        logits, aux = self.denoiser.denoise(rows, tokens, known, settled, self._carried(rows, requests))
        logits = exclude(finite(logits), [request.excluded for request in requests])
        costs = zip(*self.denoiser.cost(rows, aux), strict=True)
        read = self._factorised if self.projects is None else self._conditioned
        for row, (columns, (loops, flops)) in enumerate(zip(read(requests, logits), costs, strict=True)):
            yield Prediction(**columns, loops=loops, flops=flops, carry=aux.select([row]))

    def _carried(self, rows: Any, requests: Sequence[DenoiseRequest]) -> Any:
        """Return the state that the forward starts from: carried by the request, or a new one."""
        states = [request.carry for request in requests]
        new = [row for row, carry in enumerate(states) if carry is None]
        if not new:
            return type(states[0]).join(states)
        started = self.denoiser.start(rows.select(new))
        if len(new) == len(states):
            return started
        for index, row in enumerate(new):
            states[row] = started.select([index])
        return type(states[0]).join(states)

    def _conditioned(self, requests: Sequence[DenoiseRequest], logits: Tensor) -> Iterator[dict[str, Any]]:
        """Yield what a prediction says of the cells, with all of them jointly in the task's language."""
        assert self.projects is not None
        for row, request in enumerate(requests):
            uniform = request.uniform
            rng = None if uniform is None else np.random.default_rng(uniform.view(np.uint32))
            row_logits = logits[row].cpu().numpy()
            joint = self.projects.project(request.problem, row_logits, request.tokens, request.settled, rng)
            yield read_impossible(len(request.tokens)) if joint is None else read_projection(joint, request)

    def _factorised(self, requests: Sequence[DenoiseRequest], logits: Tensor) -> Iterator[dict[str, Any]]:
        """Yield what a prediction says of the cells, each by itself."""
        tokens, known, settled = stack_requests(requests)
        # statistics are taken on the device of the logits: only a few numbers for each cell come back
        device, vocab = logits.device, logits.shape[-1]
        canvases = [request.canvas for request in requests]
        mask = allow(self.eliminates, canvases, tokens, settled, vocab)
        allowed = None if mask is None else torch.from_numpy(mask).to(device)
        draws = [request.uniform for request in requests if request.uniform is not None]
        uniform = torch.from_numpy(np.stack(draws)).to(device) if draws else None
        current = torch.from_numpy(np.where(known, tokens, 0)).to(device)
        result = statistics(logits, allowed, uniform, current, ~torch.from_numpy(settled).to(device))
        choices = np.full(tokens.shape, vocab) if allowed is None else reference.count(allowed).cpu().numpy()
        names = ("best", "top1", "top2", "entropy", "sample", "belief")
        columns = {name: getattr(result, name).cpu().numpy() for name in names} | {"choices": choices}
        for row in range(len(requests)):
            row_allowed = None if allowed is None else allowed[row]
            yield {
                **{name: column[row] for name, column in columns.items()},
                "distribution": partial(distribution_of, logits[row], row_allowed),
            }


def stack_requests(requests: Sequence[DenoiseRequest]) -> tuple[Tokens, Mask, Mask]:
    """Return tokens, known and settled cells of all requests, each (B, L)."""
    columns = zip(*((request.tokens, request.known, request.settled) for request in requests), strict=True)
    tokens, known, settled = map(np.stack, columns)
    return tokens, known, settled


def distribution_of(logits: Tensor, allowed: Tensor | None, cell: int) -> tuple[Tokens, Probabilities]:
    """Return the tokens ``cell`` may hold and their probabilities, from logits (L, V) and bitmask (L, W)."""
    vocab = logits.shape[-1]
    mask = torch.ones(vocab) if allowed is None else reference.unpack(allowed[cell], vocab)
    tokens = mask.nonzero()[:, 0]
    p = logits[cell, tokens.to(logits.device)].cpu().double().softmax(-1)
    return tokens.cpu().numpy(), p.numpy()


def read_impossible(cells: int) -> dict[str, Any]:
    """Return the prediction for a canvas that no text of the language completes: no token is allowed."""
    no_token, zero = np.full(cells, -1), np.zeros(cells, np.float32)
    return {
        "best": no_token,
        **dict.fromkeys(("top1", "top2", "entropy", "belief"), zero),
        "sample": no_token,
        "choices": np.zeros(cells, np.int64),
        "distribution": lambda cell: (EMPTY, np.zeros(0)),
        "constraint_cost": np.inf,
    }


def read_projection(joint: Conditioned, request: DenoiseRequest) -> dict[str, Any]:
    """Return the prediction for cells that are valid together.

    Values come from one valid canvas; the marginals are only their confidences.
    """
    p, columns = joint.marginals, joint.columns
    column_of = {} if columns is None else {int(token): column for column, token in enumerate(columns)}
    cells = np.arange(len(p))

    def columns_for(tokens: Tokens) -> Tokens:
        return tokens if columns is None else np.array([column_of.get(int(token), 0) for token in tokens])

    def distribution(cell: int) -> tuple[Tokens, Probabilities]:
        possible = np.flatnonzero(p[cell] > 0)
        return (possible if columns is None else columns[possible]), p[cell, possible]

    best = columns_for(joint.best)
    without_best = p.copy()
    without_best[cells, best] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0).sum(1)
    current = columns_for(np.where(request.known, request.tokens, joint.best))
    return {
        "best": joint.best,
        "top1": p[cells, best].astype(np.float32),
        "top2": without_best.max(1).astype(np.float32),
        "entropy": entropy.astype(np.float32),
        "sample": joint.sample,
        "choices": (p > 0).sum(1),
        "belief": p[cells, current].astype(np.float32),
        "distribution": distribution,
        "constraint_cost": joint.constraint_cost,
    }


@torch.inference_mode()
def finite(logits: Tensor) -> Tensor:
    """Return fp32 ``logits`` without infinities and NaN, changed in place if they are fp32.

    Only the task may forbid a token: the search could not tell a token with an infinite logit from a refuted
    one.
    """
    logits = logits.float()
    return torch.nan_to_num(logits, nan=0.0, posinf=INFINITE_LOGIT, neginf=-INFINITE_LOGIT, out=logits)


def exclude(logits: Tensor, excluded: Sequence[Sequence[Tokens]]) -> Tensor:
    """Return ``logits`` (B, L, V) with the excluded tokens of each row made as good as impossible.

    Args:
        logits: not changed.
        excluded: for each row, arrays (L,) of tokens, -1 for none.
    """
    if all((tokens < 0).all() for row_tokens in excluded for tokens in row_tokens):
        return logits
    logits = logits.clone()  # a tensor made in inference mode must not be written to
    for row, row_tokens in enumerate(excluded):
        for tokens in row_tokens:
            cells = np.flatnonzero(tokens >= 0)
            logits[row, torch.from_numpy(cells), torch.from_numpy(tokens[cells])] = -INFINITE_LOGIT
    return logits


def statistics(
    logits: Tensor,
    allowed: Tensor | None,
    uniform: Tensor | None,
    current: Tensor,
    open_cells: Tensor,
) -> reference.Statistics:
    """Return the statistics of the open cells; settled cells hold their token with certainty.

    In a small vocabulary all cells are cheaper than a selection of them.

    Args:
        logits: (B, L, V).
        allowed: bitmask (B, L, W), None if every token is allowed.
        uniform: (B, L) numbers to draw samples with, or None.
        current: (B, L) the token of each cell now.
        open_cells: (B, L) bool.
    """
    if logits.shape[-1] < LARGE_VOCABULARY or open_cells.all():
        return dispatch.token_statistics(logits, allowed, uniform, current)
    ones = torch.ones_like(current, dtype=torch.float32)
    settled = reference.Statistics(current, ones, 0 * ones, 0 * ones, current, ones)
    if not open_cells.any():
        return settled
    mask, draw = (None if column is None else column[open_cells][None] for column in (allowed, uniform))
    selected = dispatch.token_statistics(logits[open_cells][None], mask, draw, current[open_cells][None])
    return reference.Statistics(
        *(base.masked_scatter(open_cells, column[0]) for base, column in zip(settled, selected, strict=True))
    )


def allow(
    task: Eliminates | None,
    canvases: Sequence[Canvas],
    tokens: Tokens,
    settled: Mask,
    vocab: int,
) -> NDArray[np.int32] | None:
    """Return the bitmask (B, L, W) of the tokens that each cell may hold, or None if all are allowed.

    Args:
        task: eliminates tokens in conflict with settled cells; None eliminates nothing.
        canvases: their own ``allowed`` always holds.
        tokens, settled: (B, L).
        vocab: number of tokens V.
    """
    static = None
    if any(canvas.allowed is not None for canvas in canvases):
        all_tokens = reference.pack(torch.ones(vocab, dtype=torch.bool)).numpy()
        static = np.empty((*tokens.shape, len(all_tokens)), np.int32)
        for row, canvas in enumerate(canvases):
            static[row] = all_tokens if canvas.allowed is None else canvas.allowed
    if task is None:
        return static
    free = task.eliminate(canvases, tokens, settled)
    return free if static is None else free & static
