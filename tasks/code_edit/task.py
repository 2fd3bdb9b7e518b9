"""Code edits as a task: holes in a Python source that must compile and use no undefined name.

>>> problem = EditProblem.of("def double(x):\\n    return x * \\n", [(30, 30)], [4])
>>> task = CodeTask()
>>> tokens = task.encode(problem).tokens.copy()
>>> tokens[problem.window.slots[0][0]] = problem.window.encode_fill(0, "2").item()
>>> task.verify(problem, tokens), task.decode(problem, tokens)
(True, 'def double(x):\\n    return x * 2\\n')

``verify`` compiles the whole new source with Python's own compiler. ``check`` locates the faults in the holes
(diagnostics.py) and blames the cells that wrote them, with more of their neighbours each time. None of this
is a proof, so violations have no reason: no code is impossible to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from solver.kernels import reference
from solver.tasks.arguments import Check, run_check
from solver.tasks.code_edit.diagnostics import Diagnostic, DiagnosticFinder
from solver.tasks.code_edit.lexer import Span, character_distance
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CELLS, CodeWindow, replace_spans
from solver.tasks.task import Canvas, Mask, Tokens, Violation, once_per_draft

# Neighbours on either side that are re-masked with the blamed cells, by how often the hole was blamed; then
# all cells.
BLAME_MARGINS = (0, 1, 3)


@dataclass(frozen=True, eq=False)
class EditProblem:
    """A source with holes to be filled.

    Attributes:
        window: what the canvas shows of the source.
        names: whether undefined names and wrong formats are violations.
        defined: names that are defined elsewhere.
        exact: whether each hole's text must be as long as its slot.
        check: the user's check, called with each new source that compiles.
        finder: finds the diagnostics of a new source.
    """

    window: CodeWindow
    names: bool = True
    defined: frozenset[str] = frozenset()
    exact: bool = False
    check: Check[str] | None = None
    finder: DiagnosticFinder = field(init=False)

    def __post_init__(self) -> None:
        finder = DiagnosticFinder(self.window.source, self.window.spans, self.defined)
        object.__setattr__(self, "finder", finder)

    @staticmethod
    def of(
        source: str,
        spans: Sequence[Span],
        capacities: Sequence[int],
        cells: int = CELLS,
        names: bool = True,
        defined: Iterable[str] = (),
        exact: bool = False,
        check: Check[str] | None = None,
    ) -> EditProblem:
        """Build a problem from a source. The arguments are those of :meth:`CodeWindow.of` and the attributes.

        Raises:
            WindowError: the holes do not fit a window of ``cells``.
        """
        window = CodeWindow.of(source, spans, capacities, cells)
        return EditProblem(window, names, frozenset(defined), exact, check)

    @cached_property
    def allowed(self) -> NDArray[np.int32]:
        """Bitmask (L, W) of allowed tokens:

        no sentinel in a hole, and no BLANK either if it must fill its slot.
        """
        vocabulary = Vocabulary.load()
        allowed = torch.ones(2, vocabulary.size, dtype=torch.bool)  # of pinned and of open cells
        allowed[:, list(vocabulary.sentinels)] = False
        allowed[1, vocabulary.blank] = not self.exact
        bitmask: NDArray[np.int32] = reference.pack(allowed).numpy()[(~self.window.pinned).astype(int)]
        return bitmask

    def filled(self, tokens: Tokens) -> tuple[str, tuple[Span, ...]]:
        """The new source that full ``tokens`` (L,) write, and the spans of the holes' texts in it."""
        return replace_spans(self.window.source, self.window.spans, self.window.fill_texts(tokens))

    def diagnostics(self, text: str, spans: Sequence[Span]) -> list[Diagnostic]:
        """The faults of a source with fills at ``spans``: those of the compiler, else of names, else of the check.

        A violation of the check without a span is blamed on every hole.
        """
        diagnostics = self.finder.find(text, spans, self.names)
        if diagnostics:
            return diagnostics
        return [
            Diagnostic(span, violation.rule, violation.message, outside=violation.span is None)
            for violation in run_check(self.check, text)
            for span in (spans if violation.span is None else [violation.span])
        ]


