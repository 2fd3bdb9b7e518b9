"""JSON that satisfies a schema, drawn from a text: ``solver.fill``.

    import solver
    found = solver.fill({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}, text="name: Ada")
    found.text, found.value              # the exact text, and what it says

The loop is ``refine.py``'s. Every draft is a text of the schema's language, the validator has the last word, and what it
refuses is re-masked. No instance is a typed error (:mod:`solver.tasks.json_schema.errors`), never an unverified text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models.protocol import Denoiser
from solver.models.registry import load
from solver.tasks.checks import Check
from solver.tasks.json_schema.errors import BudgetExhausted, FillError, UnsatisfiableSchema, UnsupportedSchema
from solver.tasks.json_schema.task import LENGTH, JsonProblem, JsonTask
from solver.tasks.languages import projection as language
from solver.tasks.languages.projection import BLANK
from solver.tasks.text import Hole

FORWARDS = 1000


@dataclass(frozen=True, eq=False)
class Filled:
    """An instance. text: exactly as it was written.  confidence (L,): of each cell, given that the text is valid.  score: the
    mean log-probability of the open cells.  counters: what it cost."""

    text: str
    confidence: np.ndarray
    score: float
    counters: Counters

    @property
    def forwards(self) -> int:
        return self.counters.forwards

    @property
    def seconds(self) -> float:
        return self.counters.seconds

    @property
    def value(self) -> Any:
        return json.loads(self.text)


def as_schema(schema: Any) -> Any:
    """A JSON schema, from one or from a pydantic model."""
    return schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema


def forms(
    forms: Sequence[JsonProblem],
    denoiser: str | Denoiser = "compact",
    budget: Budget | None = None,
    seed: int = 0,
    batch: int = 64,
    watch: Callable[[int, Step], None] | None = None,
    loops: int | None = None,
) -> Iterator[tuple[int, Filled | FillError]]:
    """Fill many forms, and give each with its number as soon as it is done. Those of one length go together."""
    task, budget = JsonTask(), budget or Budget(forwards=FORWARDS)
    model = load(denoiser, task, loops)
    policy = model.policy
    slotted = set[int]()
    if model.lays_out:  # first in slots of their own; what fails there, in the block as it is
        laid, spent = laid_out(task, forms, model, policy, seed, batch, budget.forwards)
        slotted = {n for n, (one, form) in enumerate(zip(laid, forms, strict=True)) if one is not form}
        for chosen in sorted(
            {spent[n].forwards for n in slotted}
        ):  # forwards that the choice of a layout took
            some = sorted(n for n in slotted if spent[n].forwards == chosen)
            first, second = budget.remaining(Counters(forwards=chosen)).split(2)
            failed = list[int]()
            for n, outcome in outcomes(task, laid, some, model, policy, first, seed, batch, watch):
                spent[n] += outcome.counters
                if outcome.status == "solved":
                    yield n, result(task, laid[n], outcome, spent[n])
                else:
                    failed.append(n)
            for n, outcome in outcomes(task, forms, failed, model, policy, second, seed, batch, watch):
                yield n, result(task, forms[n], outcome, spent[n] + outcome.counters)
    plain = sorted(set(range(len(forms))) - slotted)
    for n, outcome in outcomes(task, forms, plain, model, policy, budget, seed, batch, watch):
        yield n, result(task, forms[n], outcome, outcome.counters)


def laid_out(
    task: JsonTask,
    forms: Sequence[JsonProblem],
    model: Denoiser,
    policy: Policy,
    seed: int = 0,
    batch: int = 64,
    most: int | None = None,
) -> tuple[list[JsonProblem], list[Counters]]:
    """Lay each problem out in slots of its own (:meth:`JsonProblem.layouts`), or keep it where it has no layout.

    Of several layouts (an object of several kinds) the one is chosen whose first draft the denoiser is most confident
    of: the mean log-probability of the bytes that it wrote. Also returns the cost: one forward per layout, and no
    choice if that exceeds half of ``most``.
    """
    choices = [form.layouts() or (form,) for form in forms]
    if most is not None:
        choices = [
            some if len(some) <= max(1, most // 2) else (form,)
            for some, form in zip(choices, forms, strict=True)
        ]
    asked = [(n, one) for n, several in enumerate(choices) if len(several) > 1 for one in several]
    drafts = [one for _, one in asked]
    laid, sure, spent = [several[0] for several in choices], dict[int, float](), [Counters() for _ in forms]
    for at, outcome in outcomes(
        task, drafts, range(len(drafts)), model, policy, Budget(forwards=1), seed, batch, None
    ):
        n, one = asked[at]
        spent[n] += outcome.counters
        score = sureness(one, outcome)
        if score > sure.get(n, -np.inf):
            laid[n], sure[n] = one, score
    return laid, spent


def sureness(form: JsonProblem, outcome: Outcome) -> float:
    """The mean log-probability of the bytes in a draft's holes; 0 where it wrote none."""
    wrote = ~form.given[1] & (outcome.tokens != BLANK)
    return float(np.log(np.maximum(outcome.confidence[wrote], 1e-9)).mean()) if wrote.any() else 0.0


