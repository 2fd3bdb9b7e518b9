"""The result of ``solver.fill``, ``solver.edit``, ``solver.repair`` and ``solver.generate``.

>>> worse = Candidate("[1]", value=[1], status="solved", score=-2.0)
>>> best = rank([worse, Candidate("[2]", value=[2], status="solved", score=-0.5)])
>>> best
Candidate('[2]', solved, score=-0.50, 0 forwards, 1 alternative)
>>> best.alternatives[0].value
[1]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.loop.policy import Policy
from solver.loop.trace import Counters, StrategyName
from solver.tasks.task import EMPTY, Tokens, Violation

if TYPE_CHECKING:
    from solver.api.fields import Field, FieldEvidence

HEAT = 0.05  # by which the temperature rises with the candidate
RETRY_FACTOR = 2.0  # by which it is multiplied with each attempt: some models are certain by 25 nats
ATTEMPTS = 5  # draws of a candidate at most
SHOWN = 60  # characters of the text in the repr
TINY = 1e-9  # lower bound on probabilities before the logarithm


@dataclass(frozen=True, eq=False, repr=False)
class Candidate:
    """One answer; the public functions return the best one, with all others as its alternatives.

    Attributes:
        text: the answer. For edit and repair, the new source.
        value: the JSON value of the text (fill, and generate with a schema), else None. Where ``fill``
            was given a type, the object of this type.
        status: "solved" if the checks accepted the text, else "exhausted". For edit and repair,
            "solved" means that the source compiles and passes the user's check. Undefined names do not affect
            it, although ``CodeTask.verify`` refuses them: look for violations with rule "name".
        score: log-probability in nats by which candidates are ordered: the mean over the open cells for fill,
            generate and repair; for edit, whose candidates differ in length, the sum over the holes' tokens.
        confidence: probability of the token in each cell (L,), 1 where the cell is pinned. Empty for repair.
        tokens: the canvas (L,), or all canvases of a long text one after another. Empty for repair.
        violations: the rules that the text breaks. For edit and repair also undefined names, even of a solved
            candidate.
        fills: the texts of the holes, in the order of the text.
        counters: cost of this candidate (fill, generate) or of the whole call (edit, repair).
        strategy: "model" if the denoiser found it, "search" if the search without the denoiser did.
        alternatives: the other candidates, best first.
        declined: keywords of the schema (fill) that the language could not express, so that the validator alone
            decided on them. Empty if every draft was valid by construction.
        by_rule: keywords of the schema (fill) that a rule fulfilled in this text, in place of the denoiser:
            "uniqueItems" if a matching gave the items of an array different values.
        evidence: what the probabilities of fields are computed from (fill), or None.
    """

    text: str
    value: Any = None
    status: Literal["solved", "exhausted"] = "exhausted"
    score: float = -np.inf
    confidence: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    tokens: Tokens = field(default_factory=EMPTY.copy)
    violations: tuple[Violation, ...] = ()
    fills: tuple[str, ...] = ()
    counters: Counters = field(default_factory=Counters)
    strategy: StrategyName | None = None
    alternatives: tuple[Candidate, ...] = ()
    declined: tuple[str, ...] = ()
    by_rule: tuple[str, ...] = ()
    evidence: FieldEvidence | None = None

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """This candidate and its alternatives."""
        return (self, *self.alternatives)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the value by JSON pointer (fill), each computed when first asked for."""
        from solver.api.fields import Fields

        return {} if self.evidence is None else Fields(self.evidence)

    @cached_property
    def probability(self) -> float | None:
        """The probability of the whole record (fill), or None."""
        return None if self.evidence is None else self.evidence.probability

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= SHOWN else self.text[: SHOWN - 3] + "..."
        parts = [repr(text), self.status, f"score={self.score:.2f}", f"{self.counters.forwards} forwards"]
        if self.violations:
            parts.append(f"violations: {'; '.join(violation.message for violation in self.violations[:3])}")
        if self.alternatives:
            count = len(self.alternatives)
            parts.append(f"{count} alternative{'s' * (count > 1)}")
        return f"Candidate({', '.join(parts)})"


def candidate_policy(policy: Policy, number: int, attempt: int = 0, is_open_ended: bool = False) -> Policy:
    """Return the policy of one of several candidates: the first is the likeliest, the others are drawn.

    The likeliest long text repeats a few characters (Holtzman et al. 2020, "The curious case of neural text
    degeneration"), so open-ended ones are all drawn.

    Args:
        policy: of the call.
        number: of the candidate, from 0.
        attempt: number of earlier draws, which gave a text that another candidate has.
        is_open_ended: whether the text is long and nothing determines its values.
    """
    if number == attempt == 0 and not is_open_ended:
        return policy
    if not policy.remask.keep_visible:  # every forward draws all cells anyway
        return policy.with_(sample=True)
    return policy.with_(sample=True, temperature=(1.0 + HEAT * number) * RETRY_FACTOR**attempt)


def repeats(texts: Sequence[str | None]) -> list[int]:
    """Return the indices of texts that occur before, None aside.

    >>> repeats(["a", "b", "a", None, None])
    [2]
    """
    return [n for n, text in enumerate(texts) if text is not None and text in texts[:n]]


def unlike(values: Iterable[Any]) -> Callable[[Any], bool]:
    """Return a check that refuses JSON values which are written like one of ``values``.

    >>> unlike([1, "a"])(True), unlike([1, "a"])(1)
    (True, False)
    """
    taken = {json.dumps(value) for value in values}
    return lambda value: json.dumps(value) not in taken


def by_status_and_score(candidate: Candidate) -> tuple[bool, float]:
    """Sort key: solved candidates first, then by score, highest first."""
    return candidate.status != "solved", -candidate.score


def rank(candidates: Sequence[Candidate], key: Callable[[Candidate], Any] = by_status_and_score) -> Candidate:
    """The best candidate by ``key``, with the others as its alternatives; equal ones keep their order."""
    best, *others = sorted(candidates, key=key)
    return replace(best, alternatives=tuple(others))


def mean_log_probability(probabilities: NDArray[Any]) -> float:
    """The mean logarithm of ``probabilities`` (N,); 0 where there are none."""
    return float(np.log(np.maximum(probabilities, TINY)).mean()) if len(probabilities) else 0.0
