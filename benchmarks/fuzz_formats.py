"""Compare the patterns of formats with the validator, on mutations of valid and of nearly valid texts.

    python benchmarks/fuzz_schemas.py --kind formats --count 40000 --seed 0

Each valid text must be among the possible ones, and each usual text must be valid. Texts that are possible and
not valid are counted: they are left to the validator.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from solver.tasks.json_schema.formats import FORMATS, whole
from solver.tasks.languages.regex import matches

DATES = ["2024-02-29", "0000-02-29", "1999-12-31", "2000-04-30", "1900-02-29"]
TIMES = ["23:59:60Z", "12:00:00z", "01:29:60+01:30", "00:00:00.123456789-23:59", "15:59:60-08:00"]
EMAILS = [
    '"joe bloggs"@example.com',
    "a@b",
    "joe <joe@x.org>",
    "joe@[127.0.0.1]",
    "joe@[IPv6:::1]",
    "a.b+c@d-e.f",
    "üñ@x.de",
    '"a\\"b"@c.de',
    '"<a>"@b.c',
    "!#$%&'*+-/=?^_`{|}~@x.y",
    'Joe Q. "x" <a@b.c>',
    '"(),:;<>[\\]"@x.org',
    "a@xn--bcher-kva.de",
]
URIS = [
    "http://[::1]/",
    "ftp://user:pw@host.test:21/a;b?c=d",
    "urn:isbn:0451450523",
    "http://a%20b/%7e?x#y/z",
    "a:",
    "a://",
    "mailto:x@y",
    "http://[v1.a:b]/",
    "file:///etc/passwd",
    "http://h:/",
    "x:/y//z",
    "http://[fe80::1.2.3.4]",
    "A+b.-1:?",
    "http://a@b@c/",
    "a:b:c:[d]",
]
REFERENCES = [
    "",
    "//h/p",
    "/a//b",
    "a/b:c",
    "?q",
    "#f",
    "./a:b",
    "a;b=c",
    "%41",
    "http://x",
    "..",
    "//[::]:1",
]
SAMPLES: dict[str, list[str]] = {
    "date": DATES,
    "time": TIMES,
    "date-time": [f"{DATES[0]}t{TIMES[0]}", f"{DATES[1]}T00:00:00.5+00:00", f"1998-12-31T{TIMES[4]}"],
    "duration": ["P1Y2M3DT4H5M6S", "P4W", "PT36H", "P1WT1H", "P1M", "PT1M", "P0D"],
    "email": EMAILS,
    "idn-email": [*EMAILS, "实例@实例.广告", '"ü b"@bücher.de', "Ü <a@ü.de>"],
    "hostname": ["example.com", "a-b.c", "xn--bcher-kva.de", "a" * 63, "1.2.3", "localhost", "ab--c"],
    "idn-hostname": [
        "bücher.de",
        "实例。广告",
        "例．jp",
        "faß.de",
        "l\u00b7l.cat",
        "xn--bcher-kva.de",
        "Ex-Ample.COM",
        "א.com",
        "\u0628\u200c\u0629",
        "a｡b",
        "\u00adab",
    ],
    "ipv4": ["127.0.0.1", "255.255.255.255", "01.2.3.4"],
    "ipv6": [
        "::",
        "::1",
        "1::",
        "64:ff9b::1.2.3.4",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:1.2.3.4",
        "1::3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:1.2.3.4",
        "1:2:3:4::1.2.3.4",
        "fe80::1%eth0",
    ],
    "uri": URIS,
    "uri-reference": REFERENCES,
    "iri": [
        *URIS,
        "http://ü.de/é?\ue000#ñ",
        "ñ://x",
        "http://\u00a0x/",
        "a:\U000e0001",
        "http://x?\U000f0000",
    ],
    "iri-reference": [*REFERENCES, "é/ü", "?\ue000", "#é", "//ü:1"],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"],
    "json-pointer": ["", "/", "/a~1b/~0", "//", "/\x00é"],
    "relative-json-pointer": ["0", "1/a", "0#", "120#", "1", "0/~0"],
    "uri-template": ["http://x/{a}", "{+a,b*}", "{?x:3}", "{;a.b%20}", "é{a}", "'{a}'", "%41"],
    "regex": ["^a(?=b)$", "[a-z]+", "(?<n>x)", "\\p{L}", "(", "a{2,1}", "\\Z", "[]"],
}
ODD = "\x00\n\t\x85\u00a0éüßÀ\u00b7\u0660\u3002\uff0e\u200d\ue000\ufdd0\U000f0000\U0001f600"
CHARACTERS = "".join(map(chr, range(32, 127))) + ODD
MAX_SAMPLES = 400


def mutated(rng: random.Random, text: str, samples: list[str]) -> str:
    """Change a text in one to three places: insert, delete, replace, repeat, or continue as another sample."""
    alphabet = [*CHARACTERS, *"".join(samples)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        start, end = sorted(rng.choices(range(len(text) + 1), k=2))
        sample = rng.choice(samples)
        text = rng.choice(
            (
                text[:start] + rng.choice(alphabet) + text[start:],
                text[:start] + text[start + 1 :],
                text[:start] + rng.choice(alphabet) + text[start + 1 :],
                text[:start] + sample[rng.randrange(len(sample) + 1) :],
                text[:end] + text[start:end] + text[end:],
                text[:start] + text[end:],
            )
        )
    return text[:300]


def fuzz_format(name: str, count: int, seed: int) -> tuple[dict[str, int], list[str]]:
    """Compare one format with the validator; return figures, and the texts for which a pattern is wrong."""
    rng = random.Random(f"{seed} {name}")
    validator = jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)
    known, samples = FORMATS[name], list(SAMPLES[name])
    possible, usual = whole(known.all), whole(known.usual or known.all)
    figures = {"valid": 0, "left to the validator": 0}
    wrong = []
    for _ in range(count):
        text = mutated(rng, rng.choice(samples), samples)
        is_valid, is_possible = validator.is_valid(text), matches(possible, text)
        figures["valid"] += is_valid
        figures["left to the validator"] += is_possible and not is_valid
        if is_valid and len(samples) < MAX_SAMPLES and rng.random() < 0.05:
            samples.append(text)
        if is_valid and not is_possible:
            wrong.append(f"valid and not possible: {text!r}")
        if not is_valid and (matches(usual, text) or (is_possible and known.is_exact)):
            wrong.append(f"{'possible' if known.is_exact else 'usual'} and not valid: {text!r}")
    return figures, wrong


def fuzz_formats(count: int, seed: int) -> Iterator[str]:
    """Compare all formats, print their figures, and yield what is wrong."""
    for name in FORMATS:
        figures, wrong = fuzz_format(name, count, seed)
        print(f"{name:22} {figures} of {count}; wrong: {len(wrong)}", flush=True)
        yield from (f"{name}: {line}" for line in wrong)
