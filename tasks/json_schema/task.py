"""Text that satisfies a JSON Schema, as a task for the refine loop.

>>> task, problem = JsonTask(), JsonProblem.of({"type": "integer"}, length=4)
>>> tokens = np.array([*b"12", BLANK, BLANK])
>>> task.verify(problem, tokens), task.decode(problem, tokens)
(True, '12')

Tokens are bytes, and BLANK after the text that fills a hole. Every draft is a text of the schema's language,
which is exact as far as an automaton can be. The validator has the last word: what it refuses is blamed on
the bytes of the value in question.
"""

import json
from collections import deque
from dataclasses import replace
from decimal import Decimal
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.tasks.arguments import run_check
from solver.tasks.json_schema.distinct import distinct_draft
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.validator import (
    byte_spans,
    load_json,
    repeated_arrays,
    resolve_pointer,
    text_errors,
)
from solver.tasks.languages import projection
from solver.tasks.languages.projection import BLANK, Projection
from solver.tasks.task import Canvas, Mask, Tokens, Violation, once_per_draft

MAX_REFUSED = 1024  # refused drafts that are not drawn again
MAX_MATCHED = 64  # drafts that are remembered as changed by a matching
MAX_FAILURES = 16  # matchings of distinct items in a row after which no more are tried
BLAME_PENALTY = 2.0  # nats that a blamed byte is less likely in its cell, for each time it was blamed
VOCAB = BLANK + 1


class DraftMemory:
    """The drafts of one problem that the validator refused.

    Attributes:
        refused: the latest of them.
        penalty: nats (L, V) to subtract from the logits. A blamed byte stays possible, as other cells may
            change.
        has_repeats: whether one of them had repeated items in an array of distinct ones.
        failures: the latest matchings of distinct items, all in vain.
        matched: the latest drafts that a matching changed.
        logits: the denoiser's last prediction (L, V), in each cell that without its token.
    """

    def __init__(self) -> None:
        self.refused: tuple[Tokens, ...] = ()
        self.penalty: NDArray[np.float32] | None = None
        self.has_repeats = False
        self.failures = 0
        self.matched = deque[bytes](maxlen=MAX_MATCHED)
        self.logits: Tensor | None = None

    def refuse(self, tokens: Tokens, violations: tuple[Violation, ...]) -> None:
        """Remember a draft (L,) and penalise the bytes that its violations blame."""
        self.refused = (*self.refused[1 - MAX_REFUSED :], tokens.copy())
        if self.penalty is None:
            self.penalty = np.zeros((len(tokens), VOCAB), np.float32)
        for violation in violations:
            cells = list(violation.cells)
            self.penalty[cells, tokens[cells]] += BLAME_PENALTY


