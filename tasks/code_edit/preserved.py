"""Whether a repair keeps what its author wrote: names, numbers, strings and comments.

>>> lost_text("f = open('a.txt'\\n", "f = open('a.txt')\\n")
()
>>> lost_text("f = open('a.txt'\\n", "f = open(None)\\n")
("'a.txt'",)
>>> names_left_undefined("print(Hello World)\\n", "print(Hello, World)\\n")
('Hello', 'World')

The original does not compile, so its pieces are found by the tolerant lexer. In a line in which a quote is not
closed, it is unknown what is code and what is text; there, only the words are counted, whatever they have become.
"""

import keyword
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise

from solver.tasks.code_edit.diagnostics import pyflakes_diagnostics
from solver.tasks.code_edit.lexer import Piece, scan_pieces
from solver.tasks.code_edit.localize import compile_message

CONSTANTS = frozenset(["True", "False", "None"])
KEYWORDS = frozenset(keyword.kwlist) - CONSTANTS  # a repair may replace, add or remove them
QUOTES = frozenset("'\"`“”‘’„‚«»")
BRACKETS = frozenset("()[]{}:")
WORD = re.compile(r"\w+")
NUMBER = re.compile(r"(\d[\d_]*)([^\W\d]\w*)")  # a number and the letters that make it invalid
LONG_SUFFIXES = frozenset("lL")  # of Python 2: 10L is 10


@dataclass
class Contents:
    """What a source says, each with its number of occurrences.

    Attributes:
        code: names and numbers.
        texts: strings, with their quotes, and comments.
        words: words of lines in which a quote is not closed.
    """

    code: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, text: str) -> None:
        match kind:
            case "word" if text not in KEYWORDS:
                self.code[text] += 1
            case "number":
                self.code.update(number_parts(text))
            case "string" if set(text) - QUOTES:  # an empty one may be the rest of three quotes
                self.texts[text] += 1
            case "comment":
                self.texts[text.rstrip()] += 1


def lost_text(before: str, after: str) -> tuple[str, ...]:
    """Names, numbers, strings and comments of ``before`` that ``after`` has less often.

    A piece that stands twice in a row may be removed once, and so may a statement's header.

    Args:
        before: a source that may be broken.
        after: a source that compiles.
    """
    original, repaired = contents(before), contents(after)
    doubled = doubled_contents(before)
    lost_code = original.code - repaired.code - doubled.code
    lost_texts = original.texts - repaired.texts - doubled.texts
    new_code = repaired.code - original.code
    for name in [name for name in lost_code if is_joined(name, new_code)]:  # f(x without its bracket is fx
        del lost_code[name]
    # Words of unclear kind may have become code, strings or comments: whatever the rest does not need.
    new_words = Counter[str]()
    for text, count in (new_code + (repaired.texts - original.texts)).items():
        for word in WORD.findall(text):
            new_words[word] += count
    return tuple((lost_code + lost_texts + (original.words - new_words)).elements())


def is_joined(name: str, names: Container[str]) -> bool:
    """Whether ``name`` is two of ``names`` in a row."""
    return any(name[:k] in names and name[k:] in names for k in range(1, len(name)))


def contents(source: str) -> Contents:
    pieces = scan_pieces(source)
    unclear = unclear_spans(source, pieces)
    result = Contents()
    for kind, (start, end) in pieces:
        if any(first <= start < last for first, last in unclear):
            result.words.update(word for word in WORD.findall(source[start:end]) if word not in KEYWORDS)
        else:
            result.add(kind, source[start:end])
    return result


def unclear_spans(source: str, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Spans in which code and text cannot be told apart: the lines of quotes that are not closed.

    After three quotes, or what is left of them, this includes all lines up to the first that is code by itself.
    """
    spans: list[tuple[int, int]] = []
    for kind, (start, end) in pieces:
        text = source[start:end]
        is_broken = kind == "other" and text in QUOTES
        is_broken = is_broken or (kind == "string" and compile_message(text) is not None)
        is_rest = text in ('""', "''") and source[end : end + 1].isalnum()
        if not (is_broken or is_rest) or (spans and start < spans[-1][1]):
            continue
        stop = line_end(source, end - 1)
        if is_rest or source[max(0, start - 2) : start + 1] in ('"""', "'''"):
            while stop < len(source) and not is_code(source[stop + 1 : line_end(source, stop + 1)]):
                stop = line_end(source, stop + 1)
        spans.append((source.rfind("\n", 0, start) + 1, stop))
    return spans


def line_end(source: str, start: int) -> int:
    end = source.find("\n", start)
    return len(source) if end < 0 else end


def is_code(line: str) -> bool:
    """Whether a line is a statement, or the header of one, by itself."""
    text = line.strip()
    if not text or text.startswith(("#", "@")):
        return bool(text)
    return compile_message(f"{text} pass" if text.endswith(":") else text) is None or any(
        text.startswith(f"{name} ") and text.endswith(":") for name in ("elif", "else", "except", "case")
    )


def number_parts(text: str) -> list[str]:
    """A number; where it is followed by letters that make it invalid, the number and the name."""
    match = NUMBER.fullmatch(text)
    if match is None or compile_message(text) is None:
        return [text]
    return [match[1]] if match[2] in LONG_SUFFIXES else [match[1], match[2]]


def doubled_contents(source: str) -> Contents:
    """The contents of each piece that equals the piece before it, and of each header that equals the line before."""
    result = Contents()
    pieces = [piece for piece in scan_pieces(source) if piece[0] != "space"]
    for (_, (start, end)), (kind, (next_start, next_end)) in pairwise(pieces):
        if source[start:end] == source[next_start:next_end]:
            result.add(kind, source[start:end])
    for line, following in pairwise(source.split("\n")):
        if line.strip() == following.strip() and line.rstrip().endswith(":"):
            for kind, (start, end) in scan_pieces(line):
                result.add(kind, line[start:end])
    return result


def names_left_undefined(before: str, after: str) -> tuple[str, ...]:
    """Undefined names of ``after`` that the repair wrote, or made of something else.

    The latter are names beside which it replaced a piece or removed a quote, and pairs that it separated. Others
    were undefined before: the author may define them in another file.
    """
    left, right = list(visible(before)), list(visible(after))
    undefined = {
        remark.span[0]: remark.name for remark in pyflakes_diagnostics(after) if remark.rule == "name"
    }
    matcher = SequenceMatcher(None, [text for text, _ in left], [text for text, _ in right], autojunk=False)
    names: list[str] = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        removed = [text for text, _ in left[i1:i2]]
        written, beside = right[j1:j2], right[max(0, j1 - 1) : j1] + right[j2 : j2 + 1]
        is_pair = all(start in undefined for _, (start, _) in beside)
        has_quote = any(text[0] in QUOTES or text[-1] in QUOTES for text in removed)
        are_brackets = BRACKETS.issuperset([*removed, *(text for text, _ in written)])
        if are_brackets or (kind == "insert" and not is_pair) or (kind == "delete" and not has_quote):
            beside = []
        names += [undefined[start] for _, (start, _) in written + beside if start in undefined]
    return tuple(dict.fromkeys(names))


def visible(source: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The text and span of every piece of a source except white space."""
    for kind, (start, end) in scan_pieces(source):
        if kind != "space":
            yield source[start:end], (start, end)
