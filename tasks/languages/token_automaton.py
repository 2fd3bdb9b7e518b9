"""A byte language read with a tokenizer's tokens, and the projection onto it.

    >>> from solver.tasks.languages.grammar import PatternGrammar
    >>> from solver.tasks.languages.unroll import unroll
    >>> vocabulary = TokenBytes((b"a", b"b", b"ab", b""))          # the last token ends a text
    >>> unrolled, slots = unroll(PatternGrammar("^(ab)+$"), cells=12), Slots.single(3)
    >>> logits, tokens = np.array([[0, 0, 1, 0]] * 3, np.float32), np.zeros(3, np.int64)
    >>> project_tokens(unrolled, vocabulary, slots, logits, tokens, np.zeros(3, bool), ends=[3]).best.tolist()
    [2, 2, 2]

Only part of a large vocabulary is used at first: the likeliest tokens of every cell, all single bytes, and
the tokens that spell what the language forces. If no block results, all tokens are used before the answer
is None. A text can have several spellings in tokens; the best block is the best spelling.
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
from solver.tasks.languages.projection import Projection
from solver.tasks.languages.unroll import Unrolled, build_automaton

LIKELIEST = 32  # tokens per cell that are used at first
FORCED = 64  # a state that fewer tokens leave counts as forced
Tokens = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenBytes:
    """The bytes of every token of a vocabulary; b"" for special tokens."""

    texts: tuple[bytes, ...]

    @cached_property
    def trie(self) -> Trie:
        """A trie of the whole vocabulary."""
        return Trie.build(list(self.texts))

    @cached_property
    def single_bytes(self) -> Tokens:
        """The tokens that are one byte."""
        return np.array([token for token, text in enumerate(self.texts) if len(text) == 1], np.int64)

    @cached_property
    def _forced(self) -> WeakKeyDictionary[Automaton, Tokens]:
        return WeakKeyDictionary()

    def forced_by(self, automaton: Automaton) -> Tokens:
        """The tokens that leave states which few tokens leave: they spell names, constants and
        punctuation."""
        tokens = self._forced.get(automaton)
        if tokens is None:
            triples, _ = walk(automaton, self.trie, FORCED)
            few = np.bincount(triples[:, 0], minlength=automaton.num_states) < FORCED
            tokens = self._forced[automaton] = np.unique(triples[few[triples[:, 0]], 1]).astype(np.int64)
        return tokens


def project_tokens(
    unrolled: Unrolled,
    vocabulary: TokenBytes,
    slots: Slots,
    logits: NDArray[np.float32],
    tokens: Tokens,
    known: NDArray[np.bool_],
    ends: Sequence[int],
    rng: np.random.Generator | None = None,
    likeliest: int = LIKELIEST,
) -> Projection | None:
    """Condition the cells' distributions over tokens on a byte language and on the known cells.

    Args:
        unrolled: the language, over bytes.
        vocabulary: the bytes of the tokens.
        slots: cells that may hold an end token.
        logits: (L, V).
        tokens: the tokens of the ``known`` cells (L,).
        known: cells whose tokens are fixed (L,).
        ends: tokens that may follow the text; the likeliest fills a cell.
        rng: draws a sample, if given.
        likeliest: number of tokens per cell that are used at first.

    Returns:
        The projection, or None if no block of the language holds the known tokens.
    """
    pinned = np.unique(tokens[known])
    for count in (likeliest, logits.shape[1]):
        usable = usable_tokens(logits[~known], vocabulary, vocabulary.forced_by(unrolled.automaton), count)
        automaton = TokenAutomaton.build(unrolled, vocabulary, usable, pinned, len(tokens))
        projection = automaton.project(slots, logits, tokens, known, ends, rng)
        if projection is not None:
            return projection
    return None


def usable_tokens(
    logits: NDArray[np.float32],
    vocabulary: TokenBytes,
    forced: Tokens,
    count: int,
) -> Tokens:
    """The ``count`` likeliest tokens by ``logits`` (N, V) of N open cells, all single bytes, and the
    ``forced`` tokens."""
    if len(logits) and count < logits.shape[1]:
        likeliest = np.argpartition(logits, -count, 1)[:, -count:].ravel()
    else:
        likeliest = np.arange(logits.shape[1])
    tokens = np.unique(np.concatenate([likeliest, vocabulary.single_bytes, forced]))
    return tokens[[bool(vocabulary.texts[token]) for token in tokens]]


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """An automaton over tokens.

    Attributes:
        automaton: its symbols are columns: those of ``usable``, then those of ``pinned``, then BLANK.
        usable: tokens that open cells may hold (U,).
        pinned: tokens of known cells (K,), which may read white space outside strings.
    """

    automaton: Automaton
    usable: Tokens
    pinned: Tokens

    @classmethod
    def build(
        cls,
        unrolled: Unrolled,
        vocabulary: TokenBytes,
        usable: Tokens,
        pinned: Tokens,
        cells: int,
    ) -> TokenAutomaton:
        """Read the byte automaton of ``unrolled`` with whole tokens, for blocks of at most ``cells``
        tokens."""
        automaton = unrolled.automaton
        open_edges, _ = walk(automaton, Trie.build([vocabulary.texts[token] for token in usable]))
        pinned_trie = Trie.build([vocabulary.texts[token] for token in pinned])
        pinned_edges, _ = walk(automaton, pinned_trie, white=True)
        triples = np.concatenate([open_edges, pinned_edges + np.array([0, len(usable), 0], np.int32)])

        # Tokens with the same source and target share an edge; equal sets of tokens share a label.
        triples = triples[np.lexsort((triples[:, 1], triples[:, 2], triples[:, 0]))]
        is_first = np.ones(len(triples), bool)
        is_first[1:] = (np.diff(triples[:, [0, 2]], axis=0) != 0).any(1)
        firsts = np.flatnonzero(is_first)
        groups = np.split(triples[:, 1], firsts[1:]) if len(triples) else []
        sets = [tuple(group.tolist()) for group in groups]
        numbers = {group: number for number, group in enumerate(dict.fromkeys(sets))}
        labels = np.array([numbers[group] for group in sets], np.int32)
        over_tokens = build_automaton(
            (triples[firsts, 0], labels, triples[firsts, 2]),
            (automaton.skip_src, automaton.skip_dst),
            automaton.accept,
            [np.array(group, np.int32) for group in numbers or [()]],
            0,
            cells,
        )
        return cls(over_tokens, usable, pinned)

    def project(
        self,
        slots: Slots,
        logits: NDArray[np.float32],
        tokens: Tokens,
        known: NDArray[np.bool_],
        ends: Sequence[int],
        rng: np.random.Generator | None,
    ) -> Projection | None:
        """See :func:`project_tokens`; only the tokens of this automaton are used."""
        columns = np.concatenate([self.usable, self.pinned])
        blank, end_tokens = len(columns), np.array(list(ends), np.int64)
        weights, filler = self.weights(logits, tokens, known, end_tokens)
        lattice = Lattice(self.automaton, weights, slots)
        best, score = lattice.best()
        if score == -np.inf:
            return None
        sample = best if rng is None else lattice.sample(rng)
        best, sample = (
            np.where(known, tokens, np.where(path == blank, filler, columns[np.minimum(path, blank - 1)]))
            for path in (best, sample)
        )
        marginals, used = merge_columns(lattice.marginals(), columns, filler, end_tokens)
        return Projection(best, marginals, sample, max(0.0, -lattice.partition), used)

    def weights(
        self,
        logits: NDArray[np.float32],
        tokens: Tokens,
        known: NDArray[np.bool_],
        ends: Tokens,
    ) -> tuple[NDArray[np.float64], Tokens]:
        """Log-probabilities (L, U + K + 1) of the columns, and the end token (L,) that BLANK is in each
        cell."""
        num_usable, blank = len(self.usable), len(self.usable) + len(self.pinned)
        log_total = normalizer(logits)
        weights = np.full((len(tokens), blank + 1), -np.inf)
        weights[:, :num_usable] = logits[:, self.usable] - log_total
        filler = np.zeros(len(tokens), np.int64)
        if len(ends):
            filler = ends[logits[:, ends].argmax(1)]
            weights[:, blank] = logits[:, ends].max(1) - log_total[:, 0]
        # A known cell holds its token with certainty: BLANK if it is an end token, else a pinned column.
        weights[known] = -np.inf
        cells = np.flatnonzero(known)
        is_end = np.isin(tokens[cells], ends)
        weights[cells[is_end], blank] = 0.0
        inside = cells[~is_end]
        weights[inside, num_usable + np.searchsorted(self.pinned, tokens[inside])] = 0.0
        return weights, filler


def normalizer(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log-sum-exp of every cell (L, 1), row by row: no second (L, V) array of doubles is made."""
    high = logits.max(1, keepdims=True)
    sums = [[np.exp(row - top).sum(dtype=np.float64)] for row, top in zip(logits, high, strict=True)]
    log_total: NDArray[np.float64] = high + np.log(sums)
    return log_total


def merge_columns(
    marginals: NDArray[np.float64],
    columns: Tokens,
    filler: Tokens,
    ends: Tokens,
) -> tuple[NDArray[np.float64], Tokens]:
    """Marginals by token, from marginals by column: a token that is both usable and pinned has two columns.

    The last column of ``marginals`` is BLANK, which is the token ``filler`` (L,). Returns marginals (L, M)
    and the M tokens.
    """
    tokens = np.unique(np.concatenate([columns, ends]))
    merged = np.zeros((len(marginals), len(tokens)))
    np.add.at(merged.T, np.searchsorted(tokens, columns), marginals[:, : len(columns)].T)
    merged[np.arange(len(merged)), np.searchsorted(tokens, filler).clip(max=len(tokens) - 1)] += marginals[
        :, -1
    ]
    return merged, tokens
