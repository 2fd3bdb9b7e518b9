"""Byte languages read with tokens: exact projections, several end tokens, texts whose first token differs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solver.kernels.lattice import Slots
from solver.kernels.log_totals import log_totals
from solver.tasks.languages import regex
from solver.tasks.languages.cell_logits import top_tokens
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.regex_parser import search
from solver.tasks.languages.token_automaton import project_tokens
from solver.tasks.languages.token_bytes import TokenBytes
from solver.tasks.languages.unroll import unroll

# 5 and 8 are no text: they end one. 0 and 7 are spelled alike.
TEXTS = (b"a", b"b", b"ab", b"ba", b"aab", b"", b"abab", b"a", b"")
ENDS = (5, 8)
# The same at the start of a text, where a token may lose its first letter.
FIRST = (b"a", b"", b"ab", b"a", b"aab", b"", b"abab", b"a", b"")


def texts_of_blocks(first: tuple[bytes, ...], cells: int, pins: dict[int, int]) -> dict[tuple[int, ...], str]:
    """The text of every block of tokens that keeps the pins and ends its text in at most one place a slot."""
    inside = [cell not in pins for cell in range(cells)]
    result = {}
    for block in itertools.product(range(len(TEXTS)), repeat=cells):
        ends = [t for t, token in enumerate(block) if token in ENDS]
        is_tail = all(
            inside[t] and (t + 1 == cells or not inside[t + 1] or block[t + 1] in ENDS) for t in ends
        )
        if not is_tail or any(block[cell] != token for cell, token in pins.items()):
            continue
        written = [cell for cell, token in enumerate(block) if token not in ENDS]
        start = written[:1]
        if start and start[0] > 0 and start[0] in pins and first[block[start[0]]] != TEXTS[block[start[0]]]:
            continue  # a template's token keeps its bytes where the cells before it are unused
        pieces = [(first if [cell] == start else TEXTS)[block[cell]] for cell in written]
        result[block] = b"".join(pieces).decode()
    return result


@pytest.mark.parametrize("pattern", ["^a+b?$", "^(ab)*$", "a|bb", "^$", "^(?!.*aa).*$"])
@pytest.mark.parametrize("pins", [{}, {1: 2}, {1: 3}, {0: 1}])
@pytest.mark.parametrize("first", [None, FIRST], ids=["plain", "first-differs"])
def test_projection_over_tokens_is_exact(
    pattern: str, pins: dict[int, int], first: tuple[bytes, ...] | None
) -> None:
    """Token by token over every block of three cells; a cell is pinned, at times, to a token."""
    cells, vocab = 3, len(TEXTS)
    rng = np.random.default_rng(len(pattern))
    logits = rng.normal(size=(cells, vocab)).astype(np.float32)
    tokens, known = np.zeros(cells, np.int64), np.zeros(cells, bool)
    for cell, token in pins.items():
        tokens[cell], known[cell] = token, True
    slots = Slots(~known, ~known & np.append(known[1:], True))
    log_p = logits - np.logaddexp.reduce(logits.astype(float), axis=1, keepdims=True)
    blocks = {
        block: float(sum(log_p[t, token] for t, token in enumerate(block) if not known[t]))
        for block, text in texts_of_blocks(first or TEXTS, cells, pins).items()
        if regex.matches(search(pattern), text)
    }
    vocabulary = TokenBytes(TEXTS, first)
    found = project_tokens(
        unroll(PatternGrammar(pattern), 12), vocabulary, slots, logits, tokens, known, ENDS, rng
    )
    if not blocks:
        assert found is None
        return
    assert found is not None
    assert found.columns is not None
    total = np.logaddexp.reduce(list(blocks.values()))
    share = np.zeros((cells, vocab))
    for block, weight in blocks.items():
        share[range(cells), block] += np.exp(weight - total)
    whole = np.zeros((cells, vocab))
    whole[:, found.columns] = found.marginals
    # an end token has the probability of all of them
    np.testing.assert_allclose(whole[:, ENDS].sum(1), share[:, ENDS].sum(1), atol=1e-6)
    is_text = ~np.isin(np.arange(vocab), ENDS)
    np.testing.assert_allclose(whole[:, is_text], share[:, is_text], atol=1e-6)
    assert found.constraint_cost == pytest.approx(-total, abs=1e-5)
    merged: dict[tuple[int, ...], float] = {}  # blocks that differ in their end tokens are one
    for block, weight in blocks.items():
        key = tuple(-1 if token in ENDS else token for token in block)
        merged[key] = np.logaddexp(merged.get(key, -np.inf), weight)
    best = tuple(-1 if token in ENDS else token for token in found.best.tolist())
    assert merged[best] == pytest.approx(max(merged.values()), abs=1e-5)
    assert tuple(found.sample.tolist()) in blocks


def test_the_likeliest_end_token_fills_a_cell() -> None:
    logits = np.zeros((2, len(TEXTS)), np.float32)
    logits[:, 8] = 1.0
    nothing = np.zeros(2, bool)
    found = project_tokens(
        unroll(PatternGrammar("^$"), 4),
        TokenBytes(TEXTS),
        Slots.single(2),
        logits,
        np.zeros(2, np.int64),
        nothing,
        ENDS,
    )
    assert found is not None
    assert found.best.tolist() == [8, 8]


@pytest.mark.parametrize(
    "first", [None, (b"a", b"b", b"c", b"z", b"yyy", b"")], ids=["plain", "first-differs"]
)
def test_a_missing_token_widens_the_search(first: tuple[bytes, ...] | None) -> None:
    """The likeliest token of each cell leads nowhere; the only one that does is found in the whole vocabulary."""
    texts = (b"a", b"b", b"c", b"zz", b"yyy", b"")
    logits = np.array([[9, 0, 0, -5, 0, 0]] * 3, np.float32)
    nothing = np.zeros(3, bool)
    found = project_tokens(
        unroll(PatternGrammar("^zzz(yyy)?$" if first else "^zz(yyy)?$"), 16),
        TokenBytes(texts, first),
        Slots.single(3),
        logits,
        np.zeros(3, np.int64),
        nothing,
        (5,),
        likeliest=1,
    )
    assert found is not None
    expected = ([3, 3, 5], [3, 3, 4]) if first else ([3, 5, 5], [3, 4, 5])
    assert found.best.tolist() in expected


@given(st.text("ab ", max_size=8), st.booleans())
def test_a_spelling_is_the_text_and_has_the_fewest_tokens(text: str, is_first: bool) -> None:
    vocabulary = TokenBytes((b"ab", b" a", b"b", b" ", b""), first=(b"ab", b"a", b"b", b"", b""))
    spelling, first = vocabulary.spell(text.encode(), is_first), vocabulary.first
    assert first is not None

    def text_of(tokens: tuple[int, ...]) -> bytes:
        pieces = [vocabulary.texts[token] for token in tokens]
        return b"".join([first[token] for token in tokens[:1]] + pieces[1:] if is_first else pieces)

    counts = (
        count
        for count in range(len(text) + 2)
        if any(text_of(tokens) == text.encode() for tokens in itertools.product(range(4), repeat=count))
    )
    fewest = None if len(text) > 5 else next(counts, None)
    if spelling is not None:
        assert text_of(tuple(spelling)) == text.encode()
    if len(text) <= 5:
        assert (None if spelling is None else len(spelling)) == fewest


@pytest.mark.parametrize("vocab", [40, 32_768, 50_001])
def test_reading_logits_in_blocks_agrees_with_torch(vocab: int) -> None:
    logits = torch.randn(4, vocab, generator=torch.Generator().manual_seed(vocab)) * 5
    rows = torch.tensor([0, 2, 3])
    top, tokens = top_tokens(logits, rows, 7)
    expected = logits[rows].topk(7)
    assert torch.equal(top, expected.values[:, 0])
    assert torch.equal(tokens.sort().values, expected.indices.sort().values)
    totals = log_totals(logits.numpy(), rows.numpy(), top.numpy())
    np.testing.assert_allclose(totals, logits[rows].double().logsumexp(-1).numpy(), atol=1e-6)
