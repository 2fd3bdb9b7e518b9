"""Code edits as a task: holes in a Python source that has to compile, and to name nothing that is not there.

    *steps, outcome = refine(CodeTask(), Edit.of(source, [(120, 134)], [12]), denoiser)

``verify`` asks Python's own compiler about the whole new source. ``check`` says where in the holes the trouble is
(:mod:`faults`): the blamed cells and their neighbours are re-masked, more of them each time, in the end the whole hole. None of
that is a proof: there is no such thing as code that cannot be written.
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
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.checks import Check, run_check
from solver.tasks.code_edit.diagnostics import Diagnostic, DiagnosticFinder
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CELLS, CodeWindow, Span, replace_spans
from solver.tasks.task import Violation

WIDER = (
    0,
    1,
    3,
)  # neighbours that are re-masked too, the first time a hole is blamed, the second, the third; then all of it


@dataclass(frozen=True, eq=False)
class EditProblem:
    """A source with holes to be filled. page: what is on the canvas.  names: whether undefined names are a fault too.  defined:
    names that are defined elsewhere.  exact: each hole's text is as long as its slot.  check: the user's, called with each new
    source that compiles."""

    window: CodeWindow
    names: bool = True
    defined: frozenset[str] = frozenset()
    exact: bool = False
    check: Check[str] | None = None
    finder: DiagnosticFinder = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "finder", DiagnosticFinder(self.window.source, self.window.spans, self.defined)
        )

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
        """Raises :class:`~solver.tasks.code_edit.window.WindowError` in one line."""
        return EditProblem(
            CodeWindow.of(source, spans, capacities, cells), names, frozenset(defined), exact, check
        )

    @cached_property
    def allowed(self) -> NDArray[np.int32]:
        """(L, W): no cell of a hole may hold a sentinel, nor a BLANK where the hole is as long as its slot."""
        vocabulary = Vocabulary.load()
        may = torch.ones(2, vocabulary.size, dtype=torch.bool)
        may[:, list(vocabulary.sentinels)] = False
        may[1, vocabulary.blank] = not self.exact
        found: NDArray[np.int32] = reference.pack(may).numpy()[(~self.window.pinned).astype(int)]
        return found

    def filled(self, tokens: Tokens) -> tuple[str, tuple[Span, ...]]:
        """The new source, and where its holes' texts stand in it."""
        return replace_spans(self.window.source, self.window.spans, self.window.fill_texts(tokens))

    def diagnostics(self, text: str, spans: Sequence[Span]) -> list[Diagnostic]:
        """What is wrong with a new source whose holes are at ``spans``: by the compiler, then by names, then by the check.

        A violation of the check without a span is a fault of every hole.
        """
        faults = self.finder.find(text, spans, self.names)
        if faults:
            return faults
        return [
            Diagnostic(span, violation.rule, violation.message, outside=violation.span is None)
            for violation in run_check(self.check, text)
            for span in (spans if violation.span is None else [violation.span])
        ]


class CodeTask:
    """Problems are :class:`EditProblem`; tokens are the vocabulary's, BLANK behind what fills a hole."""

    name = "code"

    def __init__(self) -> None:
        self.vocab = Vocabulary.load().size
        self.blamed: WeakKeyDictionary[EditProblem, list[int]] = (
            WeakKeyDictionary()
        )  # how often each hole was
        self._last_report: tuple[EditProblem | None, str, list[Diagnostic]] = (None, "", [])

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
        """Of a whole draft; what is half known is not judged."""
        if not known.all():
            return []
        text, spans = problem.filled(tokens)
        counts = self.blamed.setdefault(problem, [0] * len(spans))
        pieces, found, before = problem.window.cell_spans(tokens), list[Violation](), counts.copy()
        for fault in self.report(problem, text, spans):
            a, b = fault.span
            hole = min(range(len(spans)), key=lambda n: max(0, spans[n][0] - b, a - spans[n][1]))
            counts[hole] = before[hole] + 1
            start, _ = problem.window.slots[hole]
            cells, excluded = (
                tuple(start + n for n in some)
                for some in blamed(fault, spans[hole][0], pieces[hole], counts[hole])
            )
            found.append(Violation(fault.message, cells=cells, rule=fault.rule, excluded=excluded))
        return found

    def verify(self, problem: EditProblem, tokens: Tokens) -> bool:
        """Whether the pins hold and the whole new source compiles (and, where asked for, names nothing that is not there)."""
        window = problem.window
        if not (tokens[window.pinned] == window.tokens[window.pinned]).all():
            return False
        text, spans = problem.filled(tokens)
        return not self.report(problem, text, spans)

    def report(self, problem: EditProblem, text: str, spans: Sequence[Span]) -> list[Diagnostic]:
        """``problem.diagnostics``, with the result for the latest text kept: the loop asks twice about each draft."""
        if self._last_report[:2] != (problem, text):
            self._last_report = problem, text, problem.diagnostics(text, spans)
        return self._last_report[2]

    def decode(self, problem: EditProblem, tokens: Tokens) -> str:
        """The new source."""
        return problem.filled(tokens)[0]


def blamed(fault: Diagnostic, start: int, pieces: Sequence[Span], count: int) -> tuple[list[int], list[int]]:
    """The cells of a hole that are to be written again, and those of them whose tokens are wrong, for a fault in it. start: of
    its text.  pieces: the characters that each cell writes.  count: the how many-th fault of this hole it is.

    To blame are the cells that write the characters it is about, and neighbours, more each time, in the end the whole hole. Where
    the hole lacks something, every other time, only that its text ends where it does. Of the BLANKs behind a text only the first
    can be wrong."""
    written = [n for n, (first, end) in enumerate(pieces) if end > first]
    end = written[-1] + 1 if written else 0
    if fault.outside and count % 2 and end < len(pieces):
        return list(range(end, len(pieces))), [end]
    low, high = fault.span[0] - start, fault.span[1] - start
    meant = (
        [n for n in written if pieces[n][0] < max(high, low + 1) and pieces[n][1] > low]
        or written[-1:]
        or [0]
    )
    if fault.outside or count > len(WIDER):
        cells = list(range(len(pieces)))
    else:
        wider = WIDER[count - 1]
        cells = list(range(max(0, meant[0] - wider), min(len(pieces), meant[-1] + wider + 1)))
    return cells, [n for n in cells if n <= end]
