"""Features of text for the JSON network: hashes of the words that contain each byte, and offsets in lists.

    >>> import torch
    >>> texts = [torch.tensor([list(text)]) for text in (b"user_name", b"userName")]
    >>> snake, camel = (word_codes(text, 4096)[0] for text in texts)
    >>> bool(snake[0, -1] == camel[0, -1])
    True

Shapes: B rows, N bytes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

COMMA, BRACKET = b",["
MULTIPLIER = 0x5851F42D4C957F2D  # Knuth's MMIX; odd, so that it has an inverse among 64-bit numbers
INVERSE = pow(MULTIPLIER, -1, 1 << 64)


def alphabet() -> tuple[Tensor, Tensor]:
    """For each token (258,), its code in a word (0 if it is not part of words) and whether it is a capital.

    Small letters and capitals have one code; bytes beyond ASCII are letters.
    """
    code = torch.zeros(258, dtype=torch.long)
    for token in range(256):
        if token > 127 or chr(token).isalnum():
            code[token] = token if token > 127 else ord(chr(token).lower())
    capital = torch.zeros(258, dtype=torch.bool)
    capital[65:91] = True
    return code, capital


CODE, CAPITAL = alphabet()


def powers(base: int, count: int, device: torch.device) -> Tensor:
    """``base`` to the power of 0, 1, ..., ``count`` - 1, in 64-bit arithmetic that wraps."""
    values, power = [], 1
    for _ in range(count):
        values.append(power - (1 << 64) if power >> 63 else power)
        power = power * base % (1 << 64)
    return torch.tensor(values, device=device)


def word_codes(tokens: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """Hash, for each of ``tokens`` (B, N), the word up to it and the word before that.

    The buckets are 1 to ``buckets`` - 1, and 0 where there is no word. A word consists of letters and digits;
    it ends at any other character, or at a capital after a small letter, and counts until the next word
    begins: after ``customerName":`` and after ``customer name`` the words are the same. Only tokens up to
    each position count. Hashed as in byte-level models with n-grams (Pagnoni et al. 2024, BLT).
    """
    device, size = tokens.device, tokens.shape[1]
    code, is_capital = CODE.to(device)[tokens], CAPITAL.to(device)[tokens]
    is_letter = code > 0
    # a word starts where a letter follows none, or a capital follows a small letter
    follows_letter = F.pad(is_letter, (1, 0))[:, :-1]
    follows_small = F.pad(is_letter & ~is_capital, (1, 0))[:, :-1]
    is_start = is_letter & (~follows_letter | (is_capital & follows_small))
    index = torch.arange(size, device=device).expand_as(tokens)
    start = torch.where(is_start, index, -1).cummax(1).values  # of the last word up to each position
    last = torch.where(is_letter, index, -1).cummax(1).values
    # polynomial hash of the letters from start to last: a difference of prefix sums, shifted to power 0
    total = F.pad((code * powers(MULTIPLIER, size, device)).cumsum(1), (1, 0))
    value = total.gather(1, last + 1) - total.gather(1, start.clamp_min(0))
    value = value * powers(INVERSE, size, device)[start.clamp_min(0)] * MULTIPLIER
    bucket = ((value >> 33) & 0x7FFFFFFF) % (buckets - 1) + 1
    bucket = torch.where(start < 0, 0, bucket)
    before = torch.where(start < 1, 0, bucket.gather(1, (start - 1).clamp_min(0)))
    return bucket, before


def item_offsets(tokens: Tensor, known: Tensor, offset: Tensor) -> Tensor:
    """Offsets (B, N) within the items of a list.

    In a slot that is ``known`` (B, N) to begin with a bracket, the ``offset`` (B, N) starts again at 1 after
    every known comma, as it does after the bracket.
    """
    index = torch.arange(tokens.shape[1], device=tokens.device)
    start = index - offset
    is_list = ((tokens == BRACKET) & known).gather(1, start)
    comma = torch.where((tokens == COMMA) & known & is_list & (offset > 0), index, -1).cummax(1).values
    last = F.pad(comma, (1, 0), value=-1)[:, :-1]
    return torch.where(is_list & (last >= start), index - last, offset)
