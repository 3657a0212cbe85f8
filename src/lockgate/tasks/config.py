"""`inv config.*`: manifests as signed artifacts."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import Flags, helps, reported, worded

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.config.model import Artifact
    from lockgate.config.resource import Resource
    from lockgate.tasks.places import Ways

_REGISTRY = {
    "authority": "file with the certificates (PEM) that the registry's is signed by",
    "insecure": "host that is spoken to by plain HTTP; may be repeated",
}
_REFERENCE = "name in the store, digest, host/name:tag, host/name@sha256:… or archive:PATH"
_IDENTITIES = "file of age private keys; without it the one that LOCKGATE_AGE_IDENTITIES names"


def _ways(authority: str, insecure: list[str] | None) -> Ways:
    from lockgate.tasks import places
    from lockgate.tasks.session import open_session

    return places.Ways(open_session(), authority, insecure or ())


@task(
    klass=Flags,
    iterable=["file", "artifact", "patch", "insecure"],
    help=helps(
        "env",
        "plan",
        "json",
        kustomize="folder of an overlay; without it, and without files or artifacts, the environment's",
        file="file or folder of manifests, or `-` for standard input; may be repeated",
        artifact=f"artifact whose objects are taken too: {_REFERENCE}; may be repeated",
        patch="file with patches, applied to everything, in order; may be repeated",
        recipients="file of age public keys to encrypt to; without it the environment's",
        identities=_IDENTITIES,
        source="address of the repository, instead of the one in lockgate.yaml",
        revision="commit, instead of the one that git says",
        registry="registry and folder that a cluster pulls images from; without it the environment's",
        tag="take images from the registry by this tag, once; without it those of the last build",
        name="name in the store; without it config- and the environment",
        **_REGISTRY,
    ),
)
@reported
def build(
    context: Context,
    env: str = "",
    kustomize: str = "",
    file: list[str] | None = None,
    artifact: list[str] | None = None,
    patch: list[str] | None = None,
    recipients: str = "",
    identities: str = "",
    source: str = "",
    revision: str = "",
    registry: str = "",
    tag: str = "",
    name: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Render manifests, pin their images, package them. Example: inv config.build -e staging."""
    from lockgate.tasks import configuring

    ways, started = _ways(authority, insecure), time.monotonic()
    session = ways.session
    wanted = configuring.Wanted(
        overlay=kustomize,
        files=file or (),
        artifacts=artifact or (),
        patches=patch or (),
        recipients=recipients,
        identities=identities,
        source=source,
        revision=revision,
        registry=registry,
        tag=tag,
        name=name,
    )
    if plan:
        resources = configuring.plan(session, env, wanted, ways)
        session.console.say("config", "would hold")
        session.console.block([*_listed(resources), "nothing was changed"])
        return
    built, fresh = configuring.build(session, env, wanted, ways)
    made = built.artifact
    if not fresh:
        session.console.say("config", f"{made.name}  unchanged  {_what(made)}")
    else:
        session.console.say("config", f"{made.name}  {_what(made)}", started=started, tone="good")
    if json:
        session.emit(built)


def _what(artifact: Artifact) -> str:
    from lockgate.oci.digest import Digest
    from lockgate.tasks.console import quantity

    sealed = " · encrypted" if artifact.encrypted else ""
    return (
        f"{Digest(artifact.subject).short}  {quantity(artifact.objects, 'object')}, "
        f"{quantity(len(artifact.images), 'image')}, all pinned{sealed}"
    )


