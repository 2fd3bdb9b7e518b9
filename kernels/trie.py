"""Walks a byte automaton with whole tokens, compiled by numba: which tokens leave each state, and where
they lead.

>>> trie = Trie.build([b"a", b"ab", b""])
>>> trie.byte.tolist(), trie.ending.tolist()        # a node per prefix; the tokens that end at the nodes
([97, 98], [0, 1])
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton

Ints = NDArray[np.int32]
WHITE = 256  # the symbol of white space outside strings
WHITE_BYTES = [9, 10, 13, 32]


@dataclass(frozen=True, eq=False)
class Trie:
    """The bytes of tokens as a trie of N nodes; node 0 is the root.

    Attributes:
        first: where each node's children begin (N + 1,).
        byte, child: the byte and the node of every child.
        ending_first: where the tokens that end at each node begin (N + 1,).
        ending: the numbers of those tokens.
    """

    first: Ints
    byte: Ints
    child: Ints
    ending_first: Ints
    ending: Ints

    @staticmethod
    def build(tokens: list[bytes]) -> Trie:
        """A trie of ``tokens``; those without bytes are left out."""
        # In sorted order, a token shares its longest prefix with the token before it.
        parents, edge_bytes, ends = list[int](), list[int](), list[tuple[int, int]]()
        path, last = [0], b""  # nodes along the last token, and that token
        for number in sorted(range(len(tokens)), key=tokens.__getitem__):
            token = tokens[number]
            if not token:
                continue
            shared, limit = 0, min(len(last), len(token))
            while shared < limit and last[shared] == token[shared]:
                shared += 1
            del path[shared + 1 :]
            for byte in token[shared:]:
                parents.append(path[-1])
                edge_bytes.append(byte)
                path.append(len(parents))
            ends.append((path[-1], number))
            last = token
        parent = np.array(parents, np.int32)
        by_parent = np.argsort(parent, kind="stable")
        ends.sort()
        end_nodes = np.array([node for node, _ in ends], np.int32)
        nodes = np.arange(len(parents) + 2)
        return Trie(
            first=np.searchsorted(parent[by_parent], nodes).astype(np.int32),
            byte=np.array(edge_bytes, np.int32)[by_parent],
            child=(by_parent + 1).astype(np.int32),
            ending_first=np.searchsorted(end_nodes, nodes).astype(np.int32),
            ending=np.array([number for _, number in ends], np.int32),
        )


@njit(cache=True, nogil=True)
def _walk(graph, trie, limit, out):  # type: ignore[no-untyped-def]
    """Write (source, token, target) triples to ``out``; return their number, and whether a state exceeded
    ``limit``."""
    label, dst, first, skip_first, skip_dst, member = graph
    node_first, node_byte, node_child, ending_first, ending = trie
    total, exceeded = 0, False
    nodes, states = np.empty(1 << 16, np.int32), np.empty(1 << 16, np.int32)  # a stack of pairs
    for source in range(len(first) - 1):
        count = 0
        nodes[0], states[0], depth = 0, source, 1
        while depth > 0:
            depth -= 1
            node, state = nodes[depth], states[depth]
            for edge in range(first[state], first[state + 1]):
                for k in range(node_first[node], node_first[node + 1]):
                    if not member[label[edge], node_byte[k]]:
                        continue
                    child, target = node_child[k], dst[edge]
                    # tokens that end with this byte
                    for n in range(ending_first[child], ending_first[child + 1]):
                        if count >= limit:
                            exceeded = True
                            break
                        if total < len(out):
                            out[total, 0], out[total, 1], out[total, 2] = source, ending[n], target
                        total += 1
                        count += 1
                    # longer tokens, from the target and wherever skips lead inside the token
                    if node_first[child] < node_first[child + 1] and count < limit and depth + 1 < len(nodes):
                        nodes[depth], states[depth] = child, target
                        depth += 1
                        i = depth - 1
                        while i < depth:
                            for j in range(skip_first[states[i]], skip_first[states[i] + 1]):
                                if depth < len(nodes):
                                    nodes[depth], states[depth] = child, skip_dst[j]
                                    depth += 1
                            i += 1
    return total, exceeded


def walk(
    automaton: Automaton,
    trie: Trie,
    limit: int = 1 << 30,
    white: bool = False,
) -> tuple[Ints, bool]:
    """All tokens that lead from one state to another.

    Args:
        automaton: over bytes.
        trie: the tokens.
        limit: tokens per state; more are left out.
        white: read white space outside strings, the WHITE symbol, as well.

    Returns:
        (source, token, target) triples (N, 3), without skips before and after the token; whether a state
        exceeded ``limit``.
    """
    member = np.zeros((max(1, len(automaton.member_first) - 1), 256), bool)  # by label and byte
    for label, (start, end) in enumerate(pairwise(automaton.member_first)):
        symbols = automaton.members[start:end]
        member[label, symbols[symbols < WHITE]] = True
        if white and (symbols == WHITE).any():
            member[label, WHITE_BYTES] = True
    graph = (automaton.label, automaton.dst, automaton.first, *automaton.skips_by_source, member)
    nodes = (trie.first, trie.byte, trie.child, trie.ending_first, trie.ending)
    out = np.empty((1 << 16, 3), np.int32)
    total, exceeded = _walk(graph, nodes, limit, out)
    if total > len(out):
        out = np.empty((total, 3), np.int32)
        _walk(graph, nodes, limit, out)
    return out[:total], exceeded
