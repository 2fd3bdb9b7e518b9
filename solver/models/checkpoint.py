"""Checkpoints, and denoisers and decoders by name: a control, a shipped checkpoint, or a checkpoint's folder.

>>> from solver.tasks.sudoku.layout import standard
>>> from solver.tasks.sudoku.task import SudokuTask
>>> load("compact", SudokuTask(standard(9))).name
'compact'
>>> load_decoder(SHIPPED / "sudoku-ar", "sudoku", "ar").name
'ar'
>>> network, facts = load_network(SHIPPED / "sudoku", "sudoku")
>>> facts["kind"], network.config.width
('looped', 32)

A checkpoint is a folder of ``config.json``, ``model.safetensors`` and a model card. ``config.json`` holds the
network's kind and configuration, the task, and the SHA-256 of the weights file, so that a truncated or altered
file is refused. Weights are safetensors in bf16, never pickle. A new kind of network is one entry in ``KINDS``.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from solver.baseline.cells import cell_decoder, looped_decoder
from solver.baseline.decode import Decoder
from solver.errors import CheckpointError
from solver.files import replacing
from solver.loop.policy import DEPTH_FIRST, REDRAW
from solver.models import controls
from solver.models.calibration import Calibration
from solver.models.cell_transformer import CellTransformer, CellTransformerConfig
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.models.looped_denoiser import LoopedDenoiser
from solver.models.mask_denoisers import CodeDenoiser, JsonDenoiser
from solver.models.protocol import Denoiser
from solver.models.reader import ReaderConfig, ReaderNetwork
from solver.models.reader_denoiser import ReaderDenoiser
from solver.tasks.task import HasFrequencies, Projects, Task

Config = LoopedConfig | CellTransformerConfig | JsonConfig | CodeConfig | ReaderConfig
Network = LoopedNetwork | CellTransformer | JsonNetwork | CodeNetwork | ReaderNetwork


@dataclass(frozen=True)
class NetworkKind:
    """One kind of network.

    config, network: its classes; the network is made of a config.
    denoiser: makes a denoiser of a network that is not causal; None where every network of the kind is
        causal.
    decoder: makes a left-to-right decoder of a causal one; None where a baseline has its own way to run it.
    has_loops: whether both take a number of inner ``loops``.
    """

    config: Callable[..., Config]
    network: Callable[[Any], Network]
    denoiser: Callable[..., Denoiser] | None = None
    decoder: Callable[..., Decoder] | None = None
    has_loops: bool = False


KINDS: dict[str, NetworkKind] = {
    "looped": NetworkKind(LoopedConfig, LoopedNetwork, LoopedDenoiser, looped_decoder, has_loops=True),
    "cells": NetworkKind(CellTransformerConfig, CellTransformer, None, cell_decoder),
    "json": NetworkKind(JsonConfig, JsonNetwork, JsonDenoiser),
    "code": NetworkKind(CodeConfig, CodeNetwork, CodeDenoiser),
    "reader": NetworkKind(ReaderConfig, ReaderNetwork, lambda network, name: reader_denoiser(network, name)),
}


def build(kind: str, settings: dict[str, Any]) -> Network:
    """A network of ``kind`` with fresh weights. Raises ValueError naming an unknown kind or setting."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of network {kind!r}")
    config = KINDS[kind].config
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]  # a dataclass
    unknown = sorted(settings.keys() - names)
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r} of a {kind} network")
    return KINDS[kind].network(config(**settings))


SHIPPED = Path(__file__).parents[1] / "weights"
BYTE_WRITERS = ("json-bytes", "json")  # the first that is a model of bytes
FORMAT = 2


