"""``solver.fill``: JSON that satisfies a schema, its values taken from a text.

>>> candidate = fill({"enum": ["red", "green"]}, text="a green field", length=16)
>>> candidate.value, candidate.status
('green', 'solved')

Every draft is a text of the schema's language, the validator has the last word, and the parts that it rejects
are re-masked. A schema without a result raises a :class:`~solver.tasks.json_schema.errors.FillError`; an
unverified text is never returned.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solver.api.abstain import withhold_all
from solver.api.candidate import Candidate, candidate_policy, mean_log_probability, rank, repeats, unlike
from solver.api.drafted import draft_score, fills_of
from solver.api.fields import FieldEvidence
from solver.api.generation_run import Deadline
from solver.api.time_limits import within_limit
from solver.api.value_types import ValueType
from solver.kernels.deadline import OutOfTime, time_limit
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import SECONDS, Budget, Counters, Outcome, Step
from solver.models.checkpoint import load
from solver.models.protocol import Denoiser
from solver.tasks.arguments import Check, Natural, Positive, Probability, Seconds, validated
from solver.tasks.json_schema.compilation import Quotes
from solver.tasks.json_schema.errors import (
    COMPILING,
    BudgetExhausted,
    FillError,
    UnsatisfiableSchema,
    UnsupportedSchema,
)
from solver.tasks.json_schema.lengths import fitting_problem
from solver.tasks.json_schema.problem import JsonProblem, load_kernels
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages import projection
from solver.tasks.text import Hole

FORWARDS = 1000  # default budget of one candidate
WIDEST = 4096  # cells of a canvas that is read alone; of half as many cells, four are read together
SEED_STEP = 10_007  # between the attempts at one candidate
RETRIES = 4  # forwards for a text that no other candidate has

Watch = Callable[[int, Step], None]


@validated
def fill(
    schema: Any,
    text: str = "",
    *,
    template: Sequence[str | Hole] | None = None,
    check: Check[Any] | None = None,
    length: Positive | None = None,
    denoiser: str | Denoiser = "compact",
    budget: Budget | None = None,
    seconds: Seconds | None = SECONDS,
    seed: Natural = 0,
    candidates: Positive = 1,
    formats: bool = True,
    registry: Mapping[str, Any] | None = None,
    quotes: Quotes = "auto",
    min_probability: Probability = 0.0,
) -> Candidate:
    """Write an instance of ``schema``, its values taken from ``text``.

    Args:
        schema: a JSON schema, or a type: a dataclass, TypedDict, NamedTuple, Enum, Literal, union,
            ``list[...]`` and the like, or anything that pydantic knows, if it is installed. An object has no
            members beside those of its type, unless the type asks for them.
        text: source of the values.
        template: literals, which appear in the instance byte for byte, and holes (sizes in bytes).
        check: called with the value; see solver.tasks.arguments for its result. Violations with a path
            or a span re-mask only that part. Validators of a pydantic model and ``__post_init__`` are checks
            as well: ValueError and AssertionError re-mask what they are about, other exceptions propagate.
        length: bytes of the canvas, or those shared by the template's unsized holes; None: as many as schema
            and text require, from 256 to 4,096.
        denoiser: "compact" (the shipped model), "random" or "prior" (controls), a checkpoint folder, or a
            denoiser.
        budget: limits of each candidate, by default 1,000 forwards.
        seconds: limit of the whole call in seconds, None for no limit; not used with ``budget``. It also ends
            the compilation of the schema and forwards, within a second.
        seed: seed of all randomness.
        candidates: number of instances to write; those that fail are left out. The first is the likeliest;
            the others are drawn, at rising temperature, until all differ.
        formats: whether ``format`` is asserted.
        registry: further schemas by URI. Nothing is ever fetched.
        quotes: whether strings, numbers and dates are read off ``text``. "auto": all but those for which it
            has no value. True: all; NotInText is raised if a required one is not in it. False: none. Values
            that the schema enumerates stay as they are. A subschema with ``"x-source": "text"`` or ``"free"``
            decides for its own field.
        min_probability: less probable fields are left out, or null; required ones raise NotConfident.

    Returns:
        The best instance. Its ``value`` is the JSON value, or the object of the type; ``alternatives`` are
        the other instances.

    Raises:
        InvalidArgument: an argument has the wrong type or value.
        SchemaError: ``schema`` is not a JSON schema, or the template is not usable.
        UnsatisfiableSchema: no value satisfies the schema or fits the template, which is proven.
        CanvasTooSmall: no text was found that fits the canvas.
        SchemaTooComplex: the schema takes too long to compile.
        NotConfident: a required field is less probable than ``min_probability``; it carries the candidate.
        NotInText: with ``quotes=True``, the text has no value for a required field.
        UnsupportedSchema: the best draft failed only keywords that the language cannot express.
        BudgetExhausted: the budget ended first; it carries the best text.
    """
    load_kernels()
    started = time.perf_counter()
    budget = budget or Budget(FORWARDS, seconds)
    kind = ValueType.of(schema)
    typed_check = kind.check(check)
    checks = () if typed_check is None else (typed_check,)
    try:
        with time_limit(budget.seconds):
            settings = {"formats": formats, "registry": registry, "quotes": quotes}
            problem = fitting_problem(kind.schema, text, template, length, checks=checks, **settings)
    except OutOfTime:
        raise BudgetExhausted("", (COMPILING,), "seconds") from None
    budget = budget.remaining(Counters(seconds=time.perf_counter() - started))
    results, numbers = dict[int, Candidate | FillError](), list(range(candidates))
    instances: list[Candidate] = []
    for attempt in range(candidates):  # once, and again for what repeats another, while there are other texts
        # Each candidate gets a copy, because the task remembers rejected drafts per problem.
        others = (unlike(found.value for found in instances),) if instances else ()
        problems = [replace(problem, checks=(*checks, *others)) for _ in numbers]
        seeds = [seed + number + SEED_STEP * attempt for number in numbers]
        drawn = list(fill_many(problems, denoiser, budget, seeds, candidates=numbers, attempt=attempt))
        new = {numbers[index]: r for index, r in drawn if attempt == 0 or isinstance(r, Candidate)}
        results = dict(sorted({**results, **new}.items()))
        instances = [result for result in results.values() if isinstance(result, Candidate)]
        numbers = repeats([r.text if isinstance(r, Candidate) else None for r in results.values()])
        budget = budget.remaining(Counters(seconds=time.perf_counter() - started))
        budget = replace(budget, forwards=min(RETRIES, budget.forwards or RETRIES))
        if not (new and numbers) or budget.seconds == 0.0:
            break
    if not instances:
        raise next(result for result in results.values() if isinstance(result, FillError))
    if min_probability:
        instances = withhold_all(rank(instances).ranked, min_probability, template is None)
    return rank([replace(found, value=kind.read(found.value)) for found in instances])


def fill_many(
    problems: Sequence[JsonProblem],
    denoiser: str | Denoiser = "compact",
    budget: Budget | None = None,
    seed: int | Sequence[int] = 0,
    batch: int = 64,
    watch: Watch | None = None,
    loops: int | None = None,
    candidates: Sequence[int] | None = None,
    attempt: int = 0,
) -> Iterator[tuple[int, Candidate | FillError]]:
    """Fill many problems, those of one length together, and yield (index, result) as soon as one is done.

    Args:
        problems: the problems to fill.
        denoiser: a name, a checkpoint folder or a denoiser.
        budget: limits of each problem, by default 1,000 forwards.
        seed: problem number n uses seed + n; or one seed for each problem.
        batch: canvases per call of the denoiser.
        watch: called with (index, step) after every forward.
        loops: inner loops of a looped network, None for the checkpoint's number.
        candidates: which candidate for its problem each is: the likeliest for 0, drawn for all others.
        attempt: number of earlier draws of the same candidates.
    """
    task = JsonTask()
    model, budget = load(denoiser, task, loops), budget or Budget(forwards=FORWARDS)
    seeds = [seed + n for n in range(len(problems))] if isinstance(seed, int) else seed
    numbers = candidates or [0] * len(problems)
    policies = [
        candidate_policy(model.policy, number, attempt, problem.is_open_ended)
        for number, problem in zip(numbers, problems, strict=True)
    ]
    run = FillRun(task, model, policies, seeds, batch, watch)
    if not model.uses_slots:
        yield from run.fill_plain(problems, range(len(problems)), budget)
        return
    started = time.perf_counter()
    laid_out, spent = run.choose_layouts(problems, budget)
    budget = budget.remaining(Counters(seconds=time.perf_counter() - started))
    with_layout = defaultdict(list)  # forwards spent on choosing the layout -> indices of problems
    for index, (chosen, problem) in enumerate(zip(laid_out, problems, strict=True)):
        if chosen is not problem:
            with_layout[spent[index].forwards].append(index)
    for forwards, indices in sorted(with_layout.items()):
        first, second = budget.remaining(Counters(forwards=forwards)).split(2)
        failed = list[int]()
        # First try the layout, in which each value has its own slot ...
        for index, outcome in run.outcomes(laid_out, indices, first):
            spent[index] += outcome.counters
            is_late = budget.seconds is not None and outcome.counters.seconds >= budget.seconds
            if outcome.status == "solved" or (outcome.status == "exhausted" and is_late):
                yield index, run.result(laid_out[index], outcome, spent[index], budget)
            else:
                failed.append(index)
        # ... then the plain canvas, because a slot may have been too small.
        for index, outcome in run.outcomes(problems, failed, second):
            yield index, run.result(problems[index], outcome, spent[index] + outcome.counters, budget)
    plain = [index for index, problem in enumerate(problems) if laid_out[index] is problem]
    yield from run.fill_plain(problems, plain, budget)


@dataclass(frozen=True)
class FillRun:
    """The settings that all problems of one call share.

    Attributes:
        task: the JSON task.
        model: the denoiser.
        policy: the loop's policy for all problems, or one for each.
        seeds: one for each problem.
        batch: canvases per call of the denoiser.
        watch: called with (index, step) after every forward, or None.
    """

    task: JsonTask
    model: Denoiser
    policy: Policy | Sequence[Policy]
    seeds: Sequence[int]
    batch: int = 64
    watch: Watch | None = None

    def policy_of(self, index: int) -> Policy:
        return self.policy if isinstance(self.policy, Policy) else self.policy[index]

    def fill_plain(
        self, problems: Sequence[JsonProblem], indices: Sequence[int], budget: Budget
    ) -> Iterator[tuple[int, Candidate | FillError]]:
        """Fill the problems at ``indices`` on the canvas that they describe."""
        for index, outcome in self.outcomes(problems, indices, budget):
            yield index, self.result(problems[index], outcome, outcome.counters, budget)

    def choose_layouts(
        self, problems: Sequence[JsonProblem], budget: Budget | None = None
    ) -> tuple[list[JsonProblem], list[Counters]]:
        """Choose a layout for each problem, and return the laid-out problems and the cost of choosing.

        Where there are several, as for a union of objects, each is drafted once and the one with the most
        confident draft is taken. A problem without a layout, or with more layouts than half of the forwards
        of ``budget``, is returned unchanged. Half of its seconds may be spent.
        """
        deadline = Deadline.after(None if budget is None or budget.seconds is None else budget.seconds / 2)
        options = [problem.layouts(deadline.remaining()) or (problem,) for problem in problems]
        if budget is not None and budget.forwards is not None:
            most = max(1, budget.forwards // 2)
            pairs = zip(options, problems, strict=True)
            options = [laid_out if len(laid_out) <= most else (problem,) for laid_out, problem in pairs]
        chosen, spent = [laid_out[0] for laid_out in options], [Counters() for _ in problems]
        contested = [
            (n, option) for n, laid_out in enumerate(options) if len(laid_out) > 1 for option in laid_out
        ]
        drafted = [option for _, option in contested]
        best = dict[int, float]()
        policies = [self.policy_of(n).with_(temperature=0.0) for n, _ in contested]
        seeds = [self.seeds[n] for n, _ in contested]
        unwatched = replace(self, watch=None, policy=policies, seeds=seeds)
        limits = Budget(forwards=1, seconds=deadline.remaining())
        for index, outcome in unwatched.outcomes(drafted, range(len(drafted)), limits):
            n, option = contested[index]
            spent[n] += outcome.counters
            score = draft_score(option, outcome)
            if score > best.get(n, -np.inf):
                chosen[n], best[n] = option, score
            if deadline.remaining() == 0.0:
                break
        return chosen, spent

    def outcomes(
        self, problems: Sequence[JsonProblem], indices: Sequence[int], budget: Budget
    ) -> Iterator[tuple[int, Outcome]]:
        """Run the loop on the problems at ``indices``, those of one length together."""
        by_length = defaultdict(list)
        for index in indices:
            by_length[problems[index].num_cells].append(index)
        for _, group in sorted(by_length.items()):
            seeds, chosen = [self.seeds[index] for index in group], [problems[index] for index in group]
            policies = [self.policy_of(index) for index in group]
            batch = min(
                self.batch, max(1, WIDEST // chosen[0].num_cells) ** 2
            )  # attention needs L x L numbers
            run = solve(self.task, chosen, self.model, policies, budget, seeds, batch)
            limit = None if budget.seconds is None else budget.seconds * -(-len(group) // batch)
            for n, event in within_limit(run, chosen, limit):
                if isinstance(event, Outcome):
                    yield group[n], event
                elif self.watch is not None:
                    self.watch(group[n], event)

    def result(
        self, problem: JsonProblem, outcome: Outcome, counters: Counters, budget: Budget
    ) -> Candidate | FillError:
        """Return an outcome as a candidate, or as the error that explains why there is no candidate."""
        text = self.task.decode(problem, outcome.tokens)
        error: FillError
        match outcome.status:
            case "solved":
                return Candidate(
                    text,
                    value=json.loads(text),
                    status="solved",
                    score=mean_log_probability(outcome.confidence[~problem.given[1]]),
                    confidence=outcome.confidence,
                    tokens=outcome.tokens,
                    fills=fills_of(problem, outcome),
                    counters=counters,
                    declined=tuple(sorted(problem.compiler.declined)),
                    by_rule=self.task.by_rule(problem, outcome.tokens),
                    strategy=outcome.strategy,
                    evidence=FieldEvidence.of_run(self.task, self.model, problem, outcome.tokens),
                )
            case "unsatisfiable":
                error = UnsatisfiableSchema(
                    "no value of this schema fits the template (proven); change one or the other"
                )
            case _:
                messages = tuple(violation.message for violation in outcome.violations)
                is_late = budget.seconds is not None and counters.seconds >= budget.seconds
                if not is_late and not projection.is_possible(
                    problem.unrolled, problem.slots, *problem.given
                ):
                    messages = (
                        "no text with the property orders that were tried fits the template (not a proof)",
                    )
                cause = problem.unenforced_error(text)
                error = (
                    BudgetExhausted(text, messages, budget.reached(counters))
                    if cause is None
                    else UnsupportedSchema(*cause, text)
                )
        error.forwards, error.seconds = counters.forwards, counters.seconds
        return error
