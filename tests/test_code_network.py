"""The code network: its causal form, its caches, its denoiser; and the left-to-right baseline that it serves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from solver.baseline.code import Order, document, spelled, write_fills
from solver.loop.engine import solve
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models import mask_denoisers
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.context import KVCache, StaleContext
from solver.models.mask_denoisers import CodeDenoiser
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow

FUNCTION = '''def mean(values):
    """The mean of some numbers."""
    total = 0
    for value in values:
        total += value
    if not values:
        raise ValueError("no values")
    return total / len(values)
'''


def network(causal: bool = False, vocab: int = 2048) -> CodeNetwork:
    torch.manual_seed(0)
    return CodeNetwork(
        CodeConfig(vocab, width=16, hidden=16, heads=2, layers=2, offsets=8, causal=causal)
    ).eval()


def at(text: str, source: str = FUNCTION) -> tuple[int, int]:
    return source.index(text), source.index(text) + len(text)


@torch.inference_mode()
def test_some_at_a_time_is_the_whole_at_once() -> None:
    net = network(True, 50)
    tokens = torch.randint(0, 50, (2, 9))
    before = torch.cat([torch.full((2, 1), 50), tokens[:, :-1]], 1)
    whole, cache, slots = net(before, before, before), KVCache(2), torch.arange(2)
    steps = []
    for part in (range(4), *([n] for n in range(4, 9))):
        tokens, places = before[:, part], torch.tensor([part, part])
        steps.append(net(tokens, tokens, tokens, context=cache.step(slots, places)))
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_shared_prefix_is_what_each_row_would_have_read_itself() -> None:
    net, cache, slots = network(True, 50), KVCache(), torch.arange(3)
    prefix, rows = torch.randint(0, 50, (1, 6)), torch.randint(0, 50, (3, 4))
    tokens = torch.cat([prefix.expand(3, -1), rows], 1)
    whole = net(tokens, tokens, tokens)
    net(prefix, prefix, prefix, context=cache.step(slots[:1], torch.arange(6)[None]))
    cache.share(6, 3)
    for n in range(4):
        left = slots[n % 2 :]  # rows may pause or leave
        last = rows[:, n : n + 1]
        if n % 2:
            first = last[:1]
            net(first, first, first, context=cache.step(slots[:1], torch.tensor([[6 + n]])))
        part = last[left]
        log_p = net(part, part, part, context=cache.step(left, torch.full((len(left), 1), 6 + n)))
        torch.testing.assert_close(log_p[:, 0], whole[left, 6 + n], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("causal", [False, True])
def test_distributions_sum_to_one_and_the_likelihood_is_theirs(causal: bool) -> None:
    net = network(causal, 50)
    tokens, truth = torch.randint(0, 51 if causal else 50, (2, 9)), torch.randint(0, 50, (2, 9))
    status, offset = torch.randint(0, 3, (2, 9)), torch.randint(0, 12, (2, 9))
    said = net(tokens, status, offset)
    torch.testing.assert_close(said.exp().sum(-1), torch.ones(2, 9), atol=1e-3, rtol=1e-3)
    selected = torch.rand(2, 9) < 0.5
    torch.testing.assert_close(net(tokens, status, offset, selected), said[selected])
    likelihood = net.log_likelihood(tokens, status, offset, truth, selected)
    torch.testing.assert_close(
        likelihood, said.gather(-1, truth[..., None])[..., 0][selected], atol=1e-3, rtol=1e-3
    )


@torch.inference_mode()
def test_what_is_open_says_nothing_and_left_to_right_sees_nothing_to_the_right() -> None:
    net, status = network(vocab=50), torch.tensor([[PINNED, OPEN, OPEN, PINNED]])
    one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 9, 8, 4]])
    torch.testing.assert_close(net(one, status, status), net(other, status, status))
    net = network(True, 50)
    torch.testing.assert_close(net(one, one, one)[:, :1], net(other, one, one)[:, :1])
    assert not torch.equal(net(one, one, one)[:, 3], net(other, one, one)[:, 3])


@torch.inference_mode()
def test_cells_that_are_read_again_see_the_page_as_it_was() -> None:
    """The same as the whole page read anew where nothing has changed; with a token more the holes say something else, and what is
    around them is not asked again."""
    net, generator = network(), torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 2048, (2, 40), generator=generator)
    status, offset = torch.full((2, 40), PINNED), torch.zeros(2, 40, dtype=torch.long)
    cells = torch.tensor([[3, 4, 5, 20, 21], [0, 1, 38, 39, 39]])  # at both ends; one is named twice
    status[torch.arange(2)[:, None], cells] = OPEN
    around = StaleContext()
    whole = net(tokens, status, offset, context=around)
    again = net(tokens, status, offset, context=StaleContext(around.states, cells))
    torch.testing.assert_close(again, whole[torch.arange(2)[:, None], cells], atol=1e-4, rtol=1e-4)
    status[0, 3] = KNOWN
    changed, other = (
        net(tokens, status, offset, context=StaleContext(around.states, cells)),
        net(tokens, status, offset)[0, cells[0]],
    )
    assert not torch.allclose(changed[0], again[0], atol=1e-4)
    torch.testing.assert_close(changed[1], again[1], atol=1e-4, rtol=1e-4)
    assert (changed[0] - other).abs().mean() < (again[0] - other).abs().mean()


def test_a_page_says_the_same_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone or in a batch, some rows new and some under way, with more or fewer open cells.

    Each run has a task of its own, because a task remembers the drafts that it refused. In fp32, because in bf16
    products of other sizes round differently, and random weights have near ties.
    """
    monkeypatch.setattr(mask_denoisers, "fast_bf16", lambda: False)
    model = CodeDenoiser(network())
    some = [
        EditProblem.of(FUNCTION, [at(text)], [size], 96)
        for text, size in (("not values", 8), ("0", 3), ("total += value", 5))
    ]
    alone = [
        [
            e.tokens.tolist()
            for e in refine(CodeTask(), one, model, budget=Budget(forwards=6))
            if isinstance(e, Outcome)
        ]
        for one in some
    ]
    both = {
        n: e.tokens.tolist()
        for n, e in solve(CodeTask(), some, model, None, Budget(forwards=6), 0, 2)
        if isinstance(e, Outcome)
    }
    assert [[both[n]] for n in range(3)] == alone


