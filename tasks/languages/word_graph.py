"""The minimal acyclic automaton of a finite set of words, and its byte automaton.

>>> graph = word_graph([b"cat", b"rat", b"ran"])
>>> len(graph), graph[-1]
(6, (False, ((99, 2), (114, 4))))

The words are added in alphabetical order: as soon as no later word can pass through a node, the node is
replaced by an equal one that exists already (Daciuk, Mihov, Watson and Watson 2000, "Incremental construction
of minimal acyclic finite-state automata"). 10,000 words take about a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from solver.tasks.languages.byte_automaton import EXIT, LABELS, ByteAutomaton, explore, grouped, label

WordNode = tuple[bool, tuple[tuple[int, int], ...]]  # whether a word ends here; (symbol, number of the node)


def word_graph(words: Iterable[bytes | tuple[int, ...]]) -> list[WordNode]:
    """The nodes of the minimal automaton of ``words``, targets before sources; the last one is the start."""
    numbers: dict[WordNode, int] = {}
    # The nodes along the last word, each as whether a word ends there and its edges but the last.
    path: list[tuple[bool, list[tuple[int, int]]]] = [(False, [])]
    last: Sequence[int] = ()

    def freeze(length: int) -> None:
        """Number the nodes of the path beyond ``length`` symbols."""
        while len(path) > length + 1:
            is_final, edges = path.pop()
            node = is_final, tuple(edges)
            number = numbers.setdefault(node, len(numbers))
            path[-1][1].append((last[len(path) - 1], number))

    for word in sorted(map(tuple, words)):
        common = next(
            (n for n, (old, new) in enumerate(zip(last, word, strict=False)) if old != new),
            min(len(last), len(word)),
        )
        freeze(common)
        path += [(False, []) for _ in word[common:]]
        path[-1] = True, path[-1][1]
        last = word
    freeze(0)
    is_final, edges = path[0]
    return [*numbers, (is_final, tuple(edges))]


@lru_cache(maxsize=1024)
def literals_automaton(texts: tuple[bytes, ...]) -> ByteAutomaton:
    """Exactly these texts, as a minimal automaton."""
    graph = word_graph(texts)
    # The node of the ends of words is the exit. All others are numbered from the start.
    exits = {number for number, (is_final, edges) in enumerate(graph[:-1]) if is_final and not edges}
    inner = [number for number in reversed(range(len(graph))) if number not in exits]
    position = {number: index for index, number in enumerate(inner)} | dict.fromkeys(exits, len(inner))
    rows: list[tuple[int, int, int]] = []
    for number in inner:
        by_target = grouped((target, symbol) for symbol, target in graph[number][1])
        for target, symbols in by_target.items():
            mask = sum(1 << symbol for symbol in symbols)
            rows.append((position[number], label(mask), position[target]))
    src, marks, dst = np.array(rows, np.int32).reshape(-1, 3).T.copy()
    ends = tuple(position[number] for number in inner if graph[number][0])
    return ByteAutomaton(len(inner), src, marks, dst, ends)


@lru_cache(maxsize=256)
def without_words(automaton: ByteAutomaton, words: frozenset[bytes]) -> ByteAutomaton:
    """The texts of a deterministic automaton that are not among ``words``.

    Raises:
        TooLargeError: it has too many states.
    """
    if not words:
        return automaton
    graph = word_graph(words)

    # A state is one of the automaton and the node of the words so far, None if no word begins like this.
    def edges(state: Hashable) -> Iterable[tuple[int, Hashable]]:
        assert isinstance(state, tuple)
        source, node = state
        followers = dict(graph[node][1]) if node is not None else {}
        for mark, target in automaton.edges_from.get(source, ()):
            mask = LABELS[mark]
            for byte, after in followers.items():
                if mask >> byte & 1:
                    mask &= ~(1 << byte)
                    if target < automaton.num_states:
                        yield byte, (target, after)
                    elif not graph[after][0]:
                        yield byte, EXIT
            if mask:
                yield label(mask), (target, None) if target < automaton.num_states else EXIT

    def is_end(state: Hashable) -> bool:
        assert isinstance(state, tuple)
        return state[0] in automaton.ends and not (state[1] is not None and graph[state[1]][0])

    longest = automaton.num_states + max(map(len, words), default=0)
    return explore((0, len(graph) - 1), edges, is_end, longest)
