"""Denoisers and decoders by name: a control, a shipped checkpoint, or a checkpoint's folder.

>>> from solver.tasks.sudoku.layout import standard
>>> from solver.tasks.sudoku.task import SudokuTask
>>> load("compact", SudokuTask(standard(9))).name
'compact'
>>> load_decoder(checkpoint.SHIPPED / "sudoku-ar", "sudoku", "ar").name
'ar'
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.baseline.decode import Decoder
from solver.errors import CheckpointError
from solver.models import checkpoint, controls
from solver.models.kinds import KINDS
from solver.models.protocol import Denoiser
from solver.tasks.languages.projection import BLANK
from solver.tasks.task import Task

NAMES = ("compact", "random", "prior")


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
    folder = checkpoint.SHIPPED / task.name if name == "compact" else Path(name)
    if not folder.is_dir():
        known = ", ".join(NAMES)
        raise CheckpointError(f"unknown denoiser {name!r}: neither one of {known} nor a checkpoint's folder")
    network, facts = checkpoint.load_network(folder, task.name)
    kind = KINDS[facts["kind"]]
    if kind.denoiser is None or getattr(network.config, "causal", False):
        raise CheckpointError(f"{folder}: a left-to-right model, not a denoiser")
    return kind.denoiser(network, name, **({"loops": loops} if kind.has_loops else {}))


def load_control(name: str, task: Task) -> controls.Control:
    """The control "random" or "prior" for ``task``.

    Every draft of the JSON language is valid, so its controls draw a new draft each time instead of deciding
    cells.
    """
    is_json = task.name == "json"
    policy = controls.REDRAW if is_json else controls.DEPTH_FIRST
    if name == "random":
        return controls.random(task.vocab, policy=policy)
    return controls.prior(task.vocab, json_byte_frequencies() if is_json else None, policy=policy)


def json_byte_frequencies() -> NDArray[np.float64]:
    """Relative frequencies (257,) of the bytes of JSON, and of BLANK, which is taken to fill half of all
    cells.

    Counted in the metaschemas of the JSON Schema drafts, which come with the validator.
    """
    import jsonschema_specifications

    schemas = (resource.contents for resource in jsonschema_specifications.REGISTRY.values())
    text = "".join(json.dumps(schema, separators=(",", ":")) for schema in schemas)
    counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=BLANK + 1) + 1.0
    counts[BLANK] = counts.sum()
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies


def load_decoder(folder: Path, task: str, name: str, loops: int | None = None) -> Decoder:
    """The left-to-right decoder in a checkpoint's ``folder``, called ``name`` in tables; ``loops`` as in
    :func:`load`.

    Raises :class:`CheckpointError` where there is no checkpoint, or it holds no decoder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no checkpoint of {name} there")
    network, facts = checkpoint.load_network(folder, task)
    kind = KINDS[facts["kind"]]
    if kind.decoder is None or not getattr(network.config, "causal", True):
        raise CheckpointError(f"{folder}: not a left-to-right model of {task}")
    return kind.decoder(network, name, **({"loops": loops} if kind.has_loops else {}))
