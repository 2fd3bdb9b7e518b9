"""Which names of a Python source mean the same variable, and where each of them is written.

    read = Source("def f(a):\n    b = a\n    return b * b\n")
    [[read.place(one) for one in names] for names in read.variables.values()]    # of f; of a, twice; of b, three times

Python's own rules: functions, lambdas and comprehensions are scopes that what stands in them sees, classes are scopes that only
their own statements see, ``global`` and ``nonlocal`` look further up, the first iterable of a comprehension belongs outside.
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

from solver.tasks.code_edit.positions import Lines, Span

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Function = ast.FunctionDef | ast.AsyncFunctionDef
Kind = Literal["module", "class", "function", "comprehension"]
Role = Literal["use", "binding", "definition", "parameter", "import", "declaration"]
OPAQUE = frozenset(["locals", "vars", "eval", "exec", "dir"])  # what sees names as strings
GAP = r"[\s\\]*"  # between two words of a statement
DEFINED = rf"(?:async{GAP})?(?:def|class){GAP}"


@dataclass(eq=False)
class Scope:
    """parent: the scope around it, None for the module.  opaque: whether something in it asks for names by strings."""

    kind: Kind
    parent: Scope | None
    bound: set[str] = field(default_factory=set)
    of_module: set[str] = field(default_factory=set)
    of_others: set[str] = field(default_factory=set)
    opaque: bool = False

    def owner(self, name: str) -> Scope:
        """The scope whose variable a name means that is written in this one; the module also for what nothing binds."""
        at = self
        while at.parent is not None and name not in at.of_module:
            if name in at.bound and name not in at.of_others:
                return at
            at = at.parent
            while at.kind == "class" and at.parent is not None:
                at = at.parent
        while at.parent is not None:
            at = at.parent
        return at


@dataclass(frozen=True, eq=False)
class Name:
    """One mention of a variable.  node, attribute, index: where the tree keeps it.  scope: where it stands.
    quoted: in an f-string, where columns mean little before Python 3.12.  fixed: what is outside of the scope may
    know the name (a parameter that may be given by keyword, a module, a class, whose instances show it)."""

    name: str
    node: ast.AST
    attribute: str
    index: int
    scope: Scope
    role: Role
    quoted: bool
    fixed: bool

    def rename(self, new: str) -> None:
        """In the tree."""
        if self.index < 0:
            setattr(self.node, self.attribute, new)
        else:
            getattr(self.node, self.attribute)[self.index] = new


Variable = tuple[Scope, str]


class _Reader(ast.NodeVisitor):
    """Collects mentions, in an order that depends on the shape of the tree alone."""

    def __init__(self) -> None:
        self.names, self.scope, self.quoted = list[Name](), Scope("module", None), False

    @contextmanager
    def _inside(self, kind: Kind) -> Iterator[None]:
        around, self.scope = self.scope, Scope(kind, self.scope)
        yield
        self.scope = around

    def _add(
        self, name: str, node: ast.AST, attribute: str, role: Role, index: int = -1, fixed: bool = False
    ) -> None:
        if role not in ("use", "declaration"):
            self.scope.bound.add(name)
        self.names.append(Name(name, node, attribute, index, self.scope, role, self.quoted, fixed))

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._add(node.id, node, "id", "use" if isinstance(node.ctx, ast.Load) else "binding")
        scope: Scope | None = self.scope if node.id in OPAQUE else None
        while scope is not None:
            scope.opaque, scope = True, scope.parent

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        home = self.scope
        while home.kind == "comprehension" and home.parent is not None:
            home = home.parent
        home.bound.add(node.target.id)
        self.names.append(
            Name(node.target.id, node.target, "id", -1, self.scope, "binding", self.quoted, False)
        )

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        self._all([node.value])
        if isinstance(node.target, ast.Name) and not node.simple and node.value is None:
            self._add(node.target.id, node.target, "id", "use")  # ``(x): int`` binds nothing
        else:
            self.visit(node.target)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        before, self.quoted = self.quoted, True
        self.generic_visit(node)
        self.quoted = before

    def _function(self, node: Function) -> None:
        self.visit_TypeAlias(node)
        self._add(node.name, node, "name", "definition")
        self._all([*node.decorator_list, node.returns])
        self._parameters(node.args, node.body, True)

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815  # the names that NodeVisitor asks for

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._parameters(node.args, [node.body], False)

    def _parameters(self, args: ast.arguments, body: Iterable[ast.AST], named: bool) -> None:
        plain, only = [*args.args, *args.kwonlyargs], [*args.posonlyargs, args.vararg, args.kwarg]
        given = [one for one in [*plain, *only] if one is not None]
        self._all([*args.defaults, *args.kw_defaults, *(one.annotation for one in given)])
        with self._inside("function"):
            for one in given:
                self._add(one.arg, one, "arg", "parameter", fixed=named and one in plain)
            self._all(body)

    def visit_TypeAlias(self, node: ast.AST) -> None:
        if getattr(node, "type_params", None) or type(node).__name__ == "TypeAlias":
            raise SyntaxError("type parameters make scopes that are not known here")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_TypeAlias(node)
        self._add(node.name, node, "name", "definition", fixed=True)
        self._all([*node.decorator_list, *node.bases, *node.keywords])
        with self._inside("class"):
            self._all(node.body)

    def _comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        with self._inside("comprehension"):
            for n, one in enumerate(node.generators):
                self._all([one.target, *([one.iter] if n else []), *one.ifs])
            self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for one in node.names:
            if one.asname:
                self._add(one.asname, one, "asname", "import")
            elif one.name != "*":
                self._add(one.name.split(".")[0], one, "name", "import", fixed=True)

    visit_Import = visit_ImportFrom = _import  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._all([node.type])
        self._bare(node, "name", node.name)
        self._all(node.body)

    def _bare(self, node: ast.AST, attribute: str, name: str | None) -> None:
        if name is not None:
            self._add(name, node, attribute, "binding")

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._all([node.pattern])
        self._bare(node, "name", node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bare(node, "name", node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._all([*node.keys, *node.patterns])
        self._bare(node, "rest", node.rest)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.of_module.update(node.names)
        self._declared(node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.of_others.update(node.names)
        self._declared(node)

    def _declared(self, node: ast.Global | ast.Nonlocal) -> None:
        for n, name in enumerate(node.names):
            self._add(name, node, "names", "declaration", n)


def parse(text: str) -> ast.Module:
    """Quietly. Raises SyntaxError, or ValueError for a NUL, RecursionError for what is nested too deeply."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


