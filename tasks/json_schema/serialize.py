"""The canonical spelling of a value under a schema: members in the schema's order, no white space.

spell(Values(Compiler(schema), 256), {"b": 1, "a": 2})       # b'{"a":2,"b":1}', or None where the language has no such value
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

from solver.tasks.json_schema.formula import NO, Formula, leaves, of_kind, rewrite
from solver.tasks.json_schema.grammar import SchemaGrammar, close_leaf, item_subs
from solver.tasks.json_schema.numbers import number_fragment
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton


def accepts_bytes(piece: ByteAutomaton, text: bytes) -> bool:
    """Whether the whole text leads through the fragment."""
    now = {0}
    for byte in text:
        follows = (
            d
            for s, mark, d in zip(piece.src, piece.label, piece.dst, strict=True)
            if s in now and LABELS[mark] >> byte & 1
        )
        now = set(follows)
    return piece.num_states in now or bool(now & set(piece.ends))


def serialize(values: SchemaGrammar, value: Any) -> bytes | None:
    """``value`` as the grammar spells it, or None where it is not in the language."""
    start = values.start
    assert isinstance(start, tuple)
    return _value(values, start[1], value)


def _value(values: SchemaGrammar, formula: Formula, value: Any) -> bytes | None:
    if value is None or isinstance(value, bool):
        text = json.dumps(value)
        return text.encode() if of_kind(formula, text) is not NO else None
    if isinstance(value, (int, float)):
        text = json.dumps(value)
        left = of_kind(formula, "number")
        return (
            text.encode()
            if left is not NO and accepts_bytes(number_fragment(left, values.most), text.encode())
            else None
        )
    if isinstance(value, str):
        left = of_kind(formula, "string")
        if left is NO or not regex.matches(values.text(left), value):
            return None
        return json.dumps(value, ensure_ascii=False).encode()
    if isinstance(value, list):
        left = of_kind(formula, "array")
        return None if left is NO else _array(values, left, value)
    left = of_kind(formula, "object")
    return None if left is NO else _object(values, left, value)


def _array(values: SchemaGrammar, left: Formula, items: list[Any]) -> bytes | None:
    texts = []
    for at, item in enumerate(items):
        number = at
        for choice, after in values.choices(left, lambda f, number=number: item_subs(f, number)):  # type: ignore[misc]
            text = _value(values, choice, item)
            if text is not None:
                texts.append(text)
                left = after
                break
        else:
            return None
    return b"[" + b",".join(texts) + b"]" if rewrite(left, close_leaf) is not NO else None


def _object(values: SchemaGrammar, left: Formula, members: dict[str, Any]) -> bytes | None:
    plan = values.plan(left)
    rank = {name: at for at, name in enumerate(plan.names)}
    texts = []
    for name in sorted(members, key=lambda name: rank.get(name, len(rank))):
        left, subs = _subs(values, plan, left, name)
        if subs is None:
            return None
        for choice, after in values.choices(left, lambda f: subs.get(f, ())):  # noqa: B023
            text = _value(values, choice, members[name])
            if text is not None:
                texts.append(json.dumps(name, ensure_ascii=False).encode() + b":" + text)
                left = after
                break
        else:
            return None
    return b"{" + b",".join(texts) + b"}" if rewrite(left, close_leaf) is not NO else None


def _subs(
    values: SchemaGrammar, plan: Any, left: Formula, name: str
) -> tuple[Formula, dict[Formula, Hashable] | None]:
    if name in plan.names:
        return left, {f: values.member_subs(f, name) for f in leaves(left)}
    left, classes = values.classes(plan, left)
    return left, next((dict(subs) for term, subs in classes if regex.matches(term, name)), None)
