"""Training of the code models: windows of the corpus, their corruption, and resumed runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.cli.main import main
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.recipes import recipe
from solver.tasks.code_edit.corpus import Corpus
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import WINDOW_SIZES
from solver.training.code_examples import CodeLoader, code_examples
from solver.training.loaders import Examples, columns_by_size, load_examples, save_examples
from solver.training.objectives import BatchObjective
from solver.training.trainer import Trainer

CODE = recipe("code")
COUNT = 500  # more than a process takes at a time


@pytest.fixture(scope="module")
def functions():
    return Corpus.build(30).train


@pytest.fixture(scope="module")
def windows(functions) -> Examples:
    return code_examples(functions, COUNT, False, 1)


def same(examples: Examples, others: Examples) -> bool:
    return examples.keys() == others.keys() and all(
        np.array_equal(column, others[name]) for name, column in examples.items()
    )


@pytest.mark.slow
def test_any_number_of_processes_makes_the_same_windows_and_they_are_read_back(
    functions, windows, tmp_path: Path
) -> None:
    assert same(windows, code_examples(functions, COUNT, False, 1, workers=2))
    assert not same(windows, code_examples(functions, COUNT, False, 2))
    save_examples(windows, tmp_path / "examples.npz")
    assert same(windows, load_examples(tmp_path / "examples.npz"))


def test_windows_have_one_hole_or_many_and_spare_cells(windows) -> None:
    blank, holes, spare = Vocabulary.load().blank, [], []
    for (length,), columns in columns_by_size(windows).items():
        truth, offset, pinned = columns["truth"], columns["offset"], columns["pinned"]
        assert truth.shape[1] == length in WINDOW_SIZES
        inside = offset != 0
        slotted = inside.any(1)
        starts = inside & ~np.pad(inside, ((0, 0), (1, 0)))[:, :-1] | (offset == 1)
        assert (~pinned[slotted] == inside[slotted]).all()  # what is open are the holes
        assert (truth[slotted] != blank)[starts[slotted]].all()  # none is empty
        holes += starts.sum(1)[slotted].tolist()
        spare += (inside & (truth == blank)).sum(1)[slotted].tolist()
        assert not pinned[~slotted].all(1).any()
        filled = slotted & (offset <= 0).all(1)
        assert (truth[filled] != blank)[inside[filled]].all()  # these say how long their texts are
        assert (offset[:, 1:] == -1)[filled].any(1).all()
        roomy_ = slotted & ~filled
        assert (offset[roomy_] >= 0).all()
        assert (offset.max(1) >= 4)[roomy_].all()
    assert 1 in holes
    assert max(holes) > 8
    assert 0 in spare
    assert max(spare) > 8


def test_corruption_makes_some_visible_cells_wrong_and_never_a_pinned_one(windows) -> None:
    lies = visible = 0
    for tokens, status, offset, truth, weight in (
        CodeLoader(windows, 48, False, 3).next() for _ in range(40)
    ):
        assert (tokens[status == PINNED] == truth[status == PINNED]).all()
        assert (weight[status == PINNED] == 0).all()
        assert (weight[status == OPEN] > 0).all()
        assert ((status == PINNED) | (offset != 0) | ~offset.any(1)[:, None]).all()
        shown = status == KNOWN
        lies, visible = lies + int((tokens != truth)[shown].sum()), visible + int(shown.sum())
        assert (weight[shown & (tokens != truth)] >= 0.3).all()  # to be told from the others
    assert 0.05 < lies / visible < 0.2


def test_left_to_right_windows_are_sequences_with_sentinels(functions) -> None:
    v, found = Vocabulary.load(), 0
    for tokens, _, _, truth, weight in (
        CodeLoader(code_examples(functions, 60, True, 1), 8, True, 3).next() for _ in range(5)
    ):
        assert (tokens[:, 1:] == truth[:, :-1]).all()
        assert (weight[:, 0] < 1).all()
        found += int(((tokens == v.special("HOLE0")) & (weight == 1)).any(1).sum())
    assert found


@pytest.mark.parametrize("model", ["diffusion", pytest.param("ar", marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(functions, model: str, tmp_path: Path) -> None:
    preset = CODE.presets[model, "smoke"]
    examples = code_examples(functions, 60, preset.network.causal, 1)

    def trainer() -> Trainer:
        return Trainer(preset, lambda: CODE.make_objective(preset, examples, "cpu"), "code")

    whole, first, second = trainer(), trainer(), trainer()
    losses = [whole.step()[0] for _ in range(6)]
    assert [first.step()[0] for _ in range(3)] == losses[:3]
    first.save(tmp_path, {})
    second.restore(tmp_path)
    assert [second.step()[0] for _ in range(3)] == losses[3:]
    for name, value in whole.average.items():
        assert torch.equal(value, second.average[name])
    assert whole.flops == second.flops > 0


@pytest.mark.slow
def test_the_loss_falls(functions) -> None:
    preset = replace(CODE.presets["diffusion", "smoke"].override(4e-3, 60), rows=8)
    examples = code_examples(functions, 60, False, 1)
    trainer = Trainer(preset, lambda: CODE.make_objective(preset, examples, "cpu"), "code")
    losses = [trainer.step()[0] for _ in range(60)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.4


@pytest.mark.slow
def test_the_command_resumes_a_run_with_its_examples_and_reports_damaged_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "code", "--preset", "smoke", "--out", str(tmp_path)]
    assert main([*command, "--minutes", "0.0001"]) == 0
    whole = (tmp_path / "examples.npz").read_bytes()
    for broken in (whole[:100], b"", b"nothing"):
        (tmp_path / "examples.npz").write_bytes(broken)
        capsys.readouterr()
        assert main([*command, "--resume"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "examples.npz").write_bytes(whole)
    assert main([*command, "--resume"]) == 0
    assert "complete at step 20" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("model", ["diffusion", "ar"])
def test_both_cpu_presets_take_the_same_training_flops(functions, model: str) -> None:
    preset = CODE.presets[model, "cpu"]
    examples = code_examples(functions, COUNT, preset.network.causal, 1)
    objective = CODE.make_objective(preset, examples, "cpu")
    assert isinstance(objective, BatchObjective)
    cost = np.mean([objective.step_flops(objective.loader.next()) for _ in range(300)])
    assert cost * preset.steps == pytest.approx(0.456e15, rel=0.025)
