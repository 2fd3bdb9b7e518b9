"""Compilation of a JSON Schema to formulas, one subschema at a time and only where it is needed.

>>> compiler = Compiler({"enum": [1, "a"], "not": {"const": 1}})
>>> compiler.formula(compiler.root), compiler.declined
(and(or(..., ...), not(...)), {})

Draft 2020-12, and the older drafts back to 4 where they differ. What no automaton can express becomes MAYBE
and is counted in ``declined``; no keyword is dropped silently. README.md has a table of all keywords.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from solver.tasks.json_schema import formats
from solver.tasks.json_schema.constants import one_of, value_key
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.formula import (
    KINDS,
    MAYBE,
    NO,
    YES,
    Constants,
    Formula,
    ItemSchemas,
    MemberSchemas,
    and_,
    exactly_one,
    kinds,
    leaf,
    not_,
    of_kind,
    operands,
    or_,
)
from solver.tasks.json_schema.keywords import (
    Schema,
    compile_count,
    compile_numbers,
    compile_source,
    compile_type,
    names_within,
    source_leaves,
    split_constants,
)
from solver.tasks.json_schema.references import Scope, root_scope
from solver.tasks.json_schema.source import Source, SourceMode
from solver.tasks.json_schema.validator import draft_of, referenced_schemas
from solver.tasks.languages import regex, regex_parser

MAX_ALTERNATIVES = 40  # of a oneOf, for strings; with more, the validator decides
NOT_STRINGS = kinds(kind for kind in KINDS if kind != "string")
NOT_OBJECTS = kinds(kind for kind in KINDS if kind != "object")


@dataclass(frozen=True, eq=False)
class Subschema:
    """A subschema at its place. ``entered``: the scope accounts for its ``$id`` already."""

    schema: Any
    scope: Scope
    entered: bool


class Compiler:
    """The formulas of a schema's subschemas, which are known by numbers.

    Args:
        schema: a JSON Schema.
        formats: whether ``format`` is asserted.
        registry: other schemas by URI. Nothing is fetched.
        draft: the schema's draft; None reads it from ``$schema``.
        usual: whether the language leaves out texts that are valid and unusual (an integer with an exponent).
            Such a language proposes; only the whole one proves that there is no text.
        source: the text that restricts the values of strings and numbers, if any (quotes.py).
        default_mode: "text": values have to be in the text; "auto": those of a field for which the text has none
            are free; "free": all are. ``x-source`` says otherwise for its field.

    Attributes:
        root: the number of the whole schema.
        declined: how often a keyword was left to the validator.
        constants: the finite sets of values of formulas (constants.py).
        structures: formulas of arrays and objects of an ``enum`` (constants.py).
        quoted: languages of fields that were read off the text (quotes.py).
        names: the member names that the schema mentions anywhere.

    Raises:
        SchemaError: the schema is malformed, or a reference points to nothing.
    """

    def __init__(
        self,
        schema: Any,
        formats: bool = True,
        registry: Mapping[str, Any] | None = None,
        draft: int | None = None,
        usual: bool = False,
        source: Source | None = None,
        default_mode: SourceMode = "auto",
    ) -> None:
        if not isinstance(schema, (dict, bool)):
            raise SchemaError(f"a schema is an object, true or false, not {type(schema).__name__}")
        self.registry = registry or {}
        self.draft = draft if draft is not None else draft_of(schema, known=self.registry)
        self.formats, self.usual = formats, usual
        self.source, self.default_mode = source, default_mode
        self.quoted: dict[Hashable, Any] = {}
        self.names = frozenset(names_within(schema)) if source is not None else frozenset[str]()
        self.declined: dict[str, int] = {}
        self._subschemas: list[Subschema] = []  # keeps the schemas alive, so that their ids stay unique
        self._numbers: dict[tuple[int, str, tuple[str, ...]], int] = {}
        self._formulas: dict[int, Formula] = {}
        self._in_progress: set[int] = set()
        self.constants: dict[Formula, dict[Hashable, Any] | None] = {}
        self.structures: dict[Constants, Formula] = {}
        self._constant_schemas: dict[Hashable, Schema] = {}
        self._numbers_by_formula: dict[Formula, int] = {}
        self._members: dict[Hashable, Formula] = {}
        known = referenced_schemas(schema, self.registry)
        text = json.dumps([schema, [contents for _, contents in known]])
        # With dynamic references a subschema depends on the references that lead to it.
        self._is_dynamic = '"$dynamicRef"' in text or '"$recursiveRef"' in text
        self._scope = root_scope(schema, self.draft, known)
        self.root = self._number(schema, self._scope, entered=True)

    def _number(self, schema: Any, scope: Scope, entered: bool = False) -> int:
        key = id(schema), scope.base_uri, scope.dynamic_uris if self._is_dynamic else ()
        number = self._numbers.setdefault(key, len(self._subschemas))
        if number == len(self._subschemas):
            self._subschemas.append(Subschema(schema, scope, entered))
        return number

    def formula(self, number: int) -> Formula:
        """What a subschema asserts. One that asserts itself, without anything in between, is MAYBE."""
        formula = self._formulas.get(number)
        if formula is None:
            if number in self._in_progress:
                return self.decline("$ref to itself")
            self._in_progress.add(number)
            formula = self._formulas[number] = self._compile(self._subschemas[number])
            self._in_progress.discard(number)
        return formula

    def decline(self, keyword: str, kind: str | None = None) -> Formula:
        """Leave a keyword to the validator, for values of one kind or of any."""
        self.declined[keyword] = self.declined.get(keyword, 0) + 1
        return leaf("unknown", kind, keyword) if kind else MAYBE

    def _compile(self, subschema: Subschema) -> Formula:
        schema, scope = subschema.schema, subschema.scope
        if isinstance(schema, bool):
            return YES if schema else NO
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema is an object, true or false, not {type(schema).__name__}")
        draft = draft_of(schema, self.draft, self.registry)
        if "$ref" in schema and draft <= 7:  # the other keywords beside it are ignored
            return self._reference(schema["$ref"], scope)
        if isinstance(schema.get("id" if draft == 4 else "$id"), str) and not subschema.entered:
            scope = scope.enter(schema)
        values = [[schema["const"]]] if "const" in schema and draft >= 6 else []
        values += [schema["enum"]] if "enum" in schema else []
        return and_(
            [
                compile_type(schema),
                *map(one_of, values),
                *compile_numbers(schema, draft),
                *(compile_source(schema) if self.source is not None else ()),
                *self._strings(schema, draft),
                *self._combinations(schema, scope, draft),
                *self._objects(schema, scope, draft),
                *self._arrays(schema, scope, draft),
            ]
        )

    def constant(self, value: Any) -> int:
        """The number of the schema that only this value satisfies."""
        schema = self._constant_schemas.setdefault(value_key(value), {"enum": [value]})
        return self._number(schema, self._scope)

    def no_value(self) -> int:
        """The number of the schema that no value satisfies."""
        return self._number(False, self._scope)

    def number_of(self, formula: Formula) -> int:
        """The number of a schema that asserts this formula."""
        if formula not in self._numbers_by_formula:
            number = self._numbers_by_formula[formula] = len(self._subschemas)
            self._subschemas.append(Subschema(None, self._scope, entered=True))
            self._formulas[number] = formula
        return self._numbers_by_formula[formula]

    def members(self, members: MemberSchemas) -> Formula:
        """The assertion about members, the same one for all whose subschemas assert the same."""
        named = {name: self.formula(number) for name, number in members.named.items()}
        patterns = tuple((term, self.formula(number)) for term, number in members.patterns)
        rest = None if members.rest is None else self.formula(members.rest)
        if not named and not patterns and rest in (None, YES):
            return YES
        key = frozenset(named.items()), patterns, rest
        if key not in self._members:
            self._members[key] = leaf("members", members)
        return self._members[key]

    def _strings(self, schema: Schema, draft: int) -> Iterator[Formula]:
        if "minLength" in schema or "maxLength" in schema:
            low, high = int(schema.get("minLength", 0)), schema.get("maxLength")
            if high is not None and high < low:
                yield NOT_STRINGS
                return
            length = regex.repeat(regex.ANY, low, None if high is None else int(high))
            yield leaf("text", regex.anchored(length))
        if "pattern" in schema:
            try:
                pattern_term, is_exact = regex_parser.search_above(schema["pattern"])
                yield leaf("text", pattern_term)
                if self.usual:
                    yield leaf("text", regex_parser.search_usual(schema["pattern"]))
                if not is_exact:  # the language is too large, so the negation of the leaf would be too small
                    yield self.decline("pattern", "string")
            except regex_parser.PatternError:
                yield self.decline("pattern", "string")
        name = schema.get("format")
        asserted = formats.assertion(name, draft, self.usual) if isinstance(name, str) else None
        if self.formats and asserted is not None:
            if asserted.is_open:
                self.decline(f"format {name}")
            yield leaf("format", asserted)

    def _combinations(self, schema: Schema, scope: Scope, draft: int) -> Iterator[Formula]:
        """References, and the keywords that combine schemas of the same value."""

        def inner(sub: Any) -> Formula:
            return self.formula(self._number(sub, scope))

        if "$ref" in schema:
            yield self._reference(schema["$ref"], scope)
        if "$dynamicRef" in schema and draft >= 2020:
            yield self._reference(schema["$dynamicRef"], scope, dynamic=True)
        if "$recursiveRef" in schema and draft == 2019:
            yield self.formula(self._number(*scope.lookup_recursive(), entered=True))
        yield from map(inner, schema.get("allOf", ()))
        if "anyOf" in schema:
            constants, others = split_constants(schema["anyOf"], draft)
            alternatives = list(map(inner, others))
            if self.source is not None and constants:  # these may be written even if they are not in the text
                alternatives = [and_([part, *source_leaves("open")]) for part in alternatives]
            yield or_([one_of(constants), *alternatives])
        if "oneOf" in schema:
            constants, others = split_constants(schema["oneOf"], draft)
            counts = Counter(map(value_key, constants))
            repeated = [value for value in constants if counts[value_key(value)] > 1]
            alternatives = [one_of(constants), *map(inner, others)]
            if sum(of_kind(part, "string") not in (YES, NO) for part in alternatives) <= MAX_ALTERNATIVES:
                yield and_([exactly_one(alternatives), not_(one_of(repeated))])
            else:
                yield and_([or_(alternatives), self.decline("oneOf")])
        if "not" in schema:
            yield not_(inner(schema["not"]))
        if "if" in schema and draft >= 7:
            condition = inner(schema["if"])
            if "then" in schema:
                yield or_([not_(condition), inner(schema["then"])])
            if "else" in schema:
                yield or_([condition, inner(schema["else"])])

    def _reference(self, reference: Any, scope: Scope, dynamic: bool = False) -> Formula:
        if not isinstance(reference, str):
            raise SchemaError("$ref is not a string")
        return self.formula(self._number(*scope.lookup(reference, dynamic), entered=True))

    def _objects(self, schema: Schema, scope: Scope, draft: int) -> Iterator[Formula]:
        named = {name: self._number(sub, scope) for name, sub in schema.get("properties", {}).items()}
        patterns, has_declined = [], False
        for pattern, sub in schema.get("patternProperties", {}).items():
            try:
                patterns.append((regex_parser.search(pattern), self._number(sub, scope)))
            except regex_parser.PatternError:
                has_declined = True
                yield self.decline("patternProperties", "object")
        rest = None
        if "additionalProperties" in schema and not has_declined:  # else the others are unknown
            rest = self._number(schema["additionalProperties"], scope)
        if named or patterns or rest is not None:
            yield leaf("members", MemberSchemas(named, tuple(patterns), rest))
        if isinstance(schema.get("required"), (list, tuple)):  # in draft 3 it is a boolean
            yield from (leaf("required", name) for name in schema["required"])
        yield from compile_count("count", schema, "minProperties", "maxProperties")
        if "propertyNames" in schema and draft >= 6:
            names = self._number(schema["propertyNames"], scope)
            yield leaf("names", names)
            if MAYBE in operands(of_kind(self.formula(names), "string")):
                yield self.decline("propertyNames", "object")
        yield from self._dependencies(schema, scope, draft)
        if draft >= 2019 and schema.get("unevaluatedProperties") not in (None, True, {}):
            yield self.decline("unevaluatedProperties", "object")

    def _dependencies(self, schema: Schema, scope: Scope, draft: int) -> Iterator[Formula]:
        """What a member's presence requires: other names, or a schema of the object."""
        names = dict(schema.get("dependentRequired", {})) if draft >= 2019 else {}
        schemas = dict(schema.get("dependentSchemas", {})) if draft >= 2019 else {}
        for name, dependency in schema.get("dependencies", {}).items():
            (names if isinstance(dependency, list) else schemas)[name] = dependency
        # A leaf holds for values of other kinds, and so would not its negation: they are named here.
        for name, required in names.items():
            present = and_(leaf("required", needed) for needed in required)
            yield or_([NOT_OBJECTS, not_(leaf("required", name)), present])
        for name, sub in schemas.items():
            yield or_([NOT_OBJECTS, not_(leaf("required", name)), self.formula(self._number(sub, scope))])

    def _arrays(self, schema: Schema, scope: Scope, draft: int) -> Iterator[Formula]:
        items = schema.get("items")
        if draft >= 2020:
            first, rest = schema.get("prefixItems", []), items
        elif isinstance(items, list):
            first, rest = items, schema.get("additionalItems")
        else:
            first, rest = [], items
        if first or rest is not None:
            numbers = tuple(self._number(sub, scope) for sub in first)
            yield leaf("items", ItemSchemas(numbers, None if rest is None else self._number(rest, scope)))
        yield from compile_count("length", schema, "minItems", "maxItems")
        if "contains" in schema and draft >= 6:
            counts = schema if draft >= 2019 else {}
            low, high = int(counts.get("minContains", 1)), counts.get("maxContains")
            number = self._number(schema["contains"], scope)
            yield leaf("contains", number, low, None if high is None else int(high), 0)
        if schema.get("uniqueItems") is True:
            yield leaf("unique", frozenset())
        if draft >= 2019 and schema.get("unevaluatedItems") not in (None, True, {}):
            yield self.decline("unevaluatedItems", "array")
