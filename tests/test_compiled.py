"""The compiled block against its specification in torch: values, gradients, early leave."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from solver.kernels import looped_c as compiled
from solver.models.blocks import OPEN, PINNED
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.tasks.sudoku import layout

pytestmark = pytest.mark.skipif(
    not compiled.available(), reason="compact.c was not built, or this CPU has no AVX2"
)
FEW = SimpleNamespace(digits=2, cells=40, relations=[[0] * 4 + [-1] * 36])  # one group, most cells in none
BOARDS = {"4x4": layout.standard(4), "diagonal": layout.standard(4, diagonal=True), "one group": FEW}


def example(
    causal: bool, board: str, width: int = 16, hidden: int = 32
) -> tuple[LoopedNetwork, Tensor, Tensor, Tensor, Tensor]:
    """A network with weights that matter, relation ids, tokens, status and pinned cells."""
    torch.manual_seed(1)
    grid = BOARDS[board]
    net = LoopedNetwork(LoopedConfig(vocab=grid.digits, width=width, hidden=hidden, causal=causal))
    torch.nn.init.normal_(net.outer.weight, std=0.3)
    relations = torch.tensor(grid.relations)
    tokens = torch.randint(0, grid.digits, (5, grid.cells))
    pinned = torch.rand(5, grid.cells) < 0.4
    return net, relations, tokens, pinned, torch.where(pinned, PINNED, OPEN)


def run(
    net: LoopedNetwork, relations: Tensor, tokens: Tensor, pinned: Tensor, status: Tensor, loops: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """State, logits and the gradients of a loss that weighs every output."""
    net.zero_grad()
    torch.manual_seed(2)
    order = (1 + torch.rand(pinned.shape).argsort(1)).masked_fill(pinned, 0)  # any order will do
    geometry = net.geometry(relations, order if net.config.causal else None)
    x = net.embed(tokens, status)
    said = net.embed(tokens, torch.full_like(status, PINNED)) if net.config.causal else None
    first = net.start(tokens.shape[1], len(tokens), torch.Generator().manual_seed(3)).detach()
    state, logits = net(first, x, geometry, loops, said)
    loss = (logits * torch.randn(logits.shape)).sum() + (state * torch.randn(state.shape)).sum()
    loss.backward()
    return (
        state.detach(),
        logits.detach(),
        {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None},
    )


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("causal", [False, True])
def test_values_and_gradients_are_the_specifications(
    causal: bool, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, *inputs = example(causal, board)
    assert net.compiles(torch.device("cpu"))
    fast = run(net, *inputs, loops=3)
    monkeypatch.setenv("REMASK_KERNELS", "reference")
    assert not net.compiles(torch.device("cpu"))
    slow = run(net, *inputs, loops=3)
    for a, b in zip(fast[:2], slow[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert fast[2].keys() == slow[2].keys()
    for name, expected in slow[2].items():
        torch.testing.assert_close(
            fast[2][name], expected, rtol=2e-3, atol=2e-3, msg=lambda m, name=name: f"{name}: {m}"
        )


def test_the_number_of_threads_changes_no_bit() -> None:
    net, *inputs = example(False, "4x4")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(net, *inputs, loops=2)
        torch.set_num_threads(2)
        two = run(net, *inputs, loops=2)
    finally:
        torch.set_num_threads(threads)
    in_c = [
        name for name in one[2] if not name.startswith("head")
    ]  # the head's gradient is a product of torch's
    assert all(torch.equal(one[2][name], two[2][name]) for name in in_c)
    assert torch.equal(one[0], two[0])


def test_settling_leaves_when_the_plain_loop_would(monkeypatch: pytest.MonkeyPatch) -> None:
    net, relations, tokens, pinned, status = example(False, "4x4")
    state = net.start(tokens.shape[1], len(tokens), torch.Generator().manual_seed(3)).detach()
    with torch.no_grad():
        x = net.embed(tokens, status)
        packed = compiled.Network(net.parameters_in_order())
        board = compiled.GroupLayout.from_relations(relations, net.config.vocab)
        rows = [t.transpose(0, 1).contiguous() for t in (x, x, state)]
        found, logits, taken = compiled.settle(
            packed, board, pinned, pinned, *rows, loops=24, chunk=4, confidence=0.2
        )
        monkeypatch.setenv("REMASK_KERNELS", "reference")
        geometry, before = net.geometry(relations), torch.full(tokens.shape, -1)
        expected = torch.zeros(len(tokens), dtype=torch.long)
        for done in range(4, 28, 4):
            state, now = net(state, x, geometry, 4)
            top, best = now.softmax(-1).max(-1)
            leave = (best == before).all(1) & ((top >= 0.2) | pinned).all(1) | (done == 24)
            for row in (leave & (expected == 0)).nonzero()[:, 0]:
                expected[row] = done
                torch.testing.assert_close(found[row], state[:, row], rtol=1e-3, atol=1e-3)
                torch.testing.assert_close(logits[row], now[row], rtol=1e-3, atol=1e-3)
            before = best
    assert taken.tolist() == expected.tolist()
    assert len(set(taken.tolist())) > 1, "the example should leave at different times"


def test_panels_go_back_and_forth() -> None:
    weight = torch.randn(32, 48)
    assert torch.equal(compiled.unpanel(compiled.panels(weight)), weight)
