"""Code left to right: how the baseline lays out a window as one sequence, and how it writes the holes.

    >>> from solver.models.code_network import CodeConfig
    >>> window = CodeWindow.of("x = y\\n", [(4, 5)], [1])
    >>> network = CodeNetwork(CodeConfig(width=16, hidden=16, layers=1, causal=True))
    >>> (written,) = write_fills(network, window, "fim", most=2)
    >>> len(written.fills)
    1

Two orders. *prefix*: the text before each hole and then the hole, from left to right. *fim* (fill in the
middle): the whole window with a sentinel for every hole, then each sentinel again followed by the hole's
text (Bavarian et al. 2022; Fried et al. 2023 for several holes). A hole ends with END.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from solver.baseline.decode import Choice, DecoderRow, decode_rows
from solver.models.code_network import CodeNetwork
from solver.models.context import KVCache
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow
from solver.tasks.task import Tokens

Order = Literal["prefix", "fim"]


def document(window: CodeWindow, order: Order) -> list[Tokens]:
    """The tokens that are given before each hole, in turn. The last of each is the hole's sentinel."""
    vocabulary = Vocabulary.load()
    ends = [start for start, _ in window.slots]
    starts = [0, *(start + capacity for start, capacity in window.slots)]
    parts = [window.tokens[a:b] for a, b in zip(starts, [*ends, len(window.tokens)], strict=True)]
    parts[-1] = parts[-1][parts[-1] != vocabulary.blank]  # what fills the window up
    holes = [np.array([vocabulary.special(f"HOLE{number}")]) for number in range(len(window.slots))]
    first = np.array([vocabulary.special("START")])
    if order == "prefix":
        given = [np.concatenate([part, hole]) for part, hole in zip(parts, holes, strict=False)]
        return [np.concatenate([first, given[0]]), *given[1:]]
    sequence = [first]
    for part, hole in zip(parts, [*holes, np.zeros(0, np.int64)], strict=True):
        sequence += [part, hole]
    return [np.concatenate([*sequence, first, holes[0]]), *holes[1:]]


def spelled(window: CodeWindow, order: Order, fills: Sequence[Tokens]) -> tuple[Tokens, np.ndarray]:
    """A window with its holes filled as one sequence (N,), and which tokens (N,) of it the baseline
    writes."""
    end = Vocabulary.load().special("END")
    tokens, is_written = list[int](), list[bool]()
    for given, fill in zip(document(window, order), fills, strict=True):
        tokens += [*given.tolist(), *fill.tolist(), end]
        is_written += [False] * len(given) + [True] * (len(fill) + 1)
    return np.array(tokens, np.int64), np.array(is_written)


@dataclass(frozen=True, eq=False)
class WrittenFills:
    """Texts for the holes of a window.

    fills: the tokens of every hole.
    log_p: of all of them and their ends.
    steps: tokens that were fed to the network.
    flops: their cost.
    """

    fills: tuple[Tokens, ...]
    log_p: float
    steps: int
    flops: int


@dataclass(eq=False, kw_only=True)
class FillRow(DecoderRow):
    """The holes of a window under way.

    given: tokens to read before each further hole.
    temperature: of the draw; 0 for the likeliest tokens.
    queue: tokens to feed before the next one is chosen.
    fed: how many tokens were fed, those that all rows share included.
    """

    given: list[list[int]]
    temperature: float
    fed: int
    fills: list[list[int]] = field(default_factory=lambda: [[]])
    queue: list[int] = field(default_factory=list)
    log_p: float = 0.0


