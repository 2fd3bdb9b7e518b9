"""Pages of code to learn from: functions of the corpus, most of them with holes, one or many.

Two kinds: with holes as they are asked for (a condition, a name and all its uses, ...), each a slot with room to spare, up to
half of the page, because a page with a single hole teaches a few cells only; and plain ones, any of whose cells may be open.
The baseline gets the same pages as sequences, most of them with what stands behind the holes, the others without.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from textwrap import dedent
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from solver.baseline.code import spelled
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.holes import (
    DEPENDENT_KINDS,
    MAX_HOLES,
    HoleSet,
    dependent_hole_cases,
    single_hole_cases,
)
from solver.tasks.code_edit.positions import Span
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import WINDOW_SIZES, CodeWindow, WindowError, probe_capacity

Ints = NDArray[np.int64]
PLAIN = 0.2  # of the examples
ALONE = 0.6  # of the functions with holes have nothing around them
AROUND = 900  # characters before and behind a function that may come on its page
SEVERAL = 0.75  # of the pages with holes go on after the first cut
DENSE = (0.1, 0.5)  # of what such a page shows is cut out
HOLES = 20  # of a page, at most; left to right there are sentinels for MOST
LONGEST = 40  # tokens of a hole
TOKEN = 3.2  # characters
FILLED = 0.3  # share of pages with holes whose slots their texts fill; the others are roomy
FIM = 0.75  # of the baseline's pages show what stands behind the holes
CHUNK = 400  # functions that a process takes at a time


@dataclass(frozen=True, eq=False)
class Examples:
    """N of one length. truth (N, L); pinned (N, L); offset (N, L): which cell of its slot, counted as the network has it, 0
    outside.  wanted (N, L): weight of each cell left to right."""

    truth: NDArray[np.int16]
    pinned: NDArray[np.bool_]
    offset: NDArray[np.int16]
    wanted: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.truth)

    @staticmethod
    def of(some: Sequence[Examples]) -> Examples:
        return Examples(*(np.concatenate([getattr(one, name) for one in some]) for name in FIELDS))


FIELDS = tuple(Examples.__dataclass_fields__)
Pool = dict[int, Examples]  # by length


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


def padded(
    ids: Ints, pinned: NDArray[np.bool_], offset: Ints, wanted: NDArray[np.float64], length: int
) -> Examples:
    """One of ``length`` cells."""
    spare = length - len(ids)
    return Examples(
        np.concatenate([ids, np.full(spare, Vocabulary.load().blank)]).astype(np.int16)[None],
        np.concatenate([pinned, np.ones(spare, bool)])[None],
        np.concatenate([offset, np.zeros(spare, np.int64)]).astype(np.int16)[None],
        np.concatenate([wanted, np.zeros(spare)]).astype(np.float16)[None],
    )


def plain(function: Function, causal: bool, rng: np.random.Generator) -> Examples | None:
    """A function, or a part of one, without holes; None where there is too little of it."""
    v = Vocabulary.load()
    a, b = function.span
    ids, _ = v.encode(function.source[a:b])
    fitting = [length for length in WINDOW_SIZES if length >= len(ids) + causal] or [WINDOW_SIZES[-1]]
    length = fitting[0] if rng.random() < 0.7 else fitting[int(rng.integers(len(fitting)))]
    start = int(rng.integers(0, max(1, len(ids) - length + 1)))
    ids = ids[start : start + length - causal]
    if causal:
        ids = np.concatenate([[v.special("START")], ids])
    if len(ids) < 12:
        return None
    return padded(
        ids,
        np.zeros(len(ids), bool),
        np.zeros(len(ids), np.int64),
        np.where(np.arange(len(ids)) >= causal, 1.0, 0.0),
        length,
    )


def cut(
    function: Function, length: int, most: int, rng: np.random.Generator
) -> tuple[str, list[Span]] | None:
    """A text to be shown on a page of ``length`` and what is cut out of it, at most ``most`` holes; None where nothing can be."""
    if rng.random() < ALONE:
        text, first = alone(function), 0
        found = [*single_hole_cases(text, (0, len(text))), *dependent_hole_cases(text, (0, len(text)))]
    else:
        text, first = neighbourhood(function)
        found = [
            *single_hole_cases(function.source, function.span),
            *dependent_hole_cases(function.source, function.span),
        ]
    kinds = defaultdict[str, list[HoleSet]](list)
    for one in found:
        if first <= one.spans[0][0] and one.spans[-1][1] <= first + len(text) and len(one.spans) <= most:
            kinds[one.kind].append(one)
    if not kinds:
        return None
    spans = list(drawn(kinds, rng).spans)
    if rng.random() < SEVERAL:
        left = rng.uniform(*DENSE) * min(length * TOKEN, len(text)) - size(spans)
        for _ in range(3 * HOLES):
            more = drawn(kinds, rng).spans
            near = (
                abs(more[0][0] - spans[0][0]) < length * TOKEN
                and abs(more[-1][1] - spans[0][0]) < length * TOKEN
            )
            fits = size(more) <= left and len(spans) + len(more) <= most
            if near and fits and all(b < c or d < a for a, b in more for c, d in spans):
                spans += more
                left -= size(more)
    return text, sorted((a - first, b - first) for a, b in spans)


def drawn(kinds: dict[str, list[HoleSet]], rng: np.random.Generator) -> HoleSet:
    """One of any kind; of single holes at times the shorter one of two."""
    names = list(kinds)
    among = kinds[names[int(rng.integers(len(names)))]]
    one, other = (among[int(at)] for at in rng.integers(len(among), size=2))
    return (
        other
        if one.kind not in DEPENDENT_KINDS and rng.random() < 0.5 and size(other.spans) < size(one.spans)
        else one
    )


def size(spans: Sequence[Span]) -> int:
    return sum(b - a for a, b in spans)


def with_holes(
    text: str, spans: Sequence[Span], length: int, causal: bool, rng: np.random.Generator
) -> Examples | None:
    """A page of a text with holes; None where it does not fit one."""
    try:
        probe = CodeWindow.of(text, spans, [1] * len(spans), 2 * WINDOW_SIZES[-1])
        fills = [probe.encode_fill(number, text[a:b]) for number, (a, b) in enumerate(spans)]
        if max(map(len, fills)) > LONGEST or min(map(len, fills)) < 1:
            return None
        if causal:
            room = length - sum(len(fill) + 3 for fill in fills) - 2
            window = CodeWindow.of(text, spans, [1] * len(spans), room)
            ids, wanted = spelled(window, "fim" if rng.random() < FIM else "prefix", fills)
            if len(ids) > length:
                return None
            return padded(ids, ~wanted, np.zeros(len(ids), np.int64), np.where(wanted, 1.0, 0.5), length)
        filled, count = rng.random() < FILLED, len(spans)
        sizes = [len(fill) if filled else max(len(fill), probe_capacity(count)) for fill in fills]
        window = CodeWindow.of(text, spans, sizes, length)
    except WindowError:
        return None
    truth, offset = window.tokens.copy(), np.zeros(length, np.int64)
    for (start, capacity), fill in zip(window.slots, fills, strict=True):
        truth[start : start + len(fill)] = fill
        offset[start : start + capacity] = np.arange(-capacity, 0) if filled else np.arange(1, capacity + 1)
    return padded(truth, window.pinned, offset, np.zeros(length), length)


def example(function: Function, causal: bool, rng: np.random.Generator) -> Examples | None:
    """A page of a function, if one can be made of it."""
    if rng.random() < PLAIN:
        return plain(function, causal, rng)
    length = WINDOW_SIZES[int(rng.integers(len(WINDOW_SIZES)))]
    found = cut(function, length, MAX_HOLES if causal else HOLES, rng)
    return None if found is None else with_holes(*found, length, causal, rng)


def some_of(job: tuple[Sequence[Function], bool, tuple[int, int]]) -> Pool:
    """Pages of some functions, by length."""
    functions, causal, seed = job
    rng, found = np.random.default_rng(seed), defaultdict[int, list[Examples]](list)
    for function in functions:
        one = example(function, causal, rng)
        if one is not None:
            found[one.truth.shape[1]].append(one)
    return {length: Examples.of(some) for length, some in found.items()}


def jobs(
    functions: Sequence[Function], count: int, causal: bool, seed: int
) -> Iterator[tuple[Sequence[Function], bool, tuple[int, int]]]:
    """``count`` functions, all as often as each other, in pieces; those of a file together, which is then parsed once."""
    order = np.concatenate(
        [
            np.random.default_rng((seed, turn)).permutation(len(functions))
            for turn in range(count // len(functions) + 1)
        ]
    )
    chosen = sorted((functions[int(at)] for at in order[:count]), key=lambda one: (one.path, one.span))
    for number, at in enumerate(range(0, count, CHUNK)):
        yield chosen[at : at + CHUNK], causal, (seed, number)


def pool(
    functions: Sequence[Function],
    count: int,
    causal: bool,
    seed: int,
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> Pool:
    """Pages of ``count`` functions, of a few less where some give none; the same for any number of ``workers``."""
    found = defaultdict[int, list[Examples]](list)

    def take(some: Iterator[Pool]) -> None:
        for number, one in enumerate(some, 1):
            for length, examples in one.items():
                found[length].append(examples)
            if number % 20 == 0:
                say(f"pages of {number * CHUNK} of {count} functions")

    if workers == 1 or count <= CHUNK:
        take(map(some_of, jobs(functions, count, causal, seed)))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as processes:
            take(processes.map(some_of, jobs(functions, count, causal, seed)))
    return {length: Examples.of(found[length]) for length in sorted(found)}


def save(some: Pool, path: Path) -> None:
    np.savez(
        path, **{f"{length}.{name}": getattr(one, name) for length, one in some.items() for name in FIELDS}
    )


def read(path: Path) -> Pool:
    """What was saved. Raises OSError where it cannot be read, ValueError where it is none of ours."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            lengths = sorted({int(key.split(".")[0]) for key in held})
            return {length: Examples(*(held[f"{length}.{name}"] for name in FIELDS)) for length in lengths}
    except (EOFError, KeyError, BadZipFile) as error:
        raise ValueError(f"{path}: not pages") from error
