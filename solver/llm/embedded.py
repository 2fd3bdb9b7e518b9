"""A task's cells inside a language model's canvas: any task with a wording, on any text denoiser.

    denoiser = Embedded(DiffusionGemma(model), tokenizer, task)       # 81 cells of 9 digits among newlines
    *_, outcome = refine(task, problem, denoiser)

The loop, its checks and its search use the task's own canvas of L cells and V symbols. The model sees a
prompt and a text canvas of M positions, in which every cell is one token and the text between cells is
pinned. Only the logits of the V symbols are returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.errors import ModelError
from solver.kernels import reference
from solver.llm.prompts import PromptReader, check_fit
from solver.loop.policy import Policy
from solver.models.protocol import TextDenoiser
from solver.tasks.task import Canvas, Mask, Tokens, Wording


@dataclass(frozen=True, eq=False)
class EmbeddedState:
    """The text denoiser's state, its fixed tokens (M,), and the positions (L,) of the task's cells."""

    inner: Any
    fixed: Tensor
    positions: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, inner=self.inner.select(rows))


@dataclass(frozen=True, eq=False)
class EmbeddedAux:
    """The text denoiser's aux; cells are translated to ``positions`` (L,) among ``length`` M."""

    inner: Any
    positions: Tensor
    length: int

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, inner=self.inner.select(rows))

    def reset(self, cells: Mask) -> Self:
        wide = np.zeros((len(cells), self.length), bool)
        wide[:, self.positions.numpy()] = cells
        return replace(self, inner=self.inner.reset(wide))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return replace(parts[0], inner=type(parts[0].inner).join([part.inner for part in parts]))


class Embedded:
    """A :class:`~solver.models.protocol.Denoiser` over a task's cells, made of one over text.

    Args:
        inner: the text denoiser.
        tokenizer: its tokenizer.
        task: a task with a wording.
        name: name in tables and messages.

    Raises:
        ModelError: a symbol of the task is not a single token; on prefill, the prompt and canvas do not fit.
    """

    uses_slots = False

    def __init__(self, inner: TextDenoiser, tokenizer: Any, task: Wording, name: str | None = None) -> None:
        self.inner, self.tokenizer, self.task = inner, tokenizer, task
        self.reader = PromptReader(tokenizer)
        self.name = name or inner.name
        self.kind: Literal["mask", "uniform"] = inner.kind
        self.symbols = torch.tensor([symbol_token(tokenizer, symbol) for symbol in task.symbols])
        self.vocab = len(self.symbols)
        # whole drafts first, then a depth-first search, which needs no calibrated probabilities
        self.policy: Policy = inner.policy.with_(
            on_stall="decide",
            order="depth",
            later_rounds=1,
            propagate_first=True,
            search_after=inner.policy.search.rounds,  # not before the first whole draft
            keep_visible_in_children=False,
            stop="valid",
        )

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> EmbeddedState:
        prompts, layouts = zip(*map(self.task.words, canvases), strict=True)
        fixed, positions = self.text_layout(layouts[0])  # the same for all canvases of a task
        is_allowed = torch.ones(len(fixed), self.inner.vocab, dtype=torch.bool)
        is_allowed[positions] = False
        is_allowed[torch.tensor(positions)[:, None], self.symbols] = True
        limit = self.inner.length
        if limit is not None and len(fixed) > limit:
            raise ModelError(f"the answer takes {len(fixed)} tokens, and the model's canvas has {limit}")
        allowed, wide = reference.pack(is_allowed).numpy(), []
        for canvas, prompt in zip(canvases, prompts, strict=True):
            tokens = fixed.copy()
            tokens[positions] = self.symbols.numpy()[np.where(canvas.pinned, canvas.tokens, 0)]
            pinned = np.ones(len(tokens), bool)
            pinned[positions] = canvas.pinned
            (ids,), _ = self.reader.read([{"role": "user", "content": prompt}], None)
            check_fit(self.inner, len(ids), len(fixed))
            wide.append(Canvas(tokens, pinned, pinned.copy(), self.inner.vocab, allowed, ids))
        return EmbeddedState(self.inner.prefill(wide, seeds), torch.tensor(fixed), torch.tensor(positions))

    def text_layout(self, parts: Sequence[str | int]) -> tuple[Tokens, Tokens]:
        """The fixed tokens (M,), 0 at cells, and the positions (L,) of cells 0, 1, ..."""
        ids: list[int] = []
        positions: dict[int, int] = {}
        for part in parts:
            if isinstance(part, int):
                positions[part] = len(ids)
                ids.append(0)
            else:
                ids.extend(self.tokenizer.encode(part, add_special_tokens=False))
        return np.array(ids, np.int64), np.array(
            [positions[cell] for cell in range(len(positions))], np.int64
        )

    def start(self, state: EmbeddedState) -> EmbeddedAux:
        return EmbeddedAux(self.inner.start(state.inner), state.positions, len(state.fixed))

    def denoise(
        self, state: EmbeddedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: EmbeddedAux
    ) -> tuple[Tensor, EmbeddedAux]:
        shape = (len(tokens), len(state.fixed))
        wide = state.fixed.expand(shape).clone()
        # unknown cells hold noise of the text denoiser, which is in its own vocabulary
        wide[:, state.positions] = torch.where(known, self.symbols[torch.where(known, tokens, 0)], tokens)
        wide_known, wide_settled = torch.ones(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)
        wide_known[:, state.positions], wide_settled[:, state.positions] = known, settled
        logits, inner = self.inner.denoise(state.inner, wide, wide_known, wide_settled, aux.inner)
        positions, symbols = state.positions.to(logits.device), self.symbols.to(logits.device)
        return logits[:, positions][..., symbols], replace(aux, inner=inner)

    def cost(self, state: EmbeddedState, aux: EmbeddedAux) -> tuple[list[int], list[int]]:
        return self.inner.cost(state.inner, aux.inner)

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return self.inner.noise(where, self.inner.vocab, rng)


def symbol_token(tokenizer: Any, symbol: str) -> int:
    """The single token that spells ``symbol``. Raises ModelError if there is none."""
    for before in ("", "\n", " "):  # some tokenizers put a space before the first word
        ids = tokenizer.encode(before + symbol, add_special_tokens=False)
        if ids and tokenizer.decode(ids[-1:]) == symbol and ids[-1] != tokenizer.unk_token_id:
            return int(ids[-1])
    raise ModelError(f"the tokenizer has no single token for {symbol!r}")
