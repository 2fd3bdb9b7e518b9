"""Projection onto a language: brute force, the reference lattice and the compiled one agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from solver.kernels import lattice
from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.tasks.languages import projection as language
from solver.tasks.languages import regex
from solver.tasks.languages.grammar import PatternGrammar, recognise
from solver.tasks.languages.projection import BLANK
from solver.tasks.languages.regex_parser import fullmatch, search
from solver.tasks.languages.shortest import shortest_lengths
from solver.tasks.languages.unroll import unroll
from tests.test_regex import patterns

Blocks = dict[tuple[int, ...], float]
WHITE, LAST = 256, 257


def slots_of(layout: str) -> Slots:
    """p: a cell outside of slots; s, e: a slot's cells, and its last."""
    return Slots(np.array([c in "se" for c in layout]), np.array([c == "e" for c in layout]))


def weights(rng: np.random.Generator, cells: int, alphabet: str, pins: dict[int, str]) -> NDArray[np.float64]:
    found = np.full((cells, 258), -np.inf)
    symbols = [ord(c) for c in alphabet] + [LAST]
    for t in range(cells):
        found[t, symbols] = np.log(rng.dirichlet(np.ones(len(symbols))))
        if rng.random() < 0.2:
            found[t, rng.choice(symbols)] = -np.inf
        if t in pins:
            found[t] = -np.inf
            found[t, ord(pins[t])] = 0.0
    return found


def enumerate_blocks(pattern: str, w: NDArray[np.float64], alphabet: str, slots: Slots) -> Blocks:
    """Every block in the language and its log-weight."""
    found: Blocks = {}
    for block in itertools.product([*(ord(c) for c in alphabet), LAST], repeat=len(w)):
        blanks = [t for t, symbol in enumerate(block) if symbol == LAST]
        tails = all(slots.inside[t] and (slots.last[t] or block[t + 1] == LAST) for t in blanks)
        weight = float(sum(w[t, symbol] for t, symbol in enumerate(block)))
        text = "".join(chr(symbol) for symbol in block if symbol != LAST)
        if tails and weight > -np.inf and regex.matches(search(pattern), text):
            found[block] = weight
    return found


@pytest.mark.parametrize("layout", ["sssse", "pssep", "seese", "ppppp"])
@pytest.mark.parametrize("pattern", ["^a+b?$", "a|bb", "^(a|b)*a$", "^(ab)*$", "^$", "^z", "^(?!.*aa).*$"])
@pytest.mark.parametrize("pins", [{}, {2: "b"}])
def test_projection_is_exact(pattern: str, layout: str, pins: dict[int, str]) -> None:
    rng = np.random.default_rng(len(pattern) + 10 * len(pins))
    slots, w = slots_of(layout), weights(rng, len(layout), "ab", pins)
    blocks = enumerate_blocks(pattern, w, "ab", slots)
    automaton = unroll(PatternGrammar(pattern), len(layout)).automaton
    compiled, reference = Lattice(automaton, w, slots), torch.tensor(w)
    if not blocks:
        assert compiled.partition == -np.inf
        assert lattice.partition(automaton, reference, slots).item() == -np.inf
        assert compiled.best()[0].tolist() == [-1] * len(layout)
        with pytest.raises(ValueError, match="no block"):
            compiled.sample(rng)
        return
    total = np.logaddexp.reduce(list(blocks.values()))
    likeliest = max(blocks, key=blocks.__getitem__)
    share = np.zeros_like(w)
    for block, weight in blocks.items():
        share[range(len(block)), block] += np.exp(weight - total)
    assert compiled.partition == pytest.approx(total)
    assert lattice.partition(automaton, reference, slots).item() == pytest.approx(total)
    np.testing.assert_allclose(compiled.marginals(), share, atol=1e-9)
    np.testing.assert_allclose(lattice.marginals(automaton, reference, slots)[0].numpy(), share, atol=1e-9)
    for path, score in (compiled.best(), lattice.best(automaton, reference, slots)):
        assert tuple(path.tolist()) == likeliest
        assert score == pytest.approx(blocks[likeliest])


