"""The compact network: its symmetries, its causal form, its noise, its cost; and checkpoints that are whole or refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.kernels import looped_c as compiled
from solver.models import checkpoint
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.models.looped import LoopedConfig, LoopedNetwork, in_order
from solver.models.looped_denoiser import LoopedDenoiser
from solver.models.registry import load
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
    puzzles, solutions, _ = exact.generate(GRID, rows, 11)
    pinned = torch.from_numpy(puzzles > 0)
    return torch.from_numpy(solutions.astype(np.int64) - 1), torch.where(pinned, PINNED, OPEN)


def logits(
    network: LoopedNetwork, tokens: torch.Tensor, status: torch.Tensor, relations: torch.Tensor = RELATIONS
) -> torch.Tensor:
    geometry = network.geometry(relations, in_order(status == PINNED) if network.config.causal else None)
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
        puzzles, _, _ = exact.generate(layout.standard(grid.digits), 1, 1)
        task, denoiser = SudokuTask(grid), LoopedDenoiser(make(vocab=grid.digits))
        state = denoiser.prefill([task.encode(Sudoku(puzzles[0]))], [0])
        tokens = torch.from_numpy(puzzles.astype(np.int64)).clamp_min(1) - 1
        given = torch.from_numpy(puzzles > 0)
        out, _ = denoiser.denoise(state, tokens, given, given, denoiser.start(state))
        assert out.shape == (1, grid.cells, grid.digits)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in make(vocab=4).parameters())


@pytest.mark.parametrize("state", ["candidate", "cell"])
@pytest.mark.parametrize("mixers", [("relations",), ("attention",), ("window",), ("relations", "window")])
def test_the_causal_form_sees_the_prefix_and_what_came_before(state: str, mixers: tuple[str, ...]) -> None:
    network = make(state=state, mixers=mixers, causal=True, positions=81)
    torch.nn.init.normal_(network.outer.weight, std=0.5)
    tokens, status = canvas(1)
    pinned = status == PINNED
    geometry = network.geometry(RELATIONS, in_order(pinned))

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


def test_states_of_cells_learn_positions_and_use_feedback() -> None:
    network = make(state="cell", positions=81, feedback=True, mixers=("attention", "relations"), heads=2)
    tokens, status = canvas()
    state, geometry = network.start(81, 2), network.geometry(RELATIONS)
    plain = network(state, network.embed(tokens, status), geometry, 2)[1]
    fed = network(state, network.embed(tokens, status, torch.softmax(plain, -1)), geometry, 2)[1]
    assert plain.shape == (2, 81, 9)
    assert (plain - fed).abs().max() > 0


def test_unknown_cells_do_not_leak_their_tokens() -> None:
    for state in ("candidate", "cell"):
        network = make(state=state)
        tokens, status = canvas()
        scrambled = torch.where(status == OPEN, (tokens + 3) % 9, tokens)
        assert torch.equal(logits(network, tokens, status), logits(network, scrambled, status))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab", 0),
        ("state", "row"),
        ("mixers", ()),
        ("mixers", ("rows",)),
        ("noise", "pink"),
        ("heads", 3),
        ("width", -1),
    ],
)
def test_a_wrong_configuration_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"must be|multiple"):
        make(**{field: value})


def test_flops_grow_with_loops_and_are_those_of_the_products() -> None:
    """Against a count by hand for a cell state with attention only."""
    network = make(state="cell", mixers=("attention",), width=4, hidden=8, heads=1)
    a_loop = 9 * (4 * 4 + 2 * 4 * 8) + 9 * (2 * 16 + 32 + 2 * 9 * 4)
    nowhere = compiled.Board.of(torch.zeros(0, 9), network.config.vocab)
    assert network.flops(nowhere, 5) == 2 * (5 * a_loop + 9 * 4 * 9)


def test_a_row_leaves_early_only_when_it_has_settled() -> None:
    denoiser = LoopedDenoiser(make(), loops=32, settled=0.0)
    task = SudokuTask(GRID)
    puzzles, _, _ = exact.generate(GRID, 3, 5)
    canvases = [task.encode(Sudoku(p)) for p in puzzles]
    state = denoiser.prefill(canvases, [0, 0, 0])
    tokens = torch.from_numpy(np.stack([c.tokens for c in canvases]))
    known = torch.from_numpy(np.stack([c.known for c in canvases]))
    _, aux = denoiser.denoise(state, tokens, known, known, denoiser.start(state))
    assert all(0 < n <= 32 for n in aux.loops)
    never = LoopedDenoiser(make(), loops=32, settled=1.1)
    _, aux = never.denoise(state, tokens, known, known, never.start(state))
    assert aux.loops == (32, 32, 32)
    loops, flops = never.cost(state, aux)
    assert flops[0] == never.network.flops(compiled.Board.of(RELATIONS, 9), loops[0])


def test_a_reset_cell_carries_nothing() -> None:
    denoiser = LoopedDenoiser(make())
    task = SudokuTask(GRID)
    one = task.encode(Sudoku(exact.generate(GRID, 1, 5)[0][0]))
    state = denoiser.prefill([one], [0])
    first = denoiser.start(state)
    known = torch.from_numpy(one.known.copy())[None]
    _, aux = denoiser.denoise(state, torch.from_numpy(one.tokens.copy())[None], known, known, first)
    cells = np.zeros((1, 81), bool)
    cells[0, 40] = True
    hidden = aux.reset(cells).hidden
    assert torch.equal(hidden[40, 0, 0].float(), denoiser.network.first.float())
    assert torch.equal(hidden[:40], aux.hidden[:40])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = make()
    checkpoint.save(tmp_path / "good", network.state_dict(), network.config, "sudoku", {"seed": 1})
    return tmp_path / "good"


def test_a_checkpoint_comes_back_as_it_was_written(folder: Path) -> None:
    network, config = checkpoint.load(folder, "sudoku")
    assert config["seed"] == 1
    for name, value in make().state_dict().items():
        assert torch.equal(network.state_dict()[name], value.bfloat16().float())
    assert load(str(folder), "sudoku", 9).name == str(folder)


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def spoil_network(folder: Path) -> None:
    edit(folder, network={**json.loads((folder / "config.json").read_text())["network"], "width": 16})


SPOILERS = {
    "truncated": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-7]),
    "altered": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:-1] + b"\x7f"
    ),
    "empty": lambda f: (f / "model.safetensors").write_bytes(b""),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "no config": lambda f: (f / "config.json").unlink(),
    "broken config": lambda f: (f / "config.json").write_text("{"),
    "config is a list": lambda f: (f / "config.json").write_text("[]"),
    "config without network": lambda f: (f / "config.json").write_text('{"task": "sudoku"}'),
    "another task": lambda f: edit(f, task="json"),
    "another network": spoil_network,
    "impossible network": lambda f: edit(f, network={"vocab": 0, "mixers": ["relations"]}),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_a_damaged_checkpoint_is_refused_in_one_line(folder: Path, how: str) -> None:
    SPOILERS[how](folder)
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.load(folder, "sudoku")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_unknown_denoiser_is_refused() -> None:
    with pytest.raises(checkpoint.CheckpointError, match="unknown denoiser 'nonsense'"):
        load("nonsense", "sudoku", 9)
