"""Holes in code: what is masked is what it claims to be, on the standard library and on small traps."""

from __future__ import annotations

import ast
import types
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from solver.tasks.code_edit.corruptions import CORRUPTION_KINDS, corrupt
from solver.tasks.code_edit.diagnostics import pyflakes_diagnostics
from solver.tasks.code_edit.holes import (
    SIMPLE_STATEMENTS,
    SINGLE_KINDS,
    HoleSet,
    dependent_hole_cases,
    sample_dependent_holes,
    sample_single_holes,
    single_hole_cases,
)
from solver.tasks.code_edit.lexer import Lines, Span, piece_distance, piece_spans, scan_pieces
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.scopes import same_up_to_renaming
from solver.tasks.code_edit.window import replace_spans
from tests.code_material import alone, functions, module

anything = st.integers(0, 10_000)
some = st.builds(lambda n: functions()[n % len(functions())], anything)
small = st.builds(lambda n: alone()[n % len(alone())], anything)


def texts(cut: HoleSet) -> list[str]:
    return [cut.source[a:b] for a, b in cut.spans]


def renamed(cut: HoleSet, new: str, but: int | None = None) -> str:
    spans = [span for n, span in enumerate(cut.spans) if n != but]
    return replace_spans(cut.source, spans, [new] * len(spans))[0]


def of_kind(kind: str, source: str, most: int = 8) -> list[list[str]]:
    return [texts(cut) for cut in dependent_hole_cases(source, (0, len(source)), most) if cut.kind == kind]


@cache
def parts(source: str) -> dict[str, set[str]]:
    """What could be cut out of a source, by kind."""
    dumps: dict[str, set[str]] = {kind: set() for kind in SINGLE_KINDS}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            dumps["condition"].add(ast.dump(node.test))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return) and node.value:
            dumps["right"].add(ast.dump(node.value))
        if isinstance(node, ast.Call):
            dumps["arguments"].add(ast.dump(ast.Call(ast.Name("f", ast.Load()), node.args, node.keywords)))
        if isinstance(node, SIMPLE_STATEMENTS):
            dumps["line"].add(ast.dump(node))
    return dumps


@given(some)
def test_a_cut_is_the_part_of_the_tree_that_it_says(drawn: tuple[str, Span]) -> None:
    source, within = drawn
    dumps = parts(source)
    found = single_hole_cases(source, within)
    assert found
    for cut in found:
        (text,) = texts(cut)
        assert within[0] <= cut.spans[0][0] < cut.spans[0][1] <= within[1]
        if cut.kind == "line":
            assert ast.dump(ast.parse(text).body[0]) in dumps["line"]
            assert "\n" not in text
            line = source[source.rfind("\n", 0, cut.spans[0][0]) + 1 : source.find("\n", cut.spans[0][0])]
            assert line.strip() == text
        else:
            whole = f"f({text}\n)" if cut.kind == "arguments" else f"({text}\n)"
            assert ast.dump(ast.parse(whole, mode="eval").body) in dumps[cut.kind]


@given(some, anything)
def test_one_cut_of_each_kind_is_drawn(drawn: tuple[str, Span], seed: int) -> None:
    kinds = {cut.kind for cut in single_hole_cases(*drawn)}
    found = sample_single_holes(*drawn, np.random.default_rng(seed))
    assert [cut.kind for cut in found] == [kind for kind in SINGLE_KINDS if kind in kinds]
    assert set(found) <= set(single_hole_cases(*drawn))
    assert found == sample_single_holes(*drawn, np.random.default_rng(seed))


def shape(code: types.CodeType, new: str, old: str) -> tuple[object, ...]:
    """What a code object does, with the new name read as the old one."""
    inner = [shape(one, new, old) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, (code.co_name,))
    return code.co_code, inner, [[one.replace(new, old) for one in each] for each in names]


LOCAL_CLASS = "def f(B):\n    class A(B):\n        pass\n    A.x = 1\n    return A\n"


