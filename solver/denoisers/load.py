"""A denoiser by name: a control, the shipped checkpoint, or a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

from solver import checkpoint
from solver.denoisers import controls
from solver.denoisers.code import CodeDenoiser
from solver.denoisers.code_network import CodeNetwork
from solver.denoisers.compact import CompactDenoiser
from solver.denoisers.forms import FormDenoiser
from solver.denoisers.network import Compact
from solver.denoisers.protocol import Denoiser
from solver.denoisers.text_network import TextNetwork

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
    if isinstance(network, TextNetwork) and not network.config.causal:
        return FormDenoiser(network, name=name)
    if isinstance(network, CodeNetwork) and not network.config.causal:
        return CodeDenoiser(network, name=name)
    if not isinstance(network, Compact) or network.config.causal:
        raise checkpoint.CheckpointError(f"{folder}: a left-to-right model, not a denoiser")
    return CompactDenoiser(network, name=name, loops=loops)
