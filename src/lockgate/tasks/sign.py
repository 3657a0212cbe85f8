"""`inv sign` and `inv verify`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import REGISTRY, Flags, helps, reported, worded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invoke.context import Context

    from lockgate.build.model import Image
    from lockgate.sign.model import Verification
    from lockgate.tasks.descending import Asked
    from lockgate.tasks.places import Doors
    from lockgate.tasks.session import Session
    from lockgate.tasks.signing import Done


@task(
    default=True,
    klass=Flags,
    help=helps(
        "component",
        "env",
        "plan",
        "json",
        failed="where the gate is closed, sign that it refused; it stays exit 3",
    ),
)
@reported
def sign(
    context: Context,
    component: str = "",
    env: str = "",
    plan: bool = False,
    json: bool = False,
    failed: bool = False,
) -> None:
    """Sign the image and its evidence, with the gate's permission. Example: inv sign -e dev."""
    from lockgate.build.model import Image
    from lockgate.gate.decide import require_open
    from lockgate.tasks import signing
    from lockgate.tasks.session import open_session

    session = open_session()
    session.settings.target(env)
    decisions = []
    for name in session.components(component):
        image = session.record(name, "image", Image, made_by="build")
        if plan:
            _plan(session, image, env)
            continue
        started = time.monotonic()
        done = signing.run(session, image, env, refusal=failed)
        decisions.append(done.decision)
        if done.decision.allowed:
            session.keep(name, "signed", done.signed)
        _show(session, name, done, started)
        if json:
            session.emit(done.signed)
    for decision in decisions:
        # That the refusal is evidence now does not make it a permission.
        require_open(decision)


def _plan(session: Session, image: Image, env: str) -> None:
    from lockgate.base.errors import KeyRefused
    from lockgate.oci.digest import Digest
    from lockgate.sign.keyless.signer import KeylessSigner
    from lockgate.tasks import signing

    where, environment = session.settings.target(env)
    if signing.makes_key(session, environment):
        if not environment.development_key:
            raise KeyRefused(
                f"{where} has no key, and does not take the development key",
                hint=f"set `key` of `{where}` in `lockgate.yaml`",
            )
        who = "a development key, which would be made"
    elif isinstance(key := signing.signer(session, environment), KeylessSigner):
        asked = key.claimed()
        who = f"{asked.label}, as {asked.issuer} has it"
    else:
        kind = "development key" if key.development else "key"
        who = f"{kind} {_fingerprint(key.fingerprint)}"
    session.console.say("sign", f"{image.component}  {Digest(image.subject).short} with {who}")


def _show(session: Session, name: str, done: Done, started: float) -> None:
    from lockgate.oci.digest import Digest
    from lockgate.sign import predicate

    signed = done.signed
    kind = "development key" if signed.development else "key"
    key = f"identity {signed.identity}" if signed.identity else f"{kind} {_fingerprint(signed.key)}"
    short = Digest(signed.subject).short
    if not done.fresh:
        session.console.say("sign", f"{name}  unchanged  {short}  {key}")
        return
    names = predicate.NAMES | predicate.ON_REQUEST
    kinds = [one.predicate_type for one in signed.statements]
    said = ", ".join(names[one] for one in kinds if one != predicate.SIGNATURE)
    what = f"image + {said}" if done.decision.allowed else f"refusal: {said}"
    session.console.say("sign", f"{short}  {what}  with {key}", started=started)


def _fingerprint(text: str) -> str:
    plain = text.removeprefix("sha256:")
    return ":".join(plain[at : at + 2] for at in range(0, 8, 2))


@task(
    iterable=["reference", "require", "insecure"],
    help=helps(
        "component",
        "env",
        "plan",
        "json",
        reference="name in the store, digest, host/name:tag, host/name@sha256:… or archive:PATH; may be repeated",
        require="what must hold instead of the environment's list: an entry, or `default`; may be repeated",
        read_layers="read the layers of an image in a registry too; those of other places always are",
        **REGISTRY,
    ),
)
@reported
@worded("reference")
def verify(
    context: Context,
    component: str = "",
    reference: list[str] | None = None,
    env: str = "",
    require: list[str] | None = None,
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
    read_layers: bool = False,
) -> None:
    """Check signature and evidence against the environment's requirements. Example: inv verify -e dev."""
    from lockgate.sign.verify import require as insist
    from lockgate.tasks import places, trusting
    from lockgate.tasks.descending import Asked
    from lockgate.tasks.session import open_session

    session = open_session()
    session.settings.target(env)
    entries = tuple(require or ())
    if plan:
        session.console.say("verify", "would ask")
        session.console.block(trusting.described(session, env, entries))
        return
    ways = places.Ways(session, authority, insecure or ())
    asked = Asked(env, entries)
    with places.Doors(ways, layers=read_layers) as doors:
        verifications = [
            each
            for one in (reference or session.components(component))
            for each in _verify(doors, one, asked, json)
        ]
    for verification in verifications:
        insist(verification)


def _verify(doors: Doors, text: str, asked: Asked, json: bool) -> Iterator[Verification]:
    """Verify what a word names, show what was found, and keep it when it is the image of a component."""
    from lockgate.oci.digest import Digest
    from lockgate.sign.verify import lines
    from lockgate.tasks import descending, places

    session = doors.ways.session
    place, digest = doors.open(places.within(doors.ways, asked.env, text))
    for name, found in descending.verifications(doors, place, digest, text, asked):
        session.console.say("verify", f"{name}  {Digest(found.subject).short}")
        if name in session.settings.components and text == name and not asked.entries:
            session.keep(name, "verification", found)
        if json:
            session.emit(found)
        else:
            sys.stdout.write("\n".join(lines(found)) + "\n")
            sys.stdout.flush()
        yield found


def collection() -> Collection:
    """Return the tasks of this module that stand below `sign`."""
    return Collection("sign", sign)
