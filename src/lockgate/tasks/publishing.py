"""The config floor's edges for artifacts that are made: signed, verified, pushed, pulled, listed, written down."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lockgate.base.errors import SubjectMismatch, TrustError, UsageError
from lockgate.config.model import Built
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef, is_tag
from lockgate.tasks import configuring, moving, places, signing, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.config.model import Artifact, VerifiedArtifact
    from lockgate.config.resource import Resource
    from lockgate.oci.readable import Readable
    from lockgate.oci.transfer import Moved
    from lockgate.sign.model import Signed, Verification
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session


def record(session: Session, env: str, name: str = "") -> Built:
    """Return what `inv config.build` left for an environment.

    Raises:
        UsageError: it did not run yet.
    """
    env, _ = session.settings.target(env)
    path = session.record_path(name or configuring.name_of(env), "artifact")
    if not path.exists():
        raise UsageError(
            f"{env} has no artifact of manifests yet", hint=f"run `inv config.build -e {env}` first"
        )
    return session.record(
        name or configuring.name_of(env), "artifact", Built, made_by=f"config.build -e {env}"
    )


def sign(session: Session, built: Built) -> tuple[Signed, bool]:
    """Sign an artifact once every image in it is trusted; return the record, and whether anything was new.

    Raises:
        AttestationMissing: an image is not trusted in the environment.
        KeyRefused: the key cannot be used here.
        UsageError: an image is not in the store.
    """
    from lockgate.config.publish import publish

    _, environment = session.settings.target(built.environment)
    now = signing.now()
    found = [
        image(session, PinnedRef.parse(one), built.environment, now)
        for one in built.artifact.images
    ]
    made = publish(
        built,
        found,
        signer=signing.signer(session, environment),
        layout=session.layout,
        development_key_allowed=environment.development_key,
        formats=environment.signatures,
    )
    session.keep(built.artifact.name, "signed", made)
    return made, any(one.new for one in made.statements)


def image(session: Session, one: PinnedRef, env: str, now: int) -> Verification:
    """Return what holds of the requirements for an image in the store.

    Raises:
        UsageError: it is not there.
        DigestMismatch: something of it was changed.
        KeyRefused: the environment trusts nobody.
    """
    if not session.layout.has(one.digest):
        raise UsageError(
            f"{one.name} {Digest(one.digest).short} is not in the store, so it cannot be verified",
            hint=f"`inv pull {one}` brings it with its evidence",
        )
    return trusting.verification(session, one.digest, env, now)


def verification(
    session: Session, digest: str, env: str, *, place: Readable | None = None
) -> Verification:
    """Return what holds of the requirements for an artifact itself; its images are another question.

    Args:
        session: the repository.
        digest: the artifact.
        env: the environment; empty for the default one.
        place: where it lies; the store when not given.

    Raises:
        DigestMismatch: something of it was changed.
        KeyRefused: the environment trusts nobody.
    """
    from lockgate.config.publish import requirement
    from lockgate.sign.verify import verify

    name, environment = session.settings.target(env)
    trust = trusting.trusted(session, environment, name)
    return verify(
        session.layout if place is None else place,
        digest,
        requirement(name),
        trust.keys,
        name=name,
        development_key_allowed=trust.development_key_allowed,
        now=signing.now(),
        identities=trust.identities,
        trusted_root=trust.root,
    )


def require(
    session: Session, digest: str, env: str, *, place: Readable | None = None
) -> Verification:
    """Return the verification of an artifact that is trusted; it lies in the store, or in a place that is named.

    Raises:
        TrustError: it is not signed, or does not meet a requirement.
    """
    from lockgate.sign import verify

    found = verification(session, digest, env, place=place)
    name, _ = session.settings.target(env)
    try:
        verify.require(found, subject=digest)
    except TrustError as error:
        error.hint = f"`inv config.sign -e {name}` signs the artifact of {name}"
        raise
    return found


@contextlib.contextmanager
def opened(ways: Ways, text: str) -> Iterator[tuple[Readable, str]]:
    """Open the place of an artifact; yield it and the digest that the words name now.

    Raises:
        UsageError, RegistryError: it is not there.
    """
    with places.reading(ways, configuring.plain(text), layers=True) as found:
        yield found


def facts(
    ways: Ways, place: Readable, digest: str, text: str, named: str
) -> tuple[Artifact, tuple[Resource, ...]]:
    """Return an artifact with its objects; without objects when it is encrypted and no identity is here.

    Raises:
        LockgateError: it is not there, or is not what it says.
    """
    from lockgate.config import package

    held = configuring.identities(ways.session, named)
    artifact = package.describe(place, digest, name=text)
    if artifact.encrypted and not held:
        return artifact, ()
    return package.read(place, digest, identities=held, name=text)


def with_proof(artifact: Artifact, proof: Verification) -> VerifiedArtifact:
    """Return an artifact with its verification, as one record.

    Raises:
        SubjectMismatch: the verification is of something else.
    """
    import msgspec

    from lockgate.config.model import VerifiedArtifact

    if proof.subject != artifact.subject:
        raise SubjectMismatch(
            f"the verification is of {proof.subject}, the artifact is {artifact.subject}",
            hint="run `inv config.inspect --verify` again",
        )
    return VerifiedArtifact(**msgspec.structs.asdict(artifact), verification=proof)


def people(session: Session, artifact: Artifact, proof: Verification | None) -> dict[str, str]:
    """Return who built an artifact, and who verified it.

    Who built it is what trusted provenance says, or what is known here when it was built here; the artifact itself
    does not say it, and could say anything.
    """
    if proof is not None:
        told = {one.name: one.detail for one in proof.results}
        return {"built by": told["provenance"], "verified by": told["signature"]}
    built = "not known: `--verify` asks its provenance"
    with contextlib.suppress(UsageError):
        made = session.record(artifact.name, "artifact", Built, made_by="config.build")
        if made.artifact.subject == artifact.subject:
            tools = [f"lockgate {made.inputs['BUILDER']}", made.renderer, "here"]
            built = ", ".join(one for one in tools if one)
    return {"built by": built, "verified by": "not asked: `--verify`"}


def contents(ways: Ways, text: str, named: str) -> tuple[Artifact, bytes]:
    """Return an artifact with its plain YAML.

    Raises:
        KeyRefused: it is encrypted, and no identity opens it.
        LockgateError: it is not there, or is not what it says.
    """
    with opened(ways, text) as (place, digest):
        return contents_of(ways, place, digest, text, named)


def contents_of(
    ways: Ways, place: Readable, digest: str, text: str, named: str
) -> tuple[Artifact, bytes]:
    """Return the same of an artifact in a place that is open.

    Raises:
        KeyRefused, LockgateError: as `contents`.
    """
    from lockgate.config import package

    held = configuring.identities(ways.session, named)
    return package.contents(place, digest, identities=held, name=text)


def pull(ways: Ways, text: str, name: str, env: str, *, verify: bool) -> str:
    """Bring an artifact with its evidence into the store; return the digest that came.

    Args:
        ways: how places are reached.
        text: what was typed.
        name: name in the store; empty for the last part of its own.
        env: the environment whose trust counts.
        verify: fail when what came is not trusted.

    Raises:
        TrustError: what came is not trusted.
        LockgateError: it is not there, or could not be moved.
    """
    reference = places.within(ways, env, configuring.plain(text))
    moved = moving.run(
        ways, "pull", reference, moving.pulled_as(reference, name), plan=False, json=False
    )
    if verify:
        require(ways.session, moved.digest, env)
    return moved.digest


def push(ways: Ways, name: str, to: str, tag: str, env: str, *, plan: bool, json: bool) -> Moved:
    """Push the artifact of an environment, once it is trusted there.

    Raises:
        TrustError: it is not signed, or not trusted.
        LockgateError: it is not in the store, or could not be moved.
    """
    session = ways.session
    digest = signing.resolve(session, name)
    require(session, digest, env)
    where = moving.pushed_as(session, name, to, tag, env)
    return moving.run(ways, "push", f"{name}@{digest}", where, plan, json)


def tag(ways: Ways, text: str, name: str) -> str:
    """Give an artifact in a registry one more tag; return its digest. Nothing is uploaded but the manifest.

    Raises:
        UsageError: what was typed names no artifact of a registry, or the tag cannot be one.
        RegistryError: it is not there, or the registry refuses.
    """
    place = places.Place.parse(configuring.plain(text))
    if place.kind != "registry":
        raise UsageError(f"{text!r} names no registry", hint="write it as `host/name:tag`")
    if not is_tag(name):
        raise UsageError(f"{name!r} cannot be a tag", hint="letters, digits, `.`, `_` and `-`")
    with places.target(ways, place, place) as registry:
        digest = places.resolve(registry, place)
        data = registry.manifest(digest)
        if data is None:
            raise registry.absent(Digest(digest).short)
        from lockgate.oci.store import describe

        descriptor, _ = describe(data)
        registry.tag(name, descriptor, data)
    return digest


def tags(ways: Ways, text: str, constraint: str) -> list[str]:
    """Return the tags of a repository as references that can be typed, newest version first.

    What only holds evidence is left out. Without a constraint, versions come first, and then the others by name.

    Raises:
        UsageError: what was typed names no repository, or no tag meets the constraint.
        RegistryError: the registry is out of reach, or has no such repository.
    """
    from lockgate.config import semver
    from lockgate.oci.registry import Registry

    place = places.Place.parse(configuring.plain(text))
    if place.kind != "registry" or place.name or place.digest:
        raise UsageError(
            f"{text!r} is no repository", hint="write it as `host/name`, without a tag"
        )
    world = ways.world()
    with Registry(world.endpoint(place.where), world) as registry:
        found = [one for one in registry.tags() if not _is_evidence(one)]
    versions = semver.select(found, constraint or ">=0.0.0-0")
    if constraint and not versions:
        raise UsageError(f"no tag of {place.where} meets {constraint!r}", hint="`*` is any release")
    others = [] if constraint else sorted(set(found) - set(versions), reverse=True)
    return [f"{place.where}:{one}" for one in (*versions, *others)]


def _is_evidence(tag: str) -> bool:
    """True for `sha256-<hex>`, alone or with an end such as `.sig` (distribution specification, cosign)."""
    digits = tag.removeprefix("sha256-").partition(".")[0]
    return tag.startswith("sha256-") and len(digits) == 64


def pin(
    session: Session, env: str, folders: Sequence[str], *, plan: bool
) -> list[tuple[str, bool]]:
    """Write the digests of the last build into kustomizations; return each with whether it changed.

    Args:
        session: the repository.
        env: the environment, whose overlay and registry count.
        folders: overlays, instead of the environment's.
        plan: write nothing.

    Raises:
        UsageError: no registry is named, a component was not built, or a kustomization cannot be changed in place.
        StorageError: it cannot be written.
    """
    from pathlib import Path

    from lockgate.base.files import atomic_write
    from lockgate.config import overlay, pin_file

    chosen = [Path(one) for one in folders] or [configuring.overlay(session, env)]
    planned = []
    for folder in chosen:
        pinned = configuring.pins(session, env, folder)
        place = overlay.kustomization(folder)
        data = place.read_bytes()
        planned.append((place, data, pin_file.update(data, pinned, where=str(place))))
    # All of them can be written before one of them is.
    for place, old, new in planned:
        if new != old and not plan:
            # Through a link, which stays one: whoever else reads the file gets the digests too.
            atomic_write(place.resolve(), new, mode=place.stat().st_mode & 0o777)
    return [(str(place), new != old) for place, old, new in planned]
