"""A task's cells inside a language model's canvas: any task that can be put into words, on any text denoiser.

    denoiser = Embedded(DiffusionGemma(model), tokenizer, task)       # 81 cells of 9 digits among newlines
    outcome = *_, refine(task, problem, denoiser)

The loop, its checks and its search see the task's own canvas: L cells of V symbols. The model sees text: a prompt, and a
canvas of M places in which every cell is one token and what stands between them is pinned. Only the columns of the V symbols
come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.errors import ModelError
from solver.kernels import reference
from solver.llm.prompts import chat, check_fit
from solver.loop.policy import Policy
from solver.models.protocol import TextDenoiser
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.task import Wording


@dataclass(frozen=True, eq=False)
class EmbeddedState:
    """The text denoiser's state, the canvas's fixed tokens (M,), and the places (L,) of the task's cells."""

    inner: Any
    fixed: Tensor
    places: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, inner=self.inner.select(rows))


@dataclass(frozen=True, eq=False)
class EmbeddedAux:
    """The text denoiser's aux, told of cells by their places."""

    inner: Any
    places: Tensor
    length: int

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, inner=self.inner.select(rows))

    def reset(self, cells: Mask) -> Self:
        wide = np.zeros((len(cells), self.length), bool)
        wide[:, self.places.numpy()] = cells
        return replace(self, inner=self.inner.reset(wide))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return replace(parts[0], inner=type(parts[0].inner).join([part.inner for part in parts]))


class Embedded:
    """A :class:`~solver.models.protocol.Denoiser` over a task's cells, made of one over text.

    Raises ModelError where a symbol of the task is no single token of the tokenizer, and, on prefill, where the prompt and the
    canvas do not fit the model.
    """

    lays_out = False

    def __init__(self, inner: TextDenoiser, tokenizer: Any, task: Wording, name: str | None = None) -> None:
        self.inner, self.tokenizer, self.task = inner, tokenizer, task
        self.name = name or inner.name
        self.kind: Literal["mask", "uniform"] = inner.kind
        self.symbols = torch.tensor([single(tokenizer, symbol) for symbol in task.symbols])
        self.vocab = len(self.symbols)
        # drafts of the whole grid first; then the search, depth first, which needs no calibrated probabilities
        self.policy: Policy = inner.policy.with_(
            on_stall="decide",
            order="depth",
            later_rounds=1,
            propagate_first=True,
            keep_visible_in_children=False,
            stop="valid",
        )

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> EmbeddedState:
        prompts, layouts = zip(*map(self.task.words, canvases), strict=True)
        fixed, places = self.lay_out(layouts[0])  # the answer's text is the same for all canvases of a task
        may = torch.ones(len(fixed), self.inner.vocab, dtype=torch.bool)
        may[places] = False
        may[torch.tensor(places)[:, None], self.symbols] = True
        most = self.inner.length
        if most is not None and len(fixed) > most:
            raise ModelError(f"the answer takes {len(fixed)} tokens, and the model's canvas has {most}")
        allowed, wide = reference.pack(may).numpy(), []
        for canvas, prompt in zip(canvases, prompts, strict=True):
            tokens = fixed.copy()
            tokens[places] = self.symbols.numpy()[np.where(canvas.pinned, canvas.tokens, 0)]
            pinned = np.ones(len(tokens), bool)
            pinned[places] = canvas.pinned
            ids = np.array(chat(self.tokenizer, [{"role": "user", "content": prompt}]), np.int64)
            check_fit(self.inner, len(ids), len(fixed))
            wide.append(Canvas(tokens, pinned, pinned.copy(), self.inner.vocab, allowed, ids))
        return EmbeddedState(self.inner.prefill(wide, seeds), torch.tensor(fixed), torch.tensor(places))

    def lay_out(self, parts: Sequence[str | int]) -> tuple[Tokens, Tokens]:
        """The fixed tokens (M,), 0 where a cell comes, and the places (L,) of cells 0, 1, ..."""
        ids: list[int] = []
        places: dict[int, int] = {}
        for part in parts:
            if isinstance(part, int):
                places[part] = len(ids)
                ids.append(0)
            else:
                ids.extend(self.tokenizer.encode(part, add_special_tokens=False))
        return np.array(ids, np.int64), np.array([places[cell] for cell in range(len(places))], np.int64)

    def start(self, state: EmbeddedState) -> EmbeddedAux:
        return EmbeddedAux(self.inner.start(state.inner), state.places, len(state.fixed))

    def denoise(
        self, state: EmbeddedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: EmbeddedAux
    ) -> tuple[Tensor, EmbeddedAux]:
        shape = (len(tokens), len(state.fixed))
        wide = state.fixed.expand(shape).clone()
        # an unknown cell holds the text denoiser's own noise, which is a token of its vocabulary already
        wide[:, state.places] = torch.where(known, self.symbols[torch.where(known, tokens, 0)], tokens)
        wide_known, wide_settled = torch.ones(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)
        wide_known[:, state.places], wide_settled[:, state.places] = known, settled
        logits, inner = self.inner.denoise(state.inner, wide, wide_known, wide_settled, aux.inner)
        places, symbols = state.places.to(logits.device), self.symbols.to(logits.device)
        return logits[:, places][..., symbols], replace(aux, inner=inner)

    def cost(self, state: EmbeddedState, aux: EmbeddedAux) -> tuple[list[int], list[int]]:
        return self.inner.cost(state.inner, aux.inner)

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return self.inner.noise(where, self.inner.vocab, rng)


def single(tokenizer: Any, symbol: str) -> int:
    """The one token that spells ``symbol``. Raises ModelError where there is none."""
    for before in ("", "\n", " "):  # some tokenizers put a blank before the first word
        ids = tokenizer.encode(before + symbol, add_special_tokens=False)
        if ids and tokenizer.decode(ids[-1:]) == symbol and ids[-1] != tokenizer.unk_token_id:
            return int(ids[-1])
    raise ModelError(f"the tokenizer has no single token for {symbol!r}")
