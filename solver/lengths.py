"""How long the texts of holes are, as a denoiser has it.

    likely, cost = probed(task, edit, denoiser)          # edit: with roomy slots
    choices(likely, 3)                                   # the three likeliest combinations of lengths

One forward over slots with room to spare, the *probe*: cell k of a slot is BLANK exactly where the text has fewer than k tokens,
so that what the denoiser gives BLANK along a slot is the distribution of the text's length. Nothing is written yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from solver.denoisers.protocol import Denoiser
from solver.drive import finite
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.trace import Counters

LEAST = 1e-6  # probability of a length that a denoiser thinks impossible


class Choice(NamedTuple):
    """Lengths of all holes, in tokens, and their log-probability."""

    log_p: float
    lengths: tuple[int, ...]


def probed(task: CodeTask, edit: Edit, denoiser: Denoiser, seed: int = 0) -> tuple[list[NDArray[np.float64]], Counters]:
    """For each hole the log-probability of 1, 2, ... tokens, up to its slot's cells, and what that cost."""
    canvas, counters = task.encode(edit), Counters()
    state = denoiser.prefill([canvas], [seed])
    tokens = np.where(canvas.pinned, canvas.tokens, denoiser.noise(~canvas.pinned, task.vocab, np.random.default_rng(seed)))
    pinned = torch.tensor(canvas.pinned)[None]
    said, aux = denoiser.denoise(state, torch.tensor(tokens)[None], pinned, pinned, denoiser.start(state))
    blank = finite(said)[0].softmax(-1)[:, task.vocab - 1].cpu().double().numpy()
    loops, flops = denoiser.cost(state, aux)
    counters.calls = counters.forwards = 1
    counters.loops, counters.flops = loops[0], flops[0]
    return [of(blank[start : start + capacity]) for start, capacity in edit.page.slots], counters


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
        more = (Choice(one.log_p + float(log_p[at]), (*one.lengths, int(at) + 1)) for one in found for at in best)
        found = sorted(more, key=lambda one: -one.log_p)[:count]
    return found