def save_network(
    folder: Path,
    weights: dict[str, torch.Tensor],
    network: Config,
    task: str,
    facts: dict[str, Any],
) -> None:
    """Write a checkpoint. Both files are replaced, or none if one cannot be written.

    folder: created if missing.
    weights: the network's state dict; written as bf16.
    network: its configuration.
    facts: further entries of config.json.

    Raises OSError if the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    # both are written before the first is renamed: one names the other's digest
    with replacing(folder / "config.json") as config_file, replacing(folder / "model.safetensors") as file:
        write_tensors(file, small)
        config = {
            "format": FORMAT,
            "task": task,
            "kind": next(name for name, kind in KINDS.items() if kind.config is type(network)),
            "network": asdict(network),
            "sha256": sha256(file.read_bytes()).hexdigest(),
            **facts,
        }
        config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_network(folder: Path, task: str) -> tuple[Network, dict[str, Any]]:
    """The network (fp32, evaluation mode, no gradients) and the contents of its config.json.

    Raises :class:`CheckpointError` where a file is missing or damaged, a setting is unknown, or the task is
    another.
    """
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise CheckpointError(f"{folder}: not a checkpoint, {file.name} is missing")
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        if config.get("format") != FORMAT:
            raise ValueError(f"format {config.get('format')}; this version reads format {FORMAT}")
        network = build(config["kind"], config["network"])
        expected, made_for = config["sha256"], config["task"]
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{config_file}: not a valid configuration ({one_line(error)})") from error
    if made_for != task:
        raise CheckpointError(f"{folder}: made for task {made_for!r}, not {task!r}")
    if sha256(weights_file.read_bytes()).hexdigest() != expected:
        raise CheckpointError(
            f"{weights_file}: damaged or altered (its SHA-256 is not the one in config.json)"
        )
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(weights_file).items()})
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{weights_file}: does not fit config.json ({one_line(error)})") from error
    return network.eval().requires_grad_(False), config


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors. Raises OSError if the file cannot be written."""
    try:
        save_file(tensors, path)
    except (
        SafetensorError
    ) as error:  # its message ends in the system's: "... No space left on device (os error 28)"
        raise OSError(0, one_line(error), str(path)) from None


def load(name: str | Denoiser, task: Task, loops: int | None = None) -> Denoiser:
    """The denoiser ``name`` for ``task``, with the policy that suits it there.

    name: "compact" (shipped), "random", "prior", a checkpoint's folder, or a denoiser, which is returned as
        it is.
    task: the task whose canvases it reads.
    loops: inner loops of a forward, for networks that have them; None for the checkpoint's own number.

    Raises :class:`CheckpointError` where there is no such denoiser.
    """
    if not isinstance(name, str):
        return name
    if name in ("random", "prior"):
        return load_control(name, task)
    folder = SHIPPED / task.name if name == "compact" else Path(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"unknown denoiser {name!r}: neither one of compact, random, prior nor a checkpoint's folder"
        )
    network, facts = load_network(folder, task.name)
    kind = KINDS[facts["kind"]]
    if kind.denoiser is None or getattr(network.config, "causal", False):
        raise CheckpointError(f"{folder}: a left-to-right model, not a denoiser")
    denoiser = kind.denoiser(network, name, **({"loops": loops} if kind.has_loops else {}))
    if isinstance(denoiser, JsonDenoiser | ReaderDenoiser) and "calibration" in facts:
        try:
            denoiser.calibration = Calibration.from_json(facts["calibration"])
        except ValueError as error:
            raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    return denoiser


def reader_denoiser(network: ReaderNetwork, name: str) -> ReaderDenoiser:
    """The denoiser of a reader. Fields that it cannot read are written by a shipped model of bytes, if any."""
    for folder in map(SHIPPED.joinpath, BYTE_WRITERS):
        if (folder / "config.json").is_file():
            writer, _ = load_network(folder, "json")
            if isinstance(writer, JsonNetwork):
                return ReaderDenoiser(network, name, JsonDenoiser(writer))
    return ReaderDenoiser(network, name)


def load_control(name: str, task: Task) -> controls.Control:
    """The control "random" or "prior" for ``task``.

    Where the task's language makes every draft valid, a control draws new drafts instead of deciding cells.
    """
    policy = REDRAW if isinstance(task, Projects) else DEPTH_FIRST
    if name == "random":
        return controls.random(task.vocab, policy=policy)
    table = task.frequencies() if isinstance(task, HasFrequencies) else None
    return controls.prior(task.vocab, table, policy=policy)


def load_decoder(folder: Path, task: str, name: str, loops: int | None = None) -> Decoder:
    """The left-to-right decoder in a checkpoint's ``folder``, called ``name`` in tables; ``loops`` as in
    :func:`load`.

    Raises :class:`CheckpointError` where there is no checkpoint, or it holds no decoder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no checkpoint of {name} there")
    network, facts = load_network(folder, task)
    kind = KINDS[facts["kind"]]
    if kind.decoder is None or not getattr(network.config, "causal", True):
        raise CheckpointError(f"{folder}: not a left-to-right model of {task}")
    return kind.decoder(network, name, **({"loops": loops} if kind.has_loops else {}))
