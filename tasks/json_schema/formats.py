"""Formats of JSON Schema as regular expressions, stricter than their RFCs where those are not regular.

>>> from solver.tasks.languages.regex import matches
>>> matches(term("date"), "2024-02-29"), matches(term("date"), "2023-02-29")
(True, False)
>>> term("color") is None  # unknown formats assert nothing
True
"""

from functools import cache

from solver.tasks.languages import regex_parser
from solver.tasks.languages.regex import Term

_DAY = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16 = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [f"(?:{_H16}:){{7}}{_H16}", f"(?:{_H16}:){{6}}{_IPV4}", "::"]
    + [f"(?:{_H16}:){{{n}}}(?::{_H16}){{1,{7 - n}}}" for n in range(1, 7)]
    + [f":(?::{_H16}){{1,7}}", f"(?:{_H16}:){{1,7}}:", f"::(?:{_H16}:){{0,5}}{_IPV4}"]
)
_PERCENT = "%[0-9A-Fa-f]{2}"
_PATH = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|{_PERCENT})"
_AUTHORITY = rf"(?:[A-Za-z0-9._~!$&'()*+,;=-]|{_PERCENT})*(?::[0-9]{{1,5}})?"
_TAIL = rf"(?:\?(?:{_PATH}|[/?])*)?(?:#(?:{_PATH}|[/?])*)?"
_URI = rf"[A-Za-z][A-Za-z0-9+.-]*:(?://{_AUTHORITY}(?:/{_PATH}*)*|/?(?:{_PATH}+(?:/{_PATH}*)*)?){_TAIL}"
_REFERENCE = (
    rf"(?:{_URI}|(?://{_AUTHORITY})?(?:/{_PATH}*)+{_TAIL}"
    rf"|(?:[A-Za-z0-9._~!$&'()*+,;=@-]+(?:/{_PATH}*)*)?{_TAIL})"
)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DURATION = (
    r"P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
    r"(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))?"
    r"|T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))"
)

PATTERNS = {
    "date": _DAY,
    "time": _CLOCK,
    "date-time": f"{_DAY}[Tt]{_CLOCK}",
    "duration": _DURATION,
    "email": rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+",
    "hostname": rf"{_LABEL}(?:\.{_LABEL})*",
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _URI,
    "uri-reference": _REFERENCE,
    "uuid": "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "json-pointer": "(?:/(?:[^/~]|~[01])*)*",
    "relative-json-pointer": "(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^/~]|~[01])*)*)",
}
PATTERNS |= {"idn-email": PATTERNS["email"], "idn-hostname": PATTERNS["hostname"]}
PATTERNS |= {"iri": _URI, "iri-reference": _REFERENCE}
DECLINED = frozenset(["regex", "uri-template"])


@cache
def term(name: str) -> Term | None:
    """The texts of a format; None if it is unknown, and therefore asserts nothing, or in ``DECLINED``."""
    pattern = PATTERNS.get(name)
    return None if pattern is None else regex_parser.search(f"^(?:{pattern})$")
