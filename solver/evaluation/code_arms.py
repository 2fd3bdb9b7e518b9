"""Who fills holes in the code evaluation: the denoiser in the loop, the causal network left to right, and two that know nothing.

Every arm takes a :class:`Hole` and gives an :class:`Answer`: what it put there, and what that cost. It looks at the hole as it
is posed, without the truth; only those that say so are told its length. Checks and retries are the same for all: an answer is
taken once it compiles and brings in no unknown name, else the one with the least wrong.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.api import edit as edits
from solver.baseline.code import Order, write
from solver.evaluation.code_holes import SEED, Hole
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Outcome, Step
from solver.models import checkpoint, controls
from solver.models.checkpoint import SHIPPED
from solver.models.code_denoiser import CodeDenoiser
from solver.models.code_network import CodeNetwork
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.diagnostics import Finder, compiles
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page, roomy, spliced

TRIES = 8
MANY = (16, 256)  # draws; the latter cost about as many operations as the denoiser's ways


@dataclass(frozen=True)
class Answer:
    """fills: what was put into the holes; None where the arm gave up.  first: whether the first whole draft compiled.
    forwards, gflop, seconds: in all."""

    fills: tuple[str, ...] | None
    first: bool
    forwards: int
    gflop: float
    seconds: float


Arm = Callable[[Hole], Answer]


def wrong(finder: Finder, fills: Sequence[str]) -> tuple[bool, int]:
    """The checks that every arm may use: whether it does not compile, and how many faults it has (names that nobody defines)."""
    text, spans = spliced(finder.source, finder.spans, fills)
    return compiles(text) is not None, len(finder.faults(text, spans))


def ok(hole: Hole, fills: Sequence[str]) -> bool:
    return compiles(spliced(hole.source, hole.spans, fills)[0]) is None


def looped(model: Denoiser, oracle: bool = False, seed: int = SEED) -> Arm:
    """``solver.edit``: one way and others beside it, checks."""

    def run(hole: Hole) -> Answer:
        lengths, asked, judged = hole.lengths if oracle else None, hole.posed, list[bool]()

        def watch(row: int, _: Edit, step: Step) -> None:
            if step.solved or step.violations:  # a whole draft, which was compiled
                judged.append(all(violation.rule != "syntax" for violation in step.violations))

        started = time.perf_counter()
        found = edits.edit(
            asked.source,
            asked.spans,
            denoiser=model,
            lengths=lengths,
            seed=seed,
            watch=watch,
            defined=asked.defined,
        )
        seconds = time.perf_counter() - started
        cost = found.counters
        return Answer(found.fills, any(judged[:1]), cost.forwards, cost.flops / 1e9, seconds)

    return run


def one_shot(model: Denoiser, oracle: bool = False, seed: int = SEED) -> Arm:
    """The likeliest tokens of one forward, unchecked: an ordinary masked model."""
    task, policy = CodeTask(), Policy(checks="none")

    def run(hole: Hole) -> Answer:
        sizes, asked = hole.lengths if oracle else [roomy(len(hole.spans))] * len(hole.spans), hole.posed
        started = time.perf_counter()
        edit = Edit.of(
            asked.source,
            asked.spans,
            sizes,
            edits.window_size(asked.source, asked.spans, sizes),
            exact=oracle,
        )
        outcome = next(
            e
            for _, e in solve(task, [edit], model, policy, Budget(forwards=1), seed, 1)
            if isinstance(e, Outcome)
        )
        fills = edit.page.written(outcome.tokens)
        cost = outcome.counters
        return Answer(fills, ok(hole, fills), cost.forwards, cost.flops / 1e9, time.perf_counter() - started)

    return run


def left_to_right(
    network: CodeNetwork,
    order: Order,
    tries: int = 1,
    likeliest: bool = False,
    temperature: float = 0.6,
    seed: int = SEED,
) -> Arm:
    """The likeliest tokens and ``tries`` - 1 draws, written side by side. The first that passes the checks is taken, or with
    ``likeliest``, of all that pass, the one it finds likeliest. Its page shows 256 tokens, and what it writes comes behind them,
    further on than in training: pages that leave room for it show less, and are worse (docs/LOG.md)."""
    temperatures = (0.0, *[temperature] * (tries - 1))

    def run(hole: Hole) -> Answer:
        asked, started = hole.posed, time.perf_counter()
        page, finder = Page.of(asked.source, asked.spans, [1] * len(asked.spans)), asked.finder
        some = write(network, page, order, temperatures, seed)
        texts = dict[tuple[str, ...], float]()  # in order, each once
        for one in some:
            fills = tuple(
                Vocabulary.load().decode(tokens, at)
                for tokens, at in zip(one.fills, page.indents, strict=True)
            )
            texts.setdefault(fills, one.log_p)
        first, *_ = ways = [*texts]
        if likeliest:
            ways.sort(key=texts.__getitem__, reverse=True)
        best = first
        if tries > 1:
            good = next((fills for fills in ways if wrong(finder, fills) == (False, 0)), None)
            best = good or min(ways, key=lambda fills: wrong(finder, fills))
        steps, gflop = sum(one.steps for one in some), sum(one.flops for one in some) / 1e9
        return Answer(best, ok(hole, first), steps, gflop, time.perf_counter() - started)

    return run


class NGram:
    """Token trigrams of the corpus, backed off, with a cache: what stood behind the same two tokens on the page counts most
    (Hellendoorn & Devanbu 2017). Is told how many tokens a hole has."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.after: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        v = Vocabulary.load()
        for function in functions:
            a, b = function.span
            self.count(self.after, v.encode(function.source[a:b])[0].tolist(), 1)

    @staticmethod
    def count(after: dict[tuple[int, ...], Counter[int]], ids: list[int], weight: int) -> None:
        for at, token in enumerate(ids):
            for order in range(3):
                if at >= order:
                    after[tuple(ids[at - order : at])][token] += weight

    def __call__(self, hole: Hole) -> Answer:
        asked, lengths, started = hole.posed, hole.lengths, time.perf_counter()
        v, page = Vocabulary.load(), Page.of(asked.source, asked.spans, lengths)
        cache: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        inside = ~page.pinned
        for part in np.split(page.tokens, np.flatnonzero(np.diff(inside.astype(int))) + 1):
            if len(part) and part[0] != v.blank:
                self.count(cache, part.tolist(), 1)
        tokens, banned = page.tokens.tolist(), {*v.sentinels, v.blank}
        for start, capacity in page.slots:
            for cell in range(start, start + capacity):
                tokens[cell] = self.next(cache, tokens[max(0, cell - 2) : cell], banned)
        fills = page.written(np.array(tokens))
        return Answer(fills, ok(hole, fills), 0, 0.0, time.perf_counter() - started)

    def frequencies(self) -> NDArray[np.float64]:
        """(V,) how often each token stands in the corpus, plus one."""
        found = np.ones(Vocabulary.load().size)
        for token, count in self.after[()].items():
            found[token] += count
        return found

    def next(self, cache: dict[tuple[int, ...], Counter[int]], before: list[int], banned: set[int]) -> int:
        """The likeliest token: the longest context that anything followed, on the page before in the corpus."""
        for order in range(len(before), -1, -1):
            context = tuple(before[len(before) - order :])
            total = Counter({token: 20 * count for token, count in cache.get(context, {}).items()})
            total.update(self.after.get(context, {}))
            for token, _ in total.most_common(30):
                if token not in banned:
                    return token
        return 0


