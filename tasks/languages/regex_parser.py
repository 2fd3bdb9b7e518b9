r"""Reads regular expressions in ECMA 262 syntax, as JSON Schema has it, into terms.

    >>> from solver.tasks.languages.regex import matches
    >>> matches(search("b+"), "abc"), matches(fullmatch("b+"), "abc")
    (True, False)
    >>> matches(search(r"(?<!a)b|\bc"), "ab c")
    True

Python's syntax is accepted where it means the same, and so is what the validator accepts beyond ECMA 262: the
flag ``(?i)``, ``\z``, ``[]a]``, ``\p`` with any property. Lookahead, word boundaries and lookbehind over one
character are exact. Backreferences, longer lookbehind and possessive repetitions are approximated; see
:func:`search_above`.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from solver.tasks.languages.character_parser import CharacterParser, PatternError, refuse
from solver.tasks.languages.code_points import Ranges, inverse, single, union
from solver.tasks.languages.pattern_terms import (
    Ahead,
    Behind,
    Group,
    Next,
    Node,
    Plain,
    chain,
    choice,
    fullmatch_term,
    is_exact,
    is_plain,
    loop,
    nodes,
    search_term,
)
from solver.tasks.languages.portable import portable_pattern
from solver.tasks.languages.regex import (
    ANYTHING,
    EMPTY,
    END,
    START,
    Symbols,
    Term,
    accepts,
    and_,
    or_,
    start_state,
    symbols,
)
from solver.tasks.languages.validator_sets import ECMA, Dialect, dialects_of, is_accepted

__all__ = ["PatternError", "fullmatch", "search", "search_above", "search_usual"]

MAX_DEPTH = 100  # nested groups
MAX_ASSERTIONS = 1000  # assertions, and groups that contain some


QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
GROUP_PREFIX = re.compile(r"\((\?(?:[:=!]|<[=!]|P?<[^>=!][^>]*>|-?i[:)]))?")
BRACES = re.compile(r"\{(?:([0-9]+)(?:(,)([0-9]*))?|(,)([0-9]+))\}")
DIGITS = re.compile(r"[0-9]+|<[^>]*>")
NAMES = {"$": "$", "z": "$", "Z": "$", "^": "^", "A": "^"}  # \A and \Z are Python's, \z the validator's


def search(pattern: str) -> Term:
    """The subjects in which the validator finds ``pattern``, as a name of ``patternProperties``.

    Raises:
        PatternError: if the pattern cannot be used, or only approximately; the message is one line.
    """
    pattern = portable_pattern(pattern)
    tree = parsed(pattern, dialects_of(pattern)[0])
    if not is_exact(tree):
        refuse(pattern, "a backreference, a long lookbehind or a possessive repetition")
    return translated(pattern, search_term, tree)


@lru_cache(maxsize=256)
def search_above(pattern: str) -> tuple[Term, bool]:
    """The subjects that satisfy ``pattern`` as a keyword, or more than these, and whether they are exactly these.

    Raises:
        PatternError: if the pattern cannot be used; the message is one line.
    """
    pattern = portable_pattern(pattern)
    dialects = dialects_of(pattern)
    trees = [parsed(pattern, dialect) for dialect in dialects]
    terms = {translated(pattern, search_term, tree) for tree in trees}
    return or_(terms), len(terms) == 1 and is_exact(trees[0])


@lru_cache(maxsize=256)
def search_usual(pattern: str) -> Term:
    """The subjects of :func:`search_above` that an engine for ECMA 262 accepts, too.

    Raises:
        PatternError: if the pattern cannot be used; the message is one line.
    """
    term, _ = search_above(pattern)
    pattern = portable_pattern(pattern)
    dialects = dialects_of(pattern)
    if dialects == (ECMA,):
        return term
    try:
        trees = [parsed(pattern, dialect) for dialect in (*dialects, ECMA)]
        return and_(translated(pattern, search_term, tree) for tree in trees)
    except PatternError:  # in the validator's syntax only
        return term


@lru_cache(maxsize=256)
def fullmatch(pattern: str) -> Term:
    """The subjects that ``pattern`` matches from beginning to end by ECMA 262.

    Raises:
        PatternError: if the pattern cannot be used; the message is one line.
    """
    tree = parsed(pattern, ECMA)
    if not is_exact(tree):
        refuse(pattern, "a backreference, a long lookbehind or a possessive repetition")
    return translated(pattern, fullmatch_term, tree)


def parsed(pattern: str, dialect: Dialect) -> Node:
    """The pattern's syntax tree."""
    parser = RegexParser(pattern, dialect)
    tree = parser.alternatives(0)
    return tree if parser.pos == len(pattern) else parser.fail("an unmatched )")


