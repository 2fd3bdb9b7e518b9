"""``solver.repair``: make Python source that does not compile compile again, with as few edits as possible.

>>> repair("def f(a:\\n    return a\\n").text
'def f(a):\\n    return a\\n'

Near the suspicious spans (tasks/code_edit/localize.py) pieces are removed, replaced or inserted. The denoiser
supplies the text of a hole: its likeliest tokens. Repairs that compile are ranked by edit distance, then by
whether they remove a repeated piece, then by likelihood in context. The rule about repeated pieces and the
compiler's "expected ..." hint do not depend on the model, and help every denoiser alike.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Literal

import numpy as np
import torch

from solver.api.candidate import Candidate
from solver.api.proposals import Rewrite, propose, repeated_pieces, replace_span
from solver.api.scoring import denoise_once
from solver.loop.trace import SECONDS, Budget, Counters
from solver.models.checkpoint import load
from solver.models.protocol import Denoiser
from solver.tasks.arguments import Check, Natural, Positive, Seconds, run_check, validated
from solver.tasks.code_edit.diagnostics import pyflakes_diagnostics
from solver.tasks.code_edit.lexer import Span, piece_spans
from solver.tasks.code_edit.localize import compile_error, compile_message, indentation_span
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import WINDOW_SIZES, CodeWindow, WindowError
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Mask, Violation

CAPACITY = 3  # cells of an insertion
NUM_TOKENS = 8  # likeliest single tokens tried in each hole
MAX_SCORED = 60  # repairs that are scored by the denoiser
CONTEXT = 10  # tokens on either side of a repair that are scored with it
MAX_ROUNDS = 3  # for sources that are broken in several places


@validated
def repair(
    source: str,
    *,
    denoiser: str | Denoiser = "compact",
    check: Check[str] | None = None,
    candidates: Positive = 1,
    budget: Budget | None = None,
    seconds: Seconds | None = SECONDS,
    seed: Natural = 0,
) -> Candidate:
    """Return the best repair of ``source``, which does not compile.

    Args:
        source: Python source.
        denoiser: "compact" (the shipped model), "random" or "prior" (controls), a checkpoint folder, or a
            denoiser.
        check: called with each new source that compiles; see solver.tasks.arguments for its result. Repairs that
            fail it are dropped if any repair passes.
        candidates: number of repairs to return, the best one included; fewer if there are fewer.
        budget: limits of the whole search, by default ``seconds`` alone. Half of the forwards propose, the
            rest compare.
        seconds: limit of the whole call in seconds, None for no limit; not used with ``budget``.
        seed: seed of all randomness.

    Returns:
        The best repair: "solved" if it compiles and passes the check, although it may use undefined names,
        which are listed in ``violations``. If no repair compiles, the source that the compiler reads
        furthest; this is no proof that none exists.

    Raises:
        InvalidArgument: the source compiles already, or an argument has the wrong type or value.
    """
    if compile_message(source) is None:
        raise InvalidArgument("the source compiles already")
    search = RepairSearch(load(denoiser, CodeTask()), check, budget or Budget(None, seconds), seed)
    return search.run(source, candidates)


class RepairSearch:
    """One call of :func:`repair`.

    Args:
        model: the denoiser.
        check: the user's check, or None.
        budget: limits of the whole search.
        seed: seed of all randomness.
    """

    def __init__(self, model: Denoiser, check: Check[str] | None, budget: Budget, seed: int) -> None:
        self.model, self.check, self.budget, self.seed = model, check, budget, seed
        self.spent = Counters()

    def run(self, source: str, count: int) -> Candidate:
        attempt, failed = source, list[Candidate]()
        for _ in range(MAX_ROUNDS):
            tried = dict.fromkeys(takewhile(self.has_time, self.rewrites(attempt)))
            progress = {new: compiler_progress(new.text) for new in takewhile(self.has_time, tried)}
            compiling = [new for new, position in progress.items() if position is None]
            if compiling:
                repairs = self.ranked(source, compiling)
                passing = [candidate for candidate in repairs if candidate.status == "solved"]
                if passing:
                    return self.result(passing[:count])
                failed = repairs[:count]
                break
            # Nothing compiles: go on from the rewrite that the compiler reads furthest, if there is progress.
            start = compiler_progress(attempt)
            positions = {new: position for new, position in progress.items() if position is not None}
            furthest = max(positions, key=positions.__getitem__, default=None)
            if furthest is None or start is None or positions[furthest] <= start:
                break
            if self.budget.is_spent(self.spent) or not self.has_time(furthest):
                break
            attempt = furthest.text
        error = Violation(compile_message(attempt) or "", rule="syntax")
        return self.result(
            failed or [Candidate(attempt, score=0.0, violations=(error,), counters=self.spent)]
        )

    def result(self, candidates: list[Candidate]) -> Candidate:
        self.spent.stop_clock()
        return replace(candidates[0], alternatives=tuple(candidates[1:]))

    def has_time(self, _: object) -> bool:
        """Whether the search may go on. It is cancelled and timed between forwards, too."""
        elapsed = time.perf_counter() - self.spent.started
        return not self.budget.cancelled() and (self.budget.seconds is None or elapsed < self.budget.seconds)

    def rewrites(self, source: str) -> Iterator[Rewrite]:
        """New sources, those from the denoiser last."""
        proposals = list(dict.fromkeys(propose(source)))
        for proposal in proposals:
            if proposal.text is not None:
                yield replace_span(source, proposal.span, proposal.text)
        open_spans = [proposal.span for proposal in proposals if proposal.text is None]
        if self.budget.forwards is not None:
            left = self.budget.split(2)[0].remaining(self.spent).forwards or 0
            open_spans = open_spans[: max(1, left)]
        problems = [problem for span in open_spans if (problem := smallest_problem(source, span)) is not None]
        for cells in WINDOW_SIZES:
            group = [problem for problem in problems if len(problem.window.tokens) == cells]
            for problem, fills in self.draft(group):
                for fill in fills:
                    yield replace_span(source, problem.window.spans[0], fill)

    def draft(self, problems: Sequence[EditProblem]) -> Iterator[tuple[EditProblem, list[str]]]:
        """For each problem of one hole, the denoiser's draft, and its likeliest single tokens."""
        if not problems:
            return
        task, vocabulary = CodeTask(), Vocabulary.load()
        logits = self.forward([task.encode(problem) for problem in problems])
        logits = logits.index_fill(2, torch.tensor(vocabulary.sentinels), -torch.inf)
        for row, problem in enumerate(problems):
            start, capacity = problem.window.slots[0]
            slot = slice(start, start + capacity)
            tokens = problem.window.tokens.copy()
            tokens[slot] = logits[row, slot].argmax(-1).numpy()
            fills = [problem.window.fill_texts(tokens)[0]]
            for token in logits[row, start].topk(NUM_TOKENS).indices.tolist():
                tokens[slot] = [token, *[vocabulary.blank] * (capacity - 1)]
                fills.append(problem.window.fill_texts(tokens)[0])
            yield problem, list(dict.fromkeys(fill for fill in fills if fill))

    def forward(self, canvases: Sequence[Canvas]) -> torch.Tensor:
        """Logits (B, L, V) of one forward over ``canvases``."""
        state = self.model.prefill(canvases, [self.seed] * len(canvases))
        tokens = np.stack([canvas.tokens for canvas in canvases])
        known = np.stack([canvas.known for canvas in canvases])
        aux = self.model.start(state)
        return denoise_once(self.model, state, aux, (tokens, known, known), self.spent)[0]

    def ranked(self, source: str, rewrites: Sequence[Rewrite]) -> list[Candidate]:
        """Rank repairs: fewest edits first, then those that remove a repeated piece, then the likelier ones.

        Of rewrites that differ only by spaces, the first that was proposed is kept.
        """
        first = dict[tuple[str, ...], Rewrite]()
        for new in rewrites:
            first.setdefault(tuple(token_texts(new.text)), new)
        distances = {new: edit_distance(source, new.text) for new in first.values()}
        limit = MAX_SCORED
        if self.budget.forwards is not None:
            limit = min(limit, max(1, (self.budget.forwards - self.spent.forwards) // 2))
        nearest = sorted(distances, key=distances.__getitem__)[:limit]
        scores = dict(zip(nearest, self.scores(nearest), strict=True))
        without_repeats = {
            replace_span(source, span, "").text for span in repeated_pieces(source, piece_spans(source))
        }
        order = sorted(
            nearest, key=lambda new: (distances[new], new.text not in without_repeats, -scores[new])
        )
        return [self.as_candidate(new, scores[new]) for new in order]

    def as_candidate(self, new: Rewrite, score: float) -> Candidate:
        reported = run_check(self.check, new.text)
        status: Literal["solved", "exhausted"] = "exhausted" if reported else "solved"
        violations = reported + undefined_in(new.text, new.span)
        return Candidate(new.text, status=status, score=score, violations=violations, counters=self.spent)

    def scores(self, rewrites: Sequence[Rewrite]) -> list[float]:
        """The mean log-probability of the tokens around each repair, each half of them masked in turn."""
        rows = [half for new in rewrites for half in masked_halves(new, self.model.vocab)]
        if not rows:
            return []
        logits = self.forward([canvas for canvas, _ in rows])
        tokens = torch.from_numpy(np.stack([canvas.tokens for canvas, _ in rows]))
        log_probs = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0].numpy()
        sums = [(log_probs[row][masked].sum(), masked.sum()) for row, (_, masked) in enumerate(rows)]
        pairs = zip(sums[::2], sums[1::2], strict=True)
        return [
            float((total + other_total) / max(1, count + other_count))
            for (total, count), (other_total, other_count) in pairs
        ]


def masked_halves(new: Rewrite, vocab: int) -> Iterator[tuple[Canvas, Mask]]:
    """Two canvases around a repair, each with every second token masked, and the masked cells (L,)."""
    vocabulary, (first, end), cells = Vocabulary.load(), new.span, WINDOW_SIZES[0]
    size = max(1, len(vocabulary.encode(new.text[first:end])[0]))
    window = CodeWindow.of(new.text, [(first, end)], [size], cells)
    tokens, (start, capacity) = window.tokens.copy(), window.slots[0]
    fill = window.encode_fill(0, new.text[first:end])[:capacity]
    tokens[start : start + len(fill)] = fill
    last = int(np.max(np.flatnonzero(tokens != vocabulary.blank), initial=-1)) + 1  # 0 if nothing is left
    scored = np.zeros(cells, bool)
    scored[max(0, start - CONTEXT) : min(last, start + capacity + CONTEXT)] = True
    scored &= tokens != vocabulary.blank
    for parity in (0, 1):
        masked = scored & (np.arange(cells) % 2 == parity)
        yield Canvas(tokens.copy(), ~masked, ~masked, vocab, blank=vocabulary.blank), masked


def compiler_progress(text: str) -> int | None:
    """Position where the compiler gave up, counted from the end of ``text``; None if it compiles."""
    refused = compile_error(text)
    return None if refused is None else (refused.span[0] if refused.span else 0) - len(text)


def smallest_problem(source: str, span: Span, capacity: int = CAPACITY) -> EditProblem | None:
    """The problem of filling ``span`` on the smallest window that it fits, or None."""
    for cells in WINDOW_SIZES[:-1]:
        try:
            return EditProblem.of(source, [span], [capacity], cells)
        except WindowError:
            continue
    return None


def undefined_in(text: str, span: Span) -> tuple[Violation, ...]:
    return tuple(
        Violation(remark.message, rule="name", span=remark.span)
        for remark in pyflakes_diagnostics(text)
        if remark.rule == "name" and span[0] <= remark.span[0] < span[1]
    )


def edit_distance(before: str, after: str) -> int:
    """Count removed and inserted pieces, a replacement once. The indentation of a line is a piece."""
    left, right = token_texts(before), token_texts(after)
    # Drop the common prefix and suffix first: the matcher's time grows with the square of the length.
    for _ in range(2):
        pairs = enumerate(zip(left, right, strict=False))
        common = next((k for k, (old, new) in pairs if old != new), min(len(left), len(right)))
        left, right = left[common:][::-1], right[common:][::-1]
    operations = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in operations if kind != "equal")


def token_texts(text: str) -> list[str]:
    """The pieces of a source and the indentation of its lines, in order."""
    placed = [(start, text[start:end]) for start, end in piece_spans(text)]
    starts = [0, *(k + 1 for k, character in enumerate(text) if character == "\n")]
    indents = [(start, "\n" + text[slice(*indentation_span(text, start))]) for start in starts]
    return [piece for _, piece in sorted(placed + indents)]
