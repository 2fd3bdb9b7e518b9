"""Chooses the fields of a record and builds its schema, values, places and absent fields."""

from __future__ import annotations

from random import Random
from typing import Any

from solver.training.prose.compose import Composer
from solver.training.prose.domain import Role, draw_name
from solver.training.prose.kinds import DrawnValue, Kind, Several
from solver.training.prose.schema import (
    KeyWriter,
    Leaf,
    LeafWriter,
    Places,
    Schema,
    Span,
    escape_pointer,
    unit_span,
)
from solver.training.prose.style import CURRENCIES


class ObjectBuilder:
    """An object of the schema and of the record, member by member.

    Attributes:
        schema: of the object.
        record: the object.
        places: spans by JSON pointer.
        absent: pointers of the members that the text does not give.
    """

    def __init__(self, rng: Random, keys: KeyWriter, pointer: str) -> None:
        self.rng, self.keys, self.pointer = rng, keys, pointer
        self.schema: Schema = {"type": "object", "properties": {}}
        self.required = list[str]()
        self.record: dict[str, Any] = {}
        self.places: dict[str, Span] = {}
        self.absent = list[str]()

    def add(self, key: str, schema: Schema, value: Any, spans: dict[str, Span], required: bool) -> None:
        """Add a member with a value."""
        self.schema["properties"][key] = schema
        self.record[key] = value
        pointer = f"{self.pointer}/{escape_pointer(key)}"
        self.places.update({pointer + tail: span for tail, span in spans.items()})
        if required:
            self.required.append(key)

    def add_absent(self, key: str, schema: Schema, is_null: bool) -> None:
        """Add a member without a value: null, or left out."""
        self.schema["properties"][key] = schema
        self.absent.append(f"{self.pointer}/{escape_pointer(key)}")
        if is_null:
            self.record[key] = None
            self.required.append(key)

    def add_object(self, key: str, inner: ObjectBuilder, description: str) -> None:
        """Add a member that is an object."""
        schema = inner.finished(self.rng)
        if description:
            schema = {"description": description, **schema}
        self.add(key, schema, inner.record, {}, bool(inner.record))
        self.places.update(inner.places)
        self.absent += inner.absent

    def finished(self, rng: Random, closed: bool = False) -> Schema:
        """The schema with its properties in an order of their own, and the names that are required."""
        if rng.random() < 0.5:
            names = list(self.schema["properties"])
            rng.shuffle(names)
            self.schema["properties"] = {name: self.schema["properties"][name] for name in names}
        order = list(self.schema["properties"])
        self.record = {name: self.record[name] for name in order if name in self.record}
        if self.required:
            self.schema["required"] = sorted(self.required, key=order.index)
        if closed:
            self.schema["additionalProperties"] = False
        return self.schema


