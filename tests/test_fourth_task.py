"""A throwaway task written from CONTRIBUTING.md's recipe: colour a graph. It works without a change anywhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from solver.loop.refine import refine
from solver.loop.trace import Outcome
from solver.models import controls
from solver.tasks.task import Canvas, Mask, Task, Tokens, Violation


@dataclass(frozen=True)
class Graph:
    """Vertices 0..n-1, edges between them, colours already fixed."""

    vertices: int
    edges: tuple[tuple[int, int], ...]
    fixed: tuple[tuple[int, int], ...] = ()


class Colouring:
    name = "colouring"

    def __init__(self, colours: int) -> None:
        self.vocab = colours

    def encode(self, problem: Graph) -> Canvas:
        tokens, pinned = np.zeros(problem.vertices, np.int64), np.zeros(problem.vertices, bool)
        for vertex, colour in problem.fixed:
            tokens[vertex], pinned[vertex] = colour, True
        return Canvas(tokens, pinned, pinned.copy(), self.vocab)

    def check(self, problem: Graph, tokens: Tokens, known: Mask) -> list[Violation]:
        return [
            Violation(
                f"{a} and {b} share colour {tokens[a]}",
                cells=(a, b),
                rule="edge",
                reason=frozenset((a, b)),
            )
            for a, b in problem.edges
            if known[a] and known[b] and tokens[a] == tokens[b]
        ]

    def verify(self, problem: Graph, tokens: Tokens) -> bool:
        kept = all(tokens[vertex] == colour for vertex, colour in problem.fixed)
        return kept and not self.check(problem, tokens, np.ones(len(tokens), bool))

    def decode(self, problem: Graph, tokens: Tokens) -> list[int]:
        return [int(token) for token in tokens]


PETERSEN = tuple((i, (i + 1) % 5) for i in range(5)) + tuple((i, i + 5) for i in range(5))
PETERSEN += tuple((5 + i, 5 + (i + 2) % 5) for i in range(5))


def colour(graph: Graph, colours: int, name: str) -> Outcome:
    *_, outcome = refine(Colouring(colours), graph, getattr(controls, name)(colours))
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("name", ["random", "prior", "adversary"])
def test_colours_the_petersen_graph(name: str) -> None:
    graph = Graph(10, PETERSEN, fixed=((0, 2), (7, 1)))
    outcome = colour(graph, 3, name)
    assert isinstance(Colouring(3), Task)
    assert outcome.status == "solved"
    assert (outcome.tokens[0], outcome.tokens[7]) == (2, 1)
    assert all(outcome.tokens[a] != outcome.tokens[b] for a, b in PETERSEN)


def test_proves_that_two_colours_are_too_few() -> None:
    assert colour(Graph(10, PETERSEN), 2, "random").status == "unsatisfiable"
