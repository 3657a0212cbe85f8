"""Whether an object that is refused could be made anew: only then may `--force` delete the old one (S1.49).

Two things must hold. Every cause of the refusal speaks of a field that cannot be changed; and the cluster would
take the same object under another name. A manifest that is merely wrong fails the second, whatever the text says.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import Conflict, Rejected

if TYPE_CHECKING:
    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.desired import Desired

_WORDS = re.compile(
    r"immutable|may not (?:be )?change|must not (?:be )?change|cannot (?:be )?change|can't be changed"
    r"|(?:may|must|can) ?not be (?:updated|modified)|updates? to .* (?:is|are) (?:forbidden|not allowed)"
    r"|changing .* is not allowed|may not update",
    re.IGNORECASE,
)
_PRECIOUS = frozenset(
    (
        ("", "Namespace"),
        ("", "PersistentVolumeClaim"),
        ("", "PersistentVolume"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
    )
)
"""Group and kind of what takes other things with it when it goes."""
_NAMED = frozenset((*_PRECIOUS, ("apiregistration.k8s.io", "APIService")))
"""Kinds whose name follows from their content, so that no other name can be tried."""


def is_immutable(error: Rejected) -> bool:
    """Return whether every cause of a refusal is that a field cannot be changed."""
    return bool(error.causes) and all(_WORDS.search(text) for _, _, text in error.causes)


def is_precious(one: ResourceId) -> bool:
    """Return whether an object is never deleted to be made anew."""
    return (one.group, one.kind) in _PRECIOUS


def typed(one: Desired) -> str:
    """Return how kubectl is told which object is meant."""
    space = f" -n {one.id.namespace}" if one.id.namespace else ""
    return f"{one.kind.plural} {one.id.name}{space}"


def prove_valid(client: Client, one: Desired, error: Rejected) -> None:
    """Let the server try, without doing it, to make the object under another name.

    Raises:
        Rejected: it would not take it: the manifest is wrong, and the old object stays.
    """
    if (one.id.group, one.id.kind) in _NAMED:
        return
    name = f"{one.id.name[:40]}-{secrets.token_hex(4)}"
    body = {**one.body, "metadata": {**one.body["metadata"], "name": name}}
    try:
        client.create(one.kind, msgspec.structs.replace(one.id, name=name), body, dry_run=True)
    except Conflict:
        return
    except Rejected as found:
        # What it says of the other name is said of the manifest.
        error.message = found.message.replace(name, one.id.name)
        raise error from None
