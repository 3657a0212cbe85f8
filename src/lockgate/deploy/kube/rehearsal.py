"""Whether the cluster would take an object whose namespace does not exist yet: it is tried in another one, dry.

The server looks for the namespace before it validates, so what is wrong with an object would show only when the
namespace and all the definitions were there. Only what is said of the object's own fields counts here: permissions,
quotas, policies and webhooks speak of the namespace in which it is tried, and are asked again in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import ClusterError, Rejected
from lockgate.deploy.kube import faults

if TYPE_CHECKING:
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.desired import Desired

_SHAPED = frozenset((("", "Pod"), ("", "Event")))
"""Group and kind of what a namespace shapes before it is validated (limits of a LimitRange), or that names its own."""


def rehearse(client: Client, one: Desired, namespace: str) -> None:
    """Let the server try, without doing it, to make an object in a namespace that exists.

    Raises:
        Rejected: a field of it is wrong, in whatever namespace.
        ClusterError: the cluster is out of reach.
    """
    if (one.id.group, one.id.kind) in _SHAPED:
        return
    there = msgspec.structs.replace(one.id, namespace=namespace)
    body = {**one.body, "metadata": {**one.body["metadata"], "namespace": namespace}}
    try:
        client.create(one.kind, there, body, dry_run=True)
    except Rejected as error:
        if not _is_its_own(error):
            return
        error.message = error.message.replace(there.label, one.id.label)
        raise
    except ClusterError as error:
        if not error.status:
            raise


def _is_its_own(error: Rejected) -> bool:
    """Return whether a refusal is about fields of the object, and not about where it was tried."""
    if error.hint != faults.CORRECT:
        return False
    invalid = error.reason == "Invalid" and all(field for _, field, _ in error.causes)
    return (invalid and bool(error.causes)) if error.status == 422 else error.status in (400, 500)
