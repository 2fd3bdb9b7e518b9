"""Terms and derivatives against Python's re; byte automata; patterns that are refused."""

from __future__ import annotations

import gc
import re
from contextlib import suppress

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import solver
from solver.tasks.json_schema.strings import clip_repeats
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton, TooLargeError, string_automaton
from solver.tasks.languages.regex import anchored, literal, matches, start_state, transitions
from solver.tasks.languages.regex_parser import PatternError, fullmatch, search, search_above, search_usual
from solver.tasks.languages.term_structure import as_literals, under_approximation
from solver.tasks.languages.validator_sets import is_accepted

ALPHABET = "abc1,\n"
atoms = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", "1", ","])


def extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = inner.map(lambda p: f"(?:{p})")
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(groups, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "*?"])).map("".join),
        st.tuples(groups, groups).map("|".join),
    )


patterns = st.recursive(atoms, extended, max_leaves=6)
anchored_patterns = st.tuples(
    st.sampled_from(["", "^", "(?=.*a)", "(?!b)", "^(?!.*1)"]), patterns, st.sampled_from(["", "$"])
).map("".join)
subjects = st.text(ALPHABET, max_size=6)


@given(anchored_patterns, subjects)
def test_search_agrees_with_re(pattern: str, subject: str) -> None:
    expected = re.search(pattern.replace("$", r"\Z"), subject, re.ASCII) is not None
    assert matches(search(pattern), subject) == expected


@given(patterns, patterns, subjects)
def test_and_or_not_of_terms_are_those_of_their_subjects(one: str, other: str, subject: str) -> None:
    first, second = search(one), search(other)
    assert matches(first & ~second, subject) == (matches(first, subject) and not matches(second, subject))
    assert matches(first | second, subject) == (matches(first, subject) or matches(second, subject))


@given(anchored_patterns, subjects)
def test_an_under_approximation_is_a_subset(pattern: str, subject: str) -> None:
    term = search(pattern)
    if matches(under_approximation(term), subject):
        assert matches(term, subject)


@given(patterns, patterns, patterns)
def test_connectives_have_one_normal_form(first: str, second: str, third: str) -> None:
    x, y, z = search(first), search(second), search(third)
    assert x & (y & z) is z & y & x
    assert x | (y | z) is z | y | x
    assert ~~x is x
    assert x & ~x is regex.NEVER
    assert x | ~x is regex.EVERYTHING


@given(patterns, subjects)
def test_fullmatch_agrees_with_re(pattern: str, subject: str) -> None:
    assert matches(fullmatch(pattern), subject) == (re.fullmatch(pattern, subject, re.ASCII) is not None)


@pytest.mark.parametrize(
    ("pattern", "subject", "found"),
    [
        (r"\p{Lu}", "é", False),
        (r"\p{Lu}", "É", True),
        (r"^\p{L}+$", "日本", True),
        (r"^\u{1F600}$", "😀", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^[\x41-\x43]+$", "ABC", True),
        (r"^\S$", "\u00a0", False),  # a space of ECMA's
        (r"^.$", "\u2028", False),
        ("a{,2}", "a{,2}", True),  # an ordinary brace
        (r"^\cJ$", "\n", True),
        (r"\Aab\Z", "ab", True),
        ("^^a$$", "a", True),
        ("(^|,)a(,|$)", "b,a", True),
        ("^(?!ab).+", "ab", False),
        ("^(^$|^\\d+$)$", "12", True),
        ("^(^$|^\\d+$)$", "a", False),
        ("^(?:^a|b)$", "a", True),
        ("^((^|-)[a-z0-9]+)+$", "a-b", True),
        ("^((^|-)[a-z0-9]+)+$", "a-", False),
        ("^(a$|b)*$", "bba", True),
        ("^(a$|b)*$", "ab", False),
        ("^(?=^.{2,5}$)[a-z]+$", "abc", True),
        ("^(?=^.{2,5}$)[a-z]+$", "abcdef", False),
        ("^(?!^-)[-a-z]{1}$", "-", False),
        ("$^", "", True),
        ("^(^|^^|-){3}$", "-", True),
        ("^((?!foo).)*$", "a fool", False),
        ("^((?!foo).)*$", "of o", True),
        (r"\bfoo\b", "a foo", True),
        (r"\bfoo\b", "afoo", False),
        (r"\Bfoo", "éfoo", True),  # the validator's words are Unicode's
        ("(?<![a-z])b", "ab", False),
        ("(?<=^|,)b", ",b", True),
        ("^[]a]$", "]", True),
        (r"^a\z", "a", True),
        ("(?i)^straße$", "STRASSE", False),
        ("(?i)^[a-c]+$", "aBC", True),
        (r"^\p{Alphabetic}$", "\u0345", True),  # a mark, in no category of letters
        (r"^\p{Script=Greek}+$", "αβ", True),
        (r"^(?=.*\d)", "٣", True),  # with lookahead, the validator's digits are Unicode's
        (r"^\d", "٣", False),
    ],
)
def test_ecma_syntax_and_unicode_are_understood(pattern: str, subject: str, found: bool) -> None:
    assert matches(search(pattern), subject) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a**",
        "[a",
        r"\1",
        "a{3,2}",
        "*",
        r"\p{Unknown}",
        "(?<=ab)c",
        r"(a)\1",
        "a++b",
        "(?m)^a",
        "(?>a)",
        "[b-a]",
        r"\x1",
        "a\\",
        "(" * 200 + ")" * 200,
    ],
)
def test_patterns_that_no_automaton_expresses_are_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(PatternError) as error:
        search(pattern)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [(r"^(a|b)\1$", "aa"), ("(?<=ab)c", "abc"), ("(?<!ab)c", "c"), ("^(?!(?<!ab)c)", "abc"), ("a++b", "aab")],
)
def test_what_no_automaton_expresses_is_approximated_from_above(pattern: str, subject: str) -> None:
    term, is_exact = search_above(pattern)
    assert matches(term, subject)
    assert not is_exact


