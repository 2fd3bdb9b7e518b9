"""Predictions: one call of the denoiser for a batch of canvases, read out cell by cell.

A :class:`DenoiseRequest` goes in, a :class:`Prediction` comes out. Between the logits and the probabilities,
tokens that a cell cannot hold are removed: tokens in conflict with settled cells
(:class:`~solver.tasks.task.Eliminates`), tokens excluded for this cell for now, or everything outside of the
task's language (:class:`~solver.tasks.task.Projects`).

Shapes: B canvases in the batch, L cells, V tokens, W words of a packed bitmask over the tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels import reference
from solver.loop.logits import add_up, allow, draw, exclude, finite, statistics
from solver.loop.policy import Floats, Ints
from solver.loop.trace import StrategyName
from solver.models import controls
from solver.models.protocol import Denoiser
from solver.tasks.task import (
    EMPTY,
    Canvas,
    Conditioned,
    Eliminates,
    HasSynonyms,
    Mask,
    Projects,
    Remembers,
    Task,
    Tokens,
)

Probabilities = NDArray[np.float64]
Distribution = Callable[[int], tuple[Tokens, Probabilities]]
Redraw = Callable[[float, np.random.Generator], "Prediction"]


@dataclass(frozen=True, eq=False)
class DenoiseRequest:
    """A canvas to denoise. Arrays have shape (L,).

    Attributes:
        strategy: "search" for a prediction without the denoiser: uniform over the tokens that are left.
        problem, canvas: the problem, and its encoding.
        seed: of the problem.
        tokens: settled and visible cells hold their token, all others noise.
        known: settled and visible cells.
        settled: pinned, decided and implied cells; elimination starts from these alone.
        aux: what the denoiser carries from the last forward of this search node, None at its first.
        uniform: numbers in [0, 1) to draw a sample with, or to seed one; None for no sample.
        temperature: of a draft that is drawn; 0 for the likeliest one. Needs ``uniform``.
        excluded: tokens that a cell may not draft now, one array per recent forward; -1 for no token.
    """

    strategy: StrategyName
    problem: Any
    canvas: Canvas
    seed: int
    tokens: Tokens
    known: Mask
    settled: Mask
    aux: Any
    uniform: Floats | None = None
    temperature: float = 0.0
    excluded: tuple[Tokens, ...] = ()

    @property
    def generator(self) -> np.random.Generator | None:
        """The generator that ``uniform`` seeds."""
        return None if self.uniform is None else np.random.default_rng(self.uniform.view(np.uint32))

    @property
    def is_guided(self) -> bool:
        """Whether the denoiser answers the request."""
        return self.strategy == "model"


@dataclass(frozen=True, eq=False)
class Prediction:
    """A denoiser's prediction for one canvas. Arrays have shape (L,).

    Attributes:
        best: the likeliest of the allowed tokens, or the drawn ones; -1 if there is none.
        top1, top2: probabilities of the best token and of the likeliest other one.
        entropy: in nats.
        sample: a drawn token, or the best if no sample was asked for.
        num_allowed: number of allowed tokens.
        belief: for known cells, the probability of their token among the allowed ones; undefined elsewhere.
        distribution: returns the allowed tokens of a cell and their probabilities. Keeps the forward's logits
            alive.
        loops, flops: cost of the forward.
        aux: what the denoiser carries to the next forward of the same search node.
        constraint_cost: cost, in nats, of conditioning on the language.
        redraw: draws another draft from the same forward, jointly, at the given temperature; None without a
            language.
    """

    best: Tokens
    top1: Floats
    top2: Floats
    entropy: Floats
    sample: Tokens
    num_allowed: Ints
    belief: Floats
    distribution: Distribution
    loops: int
    flops: int
    aux: Any
    constraint_cost: float = 0.0
    redraw: Redraw | None = None


class Predictor:
    """Turns requests into predictions with one call of the denoiser.

    Args:
        task: the task, which may have an elimination (``Eliminates``) or a language (``Projects``).
        denoiser: the model.
        restrict: whether the task's elimination or language restricts the tokens.
    """

    def __init__(self, task: Task, denoiser: Denoiser, restrict: bool) -> None:
        self.denoiser = denoiser
        self.control = controls.random(denoiser.vocab)
        self.eliminator = task if restrict and isinstance(task, Eliminates) else None
        self.projector = task if restrict and isinstance(task, Projects) else None
        self.memory = task if isinstance(task, Remembers) else None
        synonyms = task.synonyms if isinstance(task, HasSynonyms) else EMPTY
        self.synonyms = torch.from_numpy(synonyms) if len(synonyms) > 1 else None

    def predict(
        self, state: Any, rows: Sequence[int], requests: Sequence[DenoiseRequest]
    ) -> Iterator[Prediction]:
        """Yield a prediction for each request, from one call of the denoiser for all that ask it.

        Args:
            state: the prefilled state.
            rows: the row of the state that belongs to each request.
            requests: those of the strategy "search" are answered by the control ``random``.
        """
        asking = [(row, request) for row, request in zip(rows, requests, strict=True) if request.is_guided]
        others = [request for request in requests if not request.is_guided]
        guided, unguided = self._ask_denoiser(state, asking), self._ask_control(others)
        for request in requests:
            yield next(guided if request.is_guided else unguided)

    def _ask_denoiser(self, state: Any, asking: Sequence[tuple[int, DenoiseRequest]]) -> Iterator[Prediction]:
        rows, requests = zip(*asking, strict=True)
        yield from self._read(self.denoiser, state.select(rows), requests)

    def _ask_control(self, requests: Sequence[DenoiseRequest]) -> Iterator[Prediction]:
        canvases, seeds = [r.canvas for r in requests], [r.seed for r in requests]
        yield from self._read(self.control, self.control.prefill(canvases, seeds), requests)

    def _read(
        self, denoiser: Denoiser, state: Any, requests: Sequence[DenoiseRequest]
    ) -> Iterator[Prediction]:
        """Call ``denoiser`` once and yield a prediction for each request; ``state`` has a row for each."""
        tokens, known, settled = map(torch.from_numpy, stack_requests(requests))
        logits, aux = denoiser.denoise(state, tokens, known, settled, join_aux(denoiser, state, requests))
        logits = exclude(finite(logits, denoiser.name), [request.excluded for request in requests])
        costs = zip(*denoiser.cost(state, aux), strict=True)
        condition = self._factorised if self.projector is None else self._conditioned
        for row, (columns, (loops, flops)) in enumerate(zip(condition(requests, logits), costs, strict=True)):
            prediction = Prediction(**columns, loops=loops, flops=flops, aux=aux.select([row]))
            if self.memory is not None and denoiser is self.denoiser:
                self.memory.remember(requests[row].problem, logits[row], requests[row].known)
            if self.projector is not None:
                again = partial(self._redraw, prediction, requests[row], logits[row])
                prediction = replace(prediction, redraw=again)
            yield prediction

    def _conditioned(self, requests: Sequence[DenoiseRequest], logits: Tensor) -> Iterator[dict[str, Any]]:
        """Yield the fields of each prediction, conditioned on the task's language."""
        for row, request in enumerate(requests):
            yield self._project(request, logits[row], request.temperature, request.generator)

    def _redraw(
        self,
        first: Prediction,
        request: DenoiseRequest,
        logits: Tensor,
        temperature: float,
        rng: np.random.Generator,
    ) -> Prediction:
        """Draw another draft from the logits (L, V) of the ``first`` prediction, which has paid for them."""
        return replace(first, **self._project(request, logits, temperature, rng))

    def _project(
        self,
        request: DenoiseRequest,
        logits: Tensor,
        temperature: float,
        rng: np.random.Generator | None,
    ) -> dict[str, Any]:
        """Return the fields of a prediction, from the logits (L, V) and conditioned on the task's language."""
        assert self.projector is not None
        # a draw keeps the visible cells, if any text has them; the likeliest draft may change them
        givens = [request.known, request.settled] if temperature else [request.settled]
        scaled, joint = logits / (temperature or 1.0), None
        for given in givens:
            # the task copies what it needs of the logits from their device
            found = self.projector.project(request.problem, scaled, request.tokens, given, rng)
            joint = found or joint
            if joint is not None and not joint.is_refused:
                break
        if joint is None:
            return read_impossible(len(request.tokens))
        return read_projection(joint, request, is_drawn=temperature > 0)

    def _factorised(self, requests: Sequence[DenoiseRequest], logits: Tensor) -> Iterator[dict[str, Any]]:
        """Yield the fields of each prediction, every cell independent of the others."""
        tokens, known, settled = stack_requests(requests)
        # statistics are taken on the device of the logits: only a few numbers per cell come back
        device, vocab = logits.device, logits.shape[-1]
        canvases = [request.canvas for request in requests]
        mask = allow(self.eliminator, canvases, tokens, settled, vocab)
        allowed = None if mask is None else torch.from_numpy(mask).to(device)
        drawn = [row for row, request in enumerate(requests) if request.uniform is not None]
        uniform = None
        if drawn:
            numbers = np.zeros(tokens.shape, np.float32)
            numbers[drawn] = [requests[row].uniform for row in drawn]
            uniform = torch.from_numpy(numbers).to(device)
        current = torch.from_numpy(np.where(known, tokens, 0)).to(device)
        if self.synonyms is not None:
            held = torch.from_numpy(np.where(known, tokens, -1)).to(device)
            add_up(logits, self.synonyms.to(device), held)
        open_cells = ~torch.from_numpy(settled).to(device)
        result = statistics(logits, allowed, uniform, current, open_cells)
        heat = torch.tensor([request.temperature for request in requests], device=device)[:, None]
        if heat.any():
            given = torch.from_numpy(known).to(device)
            result = draw(result, logits, allowed, uniform, current, given, heat, open_cells)
        num_allowed = np.full(tokens.shape, vocab)
        if allowed is not None:
            num_allowed = reference.count(allowed).cpu().numpy()
        names = ("best", "top1", "top2", "entropy", "sample", "belief")
        columns = {name: getattr(result, name).cpu().numpy() for name in names}
        columns["num_allowed"] = num_allowed
        samples = columns["best"].copy()
        samples[drawn] = columns["sample"][drawn]
        columns["sample"] = samples
        for row in range(len(requests)):
            row_allowed = None if allowed is None else allowed[row]
            yield {
                **{name: column[row] for name, column in columns.items()},
                "distribution": partial(distribution_of, logits[row], row_allowed),
            }


