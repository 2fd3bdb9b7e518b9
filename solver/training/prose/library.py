"""Reads the domains from the files of ``domains/``, one TOML file for each.

A file has the attributes of :class:`Domain`. A role is a table with ``kind``, ``names``, ``about`` and,
where it has them, ``group``, ``generic``, ``implied_by`` and ``after``; the kind is written in words, as
:func:`read_kind` reads them.

>>> read_kind("count 1 40 pieces"), read_kind("list 2 4 code ??-##")
(Count(low=1, high=40, unit='pieces', words=True), Several(kind=Code(shapes='??-##'), low=2, high=4))
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from solver.training.prose.domain import Domain, Role, Rows, Variant, Variants
from solver.training.prose.kinds import (
    Address,
    Clock,
    Code,
    Count,
    Day,
    Flag,
    Kind,
    Measure,
    Moment,
    Money,
    Name,
    Options,
    Serial,
    Several,
    Words,
)

FOLDER = Path(__file__).parent / "domains"
HELD_OUT = ("courier", "biography", "match", "weather", "exhibition", "meter-reading")
POOLS = ("person", "company", "city", "address", "iban", "job", "country")


def read_kind(text: str) -> Kind:
    """The kind that is written as ``text``: a word, and what it needs.

    Raises:
        ValueError: there is no kind of this name.
    """
    word, _, rest = text.partition(" ")
    parts = rest.split()
    match word:
        case "phone":
            return Name("phone_number")
        case "email" | "page":
            return Address(word == "page")
        case "code":
            return Code(rest)
        case "words":
            return Words(rest)
        case "options":
            return Options(rest)
        case "count":
            unit = " ".join(part for part in parts[2:] if part != "digits")
            return Count(int(parts[0]), int(parts[1]), unit, "digits" not in parts)
        case "serial":
            return Serial(int(parts[0]), int(parts[1]))
        case "measure":
            return Measure(float(parts[0]), float(parts[1]), " ".join(parts[2:]))
        case "money":
            return Money(float(parts[0]), float(parts[1]))
        case "day":
            return Day(int(parts[0]), int(parts[1])) if parts else Day()
        case "time":
            return Clock()
        case "moment":
            return Moment()
        case "flag":
            return Flag()
        case "list":
            return Several(read_kind(" ".join(parts[2:])), int(parts[0]), int(parts[1]))
        case _ if word in POOLS and not rest:
            return Name(word)
    raise ValueError(f"there is no kind {text!r}")


def read_roles(tables: Mapping[str, Any]) -> dict[str, Role]:
    """The roles of a table of roles."""
    return {
        name: Role(
            read_kind(table["kind"]),
            table["names"],
            table["about"],
            table.get("group", ""),
            table.get("generic", ""),
            tuple(table.get("implied_by", ())),
            table.get("after", ""),
        )
        for name, table in tables.items()
    }


def read_domain(source: str) -> Domain:
    """The domain that a file describes."""
    data = tomllib.loads(source)
    rows, variants = data.get("rows"), data.get("variants")
    return Domain(
        data["name"],
        read_roles(data["roles"]),
        tuple(map(tuple, data["facts"])),
        tuple(data.get("opens", ())),
        tuple(data.get("closes", ())),
        rows
        and Rows(
            rows["names"],
            rows["about"],
            read_roles(rows["roles"]),
            tuple(rows["sentences"]),
            rows.get("low", 1),
            rows.get("high", 4),
        ),
        variants
        and Variants(
            variants["names"],
            variants["about"],
            variants["tags"],
            {
                constant: Variant(read_roles(option.get("roles", {})), tuple(option["sentences"]))
                for constant, option in variants["options"].items()
            },
        ),
        data.get("tone", "text"),
        tuple(data.get("titles", ())),
        data.get("language", "en"),
    )


@cache
def load_domains(held_out: bool) -> dict[str, Domain]:
    """The domains of the training split, or of the held-out split, by name."""
    domains = [read_domain(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))]
    return {domain.name: domain for domain in domains if (domain.name in HELD_OUT) == held_out}
