"""The holes that the code evaluation asks for: of which functions, and how much of them the training has seen elsewhere."""

from __future__ import annotations

import symtable
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.diagnostics import Finder, compiles
from solver.tasks.code_edit.holes import Cut
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page, PageError, Span, spliced
from solver.training.code_pages import alone

SEED = 990_003
LONGEST, MOST = 40, 8  # tokens of a hole, holes of a source
RUN = 8  # tokens
DUMMY = (
    "?"  # stands in a hole for those who are to fill it: no Python, so that the source is an unfinished one
)


@dataclass(frozen=True, eq=False)
class Hole:
    """A source with holes, and what stood there. kind: how it was cut.  defined: names of the file that the source is from.
    path: of that file.  known: of the runs of ``RUN`` tokens of the source, the share that functions of the training have too."""

    kind: str
    source: str
    spans: tuple[Span, ...]
    defined: frozenset[str] = frozenset()
    path: str = ""
    known: float = 0.0

    @property
    def truth(self) -> tuple[str, ...]:
        return tuple(self.source[a:b] for a, b in self.spans)

    @property
    def posed(self) -> Hole:
        """As it is put to an arm, without the truth."""
        source, spans = spliced(self.source, self.spans, [DUMMY] * len(self.spans))
        return replace(self, source=source, spans=spans)

    @property
    def finder(self) -> Finder:
        return Finder(self.source, self.spans, self.defined)

    @property
    def lengths(self) -> list[int]:
        """Tokens of the truth: an oracle's."""
        page = Page.of(self.source, self.spans, [1] * len(self.spans))
        return [max(1, len(page.encoded(number, text))) for number, text in enumerate(self.truth)]


def holes(
    functions: Sequence[Function],
    find: Callable[[str, tuple[int, int], np.random.Generator], list[Cut]],
    count: int,
    seed: int = SEED,
) -> list[Hole]:
    """One hole (or set of holes) of each kind a function at most, ``count`` of each kind, of at most forty tokens."""
    rng, found = np.random.default_rng(seed), dict[str, list[Hole]]()
    for at in rng.permutation(len(functions)):
        function = functions[int(at)]
        source, names = alone(function), bound(function.source)
        some = find(source, (0, len(source)), rng)
        for kind in sorted({cut.kind for cut in some}):
            among = [cut for cut in some if cut.kind == kind]
            cut = among[int(rng.integers(len(among)))]
            mine = found.setdefault(kind, [])
            hole = Hole(kind, source, cut.spans, names, function.path)
            if len(mine) < count and compiles(source) is None and suits(hole):
                mine.append(hole)
    return [hole for kind in sorted(found) for hole in found[kind]]


@lru_cache(maxsize=64)
def bound(text: str) -> frozenset[str]:
    """What the file of a function binds at its top: its functions are shown alone, and may use all of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        symbols = symtable.symtable(text, "<file>", "exec").get_symbols()
    return frozenset(
        one.get_name() for one in symbols if one.is_assigned() or one.is_imported() or one.is_namespace()
    )


def suits(hole: Hole) -> bool:
    """Whether it fits a page and is not too long."""
    try:
        return max(hole.lengths) <= LONGEST and len(hole.spans) <= MOST
    except PageError:
        return False


def compared(some: Sequence[Hole], functions: Sequence[Function]) -> list[Hole]:
    """The holes with ``known`` set: libraries are full of functions that are nearly copies of each other."""
    mine = [runs(hole.source) for hole in some]
    every = set[tuple[int, ...]]().union(*mine)
    seen = set[tuple[int, ...]]().union(*(every & runs(function.text) for function in functions))
    return [replace(hole, known=len(own & seen) / len(own)) for hole, own in zip(some, mine, strict=True)]


def runs(text: str) -> set[tuple[int, ...]]:
    """Of ``RUN`` tokens each, or of all of them where there are fewer."""
    ids = Vocabulary.load().encode(text)[0].tolist()
    return {tuple(ids[at : at + RUN]) for at in range(max(1, len(ids) - RUN + 1))}
