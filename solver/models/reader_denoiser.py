"""A denoiser that reads: it scores the candidates of the fields, and writes them into the cells of slots.

    >>> from solver.models.reader import ReaderConfig
    >>> denoiser = ReaderDenoiser(ReaderNetwork(ReaderConfig(width=16, hidden=16, layers=1, heads=2)))
    >>> denoiser.kind, denoiser.vocab, denoiser.uses_slots
    ('mask', 257, True)

The canvas refers to its problem, which has the text, the schema and the candidates of the fields. The logits
of a slot are such that a text's sum over the cells is its log-probability. So the language, which holds exactly
the candidates, is conditioned on the reader's distribution over values. A slot whose known cells exclude all
candidates but one is a known field: the next forward reads the other fields beside it. Slots with a field that
the text has no candidate for are left to a model of bytes.

Shapes: B rows, L cells, V tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.calibration import IDENTITY
from solver.models.mask_denoisers import JsonDenoiser, MaskDenoiser
from solver.models.protocol import Stateless
from solver.models.reader import ReaderNetwork
from solver.models.reader_beliefs import FieldReading
from solver.models.reader_inputs import KnownField
from solver.models.reader_record import FieldBelief, candidate_logits, slot_fields
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.projection import BLANK
from solver.tasks.task import Canvas, Mask, Tokens

MAX_KEPT = 16  # sets of known fields of which the beliefs are kept, per problem
Known = dict[str, KnownField]  # by JSON pointer


@dataclass(eq=False)
class ReaderRow:
    """A problem as a reader sees it.

    Attributes:
        canvas: of the problem.
        reading: its text, fields and candidates.
        kept: beliefs by the known fields.
        forwards: of the reader in the last call.
        byte_state: the prefilled state of the model of bytes; None until it is needed.
    """

    canvas: Canvas
    reading: FieldReading
    kept: dict[tuple[tuple[str, KnownField], ...], dict[str, FieldBelief]] = field(default_factory=dict)
    forwards: int = 0
    byte_state: Any = None

    def beliefs(self, network: ReaderNetwork, known: Known) -> dict[str, FieldBelief]:
        """The beliefs by JSON pointer, given some fields."""
        key = tuple(sorted(known.items(), key=lambda entry: entry[0]))
        if key not in self.kept:
            if len(self.kept) >= MAX_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[key], forwards = self.reading.beliefs(network, known)
            self.forwards += forwards
        return self.kept[key]


@dataclass(frozen=True)
class ReaderState:
    """The rows of a batch."""

    rows: tuple[ReaderRow, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return type(self)(tuple(self.rows[row] for row in rows))


class ReaderDenoiser(MaskDenoiser):
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`ReaderNetwork`.

    Args:
        network: a causal one reads the fields in order and is no denoiser, but the left-to-right baseline.
        name: for traces and tables.
        writer: a model of bytes for fields that have no candidates; None to leave them open.
    """

    uses_slots = True
    policy = JsonDenoiser.policy
    calibration = IDENTITY

    def __init__(
        self, network: ReaderNetwork, name: str = "reader", writer: JsonDenoiser | None = None
    ) -> None:
        super().__init__(name, BLANK + 1, causal=False)
        self.network, self.writer = network, writer

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> ReaderState:
        """Raises ValueError for a canvas of another task."""
        rows = list[ReaderRow]()
        for canvas in canvases:
            if not isinstance(canvas.problem, JsonProblem):
                raise ValueError("a reader needs canvases of JSON problems")
            rows.append(ReaderRow(canvas, FieldReading.of(canvas.problem)))
        return ReaderState(tuple(rows))

    def start(self, state: ReaderState) -> Stateless:
        return Stateless((0,) * len(state.rows))

    @torch.inference_mode()
    def denoise(
        self, state: ReaderState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        logits = torch.zeros(*tokens.shape, self.vocab)
        for index, row in enumerate(state.rows):
            row.forwards = 0
            arrays = [tensor[index].cpu().numpy() for tensor in (tokens, known, settled)]
            is_open = self.write(row, logits[index].numpy(), *arrays)
            if is_open.any() and self.writer is not None:
                if row.byte_state is None:
                    row.byte_state = self.writer.prefill([row.canvas], [0])
                cells = slice(index, index + 1)
                byte_logits, _ = self.writer.denoise(
                    row.byte_state, tokens[cells], known[cells], settled[cells], aux
                )
                logits[index][is_open] = byte_logits[0].cpu()[is_open]
        return logits, aux

    def write(
        self, row: ReaderRow, logits: NDArray[np.float32], tokens: Tokens, known: Mask, settled: Mask
    ) -> Mask:
        """Write the logits (L, V) of the slots that are read; returns the cells (L,) of all others."""
        problem, slots = row.reading.problem, row.canvas.slots
        texts, fields = slot_fields(problem.schema, row.beliefs(self.network, {}), problem.parts)
        fixed = Known()
        for (start, size), candidates, values in zip(slots, texts, fields, strict=True):
            cells = slice(start, start + size)
            text = remaining_candidate(candidates, tokens[cells], known[cells])
            is_pinned = bool(settled[cells][known[cells]].all())
            for pointer, by_text in values.items():
                if text is not None and text in by_text:
                    fixed[pointer] = row.reading.known_field(pointer, by_text[text], is_pinned)
        if fixed:
            beliefs = row.beliefs(self.network, fixed)
            texts, fields = slot_fields(problem.schema, beliefs, problem.parts)
        is_open = np.zeros(len(tokens), np.bool_)
        for (start, size), candidates, values in zip(slots, texts, fields, strict=True):
            if not candidates or any(row.reading.is_free(pointer) for pointer in values):
                is_open[start : start + size] = True
            else:
                logits[start : start + size] = candidate_logits(candidates, size)
        return is_open

    def absences(self, problem: JsonProblem) -> dict[str, float]:
        """The probability, by JSON pointer, that the text does not give a field, be it required or not."""
        beliefs, _ = FieldReading.of(problem).beliefs(self.network, {})
        return {pointer: math.exp(belief.absent) for pointer, belief in beliefs.items() if not belief.is_free}

    def cost(self, state: ReaderState, aux: Stateless) -> tuple[list[int], list[int]]:
        flops = [row.forwards * row.reading.flops(self.network) for row in state.rows]
        return [1] * len(state.rows), flops


def remaining_candidate(candidates: Mapping[bytes, float], tokens: Tokens, known: Mask) -> bytes | None:
    """The candidate that agrees with the known cells of a slot, where they exclude all others."""
    if not known.any():
        return None
    agreeing = [text for text in candidates if agrees(text, tokens, known)]
    return agreeing[0] if len(agreeing) == 1 else None


def agrees(text: bytes, tokens: Tokens, known: Mask) -> bool:
    """Whether a text, followed by BLANKs, has the known tokens of a slot."""
    cells = np.full(len(tokens), BLANK)
    cells[: len(text)] = np.frombuffer(text, np.uint8)
    return bool((cells == tokens)[known].all())
