"""On small random automata, the compiled lattice agrees with the enumeration of all blocks and with its specification."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from solver.kernels import lattice, lattice_fast, lattice_pieces
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_fast import Lattice
from solver.kernels.lattice_graph import Graph
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.languages.assembly import build_automaton
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.unroll import unroll

SYMBOLS, BLANK = 3, 3
Blocks = dict[tuple[int, ...], float]


@dataclass(frozen=True)
class Case:
    """A deterministic automaton as a table, the same as arrays, and a block's weights."""

    moves: dict[tuple[int, int], int]
    accept: frozenset[int]
    automaton: Automaton
    weights: NDArray[np.float64]
    slots: Slots

    def accepts(self, block: tuple[int, ...]) -> bool:
        state = 0
        for symbol in block:
            if symbol != BLANK:
                state = self.moves.get((state, symbol), -1)
        return state in self.accept

    @property
    def blocks(self) -> Blocks:
        """Every block in the language with its log-weight."""
        found: Blocks = {}
        for block in itertools.product(range(BLANK + 1), repeat=len(self.weights)):
            blanks = [t for t, symbol in enumerate(block) if symbol == BLANK]
            tails = all(
                self.slots.inside[t] and (self.slots.last[t] or block[t + 1] == BLANK) for t in blanks
            )
            weight = float(self.weights[range(len(block)), block].sum())
            if tails and weight > -np.inf and self.accepts(block):
                found[block] = weight
        return found


