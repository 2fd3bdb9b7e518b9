"""Checkpoints: a folder of ``config.json``, ``model.safetensors`` and a model card.

``config.json`` holds the network's kind and configuration, the task, and the SHA-256 of the weights file, so
that a truncated or altered file is refused. Weights are safetensors in bf16, never pickle.

    >>> network, facts = load_network(SHIPPED / "sudoku", "sudoku")
    >>> facts["kind"], network.config.width
    ('looped', 32)
"""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from solver.errors import CheckpointError
from solver.models.kinds import Config, Network, build, kind_of

SHIPPED = Path(__file__).parents[1] / "weights"
FORMAT = 2


def save_network(
    folder: Path,
    weights: dict[str, torch.Tensor],
    network: Config,
    task: str,
    facts: dict[str, Any],
) -> None:
    """Write a checkpoint. Each file is replaced whole.

    folder: created if missing.
    weights: the network's state dict; written as bf16.
    network: its configuration.
    facts: further entries of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    save_tensors(folder / "model.safetensors", small)
    config = {
        "format": FORMAT,
        "task": task,
        "kind": kind_of(network),
        "network": asdict(network),
        "sha256": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        **facts,
    }
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


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
    """The first 160 characters of an error's message, on one line."""
    return " ".join(str(error).split())[:160]


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors by way of a temporary file, so that an interrupted write leaves the old file
    whole."""
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary)
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write text by way of a temporary file."""
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
