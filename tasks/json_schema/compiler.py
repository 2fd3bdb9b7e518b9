"""From a JSON Schema to formulas, one subschema at a time, as far as anybody asks.

    compiler = Compiler({"type": "array", "items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"const": 1}}})
    compiler.formula(compiler.root)

Draft 2020-12, and the older ones back to 4 where they differ. References are resolved by ``referencing``, and nothing is ever
fetched. What no automaton can say becomes MAYBE and is counted in ``declined``; no keyword is dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urldefrag, urljoin

from referencing import Registry, Resource, exceptions
from referencing.jsonschema import DRAFT202012, DynamicAnchor, lookup_recursive_ref, specification_with

from solver.tasks.json_schema import formats
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.formula import (
    MAYBE,
    NO,
    TYPES,
    YES,
    Formula,
    and_,
    exactly_one,
    kinds,
    leaf,
    not_,
    or_,
)
from solver.tasks.json_schema.validator import DRAFTS, draft_of, referenced_schemas
from solver.tasks.languages import regex
from solver.tasks.languages import regex_parser as patterns

MOST_ALTERNATIVES = 40  # of a oneOf; beyond, the validator decides


@dataclass(frozen=True, eq=False)
class MemberSchemas:
    """The subschemas that the members of an object must satisfy: by name, by pattern, and ``rest`` for all others."""

    named: Mapping[str, int]
    patterns: tuple[tuple[regex.Term, int], ...]
    rest: int | None

    def demand(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """The subschemas of a member that ``named`` and ``patterns`` give these."""
        return tuple(numbers) or (() if self.rest is None else (self.rest,))


@dataclass(frozen=True, eq=False)
class ItemSchemas:
    """The subschemas that the items of an array must satisfy: one for each of the first, and ``rest`` for all others."""

    first: tuple[int, ...]
    rest: int | None

    def demand(self, index: int) -> tuple[int, ...]:
        """The subschemas of the item ``index``."""
        if index < len(self.first):
            return (self.first[index],)
        return () if self.rest is None else (self.rest,)


def exact_number(value: Any) -> Decimal:
    """An exact number from JSON's."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


