"""DiffusionGemma as a denoiser: one prefill of the prompt, then any number of forwards over the canvas.

    denoiser = DiffusionGemma(DiffusionGemmaForBlockDiffusion.from_pretrained(folder))

The model's noise is uniform: every cell is predicted anew at every step, given the previous step's
distribution (self-conditioning). The encoder writes the prompt into the cache and the decoder only reads it,
so rows share it. The temperature falls from ``t_max`` to ``t_min`` over ``steps`` forwards, as in the model's
own ``generate`` (transformers 5.17 and later).

Self-conditioning is stored as the expected embedding of each cell, (B, L, D), not as logits (B, L, V). That
needs less memory, single cells can be reset, and a settled cell is represented by the embedding of its token.
A hook on ``decoder.self_conditioning`` passes it to the model: one for all threads, which reads what the calling
thread has set.

Shapes: B rows, L cells, V tokens, D width, P prompt tokens, U distinct prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.errors import ModelError
from solver.kernels import reference
from solver.llm import inspection
from solver.llm.conditioning import accept_conditioning, conditioned_on
from solver.llm.inspection import cache_keyword, copy_cache
from solver.llm.prompts import distinct
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.tasks.task import Canvas, Mask, Tokens


@dataclass(eq=False)
class PromptCache:
    """Keys and values of U prompts, padded on the left.

    Attributes:
        cache: the transformers cache.
        mask: positions that are not padding (U, P).
        latest: the rows selected last, and their cache.
    """

    cache: Any
    mask: Tensor
    latest: tuple[tuple[int, ...], Any] | None = None

    def rows(self, index: tuple[int, ...]) -> tuple[Any, Tensor]:
        """The cache and mask of the prompts at ``index``, which may repeat. Both are only read."""
        if index == tuple(range(len(self.mask))):
            return self.cache, self.mask
        if self.latest is None or self.latest[0] != index:
            chosen = copy_cache(self.cache)
            chosen.batch_select_indices(torch.tensor(index, device=self.mask.device))
            self.latest = index, chosen
        return self.latest[1], self.mask[list(index)]


@dataclass(frozen=True, eq=False)
class GemmaState:
    """The prefilled state.

    Attributes:
        prompts: the caches of the distinct prompts.
        index: the prompt of each row.
        allowed: bitmask (L, W) of each row's allowed tokens, or None.
        num_cells: number of cells L.
    """

    prompts: PromptCache
    index: tuple[int, ...]
    allowed: tuple[np.ndarray | None, ...]
    num_cells: int

    def select(self, rows: Sequence[int]) -> Self:
        index = tuple(self.index[row] for row in rows)
        return replace(self, index=index, allowed=tuple(self.allowed[row] for row in rows))


@dataclass(frozen=True, eq=False)
class GemmaAux:
    """The aux: what the model carries between forwards.

    Attributes:
        embeddings: expected embeddings (B, L, D) of the last forward, zero for cells without one.
        steps: number of forwards of each row so far.
    """

    embeddings: Tensor
    steps: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        steps = tuple(self.steps[row] for row in rows)
        return replace(self, embeddings=self.embeddings[list(rows)], steps=steps)

    def reset(self, cells: Mask) -> Self:
        if not cells.any():
            return self
        mask = torch.tensor(cells, device=self.embeddings.device)[..., None]
        return replace(self, embeddings=self.embeddings.masked_fill(mask, 0))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        steps = tuple(n for part in parts for n in part.steps)
        return replace(parts[0], embeddings=torch.cat([part.embeddings for part in parts]), steps=steps)


@dataclass(frozen=True)
class Schedule:
    """The model's sampling settings.

    Attributes:
        steps: forwards per canvas.
        t_min: last temperature.
        t_max: first temperature.
        bound: entropy bound of accepted cells, in nats.
        stable: forwards without a change before sampling stops.
        calm: mean entropy, in nats, below which sampling stops.
    """

    steps: int = 48
    t_min: float = 0.4
    t_max: float = 0.8
    bound: float = 0.1
    stable: int = 1
    calm: float = 0.005

    @classmethod
    def of(cls, model: Any) -> Schedule:
        """The settings of the model's generation config, and the defaults for the rest."""
        config, default = model.generation_config, cls()
        sampler = getattr(config, "sampler_config", None)

        def setting(name: str, fallback: Any) -> Any:
            value = getattr(config, name, None)
            return fallback if value is None else value

        return cls(
            steps=setting("max_denoising_steps", default.steps),
            t_min=setting("t_min", default.t_min),
            t_max=setting("t_max", default.t_max),
            bound=default.bound if sampler is None else sampler.entropy_bound,
            stable=setting("stability_threshold", default.stable),
            calm=setting("confidence_threshold", default.calm),
        )

    def temperature(self, done: int) -> float:
        """Temperature of forward ``done``, counted from 0; constant after the last. fp32, as in the model."""
        left = torch.tensor(max(1, self.steps - done)) / self.steps
        return float(self.t_min + (self.t_max - self.t_min) * left)


