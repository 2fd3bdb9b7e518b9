"""Denoisers for JSON and code: unknown cells hold a mask, and rows go through the network in batches.

>>> from solver.models.code_network import CodeConfig
>>> from solver.models.json_network import JsonConfig
>>> JsonDenoiser(JsonNetwork(JsonConfig(width=16, hidden=16))).uses_slots
True
>>> CodeDenoiser(CodeNetwork(CodeConfig(width=16, hidden=16, layers=1))).vocab
2048
>>> list(batches([3, 4, 5], size=2))
[[3, 4], [5]]

For JSON the prompt is read once, then every forward reads the whole block. For code the first forward reads
the whole window, later ones its cells that are not pinned.

Shapes: B rows, L cells, N cells that are not pinned, P prompt bytes, V tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.blocks import KNOWN, OPEN, PINNED, converted, fast_bf16
from solver.models.calibration import IDENTITY
from solver.models.code_network import CodeNetwork
from solver.models.context import StaleContext, States
from solver.models.json_network import JsonNetwork, Prompt
from solver.models.protocol import Stateless
from solver.tasks.task import Canvas, Mask, Tokens

ROWS = 32  # rows that go through a network together


class MaskDenoiser:
    """Base of a :class:`~solver.models.protocol.Denoiser` whose network reads a status for each cell.

    Raises ValueError where the network is ``causal``.
    """

    kind: Literal["mask", "uniform"] = "mask"

    def __init__(self, name: str, vocab: int, causal: bool) -> None:
        if causal:
            raise ValueError("a left-to-right model, not a denoiser")
        self.name, self.vocab = name, vocab

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)

    @staticmethod
    def inputs(tokens: Tensor, known: Tensor, settled: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L), 0 where unknown, and their status (B, L): PINNED, KNOWN or OPEN."""
        status = torch.where(settled, PINNED, torch.where(known, KNOWN, OPEN))
        return torch.where(known, tokens, 0), status


def slot_offsets(canvas: Canvas, first: int = 0) -> Tokens:
    """The index of each cell (L,) in its slot, from ``first`` on; 0 outside of slots."""
    offsets = np.zeros(canvas.num_cells, np.int64)
    for start, capacity in canvas.slots:
        offsets[start : start + capacity] = np.arange(first, first + capacity)
    return offsets


