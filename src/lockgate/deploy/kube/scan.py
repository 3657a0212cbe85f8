"""Find the objects of an inventory without its record: by their labels, over every kind that the cluster serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import ClusterError, Forbidden
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, ownership
from lockgate.deploy.kube.inventory import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.ownership import Owner


def labelled(
    client: Client, owner: Owner, namespaces: Iterable[str], *, workers: int
) -> list[Entry]:
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

    def look(kind: Kind) -> list[Entry]:
        try:
            return _of(client, kind, "", owner)
        except Forbidden:
            found: list[Entry] = []
            for namespace in places if kind.namespaced else ():
                try:
                    found += _of(client, kind, namespace, owner)
                except Forbidden:
                    continue  # what may not be read cannot have been applied by this user
            return found

    results = crew.each(look, kinds, workers=workers)
    unique = {entry.id: entry for _, found in results for entry in found}
    return [unique[one] for one in sorted(unique)]


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
