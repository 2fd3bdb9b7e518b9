"""The JSON network as a denoiser: the prompt is read once, then every forward reads the whole block.

    >>> from solver.models.json_network import JsonConfig
    >>> JsonDenoiser(JsonNetwork(JsonConfig(width=16, hidden=16))).uses_slots
    True

Shapes: B rows, L cells, P prompt bytes, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.json_network import JsonNetwork, Prompt
from solver.models.mask_denoiser import MaskDenoiser, batches, slot_offsets
from solver.models.protocol import Stateless
from solver.tasks.canvas import Canvas, Tokens

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
        search=SearchPolicy(rounds=12, later_rounds=6, decide_from="last", keep_visible_in_children=True),
    )

    def __init__(self, network: JsonNetwork, name: str = "compact") -> None:
        super().__init__(name, network.config.vocab, network.config.causal)
        self.network = network

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
