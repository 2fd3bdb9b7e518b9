"""The specification of the lattice: a factorised distribution over a block's cells, conditioned on a
regular language.

    L cells   S states   E edges   C labels (sets of symbols)   V symbols, the last of which is BLANK

An automaton reads the symbols of the cells from left to right. It must be *unambiguous*: an accepted text
has one path, so that a sum over paths is a sum over texts. A cell of a *slot* may hold BLANK; then all
later cells of the slot are BLANK as well, and the automaton keeps its state. ``weights`` (L, V) are
log-probabilities, -inf where a cell may not hold a symbol.

Marginals are the gradient of the log-partition function (Eisner 2016, "Inside-outside and forward-backward
algorithms are just backprop"); the best block is its limit at temperature zero (Viterbi 1967). Everything
here is plain torch; lattice_fast.py computes the same with numba.

    >>> Slots.single(3).last
    array([False, False,  True])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Automaton:
    """An automaton as arrays. State 0 is the start; states are in the order of their distance from it.

    Attributes:
        src, label, dst: edges that read a symbol of a label, by source, each (E,).
        first: where each state's edges begin (S + 1,).
        skip_src, skip_dst: edges that read nothing, each (K,), ordered so that one pass follows every
            chain of them.
        accept: accepting states (S,).
        reach: fewest symbols from the start to each state (S,).
        rest: fewest symbols from each state to an accepting one (S,).
        members: the symbols of all labels, one label after the other.
        member_first: where each label's symbols begin (C + 1,).
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
        """S."""
        return len(self.reach)

    @cached_property
    def atoms(self) -> tuple[Ints, Ints, Ints]:
        """Atoms: classes of symbols that are in the same labels.

        Returns:
            The atom of each symbol, -1 if it is in no label; the atoms of all labels; where each label's
            atoms begin (C + 1,).
        """
        labels = len(self.member_first) - 1
        owner = np.repeat(np.arange(labels), np.diff(self.member_first))
        # A symbol's set of labels is identified by the sum of their random marks.
        marks = np.random.default_rng(0).integers(1, 1 << 63, labels, dtype=np.uint64)
        signature = np.zeros(int(self.members.max(initial=-1)) + 1, np.uint64)
        np.add.at(signature, self.members, marks[owner])
        _, first, atom = np.unique(signature, return_index=True, return_inverse=True)
        # One symbol represents its atom in the labels.
        represents = np.zeros(len(signature), bool)
        represents[first] = True
        kept = represents[self.members]
        counts = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=labels))])
        atom_of = np.where(signature == 0, -1, atom).astype(np.int32)
        return atom_of, atom_of[self.members[kept]], counts.astype(np.int32)

    @cached_property
    def skips_by_source(self) -> tuple[Ints, Ints]:
        """Where each state's skips begin (S + 1,), and the targets of skips by source (K,)."""
        order = np.argsort(self.skip_src, kind="stable")
        first = np.searchsorted(self.skip_src[order], np.arange(self.num_states + 1))
        return first.astype(np.int32), self.skip_dst[order].astype(np.int32)


@dataclass(frozen=True, eq=False)
class Slots:
    """The cells that may be BLANK.

    Attributes:
        inside: cells of slots (L,) bool.
        last: the last cell of each slot (L,) bool.
    """

    inside: NDArray[np.bool_]
    last: NDArray[np.bool_]

    @staticmethod
    def single(cells: int) -> Slots:
        """One slot that is the entire block."""
        inside, last = np.ones(cells, bool), np.zeros(cells, bool)
        last[-1:] = True
        return Slots(inside, last)


Semiring = Literal["sum", "max"]


def gather(values: Tensor, index: Tensor, size: int, semiring: Semiring) -> Tensor:
    """log-sum-exp, or maximum, of ``values`` (N,) by target ``index`` (N,), into (size,)."""
    high = torch.full((size,), -torch.inf, dtype=values.dtype).scatter_reduce(0, index, values, "amax")
    if semiring == "max":
        return high
    base = torch.where(high.isfinite(), high, 0.0).detach()
    total = torch.zeros(size, dtype=values.dtype).scatter_add(0, index, (values - base[index]).exp())
    return torch.where(total > 0, total.clamp_min(1e-300).log() + base, -torch.inf)


