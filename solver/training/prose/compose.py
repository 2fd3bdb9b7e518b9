"""Composes a document from the sentences of a domain: pieces of text, and the value of each role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from solver.training.prose.distractors import DENIALS, DISTRACTORS, EXTRA_ROLES, FILLERS
from solver.training.prose.domain import Domain, Role
from solver.training.prose.kinds import DrawnValue, Kind, Several
from solver.training.prose.pattern import SentencePart, expand, phrase
from solver.training.prose.style import DocumentStyle

NO_NOUN = re.compile(
    r"^(is|has|can|may|was|to|for|from) | (on|by|in|at|to|from|until|before|after|for|with)$"
)
TRIES = 6  # draws of a value or a sentence before a repetition is accepted, or the sentence left out


class Piece(NamedTuple):
    """A part of a document: a literal (empty path), or a part of the value of a role."""

    text: str
    path: str = ""
    part: str = ""  # "before", "core" or "after"


class Composer:
    """A document in the making.

    Attributes:
        rng: draws everything.
        style: of the document.
        domain: of the document.
        values: by path: ``due``, ``tags.0``, ``rows.1.price``, ``variant.card.brand``.
        denied: roles that the text says it has no value for.
        tag_words: words that the union's kind is read from, where they are known.
    """

    def __init__(self, rng: Random, style: DocumentStyle, domain: Domain) -> None:
        self.rng, self.style, self.domain = rng, style, domain
        self.roles: dict[str, Role] = {**domain.roles, **EXTRA_ROLES}
        self.values: dict[str, DrawnValue] = {}
        self.denied: set[str] = set()
        self.variant = ""
        self.row_count = 0
        self._used: set[object] = set()

    def draw(self, kind: Kind) -> DrawnValue:
        """A value that differs from those drawn before, if that is possible."""
        value = kind.draw(self.rng, self.style)
        for _ in range(TRIES):
            is_free = value.family in ("boolean", "option")
            if is_free or self._used.isdisjoint((value.core.casefold(), (value.family, value.datum))):
                break
            value = kind.draw(self.rng, self.style)
        if value.datum is not None:
            self._used.add((value.family, value.datum))
        self._used.add(value.core.casefold())
        return value

    def is_in_order(self, path: str, value: DrawnValue) -> bool:
        """Whether a value is greater than that of the role it comes after, and smaller than those after it."""
        role = self.roles.get(path)
        earlier = self.values.get(role.after) if role and role.after else None
        later = [
            self.values[name]
            for name, other in self.roles.items()
            if other.after == path and name in self.values
        ]
        return (not earlier or value.datum > earlier.datum) and all(
            value.datum < other.datum for other in later
        )

    def value_pieces(self, path: str, kind: Kind) -> list[Piece]:
        """The pieces of a role's value, which is drawn at the first mention."""
        if path not in self.values:
            self.values[path] = next(
                (value for _ in range(TRIES) if self.is_in_order(path, value := self.draw(kind))),
                self.draw(kind),
            )
        value = self.values[path]
        pieces = [Piece(value.before, path, "before"), Piece(value.core, path, "core")]
        return [piece for piece in (*pieces, Piece(value.after, path, "after")) if piece.text]

    def role_pieces(self, name: str, separator: str = ", ", last: str | None = None) -> list[Piece]:
        """The pieces of a scalar role, or of a list of values."""
        role = self.roles[name]
        if not isinstance(role.kind, Several):
            return self.value_pieces(name, role.kind)
        count = sum(path.startswith(f"{name}.") for path in self.values)
        count = count or self.rng.randint(role.kind.low, role.kind.high)
        items = [self.value_pieces(f"{name}.{index}", role.kind.kind) for index in range(count)]
        return list(join_pieces(items, separator, " and " if last is None else last))

    def words_pieces(self, path: str, role: Role, part: SentencePart) -> list[Piece]:
        """The words of a template that give a role one of its options.

        Raises:
            ConflictError: the document has already given it another option.
        """
        if path not in self.values:
            sample = role.kind.draw(self.rng, self.style)
            datum = part.option == "true" if sample.family == "boolean" else part.option
            self.values[path] = DrawnValue(sample.family, part.text, datum, options=sample.options)
        elif str(self.values[path].datum).lower() != part.option.lower():
            raise ConflictError(path)
        return [Piece(part.text, path, "core")]

    def sentence(self, template: str) -> list[Piece]:
        """The pieces of one sentence; empty if it contradicts the document."""
        for _ in range(TRIES):
            kept, used = dict(self.values), set(self._used)
            try:
                return self._pieces(expand(self.rng, template))
            except ConflictError:
                self.values, self._used = kept, used
        return []

    def _pieces(self, parts: Iterable[SentencePart]) -> list[Piece]:
        pieces = list[Piece]()
        for part in parts:
            if not part.role:
                pieces.append(Piece(part.text))
            elif part.role == "rows":
                pieces += self.row_pieces()
            elif part.role == "variant":
                pieces += self.variant_pieces()
            elif part.option:
                pieces += self.words_pieces(part.role, self.roles[part.role], part)
            else:
                pieces += self.role_pieces(part.role)
        if pieces and "pattern" in getattr(self.values.get(pieces[0].path), "keywords", ()):
            return pieces
        return capitalized(pieces)

    def object_pieces(self, template: str, prefix: str, roles: dict[str, Role]) -> list[Piece]:
        """The pieces of one object: a row, or a variant."""
        pieces = list[Piece]()
        for part in expand(self.rng, template):
            if not part.role:
                pieces.append(Piece(part.text))
            elif part.role == "kind":
                self.values[f"{prefix}kind"] = DrawnValue("option", part.text, part.option)
                pieces.append(Piece(part.text, f"{prefix}kind", "core"))
            elif part.option:
                pieces += self.words_pieces(prefix + part.role, roles[part.role], part)
            else:
                pieces += self.value_pieces(prefix + part.role, roles[part.role].kind)
        return pieces

    def row_pieces(self) -> list[Piece]:
        """The objects of the document in one sentence or as lines."""
        rows, rng = self.domain.rows, self.rng
        assert rows is not None
        self.row_count = self.row_count or rng.randint(rows.low, rows.high)
        template = rng.choice(rows.sentences)
        items = [
            self.object_pieces(template, f"rows.{index}.", dict(rows.roles))
            for index in range(self.row_count)
        ]
        style = rng.choice(("inline", "inline", "semicolons", "bullets", "numbers", "lines"))
        match style:
            case "inline":
                return list(join_pieces(items, ", ", " and "))
            case "semicolons":
                return list(join_pieces(items, "; ", "; "))
            case "numbers":
                marks = [Piece(f"\n{number}. ") for number in range(1, len(items) + 1)]
            case _:
                marks = [Piece("\n" if style == "lines" else "\n- ")] * len(items)
        return [piece for mark, item in zip(marks, items, strict=True) for piece in (mark, *item)]

    def variant_pieces(self) -> list[Piece]:
        """The union's sentence, for one of its variants."""
        variants = self.domain.variants
        assert variants is not None
        self.variant = self.variant or self.rng.choice(tuple(variants.options))
        variant = variants.options[self.variant]
        template = self.rng.choice(variant.sentences)
        return self.object_pieces(template, f"variant.{self.variant}.", dict(variant.roles))

    def prose(self) -> list[Piece]:
        """A beginning, facts in any order with sentences that do not matter between them, and an end."""
        rng, domain = self.rng, self.domain
        chosen = [fact for fact in domain.facts if rng.random() < 0.72] or [rng.choice(domain.facts)]
        if rng.random() < 0.7:
            rng.shuffle(chosen)
        opening = self.sentence(rng.choice(domain.opens)) if domain.opens else []
        sentences = [self.sentence(rng.choice(fact)) for fact in chosen]
        closing = self.sentence(rng.choice(domain.closes)) if domain.closes else []
        is_english = domain.language == "en"
        if is_english and rng.random() < 0.16:
            self.deny(sentences)
        extras = rng.sample(rng.choice((DISTRACTORS, FILLERS)), 4) if is_english else []
        while extras and rng.random() < 0.3:
            sentences.insert(rng.randint(0, len(sentences)), self.sentence(extras.pop()))
        sentences = [sentence for sentence in sentences if sentence]
        wide = "\n\n" if domain.tone == "mail" else rng.choice(("\n", " ", " "))
        joint = rng.choice(
            {"chat": (" ", "\n"), "note": ("\n", "\n- ", " ")}.get(domain.tone, (" ", " ", " ", "\n"))
        )
        body = list[Piece]()
        for number, sentence in enumerate(sentences):
            is_list = any(piece.text.startswith("\n") for piece in body[-1:] + sentence)
            gap = "\n" if is_list or (number and spans_lines(sentences[number - 1])) else joint
            if gap == " " and number and sentences[number - 1][-1].text[-1:] not in ".,:;!?":
                gap = rng.choice((". ", "; ", ". "))
            body += [Piece(gap if number or gap == "\n- " else ""), *sentence]
        if opening and body:
            is_sentence = opening[-1].text[-1:] in ".,:!?"
            opening = [
                *opening,
                Piece(wide if is_sentence or "\n" in wide else rng.choice((": ", "\n", " - "))),
            ]
        if closing:
            closing = [Piece(wide if wide != " " or not spans_lines(body) else "\n"), *closing]
        return [*opening, *body, *closing]

    def deny(self, sentences: list[list[Piece]]) -> None:
        """Add a sentence that a role without a mention has no value."""
        mentioned = {path.partition(".")[0] for path in self.values}
        names = [name for name in self.domain.roles if name not in mentioned and self.can_be_absent(name)]
        if names:
            name = self.rng.choice(names)
            labels = self.domain.roles[name].names.partition("||")[0].split("|")
            label = self.rng.choice([label for label in labels if not NO_NOUN.search(label)] or labels[:1])
            self.denied.add(name)
            text = phrase(self.rng, self.rng.choice(DENIALS).replace("LABEL", label))
            sentences.insert(self.rng.randint(0, len(sentences)), capitalized([Piece(text)]))

    def can_be_absent(self, name: str) -> bool:
        """Whether a reader could not tell the value of a role from the roles that are mentioned."""
        mentioned = {path.partition(".")[0] for path in self.values}
        return mentioned.isdisjoint((name, *self.domain.roles[name].implied_by))


class ConflictError(ValueError):
    """A sentence gives a role another value than the document has."""


def join_pieces(items: Iterable[list[Piece]], separator: str, last: str) -> Iterator[Piece]:
    """The pieces of several items, with separators between them."""
    kept = list(items)
    for index, item in enumerate(kept):
        if index:
            yield Piece(last if index == len(kept) - 1 else separator)
        yield from item


def spans_lines(pieces: list[Piece]) -> bool:
    """Whether a literal of ``pieces`` has a line break."""
    return any("\n" in piece.text for piece in pieces)


def capitalized(pieces: list[Piece]) -> list[Piece]:
    """``pieces`` with a capital at the beginning, unless that is an address."""
    if not pieces or "@" in pieces[0].text or "://" in pieces[0].text:
        return pieces
    first = pieces[0].text
    return [pieces[0]._replace(text=first[:1].upper() + first[1:]), *pieces[1:]]