def translated(pattern: str, translate: Callable[[Node], Term], tree: Node) -> Term:
    """The term of a tree; a pattern with very many parts is refused."""
    if sum(not is_plain(node) for node in nodes(tree)) > MAX_ASSERTIONS:
        refuse(pattern, "too many groups with assertions")
    try:
        term = translate(tree)
        accepts(start_state(term))  # derivatives of very many optional parts nest too deeply
        return term
    except RecursionError:
        refuse(pattern, "too many parts")


class RegexParser(CharacterParser):
    """A recursive-descent parser; its methods return the syntax tree of what they read."""

    def __init__(self, pattern: str, dialect: Dialect) -> None:
        super().__init__(pattern, dialect)
        self.groups: list[Node | None] = []  # in the order of their opening; None inside the group itself

    def alternatives(self, depth: int) -> Node:
        """Parse sequences separated by ``|``, up to ``)`` or the end."""
        if depth > MAX_DEPTH:
            self.fail("more than 100 groups in each other")
        parts = [self.sequence(depth)]
        while self.take("|"):
            parts.append(self.sequence(depth))
        return choice(parts)

    def sequence(self, depth: int) -> Node:
        """Parse atoms up to ``|`` or ``)``."""
        parts: list[Node] = []
        while self.pos < len(self.text) and self.peek() not in "|)":
            parts.append(self.quantified(self.atom(depth)))
        return chain(parts)

    def atom(self, depth: int) -> Node:
        """Parse one atom without its quantifier."""
        char = self.text[self.pos]
        if char == "(":
            return self.group(depth)
        self.pos += 1
        match char:
            case "^" | "$":
                return anchor(char)
            case ".":
                return Plain(symbols(self.dialect.dot))
            case "[":
                return Plain(symbols(self.bracket()))
            case "\\":
                return self.assertion() or self.reference() or Plain(symbols(self.escape(inside=False)))
            case "*" | "+" | "?":
                self.pos -= 1
                self.fail("nothing to repeat")
        return Plain(symbols(self.cased(single(ord(char)))))

    def assertion(self) -> Node | None:
        """Parse an escape that matches no character, after its backslash; None for another escape."""
        char = self.peek()
        if char not in tuple("AzZbB<>"):
            return None
        self.pos += 1
        if char == "Z" and self.dialect.is_raw:  # a line feed may follow
            line_feed = chain([Plain(symbols(single(10))), Next(single(END))])
            return Ahead(choice([line_feed, Next(single(END))]), is_negative=False)
        if char in NAMES:
            return anchor(NAMES[char])
        if char in "bB" and self.peek() == "{":
            self.fail("a kind of word boundary that is not supported")
        return word_boundary(self.dialect.word, inverse(self.dialect.word), char)

    def reference(self) -> Node | None:
        """Parse a backreference after its backslash: to a number, or to a name after ``k``."""
        char = self.peek()
        if char not in tuple("k123456789"):
            return None
        self.pos += char == "k"
        digits = DIGITS.match(self.text, self.pos)
        if digits is None:
            self.fail("\\k without a name")
        self.pos = digits.end()
        number = int(digits[0]) if digits[0].isdigit() and len(digits[0]) < 5 else 0
        group = self.groups[number - 1] if 0 < number <= len(self.groups) else None
        return Plain(or_((EMPTY, group.term)) if isinstance(group, Plain) else ANYTHING, exact=False)

    def group(self, depth: int) -> Node:
        """Parse a group of any kind, or a flag for the rest of the group around it."""
        prefix = GROUP_PREFIX.match(self.text, self.pos)
        assert prefix is not None
        self.pos = prefix.end()
        kind = prefix[1] or ""
        if not kind and self.peek() == "?":
            self.fail("a kind of group that is not supported")
        if kind in ("?i)", "?-i)"):
            self.ignores_case = kind == "?i)"
            return Plain(EMPTY)
        number, flag = len(self.groups), self.ignores_case
        if not kind or kind[-1] == ">":
            self.groups.append(None)
        if kind in ("?i:", "?-i:"):
            self.ignores_case = kind == "?i:"
        inside = self.alternatives(depth + 1)
        self.ignores_case = flag
        if not self.take(")"):
            self.fail("an unmatched (")
        if not kind or kind[-1] == ">":
            self.groups[number] = inside
        match kind:
            case "?=" | "?!":
                return Ahead(inside, kind == "?!")
            case "?<=" | "?<!":
                ranges = looked_behind(inside)
                if ranges is None:
                    return Plain(EMPTY, exact=False)
                return Behind(inverse(ranges, START) if kind == "?<!" else ranges)
        return inside

    def quantified(self, part: Node) -> Node:
        """``part`` with the quantifier that follows, if any."""
        bounds = QUANTIFIERS.get(self.peek())
        if bounds is not None:
            self.pos += 1
        elif self.peek() == "{":
            bounds = self.braces()
        if bounds is None:
            return part
        repeated = loop(part, *bounds)
        self.take("?")  # a lazy quantifier denotes the same strings
        if self.take("+"):  # a possessive one gives nothing back
            repeated = chain([repeated, Plain(EMPTY, exact=False)])
        if self.peek() in ("*", "+", "?") or BRACES.match(self.text, self.pos):
            self.fail("a repetition that is repeated")
        return repeated

    def braces(self) -> tuple[int, int | None] | None:
        """Parse ``{m}``, ``{m,}`` or ``{m,n}``; None if the brace is an ordinary character."""
        match = BRACES.match(self.text, self.pos)
        if match is None:
            return None
        low, comma, high = match[1] or "0", match[2] or match[4], match[3] or match[5]
        if match[4] and not is_accepted(self.text):  # ECMA 262 has no {,n}
            return None
        if len(low) > 9 or len(high or "") > 9:
            self.fail("a count of more than nine digits")
        self.pos = match.end()
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            self.fail("counts the wrong way round")
        return least, most


def anchor(char: str) -> Node:
    """The assertion of ``^`` or ``$``."""
    return Behind(single(START)) if char == "^" else Next(single(END))


def word_boundary(word: Ranges, rest: Ranges, kind: str) -> Node:
    """A boundary between ``word`` and ``rest`` ("b"), none ("B"), or a word's start ("<") or end (">")."""
    before = Behind(word), Behind((*rest, (START, START)))
    following = Next(word), Next((*rest, (END, END)))
    match kind:
        case "<":
            return chain([before[1], following[0]])
        case ">":
            return chain([before[0], following[1]])
    pairs = ((0, 1), (1, 0)) if kind == "b" else ((0, 0), (1, 1))
    return choice([chain([before[left], following[right]]) for left, right in pairs])


def looked_behind(part: Node) -> Ranges | None:
    """The symbols, or START, one of which a lookbehind requires; None if it requires several."""
    options = part.parts if isinstance(part, Group) and part.is_choice else (part,)
    pairs: list[tuple[int, int]] = []
    for option in options:
        match option:
            case Plain(Symbols(ranges), True) | Behind(ranges):
                pairs += ranges
            case _:
                return None
    return union(pairs)
