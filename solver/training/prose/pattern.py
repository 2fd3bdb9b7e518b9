"""Sentence templates with alternatives and mentions of roles.

``[a|b]`` is one of several texts (which may be empty and may be nested). ``{due}`` mentions the role *due*.
``{paid+was paid}`` and ``{paid-is open}`` are words that make a boolean true or false, and
``{state=sent:on its way}`` words that mean one option of an enumeration.

>>> from random import Random
>>> [*map(tuple, expand(Random(0), "[Dear|Hello] {name}: {paid+was paid}."))]
[('', 'Hello', ''), ('', ' ', ''), ('name', '', ''), ('', ': ', ''), ('paid', 'was paid', 'true'), ('', '.', '')]
"""

from __future__ import annotations

import re
from functools import cache
from random import Random
from typing import NamedTuple

MARKS = re.compile(r"[\[\]|]|\{[^{}]*\}")


class SentencePart(NamedTuple):
    """A part of a sentence: a literal text, or a role.

    Attributes:
        role: name of the role; empty for a literal.
        text: the literal, or words that a role's option is expressed by; empty for a role with a value of
        its own. option: the value that ``text`` expresses; empty for none.
    """

    role: str
    text: str
    option: str = ""


class Alternatives(NamedTuple):
    """One of several sequences."""

    sequences: tuple[tuple[SentencePart | Alternatives, ...], ...]


Sequence = tuple[SentencePart | Alternatives, ...]


def read_mention(inner: str) -> SentencePart:
    """The mention that is written between braces."""
    if match := re.fullmatch(r"(\w+)([+-])(.+)", inner):
        return SentencePart(match[1], match[3], "true" if match[2] == "+" else "false")
    if match := re.fullmatch(r"(\w+)=([^:]+)(?::(.+))?", inner):
        return SentencePart(match[1], match[3] or match[2], match[2])
    if not re.fullmatch(r"\w+", inner):
        raise ValueError(f"no mention of a role: {inner!r}")
    return SentencePart(inner, "")


@cache
def parse_template(template: str) -> Sequence:
    """The sequence that a template means.

    Raises:
        ValueError: brackets that do not match, or a malformed mention.
    """
    stack: list[list[list[SentencePart | Alternatives]]] = [[[]]]
    position = 0
    for mark in MARKS.finditer(template):
        if mark.start() > position:
            stack[-1][-1].append(SentencePart("", template[position : mark.start()]))
        position = mark.end()
        match mark[0]:
            case "[":
                stack.append([[]])
            case "|" if len(stack) > 1:
                stack[-1].append([])
            case "]" if len(stack) > 1:
                closed = Alternatives(tuple(tuple(sequence) for sequence in stack.pop()))
                stack[-1][-1].append(closed)
            case mention if mention.startswith("{"):
                stack[-1][-1].append(read_mention(mention[1:-1]))
            case literal:
                stack[-1][-1].append(SentencePart("", literal))
    if len(stack) > 1:
        raise ValueError(f"a bracket is not closed: {template!r}")
    if position < len(template):
        stack[-1][-1].append(SentencePart("", template[position:]))
    return tuple(stack[0][0])


def expand(rng: Random, template: str) -> list[SentencePart]:
    """The literals and mentions of a template, with its alternatives drawn."""
    result = list[SentencePart]()
    stack = list(reversed(parse_template(template)))
    while stack:
        node = stack.pop()
        if isinstance(node, Alternatives):
            stack.extend(reversed(rng.choice(node.sequences)))
        else:
            result.append(node)
    return result


@cache
def roles_of(template: str) -> frozenset[str]:
    """Names of the roles that a template may mention."""

    def visit(sequence: Sequence) -> set[str]:
        names = set[str]()
        for node in sequence:
            if isinstance(node, Alternatives):
                names.update(*map(visit, node.sequences))
            elif node.role:
                names.add(node.role)
        return names

    return frozenset(visit(parse_template(template)))


def phrase(rng: Random, template: str) -> str:
    """A text from a template without mentions."""
    return "".join(node.text for node in expand(rng, template))