def plus(x: Tensor, y: Tensor, semiring: Semiring) -> Tensor:
    """x + y in the semiring, with a gradient of 0 where both are impossible."""
    if semiring == "max":
        return torch.maximum(x, y)
    impossible = ~(x.isfinite() | y.isfinite())
    total = torch.logaddexp(torch.where(impossible, 0.0, x), torch.where(impossible, 0.0, y))
    return torch.where(impossible, -torch.inf, total)


def partition(automaton: Automaton, weights: Tensor, slots: Slots, semiring: Semiring = "sum") -> Tensor:
    """The log of the total weight of the language's blocks, or with "max" that of the best; -inf if it has
    none."""
    cells, symbols = weights.shape
    weights = weights.double()
    src, dst, label = (
        torch.from_numpy(array).long() for array in (automaton.src, automaton.dst, automaton.label)
    )
    members = [automaton.members[start:end].tolist() for start, end in pairwise(automaton.member_first)]

    def follow_skips(scores: Tensor) -> Tensor:
        for i, j in zip(automaton.skip_src.tolist(), automaton.skip_dst.tolist(), strict=True):
            total = plus(scores[j : j + 1], scores[i : i + 1], semiring)
            scores = torch.cat([scores[:j], total, scores[j + 1 :]])
        return scores

    states = automaton.num_states
    impossible = torch.full((states,), -torch.inf, dtype=torch.float64)
    arrived = torch.cat([torch.zeros(1, dtype=torch.float64), impossible[1:]])
    tail = impossible  # inside a slot's tail of BLANKs, which begins before skips: one text, one path
    for t in range(cells):
        if len(src):
            by_label = [
                weights[t, group].logsumexp(0) if semiring == "sum" else weights[t, group].max()
                for group in members
                if group
            ]
            scores = follow_skips(arrived)[src] + torch.stack(by_label)[label]
            moved = gather(scores, dst, states, semiring)
        else:
            moved = torch.full_like(arrived, -torch.inf)
        if slots.inside[t]:
            tail = plus(arrived, tail, semiring) + weights[t, symbols - 1]
        if slots.last[t]:
            moved, tail = plus(moved, tail, semiring), impossible
        arrived = moved
    final = follow_skips(arrived)[torch.from_numpy(automaton.accept)]
    if not final.isfinite().any():
        return torch.tensor(-torch.inf, dtype=torch.float64)
    return final.logsumexp(0) if semiring == "sum" else final.max()


def marginals(automaton: Automaton, weights: Tensor, slots: Slots) -> tuple[Tensor, float]:
    """The probability (L, V) of each symbol in each cell, given that the block is in the language, and the
    log-partition.

    If no block is in the language, the probabilities are zero and the log-partition is -inf.
    """
    with torch.enable_grad():
        floor = torch.where(weights.isfinite(), weights.double(), -1e30).requires_grad_()
        total = partition(automaton, floor + torch.where(weights.isfinite(), 0.0, -torch.inf), slots)
        if not total.isfinite():
            return torch.zeros_like(weights, dtype=torch.float64), -float("inf")
        total.backward()  # type: ignore[no-untyped-call]  # torch's
    assert floor.grad is not None
    return torch.nan_to_num(floor.grad), total.item()


def best(automaton: Automaton, weights: Tensor, slots: Slots) -> tuple[Tensor, float]:
    """The likeliest block (L,) in the language and its log-weight; -1 everywhere if there is none.

    Fixes one cell after the other to a symbol that keeps the maximum: slow, and simple enough for a
        specification.
    """
    top = partition(automaton, weights, slots, "max").item()
    if top == -float("inf"):
        return torch.full((len(weights),), -1), top
    fixed = weights.double().clone()
    for t in range(len(weights)):
        for symbol in fixed[t].argsort(descending=True).tolist():
            trial = fixed.clone()
            trial[t] = -torch.inf
            trial[t, symbol] = fixed[t, symbol]
            if partition(automaton, trial, slots, "max").item() >= top - 1e-9:
                fixed = trial
                break
    return fixed.argmax(-1), top
