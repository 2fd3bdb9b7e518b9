"""Text of a language model's tokens that must be in a language: a regular expression, or a JSON schema.

task = ConstrainedText(text_task, unrolled, words, slots)        # solver.generate(..., schema=...) makes one
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Slots
from solver.tasks.canvas import Mask, Tokens
from solver.tasks.checks import Check, run_check
from solver.tasks.json_schema.errors import CanvasTooSmall
from solver.tasks.json_schema.source_map import character_spans, repeated_names, resolve_pointer
from solver.tasks.languages import regex
from solver.tasks.languages import regex_parser as patterns
from solver.tasks.languages import token_automaton as lifting
from solver.tasks.languages.projection import Projection
from solver.tasks.languages.unroll import Unrolled
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Text, TextTask


class ConstrainedText(TextTask):
    """A :class:`TextTask` whose texts are those of ``unrolled``; ``words``: the bytes of every token; ``slots`` (L,): where a
    token that ends may stand."""

    def __init__(
        self,
        vocab: int,
        decode: Callable[[list[int]], str],
        check: Check[Draft] | None,
        ends: frozenset[int],
        allowed: NDArray[np.int32] | None,
        unrolled: Unrolled,
        words: lifting.Words,
        slots: Slots,
    ) -> None:
        super().__init__(vocab, decode, check, ends, allowed)
        self.unrolled, self.words, self.slots = unrolled, words, slots

    def project(
        self,
        problem: Text,
        logits: NDArray[np.float32],
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Projection | None:
        """The model's distributions (L, V), conditioned on the language. Raises CanvasTooSmall where not even the pinned cells
        alone leave a text."""
        found = lifting.project(
            self.unrolled, self.words, self.slots, logits, tokens, settled, sorted(self.ends), rng
        )
        if found is None and not (settled & ~problem.pinned).any():
            raise CanvasTooSmall(self.fewest(problem), len(tokens), "tokens")
        return found

    def fewest(self, problem: Text) -> int:
        """Tokens of the shortest text, pins left aside."""
        every = np.array([token for token, text in enumerate(self.words.texts) if text], np.int64)
        lifted = lifting.lift(self.unrolled, self.words, every, np.zeros(0, np.int64), 1 << 20)
        return max(len(problem.tokens) + 1, int(lifted.automaton.rest[0]))


def schema_check(validator: Any, also: Check[Draft] | None) -> Check[Draft]:
    """A check that says what the schema's validator says, where it says it; then the user's own."""

    def check(draft: Draft) -> Iterator[Violation | str]:
        try:
            instance, where = json.loads(draft.text), character_spans(draft.text)
        except (ValueError, RecursionError) as error:
            yield f"not JSON: {error}"
            return
        for wrong in validator.iter_errors(instance):
            span = where.get(tuple(wrong.instance_path), where[()])
            yield Violation(wrong.message, rule="schema", span=span)
        for path in repeated_names(draft.text.encode()):
            yield Violation("a name stands twice", rule="schema", span=where[path])
        for violation in run_check(also, draft):
            if violation.span is None and violation.path is not None:
                value = resolve_pointer(violation.path, instance)
                violation = replace(violation, span=where.get(value, where[()]))
            yield violation

    return check


def pattern_check(pattern: str, also: Check[Draft] | None) -> Check[Draft]:
    """A check that the whole text matches; then the user's own."""
    term = patterns.fullmatch(pattern)

    def check(draft: Draft) -> Iterator[Violation | str]:
        if not regex.matches(term, draft.text):
            yield f"does not match {pattern[:80]!r}"
        yield from run_check(also, draft)

    return check
