r"""Examples for the code models, and their data loader: functions of the corpus in windows, most with holes.

Windows with holes are laid out as in use (a condition, a name and all its uses, ...): each hole is a slot
with spare cells. Holes take up to half of the window, because a window with a single hole trains only a few
cells. In windows without holes any cell may be hidden. The left-to-right network gets the same windows as
sequences, most of them with the text after the holes.

>>> from solver.tasks.code_edit.corpus import CorpusFunction
>>> source = "def area(width, height):\n    return width * height\n"
>>> function = CorpusFunction("shapes.py", source, (0, len(source)))
>>> sorted(code_examples([function], count=1, causal=False, seed=1))[0].partition(".")[2]
'offset'

Shapes: N examples, B rows of a batch, L cells.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from textwrap import dedent

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.baseline.code import spelled
from solver.models.mask_denoisers import BLANKS
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.holes import (
    DEPENDENT_KINDS,
    MAX_HOLES,
    HoleSet,
    dependent_hole_cases,
    single_hole_cases,
)
from solver.tasks.code_edit.lexer import Span
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import WINDOW_SIZES, CodeWindow, WindowError, probe_capacity
from solver.training.loaders import (
    Corrupted,
    Examples,
    Ints,
    Mask,
    Report,
    Size,
    SizedLoader,
    columns_by_size,
    corrupt_cells,
    shift_right,
    stack_examples,
)

NO_HOLES_SHARE = 0.2  # of the windows
STANDALONE_SHARE = 0.6  # of the windows with holes show the function without its neighbourhood
CONTEXT_SIZE = 900  # characters before and after a function that its window may show
MORE_HOLES_SHARE = 0.75  # of the windows with holes have more than one cut
HOLE_DENSITY = (0.1, 0.5)  # share of such a window's text that is cut out
MAX_WINDOW_HOLES = 20  # of a window; left to right there are sentinels for MAX_HOLES
MAX_HOLE_TOKENS = 40
TOKEN_SIZE = 3.2  # characters, on average
FILLED_SHARE = 0.3  # of the windows with holes have slots without spare cells
FIM_SHARE = 0.75  # of the left-to-right sequences show the text after the holes
MIN_TOKENS = 12  # of a window without holes
CHUNK = 400  # functions per job of a process
STANDARD_LENGTH = 128  # cells of a row of a batch, on average
MIN_ROWS = 4
MIN_VISIBLE_SHARE = 0.2  # of the cells of a window without holes

Job = tuple[Sequence[CorpusFunction], bool, tuple[int, int]]


def code_examples(
    functions: Sequence[CorpusFunction],
    count: int,
    causal: bool,
    seed: int,
    workers: int = 1,
    report: Report = lambda done, total: None,
) -> Examples:
    """Windows of ``count`` functions, or a few less, since some functions yield none.

    Args:
        functions: each is used as often as the others.
        count: number of windows to try.
        causal: whether they are sequences for the left-to-right network.
        seed: of all draws.
        workers: processes; their number does not change the examples.
        report: called with the number of functions so far, and in all.

    Returns:
        Columns (N, L) for each length L: ``truth``, token ids; ``pinned``; ``offset``, the index of a cell in
        its slot as the network counts it, 0 outside; ``wanted``, loss weight left to right.
    """
    parts = defaultdict[Size, list[Examples]](list)

    def collect(results: Iterator[Examples]) -> None:
        for number, examples in enumerate(results, 1):
            for size, columns in columns_by_size(examples).items():
                parts[size].append(columns)
            report(min(count, number * CHUNK), count)

    if workers == 1 or count <= CHUNK:
        collect(map(make_windows, split_jobs(functions, count, causal, seed)))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as processes:
            collect(processes.map(make_windows, split_jobs(functions, count, causal, seed)))
    return stack_examples(parts)


def split_jobs(functions: Sequence[CorpusFunction], count: int, causal: bool, seed: int) -> Iterator[Job]:
    """Split ``count`` functions into jobs; functions of a file stay together, so that it is parsed once."""
    repetitions = count // len(functions) + 1
    orders = [np.random.default_rng((seed, turn)).permutation(len(functions)) for turn in range(repetitions)]
    chosen = [functions[index] for index in np.concatenate(orders)[:count].tolist()]
    chosen.sort(key=lambda function: (function.path, function.span))
    for number, start in enumerate(range(0, count, CHUNK)):
        yield chosen[start : start + CHUNK], causal, (seed, number)


def make_windows(job: Job) -> Examples:
    functions, causal, seed = job
    rng, windows = np.random.default_rng(seed), defaultdict[Size, list[Examples]](list)
    for function in functions:
        window = make_window(function, causal, rng)
        if window is not None:
            windows[window["truth"].shape[1:]].append(window)
    return stack_examples(windows)


def make_window(function: CorpusFunction, causal: bool, rng: np.random.Generator) -> Examples | None:
    if rng.random() < NO_HOLES_SHARE:
        return window_without_holes(function, causal, rng)
    length = WINDOW_SIZES[int(rng.integers(len(WINDOW_SIZES)))]
    choice = choose_holes(function, length, MAX_HOLES if causal else MAX_WINDOW_HOLES, rng)
    return None if choice is None else window_with_holes(*choice, length, causal, rng)


def window_without_holes(function: CorpusFunction, causal: bool, rng: np.random.Generator) -> Examples | None:
    """A function, or a part of it, without holes; None if it is too short."""
    vocabulary = Vocabulary.load()
    tokens, _ = vocabulary.encode(function.source[slice(*function.span)])
    fitting = [length for length in WINDOW_SIZES if length >= len(tokens) + causal] or [WINDOW_SIZES[-1]]
    length = fitting[0] if rng.random() < 0.7 else fitting[int(rng.integers(len(fitting)))]
    start = int(rng.integers(0, max(1, len(tokens) - length + 1)))
    tokens = tokens[start : start + length - causal]
    if causal:
        tokens = np.concatenate([[vocabulary.special("START")], tokens])
    size = len(tokens)
    if size < MIN_TOKENS:
        return None
    wanted = np.where(np.arange(size) >= causal, 1.0, 0.0)
    return pad_window(tokens, np.zeros(size, bool), np.zeros(size, np.int64), wanted, length)


def choose_holes(
    function: CorpusFunction, length: int, most: int, rng: np.random.Generator
) -> tuple[str, list[Span]] | None:
    """A text for a window of ``length`` and the spans of its holes, ``most`` at most; None without any."""
    if rng.random() < STANDALONE_SHARE:
        text, first = standalone_source(function), 0
        source, within = text, (0, len(text))
    else:
        text, first = neighbourhood(function)
        source, within = function.source, function.span
    kinds = defaultdict[str, list[HoleSet]](list)
    for cut in (*single_hole_cases(source, within), *dependent_hole_cases(source, within)):
        is_inside = first <= cut.spans[0][0] and cut.spans[-1][1] <= first + len(text)
        if is_inside and len(cut.spans) <= most:
            kinds[cut.kind].append(cut)
    if not kinds:
        return None
    spans, reach = list(draw_cut(kinds, rng).spans), length * TOKEN_SIZE
    if rng.random() < MORE_HOLES_SHARE:
        remaining = rng.uniform(*HOLE_DENSITY) * min(reach, len(text)) - total_size(spans)
        for _ in range(3 * MAX_WINDOW_HOLES):
            added = draw_cut(kinds, rng).spans
            start = spans[0][0]
            is_near = abs(added[0][0] - start) < reach and abs(added[-1][1] - start) < reach
            fits = total_size(added) <= remaining and len(spans) + len(added) <= most
            if is_near and fits and not overlap(spans, added):
                spans += added
                remaining -= total_size(added)
    return text, sorted((a - first, b - first) for a, b in spans)


def draw_cut(kinds: dict[str, list[HoleSet]], rng: np.random.Generator) -> HoleSet:
    """One cut of any kind. Of single holes, half of the time the shorter one of two."""
    names = list(kinds)
    cuts = kinds[names[int(rng.integers(len(names)))]]
    first, second = (cuts[int(index)] for index in rng.integers(len(cuts), size=2))
    if first.kind in DEPENDENT_KINDS or rng.random() >= 0.5:
        return first
    return second if total_size(second.spans) < total_size(first.spans) else first


def total_size(spans: Sequence[Span]) -> int:
    return sum(b - a for a, b in spans)


def overlap(spans: Sequence[Span], added: Sequence[Span]) -> bool:
    return any(b >= start and a <= end for a, b in spans for start, end in added)


def window_with_holes(
    text: str, spans: Sequence[Span], length: int, causal: bool, rng: np.random.Generator
) -> Examples | None:
    """A window of a text with holes; None if they do not fit."""
    count = len(spans)
    try:
        probe = CodeWindow.of(text, spans, [1] * count, 2 * WINDOW_SIZES[-1])
        fills = [probe.encode_fill(number, text[a:b]) for number, (a, b) in enumerate(spans)]
        if max(map(len, fills)) > MAX_HOLE_TOKENS or min(map(len, fills)) < 1:
            return None
        if causal:
            room = length - sum(len(fill) + 3 for fill in fills) - 2
            window = CodeWindow.of(text, spans, [1] * count, room)
            tokens, written = spelled(window, "fim" if rng.random() < FIM_SHARE else "prefix", fills)
            if len(tokens) > length:
                return None
            wanted = np.where(written, 1.0, 0.5)
            return pad_window(tokens, ~written, np.zeros(len(tokens), np.int64), wanted, length)
        is_filled = rng.random() < FILLED_SHARE
        sizes = [len(fill) if is_filled else max(len(fill), probe_capacity(count)) for fill in fills]
        window = CodeWindow.of(text, spans, sizes, length)
    except WindowError:
        return None
    truth, offset = window.tokens.copy(), np.zeros(length, np.int64)
    for (start, capacity), fill in zip(window.slots, fills, strict=True):
        truth[start : start + len(fill)] = fill
        # a filled slot is counted from its end, so that the network knows how long the text is
        numbers = np.arange(-capacity, 0) if is_filled else np.arange(1, capacity + 1)
        offset[start : start + capacity] = numbers
    return pad_window(truth, window.pinned, offset, np.zeros(length), length)


def pad_window(
    tokens: Ints, pinned: Mask, offset: Ints, wanted: NDArray[np.float64], length: int
) -> Examples:
    """The columns (1, ``length``) of one window, padded with pinned BLANKs."""
    spare = length - len(tokens)
    return {
        "truth": np.concatenate([tokens, np.full(spare, Vocabulary.load().blank)]).astype(np.int16)[None],
        "pinned": np.concatenate([pinned, np.ones(spare, bool)])[None],
        "offset": np.concatenate([offset, np.zeros(spare, np.int64)]).astype(np.int16)[None],
        "wanted": np.concatenate([wanted, np.zeros(spare)]).astype(np.float16)[None],
    }


def neighbourhood(function: CorpusFunction) -> tuple[str, int]:
    """The text around a function, in full lines, and its start in the file."""
    source, (start, end) = function.source, function.span
    first = source.rfind("\n", 0, max(0, start - CONTEXT_SIZE)) + 1
    last = source.find("\n", end + CONTEXT_SIZE)
    return source[first : last if last >= 0 else len(source)], first


def standalone_source(function: CorpusFunction) -> str:
    return dedent(function.source[slice(*function.span)])


class CodeLoader(SizedLoader):
    """Batches of windows, each time with other cells hidden.

    Args:
        examples: of :func:`code_examples`.
        rows: rows of a batch of windows of the standard length.
        causal: whether the batches are for the left-to-right network.
        seed: of the batches.
    """

    def __init__(self, examples: Examples, rows: int, causal: bool, seed: int) -> None:
        super().__init__(examples, rows, STANDARD_LENGTH, MIN_ROWS, np.random.default_rng(seed))
        self.causal = causal

    def next(self) -> tuple[Tensor, ...]:
        """tokens, status, offset, truth, loss weight; (B, L) each."""
        columns = self.draw()
        truth, offset = columns["truth"].astype(np.int64), columns["offset"].astype(np.int64)
        if self.causal:
            tokens, status = shift_right(truth, Vocabulary.load().size)
            weight = columns["wanted"].astype(np.float32)
        else:
            tokens, status, weight = self.corrupted(truth, columns["pinned"], offset)
        arrays = (tokens, status, offset, truth, weight)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)

    def corrupted(self, truth: Ints, pinned: Mask, offset: Ints) -> Corrupted:
        """Hide and spoil cells: each row has its own share of visible cells, single cells or runs.

        In half of the windows with holes nothing is visible; in windows without holes always something.
        """
        rng, rows, length = self.rng, len(truth), truth.shape[1]
        has_holes: Mask = (offset != 0).max(1)[:, None]
        share = np.where(has_holes[:, 0] & (rng.random(rows) < 0.5), 0.0, rng.random(rows))[:, None]
        share = np.where(has_holes, share, np.maximum(share, MIN_VISIBLE_SHARE))
        by_cell = rng.random(truth.shape)
        runs = (np.arange(length) + rng.integers(0, 8, rows)[:, None]) // rng.integers(2, 9, rows)[:, None]
        is_single = rng.random(rows)[:, None] < 0.5
        visible = (np.where(is_single, by_cell, np.take_along_axis(by_cell, runs, 1)) < share) & ~pinned
        return corrupt_cells(
            truth,
            pinned,
            visible,
            partial(self.wrong_tokens, truth),
            lambda: (~has_holes | (rng.random(rows) < 0.25)[:, None]) & (rng.random(rows) < 0.6)[:, None],
            Vocabulary.load().blank,
            BLANKS,
            rng,
        )

    def wrong_tokens(self, truth: Ints) -> Ints:
        """Tokens (B, L) for wrong cells: half of them from the same window, half from the vocabulary."""
        rng = self.rng
        nearby = np.take_along_axis(truth, rng.integers(0, truth.shape[1], truth.shape), 1)
        is_nearby = rng.random(truth.shape) < 0.5
        return np.where(is_nearby, nearby, rng.integers(0, Vocabulary.load().blank + 1, truth.shape))
