"""The hot arithmetic in plain torch: the specification that every fast path is tested against.

Shapes (suffix letters): B rows, L cells, V tokens, W words of a packed bitmask (32 tokens a word), R relations.
A bitmask is int32; token t is allowed where bit ``t % 32`` of word ``t // 32`` is set.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Statistics(NamedTuple):
    """One pass over the logits of a batch; each (B, L). Where a cell allows nothing: tokens -1, probabilities 0, entropy 0.

    best, second: the two likeliest tokens, ties to the lower token; second is -1 where just one is allowed.
    top1, top2: their probabilities among the allowed.  entropy: in nats.  sample: a draw, or ``best`` without ``uniform``.
    belief: the probability of the token that is ``held``, or ``top1`` without it.
    """

    best: Tensor
    second: Tensor
    top1: Tensor
    top2: Tensor
    entropy: Tensor
    sample: Tensor
    belief: Tensor


class Conflicts(NamedTuple):
    """``clash`` (B, L) bool: a known cell whose token another known cell of its group holds too. ``free`` (B, L, W) int32:
    bitmask of the tokens that no *other* known cell in the cell's groups holds."""

    clash: Tensor
    free: Tensor


def pack(allowed: Tensor) -> Tensor:
    """Bool (..., V) to a bitmask (..., W)."""
    tokens = allowed.shape[-1]
    words = -(-tokens // 32)
    padded = (
        torch.nn.functional.pad(allowed, (0, words * 32 - tokens))
        .reshape(*allowed.shape[:-1], words, 32)
        .long()
    )
    value = (padded << torch.arange(32, device=allowed.device)).sum(-1)
    return torch.where(value >= 2**31, value - 2**32, value).to(torch.int32)


def count(mask: Tensor) -> Tensor:
    """How many tokens a bitmask (..., W) allows, (...)."""
    words = mask.long() & 0xFFFFFFFF
    words = words - ((words >> 1) & 0x55555555)
    words = (words & 0x33333333) + ((words >> 2) & 0x33333333)
    return (((((words + (words >> 4)) & 0x0F0F0F0F) * 0x01010101) >> 24) & 0xFF).sum(-1)


def unpack(mask: Tensor, tokens: int) -> Tensor:
    """A bitmask (..., W) to bool (..., tokens)."""
    bits = (mask.long()[..., None] >> torch.arange(32, device=mask.device)) & 1
    return bits.flatten(-2)[..., :tokens].bool()


ELEMENTS = 1 << 22  # logits that are looked at together: a large vocabulary never has a second copy of itself


def token_statistics(
    logits: Tensor, allowed: Tensor | None = None, uniform: Tensor | None = None, held: Tensor | None = None
) -> Statistics:
    """Statistics of ``logits`` (B, L, V) among the tokens that ``allowed`` (B, L, W) permits.

    ``uniform`` (B, L), numbers in [0, 1), draws the sample: the first token, in order, at which the cumulative probability
    exceeds the number. A forbidden token is never drawn. ``held`` (B, L): the tokens whose probability is asked for.
    """
    rows, cells, vocab = logits.shape
    flat = (
        logits.reshape(-1, vocab),
        *(None if t is None else t.reshape(rows * cells, -1) for t in (allowed, uniform, held)),
    )
    step = max(1, ELEMENTS // vocab)
    parts = [
        _statistics(*(None if t is None else t[at : at + step] for t in flat))  # type: ignore[arg-type]  # the first is never None
        for at in range(0, rows * cells, step)
    ]
    return Statistics(*(torch.cat(column).view(rows, cells) for column in zip(*parts, strict=True)))


def _statistics(
    logits: Tensor, allowed: Tensor | None, uniform: Tensor | None, held: Tensor | None
) -> Statistics:
    """The same for cells in a row: ``logits`` (N, V), ``allowed`` (N, W), the others (N, 1); everything comes back (N,)."""
    scores = logits.float()
    if allowed is not None:
        scores = scores.masked_fill(~unpack(allowed, logits.shape[-1]), float("-inf"))
    possible = scores > float("-inf")
    some = possible.any(-1)
    log_p = torch.log_softmax(scores.masked_fill(~some[..., None], 0.0), -1)
    p = log_p.exp() * possible
    best = first_maximum(scores)
    rest = scores.scatter(-1, best[..., None], float("-inf"))
    second = first_maximum(rest)
    has_second = (rest > float("-inf")).any(-1)
    top1 = p.gather(-1, best[..., None])[..., 0]
    top2 = p.gather(-1, second[..., None])[..., 0] * has_second
    entropy = -(p * log_p.masked_fill(~possible, 0.0)).sum(-1)
    sample = best
    if uniform is not None:
        reached = p.cumsum(-1) > uniform.clamp_max(1 - 1e-6) * p.sum(-1, keepdim=True)
        sample = torch.where(some, (reached & (p > 0)).float().argmax(-1), best)
    none = torch.full_like(best, -1)
    return Statistics(
        best=torch.where(some, best, none),
        second=torch.where(has_second, second, none),
        top1=top1 * some,
        top2=top2,
        entropy=entropy * some,
        sample=torch.where(some, sample, none),
        belief=top1 * some if held is None else p.gather(-1, held)[..., 0],
    )


def first_maximum(scores: Tensor) -> Tensor:
    """Index of the largest value along the last axis, the first among equals (torch.argmax promises no order)."""
    return (scores == scores.amax(-1, keepdim=True)).float().argmax(-1)


def entropy_bound(entropy: Tensor, eligible: Tensor, bound: float) -> Tensor:
    """(B, L) bool: the eligible cells of lowest entropy, as many as keep (their sum minus their largest) within ``bound``."""
    ranked = torch.where(eligible, entropy, float("inf")).sort(stable=True, dim=-1)
    # the largest of a prefix in ascending order is its last
    within = (ranked.values.cumsum(-1) - ranked.values <= bound) & ranked.values.isfinite()
    return torch.zeros_like(eligible).scatter(-1, ranked.indices, within)


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Conflicts:
    """Direct conflicts among known cells of ``tokens`` (B, L), and what each cell may still hold.

    ``relations`` (R, L) are group ids, -1 for none: within a group of a relation no token may stand twice. Two cells that
    share several groups conflict once.
    """
    peers = torch.zeros(relations.shape[1], relations.shape[1], dtype=torch.bool, device=tokens.device)
    for row in relations:
        peers |= (row[:, None] == row[None, :]) & (row >= 0)[:, None]
    peers.fill_diagonal_(False)
    held = torch.nn.functional.one_hot(torch.where(known, tokens, 0), vocab) * known[..., None]  # (B, L, V)
    taken = (peers.float() @ held.float()) > 0
    clash = taken.gather(-1, torch.where(known, tokens, 0)[..., None])[..., 0] & known
    return Conflicts(clash, pack(~taken))
