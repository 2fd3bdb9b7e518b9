"""The trainer: a resumed run equals an uninterrupted one, it learns, and its canvases are consistent."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from solver.cli import train as cli_train
from solver.cli.main import main
from solver.models.blocks import KNOWN, NOISE, OPEN, PINNED
from solver.models.checkpoint import load
from solver.recipes import ExampleSource, recipe
from solver.training.loaders import Examples, load_examples, save_examples
from solver.training.objectives import BatchObjective
from solver.training.preset import Preset
from solver.training.sudoku_examples import CanvasPool, PuzzlePool, new_canvas
from solver.training.trainer import Trainer

SUDOKU = recipe("sudoku")
MODELS = tuple(dict.fromkeys(model for model, _ in SUDOKU.presets))
SMOKE = replace(SUDOKU.presets["diffusion", "smoke"], steps=12, warmup=4)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return SUDOKU.make_examples(SMOKE, ExampleSource())


@pytest.fixture(scope="module")
def puzzles(examples: Examples) -> PuzzlePool:
    return PuzzlePool(**examples)


def trainer(examples: Examples, preset: Preset[Any] = SMOKE) -> Trainer:
    return Trainer(preset, lambda: SUDOKU.make_objective(preset, examples, "cpu"), "sudoku")


def silent(_: str) -> None:
    pass


def kinds() -> dict[str, Preset[Any]]:
    """Every model, and the denoiser with every noise."""
    found = {
        f"noise {n}": replace(SMOKE, network=replace(SMOKE.network, noise=n))
        for n in ("mask", "hybrid", "uniform")
    }
    return found | {
        model: replace(SUDOKU.presets[model, "smoke"], steps=12, warmup=4)
        for model in MODELS
        if model != "diffusion"
    }


QUICK = ("noise mask", "ar-plain")  # a network of each family


@pytest.mark.parametrize("kernels", ["auto", pytest.param("reference", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds()]
)
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(
    examples: Examples, tmp_path: Path, kind: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMASK_KERNELS", kernels)
    preset = kinds()[kind]
    unbroken = trainer(examples, preset)
    unbroken.run(tmp_path / "unbroken", None, silent, {})
    first = trainer(examples, preset)
    for _ in range(5):
        first.step()
    first.save(tmp_path / "killed", {})
    first.step()  # lost with the kill
    second = trainer(examples, preset)
    second.restore(tmp_path / "killed")
    second.run(tmp_path / "killed", None, silent, {})
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("unbroken", "killed"))
    assert one.keys() == two.keys()
    for name in one.keys() - {"progress"}:  # progress holds the seconds
        assert torch.equal(one[name], two[name]), name
    weights = [
        (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("unbroken", "killed")
    ]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_the_loss_falls(examples: Examples) -> None:
    run = trainer(examples, replace(SMOKE, steps=60))
    losses = [run.step()[0] for _ in range(60)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.02
    assert run.flops == 60 * run.objective.flops > 0


@pytest.mark.parametrize("model", MODELS)
def test_every_models_cpu_preset_takes_the_same_training_flops(examples: Examples, model: str) -> None:
    preset = SUDOKU.presets[model, "cpu"]
    objective = trainer(examples, preset).objective
    flops = objective.flops
    if isinstance(objective, BatchObjective):
        flops = objective.step_flops(objective.loader.next())
    assert flops * preset.steps == pytest.approx(0.166e15, rel=0.025)


def test_resuming_with_other_data_is_refused(examples: Examples, tmp_path: Path) -> None:
    trainer(examples).save(tmp_path, {})
    other = SUDOKU.make_examples(replace(SMOKE, seed=9), ExampleSource())
    with pytest.raises(ValueError, match="training data"):
        trainer(other).restore(tmp_path)


def test_canvases_come_in_every_condition_and_tell_the_truth(puzzles: PuzzlePool) -> None:
    rng = np.random.default_rng(0)
    kinds = {"plain": 0, "shown": 0, "wrong": 0, "no clue": 0, "noise": 0}
    for n in range(300):
        puzzle, solution = puzzles.puzzles[n % 64], puzzles.solutions[n % 64]
        tokens, status = new_canvas(puzzle, solution, "hybrid", rng)
        truth = solution.astype(int) - 1
        assert (tokens[status == PINNED] == truth[status == PINNED]).all()
        assert ((puzzle > 0) | (status != PINNED)).all()
        assert tokens.min() >= 0
        assert tokens.max() < 9
        kinds["plain"] += not (status == KNOWN).any()
        kinds["shown"] += (status == KNOWN).any()
        kinds["wrong"] += (tokens != truth)[status == KNOWN].any()
        kinds["no clue"] += not (status == PINNED).any()
        kinds["noise"] += (status == NOISE).any()
    assert min(kinds.values()) >= 20, kinds


def test_moves_decide_open_cells_and_never_touch_a_clue(puzzles: PuzzlePool) -> None:
    rng = np.random.default_rng(1)
    canvases = CanvasPool.empty(16)
    canvases.renew(puzzles, "mask", rng)
    pinned, tokens = canvases.status == PINNED, canvases.tokens.copy()
    decided = 0
    for _ in range(10):
        before = canvases.status.copy()
        doubt = canvases.move(puzzles, torch.randn(16, 81, 9), rng).numpy()
        assert ((canvases.status == PINNED) == pinned).all()
        assert (canvases.tokens[pinned] == tokens[pinned]).all()
        assert (canvases.status[doubt] == OPEN).all()
        decided += int(((canvases.status == KNOWN) & (before == OPEN)).sum())
    assert decided > 10


@pytest.mark.parametrize("task", ["sudoku", "json", "reader", pytest.param("code", marks=pytest.mark.slow)])
def test_every_recipe_trains_a_denoiser_that_loads(task: str, tmp_path: Path) -> None:
    chosen = recipe(task)
    preset = replace(chosen.presets["diffusion", "smoke"].override(steps=1), pool=16)
    examples = chosen.make_examples(preset, ExampleSource())
    run = Trainer(preset, lambda: chosen.make_objective(preset, examples, "cpu"), chosen.make_task().name)
    assert run.run(tmp_path, None, silent, {})
    assert load(str(tmp_path / "checkpoint"), chosen.make_task()).vocab == chosen.make_task().vocab


def test_a_resumed_run_reads_its_examples_and_preparation_counts_as_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def prepare(preset: Preset[Any], source: ExampleSource) -> Examples:
        clock[0] += 120.0
        return SUDOKU.make_examples(preset, source)

    monkeypatch.setattr(cli_train, "recipe", lambda _: replace(SUDOKU, make_examples=prepare))
    command = ["train", "sudoku", "--preset", "smoke", "--steps", "2", "--out", str(tmp_path)]
    assert main([*command, "--minutes", "1"]) == 0
    assert "stopped at step 0" in capsys.readouterr().out
    assert main([*command, "--minutes", "1", "--resume"]) == 0
    assert "complete at step 2" in capsys.readouterr().out
    assert clock[0] == 120.0


def test_damaged_examples_are_refused_in_one_line(tmp_path: Path) -> None:
    save_examples({"truth": np.zeros((2, 3))}, tmp_path / "examples.npz")
    content = (tmp_path / "examples.npz").read_bytes()
    for damaged in (content[:100], b"", b"nothing"):
        (tmp_path / "examples.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match="not the examples of a run"):
            load_examples(tmp_path / "examples.npz")


def test_the_command_stops_in_time_and_does_not_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "sudoku", "--preset", "smoke", "--out", str(tmp_path / "run")]
    assert main([*command, "--minutes", "0.001"]) == 0
    assert main(command) == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_trains_stops_resumes_and_does_not_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    command = ["train", "sudoku", "--preset", "smoke", "--out", out]
    assert main([*command, "--minutes", "0.001"]) == 0
    assert main(command) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "complete at step 60" in capsys.readouterr().out
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 60
    assert log[-1].keys() == {"step", "seconds", "flops", "loss", "exact", "rate"}
    assert sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir()) == ["15", "30", "4", "8"]
    assert main(["sudoku", "--denoiser", out + "/checkpoint", "--json"]) in (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "-1"], "must be positive"),
        (["--minutes", "soon"], "not a number"),
        (["--preset", "tpu"], "invalid choice"),
        (["--data", "/no/such/folder"], "no such folder"),
        (["--resume", "--out", "/no/such/run"], "nothing to resume"),
        (["--out", "/dev/null"], "is a file"),
        (["--model", "ar", "--preset", "gpu"], "no preset"),
        (["--model", "ar", "--preset", "smoke", "--noise", "mask"], "left to right there is none"),
        (["--rate", "0"], "must be positive"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sudoku", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
