"""Generated prose: records are valid, every value stands where it is said to stand, and splits share no register."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import numpy as np
import pytest

pytest.importorskip("faker", reason="prose: faker is not installed (pip install faker)")

from solver.training.prose import ProseRecord, make_prose
from solver.training.prose.forms import FORMS, HELD_OUT_FORMS
from solver.training.prose.library import load_domains, read_kind
from solver.training.prose.pattern import expand, parse_template, roles_of
from solver.training.prose.pools import MissingFakerError, faker_of

SPLITS = ("train", "held-out")
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty"""


@cache
def records(split: Any, count: int = 250) -> tuple[ProseRecord, ...]:
    rng = np.random.default_rng(0)
    return tuple(make_prose(rng, split) for _ in range(count))


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Pointer and value of every scalar but null."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from leaves(member, f"{pointer}/{index}")
    elif value is not None:
        yield pointer, value


def at_pointer(value: Any, pointer: str) -> Any:
    """The value at a pointer; None if there is none."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def read_number(text: str) -> float:
    """A number as people write it: separators of thousands, a decimal point or comma, or a word."""
    words = WORDS.split()
    if text.lower() in words:
        return words.index(text.lower())
    digits = re.sub(r"[\s']", "", text)
    if re.search(r"[.,]\d{1,2}$", digits):
        head, _, tail = re.split(r"([.,])(?=\d{1,2}$)", digits)
        return float(re.sub(r"[.,]", "", head) + "." + tail)
    return float(re.sub(r"[.,]", "", digits))


def date_parts(text: str) -> tuple[list[int], int | None]:
    """The numbers of a date, sorted, and its month if that is a word."""
    month = next(
        (number for number, name in enumerate(MONTHS, 1) if re.search(rf"\b{name}", text.lower())), None
    )
    return sorted(int(number) for number in re.findall(r"\d+", text)), month


def is_read_from(value: Any, text: str) -> bool:
    """Whether a reader could take ``value`` from ``text``."""
    if isinstance(value, bool):
        return bool(text.strip())
    if isinstance(value, int | float):
        return read_number(text) == pytest.approx(value)
    if " ".join(text.split()).casefold() == value.casefold():
        return True
    if match := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", value):
        year, month, day = map(int, match.groups())
        numbers, named = date_parts(text)
        return (named, numbers) == (month, sorted([year, day])) or numbers == sorted([year, month, day])
    return False


def is_enumerated(schema: Any, value: Any) -> bool:
    """Whether the schema lists ``value`` anywhere, so that the text may express it in other words."""
    if isinstance(schema, dict):
        listed = (
            [*schema.get("enum", ()), schema.get("const")] if not isinstance(schema.get("enum"), dict) else []
        )
        return value in listed or any(is_enumerated(member, value) for member in schema.values())
    return isinstance(schema, list) and any(is_enumerated(member, value) for member in schema)


@pytest.mark.parametrize("split", SPLITS)
def test_records_satisfy_their_schemas(split: str) -> None:
    for record in records(split):
        jsonschema.Draft202012Validator.check_schema(record.schema)
        validator = jsonschema.Draft202012Validator(record.schema, format_checker=jsonschema.FormatChecker())
        validator.validate(record.record)


@pytest.mark.parametrize("split", SPLITS)
def test_every_value_stands_at_its_place(split: str) -> None:
    for record in records(split):
        values = dict(leaves(record.record))
        assert values.keys() == record.places.keys(), record
        for pointer, (start, end) in record.places.items():
            text = record.text[start:end]
            assert text == text.strip() != "", (pointer, record)
            expected = is_read_from(values[pointer], text) or is_enumerated(record.schema, values[pointer])
            assert expected, (pointer, text, values[pointer], record)


@pytest.mark.parametrize("split", SPLITS)
def test_absent_fields_have_no_value_and_no_place(split: str) -> None:
    for record in records(split):
        for pointer in record.absent:
            assert at_pointer(record.record, pointer) is None
            assert not any(place == pointer or place.startswith(f"{pointer}/") for place in record.places)
    share = np.mean([bool(record.absent) for record in records(split)])
    assert 0.12 < share < 0.5


@pytest.mark.parametrize("split", SPLITS)
def test_schemas_of_both_splits_have_every_structure(split: str) -> None:
    texts = " ".join(json.dumps(record.schema) for record in records(split))
    for keyword in (
        "array",
        "enum",
        "oneOf",
        "const",
        "date",
        "boolean",
        "pattern",
        "description",
        "null",
        "$ref",
    ):
        assert f'"{keyword}"' in texts, keyword
    assert any(re.search(r"/\d+/", pointer) for record in records(split) for pointer in record.places)
    assert any(
        isinstance(value, dict)
        for record in records(split)
        if isinstance(record.record, dict)
        for value in record.record.values()
    )


def test_the_same_generator_gives_the_same_record() -> None:
    first, second = (make_prose(np.random.default_rng(5)) for _ in range(2))
    assert first == second != make_prose(np.random.default_rng(6))


def test_splits_share_no_register_and_no_domain() -> None:
    train, held_out = ({record.register for record in records(split)} for split in SPLITS)
    assert not train & held_out
    assert not load_domains(False).keys() & load_domains(True).keys()
    assert not any(register.endswith(HELD_OUT_FORMS) for register in train)


def test_names_that_are_held_out_are_not_names_of_the_training_split() -> None:
    for domain in (*load_domains(False).values(), *load_domains(True).values()):
        for role in domain.roles.values():
            common, _, kept = role.names.partition("||")
            assert not set(common.split("|")) & set(kept.split("|") if kept else ())


@pytest.mark.parametrize("held_out", [False, True])
def test_templates_mention_roles_that_their_domain_has(held_out: bool) -> None:
    for domain in load_domains(held_out).values():
        known = {*domain.roles, *(["rows"] if domain.rows else []), *(["variant"] if domain.variants else [])}
        for template in (*domain.opens, *domain.closes, *(text for fact in domain.facts for text in fact)):
            assert roles_of(template) <= known, template
        if domain.rows:
            assert all(roles_of(text) <= set(domain.rows.roles) for text in domain.rows.sentences)
        if domain.variants:
            for variant in domain.variants.options.values():
                assert all(roles_of(text) <= {"kind", *variant.roles} for text in variant.sentences)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_domain_can_be_written_in_every_form(held_out: bool) -> None:
    rng, split = np.random.default_rng(3), SPLITS[held_out]
    for domain in load_domains(held_out):
        for form in ("prose", *FORMS):
            assert make_prose(rng, split, domain, form).record  # type: ignore[arg-type]  # one of SPLITS


@pytest.mark.parametrize("text", ["colour red", "person of note", ""])
def test_a_kind_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no kind"):
        read_kind(text)


@pytest.mark.parametrize("template", ["[a|b", "{a b}", "{=x}"])
def test_malformed_templates_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"bracket|no mention"):
        parse_template(template)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_name_means_one_role_of_its_domain(held_out: bool) -> None:
    for domain in load_domains(held_out).values():
        owners = dict[str, str]()
        for key, role in domain.roles.items():
            for name in {*role.names.replace("||", "|").split("|")}:
                assert owners.setdefault(name, key) == key, (domain.name, name)
        for key, role in domain.roles.items():
            assert role.group or owners.get(role.generic, key) in (
                key,
                *(other for other, rival in domain.roles.items() if rival.generic == role.generic),
            ), (domain.name, key)


def test_without_faker_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(MissingFakerError, match="pip install faker"):
        faker_of.__wrapped__("en_US")


def test_unknown_splits_and_domains_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="split must be"):
        make_prose(rng, "test")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="no domain"):
        make_prose(rng, domain="menu of the day")


def test_all_alternatives_of_a_template_are_drawn() -> None:
    from random import Random

    rng = Random(0)
    texts = {"".join(part.text for part in expand(rng, "[a|b[c|d|]]")) for _ in range(200)}
    assert texts == {"a", "b", "bc", "bd"}