class Compiler:
    """Formulas of subschemas, each found once. A subschema is known by a number.

    formats: whether ``format`` is asserted.  registry: other schemas by their URI; nothing is ever fetched.
    Raises SchemaError where the schema is none, or points to nothing.
    """

    def __init__(
        self,
        schema: Any,
        formats: bool = True,
        registry: Mapping[str, Any] | None = None,
        draft: int | None = None,
    ) -> None:
        if not isinstance(schema, (dict, bool)):
            raise SchemaError(f"a schema is an object, true or false, not {type(schema).__name__}")
        self.draft = draft if draft is not None else draft_of(schema, known=registry or {})
        self.assert_formats, self.known = formats, registry or {}
        self.declined: dict[str, int] = {}
        self._formulas: list[Formula | None] = []
        self._under_way: set[int] = set()
        self._places: list[tuple[Any, Any, bool]] = []
        self._numbers: dict[tuple[int, str, tuple[str, ...]], int] = {}
        self._kept: list[Any] = []
        known = referenced_schemas(schema, registry or {})
        everything = json.dumps([schema, [contents for _, contents in known]])
        self.dynamic = (
            '"$dynamicRef"' in everything or '"$recursiveRef"' in everything
        )  # then a place depends on the way to it
        name = next(uri for uri, known in DRAFTS.items() if known == self.draft)
        specification = specification_with(name)
        resource = specification.create_resource(schema)
        self._resolver = known_schemas(name, known).resolver_with_root(resource)
        self.root = self.place(schema, self._resolver, inside=True)

    def place(self, schema: Any, resolver: Any, inside: bool = False) -> int:
        """The number of a subschema, met with this resolver, which has seen its $id already where it is ``inside``."""
        scope = tuple(uri for uri, _ in resolver.dynamic_scope()) if self.dynamic else ()
        key = (id(schema), str(resolver._base_uri), scope)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._places)
            self._kept.append(schema)  # an id is only unique while its object lives
            self._places.append((schema, resolver, inside))
            self._formulas.append(None)
        return found

    def formula(self, place: int) -> Formula:
        """What the subschema asserts. One that asserts itself says nothing more (MAYBE)."""
        found = self._formulas[place]
        if found is None:
            if place in self._under_way:
                return self.decline("$ref to itself")
            self._under_way.add(place)
            found = self._formulas[place] = self.build(*self._places[place])
            self._under_way.discard(place)
        return found

    def decline(self, keyword: str, kind: str | None = None) -> Formula:
        """For what is left to the validator."""
        self.declined[keyword] = self.declined.get(keyword, 0) + 1
        return leaf("unknown", kind, keyword) if kind else MAYBE

    def build(self, schema: Any, resolver: Any, inside: bool) -> Formula:
        if schema is True:
            return YES
        if schema is False:
            return NO
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema is an object, true or false, not {type(schema).__name__}")
        draft = draft_of(schema, self.draft, self.known)
        if "$ref" in schema and draft <= 7:
            return self.reference(schema["$ref"], resolver)
        here = schema.get("id" if draft == 4 else "$id")
        if isinstance(here, str) and not inside:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        parts = [
            self.types(schema),
            self.values(schema, draft),
            self.numbers(schema, draft),
            self.strings(schema),
            *self.in_place(schema, resolver, draft),
            *self.objects(schema, resolver, draft),
            *self.arrays(schema, resolver, draft),
        ]
        return and_(parts)

    def types(self, schema: dict[str, Any]) -> Formula:
        if "type" not in schema:
            return YES
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        plain = kinds(kind for name in wanted if name != "integer" for kind in kinds_of_type(name))
        if "integer" in wanted and "number" not in wanted:
            return or_([and_([kinds(["number"]), leaf("multiple", Decimal(1))]), plain])
        return plain

    def values(self, schema: dict[str, Any], draft: int) -> Formula:
        found = []
        if "const" in schema and draft >= 6:
            found.append(self.among([schema["const"]]))
        if "enum" in schema:
            found.append(self.among(schema["enum"]))
        return and_(found)

    def among(self, values: Sequence[Any]) -> Formula:
        """The value is equal to one of these, as JSON Schema means it: 1 and 1.0 are."""
        texts = [value for value in values if isinstance(value, str)]
        amounts = [exact_number(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        words = {None: "null", True: "true", False: "false"}
        found = [kinds(words[v] for v in values if v is None or isinstance(v, bool))]
        if texts:
            found.append(
                and_(
                    [
                        kinds(["string"]),
                        leaf("text", regex.or_(regex.anchored(regex.literal(t)) for t in texts)),
                    ]
                )
            )
        if amounts:
            found.append(and_([kinds(["number"]), leaf("among", frozenset(amounts))]))
        for value in values:
            if isinstance(value, list):
                items = ItemSchemas(tuple(self.constant(item) for item in value), None)
                length = leaf("length", len(value), len(value), 0)
                found.append(and_([kinds(["array"]), leaf("items", items), length]))
            elif isinstance(value, dict):
                named = {name: self.constant(item) for name, item in value.items()}
                members = leaf("members", MemberSchemas(named, (), self.place(False, self._resolver)))
                found.append(and_([kinds(["object"]), members, *(leaf("required", name) for name in value)]))
        return or_(found)

    def constant(self, value: Any) -> int:
        return self.place({"enum": [value]}, self._resolver)

    def numbers(self, schema: dict[str, Any], draft: int) -> Formula:
        found = []
        for keyword, sign in (("minimum", ">"), ("maximum", "<")):
            strict = "exclusive" + keyword.capitalize()
            if keyword in schema:
                loose = not (draft == 4 and schema.get(strict) is True)
                found.append(leaf("compare", sign + "=" * loose, exact_number(schema[keyword])))
            if draft > 4 and strict in schema:
                found.append(leaf("compare", sign, exact_number(schema[strict])))
        if "multipleOf" in schema:
            of = exact_number(schema["multipleOf"]).normalize()
            found.append(leaf("multiple", of) if of > 0 else NO)
        return and_(found)

    def strings(self, schema: dict[str, Any]) -> Formula:
        found = []
        if "minLength" in schema or "maxLength" in schema:
            least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
            if most is not None and most < least:
                return kinds(set(TYPES) - {"string", "boolean"} | {"true", "false"})
            found.append(
                leaf(
                    "text",
                    regex.anchored(regex.repeat(regex.ANY, least, None if most is None else int(most))),
                )
            )
        if "pattern" in schema:
            found.append(self.pattern(schema["pattern"]))
        if "format" in schema and self.assert_formats and isinstance(schema["format"], str):
            term = formats.term(schema["format"])
            if term is not None:
                found.append(leaf("text", term))
            elif schema["format"] in formats.DECLINED:
                found.append(self.decline(f"format {schema['format']}", "string"))
        return and_(found)

    def pattern(self, pattern: str) -> Formula:
        try:
            return leaf("text", patterns.search(pattern))
        except patterns.PatternError:
            return self.decline("pattern", "string")

    def in_place(self, schema: dict[str, Any], resolver: Any, draft: int) -> list[Formula]:
        found = []

        def inner(sub: Any) -> Formula:
            return self.formula(self.place(sub, resolver))

        if "$ref" in schema:
            found.append(self.reference(schema["$ref"], resolver))
        if "$dynamicRef" in schema and draft >= 2020:
            found.append(self.reference(schema["$dynamicRef"], resolver, dynamic=True))
        if "$recursiveRef" in schema and draft == 2019:
            resolved = lookup_recursive_ref(resolver)
            found.append(self.formula(self.place(resolved.contents, resolved.resolver, inside=True)))
        if "allOf" in schema:
            found += [inner(sub) for sub in schema["allOf"]]
        if "anyOf" in schema:
            found.append(or_(inner(sub) for sub in schema["anyOf"]))
        if "oneOf" in schema:
            few = len(schema["oneOf"]) <= MOST_ALTERNATIVES
            alternatives = [inner(sub) for sub in schema["oneOf"]]
            found.append(
                exactly_one(alternatives) if few else and_([or_(alternatives), self.decline("oneOf")])
            )
        if "not" in schema:
            found.append(not_(inner(schema["not"])))
        if "if" in schema and draft >= 7:
            condition = inner(schema["if"])
            if "then" in schema:
                found.append(or_([not_(condition), inner(schema["then"])]))
            if "else" in schema:
                found.append(or_([condition, inner(schema["else"])]))
        return found

    def reference(self, to: Any, resolver: Any, dynamic: bool = False) -> Formula:
        if not isinstance(to, str):
            raise SchemaError("$ref is not a string")
        try:
            contents, inner = found(resolver.lookup(to)) if dynamic else resolve_static(to, resolver)
        except (exceptions.Unresolvable, exceptions.NoSuchResource, exceptions.PointerToNowhere) as error:
            raise SchemaError(
                f"the $ref {to[:100]!r} points to nothing that is here (nothing is fetched; see --registry)"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SchemaError(f"the $ref {to[:100]!r} cannot be resolved") from error
        return self.formula(self.place(contents, inner, inside=True))

    def objects(self, schema: dict[str, Any], resolver: Any, draft: int) -> list[Formula]:
        found: list[Formula] = []
        named = {name: self.place(sub, resolver) for name, sub in schema.get("properties", {}).items()}
        named_by = []
        for pattern, sub in schema.get("patternProperties", {}).items():
            try:
                named_by.append((patterns.search(pattern), self.place(sub, resolver)))
            except patterns.PatternError:
                found.append(self.decline("patternProperties", "object"))
        others = (
            self.place(schema["additionalProperties"], resolver) if "additionalProperties" in schema else None
        )
        if len(named_by) < len(schema.get("patternProperties", {})):
            others = None
        if named or named_by or others is not None:
            found.append(leaf("members", MemberSchemas(named, tuple(named_by), others)))
        found += [leaf("required", name) for name in as_list(schema.get("required", ()))]
        least, most = schema.get("minProperties", 0), schema.get("maxProperties")
        if least or most is not None:
            found.append(leaf("count", int(least), None if most is None else int(most), 0))
        if "propertyNames" in schema and draft >= 6:
            found.append(leaf("names", self.place(schema["propertyNames"], resolver)))
        dependent = dict(schema.get("dependentRequired", {})) if draft >= 2019 else {}
        schemas = dict(schema.get("dependentSchemas", {})) if draft >= 2019 else {}
        for name, what in schema.get("dependencies", {}).items():
            if isinstance(what, list):
                dependent[name] = what
            else:
                schemas[name] = what
        other_kinds = kinds(KINDS_BUT_OBJECT)  # a leaf says nothing of them, and its negation would
        for name, wanted in dependent.items():
            found.append(
                or_(
                    [
                        other_kinds,
                        not_(leaf("required", name)),
                        and_(leaf("required", other) for other in wanted),
                    ]
                )
            )
        for name, sub in schemas.items():
            found.append(
                or_([other_kinds, not_(leaf("required", name)), self.formula(self.place(sub, resolver))])
            )
        if draft >= 2019 and schema.get("unevaluatedProperties") not in (None, True, {}):
            found.append(self.decline("unevaluatedProperties", "object"))
        return found

    def arrays(self, schema: dict[str, Any], resolver: Any, draft: int) -> list[Formula]:
        found = []
        first: list[Any] = []
        rest: Any = None
        items = schema.get("items")
        if draft >= 2020:
            first, rest = schema.get("prefixItems", []), items
        elif isinstance(items, list):
            first, rest = items, schema.get("additionalItems")
        else:
            rest = items
        if first or rest is not None:
            places = tuple(self.place(sub, resolver) for sub in first)
            found.append(
                leaf("items", ItemSchemas(places, None if rest is None else self.place(rest, resolver)))
            )
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if least or most is not None:
            found.append(leaf("length", int(least), None if most is None else int(most), 0))
        if "contains" in schema and draft >= 6:
            low = int(schema.get("minContains", 1)) if draft >= 2019 else 1
            high = schema.get("maxContains") if draft >= 2019 else None
            found.append(
                leaf(
                    "contains",
                    self.place(schema["contains"], resolver),
                    low,
                    None if high is None else int(high),
                    0,
                )
            )
        if schema.get("uniqueItems") is True:
            found.append(self.decline("uniqueItems", "array"))
        if draft >= 2019 and schema.get("unevaluatedItems") not in (None, True, {}):
            found.append(self.decline("unevaluatedItems", "array"))
        return found


KINDS_BUT_OBJECT = ("null", "true", "false", "number", "string", "array")


def found(resolved: Any) -> tuple[Any, Any]:
    """What a lookup found, and the resolver there."""
    return resolved.contents, resolved.resolver


def resolve_static(to: str, resolver: Any) -> tuple[Any, Any]:
    """What a plain ``$ref`` points to: a $dynamicAnchor is an ordinary one to it."""
    base, fragment = urldefrag(to)
    if fragment and not fragment.startswith("/"):
        uri = urljoin(resolver._base_uri, base) if base else resolver._base_uri
        try:
            anchor = resolver._registry.anchor(uri, fragment).value
        except (
            exceptions.NoSuchAnchor,
            exceptions.InvalidAnchor,
            exceptions.Unresolvable,
            exceptions.NoSuchResource,
        ):
            return found(resolver.lookup(to))
        if isinstance(anchor, DynamicAnchor):
            return anchor.resource.contents, resolver.in_subresource(anchor.resource)
    return found(resolver.lookup(to))


def as_list(value: Any) -> Sequence[str]:
    return value if isinstance(value, (list, tuple)) else ()  # draft 3 wrote a boolean here


def kinds_of_type(name: Any) -> tuple[str, ...]:
    if name not in TYPES:
        raise SchemaError(f"there is no type {name!r}")
    return TYPES[name]


@lru_cache(maxsize=8)
def _metaschemas(name: str) -> Any:
    import jsonschema_specifications

    return jsonschema_specifications.REGISTRY


def known_schemas(name: str, known: Sequence[tuple[str, Any]]) -> Any:
    """The drafts' own schemas and the user's."""
    found: Registry[Any] = _metaschemas(name)
    specification = specification_with(name)
    pairs = []
    for uri, contents in known:
        pairs.append((uri, Resource.from_contents(contents, default_specification=specification)))
    try:
        return found.with_resources(pairs).crawl() if pairs else found
    except (TypeError, ValueError, AttributeError) as error:
        raise SchemaError("a schema of the registry cannot be read") from error
