"""``solver.edit``: fill holes in Python source; every character outside of them stays as it is.

>>> source = "def area(width, height):\\n    return\\n"
>>> candidate = edit(source, [(35, 35)], denoiser="random", budget=Budget(forwards=20))
>>> candidate.text.startswith("def area(width, height):\\n    return")
True

Hole lengths are unknown. The first candidate is drafted in an oversized slot and ends at the first BLANK.
Unless it is confident enough, alternatives follow: for one hole the likeliest lengths, each in a slot that
fits it exactly; for several holes, which must agree with each other, samples in the same slots. All are
compared by their likelihood on one window (scoring.py).
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from solver.api.candidate import Candidate, rank
from solver.api.scoring import CandidateScorer, likely_lengths
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import SECONDS, Budget, Counters, Outcome, Step
from solver.models.checkpoint import load
from solver.models.protocol import Denoiser
from solver.tasks.arguments import Check, Natural, Positive, Seconds, run_check, validated
from solver.tasks.code_edit.lexer import Span
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import (
    WINDOW_SIZES,
    CodeWindow,
    WindowError,
    probe_capacity,
    validate_spans,
)
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Violation

ONE_HOLE_FORWARDS, MORE_HOLES_FORWARDS = 64, 80  # default budgets
# A batch of alternatives is stopped after this many times the rounds that its first solved one took.
PATIENCE = 1.2
# Log-likelihood (nats) of a first draft above which alternatives were never better (docs/LOG.md).
CONFIDENT = -3.0
NUM_LENGTHS, NUM_SAMPLES = 5, 4  # alternatives for one hole, and for several

Watch = Callable[[int, EditProblem, Step], None]


@validated
def edit(
    source: str,
    holes: Sequence[Span],
    *,
    denoiser: str | Denoiser = "compact",
    check: Check[str] | None = None,
    candidates: Positive = 1,
    lengths: Sequence[Positive] | None = None,
    budget: Budget | None = None,
    seconds: Seconds | None = SECONDS,
    seed: Natural = 0,
    watch: Watch | None = None,
    defined: Collection[str] = (),
) -> Candidate:
    """Fill the ``holes`` of ``source``, and return the best of the candidates that were written.

    Args:
        source: Python source.
        holes: character spans (start, end) of ``source`` to replace.
        denoiser: "compact" (the shipped model), "random" or "prior" (controls), a checkpoint folder, or a
            denoiser.
        check: called with each new source that compiles; see solver.tasks.arguments for its result.
        candidates: number of candidates to return, the best one included; fewer if fewer differ.
        lengths: lengths of the holes in tokens, if they are known.
        budget: limits of all that is written, by default 64 forwards for one hole and 80 for several. Beyond
            it, the window is read once, and comparing takes two forwards per candidate.
        seconds: limit of the whole call in seconds, None for no limit; not used with ``budget``.
        seed: seed of all randomness.
        watch: called with (row, problem, step) after every forward.
        defined: names that are defined elsewhere, if the source is a part of a program.

    Returns:
        The best candidate: "solved" if it compiles and passes the check, although it may use undefined names
        (which CodeTask.verify refuses). They are listed in ``violations``, and candidates with fewer
        violations come first. Candidates that do not compile come last.

    Raises:
        InvalidArgument: an argument has the wrong type or value.
        WindowError: the holes overlap, are outside of the source, or do not fit a window.
    """
    spans = validate_spans(source, [(start, end) for start, end in holes])
    if lengths is not None:
        if len(lengths) != len(holes):
            raise InvalidArgument(f"there are {len(holes)} holes, but {len(lengths)} lengths")
        lengths = [length for _, length in sorted(zip(holes, lengths, strict=True))]
    budget = budget or default_budget(len(spans), seconds)
    session = EditSession(source, spans, denoiser, check, frozenset(defined), budget, seed, watch)

    # The first candidate: in slots of the given lengths, or in oversized ones with half of the budget.
    if lengths is not None:
        session.write(session.exact_problems([lengths]), budget)
    else:
        session.write([session.window], budget.split(2)[0])
    scorer = CandidateScorer(session.task, session.window, session.model, seed)

    # Alternatives, unless the first one is good enough.
    if lengths is None and not session.is_over() and not (candidates == 1 and session.is_confident(scorer)):
        if len(spans) == 1:
            choices = likely_lengths(scorer.length_log_probs, max(NUM_LENGTHS, candidates))
            session.write(session.exact_problems([choice.lengths for choice in choices]), budget)
        else:
            policy = session.model.policy.with_(sample=True)
            session.write([session.window] * max(NUM_SAMPLES, candidates), budget, policy)
    return session.ranked(scorer, candidates)


def default_budget(holes: int, seconds: float | None) -> Budget:
    return Budget(ONE_HOLE_FORWARDS if holes == 1 else MORE_HOLES_FORWARDS, seconds)


def window_size(source: str, spans: Sequence[Span], capacities: Sequence[int]) -> int:
    """Cells of the shortest window that shows the whole source, else of the longest. Raises WindowError."""
    gap = Vocabulary.load().special("GAP")
    for cells in WINDOW_SIZES[:-1]:
        if sum(capacities) < cells // 2 and gap not in CodeWindow.of(source, spans, capacities, cells).tokens:
            return cells
    return WINDOW_SIZES[-1]


@dataclass
class EditSession:
    """One call of :func:`edit`: its arguments, and the candidates written so far.

    Attributes:
        source: the source.
        spans: its holes, in order.
        denoiser: name or denoiser, as given.
        check: the user's check, or None.
        defined: names that are defined elsewhere.
        budget: limits of all attempts together.
        seed: row number n uses seed + n.
        watch: called with (row, problem, step).
        task: the code task.
        model: the loaded denoiser.
        window: the problem with an oversized slot for every hole.
        written: candidates by text, without scores.
        num_rows: rows that were written so far.
        spent: the cost so far.
    """

    source: str
    spans: tuple[Span, ...]
    denoiser: str | Denoiser
    check: Check[str] | None
    defined: frozenset[str]
    budget: Budget
    seed: int
    watch: Watch | None
    task: CodeTask = field(default_factory=CodeTask)
    written: dict[str, Candidate] = field(default_factory=dict)
    num_rows: int = 0
    spent: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.model = load(self.denoiser, self.task)
        room = (probe_capacity(len(self.spans)),) * len(self.spans)
        cells = window_size(self.source, self.spans, room)
        self.window = self.problem(room, cells)

    def problem(self, capacities: Sequence[int], cells: int, exact: bool = False) -> EditProblem:
        """The problem with slots of these ``capacities`` on a window of ``cells``. Raises WindowError."""
        return EditProblem.of(
            self.source,
            self.spans,
            capacities,
            cells,
            defined=self.defined,
            exact=exact,
            check=self.check,
        )

    def exact_problems(self, choices: Sequence[Sequence[int]]) -> list[EditProblem]:
        """Problems whose slots have exactly these lengths, all with windows of one size.

        Lengths that do not fit a window are left out. Raises WindowError where none fits.
        """
        problems, error = list[EditProblem](), WindowError("no holes")
        cells = max(window_size(self.source, self.spans, lengths) for lengths in choices)
        for lengths in choices:
            try:
                problems.append(self.problem(lengths, cells, exact=True))
            except WindowError as problem:
                error = problem
        if not problems:
            raise error
        return problems

    def write(self, problems: Sequence[EditProblem], budget: Budget, policy: Policy | None = None) -> None:
        """Solve ``problems`` side by side within ``budget``, and keep the candidates whose texts are new."""
        self.spent.stop_clock()
        share = budget.remaining(self.spent, parallel=len(problems))
        for problem, outcome in self.outcomes(problems, share, policy):
            candidate = as_candidate(problem, outcome)
            self.spent += candidate.counters
            self.written.setdefault(candidate.text, candidate)
        self.num_rows += len(problems)

    def outcomes(
        self, problems: Sequence[EditProblem], budget: Budget, policy: Policy | None
    ) -> Iterator[tuple[EditProblem, Outcome]]:
        """Run the loop on ``problems`` as one batch.

        Lengths that no text fits would use up the budget, so all rows stop soon after the first solved one.
        """
        rounds, max_rounds = 0, math.inf

        def cancelled() -> bool:
            return budget.cancelled() or rounds >= max_rounds

        limits = replace(budget, cancelled=cancelled)
        seeds = [self.seed + self.num_rows + n for n in range(len(problems))]
        for n, event in solve(self.task, problems, self.model, policy, limits, seeds, len(problems)):
            if isinstance(event, Outcome):
                yield problems[n], event
                continue
            rounds = max(rounds, event.number + 1)
            if event.solved:
                max_rounds = min(max_rounds, PATIENCE * rounds + 1)
            if self.watch is not None:
                self.watch(self.num_rows + n, problems[n], event)

    def is_over(self) -> bool:
        self.spent.stop_clock()
        left = self.budget.remaining(self.spent)
        return self.budget.cancelled() or 0 in (left.forwards, left.seconds)

    def is_confident(self, scorer: CandidateScorer) -> bool:
        """Whether the only candidate, for one hole, has no violation and is likely enough."""
        (first,) = self.written.values()
        if len(self.spans) > 1 or first.violations:
            return False
        return scorer.log_likelihoods([first.fills])[0] > CONFIDENT

    def ranked(self, scorer: CandidateScorer, count: int) -> Candidate:
        """The best ``count`` candidates, with their scores and the cost of all together."""
        scores = scorer.log_likelihoods([candidate.fills for candidate in self.written.values()])
        self.spent += scorer.counters
        self.spent.stop_clock()  # not the sum: attempts ran side by side
        scored = [
            replace(candidate, score=score, counters=self.spent)
            for candidate, score in zip(self.written.values(), scores, strict=True)
        ]
        best = rank(scored, by_violations)
        return replace(best, alternatives=best.alternatives[: count - 1])


def as_candidate(problem: EditProblem, outcome: Outcome) -> Candidate:
    """Return an outcome as a candidate without a score.

    Undefined names are listed as violations, but do not affect the status.
    """
    text, spans = problem.filled(outcome.tokens)
    error = compile_message(text)
    if error is not None:
        reported: tuple[Violation, ...] = (Violation(error, rule="syntax"),)
        names: tuple[Violation, ...] = ()
    else:
        reported = run_check(problem.check, text)
        diagnostics = problem.finder.find(text, spans)
        names = tuple(Violation(item.message, rule=item.rule, span=item.span) for item in diagnostics)
    return Candidate(
        text,
        status="exhausted" if reported else "solved",
        confidence=outcome.confidence,
        tokens=outcome.tokens,
        violations=reported + names,
        fills=problem.window.fill_texts(outcome.tokens),
        counters=outcome.counters,
    )


def by_violations(candidate: Candidate) -> tuple[bool, bool, int, float]:
    """Sort key of sources: solved, then unsolved, then broken ones; by violations, then by score."""
    broken = any(violation.rule == "syntax" for violation in candidate.violations)
    return candidate.status != "solved", broken, len(candidate.violations), -candidate.score
