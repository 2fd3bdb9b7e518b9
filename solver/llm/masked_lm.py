"""Mask-token diffusion language models (LLaDA, Dream, dLLM's conversions, any masked LM) as a denoiser.

    denoiser = MaskedLM(model, mask_token=tokenizer.mask_token_id)

An unknown cell holds the model's mask token. Prompt and canvas go through the model together, with full
attention. Two switches describe what differs between the families:

- ``shift``: the logits at a position predict the *next* token, as in Dream and other converted autoregressive
  models.
- ``prefix_cache``: the prompt's keys and values do not depend on the canvas (block-causal models: BD3LM,
  SDAR), so the prompt is read once.

Shapes: B rows, L cells, V tokens, P prompt tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.errors import ModelError
from solver.llm import inspection
from solver.llm.prompts import distinct
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.protocol import Stateless
from solver.tasks.task import Canvas, Mask, Tokens


@dataclass(frozen=True, eq=False)
class MaskedState:
    """The prefilled state.

    Attributes:
        prompts: the distinct prompts, each (P,).
        index: the prompt of each row.
        caches: for block-causal models, each prompt's cache and the logits after its last token.
        num_cells: number of cells L.
    """

    prompts: tuple[Tensor, ...]
    index: tuple[int, ...]
    caches: tuple[Any, ...]
    num_cells: int

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, index=tuple(self.index[row] for row in rows))


@dataclass(eq=False)
class MaskedLM:
    """A :class:`~solver.models.protocol.TextDenoiser` made of a model from ``input_ids`` to ``logits``.

    Args:
        model: the transformers model.
        mask_token: token of unknown cells.
        shift: the logits at a position predict the next token.
        prefix_cache: the prompt does not attend to the canvas, and is read once.
        block: cells that are filled before the next ones (semi-autoregressive); None for all at once.
        name: name in tables and messages.

    Raises:
        ModelError: the mask token is not in the vocabulary, or the model has no weights.
    """

    model: Any
    mask_token: int
    shift: bool = False
    prefix_cache: bool = False
    block: int | None = None
    name: str = "masked_lm"
    kind: Literal["mask", "uniform"] = field(default="mask", init=False)
    uses_slots = False

    def __post_init__(self) -> None:
        self.vocab = inspection.vocabulary_size(self.model)
        self.device = inspection.input_device(self.model)
        if not 0 <= self.mask_token < self.vocab:
            raise ModelError(
                f"the mask token {self.mask_token} is not in the model's vocabulary of {self.vocab}"
            )
        self.forbidden: tuple[int, ...] = (self.mask_token,)
        # a mask model's confidence does not reveal wrong visible tokens: only violations re-mask a cell
        self.policy = Policy(
            accept=AcceptPolicy(confidence_threshold=0.9, min_per_step=1, block_size=self.block),
            remask=RemaskPolicy(doubt_threshold=0.0, tabu_tenure=16),
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
        return None

    @property
    def context(self) -> int | None:
        """The number of positions, prompt and canvas together, or None if it is not configured."""
        names = ("max_position_embeddings", "max_sequence_length")
        limits = (getattr(inspection.text_config(self.model), name, None) for name in names)
        limit = next((int(limit) for limit in limits if limit), None)
        return None if limit is None else limit - inspection.unused_positions(self.model)

    @torch.no_grad()  # not inference_mode, in which tensor subclasses (quantised weights) fail
    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> MaskedState:
        """Read the prompts. Raises ModelError if the model is shifted and a prompt is empty."""
        if self.shift and not all(len(canvas.prompt) for canvas in canvases):
            raise ModelError(
                "a prompt needs at least one token: "
                "this model's first cell is predicted by the token before it"
            )
        unique, index = distinct(canvases)
        prompts = tuple(torch.tensor(prompt, device=self.device) for prompt in unique)
        caches = tuple(map(self.read, prompts)) if self.prefix_cache else ()
        return MaskedState(prompts, index, caches, canvases[0].num_cells)

    def read(self, prompt: Tensor) -> Any:
        """The cache of a prompt (P,), and the logits (1, 1, V) after its last token."""
        output = self.run(input_ids=prompt[None], use_cache=True)
        # renamed in transformers 5.24
        cache = output.cache if hasattr(output, "cache") else output.past_key_values
        return cache, self.logits_of(output)[:, -1:]

    def run(self, **inputs: Any) -> Any:
        """The model's output. Raises ModelError if its own code does not fit the installed transformers."""
        try:
            return self.model(**inputs)
        except (AttributeError, ImportError, KeyError, TypeError) as error:
            if not inspection.has_own_code(self.model):
                raise
            raise inspection.incompatible(self.name, f"{type(error).__name__}: {error}") from error

    def logits_of(self, output: Any) -> Tensor:
        """The logits of the tokens in the vocabulary: padding is cut off, missing tokens get -inf."""
        logits = inspection.logits_of(output, self.model)
        missing = self.vocab - logits.shape[-1]
        if missing <= 0:
            return logits[..., : self.vocab]
        return torch.nn.functional.pad(logits, (0, missing), value=float("-inf"))

    def extend(self, state: MaskedState, block: Tensor) -> MaskedState:
        written = block.to(self.device)
        prompts = tuple(
            torch.cat([state.prompts[i], row]) for i, row in zip(state.index, written, strict=True)
        )
        caches = tuple(map(self.read, prompts)) if self.prefix_cache else ()
        return MaskedState(prompts, tuple(range(len(prompts))), caches, state.num_cells)

    def start(self, state: MaskedState) -> Stateless:
        return Stateless(tuple(len(state.prompts[i]) for i in state.index))

    @torch.no_grad()  # not inference_mode, in which tensor subclasses (quantised weights) fail
    def denoise(
        self, state: MaskedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        """Run rows with prompts of equal length together, because padding differs from model to model."""
        canvas = torch.where(known, tokens, self.mask_token).to(self.device)
        after = self.start(state)
        groups: dict[int, list[int]] = {}
        for row, length in enumerate(after.numbers):
            groups.setdefault(state.index[row] if self.prefix_cache else length, []).append(row)
        parts = [
            self.forward(state, [state.index[row] for row in rows], canvas[rows]) for rows in groups.values()
        ]
        if len(parts) == 1:
            return parts[0].float(), after
        order = torch.tensor([row for rows in groups.values() for row in rows])
        return torch.cat(parts)[order.argsort().to(canvas.device)].float(), after

    def forward(self, state: MaskedState, index: list[int], canvas: Tensor) -> Tensor:
        """Logits (N, L, V) of rows with prompts of equal length; with a cache, of one prompt."""
        if self.prefix_cache:
            cache, last = state.caches[index[0]]
            copied = inspection.copy_cache(cache)  # the model writes to its cache
            copied.batch_repeat_interleave(len(index))
            keywords = inspection.cache_keyword(self.model, copied)
            logits = self.logits_of(self.run(input_ids=canvas, use_cache=True, **keywords))
            return torch.cat([last.expand(len(index), -1, -1), logits[:, :-1]], 1) if self.shift else logits
        prompt = torch.stack([state.prompts[i] for i in index])
        logits = self.logits_of(self.run(input_ids=torch.cat([prompt, canvas], 1)))
        first = prompt.shape[1] - self.shift
        return logits[:, first : first + canvas.shape[1]]

    def cost(self, state: MaskedState, aux: Stateless) -> tuple[list[int], list[int]]:
        """Estimate FLOPs as two per weight and position."""
        weights = sum(weight.numel() for weight in self.model.parameters())
        prompts = [0 if self.prefix_cache else length for length in aux.numbers]
        return [1] * len(prompts), [2 * weights * (length + state.num_cells) for length in prompts]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)
