"""Data reserved for testing: a hashed tenth of every development file, on which nothing is trained.

>>> sum(is_reserved(f"line {number}") for number in range(1000))
88

The hash depends on the item alone, so that it stays reserved when a file is extended or sorted.
"""

from hashlib import sha256


def is_reserved(item: str | bytes, one_in: int = 10, digest_bytes: int = 32) -> bool:
    """Whether an item (a line of a file, a word, a source text) is reserved.

    Args:
        item: the item; a string is hashed in UTF-8.
        one_in: reserve one in this many items.
        digest_bytes: leading bytes of the SHA-256 digest that are read as a number.
    """
    contents = item.encode(errors="surrogatepass") if isinstance(item, str) else item
    return int.from_bytes(sha256(contents).digest()[:digest_bytes], "big") % one_in == 0
