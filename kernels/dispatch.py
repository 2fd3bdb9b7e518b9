"""Chooses an implementation: numba for batches on the CPU, the reference otherwise.

``REMASK_KERNELS=reference`` or ``cpu`` forces one. Small inputs stay with the reference, because importing
numba takes a second.

    >>> import torch
    >>> choose(torch.zeros(1, 81, 9)) is reference
    True
"""

from __future__ import annotations

import os
from types import ModuleType

from torch import Tensor

from solver.kernels import reference
from solver.kernels.reference import Statistics

BATCH = 8  # rows from which numba pays off
ELEMENTS = 1 << 20  # or elements of the tensor


def choose(example: Tensor) -> ModuleType:
    """The module to use for tensors like ``example``, whose first axis is the batch.

    Raises:
        ValueError: if REMASK_KERNELS has an unknown value.
    """
    setting = os.environ.get("REMASK_KERNELS", "auto")
    if setting not in ("auto", "reference", "cpu"):
        raise ValueError(f"REMASK_KERNELS must be auto, reference or cpu, not {setting!r}")
    is_small = len(example) < BATCH and example.numel() < ELEMENTS
    if setting == "reference" or example.device.type != "cpu" or (setting == "auto" and is_small):
        return reference
    from solver.kernels import statistics_numba

    return statistics_numba


def token_statistics(
    logits: Tensor,
    allowed: Tensor | None = None,
    uniform: Tensor | None = None,
    current: Tensor | None = None,
) -> Statistics:
    """See :func:`solver.kernels.reference.token_statistics`."""
    result: Statistics = choose(logits).token_statistics(logits, allowed, uniform, current)
    return result


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Tensor:
    """See :func:`solver.kernels.reference.all_different`."""
    mask: Tensor = choose(tokens).all_different(tokens, known, relations, vocab)
    return mask
