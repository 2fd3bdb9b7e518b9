"""Canonical text of a value under a schema: members in the schema's order, no white space.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> grammar = SchemaGrammar(Compiler({"properties": {"b": True, "a": {"type": "integer"}}}), max_bytes=256)
>>> serialize(grammar, {"a": 2, "b": 1})
b'{"b":1,"a":2}'
>>> serialize(grammar, {"a": "2"}) is None
True

:func:`load_pairs` reads development files of schemas with instances. A tenth of their lines, by hash, is
reserved for testing.
"""

import gzip
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from solver.tasks.data import is_reserved
from solver.tasks.json_schema.choices import value_choices
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import exact_number, spell_out, value_key
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.formula import (
    NO,
    Demand,
    Formula,
    close_leaf,
    demand_in,
    item_demand,
    of_kind,
    rewrite,
    without_name,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.objects import ObjectPlan
from solver.tasks.json_schema.strings import json_text, string_term
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton

FILES = ("schemastore_pairs", "maskbench_pairs")


def accepts_bytes(automaton: ByteAutomaton, text: bytes) -> bool:
    """Whether the whole text leads through the automaton."""
    states = {0}
    for byte in text:
        edges = zip(automaton.src, automaton.label, automaton.dst, strict=True)
        states = {target for source, label, target in edges if source in states and LABELS[label] >> byte & 1}
    return automaton.num_states in states or not states.isdisjoint(automaton.ends)


def serialize(grammar: SchemaGrammar, value: Any) -> bytes | None:
    """Write ``value`` as the grammar does, or return None if it is not in the language."""
    return _write_value(grammar, grammar.root, value)


def _write_value(grammar: SchemaGrammar, formula: Formula, value: Any) -> bytes | None:
    match value:
        case None | bool():
            text = json.dumps(value)
            return text.encode() if of_kind(formula, text) is not NO else None
        case int() | float():
            part = of_kind(formula, "number")
            if part is NO:
                return None
            automaton = grammar.number_language(part)
            texts = (json.dumps(value).encode(), f"{exact_number(value):f}".encode())
            return next((text for text in texts if accepts_bytes(automaton, text)), None)
        case str():
            part = of_kind(formula, "string")
            if part is NO or not regex.matches(string_term(part, grammar.max_bytes), value):
                return None
            return json_text(value)
        case list():
            return _write_container(grammar, of_kind(formula, "array"), value)
    return _write_container(grammar, of_kind(formula, "object"), value)


def _write_container(grammar: SchemaGrammar, formula: Formula, value: Any) -> bytes | None:
    if formula is NO:
        return None
    constants = grammar.constant_texts(formula)
    if constants is not None:
        return constants.get(value_key(value))
    formula = spell_out(grammar.compiler, formula)
    write = _write_array if isinstance(value, list) else _write_object
    return write(grammar, formula, value)


def _write_array(grammar: SchemaGrammar, formula: Formula, items: list[Any]) -> bytes | None:
    texts = []
    for index, item in enumerate(items):
        written = _write_element(grammar, formula, item, partial(item_demand, index))
        if written is None:
            return None
        text, formula = written
        texts.append(text)
    return b"[" + b",".join(texts) + b"]" if rewrite(formula, close_leaf) is not NO else None


def _write_object(grammar: SchemaGrammar, formula: Formula, members: dict[str, Any]) -> bytes | None:
    rules = grammar.members
    texts = (_write_members(grammar, rules.plan(formula), case, members) for case in rules.cases(formula))
    return next((text for text in texts if text is not None), None)


def _write_members(
    grammar: SchemaGrammar, base: ObjectPlan, case: Formula, members: dict[str, Any]
) -> bytes | None:
    rules = grammar.members
    plan, formula, index = rules.remaining(base, case, 0)
    texts = []

    def write(name: str, demand_of: Callable[[Formula], Demand]) -> Formula:
        """Write a member; return the residual formula."""
        written = _write_element(grammar, formula, members[name], demand_of)
        if written is None:
            return NO
        texts.append(json_text(name) + b":" + written[0])
        return written[1]

    pending = dict.fromkeys(members, True)
    while index < len(plan.names):  # as the grammar does, name by name
        name = plan.names[index]
        is_written, before = pending.pop(name, False), formula
        formula = write(name, partial(rules.demand, name)) if is_written else without_name(formula, name)
        plan, formula, index = rules.remaining(plan, formula, index + 1, before)
    for name in pending:
        formula, classes = rules.name_classes(formula)
        allowed = [demands for term, demands in classes if regex.matches(term, name)]
        formula = write(name, demand_in(allowed[0])) if allowed else NO
        plan, formula, index = rules.remaining(plan, formula, len(plan.names))
    return b"{" + b",".join(texts) + b"}" if rewrite(formula, close_leaf) is not NO else None


def _write_element(
    grammar: SchemaGrammar, formula: Formula, value: Any, demand_of: Callable[[Formula], Demand]
) -> tuple[bytes, Formula] | None:
    """Write an item or a member's value, and return it with the residual formula of its array or object."""
    for condition, after in value_choices(grammar.compiler, formula, demand_of):
        text = _write_value(grammar, condition, value)
        if text is not None:
            return text, after
    return None


def read_rows(path: Path, reserved: bool) -> list[dict[str, Any]]:
    """Read the rows of a .jsonl.gz file that are reserved, or that are not."""
    lines = gzip.decompress(path.read_bytes()).splitlines()
    return [json.loads(line) for line in lines if is_reserved(line) == reserved]


def load_pairs(
    folder: Path, reserved: bool, max_bytes: int = 224, files: Sequence[str] = FILES
) -> list[tuple[Any, bytes]]:
    """Return pairs of a schema and a valid instance as canonical text.

    Args:
        folder: folder of the files.
        reserved: whether to take the reserved lines or the others.
        max_bytes: longest text.
        files: names of the files, without suffixes.
    """
    rows = [row for file in files for row in read_rows(folder / f"{file}.jsonl.gz", reserved)]
    instances = [
        (row["schema"], test["data"])
        for row in rows
        for test in row["tests"]
        if test.get("valid") and "data" in test
    ]
    texts = ((schema, canonical_text(schema, value, max_bytes)) for schema, value in instances)
    return [(schema, text) for schema, text in texts if text is not None and len(text) <= max_bytes]


def canonical_text(schema: Any, value: Any, max_bytes: int) -> bytes | None:
    """Write a value as the schema's grammar does; None if it is not in the language or not a schema.

    >>> canonical_text({"properties": {"b": True, "a": True}}, {"a": 1, "b": 2}, max_bytes=64)
    b'{"b":2,"a":1}'
    """
    try:
        return serialize(SchemaGrammar(Compiler(schema), max_bytes), value)
    except (SchemaError, FillError, RecursionError):
        return None
