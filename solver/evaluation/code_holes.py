"""The holes of the code evaluation, and how much of their functions the training data contains.

holes = collect_holes(corpus.development, cuts, count=100)
holes = with_overlap(holes, corpus.train)
"""

from __future__ import annotations

import gzip
import json
import symtable
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from solver.evaluation.code_benchmarks import load_programs
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.diagnostics import Finder, compiles, remarks
from solver.tasks.code_edit.holes import Cut, dependent
from solver.tasks.code_edit.varmisuse import varmisuse
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page, Span, WindowError, spliced
from solver.training.code_pages import alone

CODE_SEED = 990_003
MAX_TOKENS, MAX_HOLES = 40, 8  # tokens of a hole, holes of a source
RUN = 8  # tokens that are compared with the training data at once
PLACEHOLDER = "?"  # stands in a posed hole: no Python, so that the source is recognised as unfinished
MISUSE_FILE = "great_varmisuse_dev.jsonl.gz"


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
        """The texts of the holes."""
        return tuple(self.source[start:end] for start, end in self.spans)

    @property
    def posed(self) -> HoleCase:
        """The case as it is put to an arm, without the true texts."""
        source, spans = spliced(self.source, self.spans, [PLACEHOLDER] * len(self.spans))
        return replace(self, source=source, spans=spans)

    @property
    def finder(self) -> Finder:
        """The checks that every arm may use."""
        return Finder(self.source, self.spans, self.defined)

    @property
    def lengths(self) -> list[int]:
        """Tokens of the true texts, for arms with an oracle."""
        page = Page.of(self.source, self.spans, [1] * len(self.spans))
        return [max(1, len(page.encoded(k, text))) for k, text in enumerate(self.truth)]

    @property
    def is_suitable(self) -> bool:
        """Whether the holes fit a window, and are neither too long nor too many."""
        try:
            return max(self.lengths) <= MAX_TOKENS and len(self.spans) <= MAX_HOLES
        except WindowError:
            return False


def collect_holes(
    functions: Sequence[Function],
    find: Callable[[str, tuple[int, int], np.random.Generator], list[Cut]],
    count: int,
    seed: int = CODE_SEED,
) -> list[HoleCase]:
    """Cut holes into functions: at most one set of each kind per function, and ``count`` of each kind."""
    rng, by_kind = np.random.default_rng(seed), dict[str, list[HoleCase]]()
    for index in rng.permutation(len(functions)):
        function = functions[int(index)]
        source, names = alone(function), module_names(function.source)
        cuts = find(source, (0, len(source)), rng)
        for kind in sorted({cut.kind for cut in cuts}):
            same_kind = [cut for cut in cuts if cut.kind == kind]
            cut = same_kind[int(rng.integers(len(same_kind)))]
            cases = by_kind.setdefault(kind, [])
            case = HoleCase(kind, source, cut.spans, names, function.path)
            if len(cases) < count and compiles(source) is None and case.is_suitable:
                cases.append(case)
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


def with_overlap(cases: Sequence[HoleCase], functions: Sequence[Function]) -> list[HoleCase]:
    """Set ``overlap``: libraries are full of functions that nearly copy each other."""
    runs = [token_runs(case.source) for case in cases]
    wanted = set[tuple[int, ...]]().union(*runs)
    seen = set[tuple[int, ...]]().union(*(wanted & token_runs(function.text) for function in functions))
    return [replace(case, overlap=len(run & seen) / len(run)) for case, run in zip(cases, runs, strict=True)]


def token_runs(text: str) -> set[tuple[int, ...]]:
    """Return all runs of ``RUN`` tokens, or the one of all tokens if there are fewer."""
    ids = Vocabulary.load().encode(text)[0].tolist()
    return {tuple(ids[start : start + RUN]) for start in range(max(1, len(ids) - RUN + 1))}


def holes_in_foreign_functions(folder: Path, count: int | None) -> list[HoleCase]:
    """Cut dependent holes, at most ``count`` of each kind, into functions with which no setting was chosen.

    These are HumanEval's solutions, and the functions without a bug of the misuse data. The programs of the latter
    are not available: names that are used outside of the holes and defined nowhere count as defined there.
    """
    programs = load_programs(folder, "humaneval-single-line")
    sources = {program.name.rsplit("/", 1)[0]: program.complete(program.truth) for program in programs}
    lines = gzip.decompress((folder / MISUSE_FILE).read_bytes()).splitlines()
    for n, bug in enumerate(varmisuse(json.loads(line)) for line in lines):
        if bug is not None and bug.span is None:
            sources[f"GREAT/{n}"] = bug.source
    functions = [Function(name, source, (0, len(source))) for name, source in sources.items()]
    cases = collect_holes(functions, dependent, count or len(functions))
    return [replace(case, defined=case.defined | undefined_names(case)) for case in cases]


def undefined_names(case: HoleCase) -> frozenset[str]:
    """Return the names that a source uses outside of its holes and defines nowhere."""
    return frozenset(
        remark.name
        for remark in remarks(case.source)
        if remark.rule == "name"
        and all(remark.span[1] <= start or end <= remark.span[0] for start, end in case.spans)
    )
