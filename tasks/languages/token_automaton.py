"""A byte language over a tokenizer's tokens.

    words = Words.of(token_bytes)                              # once a tokenizer: the bytes of every token, b"" for special ones
    lifted = lift(unrolled, words, tokens)                     # the automaton over these tokens
    found = project(unrolled, words, slots, logits, tokens, known, ends)

The automaton reads tokens where it read bytes. Not all of a large vocabulary takes part at once: the likeliest of every cell, all
single bytes, and whatever spells what the language forces; when no block is found so, everything does, before any verdict is
given. A text has several spellings in tokens; the best block is the best spelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_fast import Lattice
from solver.kernels.trie import Trie, walk
from solver.tasks.languages.byte_automaton import Ints
from solver.tasks.languages.projection import Projection
from solver.tasks.languages.unroll import Unrolled, in_order

LIKELIEST = 32  # tokens of every cell that take part
FORCED = 64  # tokens from one state, up to which it counts as forced
Tokens = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Words:
    """The bytes of every token of a vocabulary; b"" for those that are no text."""

    texts: tuple[bytes, ...]

    @staticmethod
    def of(texts: Sequence[bytes]) -> Words:
        return Words(tuple(texts))

    @cached_property
    def trie(self) -> Trie:
        return Trie.of(list(self.texts))

    @cached_property
    def bytes(self) -> Tokens:
        """The tokens that are one byte."""
        return np.array([token for token, text in enumerate(self.texts) if len(text) == 1], np.int64)

    @cached_property
    def forced(self) -> WeakKeyDictionary[Automaton, Tokens]:
        """Tokens that spell what an automaton forces, by automaton."""
        return WeakKeyDictionary()

    def forced_by(self, automaton: Automaton) -> Tokens:
        """The tokens that lead from states from which few do: they spell names, constants, punctuation."""
        found = self.forced.get(automaton)
        if found is None:
            triples, _ = walk(automaton, self.trie, FORCED)
            few = np.bincount(triples[:, 0], minlength=automaton.states) < FORCED
            found = self.forced[automaton] = np.unique(triples[few[triples[:, 0]], 1]).astype(np.int64)
        return found


@dataclass(frozen=True, eq=False)
class Lifted:
    """An automaton whose symbols are columns: ``tokens`` (U,), then those that are ``pinned`` (K,), then BLANK."""

    automaton: Automaton
    tokens: Tokens
    pinned: Tokens


def lift(unrolled: Unrolled, words: Words, tokens: Tokens, pinned: Tokens, cells: int) -> Lifted:
    """The automaton over ``tokens`` (U,) and, in cells that are pinned, over ``pinned`` (K,), which may hold white space
    outside of strings."""
    automaton = unrolled.automaton
    free, _ = walk(automaton, Trie.of([words.texts[token] for token in tokens]))
    held, _ = walk(automaton, Trie.of([words.texts[token] for token in pinned]), white=True)
    triples = np.concatenate([free, held + np.array([0, len(tokens), 0], np.int32)])
    order = np.lexsort((triples[:, 1], triples[:, 2], triples[:, 0]))
    triples = triples[order]
    if len(triples):
        fresh = np.flatnonzero((np.diff(triples[:, [0, 2]], axis=0) != 0).any(1)) + 1
        groups = np.split(triples[:, 1], fresh)
        heads = triples[np.concatenate([[0], fresh])]
    else:
        groups, heads = [], np.zeros((0, 3), np.int32)
    numbers: dict[bytes, int] = {}
    members: list[Ints] = []
    label = np.empty(len(groups), np.int32)
    for at, group in enumerate(groups):
        key = group.tobytes()
        if key not in numbers:
            numbers[key] = len(members)
            members.append(group.astype(np.int32))
        label[at] = numbers[key]
    edges = (heads[:, 0], label, heads[:, 2])
    found = in_order(
        edges,
        (automaton.skip_src, automaton.skip_dst),
        automaton.accept,
        members or [np.zeros(0, np.int32)],
        0,
        cells,
    )
    return Lifted(found, tokens, pinned)


def candidates(
    logits: NDArray[np.float32], known: NDArray[np.bool_], words: Words, forced: Tokens, many: int
) -> Tokens:
    """The tokens that take part: the ``many`` likeliest of every open cell, all single bytes, and the ``forced`` ones."""
    some = logits[~known]
    best = (
        np.argpartition(some, -many, 1)[:, -many:].ravel()
        if len(some) and many < logits.shape[1]
        else np.arange(logits.shape[1])
    )
    chosen = np.unique(np.concatenate([best, words.bytes, forced]))
    return chosen[[bool(words.texts[token]) for token in chosen]]


def project(
    unrolled: Unrolled,
    words: Words,
    slots: Slots,
    logits: NDArray[np.float32],
    tokens: Tokens,
    known: NDArray[np.bool_],
    ends: Sequence[int],
    rng: np.random.Generator | None = None,
    likeliest: int = LIKELIEST,
) -> Projection | None:
    """What is left of ``logits`` (L, V) when the ``known`` cells hold their ``tokens`` (L,) and the block is in the language;
    None where no block is. ``ends``: tokens that stand behind the text, the likeliest of which fills a cell."""
    pinned = np.unique(tokens[known])
    for many in (likeliest, logits.shape[1]):
        taking_part = candidates(logits, known, words, words.forced_by(unrolled.automaton), many)
        lifted = lift(unrolled, words, taking_part, pinned, len(tokens))
        found = project_lifted(lifted, slots, logits, tokens, known, ends, rng)
        if found is not None:
            return found
    return None


def project_lifted(
    lifted: Lifted,
    slots: Slots,
    logits: NDArray[np.float32],
    tokens: Tokens,
    known: NDArray[np.bool_],
    ends: Sequence[int],
    rng: np.random.Generator | None,
) -> Projection | None:
    """:func:`project` on an automaton that is there."""
    free, pinned = lifted.tokens, lifted.pinned
    cells, last = len(tokens), len(free) + len(pinned)
    end = np.array(list(ends), np.int64)
    whole = normalizer(logits)
    weights = np.full((cells, last + 1), -np.inf)
    weights[:, : len(free)] = logits[:, free] - whole
    filler = end[logits[:, end].argmax(1)] if len(end) else np.zeros(cells, np.int64)
    weights[:, last] = logits[:, end].max(1) - whole[:, 0] if len(end) else -np.inf
    weights[known] = -np.inf
    at = np.flatnonzero(known)
    behind = np.isin(tokens[at], end)
    weights[at[behind], last] = 0.0
    weights[at[~behind], len(free) + np.searchsorted(pinned, tokens[at[~behind]])] = 0.0
    lattice = Lattice(lifted.automaton, weights, slots)
    best, score = lattice.best()
    if score == -np.inf:
        return None
    columns = np.concatenate([free, pinned])

    def named(path: Tokens) -> Tokens:
        return np.where(known, tokens, np.where(path == last, filler, columns[np.minimum(path, last - 1)]))

    sample = best if rng is None else lattice.sample(rng)
    p, every = by_token(lattice.marginals(), columns, filler, end)
    return Projection(named(best), p, named(sample), max(0.0, -lattice.partition), every)


def normalizer(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log-sum-exp of every cell (L, 1), without a second (L, V) array of doubles."""
    high = logits.max(1, keepdims=True)
    found: NDArray[np.float64] = high + np.log(
        [[np.exp(row - top).sum(dtype=np.float64)] for row, top in zip(logits, high, strict=True)]
    )
    return found


def by_token(
    p: NDArray[np.float64], columns: Tokens, filler: Tokens, end: Tokens
) -> tuple[NDArray[np.float64], Tokens]:
    """Marginals (L, K) of columns as marginals of tokens: a token that is both free and pinned has one column then."""
    every = np.unique(np.concatenate([columns, end]))
    found = np.zeros((len(p), len(every)))
    place = np.searchsorted(every, columns)
    np.add.at(found.T, place, p[:, : len(columns)].T)
    found[np.arange(len(p)), np.searchsorted(every, filler).clip(max=len(every) - 1)] += p[:, -1]
    return found, every
