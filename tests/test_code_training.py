"""What the code models learn from: pages of the corpus, their noise, and a run that is stopped and taken up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from solver.cli.main import main
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.tasks.code_edit.corpus import Corpus
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import WINDOW_SIZES
from solver.training import code_pages
from solver.training.code import Snippets
from solver.training.loop import Trainer
from solver.training.objectives import Pages
from solver.training.presets import CODE

COUNT = 500  # more than a process takes at a time


@pytest.fixture(scope="module")
def functions():
    return Corpus.build(30).train


@pytest.fixture(scope="module")
def pages(functions) -> code_pages.Pool:
    return code_pages.pool(functions, COUNT, False, 1)


def same(one: code_pages.Pool, other: code_pages.Pool) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(getattr(one[length], name), getattr(other[length], name))
        for length in one
        for name in code_pages.FIELDS
    )


@pytest.mark.slow
def test_any_number_of_processes_makes_the_same_pages_and_they_come_back(
    functions, pages, tmp_path: Path
) -> None:
    assert same(pages, code_pages.pool(functions, COUNT, False, 1, workers=2))
    assert not same(pages, code_pages.pool(functions, COUNT, False, 2))
    code_pages.save(pages, tmp_path / "pages.npz")
    assert same(pages, code_pages.read(tmp_path / "pages.npz"))


def test_pages_have_one_hole_or_many_and_room_behind(pages) -> None:
    blank, holes, spare = Vocabulary.load().blank, [], []
    for length, examples in pages.items():
        assert examples.truth.shape[1] == length in WINDOW_SIZES
        inside = examples.offset != 0
        slotted = inside.any(1)
        starts = inside & ~np.pad(inside, ((0, 0), (1, 0)))[:, :-1] | (examples.offset == 1)
        assert (~examples.pinned[slotted] == inside[slotted]).all()  # what is open are the holes
        assert (examples.truth[slotted] != blank)[starts[slotted]].all()  # none is empty
        holes += starts.sum(1)[slotted].tolist()
        spare += (inside & (examples.truth == blank)).sum(1)[slotted].tolist()
        assert not examples.pinned[~slotted].all(1).any()
        filled = slotted & (examples.offset <= 0).all(1)
        assert (examples.truth[filled] != blank)[inside[filled]].all()  # these say how long their texts are
        assert (examples.offset[:, 1:] == -1)[filled].any(1).all()
        roomy_ = slotted & ~filled
        assert (examples.offset[roomy_] >= 0).all()
        assert (examples.offset.max(1) >= 4)[roomy_].all()
    assert 1 in holes
    assert max(holes) > 8
    assert 0 in spare
    assert max(spare) > 8


def test_noise_hides_the_open_tells_lies_about_some_and_never_about_what_is_given(pages) -> None:
    lies = visible = 0
    for tokens, status, offset, truth, weight in (Snippets(pages, 48, False, 3).next() for _ in range(40)):
        assert (tokens[status == PINNED] == truth[status == PINNED]).all()
        assert (weight[status == PINNED] == 0).all()
        assert (weight[status == OPEN] > 0).all()
        assert ((status == PINNED) | (offset != 0) | ~offset.any(1)[:, None]).all()
        shown = status == KNOWN
        lies, visible = lies + int((tokens != truth)[shown].sum()), visible + int(shown.sum())
        assert (weight[shown & (tokens != truth)] >= 0.3).all()  # to be told from the others
    assert 0.05 < lies / visible < 0.2


def test_left_to_right_sees_sequences_with_sentinels_and_learns_what_follows_them(functions) -> None:
    v, found = Vocabulary.load(), 0
    for tokens, _, _, truth, weight in (
        Snippets(code_pages.pool(functions, 60, True, 1), 8, True, 3).next() for _ in range(5)
    ):
        assert (tokens[:, 1:] == truth[:, :-1]).all()
        assert (weight[:, 0] < 1).all()
        found += int(((tokens == v.special("HOLE0")) & (weight == 1)).any(1).sum())
    assert found


@pytest.mark.parametrize("model", ["diffusion", pytest.param("ar", marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(functions, model: str, tmp_path: Path) -> None:
    preset = CODE[model, "smoke"]
    pool = code_pages.pool(functions, 60, preset.code.causal, 1)

    def trainer() -> Trainer:
        return Trainer(
            preset, lambda: Pages(preset, Snippets(pool, preset.rows, preset.code.causal, 2)), "code"
        )

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
    preset = CODE["diffusion", "smoke"].changed(4e-3, 60, None)
    pool = code_pages.pool(functions, 60, False, 1)
    trainer = Trainer(preset, lambda: Pages(preset, Snippets(pool, 8, False, 2)), "code")
    losses = [trainer.step()[0] for _ in range(60)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.4


@pytest.mark.slow
def test_the_command_takes_up_a_run_with_its_pages_and_says_what_is_wrong_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "code", "--preset", "smoke", "--out", str(tmp_path)]
    assert main([*command, "--minutes", "0.0001"]) == 0
    whole = (tmp_path / "pages.npz").read_bytes()
    for broken in (whole[:100], b"", b"nothing"):
        (tmp_path / "pages.npz").write_bytes(broken)
        capsys.readouterr()
        assert main([*command, "--resume"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "pages.npz").write_bytes(whole)
    assert main([*command, "--resume"]) == 0
    assert "complete at step 20" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("model", ["diffusion", "ar"])
def test_both_cpu_presets_take_the_same_training_flops(functions, model: str) -> None:
    preset = CODE[model, "cpu"]
    causal = preset.code.causal
    snippets = Snippets(code_pages.pool(functions, COUNT, causal, 1), preset.rows, causal, 0)
    course = Pages(preset, snippets)
    cost = np.mean([course.cost(snippets.next()[-1]) for _ in range(300)])
    assert cost * preset.steps == pytest.approx(0.456e15, rel=0.025)