def test_samples_have_the_conditioned_distribution() -> None:
    """Chi-square over all blocks of the language, at one in a million; forbidden ones are drawn exactly 0 times."""
    pattern, layout, draws = "^(a|b)*c(ab)?$", "sssse", 4000
    slots = slots_of(layout)
    w = weights(np.random.default_rng(3), len(layout), "abc", {})
    blocks = enumerate_blocks(pattern, w, "abc", slots)
    compiled, rng = (
        Lattice(unroll(PatternGrammar(pattern), len(layout)).automaton, w, slots),
        np.random.default_rng(0),
    )
    drawn: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        block = tuple(compiled.sample(rng).tolist())
        drawn[block] = drawn.get(block, 0) + 1
    assert drawn.keys() <= blocks.keys()
    total = np.logaddexp.reduce(list(blocks.values()))
    expected = {block: draws * float(np.exp(weight - total)) for block, weight in blocks.items()}
    often = {block for block, many in expected.items() if many >= 5}
    observed = [(drawn.get(block, 0), expected[block]) for block in often]
    rest = sum(many for block, many in expected.items() if block not in often)
    observed.append((draws - sum(seen for seen, _ in observed), rest))
    statistic = sum((seen - many) ** 2 / many for seen, many in observed if many > 0)
    freedom = len(observed) - 1
    assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 25


def test_very_improbable_texts_do_not_underflow() -> None:
    """Sixty cells that the model gives 1e-13 each, and the only text there is."""
    cells = 60
    w = np.full((cells, 258), -np.inf)
    w[:, ord("b")], w[:, ord("a")] = 0.0, -30.0
    compiled = Lattice(unroll(PatternGrammar("^a+$"), cells).automaton, w, Slots.single(cells))
    assert compiled.partition == pytest.approx(-30.0 * cells)
    assert bytes(compiled.best()[0].astype(np.uint8)) == b"a" * cells
    assert compiled.marginals()[:, ord("a")] == pytest.approx(1.0)


@settings(max_examples=15)
@given(patterns, st.integers(0, 1 << 30))
def test_best_blocks_are_in_the_language(pattern: str, seed: int) -> None:
    rng, cells = np.random.default_rng(seed), 12
    unrolled = unroll(PatternGrammar(f"^(?:{pattern})$"), cells)
    known = rng.random(cells) < 0.1
    tokens = rng.choice([ord(c) for c in "abc1, "], cells)
    found = language.project(unrolled, Slots.single(cells), rng.normal(size=(cells, 257)), tokens, known, rng)
    possible = language.is_possible(unrolled, Slots.single(cells), tokens, known)
    assert (found is not None) == possible
    if found is not None:
        for block in (found.best, found.sample):
            assert (block[known] == tokens[known]).all()
            text = bytes(block[block != BLANK].astype(np.uint8)).decode()
            assert regex.matches(fullmatch(pattern), text)
        assert (found.marginals[np.arange(cells), found.best] > 0).all()
        np.testing.assert_allclose(found.marginals.sum(1), 1.0, atol=1e-6)


def test_recognise_and_shortest_lengths_agree_with_the_pattern() -> None:
    grammar = PatternGrammar("^(ab|c)d{3,}$")
    assert recognise(grammar, b"abddd")
    assert not recognise(grammar, b"abdd")
    costs = shortest_lengths(grammar)
    assert costs is not None
    assert costs[grammar.start] == 4
    nothing = PatternGrammar("^a(?!.)b$")
    assert nothing.start not in (shortest_lengths(nothing) or {})
    assert unroll(nothing, 8).is_empty


@pytest.mark.parametrize("layout", ["sssse", "seese"])
@pytest.mark.parametrize("pattern", ["^a+b?$", "^(a|b)*a$", "^(ab)*$"])
def test_next_best_lists_all_blocks_in_order(pattern: str, layout: str) -> None:
    """Asked again and again without what was given, all blocks come out in order."""
    slots, w = slots_of(layout), weights(np.random.default_rng(7), len(layout), "ab", {})
    blocks = enumerate_blocks(pattern, w, "ab", slots)
    compiled = Lattice(unroll(PatternGrammar(pattern), len(layout)).automaton, w, slots)
    seen: list[tuple[int, ...]] = []
    for weight in sorted(blocks.values(), reverse=True):
        block, score = compiled.next_best(seen)
        assert score == pytest.approx(weight)
        assert blocks[tuple(block.tolist())] == pytest.approx(weight)
        seen.append(tuple(block.tolist()))
    assert len(set(seen)) == len(blocks)
    assert compiled.next_best(seen)[1] == -np.inf
