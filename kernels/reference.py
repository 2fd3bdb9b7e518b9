"""Token statistics and elimination in plain torch: the specification of every fast path.

:func:`choose` picks the implementation: numba for batches on the CPU, this module otherwise. Small inputs stay
with this module, because importing numba takes a second. ``REMASK_KERNELS=reference`` or ``cpu`` forces one.

Shapes: B rows, L cells, V tokens, W words of a packed bitmask (32 tokens per word), R relations. A bitmask
is int32; token t is allowed where bit ``t % 32`` of word ``t // 32`` is set.

    >>> logits, allowed = torch.tensor([[[0.0, 2.0, 1.0]]]), pack(torch.tensor([[[True, False, True]]]))
    >>> statistics = token_statistics(logits, allowed)
    >>> statistics.best.item(), round(statistics.top1.item(), 2)
    (2, 0.73)
"""

import os
import sys
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

BATCH = 8  # rows from which numba pays off
ELEMENTS = 1 << 20  # or elements of the tensor


class Statistics(NamedTuple):
    """Statistics of every cell, each (B, L).

    Attributes:
        best: the likeliest token, the lowest of equally likely ones; -1 where no token is allowed.
        top1, top2: probabilities of the two likeliest tokens among the allowed ones; 0 where there is none.
        entropy: in nats, among the allowed tokens.
        sample: a drawn token, or ``best`` if no draw was asked for.
        belief: the probability of the ``current`` token, or ``top1`` without one.
    """

    best: Tensor
    top1: Tensor
    top2: Tensor
    entropy: Tensor
    sample: Tensor
    belief: Tensor


