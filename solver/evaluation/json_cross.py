"""Fields that depend on each other, which no automaton says: share solved against what it costs, all arms.

    python -m solver evaluate json --sections cross --out results

invoice: the lines are given, and the total that stands *before* them is wanted.  check digit: the last digit of a code is the sum
of the others modulo ten.  unique: a list whose second half is given, and no word stands twice. The predicate (or the validator)
says what is wrong and where; denoisers have those bytes re-masked, the baseline draws again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solver.baseline.json import Page, middle_prompt
from solver.evaluation.json_arms import SEED, Answer, again, in_the_loop
from solver.evaluation.json_content import share
from solver.evaluation.statistics import solved_within
from solver.models.json_network import JsonNetwork
from solver.tasks.checks import Check
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import TOTALS, closed_object, english_words, pick
from solver.tasks.task import Violation
from solver.tasks.text import Hole

Row = dict[str, Any]
Run = Callable[[], list[Answer]]
FORWARDS, TRIES = 200, 50
BUDGETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # GFLOP


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A form with one hole of so many cells, and the text on both sides of it. exact: the hole has to be filled to the end."""

    form: JsonProblem
    before: str
    cells: int
    after: str
    exact: bool

    @staticmethod
    def of(
        schema: dict[str, Any],
        before: str,
        cells: int,
        after: str,
        check: Sequence[Check[Any]] = (),
        exact: bool = True,
    ) -> Puzzle:
        return Puzzle(
            JsonProblem.of(schema, template=[before, Hole(cells), after], checks=check),
            before,
            cells,
            after,
            exact,
        )

    def whole(self, middle: str) -> str:
        return self.before + middle + self.after


def adds_up(instance: Any) -> Iterator[Violation]:
    """The first field is the sum of the second, a list."""
    (name, total), (_, lines) = instance.items()
    if total != sum(lines):
        yield Violation(f"{total} is not {sum(lines)}", path=f"/{name}")


def has_check_digit(instance: Any) -> Iterator[Violation]:
    """The last digit of the only field is the sum of the others modulo ten."""
    ((name, code),) = instance.items()
    if int(code[-1]) != sum(map(int, code[:-1])) % 10:
        yield Violation(f"{code} has a wrong check digit", path=f"/{name}")


def invoice(rng: np.random.Generator, pool: tuple[str, ...]) -> Puzzle:
    name, lines = pick(rng, pool), rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
    total = pick(rng, TOTALS)
    schema = closed_object(
        {total: {"type": "integer"}, name: {"type": "array", "items": {"type": "integer"}}}
    )
    return Puzzle.of(
        schema, f'{{"{total}":', 10, f',"{name}":[{",".join(map(str, lines))}]}}', [adds_up], exact=False
    )


def check_digit(rng: np.random.Generator, pool: tuple[str, ...]) -> Puzzle:
    name, digits = pick(rng, pool), rng.integers(0, 10, 6).tolist()
    schema = closed_object({name: {"type": "string", "pattern": "^[0-9]{7}$"}})
    return Puzzle.of(schema, f'{{"{name}":"{"".join(map(str, digits))}', 1, '"}', [has_check_digit])


def unique(rng: np.random.Generator, pool: tuple[str, ...]) -> Puzzle:
    name, among = pick(rng, pool), [pool[int(at)] for at in rng.permutation(len(pool))[:6]]
    schema = closed_object(
        {name: {"type": "array", "items": {"enum": among}, "minItems": 6, "maxItems": 6, "uniqueItems": True}}
    )
    given = [among[int(at)] for at in rng.permutation(6)[:3]]
    rest = [word for word in among if word not in given]
    cells = sum(len(word) + 2 for word in rest) + 2
    after = "".join(f',"{word}"' for word in given)
    return Puzzle.of(schema, f'{{"{name}":[', cells, f"{after}]}}")


KINDS: dict[str, Callable[[np.random.Generator, tuple[str, ...]], Puzzle]] = {
    "invoice": invoice,
    "check digit": check_digit,
    "unique": unique,
}


def arms(
    some: Sequence[Puzzle], network: JsonNetwork | None, baseline: JsonNetwork | None, forwards: int
) -> dict[str, Run]:
    """Who solves them."""
    forms = [puzzle.form for puzzle in some]
    of = {id(puzzle.form): puzzle for puzzle in some}
    found: dict[str, Run] = {}

    def left(form: JsonProblem) -> Page:
        before = of[id(form)].before.encode()
        return Page(form.prompt, len(before) + of[id(form)].cells, before)

    def middle(form: JsonProblem) -> Page:
        puzzle = of[id(form)]
        return Page(middle_prompt(form.prompt, puzzle.before.encode(), puzzle.after.encode()), puzzle.cells)

    def from_left(form: JsonProblem, text: str) -> str:
        puzzle = of[id(form)]
        written = text[len(puzzle.before) :]
        return puzzle.whole(written if puzzle.exact else written.split(puzzle.after[:1], 1)[0])

    if network is not None:
        found["diffusion"] = lambda: in_the_loop(network, forwards)(forms)
        found["diffusion, no re-masking"] = lambda: in_the_loop(network, 1)(forms)
    if baseline is not None:
        found[f"ar, {TRIES} tries"] = lambda: again(baseline, forms, left, from_left, TRIES, 1.0)
        found[f"ar-fim, {TRIES} tries"] = lambda: again(
            baseline, forms, middle, lambda form, text: of[id(form)].whole(text), TRIES, 1.0
        )
    found["random"] = lambda: in_the_loop("random", forwards)(forms)
    found["prior"] = lambda: in_the_loop("prior", forwards)(forms)
    return found


def cross(
    network: JsonNetwork | None, baseline: JsonNetwork | None, count: int, forwards: int = FORWARDS
) -> Iterator[Row]:
    """Share solved by every arm, by GFLOP and by forwards."""
    pool = english_words(reserved=True)
    for kind, make in KINDS.items():
        rng = np.random.default_rng(SEED)
        some = [make(rng, pool) for _ in range(count)]
        for name, run in arms(some, network, baseline, forwards).items():
            started = time.perf_counter()
            answers = run()
            seconds = time.perf_counter() - started
            solved = np.array([answer.solved for answer in answers])
            gflop, count_of = [answer.gflop for answer in answers], [answer.forwards for answer in answers]
            within = solved_within(gflop, solved, BUDGETS)
            yield {
                "section": "cross",
                "file": kind,
                "arm": name,
                "seed": 0,
                "puzzles": count,
                **share("solved", solved),
                "within_gflop": {f"{b:g}": round(float(s), 4) for b, s in zip(BUDGETS, within, strict=True)},
                "forwards_mean": round(float(np.mean(count_of)), 2),
                "gflop_mean": round(float(np.mean(gflop)), 4),
                "ms": round(1e3 * seconds / count, 2),
            }
