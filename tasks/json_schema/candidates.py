"""The values that are proposed for each field of a schema, with their places in the text.

>>> from solver.tasks.json_schema.source import Source
>>> string = {"type": "string"}
>>> name, uuid = string | {"pattern": "^[A-Z]"}, string | {"format": "uuid"}
>>> properties = {"name": name, "sex": {"enum": ["f", "m"]}, "id": uuid}
>>> schema = {"type": "object", "properties": properties}
>>> compiler = Compiler(schema, usual=True, source=Source("Ann, f, 30"))
>>> for field in field_candidates(compiler, schema):
...     print(field.pointer, field.values, field.is_listed, field.is_free)
/name ('Ann', 'Ann, f', 'Ann, f, 30') False False
/sex ('f', 'm') True False
/id () False True
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from solver.tasks.json_schema.choices import value_choices
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import constants_of, constants_of_kind, value_key
from solver.tasks.json_schema.formula import (
    KINDS,
    NO,
    YES,
    Formula,
    ItemSchemas,
    item_demand,
    leaves,
    of_kind,
    or_,
)
from solver.tasks.json_schema.members import MemberRules
from solver.tasks.json_schema.quotes import listed_numbers, listed_strings, must_quote, with_free_items
from solver.tasks.json_schema.readings import Place

MAX_DEPTH = 8  # arrays and objects inside each other
MAX_FIELDS = 256
EACH_ITEM = "-"  # stands for the index of any item of an array in a pointer


@dataclass(frozen=True, eq=False)
class FieldCandidates:
    """The values that are proposed for a field.

    Attributes:
        pointer: JSON pointer to the field in an instance. "-" is any item of an array.
        schema: its subschema as far as it can be located, else None.
        values: those of the text, or those that the schema enumerates. Numbers are Decimals. Quotes of more than
            120 characters are not listed.
        places: the places of each value in the text, by its key (constants.py: value_key).
        is_listed: whether the schema enumerates the values.
        is_free: whether a value need not be in the text, because the text has none that satisfies the schema.
        is_missing: whether there is no value at all, because it would have to be in the text.
    """

    pointer: str
    schema: Any
    values: tuple[Any, ...]
    places: Mapping[Hashable, tuple[Place, ...]]
    is_listed: bool = False
    is_free: bool = False
    is_missing: bool = False

    def places_of(self, value: Any) -> tuple[Place, ...]:
        """The places of a value in the text; none if it is not one of the candidates."""
        return self.places.get(value_key(value), ())


def field_candidates(compiler: Compiler, schema: Any) -> tuple[FieldCandidates, ...]:
    """The candidates of all strings, numbers and enumerated values of a schema, in the order of writing."""
    fields: dict[str, FieldCandidates] = {}
    rules = MemberRules(compiler, max_bytes=1 << 12)
    for pointer, formula in _fields(compiler, rules, compiler.formula(compiler.root), "", ()):
        field = _candidates(compiler, pointer, formula, subschema_at(schema, pointer))
        if field is not None:
            fields.setdefault(pointer, field)
        if len(fields) >= MAX_FIELDS:
            break
    return tuple(fields.values())


def field_at(fields: tuple[FieldCandidates, ...], pointer: str) -> FieldCandidates | None:
    """The candidates of the field at a pointer into an instance, where items have their indices.

    >>> tags = FieldCandidates("/tags/-", None, (), {})
    >>> field_at((tags,), "/tags/3") is tags, field_at((tags,), "/tag") is None
    (True, True)
    """
    parts = pointer.split("/")
    for field in fields:
        names = field.pointer.split("/")
        pairs = zip(names, parts, strict=False)
        if len(names) == len(parts) and all(
            name == part or (name == EACH_ITEM and part.isdigit()) for name, part in pairs
        ):
            return field
    return None


def _fields(
    compiler: Compiler, rules: MemberRules, formula: Formula, pointer: str, around: tuple[Formula, ...]
) -> Iterator[tuple[str, Formula]]:
    """The pointer and the formula of every value, those that contain others first."""
    yield pointer, formula
    if formula is YES or formula in around or len(around) > MAX_DEPTH:
        return
    around = (*around, formula)
    members = of_kind(formula, "object")
    if members is not NO and constants_of_kind(compiler, members) is None:
        for name in rules.plan(members).names:
            choices = value_choices(compiler, members, partial(rules.demand, name))
            value = or_(condition for condition, _ in choices)
            if value is not NO:
                yield from _fields(compiler, rules, value, f"{pointer}/{escape_name(name)}", around)
    items = of_kind(formula, "array")
    if items is not NO and constants_of_kind(compiler, items) is None:
        items = with_free_items(compiler, items)
        schemas = [part.parts[1] for part in leaves(items) if part.parts[0] == "items"]
        first = max((len(each.first) for each in schemas if isinstance(each, ItemSchemas)), default=0)
        for index in range(first + 1):
            choices = value_choices(compiler, items, partial(item_demand, index))
            value = or_(condition for condition, _ in choices)
            if value is not NO and (value is not YES or index < first):
                step = str(index) if index < first else EACH_ITEM
                yield from _fields(compiler, rules, value, f"{pointer}/{step}", around)


def _candidates(compiler: Compiler, pointer: str, formula: Formula, schema: Any) -> FieldCandidates | None:
    """The candidates of one field; None if it is neither enumerated nor a string or number."""
    source, constants = compiler.source, constants_of(compiler, formula)
    if constants is not None:
        find = (lambda value: ()) if source is None else source.find
        places = {key: find(value) for key, value in constants.items() if isinstance(value, str)}
        return FieldCandidates(pointer, schema, tuple(constants.values()), places, is_listed=True)
    string, number = of_kind(formula, "string"), of_kind(formula, "number")
    if string is NO and number is NO:
        return None
    values: dict[Any, tuple[Place, ...]] = {}
    is_free = is_missing = False
    for part, read in ((string, listed_strings), (number, listed_numbers)):
        if part is NO:
            continue
        listed = constants_of_kind(compiler, part)
        found = dict.fromkeys(listed.values(), ()) if listed is not None else read(compiler, part)
        values |= found
        is_missing = is_missing or (not found and must_quote(compiler, part))
        is_free = is_free or (not found and not must_quote(compiler, part))
    is_alone = all(of_kind(formula, kind) is NO for kind in KINDS if kind not in ("string", "number"))
    return FieldCandidates(
        pointer,
        schema,
        tuple(values),
        values,
        is_free=is_free,
        is_missing=is_missing and is_alone and not values,
    )


def escape_name(name: str) -> str:
    """A member name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def subschema_at(schema: Any, pointer: str) -> Any:
    """The subschema that describes the field at a pointer, None if it cannot be located.

    >>> subschema_at({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"title": "B"}}}}}, "/b")
    {'title': 'B'}
    """
    options = [schema]
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        options = [inner for option in _described(schema, options) for inner in _inner(option, name)]
    return next(iter(_described(schema, options)), None)


def _described(root: Any, options: list[Any]) -> list[Any]:
    """Schemas with those that they refer to or combine."""
    described, pending = list[Any](), list(options)
    while pending:
        option = pending.pop(0)
        if isinstance(option, dict) and not any(option is known for known in described):
            described.append(option)
            for keyword in ("allOf", "anyOf", "oneOf"):
                pending += option.get(keyword, ())
            reference = option.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                pending.append(_resolve(root, reference[1:]))
    return sorted(described, key=lambda option: set(option) <= {"$ref", "$defs", "definitions"})


def _resolve(root: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, dict) else None
    return root


def _inner(schema: dict[str, Any], name: str) -> Iterator[Any]:
    """The subschemas of a member of this name, or of items."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        yield properties[name]
    elif name == EACH_ITEM or name.isdigit():
        first = schema.get("prefixItems", ())
        if name.isdigit() and int(name) < len(first):
            yield first[int(name)]
        elif "items" in schema:
            yield schema["items"]
