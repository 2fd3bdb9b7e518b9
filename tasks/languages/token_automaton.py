"""A byte language read with a tokenizer's tokens, and the projection onto it.

    >>> from solver.tasks.languages.grammar import PatternGrammar
    >>> from solver.tasks.languages.token_bytes import TokenBytes
    >>> from solver.tasks.languages.unroll import unroll
    >>> vocabulary = TokenBytes((b"a", b"b", b"ab", b""))          # the last token ends a text
    >>> unrolled, slots = unroll(PatternGrammar("^(ab)+$"), cells=12), Slots.single(3)
    >>> logits, tokens = np.array([[0, 0, 1, 0]] * 3, np.float32), np.zeros(3, np.int64)
    >>> project_tokens(unrolled, vocabulary, slots, logits, tokens, np.zeros(3, bool), ends=[3]).best.tolist()
    [2, 2, 2]

Only part of a large vocabulary is used at first: the likeliest tokens of every cell, all single bytes, and
the tokens that spell what the language forces. If no block results, one token for every pair of states that
tokens connect is added, which makes the answer None exact. A text can have several spellings in tokens; the
best block is the best spelling.

Of the logits, which may be on another device, only the columns of the tokens that are used are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_fast import Lattice
from solver.kernels.trie import Ints, walk
from solver.tasks.languages.assembly import build_automaton
from solver.tasks.languages.cell_logits import NO_TOKENS, CellLogits
from solver.tasks.languages.projection import Projection
from solver.tasks.languages.token_bytes import TokenBytes, Tokens, closure_of_start
from solver.tasks.languages.unroll import Unrolled

LIKELIEST = 32  # tokens per cell that are used at first


def project_tokens(
    unrolled: Unrolled,
    vocabulary: TokenBytes,
    slots: Slots,
    logits: Tensor | NDArray[np.float32],
    tokens: Tokens,
    known: NDArray[np.bool_],
    ends: Sequence[int],
    rng: np.random.Generator | None = None,
    likeliest: int = LIKELIEST,
    literal: NDArray[np.bool_] | None = None,
) -> Projection | None:
    """Condition the cells' distributions over tokens on a byte language and on the known cells.

    Args:
        unrolled: the language, over bytes.
        vocabulary: the bytes of the tokens.
        slots: cells that may hold an end token.
        logits: (L, V), on any device.
        tokens: the tokens of the ``known`` cells (L,).
        known: cells whose tokens are fixed (L,).
        ends: tokens that may follow the text. A cell ends the text with the sum of their probabilities, and
            the likeliest of them fills it.
        rng: draws a sample, if given.
        likeliest: number of tokens per cell that are used at first.
        literal: the known cells (L,) that are part of a template, in which white space may stand; None for
            all of them.

    Returns:
        The projection, or None if no block of the language holds the known tokens.
    """
    literal = known if literal is None else known & literal
    cells = CellLogits.of(logits, tokens, known, likeliest)
    for automaton in token_automata(unrolled, vocabulary, cells, literal, ends):
        projection = automaton.project(slots, cells, literal, ends, rng)
        if projection is not None:
            return projection
    return None


def is_possible(
    unrolled: Unrolled,
    vocabulary: TokenBytes,
    slots: Slots,
    tokens: Tokens,
    literal: NDArray[np.bool_],
    ends: Sequence[int],
) -> bool:
    """Whether any block of the language holds ``tokens`` (L,) in the ``literal`` cells (L,) of a template."""
    logits = torch.zeros(1, 1).expand(len(tokens), len(vocabulary.texts))
    cells = CellLogits(logits, tokens, literal, np.zeros(len(tokens)), NO_TOKENS)
    automata = token_automata(unrolled, vocabulary, cells, literal, ends)
    return any(
        automaton.lattice(slots, cells, literal, ends)[0].best()[1] > -np.inf for automaton in automata
    )


def token_automata(
    unrolled: Unrolled,
    vocabulary: TokenBytes,
    cells: CellLogits,
    literal: NDArray[np.bool_],
    ends: Sequence[int],
) -> Iterator[TokenAutomaton]:
    """The automaton over a part of the vocabulary, and then one that has a block if there is any."""
    tokens, is_end = cells.tokens, np.isin(cells.tokens, ends)
    pinned = np.unique(tokens[literal & ~is_end])
    is_column = np.zeros(len(vocabulary.texts), bool)
    is_column[cells.likeliest] = True
    is_column[vocabulary.single_bytes] = True
    is_column[vocabulary.forced_by(unrolled.automaton)] = True
    is_column &= vocabulary.is_usable
    is_column[tokens[cells.known & ~literal & ~is_end]] = True
    for is_widened in (False, True):
        if is_widened:
            is_column[vocabulary.spanning(unrolled.automaton)] = True
        yield TokenAutomaton.build(
            unrolled, vocabulary, np.flatnonzero(is_column), pinned, len(tokens), bool(literal[:1].any())
        )


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """An automaton over tokens.

    Attributes:
        automaton: its symbols are columns: those of ``usable``, then those of ``pinned``, then BLANK.
        usable: tokens that open cells may hold (U,).
        pinned: tokens of a template (K,), which may read white space outside strings.
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
        is_first_pinned: bool = False,
    ) -> TokenAutomaton:
        """Read the byte automaton of ``unrolled`` with whole tokens, for blocks of at most ``cells``
        tokens. ``is_first_pinned``: the first cell is part of the template."""
        automaton = unrolled.automaton
        start, accept = 0, automaton.accept
        edges = [
            walk(automaton, vocabulary.trie(usable)),
            walk(automaton, vocabulary.trie(pinned), white=True) + np.array([0, len(usable), 0], np.int32),
        ]
        if vocabulary.first is not None:
            # A state of its own precedes the first token, whose bytes differ. It is kept by unused cells. A
            # template's token that follows them must not lose its space.
            start, closure = automaton.num_states, closure_of_start(automaton)
            accept = np.append(accept, accept[closure].any())
            changed = np.array([vocabulary.first[n] != vocabulary.texts[n] for n in pinned.tolist()], bool)
            kept = np.flatnonzero(is_first_pinned | ~changed)
            first_pinned = first_edges(automaton, vocabulary, pinned[kept], closure, white=True)
            first_pinned[:, 1] = kept[first_pinned[:, 1]] + len(usable)
            edges += [first_edges(automaton, vocabulary, usable, closure), first_pinned]
        triples = np.concatenate(edges)

        # Tokens with the same source and target share an edge; equal sets of tokens share a label.
        triples = triples[np.lexsort((triples[:, 1], triples[:, 2], triples[:, 0]))]
        is_first = np.ones(len(triples), bool)
        is_first[1:] = (np.diff(triples[:, [0, 2]], axis=0) != 0).any(1)
        firsts = np.flatnonzero(is_first)
        groups = np.split(triples[:, 1], firsts[1:]) if len(triples) else []
        sets = [group.tobytes() for group in groups]
        numbers = {group: number for number, group in enumerate(dict.fromkeys(sets))}
        labels = np.array([numbers[group] for group in sets], np.int32)
        over_tokens = build_automaton(
            (triples[firsts, 0], labels, triples[firsts, 2]),
            (automaton.skip_src, automaton.skip_dst),
            accept,
            [np.frombuffer(group, np.int32) for group in numbers or [b""]],
            start,
            cells,
        )
        return cls(over_tokens, usable, pinned)

    def project(
        self,
        slots: Slots,
        cells: CellLogits,
        literal: NDArray[np.bool_],
        ends: Sequence[int],
        rng: np.random.Generator | None,
    ) -> Projection | None:
        """See :func:`project_tokens`; only the tokens of this automaton are used."""
        columns = np.concatenate([self.usable, self.pinned])
        blank, known = len(columns), cells.known
        lattice, filler = self.lattice(slots, cells, literal, ends)
        best, score = lattice.best()
        if score == -np.inf:
            return None
        sample = best if rng is None else lattice.sample(rng)
        best, sample = (
            np.where(
                known, cells.tokens, np.where(path == blank, filler, columns[np.minimum(path, blank - 1)])
            )
            for path in (best, sample)
        )
        marginals, used = merge_columns(lattice.marginals(), self.usable, self.pinned, filler, ends)
        return Projection(best, marginals, sample, max(0.0, -lattice.partition), used)

    def lattice(
        self,
        slots: Slots,
        cells: CellLogits,
        literal: NDArray[np.bool_],
        ends: Sequence[int],
    ) -> tuple[Lattice, Tokens]:
        """The lattice of this automaton, and the end token (L,) that BLANK is in each cell."""
        weights, filler = self.weights(cells, literal, np.array(list(ends), np.int64))
        return Lattice(self.automaton, weights, slots), filler

    def weights(
        self,
        cells: CellLogits,
        literal: NDArray[np.bool_],
        ends: Tokens,
    ) -> tuple[NDArray[np.float64], Tokens]:
        """Log-probabilities (L, U + K + 1) of the columns, and the end token (L,) that BLANK is in each
        cell."""
        num_usable, blank = len(self.usable), len(self.usable) + len(self.pinned)
        tokens, known = cells.tokens, cells.known
        weights = np.full((len(tokens), blank + 1), -np.inf)
        weights[:, :num_usable] = cells.columns(self.usable)
        filler = np.zeros(len(tokens), np.int64)
        if len(ends):
            end_weights = cells.columns(ends)
            filler = ends[end_weights.argmax(1)]
            weights[:, blank] = np.logaddexp.reduce(end_weights, axis=1)
        # A known cell holds its token with certainty: BLANK, or the column of a usable or pinned token.
        weights[known] = -np.inf
        is_end = np.isin(tokens, ends)
        weights[known & is_end, blank] = 0.0
        for numbers, column_tokens, first in (
            (np.flatnonzero(known & ~literal & ~is_end), self.usable, 0),
            (np.flatnonzero(literal & ~is_end), self.pinned, num_usable),
        ):
            weights[numbers, first + np.searchsorted(column_tokens, tokens[numbers])] = 0.0
        return weights, filler