@st.composite
def cases(draw: st.DrawFn, ties: bool = False) -> Case:
    """A random automaton with skips; cells that are pinned, restricted or in slots."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    cells, states = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    density = draw(st.sampled_from([0.3, 0.6, 1.0]))
    moves = {
        (state, symbol): int(rng.integers(states))
        for state in range(states)
        for symbol in range(SYMBOLS)
        if rng.random() < density
    }
    accept = frozenset(state for state in range(states) if rng.random() < 0.5)
    layout = draw(st.sampled_from(["sssse", "pssep", "seese", "ppppp", "psepe", "epppe"]))[-cells:]
    slots = Slots(np.array([c in "se" for c in layout]), np.array([c == "e" for c in layout]))
    weights = np.log(rng.dirichlet(np.ones(BLANK + 1), cells))
    if ties:
        weights = np.log(np.full((cells, BLANK + 1), 0.25))
    weights[rng.random(weights.shape) < draw(st.sampled_from([0.0, 0.3]))] = -np.inf
    for t in range(cells):
        if rng.random() < 0.2:
            symbol = rng.integers(BLANK + 1)
            weights[t] = -np.inf
            weights[t, symbol] = 0.0
    return Case(moves, accept, automaton_of(rng, states, moves, accept, cells), weights, slots)


def automaton_of(
    rng: np.random.Generator,
    states: int,
    moves: dict[tuple[int, int], int],
    accept: frozenset[int],
    cells: int,
) -> Automaton:
    """The automaton of a table; some states are divided into parts, with skips between them."""
    labels: dict[frozenset[int], int] = {}
    edges: list[tuple[int, int, int]] = []
    skips: list[tuple[int, int]] = []
    final = [state in accept for state in range(states)]
    for state in range(states):
        parts = [state]
        while rng.random() < 0.4:  # what leaves the state, acceptance included, may leave any part of it
            parts.append(len(final))
            skips.append((int(rng.choice(parts[:-1])), parts[-1]))
            final.append(False)
        accepts, final[state] = final[state], False
        final[rng.choice(parts)] = accepts
        by_target: dict[int, set[int]] = {}
        for symbol in range(SYMBOLS):
            if (state, symbol) in moves:
                by_target.setdefault(moves[state, symbol], set()).add(symbol)
        for target, symbols in by_target.items():
            number = labels.setdefault(frozenset(symbols), len(labels))
            edges.append((int(rng.choice(parts)), number, target))
    src, label, dst = np.array(edges, np.int32).reshape(-1, 3).T.copy()
    skip_src, skip_dst = np.array(skips, np.int32).reshape(-1, 2).T.copy()
    members = [np.array(sorted(symbols), np.int32) for symbols in labels] or [np.zeros(0, np.int32)]
    return build_automaton((src, label, dst), (skip_src, skip_dst), np.array(final), members, 0, cells)


@pytest.mark.parametrize("shared", [0.2, 3])
@settings(deadline=None)
@given(case=cases())
def test_all_results_are_those_of_the_enumeration(shared: float, case: Case) -> None:
    """With and without states that are left out as shared."""
    blocks, rng = case.blocks, np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice_pieces, "SHARED", shared)
        compiled = Lattice(case.automaton, case.weights, case.slots)
        assert compiled.is_empty == (not blocks)
    reference = torch.from_numpy(case.weights)
    specified = lattice.partition(case.automaton, reference, case.slots).item()
    if not blocks:
        assert compiled.partition == specified == -np.inf
        assert compiled.best()[1] == -np.inf
        assert not compiled.marginals().any()
        return
    total = np.logaddexp.reduce(list(blocks.values()))
    assert compiled.partition == pytest.approx(total)
    assert specified == pytest.approx(total)
    block, score = compiled.best()
    assert score == pytest.approx(max(blocks.values()))
    assert blocks[tuple(block.tolist())] == pytest.approx(score)
    share = np.zeros_like(case.weights)
    for path, weight in blocks.items():
        share[range(len(path)), path] += np.exp(weight - total)
    np.testing.assert_allclose(compiled.marginals(), share, atol=1e-9)
    np.testing.assert_allclose(
        lattice.marginals(case.automaton, reference, case.slots)[0].numpy(), share, atol=1e-9
    )
    assert all(tuple(compiled.sample(rng).tolist()) in blocks for _ in range(5))
    ranked = sorted(blocks.values(), reverse=True)
    excluded: list[tuple[int, ...]] = []
    for weight in ranked[:3]:
        block, score = compiled.next_best(excluded)
        assert score == pytest.approx(weight)
        excluded.append(tuple(block.tolist()))
        assert excluded[-1] in blocks
    assert len(set(excluded)) == len(excluded)


@pytest.mark.parametrize("shared", [0.2, 3])
@settings(deadline=None)
@given(case=cases(), fraction=st.sampled_from([0.0, 0.2, 0.6]))
def test_pairs_that_are_known_from_a_block_with_more_symbols_change_nothing(
    shared: float, case: Case, fraction: float
) -> None:
    rng = np.random.default_rng(len(case.moves))
    fewer = np.where(rng.random(case.weights.shape) < fraction, -np.inf, case.weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice_pieces, "SHARED", shared)
        layers = Lattice(case.automaton, case.weights, case.slots).layers
        alone = Lattice(case.automaton, fewer, case.slots)
        if layers is None:
            assert alone.is_empty
            return
        for _ in range(2):  # the passes do not change what they are given
            known = Lattice(case.automaton, fewer, case.slots, layers)
            assert known.is_empty == alone.is_empty
            assert known.partition == pytest.approx(alone.partition)
            assert known.best()[1] == pytest.approx(alone.best()[1])
            assert np.allclose(known.marginals(), alone.marginals())
            if not known.is_empty:
                first, second = (each.sample(np.random.default_rng(1)) for each in (known, alone))
                assert first.tolist() == second.tolist()


@settings(deadline=None)
@given(case=cases(ties=True))
def test_equal_blocks_are_chosen_alike_every_time(case: Case) -> None:
    first, second = (Lattice(case.automaton, case.weights, case.slots) for _ in range(2))
    assert first.best()[0].tolist() == second.best()[0].tolist()
    if not first.is_empty:
        draws = [each.sample(np.random.default_rng(1)).tolist() for each in (first, second)]
        assert draws[0] == draws[1]


@settings(deadline=None)
@given(first=cases(), second=cases())
def test_the_lattices_of_several_languages_do_not_disturb_each_other(first: Case, second: Case) -> None:
    both = [Lattice(case.automaton, case.weights, case.slots) for case in (first, second)]
    together = [each.partition for each in both]
    apart = [Lattice(case.automaton, case.weights, case.slots).partition for case in (second, first)]
    assert together == apart[::-1]


def test_live_pairs_are_few_where_texts_are_short() -> None:
    """A word is read in as many cells as it has bytes, however long the block is."""
    words = "|".join(f"{first}{second}rest" for first in "abcdef" for second in "uvwxyz")
    automaton = unroll(PatternGrammar(f"^(?:{words})$"), 200).automaton
    weights = np.full((200, 258), -5.0)
    pairs = Lattice(automaton, weights, Slots.single(200)).num_pairs
    assert pairs <= automaton.num_states + 2  # the last state also at the end of the block


def test_states_that_few_cells_reach_count_in_proportion() -> None:
    """Long enumerations are followed to the end, with a limit at which unbounded texts are cut."""
    words = [f"{number * number:x} word" for number in range(1000, 1200)]
    members = {"properties": {name: {"enum": words} for name in "abc"}, "required": list("abc")}
    schema = {"type": "object", "additionalProperties": False, **members}
    narrow = unroll(SchemaGrammar(Compiler(schema), 4000), 4000, max_states=100)
    assert narrow.complete
    assert not narrow.cut
    assert narrow.automaton.num_states > 400
    wide = unroll(SchemaGrammar(Compiler({"items": {"type": "array"}}), 2000), 2000, max_states=100)
    assert wide.cut
    assert not wide.complete


def test_a_check_of_possibility_agrees_with_the_best_block() -> None:
    """Also where no path passes the pinned cells, and where only the last cell rules them out."""
    automaton = unroll(PatternGrammar("^(?:ab|cd){3}$"), 6).automaton
    for text, possible in ((b"a.c.a.", True), (b"a.b...", False), (b".....a", False), (b".....d", True)):
        weights = np.full((6, 258), -5.0)
        for t, byte in enumerate(text):
            if byte != ord("."):
                weights[t] = -np.inf
                weights[t, byte] = 0.0
        compiled = Lattice(automaton, weights, Slots.single(6))
        assert compiled.is_empty != possible
        assert (compiled.best()[1] > -np.inf) == possible


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_chains_of_counters_give_what_their_states_one_by_one_give(scale: float) -> None:
    """Weights of different scales: exponents are equal, differ, or are beyond a float's."""
    texts = {
        "a": {"minLength": 9, "maxLength": 20},
        "b": {"maxLength": 24},
        "c": {"minLength": 2, "maxLength": 30},
    }
    properties = {name: {"type": "string", **rest} for name, rest in texts.items()}
    schema = {"type": "object", "properties": properties, "required": [*texts], "additionalProperties": False}
    cells, rng = 90, np.random.default_rng(0)
    automaton = unroll(SchemaGrammar(Compiler(schema), cells), cells).automaton
    assert len(lattice_pieces.shortened_graph(automaton, cells).chains[0]) >= 3
    weights = np.log(rng.dirichlet(np.ones(258), cells)) * scale
    weights[:, 256] = -np.inf
    weights[rng.random(weights.shape) < 0.1] = -np.inf
    weights[:, [34, 257]] = np.where(np.isfinite(weights[:, [34, 257]]), weights[:, [34, 257]], -5.0 * scale)
    for number, symbol in enumerate(b'{"a":"'):
        weights[number] = np.where(np.arange(258) == symbol, 0.0, -np.inf)
    vector = Lattice(automaton, weights, Slots.single(cells))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice_fast, "shortened_graph", lambda automaton, cells: Graph.of(automaton))
        single = Lattice(automaton, weights, Slots.single(cells))
        assert not single.is_empty
    assert vector.partition == pytest.approx(single.partition)
    assert vector.best()[1] == pytest.approx(single.best()[1])
    np.testing.assert_array_equal(vector.best()[0], single.best()[0])
    np.testing.assert_allclose(vector.marginals(), single.marginals(), atol=1e-9)
    np.testing.assert_array_equal(vector.marginals() > 0, single.marginals() > 0)
