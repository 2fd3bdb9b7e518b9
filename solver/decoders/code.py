"""Code left to right: what the baseline reads, and how it writes.

    for writing in write(network, document(page, "fim"), count=4, temperature=0.7): writing.fills, writing.log_p

Two ways to lay out the same page as one sequence. *prefix*: what stands before each hole, and then the hole, from the left to
the right. *fim*: the whole page with a sentinel for every hole, then every sentinel again with what belongs there (Bavarian et
al. 2022; Fried et al. 2023 for several holes). A hole ends with END.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from solver.denoisers.code_network import CodeNetwork
from solver.denoisers.parts import Past
from solver.tasks.canvas import Tokens
from solver.tasks.code_edit.page import Page
from solver.tasks.code_edit.vocabulary import Vocabulary

Order = Literal["prefix", "fim"]


def document(page: Page, order: Order) -> list[Tokens]:
    """What is given before each hole is written, in turn: the last of each is the hole's sentinel."""
    v = Vocabulary.load()
    ends = [start for start, _ in page.slots]
    begins = [0, *(start + capacity for start, capacity in page.slots)]
    parts = [page.tokens[a:b] for a, b in zip(begins, [*ends, len(page.tokens)], strict=True)]
    parts[-1] = parts[-1][parts[-1] != v.blank]  # what fills the page up
    holes = [np.array([v.special(f"HOLE{number}")]) for number in range(len(page.slots))]
    start = np.array([v.special("START")])
    if order == "prefix":
        given = [np.concatenate([part, hole]) for part, hole in zip(parts, holes, strict=False)]
        return [np.concatenate([start, given[0]]), *given[1:]]
    whole = [start]
    for part, hole in zip(parts, [*holes, np.zeros(0, np.int64)], strict=True):
        whole += [part, hole]
    return [np.concatenate([*whole, start, holes[0]]), *holes[1:]]


def spelled(page: Page, order: Order, fills: Sequence[Tokens]) -> tuple[Tokens, np.ndarray]:
    """A page with its holes filled as one sequence (N,), and which of it (N,) is to be written."""
    v = Vocabulary.load()
    tokens, wanted = list[int](), list[bool]()
    for given, fill in zip(document(page, order), fills, strict=True):
        tokens += [*given.tolist(), *fill.tolist(), v.special("END")]
        wanted += [False] * len(given) + [True] * (len(fill) + 1)
    return np.array(tokens, np.int64), np.array(wanted)


@dataclass(frozen=True, eq=False)
class Writing:
    """fills: the tokens of every hole.  log_p: of all of them and their ends.  steps: tokens that were fed.  flops: what they
    cost."""

    fills: tuple[Tokens, ...]
    log_p: float
    steps: int
    flops: int


class Pen:
    """Feeds a network, and remembers: what came before, and what it cost."""

    def __init__(self, network: CodeNetwork) -> None:
        self.network, self.past, self.steps, self.flops = network, Past(), 0, 0
        self.said = torch.zeros(1)

    def feed(self, tokens: Sequence[int]) -> None:
        """Tokens at once where nothing came before, else one after another. ``said`` (V,): of what follows."""
        for some in [tokens] if not self.past.cells else [[token] for token in tokens]:
            self.flops += self.network.flops(len(some), self.past.cells, 1)
            self.steps += 1
            self.said = self.network.step(torch.tensor([some]), self.past)[0]

    def fork(self) -> Pen:
        """Another that goes on from here; it has cost nothing yet."""
        other = Pen(self.network)
        other.past.cells, other.past.kept, other.said = self.past.cells, dict(self.past.kept), self.said
        return other


@torch.inference_mode()
def write(
    network: CodeNetwork, page: Page, order: Order, count: int = 1, temperature: float = 0.0, seed: int = 0, most: int = 48
) -> Iterator[Writing]:
    """``count`` ways to fill a page, of at most ``most`` tokens a hole: the likeliest tokens, or draws at a ``temperature``.

    The given text is read once for all of them, and counted with the first. A hole that reaches ``most`` ends there."""
    v, generator = Vocabulary.load(), torch.Generator().manual_seed(seed)
    end = v.special("END")
    never = torch.zeros(v.size)
    never[[token for token in (*v.sentinels, v.blank) if token != end]] = -torch.inf
    given = document(page, order)
    first = Pen(network)
    first.feed([network.config.vocab, *given[0].tolist()])
    for number in range(count):
        pen, log_p, fills = first.fork(), 0.0, list[Tokens]()
        for hole, known in enumerate(given):
            if hole:
                pen.feed(known.tolist())
            fill = list[int]()
            while len(fill) < most:
                score = pen.said + never
                chosen = int(
                    torch.multinomial((score / temperature).softmax(-1), 1, generator=generator)
                    if temperature
                    else score.argmax()
                )
                log_p += float(pen.said[chosen])
                if chosen == end:
                    break
                fill.append(chosen)
                pen.feed([chosen])
            if hole + 1 < len(given):
                pen.feed([end])
            fills.append(np.array(fill, np.int64))
        reading = (0, 0) if number else (first.steps, first.flops)
        yield Writing(tuple(fills), log_p, pen.steps + reading[0], pen.flops + reading[1])
