"""Mask-token diffusion language models (LLaDA, Dream, dLLM's conversions, any masked LM) as a denoiser.

    denoiser = MaskedLM(model, mask_token=tokenizer.mask_token_id)

An unknown cell holds the model's mask token; prompt and canvas go through the model together, all in view of all. What differs
between the families is said by two switches:

shift: the logits at a place are about the *next* one, as in Dream and other models that were autoregressive once.
prefix_cache: the prompt's keys and values do not depend on the canvas (block-causal models: BD3LM, SDAR), so it is read once.

Shapes: B rows, L cells, V tokens, P prompt tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.llm.diffusion_gemma import shallow
from solver.llm.prompts import cache_keyword, distinct
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.protocol import Stateless
from solver.tasks.canvas import Canvas, Mask, Tokens


@dataclass(frozen=True, eq=False)
class MaskedState:
    """The prompt of every row, its number among the different ones, and their caches where the model has one."""

    prompts: tuple[Tensor, ...]
    index: tuple[int, ...]
    caches: tuple[Any, ...]
    cells: int

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, index=tuple(self.index[r] for r in rows))


@dataclass(eq=False)
class MaskedLM:
    """A :class:`~solver.models.protocol.Denoiser` over a model whose forward takes ``input_ids`` and returns ``logits``."""

    model: Any
    mask_token: int
    shift: bool = False
    prefix_cache: bool = False
    block: int | None = None
    name: str = "masked_lm"
    kind: Literal["mask", "uniform"] = field(default="mask", init=False)
    lays_out = False

    def __post_init__(self) -> None:
        self.vocab = int(self.model.config.vocab_size)
        if not 0 <= self.mask_token < self.vocab:
            raise ValueError(
                f"the mask token {self.mask_token} is not in the model's vocabulary of {self.vocab}"
            )
        self.forbidden: tuple[int, ...] = (self.mask_token,)
        # a mask-only model's confidence does not flag visible wrong tokens: violations alone take a cell back
        self.policy = Policy(
            accept=AcceptPolicy(confidence_threshold=0.9, min_per_step=1, block_size=self.block),
            remask=RemaskPolicy(doubt_threshold=0.0),
            search=SearchPolicy(
                rounds=64,
                later_rounds=16,
                leave_on_repeat=True,
                decide_from="last",
                keep_visible_in_children=True,
            ),
        )
        self.model.eval()

    @property
    def length(self) -> None:
        """Any canvas length will do."""
        return None

    @property
    def context(self) -> int | None:
        """The most tokens it has positions for, prompt and canvas together, where its configuration says so."""
        found = (
            getattr(self.model.config, name, None)
            for name in ("max_position_embeddings", "max_sequence_length")
        )
        return next((int(limit) for limit in found if limit), None)

    @torch.inference_mode()
    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> MaskedState:
        """Raises ValueError where a prompt is empty and the model is shifted: its first cell is said by what stands before it."""
        if self.shift and not all(len(canvas.prompt) for canvas in canvases):
            raise ValueError(
                "a prompt needs at least one token: this model's first cell is predicted by the token before it"
            )
        found, index = distinct(canvases)
        prompts = tuple(torch.tensor(prompt, device=self.model.device) for prompt in found)
        caches = tuple(map(self.read, prompts)) if self.prefix_cache else ()
        return MaskedState(prompts, index, caches, canvases[0].cells)

    def read(self, prompt: Tensor) -> Any:
        """The cache of a prompt (P,), and the logits behind its last token, for models that are shifted."""
        output = self.model(input_ids=prompt[None], use_cache=True)
        found = (
            output.cache if hasattr(output, "cache") else output.past_key_values
        )  # renamed in transformers 5.24
        return found, output.logits[:, -1:]

    def extend(self, state: MaskedState, block: Tensor) -> MaskedState:
        """The state after each row's finished canvas, ``block`` (B, L): a longer prompt."""
        written = block.to(self.model.device)
        prompts = tuple(
            torch.cat([state.prompts[i], row]) for i, row in zip(state.index, written, strict=True)
        )
        caches = tuple(map(self.read, prompts)) if self.prefix_cache else ()
        return MaskedState(prompts, tuple(range(len(prompts))), caches, state.cells)

    def start(self, state: MaskedState) -> Stateless:
        return Stateless(tuple(len(state.prompts[i]) for i in state.index))

    @torch.inference_mode()
    def denoise(
        self, state: MaskedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        """Rows whose prompts are equally long go through the model together: no padding, whose meaning differs from model to
        model."""
        canvas = torch.where(known, tokens, self.mask_token).to(self.model.device)
        after = self.start(state)
        groups: dict[int, list[int]] = {}
        for row, length in enumerate(after.numbers):
            groups.setdefault(state.index[row] if self.prefix_cache else length, []).append(row)
        parts = [
            self.forward(state, [state.index[r] for r in rows], canvas[rows]) for rows in groups.values()
        ]
        if len(parts) == 1:
            return parts[0].float(), after
        order = torch.tensor([row for rows in groups.values() for row in rows])
        return torch.cat(parts)[order.argsort().to(canvas.device)].float(), after

    def forward(self, state: MaskedState, index: list[int], canvas: Tensor) -> Tensor:
        """Logits (N, L, V) of rows with equally long prompts; with a cache, of one prompt."""
        if self.prefix_cache:
            cache, last = state.caches[index[0]]
            own = shallow(cache)  # the model writes to the cache that it is given
            own.batch_repeat_interleave(len(index))
            logits = self.model(input_ids=canvas, use_cache=True, **cache_keyword(self.model, own)).logits
            return torch.cat([last.expand(len(index), -1, -1), logits[:, :-1]], 1) if self.shift else logits
        prompt = torch.stack([state.prompts[i] for i in index])
        logits = self.model(input_ids=torch.cat([prompt, canvas], 1)).logits
        first = prompt.shape[1] - self.shift
        found: Tensor = logits[:, first : first + canvas.shape[1]]
        return found

    def cost(self, state: MaskedState, aux: Stateless) -> tuple[list[int], list[int]]:
        """FLOPs are estimated: two a weight and place."""
        weights = sum(weight.numel() for weight in self.model.parameters())
        places = [0 if self.prefix_cache else length for length in aux.numbers]
        return [1] * len(places), [2 * weights * (n + state.cells) for n in places]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)
