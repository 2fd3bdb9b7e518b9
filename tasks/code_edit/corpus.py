"""The code that code models learn from: functions of the standard library and of a few installed packages, and of nothing else.

    corpus = Corpus.build()                             # about two minutes; Corpus.build(100): of a hundred files
    function = corpus.train[0]
    function.path, function.text                        # 'json/decoder.py', 'def py_scanstring(...', say

A function that stands twice, docstrings aside, counts once. Files are for development by the hash of their text, one in twenty;
but what differs from a function in training by names alone is not used for development: the models of transformers are full of
that. Left out are tests, what the packages took over from others, and files over 200 kB, many of which are tables.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from solver.tasks.data import is_reserved

Span = tuple[int, int]
PACKAGES = ("torch", "transformers", "numpy", "matplotlib", "hypothesis", "pytest", "_pytest", "jsonschema")
LARGEST = 200_000  # bytes
SHARE = 20  # one file in so many is for development
# Folders of tests, of other people's packages, and of what a program wrote.
OUT = re.compile(
    r"tests?|idlelib|site-packages|dist-packages|_?vendor\w*|_?extern(al)?|_?third_party|_bundled|generated|__pycache__"
)
# Taken over from others all the same: py, appdirs, pycute, unification and multipledispatch, refcycle, packaging, OpenFold.
COPIES = (
    "_pytest/_py/",
    "torch/_appdirs.py",
    "torch/distributed/_pycute/",
    "torch/fx/experimental/unification/",
    "torch/utils/viz/_cycles.py",
    "numpy/_utils/_pep440.py",
    "transformers/models/esm/openfold_utils/",
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = re.compile(r"\b(?:id|arg|attr|name)='\w+'")  # a name in a dumped tree
LINE_END = re.compile(r"\r\n|\r|\n")  # as Python counts lines; str.splitlines knows more


@dataclass(frozen=True)
class Function:
    """path: of its module, like ``json/decoder.py``.  source: the text of that file.  span: its characters there."""

    path: str
    source: str
    span: Span

    @property
    def text(self) -> str:
        return self.source[slice(*self.span)]


@dataclass(frozen=True)
class Corpus:
    train: tuple[Function, ...]
    development: tuple[Function, ...]

    @staticmethod
    def build(limit: int | None = None) -> Corpus:
        """Of all files, or of ``limit`` of them: the same ones in the same order wherever the same versions are installed."""
        return Corpus.of(islice(readable(), limit))

    @staticmethod
    def of(files: Iterable[tuple[str, str]]) -> Corpus:
        """The functions of (path, text), each of them once. What does not parse has none."""
        train, held_out = list[Function](), list[tuple[bytes, Function]]()
        seen, shapes = set[bytes](), set[bytes]()
        for path, text in files:
            tree, development = parsed(text), is_development_file(text)
            for node, span in located(text, tree) if tree else ():
                identity, shape = likeness(node)
                if identity in seen:
                    continue
                seen.add(identity)
                function = Function(path, text, span)
                if development:
                    held_out.append((shape, function))
                else:
                    train.append(function)
                    shapes.add(shape)
        return Corpus(tuple(train), tuple(function for shape, function in held_out if shape not in shapes))


def sources() -> Iterator[tuple[str, str]]:
    """Module path and text of every file that may be learnt from and that parses, in an order that mixes the packages."""
    return ((path, text) for path, text in readable() if parsed(text) is not None)


def readable() -> Iterator[tuple[str, str]]:
    """The same before anything is parsed, which takes most of the time."""
    for path, file in sorted(files(), key=lambda one: digest(one[0])):
        text = read(file)
        if text is not None:
            yield path, text


def roots() -> dict[str, Path]:
    """Where each of the packages that are installed lies, and the standard library as ``""``. Imports none of them."""
    found = {"": Path(sysconfig.get_paths()["stdlib"])}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            found[name] = Path(spec.submodule_search_locations[0])
    return found


def files() -> Iterator[tuple[str, Path]]:
    """Module path and file, of all roots."""
    for name, root in roots().items():
        for file in python_files(root):
            path = "/".join([*([name] if name else []), *file.relative_to(root).parts])
            if not path.startswith(COPIES):
                yield path, file


def python_files(root: Path) -> Iterator[Path]:
    """The Python files below ``root`` but those in folders that are left out. Follows no links: they lead elsewhere."""
    for folder, names, found in os.walk(root):
        names[:] = sorted(name for name in names if not OUT.fullmatch(name))
        for name in sorted(found):
            file = Path(folder, name)
            if file.suffix == ".py" and not file.is_symlink() and file.stat().st_size <= LARGEST:
                yield file


def read(file: Path) -> str | None:
    """The text of a Python file in its own encoding, line ends as line feeds; None where it has none."""
    try:
        with tokenize.open(file) as opened:
            return opened.read()
    except (SyntaxError, UnicodeDecodeError):
        return None


def parsed(text: str) -> ast.Module | None:
    """The tree of a text; None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old code is full of strings that one may no longer write so
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def functions(text: str) -> list[Span]:
    """The outermost functions of a text, methods too: from the line of the first decorator to the end of the last line, without
    its line end. Raises SyntaxError where the text is no Python."""
    tree = parsed(text)
    if tree is None:
        raise SyntaxError("no Python")
    return [span for _, span in located(text, tree)]


def located(text: str, tree: ast.Module) -> list[tuple[Definition, Span]]:
    """The outermost functions of a tree and where they stand in its text."""
    ends = [*LINE_END.finditer(text)]
    starts = [0, *(end.end() for end in ends)]
    stops = [*(end.start() for end in ends), len(text)]
    found = []
    for node in outermost(tree):
        first = min(one.lineno for one in (node, *node.decorator_list))
        found.append((node, (starts[first - 1], stops[(node.end_lineno or node.lineno) - 1])))
    return found


def outermost(node: ast.AST) -> Iterator[Definition]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from outermost(child)


def likeness(function: Definition) -> tuple[bytes, bytes]:
    """Two hashes: the same for functions that differ in layout, comments and docstrings only, and for those that differ in
    names besides."""
    for node in ast.walk(function):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if (
                ast.get_docstring(node, clean=False) is not None
            ):
                del node.body[0]  # the tree is of no further use
    dumped = ast.dump(function)
    return digest(dumped), digest(NAMED.sub("", dumped))


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def is_development_file(text: str) -> bool:
    """Whether a file is for development, by its text."""
    return is_reserved(text, SHARE, digest_bytes=8)
