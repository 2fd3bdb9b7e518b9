"""The arms of the code evaluation: the denoiser in the loop, the network left to right, and the controls.

    answers = make_edit_arm("random", denoiser).answer(holes)

An arm sees a case as it is posed, without the true texts; only arms whose name says so are told their length.
Checks and retries are the same for all: an answer is accepted once it compiles and uses no unknown name, else
the answer with the fewest violations is.
"""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.api import edit as edits
from solver.baseline.code import Order, write_fills
from solver.evaluation.code_holes import CODE_SEED, HoleCase
from solver.evaluation.harness import Answer, Arm, ModelPair
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models import controls
from solver.models.checkpoint import load
from solver.models.code_network import CodeNetwork
from solver.models.mask_denoisers import CodeDenoiser
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.diagnostics import DiagnosticFinder
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow, WindowError, probe_capacity, replace_spans

CODE_TRIES = 8
DRAWS = (16, 256)  # the latter cost about as many operations as the denoiser's attempts
ORACLE = "true length"
OURS = "diffusion"
COMMON = 30  # continuations that the n-gram model looks through
CACHE_WEIGHT = 20  # of a continuation seen in the same window
NGram = tuple[int, ...]


def make_hole_arm(
    name: str, answer: Callable[[HoleCase], Answer], weights: str | None = None
) -> Arm[HoleCase]:
    """Make an arm that answers case by case, with the seconds of each; it gives up where no window fits."""

    def timed(case: HoleCase) -> Answer:
        started, result = time.perf_counter(), Answer(None)
        with contextlib.suppress(WindowError):
            result = answer(case)
        return replace(result, seconds=time.perf_counter() - started)

    return Arm(name, lambda cases: [timed(case) for case in cases], weights)


def violations(finder: DiagnosticFinder, fills: Sequence[str]) -> tuple[bool, int]:
    """Return whether the filled source fails to compile, and how many faults it has."""
    text, spans = replace_spans(finder.source, finder.spans, fills)
    return compile_message(text) is not None, len(finder.find(text, spans))


def compiles_with(case: HoleCase, fills: Sequence[str]) -> bool:
    return compile_message(replace_spans(case.source, case.spans, fills)[0]) is None


def make_edit_arm(
    name: str,
    denoiser: Denoiser,
    weights: str | None = None,
    oracle: bool = False,
    seed: int = CODE_SEED,
) -> Arm[HoleCase]:
    """Make the arm that calls ``solver.edit``; with ``oracle`` it is told the lengths."""

    def answer(case: HoleCase) -> Answer:
        lengths, posed, compiled = case.lengths if oracle else None, case.posed, list[bool]()

        def watch(row: int, _: EditProblem, step: Step) -> None:
            if step.solved or step.violations:  # a whole draft, which was compiled
                compiled.append(all(violation.rule != "syntax" for violation in step.violations))

        best = edits.edit(
            posed.source,
            posed.spans,
            denoiser=denoiser,
            lengths=lengths,
            seed=seed,
            watch=watch,
            defined=posed.defined,
            seconds=None,
        )
        return Answer(best.fills, counters=best.counters, first_valid=any(compiled[:1]))

    return make_hole_arm(name, answer, weights)


def make_one_shot_arm(
    name: str,
    denoiser: Denoiser,
    weights: str | None = None,
    oracle: bool = False,
    seed: int = CODE_SEED,
) -> Arm[HoleCase]:
    """Make the arm that takes the likeliest tokens of one forward, unchecked: an ordinary masked model."""
    task, policy = CodeTask(), Policy(checks="none")

    def answer(case: HoleCase) -> Answer:
        posed, count = case.posed, len(case.spans)
        sizes = case.lengths if oracle else [probe_capacity(count)] * count
        cells = edits.window_size(posed.source, posed.spans, sizes)
        edit = EditProblem.of(posed.source, posed.spans, sizes, cells, exact=oracle)
        events = solve(task, [edit], denoiser, policy, Budget(forwards=1), seed, 1)
        (outcome,) = (event for _, event in events if isinstance(event, Outcome))
        fills = edit.window.fill_texts(outcome.tokens)
        return Answer(fills, counters=outcome.counters, first_valid=compiles_with(case, fills))

    return make_hole_arm(name, answer, weights)


def make_left_to_right_arm(
    name: str,
    network: CodeNetwork,
    order: Order,
    tries: int = 1,
    likeliest: bool = False,
    temperature: float = 0.6,
    weights: str | None = None,
    seed: int = CODE_SEED,
) -> Arm[HoleCase]:
    """Make the baseline: the likeliest tokens and ``tries`` - 1 draws, written side by side.

    Its window shows 256 tokens, and what it writes comes after them, further on than in training: windows
    that leave room for it show less, and are worse (docs/LOG.md).

    Args:
        name: in tables.
        network: the causal network.
        order: whether it reads the text before the hole or on both sides.
        tries: texts per case.
        likeliest: take the likeliest text that passes the checks; else the first one.
        temperature: of the draws.
        weights: hash of the network's checkpoint.
        seed: of the draws.
    """
    temperatures = (0.0, *[temperature] * (tries - 1))

    def answer(case: HoleCase) -> Answer:
        posed = case.posed
        window, finder = CodeWindow.of(posed.source, posed.spans, [1] * len(posed.spans)), posed.finder
        writings = write_fills(network, window, order, temperatures, seed)
        log_p = dict[tuple[str, ...], float]()  # in order, without duplicates
        for writing in writings:
            pairs = zip(writing.fills, window.indents, strict=True)
            fills = tuple(Vocabulary.load().decode(tokens, indent) for tokens, indent in pairs)
            log_p.setdefault(fills, writing.log_p)
        best, *_ = candidates = list(log_p)
        first_valid = compiles_with(case, best)
        if likeliest:
            candidates.sort(key=log_p.__getitem__, reverse=True)
        if tries > 1:
            passing = [fills for fills in candidates if violations(finder, fills) == (False, 0)]
            best = passing[0] if passing else min(candidates, key=lambda fills: violations(finder, fills))
        steps, flops = (sum(getattr(writing, cost) for writing in writings) for cost in ("steps", "flops"))
        return Answer(best, counters=Counters(forwards=steps, flops=flops), first_valid=first_valid)

    return make_hole_arm(name, answer, weights)


