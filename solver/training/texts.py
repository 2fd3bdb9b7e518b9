"""What the JSON models are trained on: records and real instances in blocks, some cells already there, some of those wrong.

Three kinds of examples: a record, with the text that its values are drawn from; an instance of a real schema, without one; and
either of them with some of its values cut out.
A batch is of one block length and one prompt length, so that nothing is wasted on padding. The truth is asked for at every cell
that is not pinned, visible ones included; a share of the visible is wrong, because a model that saw only right ones would
never doubt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.baseline.json import middle_prompt
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import SchemaLayout
from solver.tasks.json_schema.offsets import left_offsets
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.source_map import leaf_spans
from solver.tasks.json_schema.synthetic import Record, english_words, make_record
from solver.tasks.languages.projection import BLANK

Ints = NDArray[np.int64]
LENGTHS = (64, 96, 128, 192, 256)
PROMPTS = (96, 160, 256, 448)
MIDDLES = (16, 32, 64)  # of values that the baseline fills in
WRONG = 0.12  # of the visible cells
HARD = 4.0  # weight of what is derived: a few bytes among a hundred
REAL = 0.2  # of the examples, where there are real instances


@dataclass(frozen=True, eq=False)
class Example:
    """prompt (P,); truth, pinned, offset and hard (L,): the cells of what has to be worked out from the rest."""

    prompt: bytes
    truth: NDArray[np.int16]
    pinned: NDArray[np.bool_]
    offset: NDArray[np.int16]
    hard: NDArray[np.bool_]


def written(instance: Any) -> bytes:
    return json.dumps(instance, separators=(",", ":"), ensure_ascii=False).encode()


Parts = tuple[bytes | int, ...]


def lay_out(parts: Parts, text: bytes) -> tuple[Ints, NDArray[np.bool_], Ints] | None:
    """A text in literals and slots: tokens (L,), which are pinned, and how far each cell is behind the beginning of its slot;
    None where the text does not fit."""
    tokens: list[int] = []
    pinned: list[bool] = []
    offset: list[int] = []
    at = 0
    for number, part in enumerate(parts):
        if isinstance(part, bytes):
            if text[at : at + len(part)] != part:
                return None
            written, room = part, len(part)
        else:
            room = part
            rest = parts[number + 1 :]
            if len(rest) == 1 and isinstance(rest[0], bytes):
                end = len(text) - len(rest[0])
            else:
                end = text.find(rest[0], at) if rest and isinstance(rest[0], bytes) else len(text)
            if end < at or end - at > room:
                return None
            written = text[at:end]
        at += len(written)
        tokens += [*written, *[BLANK] * (room - len(written))]
        pinned += [isinstance(part, bytes)] * room
        offset += [0] * room if isinstance(part, bytes) else range(room)
    return (np.array(tokens), np.array(pinned), np.array(offset)) if at == len(text) else None


def cut(
    schema: Any, said: str, text: bytes, causal: bool, rng: np.random.Generator, only: str | None = None
) -> Example | None:
    """A text with values cut out, any or ``only`` one field: up to three for the denoiser, each a slot with room to spare; for
    the baseline one, and what stands on both sides of it is in the prompt (fill-in-the-middle; Bavarian et al. 2022)."""
    among = [span for path, span in leaf_spans(text).items() if path and only in (None, path[0])]
    if not among:
        return None
    if causal:
        a, b = among[int(rng.integers(len(among)))]
        prompt = middle_prompt(JsonProblem.prompt_of(schema, said), text[:a], text[b:])
        tokens = np.concatenate([np.frombuffer(text[a:b], np.uint8), [BLANK]]).astype(np.int64)
        length = next((length for length in MIDDLES if len(tokens) <= length), None)
        if length is None:
            return None
        tokens = np.concatenate([tokens, np.full(length - len(tokens), BLANK)])
        return finished(prompt, tokens, np.zeros(length, np.bool_), left_offsets(tokens))
    tokens_, pinned, offset, at = list[int](), list[bool](), list[int](), 0
    for a, b in [
        *sorted(among[at] for at in rng.permutation(len(among))[: int(rng.integers(1, 4))]),
        (len(text), len(text)),
    ]:
        room = b - a + int(rng.integers(0, 13)) if b > a else 0
        tokens_ += [*text[at:b], *[BLANK] * (room - (b - a))]
        pinned += [True] * (a - at) + [False] * room
        offset += [0] * (a - at) + list(range(room))
        at = b
    extra = next((length for length in LENGTHS if len(tokens_) <= length), 0) - len(tokens_)
    if extra < 0:
        return None
    columns = (
        tokens_ + [BLANK] * extra,
        pinned + [True] * extra,
        offset + [0] * extra,
    )  # batches are of one length
    return finished(JsonProblem.prompt_of(schema, said), *map(np.array, columns))


def finished(prompt: bytes, tokens: Ints, pinned: NDArray[np.bool_], offset: Ints) -> Example:
    return Example(
        prompt, tokens.astype(np.int16), pinned, offset.astype(np.int16), np.zeros(len(tokens), np.bool_)
    )


def example(schema: Any, said: str, text: bytes, causal: bool, rng: np.random.Generator) -> Example | None:
    """A text in a block: laid out in slots for the denoiser, from the left for the baseline."""
    found = (
        () if causal or rng.random() < 0.1 else SchemaLayout.all(SchemaGrammar(Compiler(schema), LENGTHS[-1]))
    )
    found = tuple(one for one in found if len(one.pieces) > 1)
    for length in LENGTHS:
        if length < len(text) or (rng.random() < 0.25 and length != LENGTHS[-1]):
            continue
        sized = [parts for one in found if (parts := one.parts(length)) is not None]
        if found and not sized and length != LENGTHS[-1]:
            continue
        laid = [one for parts in sized or [(length,)] if (one := lay_out(parts, text)) is not None]
        if laid:  # of several layouts the first that the text fits
            tokens, pinned, offset = laid[0]
            return finished(
                JsonProblem.prompt_of(schema, said),
                tokens,
                pinned,
                left_offsets(tokens) if causal else offset,
            )
    return None


class Texts:
    """Batches of examples, made ahead in a pool that is drawn from again and again. real: schemas with instances of theirs."""

    def __init__(
        self, pool: int, rows: int, causal: bool, seed: int, real: Sequence[tuple[Any, bytes]] = ()
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows, self.causal = rows, causal
        self.buckets: dict[tuple[int, int], list[Example]] = {}
        known = english_words(reserved=False)
        for _ in range(pool):
            if real and self.rng.random() < REAL:
                schema, text = real[int(self.rng.integers(len(real)))]
                one = (cut if self.rng.random() < 0.5 else example)(schema, "", text, causal, self.rng)
            else:
                one = self.of_record(make_record(self.rng, known))
            if one is not None and len(one.prompt) <= PROMPTS[-1]:
                prompt = next(size for size in PROMPTS if len(one.prompt) <= size)
                self.buckets.setdefault((len(one.truth), prompt), []).append(one)
        self.keys = sorted(self.buckets)
        sizes = np.array([len(self.buckets[key]) for key in self.keys], float)
        self.shares = sizes / sizes.sum()

    def of_record(self, record: Record) -> Example | None:
        """As it is; or with values cut out, where something is derived that alone and, half of the time, without the text."""
        text = written(record.instance)
        if self.rng.random() > (0.15 if record.derived is None else 0.3):
            one = example(record.schema, record.text, text, self.causal, self.rng)
            if one is not None and record.derived is not None:
                a, b = leaf_spans(text)[record.derived,]
                one.hard[np.flatnonzero(one.truth != BLANK)[a:b]] = True
            return one
        said = "" if record.derived is not None and self.rng.random() < 0.5 else record.text
        one = cut(record.schema, said, text, self.causal, self.rng, record.derived)
        if one is not None and record.derived is not None:
            one.hard[~one.pinned & (one.truth != BLANK)] = True
        return one

    def next(self) -> tuple[Tensor, ...]:
        """prompt (B, P), its lengths (B,), tokens, status, offset, truth (B, L), weight (B, L)."""
        key = self.keys[int(self.rng.choice(len(self.keys), p=self.shares))]
        length, prompt = key
        rows = max(8, int(self.rows * 288 / (length + prompt)))
        some = [self.buckets[key][at] for at in self.rng.integers(0, len(self.buckets[key]), rows)]
        prompts = np.zeros((rows, prompt), np.int64)
        for row, one in enumerate(some):
            prompts[row, : len(one.prompt)] = np.frombuffer(one.prompt, np.uint8)
        truth = np.stack([one.truth for one in some]).astype(np.int64)
        pinned = np.stack([one.pinned for one in some])
        offset = np.stack([one.offset for one in some]).astype(np.int64)
        lengths = np.array([len(one.prompt) for one in some])
        tokens, status, weight = self.left(truth) if self.causal else self.noised(truth, pinned, offset)
        weight = np.where(np.stack([one.hard for one in some]), HARD * weight, weight).astype(np.float32)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(a))
            for a in (prompts, lengths, tokens, status, offset, truth, weight)
        )

    def noised(
        self, truth: Ints, pinned: NDArray[np.bool_], offset: Ints
    ) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Every row with its own share of visible cells, from none to nearly all: single cells, whole slots, or the beginnings of
        slots."""
        share = np.where(self.rng.random(len(truth)) < 0.3, 0.0, self.rng.random(len(truth)))[:, None]
        slot = ((offset == 0) & ~pinned).cumsum(1)
        kind = self.rng.random(len(truth))[:, None]
        drawn = self.rng.random(truth.shape)
        by_slot = np.take_along_axis(drawn, slot, 1)
        visible = np.where(kind < 0.4, drawn, by_slot) < share
        sizes = np.zeros(truth.shape, np.int64)  # bytes of each slot, by its number
        np.add.at(sizes, (np.arange(len(truth))[:, None], slot), ~pinned & (truth != BLANK))
        begun = offset < 1.2 * by_slot * np.take_along_axis(sizes, slot, 1)
        visible = np.where((kind > 0.75) & (share > 0), begun, visible) & ~pinned
        wrong = visible & (self.rng.random(truth.shape) < WRONG)
        other = np.where(self.rng.random(truth.shape) < 0.3, BLANK, self.rng.integers(32, 127, truth.shape))
        given = (
            visible & ~wrong & (self.rng.random(len(truth)) < 0.25)[:, None]
        )  # at times what is visible is there for good
        wrong &= ~given
        status = np.where(pinned | given, PINNED, np.where(visible, KNOWN, OPEN))
        blank = truth == BLANK
        weight = np.where(pinned | given, 0.0, np.where(visible & ~wrong, 0.1, np.where(blank, 0.2, 1.0)))
        return np.where(wrong, other, truth), status, weight.astype(np.float32)

    def left(self, truth: Ints) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Each cell is given the one before it; blanks after the first ask nothing."""
        tokens = np.concatenate([np.full((len(truth), 1), 257), truth[:, :-1]], 1)
        after = (truth == BLANK) & (tokens == BLANK)
        return tokens, np.full_like(truth, KNOWN), np.where(after, 0.0, 1.0).astype(np.float32)


def facts(texts: Texts) -> dict[str, Any]:
    """How many examples of each size."""
    return {f"{length}+{prompt}": len(texts.buckets[length, prompt]) for length, prompt in texts.keys}