def join_aux(denoiser: Denoiser, state: Any, requests: Sequence[DenoiseRequest]) -> Any:
    """Return the aux of all rows: the request's, or a new one at a node's first forward."""
    parts = [request.aux for request in requests]
    new = [row for row, aux in enumerate(parts) if aux is None]
    if not new:
        return type(parts[0]).join(parts)
    started = denoiser.start(state.select(new))
    if len(new) == len(parts):
        return started
    for index, row in enumerate(new):
        parts[row] = started.select([index])
    return type(parts[0]).join(parts)


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
    """Return the prediction for a canvas that matches no text of the language: no token is allowed."""
    no_token, zero = np.full(cells, -1), np.zeros(cells, np.float32)
    return {
        "best": no_token,
        **dict.fromkeys(("top1", "top2", "entropy", "belief"), zero),
        "sample": no_token,
        "num_allowed": np.zeros(cells, np.int64),
        "distribution": lambda cell: (EMPTY, np.zeros(0)),
        "constraint_cost": np.inf,
    }


def read_projection(joint: Conditioned, request: DenoiseRequest, is_drawn: bool) -> dict[str, Any]:
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

    drafted = joint.sample if is_drawn else joint.best
    best = columns_for(drafted)
    without_best = p.copy()
    without_best[cells, best] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0).sum(1)
    current = columns_for(np.where(request.known, request.tokens, joint.best))
    return {
        "best": drafted,
        "top1": p[cells, best].astype(np.float32),
        "top2": without_best.max(1).astype(np.float32),
        "entropy": entropy.astype(np.float32),
        "sample": joint.sample,
        "num_allowed": (p > 0).sum(1),
        "belief": p[cells, current].astype(np.float32),
        "distribution": distribution,
        "constraint_cost": joint.constraint_cost,
    }