class CodeTask:
    """The task of :class:`EditProblem`.

    Tokens are those of the vocabulary; BLANK follows the text of a hole.
    """

    name = "code"

    def __init__(self) -> None:
        self.vocab = Vocabulary.load().size
        self._blame_counts: WeakKeyDictionary[EditProblem, list[int]] = WeakKeyDictionary()  # per hole

    def encode(self, problem: EditProblem) -> Canvas:
        window = problem.window
        return Canvas(
            window.tokens.copy(),
            window.pinned.copy(),
            window.pinned.copy(),
            self.vocab,
            allowed=problem.allowed,
            slots=window.slots,
            blank=Vocabulary.load().blank,
        )

    def check(self, problem: EditProblem, tokens: Tokens, known: Mask) -> list[Violation]:
        """The faults of a full draft, each blamed on cells of one hole.

        A partly known draft is not judged.
        """
        if not known.all():
            return []
        spans = problem.filled(tokens)[1]
        cell_spans = problem.window.cell_spans(tokens)
        counts = self._blame_counts.setdefault(problem, [0] * len(spans))
        earlier_counts, violations = counts.copy(), list[Violation]()
        for diagnostic in self._diagnostics(problem, tokens):
            hole = min(range(len(spans)), key=lambda n: character_distance(spans[n], diagnostic.span))
            counts[hole] = earlier_counts[hole] + 1  # two faults of one draft count as one
            slot_start, text_start = problem.window.slots[hole][0], spans[hole][0]
            cells, excluded = blame_cells(diagnostic, text_start, cell_spans[hole], counts[hole])
            violations.append(
                Violation(
                    diagnostic.message,
                    cells=tuple(slot_start + cell for cell in cells),
                    rule=diagnostic.rule,
                    excluded=tuple(slot_start + cell for cell in excluded),
                )
            )
        return violations

    def verify(self, problem: EditProblem, tokens: Tokens) -> bool:
        """Whether the pinned cells are unchanged and the new source has no diagnostic."""
        pinned = problem.window.pinned
        unchanged = bool((tokens[pinned] == problem.window.tokens[pinned]).all())
        return unchanged and not self._diagnostics(problem, tokens)

    def decode(self, problem: EditProblem, tokens: Tokens) -> str:
        """The new source."""
        return problem.filled(tokens)[0]

    @once_per_draft
    def _diagnostics(self, problem: EditProblem, tokens: Tokens) -> list[Diagnostic]:
        return problem.diagnostics(*problem.filled(tokens))


def blame_cells(
    diagnostic: Diagnostic, text_start: int, cell_spans: Sequence[Span], count: int
) -> tuple[list[int], list[int]]:
    """The cells of a hole to re-mask for a diagnostic, and those whose tokens should not be drafted again.

    Blamed are the cells that write the characters of the diagnostic, and their neighbours: more each time, in
    the end the whole hole. If the fault shows outside, the hole lacks something: every other time, only the
    end of its text is blamed. Of the BLANKs after the text, only the first can be wrong.

    Args:
        diagnostic: the fault.
        text_start: first character of the hole's text in the new source.
        cell_spans: the characters of the hole's text that each of its cells writes.
        count: how often this hole was blamed, this time included.
    """
    num_cells = len(cell_spans)
    written = [cell for cell, (start, end) in enumerate(cell_spans) if end > start]
    first_blank = written[-1] + 1 if written else 0
    if diagnostic.outside and count % 2 and first_blank < num_cells:
        return list(range(first_blank, num_cells)), [first_blank]
    low, high = diagnostic.span[0] - text_start, diagnostic.span[1] - text_start
    blamed = [
        cell for cell in written if cell_spans[cell][0] < max(high, low + 1) and cell_spans[cell][1] > low
    ]
    blamed = blamed or written[-1:] or [0]
    if diagnostic.outside or count > len(BLAME_MARGINS):
        cells = list(range(num_cells))
    else:
        margin = BLAME_MARGINS[count - 1]
        cells = list(range(max(0, blamed[0] - margin), min(num_cells, blamed[-1] + margin + 1)))
    return cells, [cell for cell in cells if cell <= first_blank]
