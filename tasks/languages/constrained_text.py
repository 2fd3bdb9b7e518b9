"""Text in a language model's tokens that must match a regular expression or a JSON schema.

``solver.generate(..., schema=...)`` and ``solver.generate(..., regex=...)`` build this task. The check alone:

>>> check = pattern_check("[a-z]+!", None)
>>> list(check(Draft("hello!"))), list(check(Draft("Hello")))
([], ["does not match '[a-z]+!'"])
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels.lattice import Slots
from solver.tasks.arguments import Check, run_check
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.errors import CanvasTooSmall, TemplateMismatch
from solver.tasks.json_schema.validator import character_spans, repeated_names, resolve_pointer
from solver.tasks.languages.assembly import UNREACHABLE
from solver.tasks.languages.projection import Projection
from solver.tasks.languages.regex import matches
from solver.tasks.languages.regex_parser import fullmatch
from solver.tasks.languages.token_automaton import TokenAutomaton, is_possible, project_tokens
from solver.tasks.languages.token_bytes import TokenBytes
from solver.tasks.languages.unroll import Unrolled
from solver.tasks.task import Mask, Tokens, Violation
from solver.tasks.text import Draft, Text, TextTask


class ConstrainedText(TextTask):
    """A :class:`TextTask` whose texts are those of a language.

    Args:
        vocab: number of tokens.
        decode: turns token ids into text.
        check: the user's check, or None.
        ends: tokens that end the text.
        allowed: bitmask of the tokens that open cells may hold; see :class:`TextTask`.
        unrolled: the language, over bytes.
        vocabulary: the bytes of every token.
        slots: cells (L,) that may hold a token that ends the text.
        markers: tokens that are no text; see :class:`TextTask`.
    """

    def __init__(
        self,
        vocab: int,
        decode: Callable[[list[int]], str],
        check: Check[Draft] | None,
        ends: frozenset[int],
        allowed: NDArray[np.int32] | None,
        unrolled: Unrolled,
        vocabulary: TokenBytes,
        slots: Slots,
        markers: Iterable[int] = (),
    ) -> None:
        super().__init__(vocab, decode, check, ends, allowed, markers)
        self.unrolled, self.vocabulary, self.slots = unrolled, vocabulary, slots

    def project(
        self,
        problem: Text,
        logits: Tensor | NDArray[np.float32],
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Projection | None:
        """Condition the model's distributions (L, V) on the language and on the ``settled`` cells."""
        return project_tokens(
            self.unrolled,
            self.vocabulary,
            self.slots,
            logits,
            tokens,
            settled,
            sorted(self.ends),
            rng,
            literal=problem.pinned,
        )

    def check_fit(self, problem: Text) -> None:
        """Check that a text of the language fits into the canvas, with its literals.

        Raises:
            CanvasTooSmall: the shortest text has more tokens than the canvas.
            TemplateMismatch: no text has the literals, and holes of these sizes.
            InvalidArgument: the tokenizer has no tokens for any text.
        """
        language, ends = (self.unrolled, self.vocabulary, self.slots), sorted(self.ends)
        if is_possible(*language, problem.tokens, problem.pinned, ends):
            return
        spanning = self.vocabulary.spanning(self.unrolled.automaton)
        over_tokens = TokenAutomaton.build(
            self.unrolled, self.vocabulary, spanning, np.zeros(0, np.int64), 1 << 20
        )
        minimum = int(over_tokens.automaton.rest[0])
        if problem.literals:
            raise TemplateMismatch
        if minimum >= UNREACHABLE:
            raise InvalidArgument("this tokenizer has no tokens for any text of the schema or pattern")
        raise CanvasTooSmall(max(len(problem.tokens) + 1, minimum), len(problem.tokens), "tokens")


def schema_check(validator: Any, user_check: Check[Draft] | None) -> Check[Draft]:
    """A check that locates the schema validator's errors in the text, then runs the user's check."""

    def check(draft: Draft) -> Iterator[Violation | str]:
        try:
            instance, spans = json.loads(draft.text), character_spans(draft.text)
        except (ValueError, RecursionError) as syntax_error:
            yield f"not JSON: {syntax_error}"
            return
        for error in validator.iter_errors(instance):
            span = spans.get(tuple(error.instance_path), spans[()])
            yield Violation(error.message, rule="schema", span=span)
        for path in repeated_names(draft.text.encode()):
            yield Violation("a name stands twice", rule="schema", span=spans[path])
        for violation in run_check(user_check, draft):
            if violation.span is None and violation.path is not None:
                value = resolve_pointer(violation.path, instance)
                violation = replace(violation, span=spans.get(value, spans[()]))
            yield violation

    return check


def pattern_check(pattern: str, user_check: Check[Draft] | None) -> Check[Draft]:
    """A check that the whole text matches ``pattern``, and then the user's check."""
    term = fullmatch(pattern)

    def check(draft: Draft) -> Iterator[Violation | str]:
        if not matches(term, draft.text):
            yield f"does not match {pattern[:80]!r}"
        yield from run_check(user_check, draft)

    return check
