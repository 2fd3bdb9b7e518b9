"""The same arithmetic as reference.py in one pass a cell, compiled by numba (one thread: OpenMP has the cores).

Worth its second of import for batches only; dispatch.py decides.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from solver.kernels.reference import Conflicts, Statistics

LARGE = 1 << 22  # logits from which threads pay


@njit(cache=True, nogil=True)
def _statistics(logits, allowed, uniform, held, uses, best, second, top1, top2, entropy, sample, belief):  # type: ignore[no-untyped-def]
    use_allowed, use_uniform, use_held = uses
    cells, vocab = logits.shape
    for i in range(cells):
        b, s = -1, -1
        high, next_high = -np.inf, -np.inf
        for t in range(vocab):
            if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                continue
            x = logits[i, t]
            if x == -np.inf:
                continue
            if b < 0 or x > high:
                s, next_high = b, high
                b, high = t, x
            elif s < 0 or x > next_high:
                s, next_high = t, x
        best[i], second[i], sample[i] = b, s, b
        top1[i] = top2[i] = entropy[i] = belief[i] = 0.0
        if b < 0:
            continue
        total, weighted = 0.0, 0.0
        for t in range(vocab):
            if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                continue
            x = logits[i, t] - high
            if x > -80.0:
                e = np.exp(x)
                total += e
                weighted += e * x
        top1[i] = 1.0 / total
        if s >= 0:
            top2[i] = np.exp(next_high - high) / total
        entropy[i] = np.log(total) - weighted / total
        belief[i] = top1[i]
        if use_held:
            t = held[i]
            possible = not use_allowed or (allowed[i, t >> 5] >> np.int32(t & 31)) & 1
            belief[i] = np.exp(logits[i, t] - high) / total if possible else 0.0
        if use_uniform:
            target = min(uniform[i], 1 - 1e-6) * total
            run = 0.0
            for t in range(vocab):
                if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                    continue
                x = logits[i, t] - high
                if x > -80.0:
                    run += np.exp(x)
                    if run > target:
                        sample[i] = t
                        break


def token_statistics(
    logits: Tensor, allowed: Tensor | None = None, uniform: Tensor | None = None, held: Tensor | None = None
) -> Statistics:
    """See :func:`solver.kernels.reference.token_statistics`. Large ones go through in as many parts as torch has threads."""
    rows, cells, vocab = logits.shape
    flat = logits.float().reshape(-1, vocab).numpy()
    mask = np.zeros((1, 1), np.int32) if allowed is None else allowed.reshape(rows * cells, -1).numpy()
    draw = np.zeros(1, np.float32) if uniform is None else uniform.float().reshape(-1).numpy()
    asked = np.zeros(1, np.int64) if held is None else held.reshape(-1).numpy()
    best, second, sample = (np.empty(rows * cells, np.int64) for _ in range(3))
    top1, top2, entropy, belief = (np.empty(rows * cells, np.float32) for _ in range(4))
    uses = (allowed is not None, uniform is not None, held is not None)
    found = (best, second, top1, top2, entropy, sample, belief)

    large = logits.numel() >= LARGE

    def part(at: int, end: int) -> None:
        if large and allowed is not None:  # a bit at a time is slow: the mask is laid out a cell at a time
            for i in range(at, end):
                bits = np.unpackbits(
                    np.ascontiguousarray(mask[i]).view(np.uint8), bitorder="little", count=vocab
                ).view(np.bool_)
                row = np.where(bits, flat[i], np.float32(-np.inf))[None]
                inputs = [
                    array[i : i + 1] if used else array
                    for array, used in zip((draw, asked), uses[1:], strict=True)
                ]
                arguments: list[Any] = [
                    row,
                    mask,
                    *inputs,
                    (False, *uses[1:]),
                    *(array[i : i + 1] for array in found),
                ]
                _statistics(*arguments)
            return
        inputs = [
            array[at:end] if used else array for array, used in zip((mask, draw, asked), uses, strict=True)
        ]
        arguments = [flat[at:end], *inputs, uses, *(array[at:end] for array in found)]
        _statistics(*arguments)

    threads = torch.get_num_threads() if large else 1
    bounds = [rows * cells * n // threads for n in range(threads + 1)]
    if threads == 1:
        part(0, rows * cells)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, bounds, bounds[1:]))
    return Statistics(*(torch.from_numpy(a).view(rows, cells) for a in found))


@njit(cache=True, nogil=True)
def _all_different(tokens, known, relations, vocab, clash, free):  # type: ignore[no-untyped-def]
    rows, cells = tokens.shape
    kinds = relations.shape[0]
    words = free.shape[2]
    groups = 1 + relations.max() if kinds else 0
    # per group and token: how many known cells hold it
    counts = np.zeros((kinds, groups, vocab), np.int16)
    for b in range(rows):
        counts[:] = 0
        for i in range(cells):
            if known[b, i]:
                for r in range(kinds):
                    if relations[r, i] >= 0:
                        counts[r, relations[r, i], tokens[b, i]] += 1
        for i in range(cells):
            clash[b, i] = False
            for w in range(words):
                bits = np.int64(0)
                for t in range(32 * w, min(vocab, 32 * w + 32)):
                    own = 1 if known[b, i] and tokens[b, i] == t else 0
                    taken = False
                    for r in range(kinds):
                        g = relations[r, i]
                        if g >= 0 and counts[r, g, t] > own:
                            taken = True
                            break
                    if taken:
                        if own:
                            clash[b, i] = True
                    else:
                        bits |= np.int64(1) << np.int64(t - 32 * w)
                free[b, i, w] = np.int32(bits if bits < 2147483648 else bits - 4294967296)


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Conflicts:
    """See :func:`solver.kernels.reference.all_different`."""
    clash = np.empty(tokens.shape, np.bool_)
    free = np.empty((*tokens.shape, -(-vocab // 32)), np.int32)
    _all_different(tokens.numpy(), known.numpy(), relations.numpy(), vocab, clash, free)
    return Conflicts(torch.from_numpy(clash), torch.from_numpy(free))
