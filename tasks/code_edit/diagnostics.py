"""Diagnostics of a source whose holes were filled, each located in one of the fills.

>>> finder = DiagnosticFinder("x = 1\\ny = x\\n", [(10, 11)])
>>> finder.find("x = 1\\ny = foo\\n", [(10, 13)])
[Diagnostic(span=(10, 13), rule='name', message="undefined name 'foo'", name='foo', outside=False)]

The compiler decides: a source that it accepts has no diagnostic of rule "syntax". localize.py finds the
fault, and one of the fills is blamed for it. In a source that compiles, pyflakes looks for what would fail at
run time: undefined names (rule "name") and formats that do not match their values (rule "format"). Nothing is
executed.
"""

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from pyflakes import checker, messages  # type: ignore[import-untyped]  # it ships no types

from solver.tasks.code_edit.lexer import Lines, Span, character_distance, piece_spans, spans_touch
from solver.tasks.code_edit.localize import (
    MAX_ERROR_PIECES,
    SyntaxDiagnostic,
    compile_error,
    suspicious_spans,
    tree_sitter_errors,
)

NAME_MESSAGES = (messages.UndefinedName, messages.UndefinedLocal, messages.UndefinedExport)
FORMAT_MESSAGES = (
    messages.StringDotFormatExtraPositionalArguments,
    messages.StringDotFormatInvalidFormat,
    messages.StringDotFormatMissingArgument,
    messages.StringDotFormatMixingAutomatic,
    messages.PercentFormatInvalidFormat,
    messages.PercentFormatMixedPositionalAndNamed,
    messages.PercentFormatUnsupportedFormatCharacter,
    messages.PercentFormatPositionalCountMismatch,
    messages.PercentFormatExtraNamedArguments,
    messages.PercentFormatMissingArgument,
    messages.PercentFormatExpectedMapping,
    messages.PercentFormatExpectedSequence,
    messages.PercentFormatStarRequiresSequence,
)
DYNAMIC_GLOBALS = re.compile(r"\bglobals\(\)(?:\.update|\.setdefault|\[)")


@dataclass(frozen=True)
class Diagnostic:
    """A fault of a source.

    Attributes:
        span: its characters. Of a fill: inside the fill, and empty only if the fill is.
        rule: "syntax", "name", "format", or the rule of a user's check.
        message: description for a person.
        name: the undefined name, for rule "name".
        outside: the fault shows outside of the fill that is blamed for it: for example, a name is used that
            the fill should have bound.
    """

    span: Span
    rule: str
    message: str
    name: str = ""
    outside: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """Equal for the same fault at different positions."""
        return self.rule, self.name or self.message


