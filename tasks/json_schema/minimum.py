"""The shortest instance of a schema: its length for errors, and its language where the whole one is too large.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> compiler = Compiler({"type": "array", "items": {"type": "string", "minLength": 5}, "minItems": 300})
>>> explain_empty(compiler, cells=256).minimum
2401
>>> int(texts_near_the_shortest(SchemaGrammar(compiler, max_bytes=2401), cells=2401).automaton.reach[-1])
2401
"""

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import CanvasTooSmall, FillError, SchemaTooComplex, UnsatisfiableSchema
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.objects import ObjectPlan
from solver.tasks.json_schema.scalar_grammar import NO_TEXT
from solver.tasks.json_schema.strings import json_text, words_term
from solver.tasks.languages.byte_automaton import ByteAutomaton
from solver.tasks.languages.regex import Term, and_
from solver.tasks.languages.shortest import (
    LiteralGrammar,
    shortest_lengths,
    shortest_string,
    shortest_text,
)
from solver.tasks.languages.unroll import Unrolled, unroll

MAX_INSTANCE_BYTES = 1 << 14  # longest instance considered when the shortest one is searched for


class ShortestStrings(SchemaGrammar):
    """The values of a schema, with a single string and a single name wherever several are possible.

    Its shortest texts have the length of the schema's, and its strings need no automata.
    """

    def _string_rest(self, term: Term) -> ByteAutomaton | bytes:
        return self._shortest_rest(term)

    def _name_rest(self, plan: ObjectPlan, term: Term) -> ByteAutomaton | bytes:
        return self._shortest_rest(and_((term, ~words_term(plan.known))))

    def _shortest_rest(self, term: Term) -> ByteAutomaton | bytes:
        try:
            text = shortest_string(term)
        except LookupError:
            self.omits_valid_texts, text = True, None
        return NO_TEXT if text is None else json_text(text)[1:]


def explain_empty(compiler: Compiler, cells: int) -> FillError:
    """The error for a schema of which no text with at most ``cells`` bytes was found.

    Args:
        compiler: of the language of all texts.
        cells: length of the canvas.
    """
    grammar = ShortestStrings(compiler, MAX_INSTANCE_BYTES)
    lengths = shortest_lengths(grammar)
    if lengths is None or (grammar.start not in lengths and grammar.omits_valid_texts):
        return SchemaTooComplex(f"no instance of at most {cells} bytes was found within the limits on states")
    if grammar.start not in lengths:
        return UnsatisfiableSchema()
    shortest = int(lengths[grammar.start])
    if shortest <= cells:
        return SchemaTooComplex(f"the texts of {shortest} to {cells} bytes are too many to be compiled")
    # Where the validator decides, or unknown names must differ, the shortest text may be no instance.
    is_exact = not (compiler.declined or grammar.has_unknown_names)
    return CanvasTooSmall(shortest, cells, is_exact=is_exact)


def texts_near_the_shortest(grammar: SchemaGrammar, cells: int) -> Unrolled | None:
    """An automaton of the shortest texts, and of those that are up to a few bytes longer, as far as it reaches.

    None if the shortest one has more than ``cells`` bytes, or was not found.
    """
    lengths = shortest_lengths(grammar)
    if lengths is None or lengths.get(grammar.start, cells + 1) > cells:
        return None
    shortest = int(lengths[grammar.start])
    spare = cells - shortest
    for longest in sorted({spare, spare // 8, spare // 64, min(spare, 2), 0}, reverse=True):
        unrolled = unroll(grammar, shortest + longest, shortest=lengths, canvas=cells)
        if not unrolled.is_empty:
            return unrolled
    return unroll(LiteralGrammar(shortest_text(grammar, lengths)), cells)
