"""Scores texts for the holes of a source, and predicts the holes' lengths.

    scorer = CandidateScorer(task, problem, denoiser)          # problem: slots larger than the texts
    likely_lengths(scorer.length_log_probs, 3)                 # the three likeliest combinations of lengths
    scorer.log_likelihoods([("values",), ("len(values)",)])

One forward with all slots open gives the lengths: cell k of a slot holds BLANK exactly where the text has
fewer than k tokens, so the probabilities of BLANK along a slot are the distribution of the text's length. All
texts are compared on this one window, with every second cell masked in turn.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from solver.loop.logits import finite
from solver.loop.trace import Counters
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.task import Mask, Tokens

MIN_LENGTH_PROBABILITY = 1e-6  # lower bound of the probability of a length
# Weight of the tokens' log-probabilities on the open canvas, for several holes (docs/LOG.md has the figures).
OPEN_WEIGHT = 0.5


class LengthChoice(NamedTuple):
    """Lengths of all holes in tokens, and their log-probability."""

    log_prob: float
    lengths: tuple[int, ...]


class MaskedHalf(NamedTuple):
    """A canvas in which every second token of the texts is masked.

    Attributes:
        tokens: (L,).
        known: (L,), False in the masked cells and in the BLANKs after a text.
        cells: the masked cells whose tokens are scored.
    """

    tokens: Tokens
    known: Mask
    cells: list[int]


def denoise_once(
    denoiser: Denoiser,
    state: Any,
    aux: Any,
    canvases: tuple[Tokens, Mask, Mask],
    counters: Counters,
) -> tuple[torch.Tensor, Any]:
    """Run one forward outside of the loop, and add its cost to ``counters``.

    Args:
        denoiser: the denoiser.
        state: its prefilled state of B rows.
        aux: what it carries, of B rows.
        canvases: tokens, known and settled cells, each (B, L).
        counters: costs so far.

    Returns:
        Logits (B, L, V) and the next aux.
    """
    tokens, known, settled = (torch.from_numpy(array) for array in canvases)
    logits, aux = denoiser.denoise(state, tokens, known, settled, aux)
    loops, flops = denoiser.cost(state, aux)
    counters.calls += 1
    counters.forwards += len(tokens)
    counters.loops += sum(loops)
    counters.flops += sum(flops)
    return logits, aux


class CandidateScorer:
    """Reads a window with open holes once, then scores texts for them.

    Args:
        task: the code task.
        problem: the window, with slots that have room to spare.
        denoiser: the denoiser.
        seed: seed of the noise in open cells.

    Attributes:
        length_log_probs: per hole, log-probabilities (C,) of a text of 1 to C tokens.
        counters: the cost so far.
    """

    def __init__(self, task: CodeTask, problem: EditProblem, denoiser: Denoiser, seed: int = 0) -> None:
        canvas = task.encode(problem)
        assert canvas.blank is not None
        self.problem, self.denoiser, self.blank, self.counters = problem, denoiser, canvas.blank, Counters()
        noise = denoiser.noise(~canvas.pinned, task.vocab, np.random.default_rng(seed))
        self.state, self.pinned = denoiser.prefill([canvas], [seed]), canvas.pinned.copy()
        self.tokens: Tokens = np.where(canvas.pinned, canvas.tokens, noise)
        self.aux = denoiser.start(self.state)
        open_cells = np.flatnonzero(~self.pinned)
        rows = np.zeros_like(open_cells)
        log_probs, self.aux = self.log_probs_at(self.tokens[None], self.pinned[None], rows, open_cells)
        self.open_log_probs = np.zeros((len(self.tokens), task.vocab))  # with nothing written in the holes
        self.open_log_probs[open_cells] = log_probs.numpy()
        blank = np.exp(self.open_log_probs[:, self.blank])
        slots = problem.window.slots
        self.length_log_probs = [length_log_probs(blank[start : start + size]) for start, size in slots]

    def log_probs_at(
        self, tokens: Tokens, known: Mask, rows: Tokens, cells: Tokens
    ) -> tuple[torch.Tensor, Any]:
        """Log-probabilities (K, V) at K positions; ``rows`` and ``cells`` (K,) index into ``tokens`` (B, L).

        Also returns the denoiser's aux.
        """
        first = [0] * len(tokens)
        settled = np.repeat(self.pinned[None], len(tokens), 0)
        logits, aux = denoise_once(
            self.denoiser,
            self.state.select(first),
            self.aux.select(first),
            (tokens, known, settled),
            self.counters,
        )
        picked = finite(logits[torch.from_numpy(rows), torch.from_numpy(cells)], self.denoiser.name)
        return picked.cpu().double().log_softmax(-1), aux

    def log_likelihoods(self, fills: Sequence[tuple[str, ...]]) -> list[float]:
        """Score each tuple of texts, one text per hole: the log-probability of their tokens and ends.

        Every second token is scored given the others, and the others given these. With several holes, any
        name that is used in all of them is likely given itself, so ``OPEN_WEIGHT`` times the log-probability
        of each token on the open canvas is added. The score is minus infinity where a text is longer than its
        slot.
        """
        halves = [(index, half) for index, texts in enumerate(fills) for half in self.masked_halves(texts)]
        scores = np.full(len(fills), -np.inf)
        scores[[index for index, _ in halves]] = 0.0
        if halves:
            tokens = np.stack([half.tokens for _, half in halves])
            known = np.stack([half.known for _, half in halves])
            rows = np.array([row for row, (_, half) in enumerate(halves) for _ in half.cells])
            cells = np.array([cell for _, half in halves for cell in half.cells])
            predicted, _ = self.log_probs_at(tokens, known, rows, cells)
            written = tokens[rows, cells]
            log_probs = predicted.gather(-1, torch.from_numpy(written)[:, None])[:, 0].numpy()
            if len(self.problem.window.slots) > 1:
                log_probs = log_probs + OPEN_WEIGHT * self.open_log_probs[cells, written]
            np.add.at(scores, [halves[row][0] for row in rows], log_probs)
        return scores.tolist()

    def masked_halves(self, texts: Sequence[str]) -> list[MaskedHalf]:
        """Mask each half of the cells of these texts in turn; none where a text does not fit.

        Of the BLANKs after a text only the first is scored, the others are never known. The masked half
        alternates from hole to hole, so that a name that is used in two holes is visible in one of them.
        """
        tokens, known = self.tokens.copy(), self.pinned.copy()
        halves: tuple[list[int], list[int]] = [], []
        for hole, ((start, capacity), text) in enumerate(zip(self.problem.window.slots, texts, strict=True)):
            ids = self.problem.window.encode_fill(hole, text)
            if len(ids) > capacity:
                return []
            tokens[start : start + capacity] = [*ids, *[self.blank] * (capacity - len(ids))]
            for offset in range(min(len(ids) + 1, capacity)):
                halves[(offset + hole) % 2].append(start + offset)
        known[[*halves[0], *halves[1]]] = True
        masked = list[MaskedHalf]()
        for cells in filter(None, halves):
            visible = known.copy()
            visible[cells] = False
            masked.append(MaskedHalf(tokens, visible, cells))
        return masked


def length_log_probs(blank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities (C,) of 1 to C tokens, from the probability of BLANK in each cell (C,) of a slot."""
    at_most = np.append(np.maximum.accumulate(blank), 1.0)  # cumulative: 0, 1, ... C tokens
    exactly = np.maximum(np.diff(at_most), MIN_LENGTH_PROBABILITY)
    log_probs: NDArray[np.float64] = np.log(exactly / exactly.sum())
    return log_probs


def likely_lengths(log_probs: Sequence[NDArray[np.float64]], count: int) -> list[LengthChoice]:
    """The ``count`` likeliest combinations of the holes' lengths, best first, taken as independent."""
    choices = [LengthChoice(0.0, ())]
    for log_prob in log_probs:
        best = np.argsort(-log_prob, kind="stable")[:count]
        extended = (
            LengthChoice(choice.log_prob + float(log_prob[k]), (*choice.lengths, int(k) + 1))
            for choice in choices
            for k in best
        )
        choices = sorted(extended, key=lambda choice: -choice.log_prob)[:count]
    return choices
