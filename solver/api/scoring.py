"""What a denoiser makes of holes before they are filled, and of texts that may fill them.

    reading = Reading(task, edit, denoiser)              # edit: with roomy slots
    choices(reading.lengths, 3)                          # the three likeliest combinations of lengths
    reading.likelihoods([("values",), ("len(values)",)])

One forward over slots with room to spare, nothing written in them: cell k of a slot is BLANK exactly where the text has fewer
than k tokens, so that what the denoiser gives BLANK along a slot is the distribution of the text's length. Texts that fill the
holes, however they came about, are compared on that same page: every second cell of a text is masked in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from solver.loop.prediction import finite
from solver.loop.trace import Counters
from solver.models.protocol import Denoiser
from solver.tasks.canvas import Mask, Tokens
from solver.tasks.code_edit.task import CodeTask, Edit

LEAST = 1e-6  # probability of a length that a denoiser thinks impossible
ALONE = 0.5  # share of what tokens are likely by themselves, in the likelihood of several holes (docs/LOG.md has the figures)


class Choice(NamedTuple):
    """Lengths of all holes, in tokens, and their log-probability."""

    log_p: float
    lengths: tuple[int, ...]


class Reading:
    """A page whose holes are open, as a denoiser reads it. lengths: for each hole the log-probability of 1, 2, ... tokens, up to
    its slot's cells.  counters: what was asked of the denoiser so far."""

    def __init__(self, task: CodeTask, edit: Edit, denoiser: Denoiser, seed: int = 0) -> None:
        canvas = task.encode(edit)
        self.edit, self.denoiser, self.blank, self.counters = edit, denoiser, task.vocab - 1, Counters()
        noise = denoiser.noise(~canvas.pinned, task.vocab, np.random.default_rng(seed))
        self.state, self.pinned = denoiser.prefill([canvas], [seed]), canvas.pinned.copy()
        self.tokens: Tokens = np.where(canvas.pinned, canvas.tokens, noise)
        self.aux = denoiser.start(self.state)
        open_ = np.flatnonzero(~self.pinned)
        said, self.aux = self.asked(self.tokens[None], self.pinned[None], np.zeros_like(open_), open_)
        self.alone = np.zeros(
            (len(self.tokens), task.vocab)
        )  # log-probabilities of each cell, where nothing is written
        self.alone[open_] = said.numpy()
        blank = np.exp(self.alone[:, self.blank])
        self.lengths = [of(blank[start : start + capacity]) for start, capacity in edit.page.slots]

    def asked(self, tokens: Tokens, known: Mask, row: Tokens, cell: Tokens) -> tuple[torch.Tensor, Any]:
        """Log-probabilities (K, V) of these cells of canvases (B, L) of this page, each a row (K,) and a cell (K,); and what the
        denoiser carries."""
        rows = [0] * len(tokens)
        state, pinned = self.state.select(rows), torch.from_numpy(self.pinned).expand(len(rows), -1)
        said, aux = self.denoiser.denoise(
            state, torch.from_numpy(tokens), torch.from_numpy(known), pinned, self.aux.select(rows)
        )
        loops, flops = self.denoiser.cost(state, aux)
        self.counters.calls += 1
        self.counters.forwards += len(rows)
        self.counters.loops += sum(loops)
        self.counters.flops += sum(flops)
        return finite(said[torch.from_numpy(row), torch.from_numpy(cell)]).cpu().double().log_softmax(-1), aux

    def likelihoods(self, fills: Sequence[tuple[str, ...]]) -> list[float]:
        """For each text of all holes the log-probability of its tokens and of its end: of every second one given the others, and
        of those given these. Where there are several holes any name that stands in all of them is likely so; ``ALONE`` times the
        log-probability of each token by itself is added. Minus infinity where a text is longer than its slot."""
        asks = [(owner, *ask) for owner, texts in enumerate(fills) for ask in self.halves(texts)]
        found = np.full(len(fills), -np.inf)
        found[[owner for owner, *_ in asks]] = 0.0
        if asks:
            tokens, known = np.stack([ask[1] for ask in asks]), np.stack([ask[2] for ask in asks])
            row = np.array([number for number, ask in enumerate(asks) for _ in ask[3]])
            cell = np.array([cell for ask in asks for cell in ask[3]])
            said, _ = self.asked(tokens, known, row, cell)
            log_p = said.gather(-1, torch.from_numpy(tokens[row, cell])[:, None])[:, 0].numpy()
            alone = ALONE * self.alone[cell, tokens[row, cell]] if len(self.edit.page.slots) > 1 else 0.0
            np.add.at(found, [asks[number][0] for number in row], log_p + alone)
        return [float(one) for one in found]

    def halves(self, texts: Sequence[str]) -> list[tuple[Tokens, Mask, list[int]]]:
        """Twice a canvas with these texts, half of whose cells are not known, and those cells; of the BLANKs behind a text only
        the first is one of them, the others are never known. They alternate from hole to hole too, so that a name that stands in
        two holes is to be seen in one. Nothing where a text does not fit."""
        tokens, known = self.tokens.copy(), self.pinned.copy()
        turns: tuple[list[int], list[int]] = [], []
        for hole, ((start, capacity), text) in enumerate(zip(self.edit.page.slots, texts, strict=True)):
            ids = self.edit.page.encoded(hole, text)
            if len(ids) > capacity:
                return []
            tokens[start : start + capacity] = [*ids, *[self.blank] * (capacity - len(ids))]
            for number in range(min(len(ids) + 1, capacity)):
                turns[(number + hole) % 2].append(start + number)
        known[[*turns[0], *turns[1]]] = True
        found = list[tuple[Tokens, Mask, list[int]]]()
        for cells in filter(None, turns):
            seen = known.copy()
            seen[cells] = False
            found.append((tokens, seen, cells))
        return found


def of(blank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities (C,) of 1 to C tokens, from the probabilities (C,) that a slot's cells are BLANK."""
    at_most = np.append(np.maximum.accumulate(blank), 1.0)  # 0, 1, ... C tokens
    exactly = np.maximum(np.diff(at_most), LEAST)
    found: NDArray[np.float64] = np.log(exactly / exactly.sum())
    return found


def choices(likely: Sequence[NDArray[np.float64]], count: int) -> list[Choice]:
    """The ``count`` likeliest combinations, the likeliest first, of holes that say nothing about each other's lengths."""
    found = [Choice(0.0, ())]
    for log_p in likely:
        best = np.argsort(-log_p, kind="stable")[:count]
        more = (
            Choice(one.log_p + float(log_p[at]), (*one.lengths, int(at) + 1)) for one in found for at in best
        )
        found = sorted(more, key=lambda one: -one.log_p)[:count]
    return found
