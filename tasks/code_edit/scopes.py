"""Scopes of a Python source: which names mean the same variable, and where each of them is written.

>>> source = ParsedSource("def f(a):\\n    b = a\\n    return b * b\\n")
>>> {name: [source.mention_span(mention) for mention in mentions]
...  for (_, name), mentions in source.variables.items()}
{'f': [(4, 5)], 'a': [(6, 7), (18, 19)], 'b': [(14, 15), (31, 32), (35, 36)]}

The rules are Python's own: functions, lambdas and comprehensions are scopes that enclosed scopes see; classes
are scopes that only their own statements see; ``global`` and ``nonlocal`` name an outer scope; the first
iterable of a comprehension belongs to the scope outside.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from solver.tasks.code_edit.lexer import Lines, Span

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
ScopeKind = Literal["module", "class", "function", "comprehension"]
Role = Literal["use", "binding", "definition", "parameter", "import", "declaration"]
OPAQUE_FUNCTIONS = frozenset(["locals", "vars", "eval", "exec", "dir"])  # these see names as strings
GAP = r"[\s\\]*"  # between two words of a statement
DEFINITION = rf"(?:async{GAP})?(?:def|class){GAP}"


@dataclass(eq=False)
class VariableScope:
    """A scope and the names that it binds.

    Attributes:
        kind: what makes the scope.
        parent: the scope around it, None for the module.
        bound: names bound in it.
        global_names, nonlocal_names: names that it declares.
        opaque: whether it contains a call that sees names as strings.
    """

    kind: ScopeKind
    parent: VariableScope | None
    bound: set[str] = field(default_factory=set)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    opaque: bool = False

    def owner(self, name: str) -> VariableScope:
        """The scope of the variable that a name means here; the module's if nothing binds it."""
        scope = self
        while scope.parent is not None and name not in scope.global_names:
            if name in scope.bound and name not in scope.nonlocal_names:
                return scope
            scope = scope.parent
            while scope.kind == "class" and scope.parent is not None:
                scope = scope.parent
        while scope.parent is not None:
            scope = scope.parent
        return scope


@dataclass(frozen=True, eq=False)
class Mention:
    """One mention of a variable.

    Attributes:
        name: the name.
        node, attribute, index: where the tree stores it; index -1 if the attribute is no list.
        scope: the scope that contains it.
        role: how the variable is mentioned.
        quoted: whether it is in an f-string, whose columns are unreliable before Python 3.12.
        fixed: whether code outside of the scope may rely on the name: a parameter that may be given by
            keyword, a module, or a class, whose instances show it.
    """

    name: str
    node: ast.AST
    attribute: str
    index: int
    scope: VariableScope
    role: Role
    quoted: bool
    fixed: bool

    def rename(self, new: str) -> None:
        """Rename it in the tree."""
        if self.index < 0:
            setattr(self.node, self.attribute, new)
        else:
            getattr(self.node, self.attribute)[self.index] = new


Variable = tuple[VariableScope, str]


