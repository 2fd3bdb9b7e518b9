r"""Formats of JSON Schema: which drafts define them, the texts that are valid, and those that are usual.

>>> from solver.tasks.languages.regex import matches
>>> date = assertion("date", 2020, usual=True)
>>> matches(date.possible, "2024-02-29"), matches(date.possible, "2023-02-29")
(True, False)
>>> email = assertion("email", 2020, usual=False)
>>> matches(email.possible, '"a b"@example.org'), matches(email.certain, '"a b"@example.org')
(True, False)
>>> assertion("color", 2020, usual=True), assertion("duration", 7, usual=True)  # not defined: nothing is asserted
(None, None)

The validator decides what is valid (``jsonschema_rs``). A format has two patterns. *Usual* texts are proposed: all
of them are valid, in the opinion of other validators too. The pattern of *all* texts contains every valid one, and
a few that the validator refuses: only with this pattern may a schema be called unsatisfiable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

from solver.tasks.json_schema.validator import build_validator
from solver.tasks.languages import regex_parser
from solver.tasks.languages.compiled import compiled
from solver.tasks.languages.regex import Term

ANY_TEXT = r"[\s\S]*"


@dataclass(frozen=True)
class Format:
    """Patterns of a format.

    Attributes:
        first_draft: the first draft that defines it; all later ones do.
        all: every valid text.
        usual: valid texts that are proposed; None: all.
        is_exact: whether all texts of the pattern ``all`` are valid.
    """

    first_draft: int
    all: str
    usual: str | None = None
    is_exact: bool = True


_LONG_MONTHS = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_DATE = (
    rf"(?:[0-9]{{4}}-(?:{_LONG_MONTHS}|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_HOUR, _MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
# A leap second is valid at the end of a day in UTC only, which is more than this pattern says.
_TIME = rf"{_HOUR}:{_MINUTE}:(?:{_MINUTE}|60)(?:\.[0-9]+)?(?:[Zz]|[+-]{_HOUR}:{_MINUTE})"
_USUAL_TIME = rf"{_HOUR}:{_MINUTE}:{_MINUTE}(?:\.[0-9]{{1,6}})?(?:Z|[+-](?:0[0-9]|1[0-4]):{_MINUTE})"
_USUAL_DATE = f"(?!0000){_DATE}"  # as in Python, there is no year 0

_DAYS = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_CLOCK = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION = f"P(?:[0-9]+W|{_DAYS}(?:{_CLOCK})?|{_CLOCK})"

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_USUAL_LABEL = "[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,20}"  # no two hyphens, which are reserved
_USUAL_HOSTNAME = rf"{_USUAL_LABEL}(?:\.{_USUAL_LABEL}){{0,4}}"
_USUAL_DOMAIN = rf"(?:{_USUAL_LABEL}\.){{1,3}}[a-zA-Z]{{2,12}}"
_IDN_HOSTNAME = r"(?:[a-zA-Z0-9.-]|[^\x00-\x7f])+"
_USUAL_IDN_LABEL = "[a-z0-9à-öø-ÿ](?:-?[a-z0-9à-öø-ÿ]){0,10}"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9a-fA-F]{1,4}"


def _ipv6() -> str:
    """Eight groups, of which the last two may be an IPv4 address; "::" stands for one or more."""
    texts = [f"(?:{_GROUP}:){{7}}{_GROUP}", f"(?:{_GROUP}:){{6}}{_IPV4}"]
    for before in range(8):
        head = f"{_GROUP}(?::{_GROUP}){{{before - 1}}}" if before else ""
        after = 7 - before
        tails = [f"{_GROUP}(?::{_GROUP}){{0,{after - 1}}}"] if after else []
        tails += [f"(?:{_GROUP}:){{0,{after - 2}}}{_IPV4}"] if after > 1 else []
        texts.append(f"{head}::" + (f"(?:{'|'.join(tails)})?" if tails else ""))
    return "|".join(texts)


_IPV6 = _ipv6()

_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_IDN_ATOM = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])+"
_LITERAL = rf"\[(?:{_IPV4}|IPv6:(?:{_IPV6}))\]"
_DOMAIN = "[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?"
_USUAL_LOCAL = "[A-Za-z0-9](?:[._+-]?[A-Za-z0-9]){0,30}"


def _email(atom: str, domain: str) -> str:
    """An address, or a name with an address in angle brackets."""
    local = rf'(?:{atom}(?:\.{atom})*|"(?:[^"\\]|\\[\s\S])*")'
    named = rf"{ANY_TEXT}<{ANY_TEXT}@(?:{domain}|\[[^<>]*\])>[\s\x85]*"
    return f"(?:{local}@(?:{domain}|{_LITERAL})|{named})"


_PERCENT = "%[0-9A-Fa-f]{2}"
_PLANES = "".join(rf"\u{{{plane:x}0000}}-\u{{{plane:x}fffd}}" for plane in range(1, 14))
_LETTERS = {  # besides ASCII, in any component and in queries (RFC 3987)
    "uri": ("", ""),
    "iri": (
        rf"\u{{a0}}-\u{{d7ff}}\u{{f900}}-\u{{fdcf}}\u{{fdf0}}-\u{{ffef}}{_PLANES}\u{{e1000}}-\u{{efffd}}",
        r"\u{e000}-\u{f8ff}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}",
    ),
}


def _uri(kind: str, reference: bool) -> str:
    """RFC 3986 and 3987, whose grammars are regular."""
    wide, private = _LETTERS[kind]
    unit = rf"A-Za-z0-9._~!$&'()*+,;=\-{wide}"
    segment = f"(?:[{unit}:@]|{_PERCENT})"
    userinfo, name = f"(?:[{unit}:]|{_PERCENT})*", f"(?:[{unit}]|{_PERCENT})*"
    future = r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+"
    host = rf"(?:\[(?:{_IPV6}|{future})\]|{name})"
    authority = f"//(?:{userinfo}@)?{host}(?::[0-9]*)?(?:/{segment}*)*"
    absolute, rootless = f"/(?:{segment}+(?:/{segment}*)*)?", f"{segment}+(?:/{segment}*)*"
    tail = rf"(?:\?(?:[{unit}:@/?{private}]|{_PERCENT})*)?(?:#(?:[{unit}:@/?]|{_PERCENT})*)?"
    whole = f"[A-Za-z][A-Za-z0-9+.-]*:(?:{authority}|{absolute}|{rootless}|){tail}"
    first = f"(?:[{unit}@]|{_PERCENT})+(?:/{segment}*)*"
    return f"(?:{whole}|(?:{authority}|{absolute}|{first}|){tail})" if reference else whole


_USUAL_UNIT = "[A-Za-z0-9._~!$&'()*+,;=:@-]"
_USUAL_TAIL = rf"(?:\?(?:{_USUAL_UNIT}|[/?])*)?(?:#(?:{_USUAL_UNIT}|[/?])*)?"
_USUAL_PATH = f"(?:/{_USUAL_UNIT}*)*"
_USUAL_PORT = "(?::[1-9][0-9]{0,3})?"
_USUAL_URI = (
    rf"(?:[a-z][a-z0-9+.-]*://{_USUAL_HOSTNAME}{_USUAL_PORT}{_USUAL_PATH}{_USUAL_TAIL}"
    rf"|(?:mailto|urn|tel|data):{_USUAL_UNIT}+)"
)
_USUAL_REFERENCE = rf"(?:{_USUAL_URI}|(?:/|(?:/?[A-Za-z0-9._~-]+)(?:/[A-Za-z0-9._~-]+)*/?){_USUAL_TAIL})"

_VARIABLE = rf"(?:[A-Za-z0-9_]|{_PERCENT})+(?:\.(?:[A-Za-z0-9_]|{_PERCENT})+)*(?::[1-9][0-9]{{0,3}}|\*)?"
_EXPRESSION = rf"\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}}"
_TEMPLATE = rf"(?:[^\x00-\x20\x7f\"<>%\\^`{{|}}]|{_PERCENT}|{_EXPRESSION})*"
_USUAL_TEMPLATE = r"(?:[A-Za-z0-9/:._~-]|\{[A-Za-z][A-Za-z0-9_]*\})+"
_USUAL_REGEX = r"\^?(?:(?:[A-Za-z0-9_ -]|\\[dws.]|\[(?:a-z|A-Z|0-9|A-Za-z0-9_)\])[+*?]?)+\$?"
_POINTER = "(?:/(?:[^/~]|~[01])*)*"

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "date": Format(4, _DATE, _USUAL_DATE),
        "time": Format(4, _TIME, _USUAL_TIME, is_exact=False),
        "date-time": Format(4, f"{_DATE}[Tt]{_TIME}", f"{_USUAL_DATE}T{_USUAL_TIME}", is_exact=False),
        "duration": Format(2019, _DURATION),
        "email": Format(4, _email(_ATOM, _DOMAIN), f"{_USUAL_LOCAL}@{_USUAL_DOMAIN}", is_exact=False),
        "idn-email": Format(
            4, _email(_IDN_ATOM, _IDN_HOSTNAME), f"{_USUAL_LOCAL}@{_USUAL_DOMAIN}", is_exact=False
        ),
        # The length of the whole name and what follows "xn--" are left to the validator.
        "hostname": Format(4, _HOSTNAME, _USUAL_HOSTNAME, is_exact=False),
        "idn-hostname": Format(
            7, _IDN_HOSTNAME, rf"{_USUAL_IDN_LABEL}(?:\.{_USUAL_IDN_LABEL}){{0,4}}", is_exact=False
        ),
        "ipv4": Format(4, _IPV4),
        "ipv6": Format(4, _IPV6),
        "uri": Format(4, _uri("uri", reference=False), _USUAL_URI),
        "uri-reference": Format(6, _uri("uri", reference=True), _USUAL_REFERENCE),
        "iri": Format(7, _uri("iri", reference=False), _USUAL_URI),
        "iri-reference": Format(7, _uri("iri", reference=True), _USUAL_REFERENCE),
        "uuid": Format(2019, "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
        "uri-template": Format(6, _TEMPLATE, _USUAL_TEMPLATE),
        "json-pointer": Format(6, _POINTER),
        "relative-json-pointer": Format(7, f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})"),
        "regex": Format(4, ANY_TEXT, _USUAL_REGEX, is_exact=False),
    }
)


@dataclass(frozen=True, eq=False)
class FormatAssertion:
    """A format as schemas of one draft assert it.

    Attributes:
        name: its name.
        draft: the draft.
        usual: whether only usual texts are possible.
    """

    name: str
    draft: int
    usual: bool

    @cached_property
    def possible(self) -> Term:
        """The texts that are proposed, or every valid text."""
        known = FORMATS[self.name]
        return whole((known.usual if self.usual else None) or known.all)

    @cached_property
    def certain(self) -> Term:
        """Texts that are valid."""
        known = FORMATS[self.name]
        return whole((None if known.is_exact else known.usual) or known.all)

    @property
    def is_open(self) -> bool:
        """Whether a possible text may be invalid."""
        return not self.usual and not FORMATS[self.name].is_exact

    @cached_property
    def _validator(self) -> Any:
        return build_validator({"format": self.name}, self.draft)

    def accepts(self, text: str) -> bool:
        """Whether the validator accepts a text."""
        return bool(self._validator.is_valid(text))


@cache
def assertion(name: str, draft: int, usual: bool) -> FormatAssertion | None:
    """Return what a format asserts in a draft; None if the draft does not define it.

    Args:
        name: the format.
        draft: 4, 6, 7, 2019 or 2020.
        usual: whether only usual texts are possible.
    """
    known = FORMATS.get(name)
    if known is None or draft < known.first_draft:
        return None
    return FormatAssertion(name, draft, usual)


@cache
def whole(pattern: str) -> Term:
    """The texts that a pattern matches from beginning to end."""
    return compiled(regex_parser.search(f"^(?:{pattern})$"))
