"""Records of what was applied, to test with."""

from __future__ import annotations

from typing import Any

from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.inventory import Applied, Inventory


def one(name: str, kind: str = "ConfigMap") -> ResourceId:
    """Return an id."""
    return ResourceId(group="", kind=kind, namespace="shop", name=name)


def applied(number: int) -> Applied:
    """Return an artifact."""
    return Applied(artifact=f"sha256:{number}", source="s", revision="r", at=number, objects=1)


def empty(**content: Any) -> Inventory:
    """Return a record."""
    return Inventory(namespace="shop", name="web", **content)
