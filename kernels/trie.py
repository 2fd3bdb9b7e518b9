"""Walks a byte automaton with whole tokens, compiled by numba: which tokens leave each state, and where
they lead.

>>> trie = Trie.build([b"a", b"ab", b""])
>>> trie.byte.tolist(), trie.ending.tolist()        # a node per prefix; the tokens that end at the nodes
([97, 98], [0, 1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton

Ints = NDArray[np.int32]
WHITE = 256  # the symbol of white space outside strings
WHITE_BYTES = [9, 10, 13, 32]
TRIPLES = 1 << 21  # triples that are expected at most: more of them cost a second pass


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
    def build(tokens: Sequence[bytes]) -> Trie:
        """A trie of ``tokens``; those without bytes are left out."""
        # In sorted order, a token shares its longest prefix with the token before it.
        order = [number for number in sorted(range(len(tokens)), key=tokens.__getitem__) if tokens[number]]
        texts = [tokens[number] for number in order]
        offsets = np.zeros(len(order) + 1, np.int64)
        offsets[1:] = np.cumsum([len(text) for text in texts])
        data = np.frombuffer(b"".join(texts), np.uint8)
        longest = max(map(len, texts), default=0)
        parent, edge_bytes, end_nodes = _insert(data, offsets, longest)
        by_parent = np.argsort(parent, kind="stable")
        by_node = np.argsort(end_nodes, kind="stable")
        nodes = np.arange(len(parent) + 2)
        return Trie(
            first=np.searchsorted(parent[by_parent], nodes).astype(np.int32),
            byte=edge_bytes[by_parent],
            child=(by_parent + 1).astype(np.int32),
            ending_first=np.searchsorted(end_nodes[by_node], nodes).astype(np.int32),
            ending=np.array(order, np.int32)[by_node],
        )


@njit(cache=True, nogil=True)
def _insert(data, offsets, longest):  # type: ignore[no-untyped-def]
    """Insert sorted tokens, the bytes ``data`` between ``offsets``, into a trie.

    Returns the parent and the byte of every node but the root, and the node at which each token ends.
    """
    parent, edge_bytes = np.empty(len(data), np.int32), np.empty(len(data), np.int32)
    end_nodes = np.empty(len(offsets) - 1, np.int32)
    path = np.zeros(longest + 1, np.int32)  # nodes along the last token
    count, last = 0, 0
    for k in range(len(offsets) - 1):
        start, length, shared = offsets[k], offsets[k + 1] - offsets[k], 0
        while shared < min(length, start - last) and data[last + shared] == data[start + shared]:
            shared += 1
        for i in range(shared, length):
            parent[count], edge_bytes[count] = path[i], data[start + i]
            count += 1
            path[i + 1] = count
        end_nodes[k], last = path[length], start
    return parent[:count], edge_bytes[:count], end_nodes


@njit(cache=True, nogil=True)
def _walk(graph, trie, sources, limit, spans, out):  # type: ignore[no-untyped-def]
    """Write (source, token, target) triples to ``out``; return their number.

    With ``spans``, one token per source and target is enough.
    """
    label, dst, first, skip_first, skip_dst, member = graph
    node_first, node_byte, node_child, ending_first, ending = trie
    total = 0
    nodes, states = np.empty(1 << 16, np.int32), np.empty(1 << 16, np.int32)  # a stack of pairs
    latest = np.full(len(first) - 1, -1, np.int32)  # the source that last led to each state
    for source in sources:
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
                        if count >= limit or (spans and latest[target] == source):
                            break
                        latest[target] = source
                        if total < len(out):
                            out[total, 0], out[total, 1], out[total, 2] = source, ending[n], target
                        total += 1
                        count += 1
                    # longer tokens, from the target and wherever skips lead inside the token
                    if node_first[child] < node_first[child + 1] and count < limit:
                        nodes[depth], states[depth] = child, target
                        depth += 1
                        i = depth - 1
                        while i < depth:
                            more = skip_first[states[i] + 1] - skip_first[states[i]]
                            while depth + more + 1 > len(nodes):
                                nodes, states = np.append(nodes, nodes), np.append(states, states)
                            for j in range(skip_first[states[i]], skip_first[states[i] + 1]):
                                nodes[depth], states[depth] = child, skip_dst[j]
                                depth += 1
                            i += 1
    return total


def walk(
    automaton: Automaton,
    trie: Trie,
    limit: int = 1 << 30,
    white: bool = False,
    spans: bool = False,
    sources: Ints | None = None,
) -> Ints:
    """All tokens that lead from one state to another.

    Args:
        automaton: over bytes.
        trie: the tokens.
        limit: tokens per state; more are left out.
        white: read white space outside strings, the WHITE symbol, as well.
        spans: of the tokens with the same source and target, one is enough.
        sources: the states to start from; None for all.

    Returns:
        (source, token, target) triples (N, 3), without skips before and after the token.
    """
    member = np.zeros((max(1, len(automaton.member_first) - 1), 256), bool)  # by label and byte
    for label, (start, end) in enumerate(pairwise(automaton.member_first)):
        symbols = automaton.members[start:end]
        member[label, symbols[symbols < WHITE]] = True
        if white and (symbols == WHITE).any():
            member[label, WHITE_BYTES] = True
    graph = (automaton.label, automaton.dst, automaton.first, *automaton.skips_by_source, member)
    nodes = (trie.first, trie.byte, trie.child, trie.ending_first, trie.ending)
    if sources is None:
        sources = np.arange(automaton.num_states, dtype=np.int32)
    out = np.empty((TRIPLES, 3), np.int32)
    total = _walk(graph, nodes, sources, limit, spans, out)
    if total > len(out):
        out = np.empty((total, 3), np.int32)
        _walk(graph, nodes, sources, limit, spans, out)
    return out[:total]
