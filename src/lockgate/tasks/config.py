"""`inv config.*`: manifests as signed artifacts."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks import config_words as words
from lockgate.tasks.command import REGISTRY, Flags, helps, reported, worded

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.tasks.places import Ways

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
        output="print the objects, as `yaml` or as a List in `json`, and store nothing",
        name="name in the store; without it config- and the environment",
        **REGISTRY,
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
    output: str = "",
    name: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Render manifests, pin their images, package them. Example: inv config.build -e staging."""
    from lockgate.tasks import configuring

    words.check_output(output, json=json)
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
    if plan or output:
        resources = configuring.plan(session, env, wanted, ways)
        if plan:
            session.console.say("config", "would hold")
            session.console.block(words.listed(resources))
        if output:
            sys.stdout.write(words.written(resources, output))
        session.console.say("config", "nothing was changed")
        return
    built, fresh = configuring.build(session, env, wanted, ways)
    made = built.artifact
    if not fresh:
        session.console.say("config", f"{made.name}  unchanged  {words.what(made)}")
    else:
        session.console.say(
            "config", f"{made.name}  {words.what(made)}", started=started, tone="good"
        )
    if json:
        session.emit(built)


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
        **REGISTRY,
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
        **REGISTRY,
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
        **REGISTRY,
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

    ways = _ways(authority, insecure)
    found = publishing.tags(ways, repository, semver)
    for one in found:
        sys.stdout.write(f"{one}\n")
    if not found:
        ways.session.console.say(
            "config", f"nothing in {repository} has a tag: `inv config.tag` gives one"
        )


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "env",
        reference=f"artifact: {_REFERENCE}",
        name="name in the store; without it the last part of its own",
        verify="refuse what the environment does not trust, before a byte of it is shown",
        identities=_IDENTITIES,
        **REGISTRY,
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
        verify="refuse what the environment does not trust, before a byte of it is shown",
        images="print the images alone, one a line",
        yaml="print the YAML alone, for other tools",
        identities=_IDENTITIES,
        **REGISTRY,
    ),
)
@reported
@worded("reference")
def inspect(
    context: Context,
    reference: str = "",
    env: str = "",
    verify: bool = False,
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
    with publishing.opened(ways, text) as (place, digest):
        proof = publishing.require(ways.session, digest, env, place=place) if verify else None
        # Read where it was verified, by that digest: the name may be moved at any time.
        if yaml:
            plain = publishing.contents_of(ways, place, digest, text, identities)[1].decode()
        else:
            artifact, resources = publishing.facts(ways, place, digest, text, identities)
    if yaml:
        sys.stdout.write(plain)
    elif json:
        ways.session.emit(publishing.with_proof(artifact, proof) if proof else artifact)
    elif images:
        sys.stdout.write("".join(f"{one}\n" for one in artifact.images))
    else:
        said = publishing.people(ways.session, artifact, proof)
        sys.stdout.write("\n".join(words.facts(artifact, resources, said)) + "\n")


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "json",
        before=f"the older artifact: {_REFERENCE}",
        after="the newer one, in the same words",
        exit_code="end with exit code 1 when they differ",
        identities=_IDENTITIES,
        **REGISTRY,
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
