"""The left-to-right baseline: its caches against decoding from scratch, its arms, and that backtracking is complete."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solver.baseline.cells import cell_decoder, looped_decoder
from solver.baseline.decode import Decoder, decode
from solver.kernels import looped_c as compiled
from solver.loop.trace import Budget
from solver.models.cell_transformer import CellTransformer, CellTransformerConfig
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.tasks.sudoku import exact, layout, logic
from solver.tasks.sudoku.task import Sudoku, SudokuTask

TASK = SudokuTask(layout.standard(4))
PUZZLES = exact.generate_puzzles(TASK.layout, 12, 5)[0]
PROBLEMS = [Sudoku(grid) for grid in PUZZLES]


def make(kind: str) -> Decoder:
    """A decoder with random weights that matter."""
    torch.manual_seed(4)
    if not kind.startswith("ar-plain"):
        taught = "easiest" if kind == "ar-easiest" else "index"
        config = LoopedConfig(vocab=4, width=16, hidden=32, loops=3, causal=True, order=taught)
        network = LoopedNetwork(config).eval().requires_grad_(False)
        torch.nn.init.normal_(network.outer.weight, std=0.3)
        torch.nn.init.normal_(network.head.weight, std=2.0)
        return looped_decoder(network)
    order = "easiest" if kind == "ar-plain-easiest" else "index"
    plain = (
        CellTransformer(CellTransformerConfig(vocab=4, cells=16, width=16, layers=2, heads=2, order=order))
        .eval()
        .requires_grad_(False)
    )
    for parameter in plain.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return cell_decoder(plain, kind)


KINDS = ("ar", "ar-easiest", "ar-plain", "ar-plain-easiest")


@pytest.mark.skipif(not compiled.available(), reason="compact.c was not built, or this CPU has no AVX2")
@pytest.mark.parametrize("kind", ["ar", "ar-easiest"])
def test_the_compact_cache_says_what_decoding_from_scratch_says(kind: str) -> None:
    decoder = make(kind)
    canvases = [TASK.encode(problem) for problem in PROBLEMS[:3]]
    run = decoder.start(3, canvases, 0)
    for slot in range(len(canvases)):
        run.begin(slot, slot)
    known = torch.stack([torch.tensor(canvas.pinned) for canvas in canvases])
    slots, last = torch.arange(3), torch.zeros(3, dtype=torch.long)
    for turn in range(5):
        cells, logits, _ = run.next(slots, known)
        expected = run.from_scratch(slots, known)
        if kind == "ar-easiest":
            assert (cells == expected.softmax(-1).amax(-1).masked_fill(known, -1.0).argmax(1)).all()
        expected = expected[slots, cells]
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
        if turn == 3:  # taken back: another token into the cell before
            cells, known = last, known.scatter(1, last[:, None], False)
        run.put(slots, cells, (cells + turn) % 4, known.sum(1))
        last, known = cells, known.scatter(1, cells[:, None], True)


@pytest.mark.parametrize("kind", ["ar-plain", "ar-plain-easiest"])
def test_the_plain_cache_says_what_the_whole_sequence_says(kind: str) -> None:
    decoder, canvas = make(kind), TASK.encode(PROBLEMS[0])
    run = decoder.start(2, [canvas], 0)
    run.begin(1, 0)
    given = np.flatnonzero(canvas.pinned).tolist()
    pairs = [(cell, int(canvas.tokens[cell])) for cell in given]
    known = torch.from_numpy(canvas.pinned.copy())[None]
    while not known.all():
        cells, logits, _ = run.next(torch.tensor([1]), known)
        cell = int(cells[0])
        filled = [*pairs, (cell, 0)]  # the last token must not matter
        whole = run.network(*(torch.tensor([column]) for column in zip(*filled, strict=True)))[0, len(pairs)]
        if kind == "ar-plain-easiest":
            assert int(whole.view(16, 4).masked_fill(known[0, :, None], -1e9).argmax()) // 4 == cell
            whole = whole.view(16, 4)[cell]
        torch.testing.assert_close(logits[0], whole, rtol=1e-4, atol=1e-4)
        run.put(torch.tensor([1]), cells, torch.tensor([2]), known.sum(1))
        pairs.append((cell, 2))
        known[0, cell] = True


@pytest.mark.parametrize("kind", KINDS)
def test_backtracking_is_complete_and_every_answer_is_verified(kind: str) -> None:
    decoder = make(kind)
    broken = PUZZLES[0].copy()
    cell = int(np.flatnonzero(broken == 0)[0])
    broken[cell] = next(
        d for d in range(1, 5) if exact.count_solutions(TASK.layout, place(broken, cell, d), 1).solutions == 0
    )
    problems = [*PROBLEMS, Sudoku(broken)]
    found = dict(decode(TASK, problems, decoder, "backtrack", Budget(None), batch=5))
    assert sorted(found) == list(range(len(problems)))
    for number, problem in enumerate(PROBLEMS):
        decoded = found[number]
        assert decoded.outcome.status == "solved"
        assert TASK.verify(problem, decoded.outcome.tokens)
        assert len(decoded.path) == int((problem.grid == 0).sum())
        assert all(decoded.outcome.tokens[c] == token for c, token in decoded.path)
    assert found[len(PROBLEMS)].outcome.status == "unsatisfiable"


def place(grid: np.ndarray, cell: int, digit: int) -> np.ndarray:
    """The grid with one more digit."""
    changed = grid.copy()
    changed[cell] = digit
    return changed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checks", ["none", "mask"])
def test_one_attempt_takes_a_forward_a_cell_and_keeps_the_clues(kind: str, checks) -> None:
    for number, decoded in decode(TASK, PROBLEMS, make(kind), checks, Budget(None), batch=5):
        outcome, grid = decoded.outcome, PUZZLES[number].astype(int)
        assert outcome.counters.forwards == (grid == 0).sum()
        assert (outcome.tokens[grid > 0] + 1 == grid[grid > 0]).all()
        assert (outcome.status == "solved") == TASK.verify(PROBLEMS[number], outcome.tokens)
        assert outcome.counters.flops > 0


def test_a_batch_has_the_outcomes_of_its_singles_and_budgets_hold() -> None:
    decoder = make("ar")
    together = dict(decode(TASK, PROBLEMS, decoder, "backtrack", Budget(None), batch=4))
    for number in range(len(PROBLEMS)):
        ((_, alone),) = decode(TASK, [PROBLEMS[number]], decoder, "backtrack", Budget(None))
        assert alone.path == together[number].path
        assert alone.outcome.counters.forwards == together[number].outcome.counters.forwards
    for _, decoded in decode(TASK, PROBLEMS, decoder, "backtrack", Budget(3)):
        assert decoded.outcome.counters.forwards <= 3


def test_a_denoiser_is_refused_as_a_decoder() -> None:
    with pytest.raises(ValueError, match="not trained left to right"):
        looped_decoder(LoopedNetwork(LoopedConfig(vocab=4)))


def test_the_taught_order_starts_with_the_givens_and_takes_singles_first() -> None:
    puzzles, solutions, _ = exact.generate_puzzles(TASK.layout, 20, 8)
    order = logic.easiest_first(TASK.layout, puzzles, solutions)
    for puzzle, solution, cells in zip(puzzles, solutions, order, strict=True):
        assert sorted(cells) == list(range(16))
        given = int((puzzle > 0).sum())
        assert (puzzle[cells[:given]] > 0).all()
        grid = puzzle.copy()
        for cell in cells[given:]:
            problem, known = Sudoku(puzzle), grid > 0
            singles = {
                fact.cell
                for fact in TASK.infer(problem, grid.astype(np.int64) - 1, known)
                if hasattr(fact, "cell")
            }
            assert cell in singles or not singles
            grid[cell] = solution[cell]