class _MentionCollector(ast.NodeVisitor):
    """Collects mentions in an order that depends on the shape of the tree alone."""

    def __init__(self) -> None:
        self.mentions, self.scope, self.quoted = list[Mention](), VariableScope("module", None), False

    @contextmanager
    def _nested(self, kind: ScopeKind) -> Iterator[None]:
        outer, self.scope = self.scope, VariableScope(kind, self.scope)
        yield
        self.scope = outer

    def _add(
        self, name: str, node: ast.AST, attribute: str, role: Role, index: int = -1, fixed: bool = False
    ) -> None:
        if role not in ("use", "declaration"):
            self.scope.bound.add(name)
        self.mentions.append(Mention(name, node, attribute, index, self.scope, role, self.quoted, fixed))

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._add(node.id, node, "id", "use" if isinstance(node.ctx, ast.Load) else "binding")
        scope: VariableScope | None = self.scope if node.id in OPAQUE_FUNCTIONS else None
        while scope is not None:
            scope.opaque, scope = True, scope.parent

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        home = self.scope
        while home.kind == "comprehension" and home.parent is not None:
            home = home.parent
        home.bound.add(node.target.id)
        self.mentions.append(
            Mention(node.target.id, node.target, "id", -1, self.scope, "binding", self.quoted, False)
        )

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        self._visit_all([node.value])
        if isinstance(node.target, ast.Name) and not node.simple and node.value is None:
            self._add(node.target.id, node.target, "id", "use")  # ``(x): int`` binds nothing
        else:
            self.visit(node.target)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        outer, self.quoted = self.quoted, True
        self.generic_visit(node)
        self.quoted = outer

    def _function(self, node: FunctionNode) -> None:
        self._refuse_type_parameters(node)
        self._add(node.name, node, "name", "definition")
        self._visit_all([*node.decorator_list, node.returns])
        self._parameters(node.args, node.body, True)

    # NodeVisitor calls methods by these names.
    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._parameters(node.args, [node.body], False)

    def _parameters(self, args: ast.arguments, body: Iterable[ast.AST], by_keyword: bool) -> None:
        keyword_parameters = [*args.args, *args.kwonlyargs]
        hidden_parameters = [*args.posonlyargs, args.vararg, args.kwarg]
        parameters = [arg for arg in [*keyword_parameters, *hidden_parameters] if arg is not None]
        self._visit_all([*args.defaults, *args.kw_defaults, *(arg.annotation for arg in parameters)])
        with self._nested("function"):
            for arg in parameters:
                self._add(arg.arg, arg, "arg", "parameter", fixed=by_keyword and arg in keyword_parameters)
            self._visit_all(body)

    def _refuse_type_parameters(self, node: ast.AST) -> None:
        if getattr(node, "type_params", None) or type(node).__name__ == "TypeAlias":
            raise SyntaxError("type parameters make scopes that are not known here")

    visit_TypeAlias = _refuse_type_parameters  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._refuse_type_parameters(node)
        self._add(node.name, node, "name", "definition", fixed=True)
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        with self._nested("class"):
            self._visit_all(node.body)

    def _comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        with self._nested("comprehension"):
            for index, clause in enumerate(node.generators):
                self._visit_all([clause.target, *([clause.iter] if index else []), *clause.ifs])
            self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.asname:
                self._add(alias.asname, alias, "asname", "import")
            elif alias.name != "*":
                self._add(alias.name.split(".")[0], alias, "name", "import", fixed=True)

    visit_Import = visit_ImportFrom = _import  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._visit_all([node.type])
        self._add_binding(node, "name", node.name)
        self._visit_all(node.body)

    def _add_binding(self, node: ast.AST, attribute: str, name: str | None) -> None:
        if name is not None:
            self._add(name, node, attribute, "binding")

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._visit_all([node.pattern])
        self._add_binding(node, "name", node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._add_binding(node, "name", node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._visit_all([*node.keys, *node.patterns])
        self._add_binding(node, "rest", node.rest)

    def _declaration(self, node: ast.Global | ast.Nonlocal) -> None:
        is_global = isinstance(node, ast.Global)
        (self.scope.global_names if is_global else self.scope.nonlocal_names).update(node.names)
        for index, name in enumerate(node.names):
            self._add(name, node, "names", "declaration", index)

    visit_Global = visit_Nonlocal = _declaration  # noqa: N815


def parse_source(text: str) -> ast.Module:
    """Parse without warnings.

    Raises SyntaxError, ValueError for a NUL, RecursionError for too deep a nesting.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


class ParsedSource:
    """A source, its syntax tree and its variables.

    Args:
        text: the source.
        base: added to all characters that are returned.

    Raises:
        SyntaxError, ValueError, RecursionError: the source does not parse.
    """

    def __init__(self, text: str, base: int = 0) -> None:
        self.text, self.tree, self.lines = text, parse_source(text), Lines(text, base)

    @cached_property
    def variables(self) -> dict[Variable, list[Mention]]:
        """All mentions of each variable, in the order of the tree. Raises SyntaxError for type parameters."""
        collector = _MentionCollector()
        collector.visit(self.tree)
        variables = defaultdict[Variable, list[Mention]](list)
        for mention in collector.mentions:
            variables[mention.scope.owner(mention.name), mention.name].append(mention)
        return dict(variables)

    def mention_span(self, mention: Mention) -> Span | None:
        """Where a mention is written, or None where that is uncertain.

        It is in f-strings, for private names, which are mangled, and where an identifier is not spelled as
        Python reads it.
        """
        node, name = mention.node, mention.name
        if mention.quoted or (name.startswith("__") and not name.endswith("__")):
            return None
        assert isinstance(node, ast.expr | ast.stmt | ast.arg | ast.alias | ast.excepthandler | ast.pattern)
        start, end = self.lines.span(node)
        text = self.text[start - self.lines.base : end - self.lines.base]
        offset: int | None
        if isinstance(node, ast.Name | ast.arg) or (
            isinstance(node, ast.alias) and mention.attribute == "name"
        ):
            offset = 0
        elif isinstance(node, ast.alias | ast.MatchAs | ast.MatchStar):
            offset = len(text) - len(name)
        elif isinstance(node, ast.ExceptHandler):
            type_end = self.lines.span(node.type)[1] - start if node.type else 0
            offset = match_end(text, rf"[\s\\)]*as{GAP}", type_end)
        elif isinstance(node, FunctionNode | ast.ClassDef):
            offset = match_end(text, DEFINITION, 0)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            offset = [match.start() for match in re.finditer(r"\w+", text)][mention.index + 1]
        else:
            offset = text.rfind(name)  # after the stars of a MatchMapping
        if offset is None or text[offset : offset + len(name)] != name:
            return None
        return start + offset, start + offset + len(name)


def match_end(text: str, pattern: str, start: int) -> int | None:
    """The end of a pattern that matches at ``start``, or None if it does not match."""
    match = re.compile(pattern).match(text, start)
    return match.end() if match else None


def same_up_to_renaming(first: str, second: str) -> bool:
    """Whether two sources parse to trees that differ only in the names of local variables, one to one.

    Not local are names that code outside may rely on: parameters that a caller may name, modules and what is
    imported from them, and classes. In a function that sees its variables as strings (``locals``, ``eval``,
    ...), none is.
    """
    try:
        return _anonymised_dump(first) == _anonymised_dump(second)
    except (SyntaxError, ValueError, RecursionError):
        return False


def _anonymised_dump(text: str) -> str:
    source, number = ParsedSource(text), 0
    for (scope, name), mentions in source.variables.items():
        is_special = name.startswith("__") and name.endswith("__")
        is_fixed = scope.opaque or is_special or any(mention.fixed for mention in mentions)
        if scope.kind in ("function", "comprehension") and not is_fixed:
            for mention in mentions:
                mention.rename(f"\0{number}")
            number += 1
    return ast.dump(source.tree)
