"""Examples for the JSON models, and their data loader: records and real instances in blocks.

An example is one of three: a record, with the text that its values are drawn from; an instance of a real
schema, without a text; or either of them with some of its values hidden. A batch has one block length and one
prompt length, so that little is padded. The loss is on every cell that is not pinned, visible ones included.

>>> tokens, pinned, offset = lay_out((b'{"a":', 3, b"}"), b'{"a":1}')
>>> int(pinned.sum()), offset.tolist()
(6, [0, 0, 0, 0, 0, 0, 1, 2, 0])

Shapes: P bytes of a prompt, L cells, B rows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solver.baseline.json import middle_prompt
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import SchemaLayout
from solver.tasks.json_schema.offsets import left_offsets
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import Record, english_words, make_record
from solver.tasks.json_schema.validator import leaf_spans
from solver.tasks.languages.projection import BLANK
from solver.training.loaders import (
    Corrupted,
    Examples,
    Ints,
    Mask,
    Report,
    Size,
    SizedLoader,
    corrupt_cells,
    shift_right,
    stack_examples,
)

LENGTHS = (64, 96, 128, 192, 256)  # of blocks
PROMPT_LENGTHS = (96, 160, 256, 448)
MIDDLE_LENGTHS = (16, 32, 64)  # of values that the left-to-right network fills in
DERIVED_WEIGHT = 4.0  # of the cells of a derived value, which are few
REAL_SHARE = 0.2  # of the examples, where there are real instances
STANDARD = 288  # bytes of a row, prompt and block
MIN_ROWS = 8
BLANK_WEIGHT = 0.2
START = 257  # the token before the first one, left to right

Parts = tuple[bytes | int, ...]
Laid = tuple[Ints, Mask, Ints]


@dataclass(frozen=True, eq=False)
class JsonExample:
    """A text in a block.

    Attributes:
        prompt: bytes of the prompt.
        truth: true tokens (L,).
        pinned: cells that are given (L,).
        offset: index of each cell in its slot (L,).
        derived: cells of a value that has to be worked out from the other values (L,).
    """

    prompt: bytes
    truth: Ints
    pinned: Mask
    offset: Ints
    derived: Mask

    @staticmethod
    def of(prompt: bytes, tokens: Ints, pinned: Mask, offset: Ints) -> JsonExample:
        return JsonExample(prompt, tokens, pinned, offset, np.zeros(len(tokens), np.bool_))

    def columns(self) -> tuple[Size, Examples]:
        """Lengths of the block and of the padded prompt, and the columns (1, ...) of the example."""
        width = next(length for length in PROMPT_LENGTHS if len(self.prompt) <= length)
        prompt = np.zeros((1, width), np.uint8)
        prompt[0, : len(self.prompt)] = np.frombuffer(self.prompt, np.uint8)
        return (len(self.truth), width), {
            "prompt": prompt,
            "prompt_length": np.array([len(self.prompt)]),
            "truth": self.truth.astype(np.int16)[None],
            "pinned": self.pinned[None],
            "offset": self.offset.astype(np.int16)[None],
            "derived": self.derived[None],
        }


def json_examples(
    count: int,
    causal: bool,
    seed: int,
    real: Sequence[tuple[Any, bytes]] = (),
    report: Report = lambda done, total: None,
) -> Examples:
    """Make ``count`` examples, less those that fit no block.

    Args:
        count: number of examples to try.
        causal: whether they are for the left-to-right network.
        seed: of all draws.
        real: schemas with instances.
        report: called with the number of examples so far, and in all.

    Returns:
        The columns of :class:`JsonExample`, and the state of the generator, which then draws the batches.
    """
    rng, words = np.random.default_rng(seed), english_words(reserved=False)
    rows = defaultdict[Size, list[Examples]](list)
    for number in range(count):
        if real and rng.random() < REAL_SHARE:
            schema, text = real[int(rng.integers(len(real)))]
            make = hide_values if rng.random() < 0.5 else place_text
            example = make(schema, "", text, causal, rng)
        else:
            example = example_of_record(make_record(rng, words), causal, rng)
        if example is not None and len(example.prompt) <= PROMPT_LENGTHS[-1]:
            size, columns = example.columns()
            rows[size].append(columns)
        report(number + 1, count)
    generator = json.dumps(rng.bit_generator.state).encode()
    return {**stack_examples(rows), "generator": np.frombuffer(generator, np.uint8)}


def example_of_record(record: Record, causal: bool, rng: np.random.Generator) -> JsonExample | None:
    """A record in full, or with values hidden: its derived value if any, half of the time without text."""
    text = json.dumps(record.instance, separators=(",", ":"), ensure_ascii=False).encode()
    if rng.random() > (0.15 if record.derived is None else 0.3):
        example = place_text(record.schema, record.text, text, causal, rng)
        if example is None or record.derived is None:
            return example
        start, end = leaf_spans(text)[record.derived,]
        derived = np.zeros(len(example.truth), np.bool_)
        derived[np.flatnonzero(example.truth != BLANK)[start:end]] = True
        return replace(example, derived=derived)
    has_text = record.derived is None or rng.random() >= 0.5
    prompt = record.text if has_text else ""
    example = hide_values(record.schema, prompt, text, causal, rng, record.derived)
    if example is None or record.derived is None:
        return example
    return replace(example, derived=~example.pinned & (example.truth != BLANK))


def place_text(
    schema: Any, prompt: str, text: bytes, causal: bool, rng: np.random.Generator
) -> JsonExample | None:
    """A text in a block, in the slots of a layout for the denoiser; None if it fits none.

    Args:
        schema: of the text.
        prompt: the text that the values are drawn from.
        text: JSON.
        causal: whether the example is for the left-to-right network.
        rng: draws the length of the block, and at times no layout.
    """
    use_layout = not causal and rng.random() >= 0.1
    layouts = SchemaLayout.all(SchemaGrammar(Compiler(schema), LENGTHS[-1])) if use_layout else ()
    layouts = tuple(layout for layout in layouts if len(layout.pieces) > 1)
    for length in LENGTHS:
        if length < len(text) or (rng.random() < 0.25 and length != LENGTHS[-1]):
            continue
        sized = [parts for layout in layouts if (parts := layout.parts(length)) is not None]
        if layouts and not sized and length != LENGTHS[-1]:
            continue
        for parts in sized or [(length,)]:  # of several layouts the first that the text fits
            laid = lay_out(parts, text)
            if laid is not None:
                tokens, pinned, offset = laid
                offset = left_offsets(tokens) if causal else offset
                return JsonExample.of(JsonProblem.prompt_of(schema, prompt), tokens, pinned, offset)
    return None


def lay_out(parts: Parts, text: bytes) -> Laid | None:
    """Place a text into literals and slots.

    Args:
        parts: literals, and sizes of slots.
        text: must match the literals.

    Returns:
        tokens, pinned cells and the index of each cell in its slot, (L,) each; None if the text does not fit.
    """
    tokens, pinned, offset, start = list[int](), list[bool](), list[int](), 0
    for number, part in enumerate(parts, 1):
        if isinstance(part, bytes):
            end, room = start + len(part), len(part)
            if text[start:end] != part:
                return None
        else:
            end, room = slot_end(text, start, parts[number:]), part
            if not start <= end <= start + room:
                return None
        tokens += [*text[start:end], *[BLANK] * (room - (end - start))]
        pinned += [isinstance(part, bytes)] * room
        offset += [0] * room if isinstance(part, bytes) else range(room)
        start = end
    return (np.array(tokens), np.array(pinned), np.array(offset)) if start == len(text) else None


def slot_end(text: bytes, start: int, following: Parts) -> int:
    """Where the text of a slot ends: before the literal that comes next; -1 if it does not occur."""
    match following:
        case (bytes(literal),):
            return len(text) - len(literal)
        case (bytes(literal), *_):
            return text.find(literal, start)
    return len(text)


def hide_values(
    schema: Any,
    prompt: str,
    text: bytes,
    causal: bool,
    rng: np.random.Generator,
    field: str | None = None,
) -> JsonExample | None:
    """A text with values hidden; None if there are none or they fit no block.

    Up to three values for the denoiser, each a slot with spare cells. One for the left-to-right network, with
    the text on both sides in the prompt (fill-in-the-middle; Bavarian et al. 2022).

    Args:
        schema: of the text.
        prompt: the text that the values are drawn from.
        text: JSON.
        causal: whether the example is for the left-to-right network.
        rng: draws the values and the sizes of the slots.
        field: cut only values of this field; None for any.
    """
    spans = [span for path, span in leaf_spans(text).items() if path and field in (None, path[0])]
    if not spans:
        return None
    full_prompt = JsonProblem.prompt_of(schema, prompt)
    if causal:
        start, end = spans[int(rng.integers(len(spans)))]
        tokens = np.array([*text[start:end], BLANK])
        length = next((length for length in MIDDLE_LENGTHS if len(tokens) <= length), None)
        if length is None:
            return None
        tokens = np.pad(tokens, (0, length - len(tokens)), constant_values=BLANK)
        middle = middle_prompt(full_prompt, text[:start], text[end:])
        return JsonExample.of(middle, tokens, np.zeros(length, np.bool_), left_offsets(tokens))
    # place the slots: literals are pinned, and so are the cells that fill the block up
    order = rng.permutation(len(spans))[: int(rng.integers(1, 4))]
    cells, pinned, offset, done = list[int](), list[bool](), list[int](), 0
    for start, end in [*sorted(spans[index] for index in order), (len(text), len(text))]:
        size = end - start
        room = size + int(rng.integers(0, 13)) if size else 0
        cells += [*text[done:end], *[BLANK] * (room - size)]
        pinned += [True] * (start - done) + [False] * room
        offset += [0] * (start - done) + list(range(room))
        done = end
    extra = next((length for length in LENGTHS if len(cells) <= length), 0) - len(cells)
    if extra < 0:
        return None
    columns = (cells + [BLANK] * extra, pinned + [True] * extra, offset + [0] * extra)
    return JsonExample.of(full_prompt, *map(np.array, columns))


class RecordLoader(SizedLoader):
    """Batches of JSON examples, each time with other cells hidden.

    Args:
        examples: of :func:`json_examples`.
        rows: rows of a batch of examples of the standard size.
        causal: whether the batches are for the left-to-right network.
    """

    def __init__(self, examples: Examples, rows: int, causal: bool) -> None:
        rng = np.random.default_rng()
        rng.bit_generator.state = json.loads(examples["generator"].tobytes())
        super().__init__(examples, rows, STANDARD, MIN_ROWS, rng)
        self.causal = causal

    def next(self) -> tuple[Tensor, ...]:
        """prompt (B, P), its lengths (B,), tokens, status, offset, truth and loss weight (B, L)."""
        columns = self.draw()
        truth, offset = columns["truth"].astype(np.int64), columns["offset"].astype(np.int64)
        if self.causal:
            tokens, status = shift_right(truth, START)
            weight = np.where((truth == BLANK) & (tokens == BLANK), 0.0, 1.0)
        else:
            tokens, status, weight = self.corrupted(truth, columns["pinned"], offset)
        weight = np.where(columns["derived"], DERIVED_WEIGHT * weight, weight).astype(np.float32)
        prompt, lengths = columns["prompt"].astype(np.int64), columns["prompt_length"]
        arrays = (prompt, lengths, tokens, status, offset, truth, weight)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)

    def corrupted(self, truth: Ints, pinned: Mask, offset: Ints) -> Corrupted:
        """Hide and spoil cells: each row has its own share of visible cells, from none to nearly all.

        In 40 % of the rows single cells are visible, in 35 % full slots, in 25 % the beginnings of slots.
        """
        rng, rows = self.rng, len(truth)
        share = np.where(rng.random(rows) < 0.3, 0.0, rng.random(rows))[:, None]
        slot = ((offset == 0) & ~pinned).cumsum(1)
        kind = rng.random(rows)[:, None]
        by_cell = rng.random(truth.shape)
        by_slot = np.take_along_axis(by_cell, slot, 1)
        visible = np.where(kind < 0.4, by_cell, by_slot) < share
        sizes = np.zeros(truth.shape, np.int64)  # bytes of each slot, by its number
        np.add.at(sizes, (np.arange(rows)[:, None], slot), ~pinned & (truth != BLANK))
        is_beginning = offset < 1.2 * by_slot * np.take_along_axis(sizes, slot, 1)
        visible = np.where((kind > 0.75) & (share > 0), is_beginning, visible) & ~pinned
        return corrupt_cells(
            truth,
            pinned,
            visible,
            lambda: np.where(rng.random(truth.shape) < 0.3, BLANK, rng.integers(32, 127, truth.shape)),
            lambda: (rng.random(rows) < 0.25)[:, None],
            BLANK,
            BLANK_WEIGHT,
            rng,
        )
