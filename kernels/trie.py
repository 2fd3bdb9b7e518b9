"""Walking a byte automaton with whole tokens, compiled by numba: which tokens lead from each state, and where to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Trie:
    """The bytes of some tokens. first (N+1,), byte, child: each node's children by byte; done_first (N+1,), done: the numbers
    of the tokens that end at a node."""

    first: Ints
    byte: Ints
    child: Ints
    done_first: Ints
    done: Ints

    @staticmethod
    def build(tokens: list[bytes]) -> Trie:
        """A trie; tokens without bytes are left out."""
        order = sorted(range(len(tokens)), key=tokens.__getitem__)
        parents: list[int] = []
        bytes_: list[int] = []
        ends: list[tuple[int, int]] = []
        path: list[int] = [0]  # nodes along the last token
        last, nodes = b"", 1
        for number in order:
            token = tokens[number]
            if not token:
                continue
            shared = 0
            most = min(len(last), len(token))
            while shared < most and last[shared] == token[shared]:
                shared += 1
            del path[shared + 1 :]
            for byte in token[shared:]:
                parents.append(path[-1])
                bytes_.append(byte)
                path.append(nodes)
                nodes += 1
            ends.append((path[-1], number))
            last = token
        parent = np.array(parents, np.int32)
        by_parent = np.argsort(parent, kind="stable")
        ends.sort()
        at = np.array([node for node, _ in ends], np.int32)
        every = np.arange(nodes + 1)
        return Trie(
            first=np.searchsorted(parent[by_parent], every).astype(np.int32),
            byte=np.array(bytes_, np.int32)[by_parent],
            child=(by_parent + 1).astype(np.int32),
            done_first=np.searchsorted(at, every).astype(np.int32),
            done=np.array([number for _, number in ends], np.int32),
        )


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    label,
    dst,
    first,
    skip_first,
    skip_dst,
    member,
    t_first,
    t_byte,
    t_child,
    t_done_first,
    t_done,
    starts,
    most,
    out,
):
    """Pairs (source, token, target) into ``out``; how many there are, and whether a state had more than ``most``."""
    found, cut = 0, False
    nodes = np.empty(1 << 16, np.int32)
    states = np.empty(1 << 16, np.int32)
    for s in starts:
        here = 0
        nodes[0], states[0], depth = 0, s, 1
        while depth > 0:
            depth -= 1
            n, q = nodes[depth], states[depth]
            for e in range(first[q], first[q + 1]):
                for k in range(t_first[n], t_first[n + 1]):
                    if not member[label[e], t_byte[k]]:
                        continue
                    c, r = t_child[k], dst[e]
                    for d in range(t_done_first[c], t_done_first[c + 1]):
                        if here >= most:
                            cut = True
                            break
                        if found < len(out):
                            out[found, 0], out[found, 1], out[found, 2] = s, t_done[d], r
                        found += 1
                        here += 1
                    if t_first[c] < t_first[c + 1] and here < most and depth + 1 < len(nodes):
                        nodes[depth], states[depth] = c, r
                        depth += 1
                        at = depth - 1  # and wherever skips lead from there, inside the token
                        while at < depth:
                            for j in range(skip_first[states[at]], skip_first[states[at] + 1]):
                                if depth < len(nodes):
                                    nodes[depth], states[depth] = c, skip_dst[j]
                                    depth += 1
                            at += 1
    return found, cut


def walk(automaton: Automaton, trie: Trie, most: int = 1 << 30, white: bool = False) -> tuple[Ints, bool]:
    """(source, token, target) triples (N, 3) of all tokens that lead from a state to another, skips before and after them left
    out; and whether some state had more than ``most``. ``white``: white space outside strings may be read (the WHITE symbol)."""
    a = automaton
    member = np.zeros((max(1, len(a.member_first) - 1), 256), bool)
    for c, (lo, hi) in enumerate(zip(a.member_first, a.member_first[1:], strict=False)):
        symbols = a.members[lo:hi]
        member[c, symbols[symbols < 256]] = True
        if white and (symbols == 256).any():
            member[c, [9, 10, 13, 32]] = True
    order = np.argsort(a.skip_src, kind="stable")
    skip_first = np.searchsorted(a.skip_src[order], np.arange(a.num_states + 1)).astype(np.int32)
    graph = (a.label, a.dst, a.first, skip_first, a.skip_dst[order].astype(np.int32), member)
    tree = (trie.first, trie.byte, trie.child, trie.done_first, trie.done)
    starts = np.arange(a.num_states, dtype=np.int32)
    out = np.empty((1 << 16, 3), np.int32)
    found, cut = _walk(*graph, *tree, starts, most, out)
    if found > len(out):
        out = np.empty((found, 3), np.int32)
        _walk(*graph, *tree, starts, most, out)
    return out[:found], cut
