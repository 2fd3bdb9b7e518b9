"""Templates of JSON texts: literals that stand byte for byte, and holes of a fixed number of bytes.

>>> parts = template_parts(['{"a":', Hole(3), "}"], length=64)
>>> parts, hole_spans(parts)
((b'{"a":', 3, b'}'), ((5, 3),))

``parts`` is a template in its simplest form: literals as bytes, holes as their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from solver.kernels.lattice import Slots
from solver.tasks.canvas import Mask, Tokens
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.objects import UnplacedNames
from solver.tasks.languages.projection import BLANK, is_possible
from solver.tasks.languages.template import TemplateFilter
from solver.tasks.languages.unroll import MAX_STATES, Unrolled, unroll
from solver.tasks.text import Hole, share_room

Parts = Sequence[bytes | int]
MAX_FREE_DEPTH = 4  # values inside each other in a hole where the schema does not restrict them
NAME_ORDERS: tuple[UnplacedNames, ...] = ("among", "before", "after")


def template_parts(template: Sequence[str | Hole], length: int) -> tuple[bytes | int, ...]:
    """Encode a template. Holes without a size share the bytes that the others leave of ``length``.

    Raises:
        SchemaError: the template is empty, or a hole has a start.
        InvalidArgument: a hole has no room.
    """
    parts = [part.encode() if isinstance(part, str) else part for part in template if part != ""]
    if not parts:
        raise SchemaError("the template is empty")
    holes = [part for part in parts if isinstance(part, Hole)]
    if any(hole.start is not None for hole in holes):
        raise SchemaError("a hole in a JSON template takes no start")
    literal_bytes = sum(len(part) for part in parts if isinstance(part, bytes))
    sizes = iter(share_room([hole.size for hole in holes], length - literal_bytes, "bytes"))
    return tuple(part if isinstance(part, bytes) else next(sizes) for part in parts)


def part_size(part: bytes | int) -> int:
    """Cells of a literal or a hole."""
    return part if isinstance(part, int) else len(part)


def hole_spans(parts: Parts) -> tuple[tuple[int, int], ...]:
    """First cell and number of cells of each hole."""
    starts = accumulate(map(part_size, parts), initial=0)
    return tuple((start, part) for start, part in zip(starts, parts, strict=False) if isinstance(part, int))


def given_bytes(parts: Parts) -> tuple[Tokens, Mask]:
    """Tokens (L,) with the literals' bytes and BLANK in holes, and which cells (L,) are given."""
    tokens = [
        np.full(part, BLANK) if isinstance(part, int) else np.frombuffer(part, np.uint8) for part in parts
    ]
    pinned = [np.full(part_size(part), isinstance(part, bytes)) for part in parts]
    return np.concatenate(tokens).astype(np.int64), np.concatenate(pinned)


def hole_slots(parts: Parts) -> Slots:
    """Which cells are inside a hole, and which are the last of one."""
    _, pinned = given_bytes(parts)
    last = np.zeros(len(pinned), bool)
    last[[start + size - 1 for start, size in hole_spans(parts)]] = True
    return Slots(~pinned, last)


def names_in_template(parts: Parts) -> list[str]:
    """The member names in the literals, in order."""
    names: list[str] = []
    for part in parts:
        if isinstance(part, bytes):
            quoted = part.decode().split('"')[1:]
            names += [name for name, after in pairwise(quoted) if after.lstrip().startswith(":")]
    return list(dict.fromkeys(names))


def fit_template(compiler: Compiler, parts: Parts, cells: int) -> tuple[SchemaGrammar, Unrolled]:
    """Find an order of the names in which the schema's texts fit a template.

    Names in the literals keep their order. For all others three places are tried. Values that the schema does
    not restrict are as deep as the literals need, and otherwise as shallow as possible, which keeps the
    automaton small.

    Returns:
        The grammar and its automaton. If no order fits, an automaton that may ignore the template.
    """
    template, slots, given = TemplateFilter.from_parts(list(parts)), hole_slots(parts), given_bytes(parts)
    names = names_in_template(parts)
    for order in NAME_ORDERS:
        grammar = SchemaGrammar(compiler, cells, names, spaces=True, unplaced=order)
        for depth in range(1, MAX_FREE_DEPTH + 1):
            unrolled = unroll(grammar, cells, 4 * MAX_STATES, depth, template=template)
            if not unrolled.is_empty and is_possible(unrolled, slots, *given):
                return grammar, unrolled
            if unrolled.cut or unrolled.complete:
                break
        if unrolled.cut:
            break  # the automaton for another order would be as large
    return grammar, unroll(grammar, cells) if unrolled.is_empty else unrolled
