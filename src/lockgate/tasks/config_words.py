"""What `inv config.*` says to people of an artifact and of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockgate.config.model import Artifact
    from lockgate.config.resource import Resource


def check_output(form: str, *, json: bool) -> None:
    """Refuse a form of output that is none, and a record beside it.

    Raises:
        UsageError: it is neither `yaml` nor `json`, or the record of an artifact is asked for too.
    """
    from lockgate.base.errors import UsageError

    if form not in ("", "yaml", "json"):
        raise UsageError(f"{form!r} is no form of output", hint="there are `yaml` and `json`")
    if form and json:
        raise UsageError(
            "`--json` prints the record of an artifact, and with `--output` none is made",
            hint="leave one of them out",
        )


def written(resources: tuple[Resource, ...], form: str) -> str:
    """Return objects as YAML, or as a List in JSON."""
    from lockgate.config import emit

    return (emit.emit if form == "yaml" else emit.listed)(resources).decode()


def what(artifact: Artifact) -> str:
    """Return what was packaged, on one line."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks.console import quantity

    sealed = " · encrypted" if artifact.encrypted else ""
    return (
        f"{Digest(artifact.subject).short}  {quantity(artifact.objects, 'object')}, "
        f"{quantity(len(artifact.images), 'image')}, all pinned{sealed}"
    )


def facts(artifact: Artifact, resources: tuple[Resource, ...], said: dict[str, str]) -> list[str]:
    """Return what is known of an artifact, a line each, and its objects as `listed`, or its images alone."""
    from lockgate.config import crypt
    from lockgate.sign.predicate import timestamp
    from lockgate.tasks.console import printable

    rows = {
        "artifact": f"{artifact.name}  {artifact.subject}",
        "source": artifact.source or "not said",
        "revision": artifact.revision or "not said",
        **said,
        "created": timestamp(artifact.created),
        "checksum": artifact.checksum,
        "encrypted": f"{crypt.FORMAT}; `--identities` opens it" if artifact.encrypted else "no",
        "objects": str(artifact.objects),
    }
    lines = [f"{key:<11} {printable(value)}" for key, value in rows.items()]
    if not resources:
        return [*lines, *(f"  {one}" for one in artifact.images)]
    return [*lines, *(f"  {one}" for one in listed(resources))]


def listed(resources: tuple[Resource, ...]) -> list[str]:
    """Return each object, and below it the images that it runs."""
    from lockgate.config.images import images

    lines = []
    for one in resources:
        lines.append(one.id.label)
        lines += [f"  {image}" for image in images(one)]
    return lines
