"""The bytes of a tokenizer's tokens, and spellings of texts in tokens.

>>> vocabulary = TokenBytes((b" a", b"b", b"a", b" "), first=(b"a", b"b", b"a", b""))
>>> vocabulary.spell(b" ab", is_first=False), vocabulary.spell(b" ab", is_first=True)
([0, 1], [3, 0, 1])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton
from solver.kernels.trie import Ints, Trie, walk

Tokens = NDArray[np.int64]
FORCED = 64  # a state that fewer tokens leave counts as forced


@dataclass(frozen=True, eq=False)
class TokenBytes:
    """The bytes of every token of a vocabulary.

    Attributes:
        texts: the bytes of every token; b"" for tokens that are no text.
        first: the bytes of every token at the start of a text; None if they are the same.
        barred: tokens that only pinned cells may hold.
    """

    texts: tuple[bytes, ...]
    first: tuple[bytes, ...] | None = None
    barred: frozenset[int] = frozenset()

    @cached_property
    def is_usable(self) -> NDArray[np.bool_]:
        """Whether an open cell may hold each token."""
        return np.array([bool(text) and token not in self.barred for token, text in enumerate(self.texts)])

    @cached_property
    def usable(self) -> Tokens:
        """The tokens that open cells may hold."""
        return np.flatnonzero(self.is_usable)

    @cached_property
    def single_bytes(self) -> Tokens:
        """The usable tokens that are one byte."""
        return np.array([token for token in self.usable.tolist() if len(self.texts[token]) == 1], np.int64)

    @cached_property
    def longest(self) -> int:
        """The number of bytes of the longest token."""
        return max(map(len, self.texts), default=0)

    def trie(self, tokens: Tokens, is_first: bool = False) -> Trie:
        """A trie of ``tokens`` by their position in that array."""
        texts = self.texts if self.first is None or not is_first else self.first
        return Trie.build([texts[token] for token in tokens.tolist()])

    def forced_by(self, automaton: Automaton) -> Tokens:
        """The tokens that leave states which few tokens leave: they spell names, constants and
        punctuation."""
        tokens = self._forced.get(automaton)
        if tokens is None:
            triples = walk(automaton, self._usable_trie, FORCED)
            few = np.bincount(triples[:, 0], minlength=automaton.num_states) < FORCED
            tokens = self._forced[automaton] = self.usable[np.unique(triples[few[triples[:, 0]], 1])]
        return tokens

    def spanning(self, automaton: Automaton) -> Tokens:
        """Tokens that connect all pairs of states that usable tokens connect."""
        tokens = self._spanning.get(automaton)
        if tokens is None:
            positions = walk(automaton, self._usable_trie, spans=True)[:, 1]
            if self.first is not None:
                trie = self.trie(self.usable, is_first=True)
                starts = walk(automaton, trie, spans=True, sources=closure_of_start(automaton))
                silent = [n for n, token in enumerate(self.usable.tolist()) if not self.first[token]][:1]
                positions = np.concatenate([positions, starts[:, 1], np.array(silent, np.int32)])
            tokens = self._spanning[automaton] = self.usable[np.unique(positions)]
        return tokens

    @cached_property
    def _usable_trie(self) -> Trie:
        return self.trie(self.usable)

    @cached_property
    def _forced(self) -> WeakKeyDictionary[Automaton, Tokens]:
        return WeakKeyDictionary()

    @cached_property
    def _spanning(self) -> WeakKeyDictionary[Automaton, Tokens]:
        return WeakKeyDictionary()

    @cached_property
    def _by_text(self) -> dict[bytes, int]:
        return {self.texts[token]: token for token in self.usable.tolist()[::-1]}

    @cached_property
    def _by_first_text(self) -> dict[bytes, int]:
        """Tokens by their text at the start; a token of b"" lets its followers keep their spaces."""
        first = self.texts if self.first is None else self.first
        return {first[token]: token for token in self.usable.tolist()[::-1]}

    def spell(self, text: bytes, is_first: bool) -> list[int] | None:
        """The fewest usable tokens whose bytes are ``text``, at the start of a text or later; None if there
        are none."""
        # for each suffix of the text: the number of its tokens, the first of them, and the suffix after it
        suffixes: list[tuple[float, int, int]] = [(np.inf, -1, -1)] * len(text) + [(0, -1, -1)]

        def shortest(start: int, tokens: Mapping[bytes, int], shortest_piece: int) -> tuple[float, int, int]:
            ends = range(start + shortest_piece, min(len(text), start + self.longest) + 1)
            pieces = ((end, tokens.get(text[start:end])) for end in ends)
            options = ((suffixes[end][0] + 1, token, end) for end, token in pieces if token is not None)
            return min(options, key=itemgetter(0), default=(np.inf, -1, -1))

        for start in reversed(range(len(text))):
            suffixes[start] = shortest(start, self._by_text, 1)
        number, token, start = shortest(0, self._by_first_text, 0) if is_first and text else suffixes[0]
        if number == np.inf:
            return None
        spelling = []
        while token >= 0:
            spelling.append(token)
            _, token, start = suffixes[start]
        return spelling


def closure_of_start(automaton: Automaton) -> Ints:
    """The start, and the states that skips reach from it."""
    first, targets = automaton.skips_by_source
    reached = [0]
    for state in reached:
        reached += [j for j in targets[first[state] : first[state + 1]].tolist() if j not in reached]
    return np.array(reached, np.int32)
