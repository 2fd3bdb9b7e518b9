"""The code that code models learn from: functions of the standard library and of a few installed packages.

>>> corpus = Corpus.build(limit=10)  # of ten files; all files take about two minutes
>>> corpus.train[0].text.lstrip().startswith(("def ", "async def ", "@"))
True

Functions that are equal apart from docstrings count once. Files are reserved for development by the hash of
their text, one in twenty. A development function that differs from a training function by names alone is
dropped: the models of transformers contain many. Left out are tests, vendored code, and files over 200 kB,
many of which are tables.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from solver.tasks.code_edit.lexer import LINE_END, Span
from solver.tasks.code_edit.scopes import FunctionNode, parse_source
from solver.tasks.data import is_reserved

PACKAGES = ("torch", "transformers", "numpy", "matplotlib", "hypothesis", "pytest", "_pytest", "jsonschema")
MAX_FILE_BYTES = 200_000
DEVELOPMENT_SHARE = 20  # one file in this many is for development
# Folders of tests, of other people's packages, and of generated code.
EXCLUDED_FOLDER = re.compile(
    r"tests?|idlelib|site-packages|dist-packages|_?vendor\w*|_?extern(al)?|_?third_party"
    r"|_bundled|generated|__pycache__"
)
# Vendored in other folders: py, appdirs, pycute, unification and multipledispatch, refcycle, packaging,
# OpenFold.
VENDORED = (
    "_pytest/_py/",
    "torch/_appdirs.py",
    "torch/distributed/_pycute/",
    "torch/fx/experimental/unification/",
    "torch/utils/viz/_cycles.py",
    "numpy/_utils/_pep440.py",
    "transformers/models/esm/openfold_utils/",
)
NAME_FIELD = re.compile(r"\b(?:id|arg|attr|name)='\w+'")  # in a dumped syntax tree


@dataclass(frozen=True)
class CorpusFunction:
    """A function with its decorators.

    Attributes:
        path: of its module, such as ``json/decoder.py``.
        source: the text of that file.
        span: the characters of the function.
    """

    path: str
    source: str
    span: Span

    @property
    def text(self) -> str:
        return self.source[slice(*self.span)]


@dataclass(frozen=True)
class Corpus:
    """Functions to train with and functions to choose settings with."""

    train: tuple[CorpusFunction, ...]
    development: tuple[CorpusFunction, ...]

    @staticmethod
    def build(limit: int | None = None) -> Corpus:
        """The corpus of all files, or of the first ``limit``.

        The order depends only on the installed versions.
        """
        return Corpus.of(islice(readable_files(), limit))

    @staticmethod
    def of(files: Iterable[tuple[str, str]]) -> Corpus:
        """The functions of (path, text) pairs, each once. A file that does not parse has none."""
        train, reserved = list[CorpusFunction](), list[tuple[bytes, CorpusFunction]]()
        identities, train_shapes = set[bytes](), set[bytes]()
        for path, text in files:
            tree, is_development = parse_or_none(text), is_development_file(text)
            for node, span in locate_functions(text, tree) if tree else ():
                identity, shape = fingerprints(node)
                if identity in identities:
                    continue
                identities.add(identity)
                function = CorpusFunction(path, text, span)
                if is_development:
                    reserved.append((shape, function))
                else:
                    train.append(function)
                    train_shapes.add(shape)
        development = tuple(function for shape, function in reserved if shape not in train_shapes)
        return Corpus(tuple(train), development)


def readable_files() -> Iterator[tuple[str, str]]:
    """Module path and text of every file, in an order that mixes the packages. Files need not parse."""
    for path, file in sorted(source_files(), key=lambda pair: digest(pair[0])):
        text = read_source(file)
        if text is not None:
            yield path, text


def package_roots() -> dict[str, Path]:
    """The folders of the installed packages, and the standard library's as ``""``. Imports none of them."""
    roots = {"": Path(sysconfig.get_paths()["stdlib"])}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            roots[name] = Path(spec.submodule_search_locations[0])
    return roots


def source_files() -> Iterator[tuple[str, Path]]:
    """Module path and file of all packages."""
    for name, root in package_roots().items():
        for file in python_files(root):
            path = "/".join([*([name] if name else []), *file.relative_to(root).parts])
            if not path.startswith(VENDORED):
                yield path, file


def python_files(root: Path) -> Iterator[Path]:
    """The Python files below ``root``, without excluded folders.

    Links lead to other packages and are not followed.
    """
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not EXCLUDED_FOLDER.fullmatch(name))
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix == ".py" and not file.is_symlink() and file.stat().st_size <= MAX_FILE_BYTES:
                yield file


def read_source(file: Path) -> str | None:
    """The text of a Python file in its declared encoding, with line feeds as line ends, or None."""
    try:
        with tokenize.open(file) as stream:
            return stream.read()
    except (SyntaxError, UnicodeDecodeError):
        return None


def parse_or_none(text: str) -> ast.Module | None:
    """The syntax tree of a text, or None if it does not parse."""
    try:
        return parse_source(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def locate_functions(text: str, tree: ast.Module) -> list[tuple[FunctionNode, Span]]:
    """The outermost functions and methods of a tree, and their spans:

    from the first decorator to the last line.
    """
    line_ends = [*LINE_END.finditer(text)]
    starts = [0, *(match.end() for match in line_ends)]
    ends = [*(match.start() for match in line_ends), len(text)]
    functions = []
    for node in outermost_functions(tree):
        first_line = min(part.lineno for part in (node, *node.decorator_list))
        functions.append((node, (starts[first_line - 1], ends[(node.end_lineno or node.lineno) - 1])))
    return functions


def outermost_functions(node: ast.AST) -> Iterator[FunctionNode]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from outermost_functions(child)


def fingerprints(function: FunctionNode) -> tuple[bytes, bytes]:
    """Two hashes of a function that ignore layout, comments and docstrings; the second also ignores names.

    Removes the docstrings from the tree.
    """
    for node in ast.walk(function):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if (
                ast.get_docstring(node, clean=False) is not None
            ):
                del node.body[0]
    dumped = ast.dump(function)
    return digest(dumped), digest(NAME_FIELD.sub("", dumped))


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def is_development_file(text: str) -> bool:
    return is_reserved(text, DEVELOPMENT_SHARE, digest_bytes=8)