def test_a_page_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = CodeDenoiser(network()), list[int]()
    forward = CodeNetwork.forward

    def counted(
        self: CodeNetwork, tokens: Any, status: Any, offset: Any, selected: Any = None, context: Any = None
    ) -> Any:
        sizes.append(tokens.shape[1] if context.cells is None else context.cells.shape[1])
        return forward(self, tokens, status, offset, selected, context)

    monkeypatch.setattr(CodeNetwork, "forward", counted)
    edit = EditProblem.of(FUNCTION, [at("not values")], [8], 96)
    *_, outcome = refine(CodeTask(), edit, model, budget=Budget(forwards=4))
    assert isinstance(outcome, Outcome)
    assert sizes[0] == 96
    assert set(sizes[1:]) <= {8}
    whole, part = model.network.flops(96, 0, 8), model.network.flops(8, 88)
    assert outcome.counters.flops == whole + (len(sizes) - 1) * part


def test_documents_of_a_page() -> None:
    spans = [at("0"), at("total / len(values)")]
    page, v = CodeWindow.of(FUNCTION, spans, [1, 1], 200), Vocabulary.load()
    prefix, fim = document(page, "prefix"), document(page, "fim")
    assert v.decode(prefix[0]) == FUNCTION[: spans[0][0]]
    assert prefix[0][-1] == fim[0][-1] == v.special("HOLE0")
    assert v.decode(fim[0]) == FUNCTION.replace("0", "").replace("total / len(values)", "")
    fills = [page.encode_fill(number, FUNCTION[a:b]) for number, (a, b) in enumerate(spans)]
    ids, wanted = spelled(page, "fim", fills)
    assert v.decode(ids[wanted]) == "0total / len(values)"
    assert (ids[wanted] == v.special("END")).sum() == 2


def test_writing_draws_from_the_network() -> None:
    page, net = CodeWindow.of(FUNCTION, [at("total = 0"), at("not values")], [1, 1], 96), network(causal=True)
    greedy = write_fills(net, page, "fim", (0.0, 0.0), most=3)
    assert [fill.tolist() for fill in greedy[0].fills] == [fill.tolist() for fill in greedy[1].fills]
    assert greedy[0].steps == greedy[1].steps + 1  # the page is read once
    drawn = write_fills(net, page, "prefix", (1.0, 1.0, 1.0), seed=1, most=3)
    assert len({tuple(one.fills[0].tolist()) for one in drawn}) > 1
    banned = {*Vocabulary.load().sentinels, Vocabulary.load().blank}
    assert not banned & {int(token) for one in [*greedy, *drawn] for fill in one.fills for token in fill}


@torch.inference_mode()
@pytest.mark.parametrize("order", ["prefix", "fim"])
def test_what_is_written_side_by_side_has_the_likelihood_of_the_whole(order: Order) -> None:
    """Rows that end at different times do not disturb each other: one pass over each text says the same."""
    page, net = (
        CodeWindow.of(FUNCTION, [at("total = 0"), at("not values"), at("len")], [1, 1, 1], 96),
        network(causal=True),
    )
    end, lengths_ = Vocabulary.load().special("END"), set()
    net.bias[end] = 7.0  # or nothing would end before ``most``
    for one in write_fills(net, page, order, (0.0, *[1.0] * 7), seed=2, most=30):
        if max(map(len, one.fills)) == 30:
            continue
        ids, wanted = spelled(page, order, one.fills)
        tokens = torch.from_numpy(np.concatenate([[2048], ids[:-1]]))[None]
        log_p = net.log_likelihood(
            tokens, tokens, tokens, torch.from_numpy(ids)[None], torch.from_numpy(wanted)[None]
        )
        assert float(log_p.sum()) == pytest.approx(one.log_p, rel=1e-3)
        lengths_.add(tuple(map(len, one.fills)))
    assert len(lengths_) > 2