@given(small)
@example(LOCAL_CLASS)
def test_renaming_all_mentions_of_a_variable_changes_nothing_else(source: str) -> None:
    """The compiler is asked:

    same instructions, with another name. With one mention left out, it is another program.
    """
    for cut in dependent_hole_cases(source, (0, len(source)), limit=100):
        if cut.kind != "variable":
            continue
        (name,) = set(texts(cut))
        new = f"{name}0"  # sorted as the old one is, as cells are
        if new in source:
            continue
        there, here = (
            compile(text, "<test>", "exec", dont_inherit=True) for text in (source, renamed(cut, new))
        )
        assert shape(there, new, name) == shape(here, new, name)
        assert same_up_to_renaming(source, renamed(cut, new))
        for n in range(len(cut.spans)):
            assert not same_up_to_renaming(source, renamed(cut, new, but=n))


@given(some)
def test_dependent_holes_are_in_order_and_apart(drawn: tuple[str, Span]) -> None:
    source, within = drawn
    for cut in dependent_hole_cases(source, within):
        assert 2 <= len(cut.spans) <= 8
        assert all(b <= c for (_, b), (c, _) in zip(cut.spans, cut.spans[1:], strict=False))
        assert any(within[0] <= a and b <= within[1] for a, b in cut.spans)
        if cut.kind != "call":
            assert len(set(texts(cut))) == 1
            assert texts(cut)[0].isidentifier()


def test_the_standard_library_has_all_kinds() -> None:
    """And renaming an import wherever it is mentioned leaves no mention behind that nothing defines."""
    seen = set()
    for source, within in functions()[::7]:
        for cut in sample_dependent_holes(source, within, np.random.default_rng(1)):
            seen.add(cut.kind)
            if cut.kind == "import":
                assert {one.name for one in pyflakes_diagnostics(renamed(cut, "elsewhere"))} <= {
                    one.name for one in pyflakes_diagnostics(source)
                }
    assert seen == {"variable", "call", "import"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a):\n    b = a\n    return b * b\n", ["b"] * 3),
        ("def f(a):\n    b = a\n    return b\n", None),  # one use says nothing twice
        ("def f(a):\n    return a + a\n", None),  # a parameter is an interface
        (
            "def f(s):\n    x = 1\n    return [x for x in s if x], x, x\n",
            ["x"] * 3,
        ),  # twice, the comprehension's is another one
        (
            "def f(s):\n    x = s\n    return [x for x in x if x], x\n",
            ["x"] * 3,
        ),  # the first iterable is outside
        ("def f(s):\n    [y := x for x in s]\n    return y, y\n", ["y"] * 3),
        ("def f(s):\n    x = s\n    def g():\n        return x\n    return x, g\n", ["x"] * 3),
        ("def f(s):\n    x = s\n    def g(x):\n        return x\n    return x, x\n", ["x"] * 3),
        (
            "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    return x, x, g\n",
            ["x"] * 5,
        ),
        ("def f():\n    global x\n    x = 1\n    return x, x\n", None),
        (
            "def f(o):\n    x = o.x\n    o.x = x\n    return o.g(x=x)\n",
            ["x"] * 3,
        ),  # attributes and keywords are no variables
        (
            "def f(o):\n    x = o\n    return f'{x}' + x + x\n",
            None,
        ),  # columns in f-strings mean little before Python 3.12
        ("def f(o):\n    x = o\n    x + x\n    return locals()\n", None),
        ("def f(o):\n    x = o\n    class A:\n        x = x\n        y = x\n    return x, x\n", ["x"] * 3),
        ("class A:\n    def f(self):\n        __x = 1\n        return __x + __x\n", None),  # mangled
        ("def f():\n    try:\n        pass\n    except (ValueError) as e:\n        return e, e\n", ["e"] * 3),
        ("def f(o):\n    match o:\n        case {'k': [*r], **q}:\n            return r, r\n", ["r"] * 3),
        (
            "def f(o):\n    match o:\n        case {'k': int() as r, **q}:\n            return q, q, r\n",
            ["q"] * 3,
        ),
        ("def f():\n    é, x = 1, 'é'; ü = x + x\n", ["x"] * 3),
        ("def f(o):\r\n\tx = o\r\n\treturn x, x\r\n", ["x"] * 3),
        ("def f(o):\n    ﬁ = o\n    return ﬁ, ﬁ\n", None),  # a ligature, which Python reads as two letters
        ("def f(o):\n    x = o\n    return lambda x=x: (x, x), x\n", ["x"] * 3),
        ("def f():\n    def g(): pass\n    return g(), g\n", ["g"] * 3),
        ("def f():\n    import a\n    return a, a\n", None),
        (LOCAL_CLASS, None),  # its instances show its name
        ("def f(x:\n    x = x\n", None),
    ],
)
def test_scopes(source: str, expected: list[str] | None) -> None:
    found = of_kind("variable", source)
    assert (expected in found) if expected else not found
    assert all(set(one) == set(one[:1]) for one in found)