@dataclass(eq=False)
class DiffusionGemma:
    """A :class:`~solver.models.protocol.TextDenoiser` made of a ``DiffusionGemmaForBlockDiffusion``.

    Args:
        model: the transformers model.
        name: name in tables and messages.
    """

    model: Any
    name: str = "diffusion_gemma"
    schedule: Schedule = field(init=False)
    kind: Literal["mask", "uniform"] = field(default="uniform", init=False)
    uses_slots = False

    def __post_init__(self) -> None:
        self.schedule = Schedule.of(self.model)
        self.vocab: int = self.model.config.text_config.vocab_size
        self.device = inspection.input_device(self.model)
        self.forbidden: tuple[int, ...] = ()
        self.policy = Policy(
            accept=AcceptPolicy(entropy_bound=self.schedule.bound, sample=True),
            remask=RemaskPolicy(keep_visible=False),
            # every forward draws all cells anew; a rise in temperature would only lose what the model knows
            search=SearchPolicy(
                rounds=self.schedule.steps, on_stall="restart", decide_from="last", on_refusal="decide"
            ),
            stable_entropy=self.schedule.calm,
        )
        self.model.eval()
        accept_conditioning(self.model.model.decoder.self_conditioning)

    @property
    def length(self) -> int:
        return int(self.model.config.canvas_length)

    @property
    def context(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> GemmaState:
        """Encode all distinct prompts in one call. Raises ModelError if a prompt is empty."""
        if not all(len(canvas.prompt) for canvas in canvases):
            raise ModelError("a prompt needs at least one token: this model's canvas always follows a text")
        prompts, index = distinct(canvases)
        longest = max(map(len, prompts))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = True
        cache = self.encode(ids.to(self.device), mask.to(self.device))
        return GemmaState(cache, index, tuple(canvas.allowed for canvas in canvases), canvases[0].num_cells)

    @torch.no_grad()  # not inference_mode, in which tensor subclasses (quantised weights) fail
    def encode(self, ids: Tensor, mask: Tensor, before: PromptCache | None = None) -> PromptCache:
        """Encode ``ids`` (U, P), which are not padding where ``mask`` (U, P), after the tokens in ``before``.

        ``before`` is not changed.
        """
        from transformers import DynamicCache

        cache = (
            DynamicCache(config=self.model.config.get_text_config())
            if before is None
            else copy_cache(before.cache)
        )
        first = cache.get_seq_length()
        positions = torch.arange(first, first + ids.shape[1], device=ids.device)[None]
        full_mask = mask if before is None else torch.cat([before.mask, mask], 1)
        # the mask that the model's own generate makes; it is also right for a cache that is not empty
        encoder = self.model.model.encoder
        masks = encoder.create_masks_for_generate(
            config=self.model.config,
            inputs_embeds=torch.empty((*ids.shape, 0), dtype=self.model.dtype, device=ids.device),
            attention_mask=full_mask,
            position_ids=positions,
            **cache_keyword(encoder.create_masks_for_generate, cache),
        )
        encoder(input_ids=ids, attention_mask=masks, position_ids=positions, **cache_keyword(encoder, cache))
        return PromptCache(cache, full_mask)

    def extend(self, state: GemmaState, block: Tensor) -> GemmaState:
        cache, mask = state.prompts.rows(state.index)
        block = block.to(self.device)
        finished = torch.ones_like(block, dtype=torch.bool)
        prompts = self.encode(block, finished, PromptCache(cache, mask))
        return replace(state, prompts=prompts, index=tuple(range(len(block))))

    def start(self, state: GemmaState) -> GemmaAux:
        rows, width = len(state.index), self.model.config.text_config.hidden_size
        shape = (rows, state.num_cells, width)
        return GemmaAux(torch.zeros(shape, dtype=self.model.dtype, device=self.device), (0,) * rows)

    @torch.no_grad()  # not inference_mode, in which tensor subclasses (quantised weights) fail
    def denoise(
        self, state: GemmaState, tokens: Tensor, known: Tensor, settled: Tensor, aux: GemmaAux
    ) -> tuple[Tensor, GemmaAux]:
        tokens, settled = tokens.to(self.device), settled.to(self.device)
        logits = self.forward(state, tokens, aux)
        for row, done in enumerate(aux.steps):
            logits[row] /= self.schedule.temperature(done)
        expected = self.expected_embeddings(logits, state.allowed)
        embed = self.model.model.decoder.embed_tokens
        settled = settled[..., None].to(expected.device)
        expected = torch.where(settled, embed(tokens).to(expected.device, expected.dtype), expected)
        return logits, GemmaAux(expected, tuple(done + 1 for done in aux.steps))

    def forward(self, state: GemmaState, tokens: Tensor, aux: GemmaAux) -> Tensor:
        """The model's own logits (B, L, V), fp32."""
        cache, mask = state.prompts.rows(state.index)
        full_mask = torch.nn.functional.pad(mask, (0, tokens.shape[1]), value=True)
        with conditioned_on(aux.embeddings):
            output = self.model(
                decoder_input_ids=tokens, decoder_attention_mask=full_mask, **cache_keyword(self.model, cache)
            )
        logits: Tensor = output.logits
        return logits[..., : self.vocab]

    def expected_embeddings(self, logits: Tensor, allowed: Sequence[np.ndarray | None]) -> Tensor:
        """Expected embeddings (B, L, D) under the distributions over allowed tokens, in chunks of cells."""
        embed = self.model.model.decoder.embed_tokens
        if inspection.is_plain(embed.weight):
            table, scale = embed.weight, embed.embed_scale.to(embed.weight.dtype)
        else:
            table, scale = inspection.embedding_table(embed), 1.0
        table = table[: self.vocab].to(logits.device)
        step = max(1, reference.ELEMENTS // self.vocab)
        rows = []
        for row, bits in enumerate(allowed):
            parts = []
            for start in range(0, logits.shape[1], step):
                part = logits[row, start : start + step]
                if bits is not None:
                    packed = torch.tensor(bits[start : start + step], device=part.device)
                    part = part.masked_fill(~reference.unpack(packed, self.vocab), float("-inf"))
                probabilities = part.softmax(-1, dtype=torch.float32).to(table.dtype)
                parts.append(probabilities @ table * scale)
            rows.append(torch.cat(parts))
        return torch.stack(rows)

    def cost(self, state: GemmaState, aux: GemmaAux) -> tuple[list[int], list[int]]:
        """Estimate FLOPs as two per active weight and cell, plus the attention."""
        rows, num_cells = len(state.index), state.num_cells
        config = self.model.config.text_config
        lengths = num_cells * (state.prompts.mask.shape[1] + num_cells)
        # layers with full attention have wider heads
        head_widths = sum(int(layer.self_attn.head_dim) for layer in self.model.model.decoder.layers)
        attention = 4 * lengths * config.num_attention_heads * head_widths
        return [1] * rows, [2 * num_cells * active_weights(self.model) + attention] * rows

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return rng.integers(0, vocab, len(where))


def active_weights(model: Any) -> int:
    """Number of weights used per cell: the decoder's without inactive experts, and the embedding twice.

    The embedding is used for the logits and for self-conditioning.
    """
    config = model.config.text_config
    share = (config.top_k_experts or 1) / (config.num_experts or 1)
    total = 2.0 * config.vocab_size * config.hidden_size
    for name, weight in model.model.decoder.named_parameters():
        if "embed_tokens" not in name:
            total += weight.numel() * (share if ".experts." in name else 1.0)
    return int(total)
