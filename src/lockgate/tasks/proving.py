"""Which artifact a cluster gets: made or found, verified with every image in it, and brought to the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import TrustError
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef
from lockgate.tasks import configuring, descending, places, publishing
from lockgate.tasks.console import quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.config.model import Artifact
    from lockgate.deploy.kube.target import Wanted
    from lockgate.sign.model import Verification
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session


class Proven(NamedTuple):
    """An artifact that is trusted, with every image in it, and its objects."""

    proof: Verification
    wanted: Wanted
    artifact: Artifact
    images: tuple[PinnedRef, ...]


class Preview(NamedTuple):
    """What a deployment would apply."""

    wanted: Wanted
    """Its artifact is empty while that is not made yet."""
    images: tuple[PinnedRef, ...]


def prove(
    ways: Ways,
    env: str,
    reference: str,
    identities: str,
    demand: Callable[[str], None] | None = None,
) -> Proven:
    """Return an artifact that an environment trusts, with every image in it; nothing is changed anywhere.

    Without a reference the environment's own artifact is made from the manifests, and signed, when that is not done;
    `demand` makes what it needs and what was never built.

    Raises:
        TrustError: the artifact or an image is not trusted.
        KeyRefused: it is encrypted and no identity opens it.
        UsageError: it is not there, or there are no manifests.
    """
    from lockgate.config import package
    from lockgate.deploy.kube.target import Wanted

    session = ways.session
    text = reference
    if not text:
        built, _ = configuring.build(session, env, ways=ways, demand=demand)
        publishing.sign(session, built)
        text = built.artifact.subject
    held = configuring.identities(session, identities)
    asked = descending.Asked(env, ())
    with (
        publishing.opened(ways, text) as (place, digest),
        places.Doors(ways, layers=False) as doors,
    ):
        found = list(descending.verifications(doors, place, digest, text, asked))
        _require(found, env, artifact=text)
        # What is applied is read from the very bytes that were verified just now, by their digest.
        artifact, resources = package.read(place, digest, identities=held, name=text)
    images = tuple(PinnedRef.parse(one) for one in artifact.images)
    verified = {one.subject for _, one in found if one.met}
    unproven = [str(one) for one in images if one.digest not in verified]
    if unproven:
        raise TrustError(
            f"nothing was found out about {', '.join(unproven)}", hint="`inv verify` says more"
        )
    wanted = Wanted(artifact.subject, artifact.source, artifact.revision, resources)
    return Proven(found[0][1], wanted, artifact, images)


def preview(ways: Ways, env: str, reference: str, identities: str) -> Preview:
    """Return what a deployment would apply; nothing is made, signed or stored for it.

    Raises:
        TrustError: an image, or the artifact that was named, is not trusted.
        KeyRefused: it is encrypted and no identity opens it.
        UsageError: it is not there, or there are no manifests.
    """
    from lockgate.config.images import images
    from lockgate.deploy.kube.target import Wanted
    from lockgate.tasks import signing

    if reference:
        proven = prove(ways, env, reference, identities)
        return Preview(proven.wanted, proven.images)
    session = ways.session
    resources = configuring.plan(session, env, ways=ways)
    run = sorted({text for one in resources for text in images(one)})
    pinned = tuple(PinnedRef.parse(one) for one in run)
    now = signing.now()
    _require([(str(one), publishing.image(session, one, env, now)) for one in pinned], env)
    return Preview(Wanted("", "", "", resources), pinned)


def _require(found: list[tuple[str, Verification]], env: str, *, artifact: str = "") -> None:
    from lockgate.sign import verify

    for name, one in found:
        try:
            verify.require(one)
        except TrustError as error:
            error.message = f"{name}: {error.message}"
            if name == artifact:
                # What signs an image anew does not sign manifests.
                error.hint = (
                    f"`inv verify -e {env} --reference {name}` shows every requirement; "
                    f"`inv config.sign -e {env}` signs what `inv config.build -e {env}` made"
                )
            raise


def say(session: Session, proven: Proven | Preview) -> None:
    """Say what is about to be applied."""
    count, subject = len(proven.wanted.resources), proven.wanted.artifact
    session.console.say(
        "config",
        f"{Digest(subject).short if subject else 'rendered'}  {quantity(count, 'object')}, "
        f"{quantity(len(proven.images), 'image')}, all pinned, all verified",
    )


def publish(ways: Ways, env: str, proven: Proven) -> None:
    """Bring the artifact and its images, with their evidence, from the store to the environment's registry.

    What is not in the store was verified where it is, and stays there.

    Raises:
        RegistryError: the registry is out of reach or refuses.
    """
    session = ways.session
    _, environment = session.settings.target(env)
    registry = environment.registry.rstrip("/")
    if not registry:
        return
    wanted = [one for one in proven.images if one.name.startswith(f"{registry}/")]
    wanted.append(
        PinnedRef(name=f"{registry}/{configuring.name_of(env)}", digest=proven.artifact.subject)
    )
    moved = 0
    for one in wanted:
        if session.layout.has(one.digest):
            moved += _push(ways, one)
    if moved:
        session.console.say("push", f"{quantity(moved, 'piece')} to {registry}")


def _push(ways: Ways, one: PinnedRef) -> int:
    from lockgate.oci import transfer

    origin, place = places.Place.parse(one.digest), places.Place.parse(one.name)
    with places.source(ways, origin) as source, places.target(ways, place, origin) as to:
        work = transfer.plan(source, to, one.digest, "")
        with ways.session.console.bar("push") as progress:
            moved = transfer.move(work, progress)
    return len(moved.blobs) + len(moved.manifests)
