"""From compilers to the automaton of a canvas: that of what is proposed, or that of all texts.

>>> from solver.tasks.json_schema.validator import build_validator
>>> compile_instance(build_validator({"type": "integer"}, 2020), b"17").complete
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from solver.tasks.json_schema.candidates import field_candidates
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import (
    FillError,
    NotInText,
    SchemaTooComplex,
    TemplateMismatch,
    UnsatisfiableSchema,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.keywords import source_modes
from solver.tasks.json_schema.layout import Parts, part_size
from solver.tasks.json_schema.minimum import explain_empty, texts_near_the_shortest
from solver.tasks.json_schema.source import Source, SourceMode
from solver.tasks.json_schema.template_fit import fit_template, has_all_texts
from solver.tasks.json_schema.validator import text_errors
from solver.tasks.languages.shortest import LiteralGrammar
from solver.tasks.languages.unroll import MAX_STATES, Unrolled, unroll

MAX_QUOTED = 5 * MAX_STATES  # if values are quoted: few states of quotes can be reached in one slot
Quotes = bool | Literal["auto"]


def proposing_compilers(
    schema: Any,
    text: str,
    quotes: Quotes,
    formats: bool,
    registry: Mapping[str, Any] | None,
    draft: int | None,
) -> tuple[Compiler, ...]:
    """The compilers of the texts that are proposed: first those with values of the text, then all usual ones.

    The second one is missing if there is no text, or if fields must not be free. For the arguments see
    :meth:`~solver.tasks.json_schema.problem.JsonProblem.of`.
    """
    usual = Compiler(schema, formats, registry, draft, usual=True)
    modes = set(source_modes(schema))
    if not text.strip() or (quotes is False and "text" not in modes):
        return (usual,)
    default: SourceMode = "auto" if quotes == "auto" else "text" if quotes else "free"
    quoted = Compiler(schema, formats, registry, draft, usual=True, source=Source(text), default_mode=default)
    return (quoted,) if quotes is True or "text" in modes else (quoted, usual)


def may_be_free(proposing: Sequence[Compiler]) -> bool:
    """Whether all fields may be free of the text."""
    return proposing[-1].source is None


def missing_value(quoted: Compiler, cells: int) -> FillError:
    """The error for a schema of which no text was found whose values are all in the text."""
    pointers = (field.pointer for field in field_candidates(quoted, None) if field.is_missing)
    pointer = next(pointers, None)
    error = NotInText(pointer or "") if pointer is not None else explain_empty(quoted, cells)
    return NotInText() if isinstance(error, UnsatisfiableSchema) else error


def compile_instance(validator: Any, text: bytes) -> Unrolled:
    """The automaton of a template without holes. Raises UnsatisfiableSchema if it is not an instance."""
    try:
        messages = [message for _, message in text_errors(validator, text)]
    except (ValueError, RecursionError) as error:
        messages = [f"not JSON ({error})"]
    if messages:
        raise UnsatisfiableSchema(
            f"the template has no holes and is not valid: {' '.join(messages[0].split())[:200]}"
        )
    return unroll(LiteralGrammar(text), len(text))


def compile_usual_or_all(
    usual: Sequence[Compiler], whole: Compiler, parts: Parts
) -> tuple[Compiler, Unrolled]:
    """Compile the language of the usual texts, or that of all texts if none of the usual ones is possible.

    Only the second one can prove that there is no text.

    Args:
        usual: compilers of usual texts; the first whose language has a text that fits is used.
        whole: the compiler of all texts.
        parts: the template.

    Raises:
        UnsatisfiableSchema: it is proven that no value satisfies the schema, or that none fits the template.
        CanvasTooSmall: every text is longer than the canvas.
        TemplateMismatch: no text that fits the template was found.
        SchemaTooComplex: the state limit was reached before a text was complete.
    """
    if len(parts) > 1:
        for compiler in usual:
            with suppress(TemplateMismatch, UnsatisfiableSchema):
                return compiler, replace(compile_template(compiler, parts), complete=False)
        return whole, compile_template(whole, parts)
    cells = sum(map(part_size, parts))
    for compiler in (*usual, whole):
        grammar = SchemaGrammar(compiler, cells)
        unrolled = unroll(grammar, cells, MAX_STATES if compiler.source is None else MAX_QUOTED)
        if not unrolled.is_empty:
            # only an automaton that holds every valid text can prove that there is none
            is_exact = compiler is whole and not grammar.omits_valid_texts
            return compiler, replace(unrolled, complete=unrolled.complete and is_exact)
    error = explain_empty(whole, cells)
    if isinstance(error, SchemaTooComplex):
        # the state limit was reached before a text was complete
        for compiler in (usual[-1], whole):
            near = texts_near_the_shortest(SchemaGrammar(compiler, cells), cells)
            if near is not None:
                return compiler, replace(near, complete=False)
    raise error


def compile_template(compiler: Compiler, parts: Parts) -> Unrolled:
    """The automaton of the schema's texts that fit a template.

    Raises:
        UnsatisfiableSchema: it is proven that none fits.
        TemplateMismatch: none was found.
    """
    grammar, unrolled = fit_template(compiler, parts, sum(map(part_size, parts)))
    return replace(unrolled, complete=unrolled.complete and has_all_texts(grammar, parts))
