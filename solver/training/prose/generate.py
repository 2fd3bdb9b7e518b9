"""Makes one record: draws a style and a domain, composes a text, adds noise, and asks for some values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

import numpy as np

from solver.training.prose.compose import Composer, Piece
from solver.training.prose.domain import Domain, Role
from solver.training.prose.forms import FORMS, HELD_OUT_FORMS
from solver.training.prose.library import load_domains
from solver.training.prose.noise import add_noise, wrapped
from solver.training.prose.pools import HELD_OUT_CULTURES, TRAIN_CULTURES
from solver.training.prose.record import RecordBuilder
from solver.training.prose.schema import Places, Schema, Span
from solver.training.prose.style import DocumentStyle

Split = Literal["train", "held-out"]
PROSE_SHARE = 0.68  # of the records; the others have a form


@dataclass(frozen=True)
class ProseRecord:
    """A text and what a careful reader takes from it.

    Attributes:
        text: the document.
        schema: a JSON Schema that ``record`` satisfies.
        record: the values. Strings that the schema does not enumerate are quotes of the text, with white
            space collapsed.
        places: span (start, end) in characters of the text, by the JSON pointer of each scalar of the record.
        absent: pointers of the fields that the text gives no value for: null or left out of the record.
        register: domain and form, as ``invoice/prose``.
    """

    text: str
    schema: dict[str, Any]
    record: Any
    places: Mapping[str, Span]
    absent: tuple[str, ...]
    register: str


def make_prose(
    rng: np.random.Generator,
    split: Split = "train",
    domain: str | None = None,
    form: str | None = None,
) -> ProseRecord:
    """Draw one record.

    Args:
        rng: its state decides everything.
        split: "train" or "held-out", which have no domain and no form of their own in common.
        domain: name of a domain; None for any of the split.
        form: "prose" or a key of ``FORMS``; None for any of the split.

    Raises:
        MissingFakerError: ``faker`` is not installed.
        ValueError: the split does not exist, or the domain is not of the split.
    """
    if split not in ("train", "held-out"):
        raise ValueError(f'split must be "train" or "held-out", not {split!r}')
    held_out = split == "held-out"
    domains = load_domains(held_out)
    if domain is not None and domain not in domains:
        raise ValueError(f"the split {split!r} has no domain {domain!r}")
    source = Random(int(rng.integers(2**62)))
    while True:
        shape = form or draw_form(source, held_out)
        if domain is None and not held_out and shape != "prose" and source.random() < 0.3:
            subject = mixture(source, list(domains.values()))
        else:
            subject = domains[domain or source.choice(list(domains))]
        result = draw_record(source, subject, shape, held_out)
        if result.record:
            return result


def draw_form(rng: Random, held_out: bool) -> str:
    """ "prose" or the name of a form of the split."""
    if rng.random() < PROSE_SHARE:
        return "prose"
    if held_out and rng.random() < 0.4:
        return rng.choice(HELD_OUT_FORMS)
    return rng.choice([name for name in FORMS if name not in HELD_OUT_FORMS])


def mixture(rng: Random, domains: list[Domain]) -> Domain:
    """A domain of roles of several domains that share no name; it has no sentences."""
    roles, names = dict[str, Role](), set[str]()
    for domain in rng.sample(domains, min(len(domains), 4)):
        for name, role in rng.sample(list(domain.roles.items()), min(len(domain.roles), 5)):
            words = {*role.names.replace("||", "|").split("|"), role.generic} - {""}
            if names.isdisjoint(words):
                names |= words
                roles[f"{domain.name}_{name}".replace("-", "_")] = replace(
                    role, group="", implied_by=(), after=""
                )
    return Domain("mixture", roles, ())


def draw_record(rng: Random, domain: Domain, form: str, held_out: bool) -> ProseRecord:
    """A record of a domain; its record may be empty if the text came out without a value."""
    cultures = HELD_OUT_CULTURES if held_out and rng.random() < 0.6 else TRAIN_CULTURES
    style = DocumentStyle.draw(rng, cultures, domain.language, held_out)
    composer = Composer(rng, style, domain)
    pieces = composer.prose() if form == "prose" else FORMS[form](composer)
    pieces = add_noise(rng, pieces, domain.tone)
    text, places = assemble(pieces)
    if form == "prose" and rng.random() < 0.12:
        places = Places(wrapped(text, rng.choice((60, 68, 72, 78, 90))), places.cores, places.extents)
    builder = RecordBuilder(composer, places)
    schema: Schema
    record: Any
    if composer.row_count > 1 and rng.random() < 0.15:
        schema, record = builder.row_array("")
    else:
        schema, record = builder.build()
    title = {"title": rng.choice(domain.titles)} if domain.titles and rng.random() < 0.3 else {}
    spans, absent = builder.top.places, builder.top.absent
    if record and rng.random() < 0.06:
        key = style.key_text(rng.choice(("data", "result", "document", "details", "entry")))
        schema, record = enclosed(rng, key, schema), {key: record}
        spans = {f"/{key}{pointer}": span for pointer, span in spans.items()}
        absent = [f"/{key}{pointer}" for pointer in absent]
    register = f"{domain.name}/{form}"
    return ProseRecord(places.text, {**title, **schema}, record, spans, tuple(absent), register)


def enclosed(rng: Random, key: str, schema: Schema) -> Schema:
    """The schema of an object with one member, which is defined by reference at times."""
    outer: Schema = {"type": "object", "properties": {key: schema}, "required": [key]}
    if rng.random() < 0.5:
        outer["properties"] = {key: {"$ref": f"#/$defs/{key}"}}
        outer["$defs"] = {key: schema}
    return outer


def assemble(pieces: list[Piece]) -> tuple[str, Places]:
    """The text of the pieces, without white space around it, and the places of first mentions."""
    text = "".join(piece.text for piece in pieces)
    shift = len(text) - len(text.lstrip())
    position, cores, extents = -shift, dict[str, Span](), dict[str, Span]()
    for piece in pieces:
        end = position + len(piece.text)
        if piece.path and piece.part == "core" and piece.path not in cores:
            cores[piece.path] = (position, end)
        position = end
    position = -shift
    for piece in pieces:
        end = position + len(piece.text)
        if piece.path in cores:
            core = cores[piece.path]
            start, stop = extents.get(piece.path, core)
            if piece.part == "before" and end == core[0]:
                start = position
            elif piece.part == "after" and position == core[1]:
                stop = end
            extents[piece.path] = (start, stop)
        position = end
    return text.strip(), Places(text.strip(), cores, extents)
