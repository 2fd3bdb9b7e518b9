"""DiffusionGemma as a denoiser: one prefill of the prompt, then any number of forwards over the canvas.

    denoiser = DiffusionGemma(DiffusionGemmaForBlockDiffusion.from_pretrained(folder))

The model's noise is uniform and nothing is ever committed: every cell is decided anew at every step, from the step before's
distribution (self-conditioning). The encoder fills the cache with the prompt and the decoder only reads it, so rows share it. The
temperature falls from ``t_max`` to ``t_min`` over ``steps`` forwards, as in the model's own ``generate`` (transformers 5.17 on).

Self-conditioning is kept as the expected embedding of each cell, (B, L, D), not as logits: it takes a 1/V part of the memory,
it can be forgotten for single cells, and a settled cell's is its token's. It goes in by a hook on ``decoder.self_conditioning``.

Shapes: B rows, L cells, V tokens, D width, P prompt tokens, U different prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.kernels import reference
from solver.llm.prompts import cache_keyword, distinct
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.tasks.canvas import Canvas, Mask, Tokens


@dataclass(eq=False)
class Prefix:
    """The cache of U prompts, padded on the left, and which of its places count, (U, P). ``last``: rows chosen last time."""

    cache: Any
    mask: Tensor
    last: tuple[tuple[int, ...], Any] | None = None

    def rows(self, index: tuple[int, ...]) -> tuple[Any, Tensor]:
        """The cache and the mask of some prompts, which may repeat. Nobody writes to it, so all rows as they are need no copy."""
        if index == tuple(range(len(self.mask))):
            return self.cache, self.mask
        if self.last is None or self.last[0] != index:
            chosen = shallow(self.cache)
            chosen.batch_select_indices(torch.tensor(index, device=self.mask.device))
            self.last = index, chosen
        return self.last[1], self.mask[list(index)]


@dataclass(frozen=True, eq=False)
class GemmaState:
    """Rows of a prefix, and of each row what it may hold, (L, W) or None. ``cells`` is L."""

    prefix: Prefix
    index: tuple[int, ...]
    allowed: tuple[np.ndarray | None, ...]
    cells: int

    def select(self, rows: Sequence[int]) -> Self:
        index = tuple(self.index[r] for r in rows)
        return replace(self, index=index, allowed=tuple(self.allowed[r] for r in rows))


@dataclass(frozen=True, eq=False)
class GemmaAux:
    """Expected embeddings (B, L, D) of the last forward, zero where there is none, and each row's forwards so far."""

    soft: Tensor
    steps: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, soft=self.soft[list(rows)], steps=tuple(self.steps[r] for r in rows))

    def reset(self, cells: Mask) -> Self:
        if not cells.any():
            return self
        gone = torch.tensor(cells, device=self.soft.device)[..., None]
        return replace(self, soft=self.soft.masked_fill(gone, 0))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        steps = tuple(n for part in parts for n in part.steps)
        return replace(parts[0], soft=torch.cat([part.soft for part in parts]), steps=steps)


@dataclass(frozen=True)
class Schedule:
    """The model's own defaults: ``steps`` forwards a canvas, temperatures, and the entropy bound in nats."""

    steps: int = 48
    t_min: float = 0.4
    t_max: float = 0.8
    bound: float = 0.1
    stable: int = 1
    calm: float = 0.005

    @classmethod
    def of(cls, model: Any) -> Schedule:
        """What the model's generation config says, the defaults where it says nothing."""
        config, default = model.generation_config, cls()
        sampler = getattr(config, "sampler_config", None)

        def said(name: str, otherwise: Any) -> Any:
            value = getattr(config, name, None)
            return otherwise if value is None else value

        return cls(
            steps=said("max_denoising_steps", default.steps),
            t_min=said("t_min", default.t_min),
            t_max=said("t_max", default.t_max),
            bound=default.bound if sampler is None else sampler.entropy_bound,
            stable=said("stability_threshold", default.stable),
            calm=said("confidence_threshold", default.calm),
        )

    def temperature(self, done: int) -> float:
        """For the forward after ``done`` others; it stays at its last value when the schedule has run out. fp32, as the
        model's."""
        left = torch.tensor(max(1, self.steps - done)) / self.steps
        return float(self.t_min + (self.t_max - self.t_min) * left)


