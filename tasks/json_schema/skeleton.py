"""Reads the literals of a JSON template: the order of names in each object, and strings with other escapes.

>>> from solver.tasks.languages.template import TemplateFilter
>>> filter_ = TemplateFilter.from_parts([b'[{"b":1,"a":', 4, b'},{"a":"\\\\u0041","c":', 4, b"}]"])
>>> skeleton = read_skeleton(filter_)
>>> [order.names for order in skeleton.orders], skeleton.strings[0].value
([('b', 'a', 'c')], 'A')

The grammar writes the members of an object in one order. In a template that order is read from the literals, for
each object by itself: objects whose orders agree share one, so that a text has one derivation. A hole is taken to
be a part of a string, or values and members that are complete.
"""

import json
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from solver.tasks.json_schema.strings import json_text
from solver.tasks.languages.template import TemplateFilter

ANYWHERE = -1  # all positions of a template
HOLE = -1  # the byte of a hole
HOLE_MARK = "\x00"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
QUOTE, BACKSLASH, COLON = b'"\\:'
BRACE = ord("{")
OPENING, CLOSING, SPACES, AFTER_STRING = map(frozenset, (b"{[", b"}]", b" \t\n\r", b":,}]"))


class Spelling(NamedTuple):
    """A string of a template that is not written as the grammar writes it.

    Attributes:
        text: the string in the template, with its quotes.
        value: its value.
        where: the position at which it begins, as a bit set.
    """

    text: bytes
    value: str
    where: int


@dataclass(frozen=True)
class NameOrder:
    """An order of names, for some objects of a template.

    Attributes:
        names: the names in their order.
        objects: the names of each of the objects.
        where: the positions at which the objects begin, as a bit set.
        respelled: names with other escapes, which are written in this order even if the schema does not have them.
    """

    names: tuple[str, ...] = ()
    objects: tuple[tuple[str, ...], ...] = ()
    where: int = ANYWHERE
    respelled: frozenset[str] = frozenset()

    def placed(self, known: Container[str]) -> list[str]:
        """The names that an object with the ``known`` names has in this order.

        Others are among them only if they precede a known one: all unknown names are written last.
        """
        needed = set(self.respelled)
        for names in self.objects:
            last = max((index for index, name in enumerate(names) if name in known), default=-1)
            needed.update(names[: last + 1])
        return [name for name in self.names if name in needed]


@dataclass(frozen=True)
class Skeleton:
    """The literals of a template.

    Attributes:
        orders: orders of names that contradict each other. The first one is also that of objects in holes.
        names: member names with other escapes.
        strings: values with other escapes.
        values: all strings and numbers, names included.
    """

    orders: tuple[NameOrder, ...] = (NameOrder(),)
    names: tuple[Spelling, ...] = ()
    strings: tuple[Spelling, ...] = ()
    values: frozenset[str | Decimal] = frozenset()


NO_SKELETON = Skeleton()


class _Object(NamedTuple):
    """An open object: the position at which it begins, and its names so far."""

    where: int
    names: list[str]


def read_skeleton(template: TemplateFilter) -> Skeleton:
    """Read the objects and strings of a template."""
    cells = template.bytes
    outside = _Object(template.holes, [])  # members of an object that begins in a hole
    objects, stack = [outside], list[_Object | None]()  # None: an array
    names, strings = list[Spelling](), list[Spelling]()
    values = set[str | Decimal](literal_numbers(cells))
    position = 0
    while position < len(cells):
        byte = cells[position]
        end = string_end(cells, position) if byte == QUOTE else None
        if end is not None:
            spelling = read_string(cells[position:end], position)
            is_name = next((cell for cell in cells[end:] if cell not in SPACES), None) == COLON
            if spelling is not None:
                values.add(spelling.value)
                if is_name:
                    (next(iter(stack[-1:]), None) or outside).names.append(spelling.value)
                if spelling.text != json_text(spelling.value):
                    (names if is_name else strings).append(spelling)
            position = end
            continue
        if byte in OPENING:
            stack.append(_Object(1 << position, []) if byte == BRACE else None)
            objects += [opened for opened in stack[-1:] if opened is not None]
        elif byte in CLOSING and stack:
            stack.pop()
        position += 1
    respelled = frozenset(spelling.value for spelling in names)
    return Skeleton(
        tuple(agreeing_orders(objects, respelled)), tuple(names), tuple(strings), frozenset(values)
    )


def literal_numbers(cells: Sequence[int]) -> Iterator[Decimal]:
    """The numbers in literals, those in strings included."""
    text = "".join(chr(cell) if cell != HOLE else HOLE_MARK for cell in cells)
    for match in NUMBER.finditer(text):
        if HOLE_MARK not in (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]):
            yield Decimal(match[0])


def string_end(cells: Sequence[int], start: int) -> int | None:
    """The position after the string that begins at ``start``; None if a hole seems to hold its closing quote."""
    position = start + 1
    while position < len(cells) and cells[position] != QUOTE:
        position += 2 if cells[position] == BACKSLASH else 1
    following = next((cell for cell in cells[position + 1 :] if cell not in SPACES), HOLE)
    is_string = position < len(cells) and (following == HOLE or following in AFTER_STRING)
    return position + 1 if is_string else None


def read_string(cells: Sequence[int], position: int) -> Spelling | None:
    """The string that the cells spell, None if it has a hole or is malformed."""
    if HOLE in cells:
        return None
    text = bytes(cells)
    try:
        value = json.loads(text)
        value.encode()
    except ValueError:
        return None
    return Spelling(text, value, 1 << position)


def agreeing_orders(objects: Sequence[_Object], respelled: frozenset[str]) -> list[NameOrder]:
    """Merge the orders of names that do not contradict each other."""
    orders = [NameOrder(respelled=respelled)]
    for where, names in objects:
        distinct = tuple(dict.fromkeys(names))
        for index, order in enumerate(orders):
            merged = merge_two(order.names, distinct)
            if merged is not None:
                objects_so_far = tuple(dict.fromkeys([*order.objects, distinct]))
                orders[index] = NameOrder(merged, objects_so_far, order.where | where, respelled)
                break
        else:
            orders.append(NameOrder(distinct, (distinct,), where, respelled))
    elsewhere = ANYWHERE
    for order in orders[1:]:
        elsewhere &= ~order.where
    first = orders[0]
    return [NameOrder(first.names, first.objects, elsewhere, respelled), *orders[1:]]


def merge_two(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...] | None:
    """Merge two lists of distinct names into one in which both keep their order; None if that is impossible.

    >>> merge_two("abd", "bcd"), merge_two("ab", "ba")
    (('a', 'b', 'c', 'd'), None)
    """
    rank = {name: index for index, name in enumerate(first)}
    shared = [rank[name] for name in second if name in rank]
    if shared != sorted(shared):
        return None
    merged, done = list[str](), 0
    for name in second:
        if name in rank:
            merged += first[done : rank[name]]
            done = rank[name] + 1
        merged.append(name)
    return (*merged, *first[done:])