class JsonTask:
    """Fills the canvases of :class:`~solver.tasks.json_schema.problem.JsonProblem`."""

    name = "json"
    vocab = VOCAB

    def __init__(self) -> None:
        self._memories: WeakKeyDictionary[JsonProblem, DraftMemory] = WeakKeyDictionary()

    def encode(self, problem: JsonProblem) -> Canvas:
        """The template's bytes pinned, holes as slots, schema and text as prompt."""
        tokens, pinned = problem.given
        prompt = np.frombuffer(problem.prompt, np.uint8).astype(np.int64)
        return Canvas(
            tokens,
            pinned,
            pinned.copy(),
            self.vocab,
            prompt=prompt,
            slots=problem.holes,
            blank=BLANK,
            problem=problem,
        )

    def project(
        self,
        problem: JsonProblem,
        logits: Tensor | NDArray[np.float32],
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Projection | None:
        """Condition ``logits`` (L, V) on the language, the ``settled`` cells (L,) and the refused drafts.

        Once a draft has been refused for repeated items, a matching makes them distinct (distinct.py).
        """
        memory = self._memory(problem)
        logits = logits if isinstance(logits, np.ndarray) else logits.cpu().numpy()
        if memory.penalty is not None and rng is None:  # a draw differs from the refused drafts anyway
            logits = logits - memory.penalty
        language = problem.unrolled, problem.slots
        found = projection.project(*language, logits, tokens, settled, rng, memory.refused, problem.layers)
        if found is None or not memory.has_repeats or memory.failures > MAX_FAILURES:
            return found
        drawn = projection.draws(
            *language, logits, tokens, settled, rng or np.random.default_rng(len(memory.refused))
        )
        original = found.best if rng is None else found.sample
        draft = distinct_draft(
            original,
            settled,
            problem.slots,
            partial(repeated_arrays, problem.validator),
            drawn,
        )
        if draft is None or not projection.is_possible(*language, draft, np.ones_like(settled)):
            memory.failures += 1
            return replace(found, is_refused=True)
        memory.failures = 0
        if draft is not original:
            memory.matched.append(draft.tobytes())
        return replace(found, best=draft, sample=draft)

    def check(self, problem: JsonProblem, tokens: Tokens, known: Mask) -> list[Violation]:
        """Check a whole draft with the validator and the user's checks, a part of one with the language.

        A violation of the language has a reason where the language is complete.
        """
        if known.all():
            violations = self._violations(problem, tokens)
            memory = self._memory(problem)
            memory.refuse(tokens, violations)
            if violations and not memory.has_repeats:
                memory.has_repeats = has_repeated_items(problem, text_bytes(tokens))
            return list(violations)
        if projection.is_possible(problem.unrolled, problem.slots, tokens, known):
            return []
        settled = frozenset(np.flatnonzero(known).tolist())
        reason = settled if problem.unrolled.complete else None
        message = "no text of the schema has these bytes"
        return [Violation(message, cells=tuple(settled), rule="language", reason=reason)]

    def verify(self, problem: JsonProblem, tokens: Tokens) -> bool:
        """Whether the draft keeps the template, has BLANK only at the ends of holes, and violates nothing."""
        given, pinned = problem.given
        blank, slots = tokens == BLANK, problem.slots
        is_last_text = np.append(blank[1:], True)
        keeps_blanks = (~blank | (slots.inside & (slots.last | is_last_text))).all()
        keeps_template = (tokens[pinned] == given[pinned]).all()
        return bool(keeps_blanks and keeps_template) and not self._violations(problem, tokens)

    def decode(self, problem: JsonProblem, tokens: Tokens) -> str:
        """The text."""
        return text_bytes(tokens).decode(errors="replace")

    def remember(self, problem: JsonProblem, logits: Tensor, known: Mask) -> None:
        """Remember the denoiser's last prediction (L, V), in each cell that in which it did not see its token."""
        memory = self._memory(problem)
        if memory.logits is None:
            memory.logits = logits.clone()  # or it would keep those of the whole batch alive
        else:
            cells = torch.from_numpy(~known).to(logits.device)
            memory.logits[cells] = logits[cells]

    def take_logits(self, problem: JsonProblem) -> NDArray[np.float32] | None:
        """Return the denoiser's last prediction (L, V) and forget it; None before the first."""
        memory = self._memory(problem)
        logits, memory.logits = memory.logits, None
        return None if logits is None else logits.cpu().float().numpy()

    def by_rule(self, problem: JsonProblem, tokens: Tokens) -> tuple[str, ...]:
        """The keywords that a rule fulfilled in a draft (L,) in place of the denoiser."""
        return ("uniqueItems",) if tokens.tobytes() in self._memory(problem).matched else ()

    def frequencies(self) -> NDArray[np.float64]:
        """Relative frequencies (257,) of the bytes of JSON, and of BLANK, taken to fill half of all cells.

        Counted in the metaschemas of the JSON Schema drafts, which come with the validator.
        """
        import jsonschema_specifications

        schemas = (resource.contents for resource in jsonschema_specifications.REGISTRY.values())
        text = "".join(json.dumps(schema, separators=(",", ":")) for schema in schemas)
        counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=self.vocab) + 1.0
        counts[BLANK] = counts.sum()
        frequencies: NDArray[np.float64] = counts / counts.sum()
        return frequencies

    def _memory(self, problem: JsonProblem) -> DraftMemory:
        return self._memories.setdefault(problem, DraftMemory())

    @once_per_draft
    def _violations(self, problem: JsonProblem, tokens: Tokens) -> tuple[Violation, ...]:
        cells, pinned = np.flatnonzero(tokens != BLANK), problem.given[1]
        violations = []
        for (start, end), message in locate_errors(problem, text_bytes(tokens)):
            blamed = tuple(cell for cell in cells[start:end].tolist() if not pinned[cell])
            if blamed or message != INEXACT:  # a given number is taken as the double that it stands for
                violations.append(Violation(message, cells=blamed, rule="schema"))
        return tuple(violations)


def text_bytes(tokens: Tokens) -> bytes:
    """The bytes of a draft without its BLANKs."""
    return bytes(tokens[tokens != BLANK].astype(np.uint8))


INEXACT = "the number has more digits than a double holds"


def is_double(text: bytes) -> bool:
    """Whether a number as it is written is the double that readers make of it. Integers are read exactly.

    >>> is_double(b"0.1"), is_double(b"12345678901234567"), is_double(b"1234567890123456.75")
    (True, True, False)
    """
    if text[:1] not in b"-0123456789" or not set(b".eE").intersection(text):
        return True
    return Decimal(repr(float(text))) == Decimal(text.decode())


def has_repeated_items(problem: JsonProblem, text: bytes) -> bool:
    """Whether a text repeats items that have to differ, which the language does not know."""
    if "uniqueItems" not in problem.compiler.declined:
        return False
    try:
        return bool(repeated_arrays(problem.validator, text))
    except (ValueError, RecursionError):
        return False


def locate_errors(problem: JsonProblem, text: bytes) -> list[tuple[tuple[int, int], str]]:
    """List everything that is wrong with a text, as (start, end) in bytes and message."""
    try:
        spans = byte_spans(text)
        paths, instance = text_errors(problem.validator, text), load_json(text)
    except (ValueError, RecursionError) as error:
        return [((0, len(text)), f"not JSON: {error}")]
    located = [(spans.get(path, spans[()]), message) for path, message in paths]
    located += [(span, INEXACT) for span in spans.values() if not is_double(text[slice(*span)])]
    for check in problem.checks:
        for violation in run_check(check, instance):
            span = spans.get(resolve_pointer(violation.path or "", instance), spans[()])
            if violation.span is not None:  # in characters of the text
                start, end = (len(text.decode()[:index].encode()) for index in violation.span)
                span = start, end
            located.append((span, violation.message))
    return located
