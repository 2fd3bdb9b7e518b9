"""A domain: the roles that values have in one kind of document, and sentences about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from solver.training.prose.kinds import Kind


def draw_name(rng: Random, names: str, held_out: bool) -> str:
    """One of the names ``a|b||c``; those behind ``||`` if they are wanted and there are any."""
    common, _, kept = names.partition("||")
    return rng.choice((kept if held_out and kept else common).split("|"))


@dataclass(frozen=True)
class Role:
    """A value's part in a document, such as *the date on which an invoice is due*.

    Attributes:
        kind: draws its values.
        names: names that a key or a label may have, by ``|``; those behind ``||`` are for the held-out split.
        description: the meaning, for a schema.
        group: name of the object that the role may be a member of; empty for none.
        generic: a short name, for a member of a group, and for a document without another role of this
            generic name.
        implied_by: roles from which a reader could tell this one; it is never absent beside one of them.
        after: role with an earlier date or a smaller number; empty for none.
    """

    kind: Kind
    names: str
    description: str
    group: str = ""
    generic: str = ""
    implied_by: tuple[str, ...] = ()
    after: str = ""


@dataclass(frozen=True)
class Rows:
    """Objects of one shape that a document lists.

    Attributes:
        names: names of the list, as in :class:`Role`.
        description: the meaning, for a schema.
        roles: of each object.
        sentences: templates of one object; a document uses one of them.
        low: the fewest objects.
        high: the most objects.
    """

    names: str
    description: str
    roles: Mapping[str, Role]
    sentences: tuple[str, ...]
    low: int = 1
    high: int = 4


@dataclass(frozen=True)
class Variant:
    """One shape of a discriminated union: its roles, and sentences that express ``kind`` in words."""

    roles: Mapping[str, Role]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Variants:
    """A discriminated union.

    Attributes:
        names: names of the union's member, as in :class:`Role`.
        description: the meaning, for a schema.
        tags: names of the member that tells the variants apart.
        options: the variants by the constant that stands in that member.
    """

    names: str
    description: str
    tags: str
    options: Mapping[str, Variant]


@dataclass(frozen=True)
class Domain:
    """One kind of document.

    Attributes:
        name: of the register.
        roles: by the name that templates mention them by.
        facts: groups of templates; a text takes at most one template of a group. ``{rows}`` and ``{variant}``
            mention the list and the union.
        opens: templates of the beginning; empty for none.
        closes: templates of the end.
        rows: the list of objects; None for none.
        variants: the union; None for none.
        tone: "mail", "chat", "note" or "text": what stands between sentences, and which noise is added.
        titles: names of the document, for schemas and headings.
        language: of the sentences: "en", "de", "es" or "fr".
    """

    name: str
    roles: Mapping[str, Role]
    facts: tuple[tuple[str, ...], ...]
    opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    rows: Rows | None = None
    variants: Variants | None = None
    tone: str = "text"
    titles: tuple[str, ...] = field(default=())
    language: str = "en"
