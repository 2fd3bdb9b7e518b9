"""The fast path against the reference, and the reference against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solver.kernels import reference
from solver.kernels import statistics_numba as cpu


def case(seed: int, rows: int, cells: int, vocab: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random logits with ties and infinities, a bitmask that may allow nothing somewhere, and uniforms."""
    rng = np.random.default_rng(seed)
    logits = np.round(3 * rng.standard_normal((rows, cells, vocab)), 1).astype(np.float32)
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    allowed = rng.random((rows, cells, vocab)) < rng.random((rows, cells, 1))
    return (
        torch.from_numpy(logits),
        torch.from_numpy(allowed),
        torch.from_numpy(rng.random((rows, cells), np.float32)),
    )


shapes = st.tuples(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 12), st.integers(1, 70))


@given(shapes)
def test_token_statistics_agree(shape: tuple[int, int, int, int]) -> None:
    logits, allowed, uniform = case(*shape)
    held = torch.randint(0, shape[3], logits.shape[:2], generator=torch.Generator().manual_seed(shape[0]))
    for mask in (None, reference.pack(allowed)):
        expected = reference.token_statistics(logits, mask, uniform, held)
        found = cpu.token_statistics(logits, mask, uniform, held)
        assert torch.equal(found.best, expected.best)
        for name in ("top1", "top2", "entropy", "belief"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-5, rtol=2e-4)
        # the sums of the two are rounded apart: where a draw falls on a boundary they may differ by one allowed token
        assert (found.sample != expected.sample).float().mean() <= 0.1


@pytest.mark.parametrize("path", [reference, cpu])
def test_a_large_vocabulary_goes_through_in_parts_and_comes_out_the_same(
    path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, allowed, uniform = case(5, 2, 11, 67)
    held, mask = torch.randint(0, 67, (2, 11)), reference.pack(allowed)
    whole = path.token_statistics(logits, mask, uniform, held)
    monkeypatch.setattr(reference, "ELEMENTS", 200)
    monkeypatch.setattr(cpu, "LARGE", 1)
    for found, expected in zip(path.token_statistics(logits, mask, uniform, held), whole, strict=True):
        assert torch.equal(found, expected)


@given(st.integers(0, 2**32), st.integers(1, 100))
def test_count_counts_what_unpack_allows(seed: int, vocab: int) -> None:
    allowed = torch.from_numpy(np.random.default_rng(seed).random((3, vocab)) < 0.6)
    assert reference.count(reference.pack(allowed)).tolist() == allowed.sum(-1).tolist()


@given(shapes)
def test_statistics_mean_what_they_say(shape: tuple[int, int, int, int]) -> None:
    logits, allowed, uniform = case(*shape)
    held = torch.randint(0, shape[3], logits.shape[:2], generator=torch.Generator().manual_seed(shape[0]))
    found = reference.token_statistics(logits, reference.pack(allowed), uniform, held)
    possible = allowed & logits.isfinite()
    for row, cell in np.ndindex(*logits.shape[:2]):
        tokens = possible[row, cell].nonzero()[:, 0]
        got = [field[row, cell].item() for field in found]
        if not len(tokens):
            assert got == [-1, 0, 0, 0, -1, 0]
            continue
        p = logits[row, cell, tokens].double().softmax(-1)
        order = sorted(
            range(len(tokens)), key=lambda k: (-float(logits[row, cell, tokens[k]]), int(tokens[k]))
        )
        assert got[0] == tokens[order[0]]
        assert got[1] == pytest.approx(float(p[order[0]]), abs=1e-5)
        assert got[2] == pytest.approx(float(p[order[1]]) if len(order) > 1 else 0.0, abs=1e-5)
        assert got[3] == pytest.approx(float(-(p * p.log()).nan_to_num(0).sum()), abs=1e-4)
        assert got[4] in tokens
        there = (tokens == held[row, cell]).nonzero()[:, 0]
        assert got[5] == pytest.approx(float(p[there[0]]) if len(there) else 0.0, abs=1e-5)


@pytest.mark.parametrize("path", [reference, cpu])
def test_sampling_frequencies_and_forbidden_tokens(path) -> None:
    p = torch.tensor([0.5, 0.2, 0.0, 0.3])
    logits = p.log().expand(1, 40_000, 4)
    allowed = torch.tensor([True, True, True, False]).expand(1, 40_000, 4)
    uniform = torch.rand(1, 40_000, generator=torch.Generator().manual_seed(1))
    sample = path.token_statistics(logits, reference.pack(allowed), uniform).sample
    counts = torch.bincount(sample[0], minlength=4)
    assert counts[2] == counts[3] == 0
    assert counts[0] / 40_000 == pytest.approx(5 / 7, abs=0.01)


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_packing_round_trip(seed: int, vocab: int) -> None:
    allowed = torch.from_numpy(np.random.default_rng(seed).random((2, 3, vocab)) < 0.5)
    mask = reference.pack(allowed)
    assert mask.dtype == torch.int32
    assert mask.shape == (2, 3, -(-vocab // 32))
    assert torch.equal(reference.unpack(mask, vocab), allowed)


def test_entropy_bound_leaves_out_the_largest() -> None:
    entropy = torch.tensor([[0.5, 0.04, 0.02, 0.06, 0.9]])
    eligible = torch.tensor([[True, True, True, True, False]])
    # ascending 0.02, 0.04, 0.06, 0.5: the sums without their largest are 0, 0.02, 0.06, 0.12
    assert reference.entropy_bound(entropy, eligible, 0.1).tolist() == [[False, True, True, True, False]]
    assert reference.entropy_bound(entropy, eligible, 0.0).tolist() == [[False, False, True, False, False]]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 4))
def test_all_different_agrees_with_reference_and_brute_force(seed: int, vocab: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    rows, cells = 2, 9
    tokens = torch.from_numpy(rng.integers(0, vocab, (rows, cells)))
    known = torch.from_numpy(rng.random((rows, cells)) < 0.7)
    relations = torch.from_numpy(rng.integers(-1, 3, (kinds, cells)))
    expected = reference.all_different(tokens, known, relations, vocab)
    found = cpu.all_different(tokens, known, relations, vocab)
    assert torch.equal(found, expected)
    free = reference.unpack(expected, vocab)
    for row, cell in np.ndindex(rows, cells):
        peers = {o for r in relations for o in range(cells) if o != cell and r[o] == r[cell] and r[cell] >= 0}
        taken = {int(tokens[row, o]) for o in peers if known[row, o]}
        assert {t for t in range(vocab) if not free[row, cell, t]} == taken


def test_dispatch_follows_size_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = torch.zeros(1, 2, 3), torch.zeros(reference.BATCH, 2, 3)
    monkeypatch.delenv("REMASK_KERNELS", raising=False)
    assert reference.choose(small) is reference
    assert reference.choose(large) is cpu
    monkeypatch.setenv("REMASK_KERNELS", "reference")
    assert reference.choose(large) is reference
    monkeypatch.setenv("REMASK_KERNELS", "fast")
    with pytest.raises(ValueError, match="REMASK_KERNELS"):
        reference.choose(small)