def batches(rows: Sequence[int], size: int = ROWS) -> Iterator[list[int]]:
    """``rows`` in parts of at most ``size``."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


PROMPT = 448  # bytes of a prompt that are read: the first and the last half of them


@dataclass(frozen=True)
class JsonState:
    """The prompts, read, and the offsets (B, L) of the cells in their slots."""

    prompt: Prompt
    offset: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        index = list(rows)
        return replace(self, prompt=Prompt(*(part[index] for part in self.prompt)), offset=self.offset[index])


class JsonDenoiser(MaskDenoiser):
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`JsonNetwork`."""

    uses_slots = True
    policy = Policy(
        accept=AcceptPolicy(confidence_threshold=0.97, min_per_step=1),
        remask=RemaskPolicy(doubt_threshold=0.3),
        # no search without the model: draws from the language alone are worse than its own (measured on invoices)
        search=SearchPolicy(
            rounds=12,
            later_rounds=6,
            decide_from="last",
            keep_visible_in_children=True,
            search_after=None,
            draws=8,
        ),
        stop="repeated",
        repeated_above=0.99,  # such drafts were repeated in 316 of 316 records and lists of distinct values
    )

    def __init__(self, network: JsonNetwork, name: str = "compact") -> None:
        super().__init__(name, network.config.vocab, network.config.causal)
        self.network, self.calibration = network, IDENTITY

    @torch.inference_mode()
    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> JsonState:
        prompt = read_prompts(self.network, [canvas.prompt for canvas in canvases])
        return JsonState(prompt, torch.from_numpy(np.stack([slot_offsets(canvas) for canvas in canvases])))

    def start(self, state: JsonState) -> Stateless:
        return Stateless((0,) * len(state.offset))

    @torch.inference_mode()
    def denoise(
        self, state: JsonState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        tokens, status = self.inputs(tokens, known, settled)
        parts = []
        for rows in batches(range(len(tokens))):
            part = state.select(rows)
            parts.append(self.network(part.prompt, tokens[rows], status[rows], part.offset))
        return torch.cat(parts), aux

    def cost(self, state: JsonState, aux: Stateless) -> tuple[list[int], list[int]]:
        rows, cells = state.offset.shape
        return [1] * rows, [self.network.flops(cells, state.prompt.tokens.shape[1])] * rows


def read_prompts(network: JsonNetwork, prompts: Sequence[Tokens]) -> Prompt:
    """Read prompts, each padded to the longest and without its middle where it is longer than ``PROMPT``."""
    tokens, lengths = pad_prompts(prompts)
    parts = [network.read(tokens[rows], lengths[rows]) for rows in batches(range(len(prompts)))]
    return Prompt(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def pad_prompts(prompts: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Prompts as (B, P), shortened, and the length of each (B,)."""
    half = PROMPT // 2
    short = [
        prompt if len(prompt) <= PROMPT else np.concatenate([prompt[:half], prompt[-half:]])
        for prompt in prompts
    ]
    lengths = torch.tensor([len(prompt) for prompt in short])
    tokens = np.zeros((len(short), max(1, int(lengths.max()))), np.int64)
    for row, prompt in enumerate(short):
        tokens[row, : len(prompt)] = prompt
    return torch.from_numpy(tokens), lengths


GIVEN = -20.0  # log-probability of a token that a pinned cell does not hold
BLANKS = 0.3  # weight of a BLANK in training, where most cells are one; the denoiser corrects for it


@dataclass(frozen=True)
class CodeState:
    """Offsets and open cells of the windows.

    offset: (B, L), as the network reads it.
    cells: (B, N), the cells that are not pinned; the last is repeated where a row has fewer.
    """

    offset: Tensor
    cells: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, offset=self.offset[list(rows)], cells=self.cells[list(rows)])


@dataclass(frozen=True)
class CodeAux:
    """Per row, the states of the forward that read its whole window, and whether that was the last
    forward."""

    states: tuple[States | None, ...]
    is_full: tuple[bool, ...]

    def select(self, rows: Sequence[int]) -> Self:
        states = tuple(self.states[row] for row in rows)
        return replace(self, states=states, is_full=tuple(self.is_full[row] for row in rows))

    def reset(self, cells: Mask) -> Self:
        return self

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        states = tuple(states for part in parts for states in part.states)
        return cls(states, tuple(full for part in parts for full in part.is_full))


class CodeDenoiser(MaskDenoiser):
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`CodeNetwork`, which may run in bf16."""

    uses_slots = False
    policy = Policy(
        accept=AcceptPolicy(confidence_threshold=0.7, min_per_step=2),
        remask=RemaskPolicy(doubt_threshold=0.0, tabu_tenure=16),
        search=SearchPolicy(rounds=32, later_rounds=32, on_refusal="decide"),
        checks="complete",
        stop="stable",
    )

    def __init__(self, network: CodeNetwork, name: str = "compact") -> None:
        super().__init__(name, network.config.vocab, network.config.causal)
        self.network = converted(network, torch.bfloat16) if fast_bf16() else network

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> CodeState:
        open_cells = [
            np.flatnonzero(~canvas.pinned) if not canvas.pinned.all() else np.array([0])
            for canvas in canvases
        ]
        most = max(map(len, open_cells))
        cells = np.stack([np.pad(row, (0, most - len(row)), mode="edge") for row in open_cells])
        offset = np.stack([window_offsets(canvas) for canvas in canvases])
        return CodeState(torch.from_numpy(offset), torch.from_numpy(cells))

    def start(self, state: CodeState) -> CodeAux:
        return CodeAux((None,) * len(state.offset), (False,) * len(state.offset))

    @torch.inference_mode()
    def denoise(
        self, state: CodeState, tokens: Tensor, known: Tensor, settled: Tensor, aux: CodeAux
    ) -> tuple[Tensor, CodeAux]:
        inputs = *self.inputs(tokens, known, settled), state.offset
        states = list(aux.states)
        logits = torch.full((*tokens.shape, self.vocab), GIVEN).scatter_(-1, tokens[..., None], 0.0)
        # whole windows first; rows that are draws for the same window are read once
        unread = [row for row, kept in enumerate(states) if kept is None]
        same_as = first_equal(torch.cat(inputs, 1), unread)
        for rows in batches([row for row in unread if same_as[row] == row]):
            context = StaleContext()
            log_p = self.network(*(part[rows] for part in inputs), ~settled[rows], context)
            for number, row in enumerate(rows):
                states[row] = {key: x[number] for key, x in context.states.items()}
            logits[rows] = logits[rows].masked_scatter(~settled[rows][..., None], self.unweighted(log_p))
        for row in unread:
            states[row], logits[row] = states[same_as[row]], logits[same_as[row]]
        # of windows that were read before, only the open cells
        for rows in batches([row for row, kept in enumerate(aux.states) if kept is not None]):
            cells, index = state.cells[rows], torch.tensor(rows)[:, None]
            context = StaleContext(
                stacked([kept for row in rows if (kept := states[row]) is not None]), cells
            )
            log_p = self.unweighted(self.network(*(part[rows] for part in inputs), context=context))
            logits[index, cells] = torch.where(settled[index, cells][..., None], logits[index, cells], log_p)
        return logits, CodeAux(tuple(states), tuple(same_as.get(row) == row for row in range(len(tokens))))

    def unweighted(self, log_p: Tensor) -> Tensor:
        """Log-probabilities (..., V) corrected for the weight of BLANK in training; ``log_p`` is changed in
        place."""
        log_p[..., -1] -= math.log(BLANKS)
        return log_p.log_softmax(-1)

    def cost(self, state: CodeState, aux: CodeAux) -> tuple[list[int], list[int]]:
        size, cells = state.offset.shape[1], state.cells.shape[1]
        flops = {True: self.network.flops(size, 0, cells), False: self.network.flops(cells, size - cells)}
        return [1] * len(aux.is_full), [flops[is_full] for is_full in aux.is_full]


def window_offsets(canvas: Canvas) -> Tokens:
    """The index of each cell (L,) in its slot: from 1 on, or up to -1 where the text fills the slot; 0
    outside.

    A text fills its slot where no cell of the slot may be BLANK.
    """
    offsets, blank = slot_offsets(canvas, first=1), canvas.vocab - 1
    for start, capacity in canvas.slots:
        if canvas.allowed is not None and not canvas.allowed[start, blank // 32] >> blank % 32 & 1:
            offsets[start : start + capacity] -= capacity + 1
    return offsets


def first_equal(x: Tensor, rows: Sequence[int]) -> dict[int, int]:
    """For each of ``rows`` of ``x`` (B, ...), the first of them with the same contents."""
    first = dict[bytes, int]()
    return {row: first.setdefault(x[row].numpy().tobytes(), row) for row in rows}


def stacked(rows: Sequence[States]) -> States:
    """The states of all rows together."""
    return {
        key: torch.stack([states[key] for states in rows]) if len(rows) > 1 else x[None]
        for key, x in rows[0].items()
    }
