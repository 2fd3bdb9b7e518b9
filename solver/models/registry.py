"""Denoisers and decoders by name: a control, a shipped checkpoint, or a checkpoint's folder.

>>> load("compact", "sudoku", vocab=9).name
'compact'
>>> load_decoder(checkpoint.SHIPPED / "sudoku-ar", "sudoku", "ar").name
'ar'
"""

from __future__ import annotations

from pathlib import Path

from solver.baseline.decode import Decoder
from solver.models import checkpoint, controls
from solver.models.checkpoint import CheckpointError
from solver.models.kinds import KINDS
from solver.models.protocol import Denoiser

NAMES = ("compact", "random", "prior")


def load(name: str, task: str, vocab: int, loops: int | None = None) -> Denoiser:
    """The denoiser ``name`` for ``task``.

    name: "compact" (shipped), "random", "prior", or a checkpoint's folder.
    vocab: tokens that a control may choose from.
    loops: inner loops of a forward, for networks that have them; None for the checkpoint's own number.

    Raises :class:`CheckpointError` where there is no such denoiser.
    """
    match name:
        case "random":
            return controls.random(vocab)
        case "prior":
            return controls.prior(vocab)
    folder = checkpoint.SHIPPED / task if name == "compact" else Path(name)
    if not folder.is_dir():
        known = ", ".join(NAMES)
        raise CheckpointError(f"unknown denoiser {name!r}: neither one of {known} nor a checkpoint's folder")
    network, facts = checkpoint.load(folder, task)
    kind = KINDS[facts["kind"]]
    if kind.denoiser is None or getattr(network.config, "causal", False):
        raise CheckpointError(f"{folder}: a left-to-right model, not a denoiser")
    return kind.denoiser(network, name, **({"loops": loops} if kind.has_loops else {}))


def load_decoder(folder: Path, task: str, name: str, loops: int | None = None) -> Decoder:
    """The left-to-right decoder in a checkpoint's ``folder``, called ``name`` in tables; ``loops`` as in :func:`load`.

    Raises :class:`CheckpointError` where there is no checkpoint, or it holds no decoder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no checkpoint of {name} there")
    network, facts = checkpoint.load(folder, task)
    kind = KINDS[facts["kind"]]
    if kind.decoder is None or not getattr(network.config, "causal", True):
        raise CheckpointError(f"{folder}: not a left-to-right model of {task}")
    return kind.decoder(network, name, **({"loops": loops} if kind.has_loops else {}))
