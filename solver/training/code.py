"""What the code models are trained on: functions of the corpus on pages, some of their cells open.

Two kinds of pages: with holes as they are asked for (a condition, a name and all its uses, ...), each a slot with room to
spare; and plain ones, any of whose cells may be open, single or in runs. The baseline gets the same pages as sequences: half of
them with what stands behind the holes, half without. A share of the visible cells is wrong, because a model that saw only right
ones would never doubt. Batches are of one length, so that nothing is padded but the ends of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import dedent

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.decoders.code import spelled
from solver.denoisers.text_network import KNOWN, OPEN, PINNED
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.holes import Cut, cuts, dependent
from solver.tasks.code_edit.page import Page, PageError
from solver.tasks.code_edit.vocabulary import Vocabulary

Ints = NDArray[np.int64]
LENGTHS = (96, 160, 256)
PLAIN = 0.45  # of the examples
DEPENDENT = 0.5  # of the others
WRONG = 0.12  # of the visible cells
LONGEST = 40  # tokens of a hole
ALONE = 0.6  # of the functions with holes have nothing around them
AROUND = 900  # characters before and behind a function that may come on its page


@dataclass(frozen=True, eq=False)
class Example:
    """truth (L,); pinned (L,); offset (L,): which cell of its slot, 0 outside.  wanted (L,): weight of each cell left to
    right."""

    truth: NDArray[np.int16]
    pinned: NDArray[np.bool_]
    offset: NDArray[np.int16]
    wanted: NDArray[np.float32]


def neighbourhood(function: Function) -> tuple[str, int]:
    """The text around a function, in whole lines, and where it begins in the file."""
    a, b = function.span
    first = function.source.rfind("\n", 0, max(0, a - AROUND)) + 1
    end = function.source.find("\n", b + AROUND)
    return function.source[first : end if end >= 0 else len(function.source)], first


def alone(function: Function) -> str:
    """The function as a source of its own."""
    a, b = function.span
    return dedent(function.source[a:b])


def size_for(needed: int, rng: np.random.Generator) -> int | None:
    """A length that so many cells fit; at times a longer one."""
    fitting = [length for length in LENGTHS if length >= needed]
    if not fitting:
        return LENGTHS[-1]
    return fitting[0] if rng.random() < 0.7 else fitting[int(rng.integers(len(fitting)))]


def plain(function: Function, causal: bool, rng: np.random.Generator) -> Example | None:
    """A function, or a part of one, without holes."""
    v = Vocabulary.load()
    a, b = function.span
    ids, _ = v.encode(function.source[a:b])
    length = size_for(len(ids) + causal, rng)
    assert length is not None
    start = int(rng.integers(0, max(1, len(ids) - length + 1)))
    ids = ids[start : start + length - causal]
    if causal:
        ids = np.concatenate([[v.special("START")], ids])
    if len(ids) < 12:
        return None
    return padded(ids, np.zeros(len(ids), bool), np.zeros(len(ids), np.int64), np.arange(len(ids)) >= causal, length)


def padded(ids: Ints, pinned: NDArray[np.bool_], offset: Ints, wanted: NDArray[np.bool_], length: int) -> Example:
    spare = length - len(ids)
    return Example(
        np.concatenate([ids, np.full(spare, Vocabulary.load().blank)]).astype(np.int16),
        np.concatenate([pinned, np.ones(spare, bool)]),
        np.concatenate([offset, np.zeros(spare, np.int64)]).astype(np.int16),
        np.concatenate([wanted, np.zeros(spare)]).astype(np.float32),
    )


def with_holes(cut: Cut, text: str, first: int, causal: bool, rng: np.random.Generator) -> Example | None:
    """A page of what is cut out of a function; None where it does not fit one."""
    spans = [(a - first, b - first) for a, b in cut.spans]
    if min(a for a, _ in spans) < 0 or max(b for _, b in spans) > len(text):
        return None
    length = LENGTHS[int(rng.integers(len(LENGTHS)))]
    try:
        probe = Page.of(text, spans, [1] * len(spans), LENGTHS[-1])
        fills = [probe.encoded(number, text[a:b]) for number, (a, b) in enumerate(spans)]
        if max(map(len, fills)) > LONGEST or min(map(len, fills)) < 1:
            return None
        if causal:
            room = length - sum(len(fill) + 3 for fill in fills) - 2
            page = Page.of(text, spans, [1] * len(spans), room)
            ids, wanted = spelled(page, "fim" if rng.random() < 0.5 else "prefix", fills)
            if len(ids) > length:
                return None
            return padded(ids, ~wanted, np.zeros(len(ids), np.int64), np.where(wanted, 1.0, 0.5), length)
        spare = rng.integers(0, 4, len(fills)) if rng.random() < 0.6 else rng.integers(0, 16, len(fills))
        if rng.random() < 0.5:
            spare[:] = spare[0]
        page = Page.of(text, spans, [len(fill) + int(extra) for fill, extra in zip(fills, spare, strict=True)], length)
    except PageError:
        return None
    truth, offset = page.tokens.copy(), np.zeros(length, np.int64)
    for (start, capacity), fill in zip(page.slots, fills, strict=True):
        truth[start : start + len(fill)] = fill
        offset[start : start + capacity] = np.arange(1, capacity + 1)
    return padded(truth, page.pinned, offset, np.zeros(length, bool), length)


class Snippets:
    """Batches of examples, made ahead in a pool that is drawn from again and again."""

    def __init__(
        self, functions: Sequence[Function], pool: int, rows: int, causal: bool, seed: int, say: Callable[[str], None] = print
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows, self.causal = rows, causal
        self.buckets: dict[int, list[Example]] = {}
        shuffled = self.rng.permutation(len(functions))
        files = {path: at for at, path in enumerate(dict.fromkeys(functions[int(at)].path for at in shuffled))}
        order = sorted(shuffled.tolist(), key=lambda at: files[functions[at].path])  # a file is parsed once for all it has
        made = turn = 0
        while made < pool and turn < 20 * pool:
            function = functions[order[turn % len(order)]]
            turn += 1
            for example in self.examples(function):
                self.buckets.setdefault(len(example.truth), []).append(example)
                made += 1
        self.keys = sorted(self.buckets)
        sizes = np.array([len(self.buckets[key]) for key in self.keys], float)
        self.shares = sizes / sizes.sum()

    def examples(self, function: Function) -> list[Example]:
        """One or two pages of a function."""
        if self.rng.random() < PLAIN:
            one = plain(function, self.causal, self.rng)
            return [one] if one is not None else []
        find = dependent if self.rng.random() < DEPENDENT else cuts
        if self.rng.random() < ALONE:
            text, first = alone(function), 0
            found = find(text, (0, len(text)), self.rng)
        else:
            text, first = neighbourhood(function)
            found = find(function.source, function.span, self.rng)
        chosen = [found[int(at)] for at in self.rng.permutation(len(found))[:2]]
        pages = [with_holes(cut, text, first, self.causal, self.rng) for cut in chosen]
        return [page for page in pages if page is not None]

    def next(self) -> tuple[Tensor, ...]:
        """tokens, status, offset, truth (B, L), weight (B, L)."""
        length = self.keys[int(self.rng.choice(len(self.keys), p=self.shares))]
        rows = max(4, self.rows * 128 // length)
        some = [self.buckets[length][at] for at in self.rng.integers(0, len(self.buckets[length]), rows)]
        truth, pinned, offset, wanted = (
            np.stack([getattr(one, name) for one in some]) for name in ("truth", "pinned", "offset", "wanted")
        )
        truth, offset = truth.astype(np.int64), offset.astype(np.int64)
        if self.causal:
            tokens = np.concatenate([np.full((rows, 1), Vocabulary.load().size), truth[:, :-1]], 1)
            return tuple(map(torch.from_numpy, (tokens, np.full_like(truth, KNOWN), offset, truth, wanted)))
        tokens, status, weight = self.noised(truth, pinned, offset)
        return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in (tokens, status, offset, truth, weight))

    def noised(self, truth: Ints, pinned: NDArray[np.bool_], offset: Ints) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Every row with its own share of visible cells. Of pages with holes, often none; of the others single cells or runs."""
        rng, rows, length = self.rng, len(truth), truth.shape[1]
        holes: NDArray[np.bool_] = offset.max(1) > 0
        share = np.where(holes & (rng.random(rows) < 0.5), 0.0, rng.random(rows))[:, None]
        share = np.where(holes[:, None], share, np.maximum(share, 0.2))  # of a plain page something is to be seen
        drawn = rng.random(truth.shape)
        runs = (np.arange(length) + rng.integers(0, 8, rows)[:, None]) // rng.integers(2, 9, rows)[:, None]
        drawn = np.where(rng.random(rows)[:, None] < 0.5, drawn, np.take_along_axis(drawn, runs, 1))
        visible = (drawn < share) & ~pinned
        wrong = visible & (rng.random(truth.shape) < WRONG)
        other = np.take_along_axis(truth, rng.integers(0, length, truth.shape), 1)  # a token of the same page
        other = np.where(rng.random(truth.shape) < 0.5, other, rng.integers(0, Vocabulary.load().blank + 1, truth.shape))
        given = visible & ~wrong & (~holes[:, None] | (rng.random(rows) < 0.25)[:, None]) & (rng.random(rows) < 0.6)[:, None]
        status = np.where(pinned | given, PINNED, np.where(visible, KNOWN, OPEN))
        wrong &= ~given
        blank = truth == Vocabulary.load().blank
        weight = np.where(pinned | given, 0.0, np.where(visible & ~wrong, 0.1, np.where(blank, 0.3, 1.0)))
        return np.where(wrong, other, truth), status, weight.astype(np.float32)