def first_edges(
    automaton: Automaton,
    vocabulary: TokenBytes,
    tokens: Tokens,
    closure: Ints,
    white: bool = False,
) -> Ints:
    """The (source, token, target) triples of ``tokens`` as the first ones of a text.

    Their source is an additional state. A token without bytes leads to the start of the automaton.
    """
    assert vocabulary.first is not None
    triples = walk(automaton, vocabulary.trie(tokens, is_first=True), white=white, sources=closure)
    silent = [[0, n, 0] for n, token in enumerate(tokens.tolist()) if not vocabulary.first[token]]
    triples = np.concatenate([triples, np.array(silent, np.int32).reshape(-1, 3)])
    triples[:, 0] = automaton.num_states
    return triples


def merge_columns(
    marginals: NDArray[np.float64],
    usable: Tokens,
    pinned: Tokens,
    filler: Tokens,
    ends: Sequence[int],
) -> tuple[NDArray[np.float64], Tokens]:
    """Marginals by token, from marginals by column: a token that is both usable and pinned has two columns.

    The last column of ``marginals`` is BLANK, which is the token ``filler`` (L,). Returns marginals (L, M)
    and the M tokens.
    """
    tokens = np.unique(np.concatenate([usable, pinned, np.array(list(ends), np.int64)]))
    merged = np.zeros((len(marginals), len(tokens)))
    merged[:, np.searchsorted(tokens, usable)] = marginals[:, : len(usable)]
    merged[:, np.searchsorted(tokens, pinned)] += marginals[:, len(usable) : -1]
    cells, fillers = np.arange(len(merged)), np.searchsorted(tokens, filler).clip(max=len(tokens) - 1)
    merged[cells, fillers] += marginals[:, -1]
    return merged, tokens
