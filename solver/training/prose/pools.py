"""Names, places and addresses of many cultures, drawn once from ``faker`` and kept.

Drawing from a list is a hundred times faster than asking ``faker``, and a pool is the same in every run.
``faker`` is needed for making training data only (``pip install faker``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

from solver.errors import ModelError

TRAIN_CULTURES = (
    *(
        "en_US",
        "en_GB",
        "en_IN",
        "en_IE",
        "de_DE",
        "fr_FR",
        "es_ES",
        "es_MX",
        "it_IT",
        "pt_BR",
        "pl_PL",
        "nl_NL",
    ),
    *("sv_SE", "da_DK", "cs_CZ", "ro_RO", "hu_HU", "hr_HR", "id_ID", "ja_JP", "zh_CN", "ru_RU", "el_GR"),
)
HELD_OUT_CULTURES = ("fi_FI", "tr_TR", "pt_PT", "no_NO", "en_AU", "ko_KR")
FAMILY_FIRST = ("hu_HU", "ja_JP", "zh_CN", "ko_KR")
UNSPACED = ("ja_JP", "zh_CN", "ko_KR")
HOSTS = ("example.com", "mail.test", "post.example", "inbox.example.org", "webmail.test", "example.net")
POOL_SIZE = 120
QUOTES = str.maketrans("", "", '«»"')


class MissingFakerError(ModelError):
    """``faker`` is not installed."""


@cache
def faker_of(culture: str) -> Any:
    """A generator of ``faker`` for a culture.

    Raises:
        MissingFakerError: ``faker`` is not installed.
    """
    try:
        from faker import Faker
    except ImportError as error:
        raise MissingFakerError("generated prose needs faker: pip install faker") from error
    source = Faker(culture)
    for provider in source.get_providers():
        if hasattr(provider, "cities"):  # some are in the order of a set, which differs between processes
            provider.cities = sorted(provider.cities)
    return source


@cache
def pool(culture: str, method: str) -> tuple[str, ...]:
    """Distinct texts of one method of ``faker``, on one line each; none ends with punctuation."""
    source = faker_of(culture)
    source.seed_instance(crc32(f"{culture} {method}".encode()))  # whatever was drawn before
    make: Callable[[], str] = getattr(source, method)
    texts = (" ".join(make().translate(QUOTES).replace("\n", ", ").split()) for _ in range(POOL_SIZE))
    texts = (text.replace(",,", ",") for text in texts)
    distinct = tuple(dict.fromkeys(text.strip(" ,") for text in texts))
    plain = tuple(text for text in distinct if text and text[-1].isalnum())
    return plain or tuple(text.rstrip(".") for text in distinct)


def ascii_letters(text: str) -> str:
    """The letters and digits of ``text`` without accents, in lower case; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(character for character in plain.lower() if character.isalnum())


def draw_person(rng: Random, culture: str) -> str:
    """A full name, in the culture's order."""
    first = rng.choice(pool(culture, rng.choice(("first_name_female", "first_name_male"))))
    last = rng.choice(pool(culture, "last_name"))
    if culture in UNSPACED:
        return last + first
    names = [last, first] if culture in FAMILY_FIRST else [first, last]
    if culture not in FAMILY_FIRST and rng.random() < 0.08:
        names.insert(1, rng.choice("ABCDEFGHJKLMNPRSTW") + ".")
    return " ".join(names)


def draw_email(rng: Random, culture: str, words: tuple[str, ...]) -> str:
    """An address: parts of a name, or an office, at a host."""
    first = ascii_letters(rng.choice(pool(culture, "first_name_female")))
    last = ascii_letters(rng.choice(pool(culture, "last_name")))
    if not first or not last or rng.random() < 0.15:
        user = rng.choice(
            ("info", "office", "orders", "support", "billing", "hello", "desk", "contact", "team")
        )
    else:
        number = rng.randint(1, 99)
        user = rng.choice(
            (f"{first}.{last}", f"{first[0]}.{last}", f"{first}_{last}", f"{last}{number}", first)
        )
    host = rng.choice(HOSTS) if rng.random() < 0.4 else draw_host(rng, words)
    return f"{user}@{host}"


def draw_host(rng: Random, words: tuple[str, ...]) -> str:
    """A host name of one or two words."""
    name = rng.choice(("", "-")).join(rng.sample(words, rng.choice((1, 2))))
    return (
        f"{name}.{rng.choice(('com', 'org', 'net', 'io', 'de', 'fr', 'co.uk', 'example', 'se', 'eu', 'pl'))}"
    )
