"""The edges of push, pull and copy: where images go, what may go there, and what is said of the move."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.endpoint import has_host
from lockgate.oci.manifest import Index, Manifest, is_index
from lockgate.oci.reference import is_name, is_tag
from lockgate.tasks import places
from lockgate.tasks.console import quantity
from lockgate.tasks.places import FORMS, Place

if TYPE_CHECKING:
    from lockgate.oci.transfer import Moved
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session

_REVISION = "org.opencontainers.image.revision"

_EVIDENCE = re.compile(r"sha256-[0-9a-f]{64}(\..+)?")
"""Names by which the evidence of a digest is found; an image behind one would hide what was there."""


def pushed_as(session: Session, name: str, to: str, tag: str, env: str = "") -> str:
    """Return the reference that an image of the store is pushed to.

    The tag is for people, so it is the commit that the image says it was built from; in the registry of an
    environment the environment's name stands before it.

    Args:
        session: the repository.
        name: name in the store.
        to: registry and folder; empty for the environment's.
        tag: empty for the one that the commit gives.
        env: the environment; empty for the default one.

    Raises:
        UsageError: there is nowhere to push to, or the image is not in the store.
    """
    from lockgate.tasks import signing

    where, environment = session.settings.target(env)
    base = to or environment.registry
    if not base:
        raise UsageError(
            "there is no registry to push to",
            hint=f"set `registry` of `{where}` in `lockgate.yaml`, or name one: "
            "`inv push --to registry.example/team`",
        )
    if "@" in base or not has_host(f"{base}/"):
        said = "" if to else f"`lockgate.yaml`: environments.{where}.registry: "
        raise UsageError(
            f"{said}{base!r} is not a registry with a folder",
            hint="write it as `registry.example/team`",
        )
    place = Place.parse(name)
    if place.kind != "store" or not place.name:
        raise UsageError(f"{name!r} is not a name in the store", hint="`inv copy` moves anything")
    data = session.layout.read(signing.resolve(session, name))
    marks = (Index if is_index(data) else Manifest).parse(data).annotations
    commit, dash, dirty = marks.get(_REVISION, "").partition("-")
    short = commit[:12] if to else f"{where}-{commit[:7]}"
    found = tag or (f"{short}{dash}{dirty}" if commit else "")
    if found and not is_tag(found):
        raise UsageError(f"{found!r} cannot be a tag", hint="letters, digits, `.`, `_` and `-`")
    return f"{base.rstrip('/')}/{place.last}" + (f":{found}" if found else "")


def let_through(session: Session, name: str, env: str) -> str:
    """Return an image of the store by name and digest, once it is what an environment asks for.

    Raises:
        GateClosed: the environment's gate is closed to it.
        TrustError: it is not signed, or does not meet a requirement of the environment.
        UsageError: it is not in the store, or is no image.
    """
    from lockgate.config import package
    from lockgate.gate.decide import require_open
    from lockgate.gate.decision import Decision
    from lockgate.sign.verify import require
    from lockgate.tasks import signing, trusting

    digest = signing.resolve(session, name)
    where, _ = session.settings.target(env)
    if (
        name in session.settings.components
        and session.record_path(name, f"decision-{where}").exists()
    ):
        decision = session.record(name, f"decision-{where}", Decision, made_by=f"scan -e {where}")
        if decision.subject == digest:
            # Not signed either, then; but why it is not is the better answer.
            require_open(decision)
    if package.is_artifact(session.layout, digest):
        # It has requirements of its own, and what the environment asks of images can be less than those.
        raise UsageError(
            f"{name!r} is an artifact of manifests, and no image",
            hint=f"`inv config.push -e {where}` pushes the one of {where}",
        )
    require(trusting.verification(session, digest, env, signing.now()), subject=digest)
    return f"{name.partition('@')[0]}@{digest}"


def pulled_as(reference: str, name: str) -> str:
    """Return the name in the store that an image is pulled to.

    Raises:
        UsageError: what is to be pulled is in the store already, or cannot be a name.
    """
    place = Place.parse(reference)
    if place.kind == "store":
        raise UsageError(f"{reference!r} names no registry", hint=FORMS)
    found = name or place.last
    if not is_name(found):
        raise UsageError(f"{found!r} cannot be a name in the store", hint="give one with `--name`")
    _check_name(found, "give another name with `--name`")
    return found


def _check_name(name: str, hint: str) -> None:
    if _EVIDENCE.fullmatch(name):
        raise UsageError(f"{name!r} is kept for the evidence of an image", hint=hint)


def run(ways: Ways, stage: str, origin: str, to: str, plan: bool, json: bool) -> Moved:
    """Move one image, or say what would be moved; return what it was.

    Raises:
        UsageError: one of the two is not a place, or the image is not there.
        TrustError: the image is not whole, or not what it claims to be.
        RegistryError: a registry is out of reach, or refuses.
    """
    from lockgate.oci import transfer
    from lockgate.tasks import signing

    session, started = ways.session, time.monotonic()
    first, second = Place.parse(origin), Place.parse(to)
    _check_name(second.name, "copy to another name: the evidence of an image goes with it")
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(places.source(ways, first))
        local = first.kind == "store"
        digest = signing.resolve(session, origin) if local else places.resolve(source, first)
        if second.digest not in ("", digest):
            raise UsageError(
                f"{origin} is {Digest(digest).short}, and {to} names another digest",
                hint="leave the digest of the target out",
            )
        target = stack.enter_context(places.target(ways, second, first))
        name = first.last if second.kind == "archive" else second.name
        work = transfer.plan(source, target, digest, name)
        if plan:
            moved = work.record()
        else:
            with session.console.bar(stage) as progress:
                moved = transfer.move(work, progress)
    if json:
        session.emit(moved)
    where = f"{target.label}:{name}" if second.kind == "registry" and name else to
    session.console.say(stage, f"{origin.partition('@')[0]}  {Digest(digest).short} → {where}")
    if plan:
        session.console.block(_planned(moved))
    else:
        session.console.say(stage, _done(moved), started=started, tone="good")
        if stage == "push" and not json:
            # For scripts: what was pushed, by what cannot move.
            sys.stdout.write(f"{target.label}@{digest}\n")
    return moved


def _planned(moved: Moved) -> list[str]:
    lines = [f"{one.digest}  {_size(one.size):>8}  blob" for one in moved.blobs]
    lines += [f"{one.digest}  {_size(one.size):>8}  manifest" for one in moved.manifests]
    lines += [f"{one:<81}  name" for one in moved.tags]
    return [*lines, "nothing was changed" if lines else "nothing is left to move"]


def _size(size: int) -> str:
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _done(moved: Moved) -> str:
    size = sum(one.size for one in (*moved.blobs, *moved.manifests))
    held = f"{quantity(moved.platforms, 'platform')} · {len(moved.evidence)} pieces of evidence"
    if not (moved.blobs or moved.manifests or moved.tags):
        return f"{held} · unchanged"
    return f"{held} · {quantity(len(moved.blobs), 'blob')} moved, {_size(size)}"
