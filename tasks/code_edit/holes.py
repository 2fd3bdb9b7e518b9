"""Holes in Python source, made with the help of its tree: what is masked. The truth is the source itself.

    rng = np.random.default_rng(0)
    cuts(source, (120, 480), rng)         # one hole each: a condition, arguments, a right-hand side, a line
    dependent(source, (120, 480), rng)    # several that have to agree: a variable and its uses, a function and a call, an import

``within`` are whole lines, such as a function with its decorators. Spans are in characters of the source.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from solver.tasks.code_edit.positions import LINE, Lines, Span, scan_pieces, standalone
from solver.tasks.code_edit.scopes import DEFINED, GAP, Function, Name, Scope, Source, behind
from solver.tasks.code_edit.scopes import same_up_to_renaming as same_up_to_renaming

SINGLE_KINDS = ("condition", "arguments", "right", "line")
DEPENDENT_KINDS = ("variable", "call", "import")
MAX_HOLES = 8  # holes that a page has sentinels for
UNBOUND = frozenset(
    ["__new__", "__init_subclass__", "__class_getitem__"]
)  # whose first parameter is the class
SIMPLE = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Expr, ast.Assert, ast.Delete),
    *(ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass, ast.Break, ast.Continue),
)
UNPARSED = (SyntaxError, ValueError, RecursionError)


@dataclass(frozen=True)
class HoleSet:
    """kind: one of ``SINGLE_KINDS`` or ``DEPENDENT_KINDS``.  spans: in order, disjoint, none of them empty."""

    kind: str
    source: str
    spans: tuple[Span, ...]


def sample_single_holes(source: str, within: Span, rng: np.random.Generator) -> list[HoleSet]:
    """One of each kind that there is, drawn."""
    found = defaultdict[str, list[HoleSet]](list)
    for cut in single_hole_cases(source, within):
        found[cut.kind].append(cut)
    return [found[kind][int(rng.integers(len(found[kind])))] for kind in SINGLE_KINDS if kind in found]


def single_hole_cases(source: str, within: Span) -> list[HoleSet]:
    """All of them, none in an f-string; none where the lines do not parse by themselves."""
    text, head = standalone(source, within)
    try:
        read = Source(text, within[0] - head)
        found = [(kind, span) for kind, span in _single(source, read) if within[0] <= span[0] < span[1]]
    except UNPARSED:
        return []
    return [HoleSet(kind, source, (span,)) for kind, span in found]


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """In order, without what is in f-strings, whose columns mean little before Python 3.12."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.JoinedStr):
            yield from _nodes(child)


def _single(source: str, read: Source) -> Iterator[tuple[str, Span]]:
    lines = read.lines
    for node in _nodes(read.tree):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield "condition", lines.span(node.test)
        elif isinstance(node, ast.Call) and (node.args or node.keywords):
            span = _given(source, node, lines)
            yield from [] if span is None else [("arguments", span)]
        elif (
            isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return)
            and node.value is not None
        ):
            start = _value(source, node, lines)
            yield from [] if start is None else [("right", (start, lines.span(node)[1]))]
        if isinstance(node, SIMPLE) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            yield from [("line", span) for span in [lines.span(node)] if _line(source, span) == span]


def _given(source: str, call: ast.Call, lines: Lines) -> Span | None:
    """What is between the brackets of a call, if anything is."""
    start = (
        behind(source, r"(?:[\s\\)]|#[^\r\n]*)*\(", lines.span(call.func)[1])
        if call.args or call.keywords
        else None
    )
    return None if start is None else (start, lines.span(call)[1] - 1)


def _value(
    source: str, node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return, lines: Lines
) -> int | None:
    """Where the right-hand side begins, its brackets included."""
    if isinstance(node, ast.Return):
        return behind(source, rf"return{GAP}", lines.span(node)[0])
    if isinstance(node, ast.Assign):
        left = node.targets[-1]
    else:
        left = node.annotation if isinstance(node, ast.AnnAssign) else node.target
    return behind(source, rf"[\s\\)]*(?:\*\*|//|<<|>>|[-+*/%@&|^])?={GAP}", lines.span(left)[1])


def _line(source: str, span: Span) -> Span:
    """What there is in the line, or lines, of a span, without indentation and end."""
    a = max(source.rfind("\n", 0, span[0]), source.rfind("\r", 0, span[0])) + 1
    end = LINE.search(source, span[0])
    text = source[a : end.start() if end else None]
    return a + len(text) - len(text.lstrip(" \t\f")), a + len(text.rstrip())


def sample_dependent_holes(
    source: str, within: Span, rng: np.random.Generator, most: int = MAX_HOLES
) -> list[HoleSet]:
    """One of each kind that there is, drawn, of at most ``most`` holes."""
    found = defaultdict[str, list[HoleSet]](list)
    for cut in dependent_hole_cases(source, within, most):
        found[cut.kind].append(cut)
    return [found[kind][int(rng.integers(len(found[kind])))] for kind in DEPENDENT_KINDS if kind in found]