def outcomes(
    task: JsonTask,
    forms: Sequence[JsonProblem],
    numbers: Sequence[int],
    model: Denoiser,
    policy: Policy,
    budget: Budget,
    seed: int,
    batch: int,
    watch: Callable[[int, Step], None] | None,
) -> Iterator[tuple[int, Outcome]]:
    """The loop over the forms with these numbers."""
    for cells in sorted({forms[n].cells for n in numbers}):
        some = [n for n in numbers if forms[n].cells == cells]
        for at, event in solve(
            task, [forms[n] for n in some], model, policy, budget, [seed + n for n in some], batch
        ):
            if isinstance(event, Outcome):
                yield some[at], event
            elif watch is not None:
                watch(some[at], event)


def result(task: JsonTask, form: JsonProblem, outcome: Outcome, counters: Counters) -> Filled | FillError:
    """An outcome as an instance or as what kept it from being one. counters: what it cost in all."""
    if outcome.status == "solved":
        sure = outcome.confidence[~form.given[1]]
        score = float(np.log(np.maximum(sure, 1e-9)).mean()) if len(sure) else 0.0
        return Filled(task.decode(form, outcome.tokens), outcome.confidence, score, counters)
    error: FillError
    if outcome.status == "unsatisfiable":
        error = UnsatisfiableSchema(
            "no value of this schema fits the template (proven); change one or the other"
        )
    else:
        best = task.decode(form, outcome.tokens)
        unmet = form.unmet(best)
        wrong = tuple(v.message for v in outcome.violations)
        if not language.is_possible(form.unrolled, form.slots, *form.given):
            wrong = ("nothing fits the template in the orders of names that were tried, which is no proof",)
        error = BudgetExhausted(best, wrong)
        error = UnsupportedSchema(*unmet, best) if unmet is not None else error
    error.forwards, error.seconds = counters.forwards, counters.seconds
    return error


def fill(
    schema: Any,
    text: str = "",
    template: Sequence[str | Hole] | None = None,
    check: Check[Any] | None = None,
    length: int = LENGTH,
    denoiser: str | Denoiser = "compact",
    budget: Budget | None = None,
    seed: int = 0,
    candidates: int = 1,
    formats: bool = True,
    registry: Mapping[str, Any] | None = None,
) -> Filled | list[Filled]:
    """An instance of ``schema`` (a JSON schema, or a pydantic model), its values drawn from ``text``.

    template: literals, which stand in the instance byte for byte, and :class:`Hole` for what is to be written.
    check: called with the instance (solver.tasks.checks has what it may return). Only the parts it names are re-masked.
    length: bytes of the block.  candidates: above 1 a list, the best first.  formats: whether ``format`` is asserted.
    registry: other schemas by URI. Nothing is ever fetched.

    Raises SchemaError for what is no schema, and a :class:`~solver.tasks.json_schema.errors.FillError` where there is no
    instance.
    """
    checks = () if check is None else (check,)
    form = JsonProblem.of(as_schema(schema), text, template, length, checks, formats, registry)
    found = [
        done
        for _, done in sorted(
            forms([replace(form) for _ in range(candidates)], denoiser, budget, seed),
            key=lambda pair: pair[0],
        )
    ]
    good = sorted((one for one in found if isinstance(one, Filled)), key=lambda one: -one.score)
    if not good:
        error = found[0]
        assert isinstance(error, FillError)
        raise error
    return good if candidates > 1 else good[0]