def test_shadowed_mentions_are_not_masked() -> None:
    source = "def f(s):\n    x = 1\n    return [x for x in s if x], x, x\n"
    spans = {cut.spans for cut in dependent_hole_cases(source, (0, len(source)))}
    mentions = [n for n, c in enumerate(source) if c == "x"]
    assert spans == {
        tuple((n, n + 1) for n in (mentions[0], *mentions[4:])),
        tuple((n, n + 1) for n in mentions[1:4]),
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b=(1, 2)):\n    pass\nf(1, b=3)\n", ["a, b=(1, 2)", "1, b=3"]),
        (
            "class A:\n    def f(self, a): pass\n    def g(self):\n        self.f(\n            2)\n",
            ["a", "\n            2"],
        ),
        ("class A:\n    def f(self): pass\n    def g(self):\n        self.f()\n", None),
        ("class A:\n    @property\n    def f(self, a): pass\n    def g(self):\n        self.f(1)\n", None),
        ("def f(a): pass\nf = 3\nf(1)\n", None),
        ("def f(a): pass\ndef g(f):\n    f(1)\n", None),  # another f
        ("class A:\n    def f(self, a): pass\n    def g(this, self):\n        self.f(1)\n", None),
        ("def f(a=')'): pass\n(f)  ('(')\n", ["a=')'", "'('"]),
        ("g(f'{f(1)}')\ndef f(a): pass\n", None),
    ],
)
def test_calls(source: str, expected: list[str] | None) -> None:
    assert of_kind("call", source) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os.path\ndef f():\n    return os.path\n", ["os"] * 2),
        ("import numpy as np\nprint(np, np.np)\n", ["np"] * 3),
        ("from a import (b,\n    c as d)\ndef f(b):\n    return d\n", ["d"] * 2),
        ("try:\n    import a\nexcept ImportError:\n    a = None\nprint(a)\n", None),  # an assignment, too
        ("import a\n", None),
    ],
)
def test_imports(source: str, expected: list[str] | None) -> None:
    assert of_kind("import", source) == ([expected] if expected else [])