def test_a_pattern_of_very_many_parts_is_refused() -> None:
    with pytest.raises(PatternError, match="too many groups"):
        search(r"(?:a\b|)" * 1001)
    with pytest.raises(PatternError, match="too many parts"):
        search("^" + "(a|b?)" * 2000 + "$")


@pytest.mark.parametrize(
    "pattern",
    [
        "^" + r"(?=.*[a-z].*)" * 20 + r"(?=.*\d.*\d)(?!.*(aa|bb|cc|dd|ee|ff).*).{20,40}$",
        "^((a{1,50}){1,50}){1,50}$",
        "^.*.*.*.*.*x$",
        "^(" + "|".join(f"w{number}x*" for number in range(500)) + ")+$",
        "^" + "".join(f"({letter}|)" for letter in "abcdefghij" * 20) + "$",
    ],
)
def test_patterns_that_repeat_themselves_have_small_automata(pattern: str) -> None:
    start = start_state(clip_repeats(search(pattern), 256))
    assert string_automaton(start, 256, quoted=True).min_length > 0


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 30))
def test_a_repetition_of_a_repetition_has_the_same_counts(
    low: int, more: int, outer_low: int, outer_more: int, count: int
) -> None:
    inner = regex.repeat(literal("a"), low, low + more)
    outer = regex.repeat(inner, outer_low, outer_low + outer_more)
    possible = any(
        low * times <= count <= (low + more) * times for times in range(outer_low, outer_low + outer_more + 1)
    )
    assert matches(anchored(outer), "a" * count) == possible


def test_terms_that_are_no_longer_used_are_freed() -> None:
    def terms() -> int:
        gc.collect()
        return len(regex._TERMS)

    before = terms()
    for number in range(3):
        search_above.cache_clear()
        matches(search(f"^(some|pattern{number})*[0-9]{{2,50}}$"), "some12")
        regex.derivative.cache_clear()
    search_above.cache_clear()
    assert terms() <= before


# Patterns with assertions in any place, as people write them and as they do not.
assertions = st.sampled_from(
    ["^", "$", "^", "$", r"\b", r"\B", "(?=a)", "(?!b)", "(?!^)", "(?=.*1$)", "(?<=a)", "(?<!b)"]
)
wild_patterns = st.recursive(st.one_of(atoms, assertions, st.just("")), extended, max_leaves=8)


@given(wild_patterns, subjects)
@settings(max_examples=200)
def test_assertions_mean_the_same_as_in_an_engine_for_ecma_262(pattern: str, subject: str) -> None:
    regress = pytest.importorskip("regress")
    assert matches(search_usual(pattern), subject) == (regress.Regex(pattern, "u").find(subject) is not None)


@given(wild_patterns.filter(is_accepted), st.text("ab1,\né٣\r", max_size=6))
@settings(max_examples=200)
def test_what_the_validator_accepts_is_in_the_language_and_nothing_else(pattern: str, subject: str) -> None:
    assert matches(search(pattern), subject) == jsonschema_rs.is_valid({"pattern": pattern}, subject)


@given(wild_patterns.filter(is_accepted), subjects)
@settings(max_examples=10)
def test_a_schema_with_a_known_instance_is_never_called_unsatisfiable(pattern: str, subject: str) -> None:
    if jsonschema_rs.is_valid({"pattern": pattern}, subject):
        for schema in (
            {"enum": [subject], "pattern": pattern},
            {"const": {subject: 1}, "propertyNames": {"pattern": pattern}},
            {"const": {subject: 1}, "patternProperties": {pattern: {}}, "additionalProperties": False},
        ):
            assert solver.fill(schema, denoiser="random", length=64, seconds=None).status == "solved"