class NGramModel:
    """Token trigrams of the corpus, backed off, with a cache of the window (Hellendoorn & Devanbu 2017).

    What followed the same two tokens in the window counts most.
    """

    def __init__(self, functions: Sequence[CorpusFunction]) -> None:
        self.vocabulary = Vocabulary.load()
        self.following = self._count(self.vocabulary.encode(function.text)[0] for function in functions)

    @staticmethod
    def _count(texts: Iterable[NDArray[np.int64]]) -> dict[NGram, Counter[int]]:
        """Count the tokens that follow every context of up to two tokens."""
        following: dict[NGram, Counter[int]] = defaultdict(Counter)
        for ids in (text.tolist() for text in texts):
            for k, token in enumerate(ids):
                for order in range(min(k, 2) + 1):
                    following[tuple(ids[k - order : k])][token] += 1
        return following

    def answer(self, case: HoleCase) -> Answer:
        """Fill holes whose lengths in tokens are told."""
        posed, blank = case.posed, self.vocabulary.blank
        window = CodeWindow.of(posed.source, posed.spans, case.lengths)
        parts = np.split(window.tokens, np.flatnonzero(np.diff(window.pinned.astype(int))) + 1)
        cache = self._count(part for part in parts if len(part) and part[0] != blank)
        tokens, banned = window.tokens.tolist(), {*self.vocabulary.sentinels, blank}
        for start, capacity in window.slots:
            for cell in range(start, start + capacity):
                tokens[cell] = self._next_token(cache, tokens[max(0, cell - 2) : cell], banned)
        fills = window.fill_texts(np.array(tokens))
        return Answer(fills, first_valid=compiles_with(case, fills))

    def frequencies(self) -> NDArray[np.float64]:
        """Return how often the corpus has each token, plus one (V,)."""
        return np.array([1.0 + self.following[()][token] for token in range(self.vocabulary.size)])

    def _next_token(self, cache: dict[NGram, Counter[int]], before: list[int], banned: set[int]) -> int:
        """Return the likeliest token after the longest context that the window or the corpus has."""
        for order in range(len(before), -1, -1):
            context = tuple(before[len(before) - order :])
            total = Counter({token: CACHE_WEIGHT * count for token, count in cache.get(context, {}).items()})
            total.update(self.following.get(context, {}))
            for token, _ in total.most_common(COMMON):
                if token not in banned:
                    return token
        return 0


@dataclass(frozen=True)
class CodeModels(ModelPair[CodeNetwork]):
    """The trained models under test, and the seed of the evaluation."""

    seed: int = 0

    @property
    def denoiser(self) -> Denoiser | None:
        return None if self.network is None else CodeDenoiser(self.network)


def random_denoiser() -> Denoiser:
    return load("random", CodeTask())


def code_arms(models: CodeModels, functions: Sequence[CorpusFunction]) -> dict[str, Arm[HoleCase]]:
    """Make all arms whose checkpoint is there, and the controls.

    Args:
        models: the trained models.
        functions: the training corpus, for the n-gram model and the token frequencies.
    """
    arms, seed = list[Arm[HoleCase]](), CODE_SEED + models.seed
    vocabulary, ngram = Vocabulary.load(), NGramModel(functions)
    if models.denoiser is not None:
        for suffix, oracle in (("", False), (f", {ORACLE}", True)):
            options = models.denoiser, models.weights, oracle, seed
            arms.append(make_edit_arm(f"{OURS}{suffix}", *options))
            arms.append(make_one_shot_arm(f"{OURS}-oneshot{suffix}", *options))
    if models.baseline is not None:
        writings: list[tuple[str, Order, int, bool]] = [
            ("ar-prefix", "prefix", 1, False),
            (f"ar-prefix, {CODE_TRIES} tries", "prefix", CODE_TRIES, False),
            ("ar-fim", "fim", 1, False),
            (f"ar-fim, {CODE_TRIES} tries", "fim", CODE_TRIES, False),
            *((f"ar-fim, likeliest of {draws}", "fim", draws, True) for draws in DRAWS),
        ]
        for name, order, tries, likeliest in writings:
            arms.append(
                make_left_to_right_arm(
                    name, models.baseline, order, tries, likeliest, weights=models.baseline_weights, seed=seed
                )
            )
    prior = controls.prior(vocabulary.size, ngram.frequencies(), vocabulary.blank)
    arms += [
        make_hole_arm(f"n-gram with cache, {ORACLE}", ngram.answer, "n-gram"),
        make_edit_arm("prior", prior, "prior", seed=seed),
        make_edit_arm("random", random_denoiser(), "random", seed=seed),
    ]
    return {arm.name: arm for arm in arms}
