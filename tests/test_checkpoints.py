"""Checkpoints are whole or refused in one line, and the registry turns each into a denoiser or a decoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from solver.errors import CheckpointError
from solver.models import checkpoint
from solver.models.checkpoint import KINDS, build, load, load_decoder
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.tasks.code_edit.task import CodeTask
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.sudoku.layout import standard
from solver.tasks.sudoku.task import SudokuTask
from solver.tasks.task import Task

NINE = SudokuTask(standard(9))
TASKS: dict[str, Task] = {"sudoku": NINE, "json": JsonTask(), "code": CodeTask()}


def small() -> LoopedNetwork:
    torch.manual_seed(1)
    return LoopedNetwork(LoopedConfig(vocab=9, width=8, hidden=16, loops=8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = small()
    checkpoint.save_network(tmp_path / "good", network.state_dict(), network.config, "sudoku", {"seed": 1})
    return tmp_path / "good"


def test_a_checkpoint_comes_back_as_it_was_written(folder: Path) -> None:
    network, config = checkpoint.load_network(folder, "sudoku")
    assert config["seed"] == 1
    for name, value in small().state_dict().items():
        assert torch.equal(network.state_dict()[name], value.bfloat16().float())
    assert load(str(folder), NINE).name == str(folder)


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
    "impossible network": lambda f: edit(f, network={"vocab": 0}),
    "another format": lambda f: edit(f, format=1),
    "unknown kind": lambda f: edit(f, kind="convolution"),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_a_damaged_checkpoint_is_refused_in_one_line(folder: Path, how: str) -> None:
    SPOILERS[how](folder)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_network(folder, "sudoku")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_unknown_setting_is_refused_by_name(folder: Path) -> None:
    network = json.loads((folder / "config.json").read_text())["network"]
    edit(folder, network={**network, "mixers": ["relations"]})
    with pytest.raises(CheckpointError, match="unknown setting 'mixers' of a looped network"):
        checkpoint.load_network(folder, "sudoku")


@pytest.mark.parametrize(
    "config", sorted(checkpoint.SHIPPED.glob("*/config.json")), ids=lambda path: path.parent.name
)
def test_shipped_checkpoints_load_as_denoisers_or_decoders(config: Path) -> None:
    facts = json.loads(config.read_text())
    network, _ = checkpoint.load_network(config.parent, facts["task"])
    assert build(facts["kind"], facts["network"]).config == network.config
    causal = getattr(network.config, "causal", True)
    if not causal:
        assert load(str(config.parent), TASKS[facts["task"]]).vocab == network.config.vocab
        with pytest.raises(CheckpointError, match="not a left-to-right model"):
            load_decoder(config.parent, facts["task"], "ar")
        return
    with pytest.raises(CheckpointError, match="a left-to-right model, not a denoiser"):
        load(str(config.parent), TASKS[facts["task"]])
    if KINDS[facts["kind"]].decoder is not None:
        assert load_decoder(config.parent, facts["task"], "ar").name == "ar"


def test_an_unknown_denoiser_is_refused() -> None:
    with pytest.raises(CheckpointError, match="unknown denoiser 'nonsense'"):
        load("nonsense", NINE)