@task(klass=Flags, help=helps("env", "json", name="name in the store, where it is another"))
@reported
def sign(context: Context, env: str = "", name: str = "", json: bool = False) -> None:
    """Sign an artifact once all its images are trusted. Example: inv config.sign -e staging."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import publishing
    from lockgate.tasks.session import open_session

    session, started = open_session(), time.monotonic()
    built = publishing.record(session, env, name)
    signed, fresh = publishing.sign(session, built)
    short = Digest(signed.subject).short
    if fresh:
        images = f"{len(built.artifact.images)} of {len(built.artifact.images)} images trusted"
        session.console.say(
            "sign", f"{short}  artifact + provenance  {images}", started=started, tone="good"
        )
    else:
        session.console.say("sign", f"{built.artifact.name}  unchanged  {short}")
    if json:
        session.emit(signed)


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "env",
        "plan",
        "json",
        reference="name in the store; without it the environment's artifact",
        to="registry and folder to push to, host/prefix; without it the environment's",
        tag="tag in the registry; without it the environment and the commit, or with --to the commit",
        **_REGISTRY,
    ),
)
@reported
def push(
    context: Context,
    env: str = "",
    reference: str = "",
    to: str = "",
    tag: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Push a trusted artifact with its evidence. Example: inv config.push --to registry.example/team."""
    from lockgate.tasks import configuring, publishing

    ways = _ways(authority, insecure)
    where, _ = ways.session.settings.target(env)
    name = reference or configuring.name_of(where)
    publishing.push(ways, name, to, tag, where, plan=plan, json=json)


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        reference="artifact in a registry: host/name:tag or host/name@sha256:…",
        name="the tag that it gets too",
        **_REGISTRY,
    ),
)
@reported
def tag(
    context: Context,
    reference: str,
    name: str,
    authority: str = "",
    insecure: list[str] | None = None,
) -> None:
    """Give an artifact one more tag. Example: inv config.tag registry.example/team/config-prod:1.2 stable."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import publishing

    ways = _ways(authority, insecure)
    digest = publishing.tag(ways, reference, name)
    ways.session.console.say("config", f"{name} is {Digest(digest).short}", tone="good")


@task(
    name="list",
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        repository="repository: host/name",
        semver="list only versions that meet this constraint: `>=1.2 <2`, `~1.2`, `*`",
        **_REGISTRY,
    ),
)
@reported
def list_(
    context: Context,
    repository: str,
    semver: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
) -> None:
    """List artifacts, newest version first. Example: inv config.list registry.example/team/config-prod."""
    from lockgate.tasks import publishing

    for one in publishing.tags(_ways(authority, insecure), repository, semver):
        sys.stdout.write(f"{one}\n")


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "env",
        reference=f"artifact: {_REFERENCE}",
        name="name in the store; without it the last part of its own",
        verify="refuse what the environment does not trust, before a byte of it is shown",
        identities=_IDENTITIES,
        **_REGISTRY,
    ),
)
@reported
def pull(
    context: Context,
    reference: str,
    env: str = "",
    name: str = "",
    verify: bool = False,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
) -> None:
    """Pull an artifact, and print its YAML. Example: inv config.pull registry.example/config-prod:1.2."""
    from lockgate.tasks import publishing

    ways = _ways(authority, insecure)
    digest = publishing.pull(ways, reference, name, env, verify=verify)
    _, plain = publishing.contents(ways, digest, identities)
    sys.stdout.write(plain.decode())


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "env",
        "json",
        reference=f"artifact: {_REFERENCE}; without it the environment's",
        images="print the images alone, one a line",
        yaml="print the YAML alone, for other tools",
        identities=_IDENTITIES,
        **_REGISTRY,
    ),
)
@reported
@worded("reference")
def inspect(
    context: Context,
    reference: str = "",
    env: str = "",
    images: bool = False,
    yaml: bool = False,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    json: bool = False,
) -> None:
    """Say what an artifact holds. Example: inv config.inspect -e staging --images."""
    from lockgate.tasks import configuring, publishing

    ways = _ways(authority, insecure)
    where, _ = ways.session.settings.target(env)
    text = reference or configuring.name_of(where)
    if yaml:
        sys.stdout.write(publishing.contents(ways, text, identities)[1].decode())
        return
    artifact, resources = publishing.facts(ways, text, identities)
    if json:
        ways.session.emit(artifact)
    elif images:
        sys.stdout.write("".join(f"{one}\n" for one in artifact.images))
    else:
        sys.stdout.write("\n".join(_facts(artifact, resources)) + "\n")


def _facts(artifact: Artifact, resources: tuple[Resource, ...]) -> list[str]:
    from lockgate.config import crypt
    from lockgate.sign.predicate import timestamp

    rows = {
        "artifact": f"{artifact.name}  {artifact.subject}",
        "source": artifact.source or "not said",
        "revision": artifact.revision or "not said",
        "created": timestamp(artifact.created),
        "checksum": artifact.checksum,
        "encrypted": f"{crypt.FORMAT}; `--identities` opens it" if artifact.encrypted else "no",
        "objects": str(artifact.objects),
    }
    lines = [f"{key:<10} {value}" for key, value in rows.items()]
    if not resources:
        return [*lines, *(f"  {one}" for one in artifact.images)]
    return [*lines, *(f"  {one}" for one in _listed(resources))]


def _listed(resources: tuple[Resource, ...]) -> list[str]:
    """Return each object, and below it the images that it runs."""
    from lockgate.config.images import images

    lines = []
    for one in resources:
        lines.append(one.id.label)
        lines += [f"  {image}" for image in images(one)]
    return lines


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "json",
        before=f"the older artifact: {_REFERENCE}",
        after="the newer one, in the same words",
        exit_code="end with exit code 1 when they differ",
        identities=_IDENTITIES,
        **_REGISTRY,
    ),
)
@reported
def diff(
    context: Context,
    before: str,
    after: str,
    exit_code: bool = False,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    json: bool = False,
) -> None:
    """Compare two artifacts; Secrets are masked. Example: inv config.diff config-dev config-staging."""
    from invoke.exceptions import Exit

    from lockgate.config.diff import difference
    from lockgate.tasks import publishing

    ways = _ways(authority, insecure)
    (first, old), (second, new) = (
        publishing.contents(ways, one, identities) for one in (before, after)
    )
    found = difference(old, new, digests=(first.subject, second.subject), names=(before, after))
    if json:
        ways.session.emit(found)
    else:
        sys.stdout.write(found.text)
    counts = (
        f"{len(found.created)} created, {len(found.changed)} changed, {len(found.deleted)} deleted"
    )
    ways.session.console.say("config", "no difference" if found.empty else counts)
    if exit_code and not found.empty:
        raise Exit(code=1)


@task(
    klass=Flags,
    iterable=["kustomize"],
    help=helps(
        "env",
        "plan",
        kustomize="folder of an overlay, instead of the environment's; may be repeated",
    ),
)
@reported
def pin(
    context: Context, env: str = "", kustomize: list[str] | None = None, plan: bool = False
) -> None:
    """Write the digests of the last build into kustomizations. Example: inv config.pin -e prod."""
    from lockgate.tasks import publishing
    from lockgate.tasks.session import open_session

    session = open_session()
    for path, changed in publishing.pin(session, env, kustomize or (), plan=plan):
        would = "would change" if plan else "written"
        session.console.say("config", f"{path}  {would if changed else 'unchanged'}")


def collection() -> Collection:
    """Return the tasks of this module, which stand below `config`."""
    return Collection("config", build, sign, push, tag, list_, pull, inspect, diff, pin)