@dataclass(eq=False)
class DiffusionGemma:
    """A :class:`~solver.models.protocol.Denoiser` over ``DiffusionGemmaForBlockDiffusion``."""

    model: Any
    name: str = "diffusion_gemma"
    schedule: Schedule = field(init=False)
    kind: Literal["mask", "uniform"] = field(default="uniform", init=False)
    lays_out = False

    def __post_init__(self) -> None:
        self.schedule = Schedule.of(self.model)
        self.vocab: int = self.model.config.text_config.vocab_size
        self.forbidden: tuple[int, ...] = ()
        s = self.schedule
        self.policy = Policy(
            accept=AcceptPolicy(entropy_bound=s.bound, sample=True),
            remask=RemaskPolicy(keep_visible=False),
            search=SearchPolicy(rounds=s.steps, on_stall="restart", decide_from="last"),
            stable_entropy=s.calm,
        )
        self.model.eval()

    @property
    def length(self) -> int:
        """The canvas length the model was made for."""
        return int(self.model.config.canvas_length)

    @property
    def context(self) -> int:
        """The most tokens it has positions for, prompt and canvas together."""
        return int(self.model.config.text_config.max_position_embeddings)

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> GemmaState:
        """One encoder call for all different prompts. Raises ValueError where a prompt is empty."""
        if not all(len(canvas.prompt) for canvas in canvases):
            raise ValueError(
                "a prompt needs at least one token: this model's canvas always follows something"
            )
        prompts, index = distinct(canvases)
        longest = max(map(len, prompts))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = True
        prefix = self.encode(ids.to(self.model.device), mask.to(self.model.device))
        return GemmaState(prefix, index, tuple(c.allowed for c in canvases), canvases[0].cells)

    @torch.inference_mode()
    def encode(self, ids: Tensor, mask: Tensor, before: Prefix | None = None) -> Prefix:
        """The prefix of ``ids`` (U, P), places that count in ``mask``, after what came ``before`` (which stays as it is)."""
        from transformers import DynamicCache

        cache = (
            DynamicCache(config=self.model.config.get_text_config())
            if before is None
            else shallow(before.cache)
        )
        seen = cache.get_seq_length()
        places = torch.arange(seen, seen + ids.shape[1], device=ids.device)[None]
        every = mask if before is None else torch.cat([before.mask, mask], 1)
        # the model's own mask for generate: right for a cache that is not empty, too
        encoder = self.model.model.encoder
        masks = encoder.create_masks_for_generate(
            config=self.model.config,
            inputs_embeds=torch.empty((*ids.shape, 0), dtype=self.model.dtype, device=ids.device),
            attention_mask=every,
            position_ids=places,
            **cache_keyword(encoder.create_masks_for_generate, cache),
        )
        encoder(input_ids=ids, attention_mask=masks, position_ids=places, **cache_keyword(encoder, cache))
        return Prefix(cache, every)

    def extend(self, state: GemmaState, block: Tensor) -> GemmaState:
        """The state after each row's finished canvas, ``block`` (B, L)."""
        cache, mask = state.prefix.rows(state.index)
        block = block.to(self.model.device)
        prefix = self.encode(block, torch.ones_like(block, dtype=torch.bool), Prefix(cache, mask))
        return replace(state, prefix=prefix, index=tuple(range(len(block))))

    def start(self, state: GemmaState) -> GemmaAux:
        rows, width = len(state.index), self.model.config.text_config.hidden_size
        soft = torch.zeros(rows, state.cells, width, dtype=self.model.dtype, device=self.model.device)
        return GemmaAux(soft, (0,) * rows)

    @torch.inference_mode()
    def denoise(
        self, state: GemmaState, tokens: Tensor, known: Tensor, settled: Tensor, aux: GemmaAux
    ) -> tuple[Tensor, GemmaAux]:
        tokens, settled = tokens.to(self.model.device), settled.to(self.model.device)
        logits = self.forward(state, tokens, aux)
        for row, done in enumerate(aux.steps):
            logits[row] /= self.schedule.temperature(done)
        soft = self.soften(logits, state.allowed)
        embed = self.model.model.decoder.embed_tokens
        soft = torch.where(settled[..., None], embed(tokens).to(soft.dtype), soft)
        return logits, GemmaAux(soft, tuple(done + 1 for done in aux.steps))

    def forward(self, state: GemmaState, tokens: Tensor, aux: GemmaAux) -> Tensor:
        """The model's own logits (B, L, V), fp32."""
        cache, mask = state.prefix.rows(state.index)
        every = torch.nn.functional.pad(mask, (0, tokens.shape[1]), value=True)
        with conditioned(self.model, aux.soft):
            output = self.model(
                decoder_input_ids=tokens, decoder_attention_mask=every, **cache_keyword(self.model, cache)
            )
        logits: Tensor = output.logits
        return logits

    def soften(self, logits: Tensor, allowed: Sequence[np.ndarray | None]) -> Tensor:
        """Expected embeddings (B, L, D) of the distributions over what is allowed, a few cells at a time."""
        embed = self.model.model.decoder.embed_tokens
        step = max(1, reference.ELEMENTS // self.vocab)
        rows = []
        for row, may in enumerate(allowed):
            parts = []
            for at in range(0, logits.shape[1], step):
                some = logits[row, at : at + step]
                if may is not None:
                    here = reference.unpack(torch.tensor(may[at : at + step], device=some.device), self.vocab)
                    some = some.masked_fill(~here, float("-inf"))
                p = some.softmax(-1, dtype=torch.float32).to(embed.weight.dtype)
                parts.append(p @ embed.weight * embed.embed_scale.to(embed.weight.dtype))
            rows.append(torch.cat(parts))
        return torch.stack(rows)

    def cost(self, state: GemmaState, aux: GemmaAux) -> tuple[list[int], list[int]]:
        """FLOPs are estimated: two an active weight and cell, and the attention."""
        rows, cells = len(state.index), state.cells
        config = self.model.config.text_config
        lengths = cells * (state.prefix.mask.shape[1] + cells)
        attention = 4 * lengths * config.num_attention_heads * sum(head_widths(self.model))
        return [1] * rows, [2 * cells * active_weights(self.model) + attention] * rows

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return rng.integers(0, vocab, len(where))


def shallow(cache: Any) -> Any:
    """A cache of its own over the same tensors: what is written to one leaves the other as it is."""
    other = copy(cache)
    other.layers = [copy(layer) for layer in cache.layers]
    return other


@contextmanager
def conditioned(model: Any, soft: Tensor) -> Iterator[None]:
    """While it lasts, the decoder is conditioned on ``soft`` (B, L, D) in place of what its logits would make."""

    def put(
        module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (arguments[0], soft), {}

    handle = model.model.decoder.self_conditioning.register_forward_pre_hook(put, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def head_widths(model: Any) -> list[int]:
    """The width of an attention head in each layer: full attention has wider ones."""
    return [int(layer.self_attn.head_dim) for layer in model.model.decoder.layers]


def active_weights(model: Any) -> int:
    """Weights that one token of a canvas goes through: all of the decoder's but the experts it is not sent to, the embedding once
    more to come out, and once for self-conditioning."""
    config = model.config.text_config
    share = (config.top_k_experts or 1) / (config.num_experts or 1)
    total = 2.0 * config.vocab_size * config.hidden_size
    for name, weight in model.model.decoder.named_parameters():
        if "embed_tokens" not in name:
            total += weight.numel() * (share if ".experts." in name else 1.0)
    return int(total)