def dependent_hole_cases(source: str, within: Span, most: int = MAX_HOLES) -> list[HoleSet]:
    """All of them, from 2 holes on. variable: a local variable that is used at least twice, wherever its name
    stands (parameters are an interface, and left out; so are classes, which carry their names as strings).
    import: an imported name, wherever in the file it stands, used in ``within``.  call: what a function or
    method of the file takes (``self`` aside), and what a call gives it, one of the two in ``within``. None where
    the file does not parse; none of those names that stand in an f-string or are asked for by strings."""
    text, head = standalone(source, within)
    try:
        found = [("variable", spans) for spans in _local(Source(text, within[0] - head))]
        calls, imports = _across(source)
    except UNPARSED:
        return []
    found += [("call", spans) for spans in calls if any(_within(span, within) for span in spans)]
    found += [("import", spans) for spans, used in imports if any(_within(span, within) for span in used)]
    return [HoleSet(kind, source, spans) for kind, spans in found if 2 <= len(spans) <= most]


def _within(span: Span, within: Span) -> bool:
    return within[0] <= span[0] and span[1] <= within[1]


@lru_cache(maxsize=8)  # one file has many functions
def _across(source: str) -> tuple[list[tuple[Span, ...]], list[tuple[tuple[Span, ...], list[Span]]]]:
    """Of a whole file: the parameters and arguments of calls; all mentions of an import, and which of them are uses."""
    read = Source(source)
    return [tuple(sorted(pair)) for pair in _calls(source, read)], list(_imported(read))


def _places(read: Source, scope: Scope, names: list[Name]) -> tuple[Span, ...]:
    """Of all mentions of a variable; empty where one of them is not known."""
    found = [read.place(one) for one in names]
    known = sorted(span for span in found if span is not None)
    return tuple(known) if len(known) == len(found) and not scope.opaque else ()


def _local(read: Source) -> Iterator[tuple[Span, ...]]:
    for (scope, name), names in read.variables.items():
        roles = [one.role for one in names]
        special = name.startswith("__") or "parameter" in roles or "import" in roles
        special = special or any(one.fixed for one in names)
        if scope.kind in ("function", "comprehension") and not special and roles.count("use") >= 2:
            yield _places(read, scope, names)


def _imported(read: Source) -> Iterator[tuple[tuple[Span, ...], list[Span]]]:
    for (scope, _), names in read.variables.items():
        roles = {one.role for one in names}
        if scope.kind != "class" and {"import", "use"} <= roles <= {"import", "use", "declaration"}:
            used = [read.place(one) for one in names if one.role == "use"]
            yield _places(read, scope, names), [span for span in used if span is not None]


def _calls(source: str, read: Source) -> Iterator[tuple[Span, Span]]:
    """Of functions that are defined once, under no decorator, and called by their name; of methods that are called on the first
    parameter of another one."""
    nodes = list(_nodes(read.tree))
    calls = {call.func: call for call in nodes if isinstance(call, ast.Call)}
    methods = {
        one.value: one for one in calls if isinstance(one, ast.Attribute)
    }  # by what they are called on
    uses = dict[ast.AST, list[ast.AST]]()  # of what is defined, or taken, once and never bound again
    for names in read.variables.values():
        first = [one.node for one in names if one.role in ("definition", "parameter")]
        if len(first) == 1 and all(one.role == "use" for one in names if one.node is not first[0]):
            uses[first[0]] = [one.node for one in names if one.role == "use"]
    for function in uses:
        if isinstance(function, Function) and not function.decorator_list:
            for use in uses[function]:
                yield from _pair(source, read, function, calls.get(use), False)  # type: ignore[call-overload]  # not every key
    for own in [
        [inner for inner in one.body if isinstance(inner, Function)]
        for one in nodes
        if isinstance(one, ast.ClassDef)
    ]:
        plain = {inner.name: inner for inner in own if not inner.decorator_list and inner.name not in UNBOUND}
        named = Counter(inner.name for inner in own)
        for use in [
            use for inner in plain.values() for first in _first(inner) for use in uses.get(first, [])
        ]:
            called = methods.get(use)  # type: ignore[call-overload]  # not every key
            if called is not None and named[called.attr] == 1 and called.attr in plain:
                yield from _pair(source, read, plain[called.attr], calls[called], True)


def _first(function: Function) -> list[ast.arg]:
    """The first parameter that is given by its place, if there is one."""
    return [*function.args.posonlyargs, *function.args.args][:1]


def _pair(
    source: str, read: Source, function: Function, call: ast.Call | None, method: bool
) -> Iterator[tuple[Span, Span]]:
    """What is between the brackets of a definition (behind ``self,``) and of a call; nothing where one of them is empty."""
    given = None if call is None else _given(source, call, read.lines)
    name = behind(source, DEFINED, read.lines.span(function)[0])
    if given is None or name is None:
        return
    start = source.index("(", name + len(function.name)) + 1
    end, depth = start, 1
    for kind, (a, b) in scan_pieces(source[start : read.lines.span(function.body[0])[0]]):
        piece = source[start + a : start + b]
        depth += (kind == "operator") * ((piece in "([{") - (piece in ")]}"))
        if depth == 0:
            end = start + a
            break
    for first in _first(function) if method else []:
        start = behind(source, r"\s*,\s*", read.lines.span(first)[1]) or end
    if source[start:end].strip() and not (start < given[1] and given[0] < end):
        yield (start, end), given
