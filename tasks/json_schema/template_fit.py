"""The automaton of a schema's texts that fit a template.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
>>> grammar, unrolled = fit_template(Compiler(schema), (b'{"a":', 3, b"}"), cells=9)
>>> unrolled.is_empty
False
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import SchemaTooComplex, TemplateMismatch, UnsatisfiableSchema
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import Parts, given_bytes, hole_slots
from solver.tasks.json_schema.members import UnplacedNames
from solver.tasks.json_schema.skeleton import read_skeleton
from solver.tasks.languages.projection import has_few_pairs, is_possible
from solver.tasks.languages.template import TemplateFilter
from solver.tasks.languages.unroll import MAX_STATES, USUAL_PAIRS, Unrolled, unroll

MAX_FREE_DEPTH = 4  # values inside each other in a hole where the schema does not restrict them
TEMPLATE_STATES = (MAX_STATES, 4 * MAX_STATES)  # each limit only if nothing fits within the one before
NAME_ORDERS: tuple[UnplacedNames, ...] = ("among", "before", "after")


def fit_template(compiler: Compiler, parts: Parts, cells: int) -> tuple[SchemaGrammar, Unrolled]:
    """Compile the schema's texts that fit a template.

    The names of an object have the order of the literals. For names that are in no literal three places are
    tried. Values that the schema does not restrict are as deep as the literals need, and otherwise as shallow
    as possible, which keeps the automaton small.

    Returns:
        The grammar and its automaton.

    Raises:
        UnsatisfiableSchema: it is proven that no value fits.
        TemplateMismatch: no text that fits was found.
        SchemaTooComplex: those that may fit need more memory than the lattice may take.
    """
    template, slots, given = TemplateFilter.from_parts(list(parts)), hole_slots(parts), given_bytes(parts)
    skeleton, furthest, complete = read_skeleton(template), 0, True
    is_too_large, usual = False, USUAL_PAIRS // cells
    limits = [usual for _ in range(usual < MAX_STATES)] + [*TEMPLATE_STATES]
    for max_states, order in product(limits, NAME_ORDERS):
        grammar = SchemaGrammar(compiler, cells, skeleton, spaces=True, unplaced=order)
        for depth in range(1, MAX_FREE_DEPTH + 1):
            # If the lattice would be too large, only shorter texts are possible.
            for longest in (cells, *(cells * part // 8 for part in (6, 4, 2, 1))):
                unrolled = unroll(grammar, longest, max_states, depth, template=template)
                is_small = unrolled.is_empty or has_few_pairs(unrolled, slots, *given)
                if is_small:
                    break
                is_too_large = True
            if longest < cells:
                unrolled = replace(unrolled, complete=False)
            if is_small and not unrolled.is_empty and is_possible(unrolled, slots, *given):
                return grammar, unrolled
            furthest = max(furthest, template.end if not unrolled.is_empty else unrolled.reached)
            if unrolled.cut or unrolled.complete:
                break
        complete = unrolled.complete and (complete or order == NAME_ORDERS[0])  # for all orders of a limit
        if not unrolled.cut and order == NAME_ORDERS[-1]:
            break  # with more states they would be the same
    if is_too_large:
        raise SchemaTooComplex("the texts that fit the template are too many to be compiled")
    before, after = template.split(furthest)
    if complete and has_all_texts(grammar, parts):
        place = f": it has nothing for {after[:40]!r} after {before[-40:]!r}" if before or after else ""
        raise UnsatisfiableSchema(f"no value of this schema fits the template (proven){place}")
    raise TemplateMismatch(before, after)


def has_all_texts(grammar: SchemaGrammar, parts: Parts) -> bool:
    """Whether the grammar's language has every valid text that may fit a template of these ``parts``.

    The grammar writes names in one order and without escapes, where a template may do otherwise.
    """
    return not (grammar.omits_valid_texts or grammar.has_order or may_have_escapes(parts))


# What may stand after a backslash, or after the first digits of \u0041.
ESCAPED = frozenset(b'"\\/bfnrtu0123456789abcdefABCDEF')


def may_have_escapes(parts: Parts) -> bool:
    """Whether a text of the template may have an escape of which a literal has a part."""
    for index, part in enumerate(parts):
        if isinstance(part, int):
            continue
        following = (later for later in parts[index + 1 :] if isinstance(later, int) or b'"' in later)
        is_last_quote = part[:1] == b'"' and part.count(b'"') == 1 and next(following, None) is None
        after_hole = index > 0 and isinstance(parts[index - 1], int)
        if b"\\" in part or (after_hole and part[0] in ESCAPED and not is_last_quote):
            return True
    return False
