"""What is wrong with a source whose holes were filled, and where in the fills.

    finder = Finder(source, [(120, 134)])
    finder.find(new, [(120, 131)])      # [Fault((126, 129), "name", "undefined name 'foo'")]

``compile`` is the oracle: what it takes has no fault of rule "syntax". Where the fault is, :mod:`broken` says; the blame falls on
fills only. In a source that compiles, pyflakes looks for what would fail when run: names that are nowhere defined (rule "name"),
formats that do not fit their values (rule "format"). Nothing is executed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pyflakes import checker, messages  # type: ignore[import-untyped]  # it ships no types

from solver.tasks.code_edit.localize import NARROW, SyntaxDiagnostic, compile_error, tree_sitter_errors
from solver.tasks.code_edit.localize import (
    suspicious_spans as suspicious_spans,  # the same question where there are no holes yet
)
from solver.tasks.code_edit.positions import Lines, Span, piece_spans

NAMES = (messages.UndefinedName, messages.UndefinedLocal, messages.UndefinedExport)
DYNAMIC = re.compile(r"\bglobals\(\)(?:\.update|\.setdefault|\[)")
FORMATS = (
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


@dataclass(frozen=True)
class Diagnostic:
    """span: characters of the new source, inside of a fill, empty only where the fill is.  rule: "syntax", "name" or "format".
    outside: it shows outside of the fill, which does not do what is expected of it (a name is used that it does not bind)."""

    span: Span
    rule: str
    message: str
    outside: bool = False


@dataclass(frozen=True)
class Remark:
    """What pyflakes says of a whole source.  name: whom it is about, or "".  span: where."""

    rule: str
    name: str
    message: str
    span: Span


def compile_message(text: str) -> str | None:
    """None, or why the compiler does not take it."""
    refused = compile_error(text)
    return None if refused is None else refused.message


@lru_cache(maxsize=64)
def pyflakes_diagnostics(text: str) -> tuple[Remark, ...]:
    """Undefined names first. Of a text that compiles; where it is nested too deeply to be walked, none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            said = checker.Checker(ast.parse(text), filename="<edit>", withDoctest=False).messages
        except RecursionError:
            return ()
    lines = Lines(text)
    found = [
        Remark("name", str(one.message_args[0]), *_said(lines, one)) for one in said if isinstance(one, NAMES)
    ]
    return (*found, *(Remark("format", "", *_said(lines, one)) for one in said if isinstance(one, FORMATS)))


def _said(lines: Lines, message: messages.Message) -> tuple[str, Span]:
    at = lines.at(message.lineno, message.col)
    text = message.message % message.message_args
    name = str(message.message_args[0]) if isinstance(message, NAMES) else ""
    if name and not lines.text.startswith(name, at):  # in an f-string, before Python 3.12
        found = [match.start() for match in re.finditer(rf"\b{re.escape(name)}\b", lines.text)]
        at = min(found, key=lambda one: abs(one - at), default=at)
    return text, (at, at + len(name))


@dataclass(frozen=True)
class DiagnosticFinder:
    """Finds faults in the fills of the holes ``spans`` of ``source``. What is undefined around the holes before they are filled
    (a name that another program puts among the builtins) is undefined afterwards, too, and no fault; nor is what is ``defined``
    outside, where the source is a part of something."""

    source: str
    spans: Sequence[Span]
    defined: frozenset[str] = frozenset()

    @cached_property
    def dynamic(self) -> bool:
        """Whether the module makes names that no one can see."""
        return DYNAMIC.search(self.source) is not None

    @cached_property
    def known(self) -> frozenset[tuple[str, str]]:
        """Rule and name, or message, of what pyflakes says about the source outside of its holes."""
        if compile_error(self.source) is not None:
            return frozenset()
        return frozenset(
            _key(one)
            for one in pyflakes_diagnostics(self.source)
            if not any(_meet(one.span, hole) for hole in self.spans)
        )

    def find(self, text: str, spans: Sequence[Span], names: bool = True) -> list[Diagnostic]:
        """Of ``text``, which is the source with what stands at ``spans`` in its holes. names: whether pyflakes is asked."""
        if not spans:
            raise ValueError("without a hole, nothing can be blamed")
        refused = compile_error(text)
        if refused is not None:
            return _syntax(text, refused, spans)
        if not names:
            return []
        meant = [one for one in pyflakes_diagnostics(text) if _key(one) not in self.known]
        return [
            _blamed(text, one, spans)
            for one in meant
            if one.rule != "name" or not (self.dynamic or one.name in self.defined)
        ]


def _key(remark: Remark) -> tuple[str, str]:
    return remark.rule, remark.name or remark.message


def _meet(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _syntax(text: str, refused: SyntaxDiagnostic, spans: Sequence[Span]) -> list[Diagnostic]:
    """At the first suspect that meets a fill, or tree-sitter's shortest error that does, or else in the fill that is nearest to
    where the compiler stopped. tree-sitter goes on behind an error: a short one that meets another fill is a fault, too."""
    at = refused.span or (0, 0)
    nearest = min(spans, key=lambda one: _distance(one, at, refused.kind))
    meeting = [
        (place, span)
        for place in [*suspicious_spans(text), *tree_sitter_errors(text)]
        for span in spans
        if _meet(place, span)
    ]
    found = {span: place for place, span in meeting[:1] or [(at, nearest)]}
    for place, span in meeting:
        if place in tree_sitter_errors(text) and len(piece_spans(text[slice(*place)])) <= NARROW:
            found.setdefault(span, place)
    return [
        Diagnostic(_clipped(text, place, span), "syntax", refused.message) for span, place in found.items()
    ]


def _distance(span: Span, at: Span, kind: str) -> tuple[bool, int]:
    """What stands behind a place is seldom why the compiler stopped there; brackets are the exception."""
    return kind != "bracket" and span[0] > at[1], max(0, span[0] - at[1], at[0] - span[1])


def _clipped(text: str, place: Span, span: Span) -> Span:
    """What of a place is in a fill; where they only touch or not even that, the fill's nearest piece."""
    a, b = max(place[0], span[0]), min(place[1], span[1])
    if a < b:
        return a, b
    found = [(span[0] + a, span[0] + b) for a, b in piece_spans(text[slice(*span)])]
    return min(found, key=lambda one: max(0, one[0] - place[1], place[0] - one[1]), default=span)


def _blamed(text: str, remark: Remark, spans: Sequence[Span]) -> Diagnostic:
    """Where it is about a fill, that place in it; where it is about what stands around, the nearest fill, which does not do what
    was expected of it."""
    span = min(spans, key=lambda one: max(0, one[0] - remark.span[1], remark.span[0] - one[1]))
    inside = _meet(remark.span, span) and (remark.span[0] < span[1] or remark.span[0] == remark.span[1])
    return Diagnostic(
        _clipped(text, remark.span, span) if inside else span, remark.rule, remark.message, not inside
    )