@lru_cache(
    maxsize=64
)  # the finder of every problem of a source asks about the source with its holes unfilled
def pyflakes_diagnostics(text: str) -> tuple[Diagnostic, ...]:
    """Undefined names of a source that compiles, then wrong formats.

    None if it is nested too deeply for pyflakes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found_messages = checker.Checker(ast.parse(text), filename="<edit>", withDoctest=False).messages
        except RecursionError:
            return ()
    lines = Lines(text)
    return tuple(
        _as_diagnostic(lines, rule, message)
        for rule, classes in (("name", NAME_MESSAGES), ("format", FORMAT_MESSAGES))
        for message in found_messages
        if isinstance(message, classes)
    )


def _as_diagnostic(lines: Lines, rule: str, message: messages.Message) -> Diagnostic:
    start = lines.offset_of_byte(message.lineno, message.col)
    name = str(message.message_args[0]) if rule == "name" else ""
    if name and not lines.text.startswith(name, start):  # in an f-string, before Python 3.12
        mentions = [match.start() for match in re.finditer(rf"\b{re.escape(name)}\b", lines.text)]
        start = min(mentions, key=lambda mention: abs(mention - start), default=start)
    return Diagnostic((start, start + len(name)), rule, message.message % message.message_args, name)


@dataclass(frozen=True)
class DiagnosticFinder:
    """Finds diagnostics in the fills of a source's holes.

    A name that is undefined around the holes before they are filled (another program may put it among the
    builtins) is undefined afterwards, too, and is not reported.

    Attributes:
        source: the source before its holes are filled.
        spans: its holes.
        defined: names that are defined elsewhere, if the source is a part of a program.
    """

    source: str
    spans: Sequence[Span]
    defined: frozenset[str] = frozenset()

    @cached_property
    def has_dynamic_globals(self) -> bool:
        """Whether the module defines names in a way that no static check can see."""
        return DYNAMIC_GLOBALS.search(self.source) is not None

    @cached_property
    def known(self) -> frozenset[tuple[str, str]]:
        """Identities of the pyflakes diagnostics of the source outside of its holes."""
        if compile_error(self.source) is not None:
            return frozenset()
        return frozenset(
            diagnostic.identity
            for diagnostic in pyflakes_diagnostics(self.source)
            if not any(spans_touch(diagnostic.span, hole) for hole in self.spans)
        )

    def find(self, text: str, spans: Sequence[Span], names: bool = True) -> list[Diagnostic]:
        """The diagnostics of a filled source, each blamed on a fill.

        Args:
            text: the source with its holes filled.
            spans: the fills, in characters of ``text``.
            names: whether to report what pyflakes finds.

        Raises:
            ValueError: there is no fill to blame.
        """
        if not spans:
            raise ValueError("without a hole, nothing can be blamed")
        error = compile_error(text)
        if error is not None:
            return _blame_syntax(text, error, spans)
        if not names:
            return []
        return [
            _blame_fill(text, diagnostic, spans)
            for diagnostic in pyflakes_diagnostics(text)
            if diagnostic.identity not in self.known
            and not (diagnostic.name and (self.has_dynamic_globals or diagnostic.name in self.defined))
        ]


def _blame_syntax(text: str, error: SyntaxDiagnostic, spans: Sequence[Span]) -> list[Diagnostic]:
    """Blame the fill at the first suspicious span that touches one, or else that nearest to the compiler's stop.

    tree-sitter continues after an error: a short error of its that touches another fill is reported, too.
    """
    errors = tree_sitter_errors(text)
    touching = [
        (suspect, fill)
        for suspect in [*suspicious_spans(text), *errors]
        for fill in spans
        if spans_touch(suspect, fill)
    ]
    if touching:
        suspect, fill = touching[0]
    else:
        suspect = error.span or (0, 0)
        fill = min(spans, key=lambda span: _distance_from_stop(span, suspect, error.kind))
    blamed = {fill: suspect}
    for suspect, fill in touching:
        if suspect in errors and len(piece_spans(text[slice(*suspect)])) <= MAX_ERROR_PIECES:
            blamed.setdefault(fill, suspect)
    return [
        Diagnostic(_clip(text, suspect, fill), "syntax", error.message) for fill, suspect in blamed.items()
    ]


def _distance_from_stop(fill: Span, stop: Span, kind: str) -> tuple[bool, int]:
    """Fills after the compiler's stop come last: they are seldom its cause, except for brackets."""
    return kind != "bracket" and fill[0] > stop[1], character_distance(fill, stop)


def _clip(text: str, span: Span, fill: Span) -> Span:
    """The part of ``span`` that is inside the fill, or else the piece of the fill that is nearest to it."""
    start, end = max(span[0], fill[0]), min(span[1], fill[1])
    if start < end:
        return start, end
    pieces = [(fill[0] + first, fill[0] + last) for first, last in piece_spans(text[slice(*fill)])]
    return min(pieces, key=lambda piece: character_distance(piece, span), default=fill)


def _blame_fill(text: str, diagnostic: Diagnostic, spans: Sequence[Span]) -> Diagnostic:
    """Locate a diagnostic in the nearest fill:

    its part inside of the fill, or the whole fill if it is outside.
    """
    span = diagnostic.span
    fill = min(spans, key=lambda fill: character_distance(fill, span))
    inside = spans_touch(span, fill) and (span[0] < fill[1] or span[0] == span[1])
    return replace(diagnostic, span=_clip(text, span, fill) if inside else fill, outside=not inside)