@dataclass(frozen=True, eq=False)
class FillGuide:
    """Chooses the tokens of holes, and feeds what is given between them.

    most: tokens of a hole, at most.
    generator: of the draws.
    """

    most: int
    generator: torch.Generator

    def choose(self, rows: Sequence[FillRow], cells: Tensor, logits: Tensor) -> list[Choice | None]:
        vocabulary = Vocabulary.load()
        end = vocabulary.special("END")
        mask = torch.zeros(vocabulary.size)
        mask[[token for token in (*vocabulary.sentinels, vocabulary.blank) if token != end]] = -torch.inf
        scores, temperature = logits + mask, torch.tensor([[row.temperature] for row in rows])
        shares = (scores / temperature.clamp_min(1e-3)).softmax(-1)
        drawn = torch.multinomial(shares, 1, generator=self.generator)
        chosen = torch.where(temperature > 0, drawn, scores.argmax(-1, keepdim=True))
        log_p = logits.gather(-1, chosen)[:, 0].tolist()
        parts = zip(rows, chosen[:, 0].tolist(), log_p, strict=True)
        return [self.extend(row, token, token_log_p, end) for row, token, token_log_p in parts]

    def extend(self, row: FillRow, token: int, log_p: float, end: int) -> Choice | None:
        """The token to feed: of the queue, where there is any, else the chosen ``token``."""
        if not row.queue:
            row.log_p += log_p
            fill, is_end = row.fills[-1], token == end
            if not is_end:
                fill.append(token)
                row.queue.append(token)
            if is_end or len(fill) == self.most:
                row.done = len(row.fills) > len(row.given)
                if row.done:
                    return None
                row.queue += [end, *row.given[len(row.fills) - 1]]
                row.fills.append([])
        row.fed += 1
        return Choice(row.fed - 1, row.queue.pop(0), row.fed - 1)


class CodeRun:
    """A :class:`~solver.baseline.decode.DecoderRun` over a causal :class:`CodeNetwork`.

    Its cache rows all start with the same ``tokens`` (T,), which are read once.
    """

    @torch.inference_mode()
    def __init__(self, network: CodeNetwork, num_cache_rows: int, tokens: Tokens) -> None:
        self.network, self.cache, self.size = network, KVCache(), len(tokens)
        first = torch.zeros(1, dtype=torch.long)
        self.first = self.log_p(torch.from_numpy(tokens)[None], first, torch.arange(self.size)[None])
        self.cache.share(self.size, num_cache_rows)
        # the next token to feed to each cache row, and its position
        self.last = torch.zeros(num_cache_rows, dtype=torch.long)
        self.position = torch.full_like(self.last, self.size - 1)

    def begin(self, cache_row: int, number: int) -> int:
        """As of the protocol; the cost of the shared tokens is that of the first row."""
        return self.network.flops(self.size, 0, 1) if number == 0 else 0

    @torch.inference_mode()
    def next(self, cache_rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        positions = self.position[cache_rows]
        if (positions < self.size).all():  # nothing was fed after the shared tokens
            return positions + 1, self.first.expand(len(cache_rows), -1), [0] * len(cache_rows)
        log_p = self.log_p(self.last[cache_rows][:, None], cache_rows, positions[:, None])
        return positions + 1, log_p, [self.network.flops(1, count, 1) for count in positions.tolist()]

    @torch.inference_mode()
    def put(self, cache_rows: Tensor, cells: Tensor, tokens: Tensor, num_before: Tensor) -> None:
        self.last[cache_rows], self.position[cache_rows] = tokens, num_before

    def log_p(self, tokens: Tensor, cache_rows: Tensor, positions: Tensor) -> Tensor:
        """Log-probabilities (N, V) after the last of ``tokens`` (N, T) at ``positions`` (N, T)."""
        is_last = torch.zeros_like(tokens, dtype=torch.bool)
        is_last[:, -1] = True
        log_p: Tensor = self.network(tokens, tokens, tokens, is_last, self.cache.step(cache_rows, positions))
        return log_p


def write_fills(
    network: CodeNetwork,
    window: CodeWindow,
    order: Order,
    temperatures: Sequence[float] = (0.0,),
    seed: int = 0,
    most: int = 48,
) -> list[WrittenFills]:
    """Fill the holes of a window in several ways, side by side.

    order: of the given text and the holes.
    temperatures: one for each way; 0 for the likeliest tokens.
    seed: of the draws.
    most: tokens of a hole, at most.

    The given text is read once for all ways, and its cost counts for the first.
    """
    given = document(window, order)
    begin = np.concatenate([[network.config.vocab], given[0]])
    count, between = len(temperatures), [tokens.tolist() for tokens in given[1:]]
    rows = [
        FillRow(number=number, given=between, temperature=temperature, fed=len(begin))
        for number, temperature in enumerate(temperatures)
    ]
    guide = FillGuide(most, torch.Generator().manual_seed(seed))
    list(decode_rows(CodeRun(network, count, begin), guide, rows, count))
    return [
        WrittenFills(
            tuple(np.array(fill, np.int64) for fill in row.fills),
            row.log_p,
            row.counters.forwards - (row.number > 0),  # the shared tokens are one step, of the first
            row.counters.flops,
        )
        for row in rows
    ]
