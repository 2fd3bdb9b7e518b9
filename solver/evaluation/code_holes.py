"""The holes of the code evaluation, and how much of their functions the training data contains.

holes = collect_holes(corpus.development, cuts, count=100)
holes = with_overlap(holes, corpus.train)
"""

from __future__ import annotations

import symtable
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.diagnostics import DiagnosticFinder
from solver.tasks.code_edit.holes import HoleSet
from solver.tasks.code_edit.lexer import Span
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow, WindowError, replace_spans
from solver.training.code_examples import standalone_source

CODE_SEED = 990_003
MAX_TOKENS, MAX_HOLES = 40, 8  # tokens of a hole, holes of a source
RUN = 8  # tokens that are compared with the training data at once
PLACEHOLDER = "?"  # stands in a posed hole: no Python, so that the source is recognised as unfinished


@dataclass(frozen=True, eq=False)
class HoleCase:
    """A source with holes, and their true texts.

    Args:
        kind: how the holes were cut.
        source: with the true texts.
        spans: characters of the holes.
        defined: names that the source's file defines.
        path: of that file.
        overlap: share of the source's runs of ``RUN`` tokens that functions of the training data contain.
    """

    kind: str
    source: str
    spans: tuple[Span, ...]
    defined: frozenset[str] = frozenset()
    path: str = ""
    overlap: float = 0.0

    @property
    def truth(self) -> tuple[str, ...]:
        return tuple(self.source[start:end] for start, end in self.spans)

    @property
    def posed(self) -> HoleCase:
        """The case as it is put to an arm, without the true texts."""
        source, spans = replace_spans(self.source, self.spans, [PLACEHOLDER] * len(self.spans))
        return replace(self, source=source, spans=spans)

    @property
    def finder(self) -> DiagnosticFinder:
        """The checks that every arm may use."""
        return DiagnosticFinder(self.source, self.spans, self.defined)

    @property
    def lengths(self) -> list[int]:
        """Tokens of the true texts, for arms with an oracle."""
        window = CodeWindow.of(self.source, self.spans, [1] * len(self.spans))
        return [max(1, len(window.encode_fill(k, text))) for k, text in enumerate(self.truth)]


def fit_window(case: HoleCase) -> bool:
    """Whether the holes fit a window, and are neither too long nor too many."""
    try:
        return max(case.lengths) <= MAX_TOKENS and len(case.spans) <= MAX_HOLES
    except WindowError:
        return False


def collect_holes(
    functions: Sequence[CorpusFunction],
    find: Callable[[str, tuple[int, int], np.random.Generator], list[HoleSet]],
    count: int,
    seed: int = CODE_SEED,
) -> list[HoleCase]:
    """Cut holes into functions: at most one set of each kind per function, and ``count`` of each kind."""
    rng, by_kind = np.random.default_rng(seed), defaultdict[str, list[HoleCase]](list)
    for index in rng.permutation(len(functions)):
        function = functions[int(index)]
        source, names = standalone_source(function), module_names(function.source)
        cuts = find(source, (0, len(source)), rng)
        for kind in sorted({cut.kind for cut in cuts}):
            same_kind = [cut for cut in cuts if cut.kind == kind]
            cut = same_kind[int(rng.integers(len(same_kind)))]
            case = HoleCase(kind, source, cut.spans, names, function.path)
            if len(by_kind[kind]) < count and compile_message(source) is None and fit_window(case):
                by_kind[kind].append(case)
    return [case for kind in sorted(by_kind) for case in by_kind[kind]]


@lru_cache(maxsize=64)
def module_names(text: str) -> frozenset[str]:
    """Return the names that a module binds; a function is shown alone, and may use all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        symbols = symtable.symtable(text, "<file>", "exec").get_symbols()
    return frozenset(
        symbol.get_name()
        for symbol in symbols
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    )


def with_overlap(cases: Sequence[HoleCase], functions: Sequence[CorpusFunction]) -> list[HoleCase]:
    """Set ``overlap``: libraries are full of functions that nearly copy each other."""
    runs = [token_runs(case.source) for case in cases]
    wanted = set[tuple[int, ...]]().union(*runs)
    seen = set[tuple[int, ...]]().union(*(wanted & token_runs(function.text) for function in functions))
    return [replace(case, overlap=len(run & seen) / len(run)) for case, run in zip(cases, runs, strict=True)]


def token_runs(text: str) -> set[tuple[int, ...]]:
    """Return all runs of ``RUN`` tokens, or the one of all tokens if there are fewer."""
    ids = Vocabulary.load().encode(text)[0].tolist()
    return {tuple(ids[start : start + RUN]) for start in range(max(1, len(ids) - RUN + 1))}
