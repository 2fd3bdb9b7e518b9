"""The minimal acyclic automaton of a finite set of words, and its byte automaton.

>>> graph = word_graph([b"cat", b"rat", b"ran"])
>>> len(graph), graph[-1]
(5, (False, ((99, 2), (114, 3))))

The words are added in alphabetical order: as soon as no later word can pass through a node, the node is
replaced by an equal one that exists already (Daciuk, Mihov, Watson and Watson 2000, "Incremental construction
of minimal acyclic finite-state automata"). 10,000 words take about a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from solver.tasks.languages.byte_automaton import ByteAutomaton, grouped, label

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