def through(piece: ByteAutomaton, text: bytes) -> bool:
    now = {0}
    for byte in text:
        now = {
            int(d)
            for s, m, d in zip(piece.src, piece.label, piece.dst, strict=True)
            if s in now and LABELS[m] >> byte & 1
        }
    return piece.num_states in now or bool(now & set(piece.ends))


@given(st.text(max_size=4), st.sampled_from(["^.*$", "^[^é]+$", r"^\p{L}*$", "^[\u0100-\U0001f600]+$"]))
def test_a_byte_automaton_accepts_the_utf8_of_its_pattern(subject: str, pattern: str) -> None:
    piece = string_automaton(start_state(search(pattern)), 16, quoted=False)
    assert through(piece, subject.encode()) == matches(search(pattern), subject)


def test_invalid_utf8_is_never_accepted() -> None:
    piece = string_automaton(start_state(search("")), 16, quoted=False)
    for wrong in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82"):
        assert not through(piece, wrong)


def test_an_automaton_beyond_the_limit_raises_too_large_error() -> None:
    with pytest.raises(TooLargeError):
        string_automaton(start_state(search("a.{20}b.{20}c")), 256, quoted=True)


def test_a_union_of_literals_is_listed() -> None:
    assert sorted(as_literals(anchored(literal("x")) | anchored(literal("yz")), 10) or ()) == [
        "x",
        "yz",
    ]
    assert as_literals(search("a"), 10) is None


def test_transitions_are_disjoint() -> None:
    for state in (start_state(search("^a[b-z]|c")), start_state(search(r"\d+x"))):
        seen = [
            symbol
            for ranges, _ in transitions(state)
            for lo, hi in ranges
            for symbol in range(lo, min(hi, 300) + 1)
        ]
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "pattern", [r"^(?=\.*?)\Wb$", r"^(?=.)\w?b$", r"^(?=.)(?=\D)[^\d]b$", r"^(?=.*b)\d?b$"]
)
@pytest.mark.parametrize("subject", ["éb", "-b", "b", "٣b", "3b"])
def test_lookahead_at_the_start_excludes_nothing_that_the_validator_accepts(
    pattern: str, subject: str
) -> None:
    """The validator may split such a pattern and translate its parts, or read all of it by Unicode."""
    term, is_exact = search_above(pattern)
    is_accepted = jsonschema_rs.is_valid({"pattern": pattern}, subject)
    assert matches(term, subject) or not is_accepted
    assert not is_exact or matches(term, subject) == is_accepted


CLASS_MEMBERS = "]abcdefgé٣[-&(?:)$+19"
class_pieces = st.sampled_from(
    ["a", "b-e", r"\d", r"\D", "[a-c]", "[^a]", "[[]", "[a&&b]", "[]", "]", "(?:", ")", "$", "&", "+", "--"]
)


@given(st.sampled_from(["", "(?<!é)", r"\B"]), st.sampled_from(["[]", "[^]"]), st.lists(class_pieces))
@settings(max_examples=60)
@example("", "[]", ["a", "[b-e]"]).via("a class in it is a part")
@example("(?<!é)", "[^]", ["[a-c]"]).via("it is negated")
def test_an_empty_class_of_ecma_262_begins_a_class_where_the_validator_says_so(
    before: str, opening: str, pieces: list[str]
) -> None:
    pattern = f"{before}{opening}{''.join(pieces)}]"
    if is_accepted(pattern):
        accepts = jsonschema_rs.validator_for({"pattern": pattern}).is_valid
        with suppress(PatternError):  # operations on classes
            term = search(pattern)
            assert [matches(term, char) for char in CLASS_MEMBERS] == [*map(accepts, CLASS_MEMBERS)]


@pytest.mark.parametrize("subject", [".booo7\n", "o-ÉÉ]", "o-", "é", ""])
def test_a_class_goes_on_through_alternatives_and_groups(subject: str) -> None:
    pattern = r"[\w.-](?<n1>|^[]+?\D+|$[a-z](?:foo)?\d)$(?!é|]|[a-z0-9]foo)|foo(?<!|\b\s\t)-(?:\p{Lu}{,2}$)"
    assert matches(search_above(pattern)[0], subject) == jsonschema_rs.is_valid({"pattern": pattern}, subject)


@pytest.mark.parametrize("pattern", ["[]a&&b]", r"[^\d--1]", r"[^a-\x63--e]"])
def test_a_class_with_several_readings_is_left_to_the_validator(pattern: str) -> None:
    assert is_accepted(pattern)
    with pytest.raises(PatternError, match=r"operation|hyphens"):
        search(pattern)


@pytest.mark.parametrize(("pattern", "char"), [("[a-c--b]", "A"), (r"[\w--]", "-"), ("[--9]", "/")])
def test_hyphens_in_a_class_with_one_reading_are_understood(pattern: str, char: str) -> None:
    assert matches(search(pattern), char)
    assert jsonschema_rs.is_valid({"pattern": pattern}, char)
