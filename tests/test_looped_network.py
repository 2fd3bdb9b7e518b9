"""The looped network: its symmetries, its causal form, its cost, and its denoiser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from solver.kernels import looped_c
from solver.models import looped_denoiser
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.looped import LoopedConfig, LoopedNetwork, reading_order
from solver.models.looped_denoiser import LoopedDenoiser
from solver.tasks.sudoku import data, exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask

GRID = layout.standard(9)
RELATIONS = torch.tensor(GRID.relations)


def make(**settings) -> LoopedNetwork:
    torch.manual_seed(1)
    return (
        LoopedNetwork(LoopedConfig(**{"vocab": 9, "width": 8, "hidden": 16, "loops": 8, **settings}))
        .eval()
        .requires_grad_(False)
    )


def canvas(rows: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    puzzles, solutions, _ = exact.generate_puzzles(GRID, rows, 11)
    pinned = torch.from_numpy(puzzles > 0)
    return torch.from_numpy(solutions.astype(np.int64) - 1), torch.where(pinned, PINNED, OPEN)


def logits(
    network: LoopedNetwork, tokens: torch.Tensor, status: torch.Tensor, relations: torch.Tensor = RELATIONS
) -> torch.Tensor:
    geometry = network.geometry(relations, reading_order(status == PINNED) if network.config.causal else None)
    state = network.start(tokens.shape[1], len(tokens))
    return network(state, network.embed(tokens, status), geometry, 3)[1]


def test_renaming_digits_and_moving_cells_moves_the_answer_along() -> None:
    network = make()
    tokens, status = canvas()
    before = logits(network, tokens, status)
    cells, digits = data.random_symmetry(np.random.default_rng(2))
    rename = torch.from_numpy(digits[1:] - 1)
    moved = logits(network, rename[tokens[:, cells]], status[:, cells])
    torch.testing.assert_close(moved[:, :, rename], before[:, cells], atol=1e-4, rtol=1e-4)


def test_the_same_weights_serve_other_sizes_and_layouts() -> None:
    network = make()
    for grid in (layout.standard(4), layout.standard(4, diagonal=True), layout.standard(9, diagonal=True)):
        puzzles, _, _ = exact.generate_puzzles(layout.standard(grid.digits), 1, 1)
        task, denoiser = SudokuTask(grid), LoopedDenoiser(make(vocab=grid.digits))
        state = denoiser.prefill([task.encode(Sudoku(puzzles[0]))], [0])
        tokens = torch.from_numpy(puzzles.astype(np.int64)).clamp_min(1) - 1
        given = torch.from_numpy(puzzles > 0)
        out, _ = denoiser.denoise(state, tokens, given, given, denoiser.start(state))
        assert out.shape == (1, grid.cells, grid.digits)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in make(vocab=4).parameters())


def test_the_causal_form_sees_the_prefix_and_what_came_before() -> None:
    network = make(causal=True)
    torch.nn.init.normal_(network.outer.weight, std=0.5)
    tokens, status = canvas(1)
    pinned = status == PINNED
    geometry = network.geometry(RELATIONS, reading_order(pinned))

    def run(tokens: torch.Tensor) -> torch.Tensor:
        x = network.embed(tokens, status)
        said = network.embed(tokens, torch.where(pinned, PINNED, KNOWN))
        return network(network.start(81, 1), x, geometry, 3, said)[1]

    before = run(tokens)
    open_cells = (~pinned[0]).nonzero()[:, 0].tolist()
    changed = open_cells[len(open_cells) // 2]
    other = tokens.clone()
    other[0, changed] = (other[0, changed] + 1) % 9
    moved = (run(other) - before).abs().amax(-1)[0] > 1e-6
    assert not moved[: changed + 1].any()
    assert not moved[pinned[0]].any()
    assert moved[changed + 1 :].any()


def test_unknown_cells_do_not_leak_their_tokens() -> None:
    network = make()
    tokens, status = canvas()
    scrambled = torch.where(status == OPEN, (tokens + 3) % 9, tokens)
    assert torch.equal(logits(network, tokens, status), logits(network, scrambled, status))


@pytest.mark.parametrize(
    ("field", "value"), [("vocab", 0), ("noise", "pink"), ("order", "any"), ("loops", 0), ("width", -1)]
)
def test_a_wrong_configuration_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        make(**{field: value})


def test_flops_are_those_of_the_matrix_products_of_every_loop() -> None:
    """Against a count by hand for four cells without groups."""
    network = make(width=4, hidden=8, vocab=2)
    ungrouped = looped_c.GroupLayout.from_relations(torch.zeros(0, 4), 2)
    per_candidate, per_cell = 2 * (4 * 4 + 2 * 4 * 8) + 4 + 8, 2 * (4 * 8 + 8 * 8)
    assert network.flops(ungrouped, 5) == 5 * 4 * (2 * per_candidate + per_cell) + 2 * 4 * 2 * 4


def test_constructing_and_running_a_denoiser_changes_no_setting_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMASK_KERNELS", "reference")
    monkeypatch.setattr(looped_denoiser, "fast_bf16", lambda: True)
    settings = torch.get_num_threads, torch.get_float32_matmul_precision, torch.get_default_dtype
    before, network = [read() for read in settings], make()
    denoiser, task = LoopedDenoiser(network, loops=4), SudokuTask(GRID)
    canvases = [task.encode(Sudoku(p)) for p in exact.generate_puzzles(GRID, looped_denoiser.ROWS + 1, 5)[0]]
    state = denoiser.prefill(canvases, range(len(canvases)))
    tokens, known = (
        torch.from_numpy(np.stack([getattr(c, n) for c in canvases])) for n in ("tokens", "known")
    )
    denoiser.denoise(state, tokens, known, known, denoiser.start(state))
    assert [read() for read in settings] == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before[0]
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert denoiser.network.first.dtype == torch.bfloat16


def test_a_row_leaves_early_only_when_it_has_settled() -> None:
    denoiser = LoopedDenoiser(make(), loops=32, confident=0.0)
    task = SudokuTask(GRID)
    puzzles, _, _ = exact.generate_puzzles(GRID, 3, 5)
    canvases = [task.encode(Sudoku(p)) for p in puzzles]
    state = denoiser.prefill(canvases, [0, 0, 0])
    tokens = torch.from_numpy(np.stack([c.tokens for c in canvases]))
    known = torch.from_numpy(np.stack([c.known for c in canvases]))
    _, aux = denoiser.denoise(state, tokens, known, known, denoiser.start(state))
    assert all(0 < n <= 32 for n in aux.loops)
    never = LoopedDenoiser(make(), loops=32, confident=1.1)
    _, aux = never.denoise(state, tokens, known, known, never.start(state))
    assert aux.loops == (32, 32, 32)
    loops, flops = never.cost(state, aux)
    assert flops[0] == never.network.flops(looped_c.GroupLayout.from_relations(RELATIONS, 9), loops[0])


def test_a_reset_cell_carries_nothing() -> None:
    denoiser = LoopedDenoiser(make())
    task = SudokuTask(GRID)
    one = task.encode(Sudoku(exact.generate_puzzles(GRID, 1, 5)[0][0]))
    state = denoiser.prefill([one], [0])
    first = denoiser.start(state)
    known = torch.from_numpy(one.known.copy())[None]
    _, aux = denoiser.denoise(state, torch.from_numpy(one.tokens.copy())[None], known, known, first)
    cells = np.zeros((1, 81), bool)
    cells[0, 40] = True
    hidden = aux.reset(cells).hidden
    assert torch.equal(hidden[40, 0, 0].float(), denoiser.network.first.float())
    assert torch.equal(hidden[:40], aux.hidden[:40])