def pack(allowed: Tensor) -> Tensor:
    """Bool (..., V) to a bitmask (..., W)."""
    tokens = allowed.shape[-1]
    words = -(-tokens // 32)
    padded = torch.nn.functional.pad(allowed, (0, words * 32 - tokens))
    bits = padded.reshape(*allowed.shape[:-1], words, 32).long()
    value = (bits << torch.arange(32, device=allowed.device)).sum(-1)
    return torch.where(value >= 2**31, value - 2**32, value).to(torch.int32)


def count(mask: Tensor) -> Tensor:
    """The number of tokens (...) that a bitmask (..., W) allows."""
    words = mask.long() & 0xFFFFFFFF
    words = words - ((words >> 1) & 0x55555555)
    words = (words & 0x33333333) + ((words >> 2) & 0x33333333)
    return (((((words + (words >> 4)) & 0x0F0F0F0F) * 0x01010101) >> 24) & 0xFF).sum(-1)


def unpack(mask: Tensor, tokens: int) -> Tensor:
    """A bitmask (..., W) to bool (..., tokens)."""
    bits = (mask.long()[..., None] >> torch.arange(32, device=mask.device)) & 1
    return bits.flatten(-2)[..., :tokens].bool()


ELEMENTS = 1 << 22  # logits processed at a time, so that a large vocabulary is never copied as a whole


def token_statistics(
    logits: Tensor,
    allowed: Tensor | None = None,
    uniform: Tensor | None = None,
    current: Tensor | None = None,
) -> Statistics:
    """Statistics of every cell among its allowed tokens.

    Args:
        logits: (B, L, V).
        allowed: bitmask (B, L, W); None allows all tokens.
        uniform: numbers in [0, 1) (B, L) that draw the sample: the first token whose cumulative
            probability exceeds the number. A forbidden token is never drawn.
        current: tokens (B, L) whose probability is reported as ``belief``.
    """
    rows, cells, vocab = logits.shape
    flat = (
        logits.reshape(-1, vocab),
        *(None if t is None else t.reshape(rows * cells, -1) for t in (allowed, uniform, current)),
    )
    step, parts = max(1, ELEMENTS // vocab), []
    for start in range(0, rows * cells, step):
        part = (None if t is None else t[start : start + step] for t in flat)
        parts.append(_statistics(*part))  # type: ignore[arg-type]  # the first is never None
    return Statistics(*(torch.cat(column).view(rows, cells) for column in zip(*parts, strict=True)))


def _statistics(
    logits: Tensor,
    allowed: Tensor | None,
    uniform: Tensor | None,
    current: Tensor | None,
) -> Statistics:
    """:func:`token_statistics` of N cells: ``logits`` (N, V), ``allowed`` (N, W), ``uniform`` and
    ``current`` (N, 1)."""
    scores = logits.float()
    if allowed is not None:
        scores = scores.masked_fill(~unpack(allowed, logits.shape[-1]), float("-inf"))
    possible = scores > float("-inf")
    has_any = possible.any(-1)
    log_p = torch.log_softmax(scores.masked_fill(~has_any[..., None], 0.0), -1)
    probability = log_p.exp() * possible
    best = first_maximum(scores)
    rest = scores.scatter(-1, best[..., None], float("-inf"))
    second = first_maximum(rest)
    has_second = (rest > float("-inf")).any(-1)
    top1 = probability.gather(-1, best[..., None])[..., 0]
    top2 = probability.gather(-1, second[..., None])[..., 0]
    sample = best
    if uniform is not None:
        threshold = uniform.clamp_max(1 - 1e-6) * probability.sum(-1, keepdim=True)
        exceeds = (probability.cumsum(-1) > threshold) & (probability > 0)
        sample = torch.where(has_any, exceeds.float().argmax(-1), best)
    missing = torch.full_like(best, -1)
    return Statistics(
        best=torch.where(has_any, best, missing),
        top1=top1 * has_any,
        top2=top2 * has_second,
        entropy=-(probability * log_p.masked_fill(~possible, 0.0)).sum(-1) * has_any,
        sample=torch.where(has_any, sample, missing),
        belief=top1 * has_any if current is None else probability.gather(-1, current)[..., 0],
    )


def first_maximum(scores: Tensor) -> Tensor:
    """Index of the largest value along the last axis, the first of equal ones (torch.argmax promises no
    order)."""
    return (scores == scores.amax(-1, keepdim=True)).float().argmax(-1)


def entropy_bound(entropy: Tensor, eligible: Tensor, bound: float) -> Tensor:
    """Choose the eligible cells of lowest entropy (B, L), as long as their sum without the largest is
    within ``bound``."""
    ranked = torch.where(eligible, entropy, float("inf")).sort(stable=True, dim=-1)
    # in ascending order, the largest of a prefix is its last
    within = (ranked.values.cumsum(-1) - ranked.values <= bound) & ranked.values.isfinite()
    return torch.zeros_like(eligible).scatter(-1, ranked.indices, within)


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Tensor:
    """Bitmask (B, L, W) of the tokens of each cell that no other known cell of its groups holds.

    Args:
        tokens: (B, L), meaningful where ``known``.
        known: (B, L) bool.
        relations: group ids (R, L), -1 for none; within a group no token may occur twice.
        vocab: number of tokens V.
    """
    peers = torch.zeros(relations.shape[1], relations.shape[1], dtype=torch.bool, device=tokens.device)
    for row in relations:
        peers |= (row[:, None] == row[None, :]) & (row >= 0)[:, None]
    peers.fill_diagonal_(False)
    one_hot = (
        torch.nn.functional.one_hot(torch.where(known, tokens, 0), vocab) * known[..., None]
    )  # (B, L, V)
    return pack(peers.float() @ one_hot.float() == 0)


def choose(example: Tensor) -> ModuleType:
    """Return the module whose functions to call for tensors like ``example``, whose first axis is the batch.

    Raises:
        ValueError: if REMASK_KERNELS has an unknown value.
    """
    setting = os.environ.get("REMASK_KERNELS", "auto")
    if setting not in ("auto", "reference", "cpu"):
        raise ValueError(f"REMASK_KERNELS must be auto, reference or cpu, not {setting!r}")
    is_small = len(example) < BATCH and example.numel() < ELEMENTS
    if setting == "reference" or example.device.type != "cpu" or (setting == "auto" and is_small):
        return sys.modules[__name__]
    from solver.kernels import statistics_numba

    return statistics_numba