def test_holes_of_a_call_may_be_anywhere_in_the_file_but_one_is_inside() -> None:
    source = "def f(a):\n    pass\n\n\ndef g():\n    f(1)\n\n\ndef h():\n    pass\n"
    assert [
        texts(cut) for cut in dependent_hole_cases(source, (source.index("def g"), source.index("def h")))
    ] == [["a", "1"]]
    assert dependent_hole_cases(source, (source.index("def h"), len(source))) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def f():\n    a = 1\n    return a", "def f():\n    b = 1\n    return b", True),
        ("def f():\n    a = 1\n    return a", "def f():\n    b = 1\n    return a", False),
        ("def f(s):\n    a = b = s\n    return a - b", "def f(s):\n    b = a = s\n    return b - a", True),
        ("def f(s):\n    a = b = s\n    return a - b", "def f(s):\n    a = b = s\n    return a - a", False),
        (
            "def f(s):\n    a = s\n    return len(a)",
            "def f(s):\n    len = s\n    return len(len)",
            False,
        ),  # len was the builtin
        ("def f(a):\n    return a", "def f(b):\n    return b", False),  # f(a=1)
        ("def f(*a):\n    return a", "def f(*b):\n    return b", True),
        (LOCAL_CLASS, LOCAL_CLASS.replace("A", "C"), False),
        ("f = lambda a: a", "f = lambda b: b", True),
        ("[a for a in s]", "[b for b in s]", True),
        ("a = 1", "b = 1", False),  # a module's names are everyone's
        ("def f():\n    a = 1\n    return vars()", "def f():\n    b = 1\n    return vars()", False),
        ("def f():\n    a = 1\n    return o.a", "def f():\n    b = 1\n    return o.b", False),
        ("def f():\n    import a\n    return a", "def f():\n    import b\n    return b", False),
        ("def f():\n    import m as a\n    return a", "def f():\n    import m as b\n    return b", True),
        ("def f():\n    x = (1)  # one\n    x", "def f():\n  y = 1\n  y", True),
        ("a b", "a b", False),
    ],
)
def test_same_up_to_renaming(one: str, other: str, same: bool) -> None:
    assert same_up_to_renaming(one, other) is same
    assert same_up_to_renaming(other, one) is same


@given(some, st.sampled_from(CORRUPTION_KINDS), anything)
def test_damage_does_not_compile_and_can_be_undone(drawn: tuple[str, Span], kind: str, seed: int) -> None:
    source, within = drawn
    broken = corrupt(source, within, np.random.default_rng(seed), kind)
    if broken is None:
        return
    assert broken.kind == kind
    assert compile_message(broken.source) is not None
    assert replace_spans(broken.source, [broken.span], [broken.removed])[0] == broken.original == source
    assert within[0] <= broken.span[0] <= broken.span[1] <= within[1] + len(broken.source) - len(source)
    assert broken == corrupt(source, within, np.random.default_rng(seed), kind)


def test_all_kinds_of_damage_are_drawn() -> None:
    rng = np.random.default_rng(0)
    found = [corrupt(source, (0, len(source)), rng) for source in alone()[:60]]
    assert {one.kind for one in found if one} == set(CORRUPTION_KINDS)
    assert sum(one is None for one in found) < 6


def test_only_what_compiles_can_be_damaged() -> None:
    assert corrupt("x = (", (0, 5), np.random.default_rng(0)) is None
    assert corrupt("\n", (0, 1), np.random.default_rng(0), "bracket") is None


@given(st.text())
def test_pieces_of_any_text(text: str) -> None:
    found = scan_pieces(text)
    assert "".join(text[a:b] for _, (a, b) in found) == text
    assert all(text[a:b].strip() for a, b in piece_spans(text))


@given(st.text(alphabet="aé\U0001f600\n\r\f ", max_size=20))
def test_lines_are_pythons(text: str) -> None:
    """Against the tree of a source with a name at the end of this text."""
    source = "'''" + text.replace("\n", " \n") + "'''; last"
    (_, node) = ast.parse(source).body
    assert Lines(source).span(node) == (len(source) - 4, len(source))


def test_steps() -> None:
    text = "f(a + b)"
    assert piece_distance(text, (0, 1), (1, 2)) == 0
    assert piece_distance(text, (2, 3), (6, 7)) == 2
    assert piece_distance(text, (6, 7), (2, 3)) == 2
    assert piece_distance(text, (0, 0), (8, 8)) == 7


def test_material_is_what_it_seems() -> None:
    assert len(functions()) > 100
    assert all(compile_message(source) is None for source in alone())
    assert "def wrap(" in module("textwrap")
