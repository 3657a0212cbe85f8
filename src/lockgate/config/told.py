"""What a container is told of its own image: the digest, where its manifest has a place for it. Pure.

A container cannot find out which image it runs. The target `local` tells it in a variable (`deploy.contract`); in a
manifest the variable without a value is the place where the same digest goes that stands behind its `image`:

    env:
      - name: LOCKGATE_IMAGE_DIGEST

Where a manifest has no such place, nothing is added: what is applied is what was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.base.errors import UsageError
from lockgate.config.images import holders
from lockgate.oci.reference import ImageRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.config.resource import Resource

DIGEST = "LOCKGATE_IMAGE_DIGEST"
"""Name of the variable."""


def tell(resource: Resource) -> Resource:
    """Return an object whose containers are told the digest of their image, where they have a place for it.

    Args:
        resource: the object, its images by digest; it stays as it is.
    """
    return holders(resource, _told)


def _told(container: Mapping[str, Any]) -> Mapping[str, Any]:
    variables = container.get("env")
    digest = _digest(container["image"])
    if not digest or not isinstance(variables, list) or not any(map(_awaits, variables)):
        return container
    return {
        **container,
        "env": [{**one, "value": digest} if _awaits(one) else one for one in variables],
    }


def _awaits(variable: Any) -> bool:
    return (
        isinstance(variable, dict)
        and variable.get("name") == DIGEST
        and variable.get("value") in (None, "")
        and "valueFrom" not in variable
    )


def _digest(image: str) -> str:
    try:
        return str(ImageRef.parse(image).digest or "")
    except UsageError:
        return ""  # of a step of Tekton, known when a run begins