class RecordBuilder:
    """Builds the record of a composed text."""

    def __init__(self, composer: Composer, places: Places) -> None:
        self.composer, self.places, self.rng = composer, places, composer.rng
        self.leaves = LeafWriter(self.rng, composer.style)
        self.required_share = self.rng.choice((1.0, 0.75, 0.4, 0.0))
        self.null_share = self.rng.choice((0.0, 0.0, 0.5, 1.0))
        self.stray_null_share = self.rng.choice((0.0, 0.0, 0.2))
        self.top = ObjectBuilder(self.rng, self.key_writer(), "")

    def key_writer(self) -> KeyWriter:
        return KeyWriter(self.rng, self.composer.style, self.leaves.opaque)

    # Choosing

    def asked(self) -> tuple[list[str], list[str]]:
        """Names of the roles that are asked for: with a value, and without one."""
        rng, composer = self.rng, self.composer
        names = list(dict.fromkeys(path.partition(".")[0] for path in composer.values))
        present = [name for name in names if name in composer.domain.roles]
        share = rng.choice((0.35, 0.7, 1.0))
        kept = [name for name in present if rng.random() < share]
        if len(kept) < 2:
            kept = rng.sample(present, min(len(present), 2))
        absent = [name for name in sorted(composer.denied) if rng.random() < 0.8]
        if rng.random() < 0.14:
            candidates = [name for name in composer.domain.roles if composer.can_be_absent(name)]
            absent += rng.sample(candidates, min(len(candidates), rng.choice((1, 1, 2, 3))))
        return kept, [name for name in dict.fromkeys(absent) if composer.can_be_absent(name)]

    def is_generic(self, name: str, asked: list[str]) -> bool:
        """Whether the generic name of a role could mean no other role of the document."""
        roles = self.composer.roles
        mentioned = {path.partition(".")[0] for path in self.composer.values} & roles.keys()
        rivals = (mentioned | set(asked)) - {name}
        domain, listed = self.composer.domain, list[Role]()
        if self.composer.row_count and domain.rows:
            listed += domain.rows.roles.values()
        if self.composer.variant and domain.variants:
            listed += domain.variants.options[self.composer.variant].roles.values()
        role = roles[name]
        return all(roles[rival].generic != role.generic for rival in rivals) and not any(
            rival.generic == role.generic or rival.kind == role.kind for rival in listed
        )

    # Building

    def build(self) -> tuple[Schema, dict[str, Any]]:
        """The schema and the record of the document."""
        rng, composer = self.rng, self.composer
        present, absent = self.asked()
        names = present + absent
        if rng.random() < 0.5:
            rng.shuffle(names)
        groups = dict[str, list[str]]()
        for name in names:
            groups.setdefault(composer.domain.roles[name].group, []).append(name)
        nested = {
            group for group, members in groups.items() if group and len(members) > 1 and rng.random() < 0.5
        }
        for name in names:
            role = composer.domain.roles[name]
            if role.group not in nested:
                key = self.top.keys.key(role, False, bool(role.generic) and self.is_generic(name, names))
                self.add_role(self.top, key, name, role)
        for group in sorted(nested):
            key = self.top.keys.words(group)
            inner = ObjectBuilder(rng, self.key_writer(), f"/{escape_pointer(key)}")
            for name in groups[group]:
                role = composer.domain.roles[name]
                self.add_role(inner, inner.keys.key(role, True, True), name, role)
            self.top.add_object(key, inner, "")
        if composer.row_count and rng.random() < 0.85:
            self.add_rows()
        if composer.variant and rng.random() < 0.85:
            self.add_variant()
        if rng.random() < 0.3:
            self.add_currency()
        schema = self.top.finished(rng, closed=rng.random() < 0.3)
        return schema, self.top.record

    def add_role(self, owner: ObjectBuilder, key: str, name: str, role: Role) -> None:
        """Add a member for a role: a scalar, a list, or a member without a value."""
        composer = self.composer
        is_list = isinstance(role.kind, Several)
        paths = [path for path in composer.values if path == name or path.startswith(f"{name}.")]
        if isinstance(role.kind, Several):
            kind: Kind = role.kind.kind
        else:
            kind = role.kind
        value = composer.values[paths[0]] if paths else kind.draw(self.rng, composer.style)
        text = self.longest([self.places.quote(self.places.extents[path]) for path in paths])
        leaf = self.leaves.leaf(value, text if paths else None, role)
        if is_list and leaf.form == "measure":
            leaf = self.leaves.leaf(DrawnValue("string", ""), text if paths else None, role)
        schema = {"type": "array", "items": leaf.schema} if is_list else leaf.schema
        if not paths:
            is_null = self.rng.random() < self.null_share
            schema = self.leaves.nullable(schema) if is_null else schema
            owner.add_absent(key, self.leaves.described(schema, role, value), is_null)
            return
        results = [leaf.read(path, composer.values[path], self.places) for path in paths]
        spans = dict(results[0][1])
        if is_list:
            spans = {
                f"/{index}{tail}": span
                for index, (_, inner) in enumerate(results)
                for tail, span in inner.items()
            }
        if self.rng.random() < self.stray_null_share:
            schema = self.leaves.nullable(schema)
        datum = [result for result, _ in results] if is_list else results[0][0]
        required = self.rng.random() < self.required_share
        owner.add(key, self.leaves.described(schema, role, value), datum, spans, required)

    @staticmethod
    def longest(texts: list[str]) -> str:
        """The longest of the texts, or an empty one."""
        return max(texts, key=len, default="")

    def add_rows(self) -> None:
        """Add the list of objects."""
        rows = self.composer.domain.rows
        assert rows is not None
        key = self.top.keys.words(draw_name(self.rng, rows.names, self.composer.style.held_out))
        array, records = self.row_array(f"/{escape_pointer(key)}")
        if any(records):
            self.top.add(key, array, records, {}, self.rng.random() < self.required_share)

    def row_array(self, pointer: str) -> tuple[Schema, list[dict[str, Any]]]:
        """Schema and value of the list of objects, whose places and absent members are added to the record's."""
        composer, rng, rows = self.composer, self.rng, self.composer.domain.rows
        assert rows is not None
        names = [name for name in rows.roles if rng.random() < 0.85] or list(rows.roles)
        given = {
            name: [f"rows.{index}.{name}" in composer.values for index in range(composer.row_count)]
            for name in names
        }
        names = [name for name in names if any(given[name])]
        if not names:
            return {}, []
        keys, leaves = self.key_writer(), dict[str, tuple[str, Leaf, bool]]()
        schema: Schema = {"type": "object", "properties": {}}
        for name in names:
            role = rows.roles[name]
            paths = [f"rows.{index}.{name}" for index, has_value in enumerate(given[name]) if has_value]
            text = self.longest([self.places.quote(self.places.extents[path]) for path in paths])
            leaf = self.leaves.leaf(composer.values[paths[0]], text, role)
            inner_key = keys.key(role, bool(role.generic), True)
            is_null = not all(given[name]) and rng.random() < self.null_share
            leaves[name] = inner_key, leaf, is_null
            item = self.leaves.nullable(leaf.schema) if is_null else leaf.schema
            schema["properties"][inner_key] = self.leaves.described(item, role, composer.values[paths[0]])
        required = [leaves[name][0] for name in names if all(given[name]) or leaves[name][2]]
        if required and self.required_share > 0:
            schema["required"] = required
        records = list[dict[str, Any]]()
        for index in range(composer.row_count):
            record: dict[str, Any] = {}
            for name in names:
                inner_key, leaf, is_null = leaves[name]
                path, place = f"rows.{index}.{name}", f"{pointer}/{index}/{escape_pointer(inner_key)}"
                if path in composer.values:
                    record[inner_key], spans = leaf.read(path, composer.values[path], self.places)
                    self.top.places.update({place + tail: span for tail, span in spans.items()})
                else:
                    self.top.absent.append(place)
                    if is_null:
                        record[inner_key] = None
            records.append(record)
        array: Schema = {"type": "array", "items": schema}
        if rng.random() < self.leaves.descriptions:
            array["description"] = rows.description
        return array, records

    def add_variant(self) -> None:
        """Add the discriminated union."""
        composer, rng, variants = self.composer, self.rng, self.composer.domain.variants
        assert variants is not None
        key = self.top.keys.words(draw_name(rng, variants.names, composer.style.held_out))
        tag = rng.choice(variants.tags.split("|"))
        pointer, branches = f"/{escape_pointer(key)}", list[Schema]()
        record: dict[str, Any] = {}
        for constant, variant in variants.options.items():
            keys = self.key_writer()
            keys.opaque = ""
            tag_key = keys.words(tag)
            branch: Schema = {
                "type": "object",
                "properties": {tag_key: {"const": constant}},
                "required": [tag_key],
            }
            if constant == composer.variant:
                record[tag_key] = constant
                self.top.places[f"{pointer}/{tag_key}"] = self.places.cores[f"variant.{constant}.kind"]
            for name, role in variant.roles.items():
                path, inner_key = f"variant.{constant}.{name}", keys.key(role, False, False)
                value = composer.values.get(path) or role.kind.draw(rng, composer.style)
                is_given = path in composer.values
                text = self.places.quote(self.places.extents[path]) if is_given else None
                leaf = self.leaves.leaf(value, text, role)
                branch["properties"][inner_key] = self.leaves.described(leaf.schema, role, value)
                place = f"{pointer}/{escape_pointer(inner_key)}"
                if is_given:
                    record[inner_key], spans = leaf.read(path, value, self.places)
                    self.top.places.update({place + tail: span for tail, span in spans.items()})
                elif constant == composer.variant:
                    self.top.absent.append(place)
                if is_given or constant != composer.variant:
                    branch["required"].append(inner_key)
            branches.append(branch)
        union: Schema = {rng.choice(("oneOf", "anyOf")): branches}
        self.top.add(key, union, record, {}, rng.random() < self.required_share)

    def add_currency(self) -> None:
        """Add the currency of the document's amounts, read from the first of them."""
        composer, rng = self.composer, self.rng
        currency = composer.style.currency
        path = next((path for path, value in composer.values.items() if value.unit == currency), None)
        if path is None:
            return
        span = unit_span(self.places.text, self.places.cores[path], self.places.extents[path])
        role = Role(
            composer.roles["other_person"].kind,
            "currency|currency code||iso currency",
            "Currency of the amounts",
        )
        codes = rng.sample([code for code in CURRENCIES if code != currency], 3)
        schema = {"type": "string", "enum": sorted([*codes, currency])}
        schema = self.leaves.described(schema, role, DrawnValue("option", ""))
        key = self.top.keys.key(role, False, False)
        self.top.add(key, schema, currency, {"": span}, rng.random() < self.required_share)
