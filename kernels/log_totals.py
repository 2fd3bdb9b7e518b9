"""The log-sum-exp of rows of logits over a large vocabulary, compiled by numba.

It reads every logit once and writes no array of their size. The specification is ``torch.logsumexp``.

>>> log_totals(np.zeros((2, 8), np.float32), np.array([0, 1]), np.zeros(2, np.float32)).round(3)
array([2.079, 2.079])
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

WIDTH = 128  # logits that are summed in single precision
LOG2_E = np.float32(1.4426950408889634)
SMALLEST = np.float32(-126.0)  # the exponent of the smallest normal float
# Taylor coefficients of 2 ** x; x is in [-0.5, 0.5], so that the error is below that of the format
TAYLOR = tuple(np.float32(np.log(2.0) ** n / np.prod(np.arange(1.0, n + 1))) for n in range(7))


@njit(cache=True, nogil=True, fastmath=True)
def _log_totals(logits, rows, tops, out):  # type: ignore[no-untyped-def]
    c0, c1, c2, c3, c4, c5, c6 = TAYLOR
    half, bias, shift = np.float32(0.5), np.int32(127), np.int32(23)
    fraction, exponent = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.int32)
    power = exponent.view(np.float32)  # the float with these bits
    vocab = logits.shape[1]
    for number in range(len(rows)):
        row, top = logits[rows[number]], tops[number] * LOG2_E
        total = 0.0
        for start in range(0, vocab, WIDTH):
            part = row[start : min(start + WIDTH, vocab)]
            for i in range(len(part)):
                x = part[i] * LOG2_E - top
                x = x if x > SMALLEST else SMALLEST
                n = np.floor(x + half)
                x -= n
                fraction[i] = c0 + x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * (c5 + x * c6)))))
                exponent[i] = (np.int32(n) + bias) << shift
            part_total = np.float32(0.0)
            for i in range(len(part)):
                part_total = part_total + fraction[i] * power[i]
            total += float(part_total)
        out[number] = tops[number] + np.log(total)


def log_totals(
    logits: NDArray[np.float32],
    rows: NDArray[np.int64],
    tops: NDArray[np.float32],
) -> NDArray[np.float64]:
    """The log-sum-exp (N,) of N ``rows`` of ``logits`` (L, V), whose largest logits are ``tops`` (N,)."""
    out = np.empty(len(rows))
    _log_totals(logits, rows, tops, out)
    return out