def arms(
    network: CodeNetwork | None, baseline: CodeNetwork | None, functions: Sequence[Function]
) -> dict[str, Arm]:
    """All arms whose checkpoint is there; the controls always."""
    found, v = dict[str, Arm](), Vocabulary.load()
    if network is not None:
        model = CodeDenoiser(network)
        found["diffusion"] = looped(model)
        found["diffusion-oneshot"] = one_shot(model)
        found["diffusion, true length"] = looped(model, oracle=True)
        found["diffusion-oneshot, true length"] = one_shot(model, oracle=True)
    if baseline is not None:
        for order in ("prefix", "fim"):
            found[f"ar-{order}"] = left_to_right(baseline, order)
            found[f"ar-{order}, {TRIES} tries"] = left_to_right(baseline, order, TRIES)
        for many in MANY:
            found[f"ar-fim, likeliest of {many}"] = left_to_right(baseline, "fim", many, likeliest=True)
    found["n-gram with cache, true length"] = ngram = NGram(functions)
    found["prior"] = looped(controls.prior(v.size, ngram.frequencies(), v.blank))
    found["random"] = looped(controls.random(v.size))
    return found


def networks(
    folder: Path | None = None, baseline: Path | None = None
) -> tuple[CodeNetwork | None, CodeNetwork | None]:
    """The denoiser and the baseline, from folders or as shipped; None for one that is not shipped. Raises CheckpointError."""
    found = list[CodeNetwork | None]()
    for chosen, name in ((folder, "code"), (baseline, "code-ar")):
        path = chosen or SHIPPED / name
        if chosen is None and not (path / "config.json").is_file():
            found.append(None)
            continue
        network, _ = checkpoint.load(path, "code")
        assert isinstance(network, CodeNetwork)
        found.append(network)
    return found[0], found[1]
