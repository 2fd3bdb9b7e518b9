"""A denoiser by name: a control, the shipped checkpoint, or a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

from solver.models import checkpoint, controls
from solver.models.code_denoiser import CodeDenoiser
from solver.models.code_network import CodeNetwork
from solver.models.json_denoiser import JsonDenoiser
from solver.models.json_network import JsonNetwork
from solver.models.looped import LoopedNetwork
from solver.models.looped_denoiser import LoopedDenoiser
from solver.models.protocol import Denoiser

NAMES = ("compact", "random", "prior")


def load(name: str, task: str, vocab: int, loops: int | None = None) -> Denoiser:
    """The denoiser ``name`` for ``task``. Raises :class:`checkpoint.CheckpointError` with one line where there is none."""
    if name == "random":
        return controls.random(vocab)
    if name == "prior":
        return controls.prior(vocab)
    folder = checkpoint.SHIPPED / task if name == "compact" else Path(name)
    if not folder.is_dir():
        known = ", ".join(NAMES)
        raise checkpoint.CheckpointError(
            f"unknown denoiser {name!r}: neither one of {known} nor a checkpoint's folder"
        )
    network, _ = checkpoint.load(folder, task)
    if isinstance(network, JsonNetwork) and not network.config.causal:
        return JsonDenoiser(network, name=name)
    if isinstance(network, CodeNetwork) and not network.config.causal:
        return CodeDenoiser(network, name=name)
    if not isinstance(network, LoopedNetwork) or network.config.causal:
        raise checkpoint.CheckpointError(f"{folder}: a left-to-right model, not a denoiser")
    return LoopedDenoiser(network, name=name, loops=loops)
