"""The functions of reference.py in one pass over each cell, compiled by numba.

Importing numba takes a second, so this pays off for batches only; ``reference.choose`` decides. Each call uses one
thread, large ones as many as torch has.

    >>> token_statistics(torch.tensor([[[0.0, 2.0, 1.0]]])).best
    tensor([[1]])
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

from solver.kernels.reference import Statistics

LARGE = 1 << 22  # logits from which threads pay off


@njit(cache=True, nogil=True)
def _statistics(logits, allowed, uniform, current, uses, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` for N cells; ``uses`` tells which of the optional inputs are meant."""
    best, top1, top2, entropy, sample, belief = out
    use_allowed, use_uniform, use_current = uses
    cells, vocab = logits.shape
    for i in range(cells):
        # the two largest logits
        first, second = -1, -1
        high, next_high = -np.inf, -np.inf
        for t in range(vocab):
            if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                continue
            x = logits[i, t]
            if x == -np.inf:
                continue
            if first < 0 or x > high:
                second, next_high = first, high
                first, high = t, x
            elif second < 0 or x > next_high:
                second, next_high = t, x
        best[i], sample[i] = first, first
        top1[i] = top2[i] = entropy[i] = belief[i] = 0.0
        if first < 0:
            continue

        # the normaliser, and from it probabilities and entropy
        total, weighted = 0.0, 0.0
        for t in range(vocab):
            if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                continue
            x = logits[i, t] - high
            if x > -80.0:
                y = np.exp(x)
                total += y
                weighted += y * x
        top1[i] = 1.0 / total
        if second >= 0:
            top2[i] = np.exp(next_high - high) / total
        entropy[i] = np.log(total) - weighted / total
        belief[i] = top1[i]
        if use_current:
            t = current[i]
            possible = not use_allowed or (allowed[i, t >> 5] >> np.int32(t & 31)) & 1
            belief[i] = np.exp(logits[i, t] - high) / total if possible else 0.0

        # the first token whose cumulative probability exceeds the uniform number
        if use_uniform:
            threshold = min(uniform[i], 1 - 1e-6) * total
            cumulative = 0.0
            for t in range(vocab):
                if use_allowed and not (allowed[i, t >> 5] >> np.int32(t & 31)) & 1:
                    continue
                x = logits[i, t] - high
                if x > -80.0:
                    cumulative += np.exp(x)
                    if cumulative > threshold:
                        sample[i] = t
                        break


def token_statistics(
    logits: Tensor,
    allowed: Tensor | None = None,
    uniform: Tensor | None = None,
    current: Tensor | None = None,
) -> Statistics:
    """See :func:`solver.kernels.reference.token_statistics`."""
    rows, cells, vocab = logits.shape
    flat = logits.float().reshape(-1, vocab).numpy()
    # numba compiles one signature: an input that is not given is a dummy
    mask = np.zeros((1, 1), np.int32) if allowed is None else allowed.reshape(rows * cells, -1).numpy()
    draw = np.zeros(1, np.float32) if uniform is None else uniform.float().reshape(-1).numpy()
    asked = np.zeros(1, np.int64) if current is None else current.reshape(-1).numpy()
    uses = (allowed is not None, uniform is not None, current is not None)
    best, sample = (np.empty(rows * cells, np.int64) for _ in range(2))
    top1, top2, entropy, belief = (np.empty(rows * cells, np.float32) for _ in range(4))
    out = (best, top1, top2, entropy, sample, belief)
    is_large = logits.numel() >= LARGE

    def compute(start: int, end: int, flat_part: np.ndarray, mask_used: bool) -> None:
        flags = (mask_used, *uses[1:])
        optional = zip((mask, draw, asked), flags, strict=True)
        mask_part, draw_part, asked_part = (array[start:end] if used else array for array, used in optional)
        results = tuple(array[start:end] for array in out)
        _statistics(flat_part, mask_part, draw_part, asked_part, flags, results)

    def part(start: int, end: int) -> None:
        if not (is_large and allowed is not None):
            compute(start, end, flat[start:end], uses[0])
            return
        for i in range(start, end):  # reading single bits is slow: the mask is applied cell by cell
            words = np.ascontiguousarray(mask[i]).view(np.uint8)
            bits = np.unpackbits(words, bitorder="little", count=vocab).view(np.bool_)
            compute(i, i + 1, np.where(bits, flat[i], np.float32(-np.inf))[None], False)

    threads = torch.get_num_threads() if is_large else 1
    bounds = [rows * cells * n // threads for n in range(threads + 1)]
    if threads == 1:
        part(0, rows * cells)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, bounds, bounds[1:]))
    return Statistics(*(torch.from_numpy(array).view(rows, cells) for array in out))


@njit(cache=True, nogil=True)
def _all_different(tokens, known, relations, vocab, mask):  # type: ignore[no-untyped-def]
    rows, cells = tokens.shape
    num_relations = relations.shape[0]
    groups = 1 + relations.max() if num_relations else 0
    # how many known cells of a group hold a token
    counts = np.zeros((num_relations, groups, vocab), np.int16)
    for n in range(rows):
        counts[:] = 0
        for i in range(cells):
            if known[n, i]:
                for k in range(num_relations):
                    if relations[k, i] >= 0:
                        counts[k, relations[k, i], tokens[n, i]] += 1
        for i in range(cells):
            for word in range(mask.shape[2]):
                bits = np.int64(0)
                for t in range(32 * word, min(vocab, 32 * word + 32)):
                    itself = 1 if known[n, i] and tokens[n, i] == t else 0
                    taken = False
                    for k in range(num_relations):
                        group = relations[k, i]
                        if group >= 0 and counts[k, group, t] > itself:
                            taken = True
                            break
                    if not taken:
                        bits |= np.int64(1) << np.int64(t - 32 * word)
                mask[n, i, word] = np.int32(bits if bits < 2147483648 else bits - 4294967296)


def all_different(tokens: Tensor, known: Tensor, relations: Tensor, vocab: int) -> Tensor:
    """See :func:`solver.kernels.reference.all_different`."""
    mask = np.empty((*tokens.shape, -(-vocab // 32)), np.int32)
    _all_different(tokens.numpy(), known.numpy(), relations.numpy(), vocab, mask)
    return torch.from_numpy(mask)
