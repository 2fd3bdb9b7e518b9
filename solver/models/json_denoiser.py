"""The network for texts as a denoiser of forms: the prompt is read once, then every forward looks at the whole block.

denoiser = JsonDenoiser(JsonNetwork(JsonConfig()))
*steps, outcome = refine(JsonTask(), JsonProblem.of(schema, text).layouts()[0], denoiser)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.json_network import JsonNetwork, Read
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.models.protocol import Stateless
from solver.tasks.canvas import Canvas, Mask, Tokens

ROWS = 32  # rows that go through the network together
PROMPT = 448  # bytes of a prompt that are read, the first and the last half of them


@dataclass(frozen=True)
class FormState:
    """The prompts, read, and the offsets (B, L) of the cells behind the beginnings of their slots."""

    read: Read
    offset: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        at = list(rows)
        return replace(self, read=Read(*(part[at] for part in self.read)), offset=self.offset[at])


def offsets(canvas: Canvas) -> Tokens:
    """How far each cell (L,) is behind the beginning of its slot; 0 outside."""
    found = np.zeros(canvas.cells, np.int64)
    for start, capacity in canvas.slots:
        found[start : start + capacity] = np.arange(capacity)
    return found


class JsonDenoiser:
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`JsonNetwork`."""

    kind: Literal["mask", "uniform"] = "mask"
    lays_out = True  # it was trained on blocks in slots
    policy = Policy(
        accept=AcceptPolicy(confidence_threshold=0.97, min_per_step=1),
        remask=RemaskPolicy(doubt_threshold=0.3),
        search=SearchPolicy(rounds=12, later_rounds=6, decide_from="last", keep_visible_in_children=True),
    )

    def __init__(self, network: JsonNetwork, name: str = "compact") -> None:
        self.network, self.name, self.vocab = network, name, network.config.vocab

    @torch.inference_mode()
    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> FormState:
        prompts, lengths = padded([canvas.prompt for canvas in canvases])
        parts = [
            self.network.read(prompts[at : at + ROWS], lengths[at : at + ROWS])
            for at in range(0, len(prompts), ROWS)
        ]
        read = Read(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
        return FormState(read, torch.from_numpy(np.stack([offsets(canvas) for canvas in canvases])))

    def start(self, state: FormState) -> Stateless:
        return Stateless((0,) * len(state.offset))

    @torch.inference_mode()
    def denoise(
        self, state: FormState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        status = torch.where(settled, PINNED, torch.where(known, KNOWN, OPEN))
        held = torch.where(known, tokens, 0)
        parts = []
        for at in range(0, len(tokens), ROWS):
            rows = slice(at, at + ROWS)
            read = Read(*(part[rows] for part in state.read))
            parts.append(self.network(read, held[rows], status[rows], state.offset[rows]))
        return torch.cat(parts), aux

    def cost(self, state: FormState, aux: Stateless) -> tuple[list[int], list[int]]:
        cells, prompt = state.offset.shape[1], state.read.tokens.shape[1]
        return [1] * len(aux.numbers), [self.network.flops(cells, prompt)] * len(aux.numbers)

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)


def padded(prompts: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Prompts as (B, P), shortened, and the length of each."""
    short = [shortened(prompt) for prompt in prompts]
    lengths = torch.tensor([len(prompt) for prompt in short])
    found = np.zeros((len(short), max(1, int(lengths.max()))), np.int64)
    for row, prompt in enumerate(short):
        found[row, : len(prompt)] = prompt
    return torch.from_numpy(found), lengths


def shortened(prompt: Tokens) -> Tokens:
    """A prompt that is too long, without its middle."""
    return (
        prompt if len(prompt) <= PROMPT else np.concatenate([prompt[: PROMPT // 2], prompt[-PROMPT // 2 :]])
    )
