"""Checkpoints: a folder of ``config.json``, ``model.safetensors`` and a card. Read and written here and nowhere else.

``config.json`` holds the network's configuration, the task, and the SHA-256 of the weights file: a truncated or altered file is
refused with one line. Weights are safetensors, never pickle.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from solver.models.cell_transformer import CellTransformer, CellTransformerConfig
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.tasks.errors import SolverError

SHIPPED = Path(__file__).parents[1] / "weights"
FORMAT = 1
Network = LoopedNetwork | CellTransformer | JsonNetwork | CodeNetwork
Config = LoopedConfig | CellTransformerConfig | JsonConfig | CodeConfig
KINDS: dict[str, type[Config]] = {
    "compact": LoopedConfig,
    "plain": CellTransformerConfig,
    "text": JsonConfig,
    "code": CodeConfig,
}


class CheckpointError(SolverError, ValueError):
    """A checkpoint that cannot be used; the message is one line and names the file."""


def save(
    folder: Path, weights: dict[str, torch.Tensor], network: Config, task: str, facts: dict[str, Any]
) -> None:
    """Write ``weights`` as bf16 to ``folder`` (made if missing), each file replaced whole. ``facts`` go into config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    small = {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    save_tensors(folder / "model.safetensors", small)
    config = {
        "format": FORMAT,
        "task": task,
        "kind": next(kind for kind, config in KINDS.items() if isinstance(network, config)),
        "network": asdict(network),
        "sha256": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        **facts,
    }
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def load(folder: Path, task: str) -> tuple[Network, dict[str, Any]]:
    """The network (fp32, evaluation mode) and its config.json. Raises :class:`CheckpointError`."""
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise CheckpointError(f"{folder}: not a checkpoint, {file.name} is missing")
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        network = build(config.get("kind", "compact"), config["network"])
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


def build(kind: str, settings: dict[str, Any]) -> Network:
    """A network of ``kind`` with fresh weights; settings that this version does not know are left out."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of network {kind!r}")
    known = {field.name for field in fields(KINDS[kind])}
    chosen: dict[str, Any] = {key: settings[key] for key in known & settings.keys()}
    if kind == "plain":
        return CellTransformer(CellTransformerConfig(**chosen))
    if kind == "text":
        return JsonNetwork(JsonConfig(**chosen))
    if kind == "code":
        return CodeNetwork(CodeConfig(**chosen))
    return LoopedNetwork(LoopedConfig(**{**chosen, "mixers": tuple(chosen["mixers"])}))


def one_line(error: Exception) -> str:
    """The first 160 characters of an error's message, on one line."""
    return " ".join(str(error).split())[:160]


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """safetensors by way of a temporary file, so that a kill leaves the old one whole."""
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary)
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Text by way of a temporary file."""
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
