"""Holes cut into Python source along its syntax tree, as test and training cases. The source is the truth.

>>> source = "def f(a):\\n    b = a + 1\\n    return b * b\\n"
>>> rng = np.random.default_rng(0)
>>> for holes in sample_single_holes(source, (0, len(source)), rng):
...     print(holes.kind, [source[start:end] for start, end in holes.spans])
right ['b * b']
line ['return b * b']
>>> [holes.spans for holes in dependent_hole_cases(source, (0, len(source)))]
[((14, 15), (35, 36), (39, 40))]

*Single holes* are a condition, the arguments of a call, a right-hand side or a line. *Dependent holes* have
to agree: a variable and its uses, the parameters of a function and the arguments of a call, or an import and
its uses. ``within`` is the span of whole lines, such as a function with its decorators.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from solver.tasks.code_edit.lexer import LINE_END, Lines, Span, scan_pieces, standalone
from solver.tasks.code_edit.scopes import (
    DEFINITION,
    GAP,
    FunctionNode,
    Mention,
    ParsedSource,
    VariableScope,
    match_end,
)

SINGLE_KINDS = ("condition", "arguments", "right", "line")
DEPENDENT_KINDS = ("variable", "call", "import")
MAX_HOLES = 8  # the vocabulary has this many hole sentinels
CLASS_METHODS = frozenset(
    ["__new__", "__init_subclass__", "__class_getitem__"]
)  # whose first parameter is the class
SIMPLE_STATEMENTS = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Expr, ast.Assert, ast.Delete),
    *(ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass, ast.Break, ast.Continue),
)
PARSE_ERRORS = (SyntaxError, ValueError, RecursionError)
Assignment = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return


@dataclass(frozen=True)
class HoleSet:
    """Holes of a source.

    Attributes:
        kind: one of ``SINGLE_KINDS`` or ``DEPENDENT_KINDS``.
        source: the source.
        spans: the holes, in order, disjoint and not empty.
    """

    kind: str
    source: str
    spans: tuple[Span, ...]


def sample_single_holes(source: str, within: Span, rng: np.random.Generator) -> list[HoleSet]:
    """Draw one single hole of each kind that occurs."""
    return _sample_of_each(single_hole_cases(source, within), SINGLE_KINDS, rng)


def sample_dependent_holes(
    source: str, within: Span, rng: np.random.Generator, limit: int = MAX_HOLES
) -> list[HoleSet]:
    """Draw one set of at most ``limit`` dependent holes of each kind that occurs."""
    return _sample_of_each(dependent_hole_cases(source, within, limit), DEPENDENT_KINDS, rng)


def _sample_of_each(
    cases: Iterable[HoleSet], kinds: Sequence[str], rng: np.random.Generator
) -> list[HoleSet]:
    by_kind = defaultdict[str, list[HoleSet]](list)
    for case in cases:
        by_kind[case.kind].append(case)
    return [by_kind[kind][int(rng.integers(len(by_kind[kind])))] for kind in kinds if kind in by_kind]


def single_hole_cases(source: str, within: Span) -> list[HoleSet]:
    """All single holes that are not in an f-string; none if the lines do not parse by themselves."""
    text, head = standalone(source, within)
    try:
        parsed = ParsedSource(text, within[0] - head)
        holes = [
            (kind, span) for kind, span in _single_holes(source, parsed) if within[0] <= span[0] < span[1]
        ]
    except PARSE_ERRORS:
        return []
    return [HoleSet(kind, source, (span,)) for kind, span in holes]


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes in order, without those in f-strings, whose columns are unreliable before Python 3.12."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.JoinedStr):
            yield from _walk(child)


def _single_holes(source: str, parsed: ParsedSource) -> Iterator[tuple[str, Span]]:
    lines = parsed.lines
    for node in _walk(parsed.tree):
        match node:
            case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
                yield "condition", lines.span(node.test)
            case ast.Call():
                arguments = _argument_span(source, node, lines)
                if arguments is not None:
                    yield "arguments", arguments
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Return() if node.value is not None:
                start = _value_start(source, node, lines)
                if start is not None:
                    yield "right", (start, lines.span(node)[1])
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, SIMPLE_STATEMENTS) and not is_docstring:
            span = lines.span(node)
            if _line_content(source, span) == span:
                yield "line", span


def _argument_span(source: str, call: ast.Call, lines: Lines) -> Span | None:
    if not call.args and not call.keywords:
        return None
    start = match_end(source, r"(?:[\s\\)]|#[^\r\n]*)*\(", lines.span(call.func)[1])
    return None if start is None else (start, lines.span(call)[1] - 1)


def _value_start(source: str, node: Assignment, lines: Lines) -> int | None:
    """Where the right-hand side begins, with its brackets."""
    if isinstance(node, ast.Return):
        return match_end(source, rf"return{GAP}", lines.span(node)[0])
    if isinstance(node, ast.Assign):
        left = node.targets[-1]
    else:
        left = node.annotation if isinstance(node, ast.AnnAssign) else node.target
    return match_end(source, rf"[\s\\)]*(?:\*\*|//|<<|>>|[-+*/%@&|^])?={GAP}", lines.span(left)[1])


def _line_content(source: str, span: Span) -> Span:
    start = max(source.rfind("\n", 0, span[0]), source.rfind("\r", 0, span[0])) + 1
    line_end = LINE_END.search(source, span[0])
    text = source[start : line_end.start() if line_end else None]
    return start + len(text) - len(text.lstrip(" \t\f")), start + len(text.rstrip())


def dependent_hole_cases(source: str, within: Span, limit: int = MAX_HOLES) -> list[HoleSet]:
    """All sets of 2 to ``limit`` dependent holes.

    variable: all mentions of a local variable that is used at least twice. Parameters are an interface and
    are left out,
        as are classes, which carry their names as strings.
    call: the parameters of a function or method of the file (without ``self``) and the arguments of one of
    its calls;
        one of the two lies in ``within``.
    import: all mentions in the file of an imported name that is used in ``within``.

    Names that occur in f-strings or are seen as strings are left out. The result is empty if the file does
    not parse.
    """
    text, head = standalone(source, within)
    try:
        cases = [("variable", spans) for spans in _local_variables(ParsedSource(text, within[0] - head))]
        calls, imports = _file_wide_holes(source)
    except PARSE_ERRORS:
        return []
    cases += [("call", spans) for spans in calls if any(_contains(within, span) for span in spans)]
    cases += [("import", spans) for spans, uses in imports if any(_contains(within, span) for span in uses)]
    return [HoleSet(kind, source, spans) for kind, spans in cases if 2 <= len(spans) <= limit]


def _contains(outer: Span, inner: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


@lru_cache(maxsize=8)  # called for each of the many functions of a file
def _file_wide_holes(
    source: str,
) -> tuple[list[tuple[Span, ...]], list[tuple[tuple[Span, ...], list[Span]]]]:
    """Of a whole file:

    parameters and arguments of calls; all mentions of an import, and those that are uses.
    """
    parsed = ParsedSource(source)
    return [tuple(sorted(pair)) for pair in _call_holes(source, parsed)], list(_import_holes(parsed))


def _mention_spans(parsed: ParsedSource, scope: VariableScope, mentions: list[Mention]) -> tuple[Span, ...]:
    """The spans of all mentions of a variable; none if one of them is uncertain."""
    spans = [parsed.mention_span(mention) for mention in mentions]
    known = sorted(span for span in spans if span is not None)
    return tuple(known) if len(known) == len(spans) and not scope.opaque else ()


def _local_variables(parsed: ParsedSource) -> Iterator[tuple[Span, ...]]:
    for (scope, name), mentions in parsed.variables.items():
        roles = [mention.role for mention in mentions]
        is_special = name.startswith("__") or "parameter" in roles or "import" in roles
        is_special = is_special or any(mention.fixed for mention in mentions)
        if scope.kind in ("function", "comprehension") and not is_special and roles.count("use") >= 2:
            yield _mention_spans(parsed, scope, mentions)


def _import_holes(parsed: ParsedSource) -> Iterator[tuple[tuple[Span, ...], list[Span]]]:
    for (scope, _), mentions in parsed.variables.items():
        roles = {mention.role for mention in mentions}
        if scope.kind != "class" and {"import", "use"} <= roles <= {"import", "use", "declaration"}:
            uses = [parsed.mention_span(mention) for mention in mentions if mention.role == "use"]
            yield _mention_spans(parsed, scope, mentions), [span for span in uses if span is not None]


def _call_holes(source: str, parsed: ParsedSource) -> Iterator[tuple[Span, Span]]:
    """Parameters and arguments of calls.

    Covers functions that are defined once, without a decorator, and called by name, and methods that are
    called on the first parameter of a method of the same class.
    """
    nodes = list(_walk(parsed.tree))
    calls: dict[ast.AST, ast.Call] = {call.func: call for call in nodes if isinstance(call, ast.Call)}
    attributes: dict[ast.AST, ast.Attribute] = {
        func.value: func for func in calls if isinstance(func, ast.Attribute)
    }
    uses = dict[ast.AST, list[ast.AST]]()  # of functions and parameters that are bound once and never again
    for mentions in parsed.variables.values():
        bindings = [mention.node for mention in mentions if mention.role in ("definition", "parameter")]
        others_are_uses = all(mention.role == "use" for mention in mentions if mention.node not in bindings)
        if len(bindings) == 1 and others_are_uses:
            uses[bindings[0]] = [mention.node for mention in mentions if mention.role == "use"]

    # Functions that are called by name.
    for function in uses:
        if isinstance(function, FunctionNode) and not function.decorator_list:
            for use in uses[function]:
                yield from _parameters_and_arguments(source, parsed, function, calls.get(use), False)

    # Methods that are called on ``self``.
    for class_node in nodes:
        if not isinstance(class_node, ast.ClassDef):
            continue
        methods = [node for node in class_node.body if isinstance(node, FunctionNode)]
        counts = Counter(method.name for method in methods)
        plain = {
            method.name: method
            for method in methods
            if not method.decorator_list and method.name not in CLASS_METHODS
        }
        self_uses = [
            use
            for method in plain.values()
            for first in _first_parameter(method)
            for use in uses.get(first, [])
        ]
        for use in self_uses:
            func = attributes.get(use)
            if func is not None and counts[func.attr] == 1 and func.attr in plain:
                yield from _parameters_and_arguments(source, parsed, plain[func.attr], calls[func], True)


def _first_parameter(function: FunctionNode) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args][:1]


def _parameters_and_arguments(
    source: str, parsed: ParsedSource, function: FunctionNode, call: ast.Call | None, is_method: bool
) -> Iterator[tuple[Span, Span]]:
    """The text in the brackets of a definition (after ``self,``) and of a call, unless one of them is empty."""
    arguments = None if call is None else _argument_span(source, call, parsed.lines)
    name_start = match_end(source, DEFINITION, parsed.lines.span(function)[0])
    if arguments is None or name_start is None:
        return
    # Find the bracket that closes the parameters: the tree does not store it.
    start = source.index("(", name_start + len(function.name)) + 1
    end, depth = start, 1
    for kind, (first, last) in scan_pieces(source[start : parsed.lines.span(function.body[0])[0]]):
        piece = source[start + first : start + last]
        depth += (kind == "operator") * ((piece in "([{") - (piece in ")]}"))
        if depth == 0:
            end = start + first
            break
    for parameter in _first_parameter(function) if is_method else []:
        start = match_end(source, r"\s*,\s*", parsed.lines.span(parameter)[1]) or end
    if source[start:end].strip() and not (start < arguments[1] and arguments[0] < end):
        yield (start, end), arguments
