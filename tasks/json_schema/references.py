"""References between schemas, resolved by ``referencing``. Nothing is ever fetched.

>>> schema = {"$id": "http://x.org/tree", "$defs": {"leaf": {"type": "null"}}}
>>> scope = root_scope(schema, draft=2020, known=[])
>>> scope.base_uri
'http://x.org/tree'
>>> scope.lookup("#/$defs/leaf")[0]
{'type': 'null'}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urldefrag, urljoin

import jsonschema_specifications
from referencing import Registry, Resource, exceptions
from referencing.jsonschema import DRAFT202012, DynamicAnchor, lookup_recursive_ref, specification_with

from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.validator import DRAFTS

# Two resources that every registry here has.
WELL_KNOWN = ("https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema")


@dataclass(frozen=True, eq=False)
class Scope:
    """A place from which references are resolved.

    Attributes:
        resolver: the resolver at this place.
        registry: all schemas.
    """

    resolver: Any
    registry: Registry[Any]

    @cached_property
    def dynamic_uris(self) -> tuple[str, ...]:
        """The resources on the path of references to this place, the latest first."""
        return tuple(uri for uri, _ in self.resolver.dynamic_scope())

    @cached_property
    def base_uri(self) -> str:
        """The URI against which relative references are resolved."""
        # A lookup of another resource puts the base URI first in the dynamic scope of the resolver it
        # returns.
        for target in WELL_KNOWN:
            after = Scope(self.resolver.lookup(target).resolver, self.registry).dynamic_uris
            if len(after) > len(self.dynamic_uris):
                return after[0]
        return ""

    def enter(self, schema: dict[str, Any]) -> Scope:
        """The scope inside a subschema, which may have an ``$id``."""
        return Scope(self.resolver.in_subresource(DRAFT202012.create_resource(schema)), self.registry)

    def lookup(self, reference: str, dynamic: bool = False) -> tuple[Any, Scope]:
        """Resolve a ``$ref``, or with ``dynamic`` a ``$dynamicRef``, to a schema and its scope.

        Raises:
            SchemaError: the reference points to nothing.
        """
        try:
            anchored = None if dynamic else self._lookup_anchor(reference)
            if anchored is not None:
                return anchored
            resolved = self.resolver.lookup(reference)
        except (exceptions.Unresolvable, exceptions.NoSuchResource, exceptions.PointerToNowhere) as error:
            raise SchemaError(
                f"the $ref {reference[:100]!r} leads to nothing that is here, and nothing is fetched: "
                "give its schema by --registry DIR, in Python by registry={URI: schema}"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SchemaError(f"the $ref {reference[:100]!r} cannot be resolved") from error
        return resolved.contents, Scope(resolved.resolver, self.registry)

    def _lookup_anchor(self, reference: str) -> tuple[Any, Scope] | None:
        """Resolve a ``$ref`` to a ``$dynamicAnchor``, an ordinary anchor to it; None for all others."""
        base, fragment = urldefrag(reference)
        if not fragment or fragment.startswith("/"):
            return None
        try:
            anchor = self.registry.anchor(urljoin(self.base_uri, base), fragment).value
        except (exceptions.Unresolvable, exceptions.NoSuchResource, exceptions.InvalidAnchor):
            return None
        if not isinstance(anchor, DynamicAnchor):
            return None
        return anchor.resource.contents, Scope(self.resolver.in_subresource(anchor.resource), self.registry)

    def lookup_recursive(self) -> tuple[Any, Scope]:
        """Resolve a ``$recursiveRef`` of draft 2019-09."""
        resolved = lookup_recursive_ref(self.resolver)
        return resolved.contents, Scope(resolved.resolver, self.registry)


def root_scope(schema: Any, draft: int, known: Sequence[tuple[str, Any]]) -> Scope:
    """The scope of a whole schema.

    Args:
        schema: a JSON Schema.
        draft: its draft.
        known: other schemas as (URI, schema).

    Raises:
        SchemaError: a known schema is malformed.
    """
    specification = specification_with(next(uri for uri, number in DRAFTS.items() if number == draft))
    registry: Registry[Any] = jsonschema_specifications.REGISTRY
    resources = [(uri, Resource.from_contents(contents, specification)) for uri, contents in known]
    try:
        registry = registry.with_resources(resources).crawl() if resources else registry
    except (TypeError, ValueError, AttributeError) as error:
        raise SchemaError("a schema of the registry cannot be read") from error
    resource = specification.create_resource(schema)
    uri = resource.id() or ""
    registry = registry.with_resource(uri, resource)
    return Scope(registry.resolver(uri), registry)
