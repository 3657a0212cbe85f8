"""Find the objects of an inventory without its record: by their labels, over every kind that the cluster serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import ClusterError, Forbidden
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, ownership
from lockgate.deploy.kube.inventory import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.ownership import Owner


class Found(NamedTuple):
    """What was found, and what could not be looked at."""

    entries: list[Entry]
    partly: tuple[str, ...]
    """Kinds that were looked for in the given namespaces alone."""
    unseen: tuple[str, ...]
    """Kinds that could not be looked for there either: `nodes`, `secrets in default`."""


def labelled(client: Client, owner: Owner, namespaces: Iterable[str], *, workers: int) -> Found:
    """Return entries for all objects that are ours by labels and by the cluster's books.

    Where this user may not list a kind in the whole cluster, the given namespaces are looked through.

    Args:
        client: the cluster.
        owner: the inventory.
        namespaces: where to look otherwise.
        workers: requests at a time.
    """
    kinds = [
        kind
        for kind in client.kinds.preferred
        if {"list", "patch"} <= kind.verbs and "/" not in kind.plural
    ]
    places = sorted(set(namespaces))

    def look(kind: Kind) -> Found:
        try:
            return Found(_of(client, kind, "", owner), (), ())
        except Forbidden:
            if not kind.namespaced:
                return Found([], (), (kind.plural,))
        found: list[Entry] = []
        unseen: list[str] = []
        for namespace in places:
            try:
                found += _of(client, kind, namespace, owner)
            except Forbidden:
                unseen.append(f"{kind.plural} in {namespace}")
        return Found(found, (kind.plural,), tuple(unseen))

    results = [found for _, found in crew.each(look, kinds, workers=workers)]
    unique = {entry.id: entry for found in results for entry in found.entries}
    return Found(
        [unique[one] for one in sorted(unique)],
        tuple(sorted(one for found in results for one in found.partly)),
        tuple(sorted(one for found in results for one in found.unseen)),
    )


def _of(client: Client, kind: Kind, namespace: str, owner: Owner) -> list[Entry]:
    found = []
    try:
        for page in client.pages(kind, namespace, selector=owner.selector, only_metadata=True):
            for body in page.items:
                if not ownership.is_ours(body, owner):
                    continue
                metadata = body["metadata"]
                one = ResourceId(
                    group=kind.group,
                    kind=kind.kind,
                    namespace=metadata.get("namespace", ""),
                    name=metadata["name"],
                )
                found.append(Entry(id=one, version=kind.version))
    except ClusterError as error:
        if error.status not in (404, 405):
            raise
    return found
