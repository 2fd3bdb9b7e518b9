"""Which implementation runs: the numba path for CPU batches, the reference otherwise.

``REMASK_KERNELS=reference`` or ``cpu`` forces one. Small inputs stay with the reference: numba costs a second to import, which
a single puzzle would feel.
"""

from __future__ import annotations

import os
from types import ModuleType

from torch import Tensor

from solver.kernels import reference
from solver.kernels.reference import Conflicts, Statistics

BATCH = 8  # rows from which the compiled path pays
ELEMENTS = 1 << 20  # or numbers in all


def choose(example: Tensor) -> ModuleType:
    """The module to use for a tensor whose first axis is the batch. Raises ValueError for an unknown REMASK_KERNELS."""
    wanted = os.environ.get("REMASK_KERNELS", "auto")
    if wanted not in ("auto", "reference", "cpu"):
        raise ValueError(f"REMASK_KERNELS must be auto, reference or cpu, not {wanted!r}")
    if (
        wanted == "reference"
        or example.device.type != "cpu"
        or (wanted == "auto" and len(example) < BATCH and example.numel() < ELEMENTS)
    ):
        return reference
    from solver.kernels import statistics_numba as cpu

    return cpu


def token_statistics(
    logits: Tensor, allowed: Tensor | None = None, uniform: Tensor | None = None, held: Tensor | None = None
) -> Statistics:
    """See :func:`solver.kernels.reference.token_statistics`."""
    result: Statistics = choose(logits).token_statistics(logits, allowed, uniform, held)
    return result


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Conflicts:
    """See :func:`solver.kernels.reference.all_different`."""
    result: Conflicts = choose(tokens).all_different(tokens, known, relations, vocab)
    return result