class Source:
    """A source that parses; else SyntaxError, ValueError or RecursionError.  base: added to all characters."""

    def __init__(self, text: str, base: int = 0) -> None:
        self.text, self.tree, self.lines = text, parse(text), Lines(text, base)

    @cached_property
    def variables(self) -> dict[Variable, list[Name]]:
        """All mentions of each variable, in the order of the tree. Raises SyntaxError for the scopes that Python 3.12 added."""
        reader = _Reader()
        reader.visit(self.tree)
        found = defaultdict[Variable, list[Name]](list)
        for name in reader.names:
            found[name.scope.owner(name.name), name.name].append(name)
        return dict(found)

    def place(self, name: Name) -> Span | None:
        """Where a mention is written; None where that is not known for certain: in f-strings, where a private name is mangled,
        where an identifier is not written as Python reads it."""
        node, wanted = name.node, name.name
        if name.quoted or (wanted.startswith("__") and not wanted.endswith("__")):
            return None
        assert isinstance(node, ast.expr | ast.stmt | ast.arg | ast.alias | ast.excepthandler | ast.pattern)
        a, b = self.lines.span(node)
        local = self.text[a - self.lines.base : b - self.lines.base]
        if isinstance(node, ast.Name | ast.arg) or (isinstance(node, ast.alias) and name.attribute == "name"):
            at: int | None = 0
        elif isinstance(node, ast.alias | ast.MatchAs | ast.MatchStar):
            at = len(local) - len(wanted)
        elif isinstance(node, ast.ExceptHandler):
            after = self.lines.span(node.type)[1] - a if node.type else 0
            at = behind(local, rf"[\s\\)]*as{GAP}", after)
        elif isinstance(node, Function | ast.ClassDef):
            at = behind(local, DEFINED, 0)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            at = [match.start() for match in re.finditer(r"\w+", local)][name.index + 1]
        else:
            at = local.rfind(wanted)  # of MatchMapping, behind the stars
        if at is None or local[at : at + len(wanted)] != wanted:
            return None
        return a + at, a + at + len(wanted)


def behind(text: str, pattern: str, at: int) -> int | None:
    """Where a pattern ends that begins here."""
    found = re.compile(pattern).match(text, at)
    return found.end() if found else None


def same_up_to_renaming(a: str, b: str) -> bool:
    """Whether both parse, to trees that differ in the names of local variables alone, one to one. A parameter
    that a caller may name is an interface, and so are modules and what an import takes from them, and classes,
    which carry their names as strings: their names are not local. Nothing is, in a function that asks for its
    variables by strings (``locals``, ``eval``, ...)."""
    try:
        return _anonymous(a) == _anonymous(b)
    except (SyntaxError, ValueError, RecursionError):
        return False


def _anonymous(text: str) -> str:
    read, number = Source(text), 0
    for (scope, name), names in read.variables.items():
        special = name.startswith("__") and name.endswith("__")
        if scope.kind in ("function", "comprehension") and not (
            scope.opaque or special or any(one.fixed for one in names)
        ):
            for one in names:
                one.rename(f"\0{number}")
            number += 1
    return ast.dump(read.tree)
