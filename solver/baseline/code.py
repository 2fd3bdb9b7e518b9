"""Code left to right: what the baseline reads, and how it writes.

    for writing in write(network, page, "fim", temperatures=(0.0, 0.7, 0.7)): writing.fills, writing.log_p

Two ways to lay out the same page as one sequence. *prefix*: what stands before each hole, and then the hole, from the left to
the right. *fim*: the whole page with a sentinel for every hole, then every sentinel again with what belongs there (Bavarian et
al. 2022; Fried et al. 2023 for several holes). A hole ends with END.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from solver.models.code_network import CodeNetwork
from solver.models.kv_cache import KVCache
from solver.tasks.canvas import Tokens
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page

Order = Literal["prefix", "fim"]
COMMON = ("key", "value", "pointed")  # of what was read once; looked at there by all rows


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


class Row:
    """One way to fill a page, under way. given: what is read before each further hole.  END: ends a hole, as does ``most``."""

    def __init__(self, given: Sequence[Tokens], end: int, most: int) -> None:
        self.given, self.end, self.most = [one.tolist() for one in given], end, most
        self.fills: list[list[int]] = [[]]
        self.queue, self.done, self.log_p, self.steps, self.flops = list[int](), False, 0.0, 0, 0

    def next(self, chosen: int, log_p: float) -> int:
        """What to feed: what is given while there is any, else the token that was ``chosen``; END where all is written."""
        if not self.queue and not self.done:
            self.log_p += log_p
            fill, ended = self.fills[-1], chosen == self.end
            if not ended:
                fill.append(chosen)
                self.queue.append(chosen)
            if ended or len(fill) == self.most:
                self.done = len(self.fills) > len(self.given)
                if not self.done:
                    self.queue += [self.end, *self.given[len(self.fills) - 1]]
                    self.fills.append([])
        return self.queue.pop(0) if self.queue else self.end


@torch.inference_mode()
def write(
    network: CodeNetwork,
    page: Page,
    order: Order,
    temperatures: Sequence[float] = (0.0,),
    seed: int = 0,
    most: int = 48,
) -> list[Writing]:
    """Ways to fill a page, side by side, of at most ``most`` tokens a hole: one a temperature, of 0 the likeliest tokens.

    The given text is read once for all of them, and counted with the first."""
    v, generator, past = Vocabulary.load(), torch.Generator().manual_seed(seed), KVCache()
    end, count = v.special("END"), len(temperatures)
    never = torch.zeros(v.size)
    never[[token for token in (*v.sentinels, v.blank) if token != end]] = -torch.inf
    given = document(page, order)
    begin = [network.config.vocab, *given[0].tolist()]
    said = network.step(torch.tensor([begin]), past).expand(count, -1)
    past.split(count, COMMON)
    rows = [Row(given[1:], end, most) for _ in range(count)]
    rows[0].steps, rows[0].flops = 1, network.flops(len(begin), 0, 1)
    heat, going = torch.tensor(temperatures)[:, None], rows
    while True:
        score = said + never
        drawn = torch.multinomial((score / heat.clamp_min(1e-3)).softmax(-1), 1, generator=generator)
        chosen = torch.where(heat > 0, drawn, score.argmax(-1, keepdim=True))
        log_p = said.gather(-1, chosen)[:, 0].tolist()
        fed = [
            row.next(*one)
            for row, one in zip(going, zip(chosen[:, 0].tolist(), log_p, strict=True), strict=True)
        ]
        left = [number for number, row in enumerate(going) if not row.done]
        if not left:
            break
        if len(left) < len(going):
            past.select(left)
            going, heat, fed = [going[n] for n in left], heat[left], [fed[n] for n in left]
        for row in going:
            row.steps, row.flops = row.steps + 1, row.flops + network.flops(1, past.cells, 1)
        said = network.step(torch.tensor(fed)[:, None], past)
    return [
        Writing(tuple(np.array(fill, np.int64) for fill in row.fills), row.log_p, row.steps, row.flops)
        for row in rows
    ]
