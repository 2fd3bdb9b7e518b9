"""The specification: a factorised distribution over a block's cells, conditioned on a regular language. Plain torch.

    L cells   S states   E edges   C labels (sets of symbols)   V symbols, the last of which is BLANK

An automaton reads the symbols of the cells from left to right. It must be *unambiguous*: a text it accepts has one path, so
that a sum over paths is a sum over texts. A cell of a *slot* may hold BLANK: then so do the slot's other cells to its right, and
the automaton stands still. ``weights`` (L, V) are log-probabilities, -inf where a cell may not hold a symbol.

``lattice_cpu.py`` is the same in numba. Marginals are the gradient of the log-partition function (Eisner 2016, "Inside-outside
and forward-backward algorithms are just backprop"); the best block is its limit at temperature zero (Viterbi 1967).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Automaton:
    """An acyclic-in-time view of a language: state 0 first, states in order of how soon they can be reached.

    src, label, dst (E,): edges that read a symbol, by source.  first (S+1,): where each state's edges begin.
    skip_src, skip_dst (K,): edges that read nothing, so ordered that a chain of them can be followed in one pass.
    accept (S,) bool.  reach, rest (S,): fewest symbols from the start, and to an accepting state.
    members (M,), member_first (C+1,): the symbols of each label.
    """

    src: Ints
    label: Ints
    dst: Ints
    first: Ints
    skip_src: Ints
    skip_dst: Ints
    accept: NDArray[np.bool_]
    reach: Ints
    rest: Ints
    members: Ints
    member_first: Ints

    @property
    def num_states(self) -> int:
        return len(self.reach)

    @cached_property
    def atoms(self) -> tuple[Ints, Ints, Ints]:
        """Symbols that stand in the same labels are one atom: the atom of each symbol (-1: of no label), and the atoms of each
        label, as ``members`` and ``member_first`` give its symbols."""
        labels = len(self.member_first) - 1
        owner = np.repeat(np.arange(labels), np.diff(self.member_first))
        marks = np.random.default_rng(0).integers(
            1, 1 << 63, labels, dtype=np.uint64
        )  # a set of labels is known by its sum
        signature = np.zeros(int(self.members.max(initial=-1)) + 1, np.uint64)
        np.add.at(signature, self.members, marks[owner])
        _, first, atom = np.unique(signature, return_index=True, return_inverse=True)
        stands = np.zeros(len(signature), bool)
        stands[first] = True  # one symbol stands for its atom
        chosen = stands[self.members]
        counts = np.concatenate([[0], np.cumsum(np.bincount(owner[chosen], minlength=labels))])
        found = np.where(signature == 0, -1, atom).astype(np.int32)
        return found, found[self.members[chosen]], counts.astype(np.int32)

    def spans(self) -> list[list[int]]:
        """The symbols of each label, as lists."""
        return [
            self.members[a:b].tolist() for a, b in zip(self.member_first, self.member_first[1:], strict=False)
        ]


@dataclass(frozen=True, eq=False)
class Slots:
    """Which cells may be BLANK. inside (L,): cells of slots.  last (L,): the last cell of each slot."""

    inside: NDArray[np.bool_]
    last: NDArray[np.bool_]

    @staticmethod
    def single(cells: int) -> Slots:
        """One slot, the whole block."""
        inside, last = np.ones(cells, bool), np.zeros(cells, bool)
        last[-1:] = True
        return Slots(inside, last)


Semiring = Literal["sum", "max"]


def gather(values: Tensor, where: Tensor, size: int, semiring: Semiring) -> Tensor:
    """log-sum-exp, or max, of ``values`` (N,) by target ``where`` (N,), into (size,)."""
    high = torch.full((size,), -torch.inf, dtype=values.dtype).scatter_reduce(0, where, values, "amax")
    if semiring == "max":
        return high
    base = torch.where(high.isfinite(), high, 0.0).detach()
    total = torch.zeros(size, dtype=values.dtype).scatter_add(0, where, (values - base[where]).exp())
    return torch.where(total > 0, total.clamp_min(1e-300).log() + base, -torch.inf)


def plus(a: Tensor, b: Tensor, semiring: Semiring) -> Tensor:
    """a + b in the semiring, with a gradient of 0 where both are impossible."""
    if semiring == "max":
        return torch.maximum(a, b)
    dead = ~(a.isfinite() | b.isfinite())
    safe = torch.logaddexp(torch.where(dead, 0.0, a), torch.where(dead, 0.0, b))
    return torch.where(dead, -torch.inf, safe)


def partition(automaton: Automaton, weights: Tensor, slots: Slots, semiring: Semiring = "sum") -> Tensor:
    """The log of the total weight (or the best text's) of all blocks in the language; -inf where there is none."""
    cells, symbols = weights.shape
    weights = weights.double()
    src, dst, label = (torch.from_numpy(x).long() for x in (automaton.src, automaton.dst, automaton.label))
    spans = automaton.spans()

    def skips(alpha: Tensor) -> Tensor:
        for a, b in zip(automaton.skip_src.tolist(), automaton.skip_dst.tolist(), strict=True):
            alpha = torch.cat([alpha[:b], plus(alpha[b : b + 1], alpha[a : a + 1], semiring), alpha[b + 1 :]])
        return alpha

    states = automaton.num_states
    alpha = torch.full((states,), -torch.inf, dtype=torch.float64)
    alpha = torch.cat(
        [torch.zeros(1, dtype=torch.float64), alpha[1:]]
    )  # arrivals: a tail of blanks begins before skips
    done = torch.full((states,), -torch.inf, dtype=torch.float64)  # in a slot's blank tail
    for t in range(cells):
        if len(src):
            each = [
                weights[t, span].logsumexp(0) if semiring == "sum" else weights[t, span].max()
                for span in spans
                if span
            ]
            moved = gather(skips(alpha)[src] + torch.stack(each)[label], dst, states, semiring)
        else:
            moved = torch.full_like(alpha, -torch.inf)
        if slots.inside[t]:
            done = plus(alpha, done, semiring) + weights[t, symbols - 1]
        if slots.last[t]:
            moved, done = plus(moved, done, semiring), torch.full_like(done, -torch.inf)
        alpha = moved
    final = skips(alpha)[torch.from_numpy(automaton.accept)]
    if not final.isfinite().any():
        return torch.tensor(-torch.inf, dtype=torch.float64)
    return final.logsumexp(0) if semiring == "sum" else final.max()


def marginals(automaton: Automaton, weights: Tensor, slots: Slots) -> tuple[Tensor, float]:
    """The probability (L, V) that each cell holds each symbol, given that the block is in the language; and the log-partition.
    All zero where nothing is."""
    with torch.enable_grad():
        floor = torch.where(weights.isfinite(), weights.double(), -1e30).requires_grad_()
        total = partition(automaton, floor + torch.where(weights.isfinite(), 0.0, -torch.inf), slots)
        if not total.isfinite():
            return torch.zeros_like(weights, dtype=torch.float64), -float("inf")
        total.backward()  # type: ignore[no-untyped-call]
    assert floor.grad is not None
    return torch.nan_to_num(floor.grad), total.item()


def best(automaton: Automaton, weights: Tensor, slots: Slots) -> tuple[Tensor, float]:
    """The likeliest block (L,) in the language and its log-weight; -1 everywhere where there is none. Cell by cell, by asking
    what is lost when a symbol is taken away: slow and plainly right."""
    top = partition(automaton, weights, slots, "max").item()
    if top == -float("inf"):
        return torch.full((len(weights),), -1), top
    fixed = weights.double().clone()
    for t in range(len(weights)):
        for symbol in fixed[t].argsort(descending=True).tolist():
            tried = fixed.clone()
            tried[t] = -torch.inf
            tried[t, symbol] = fixed[t, symbol]
            if partition(automaton, tried, slots, "max").item() >= top - 1e-9:
                fixed = tried
                break
    return fixed.argmax(-1), top
