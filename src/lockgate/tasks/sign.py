"""`inv sign` and `inv verify`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.build.model import Image
    from lockgate.sign.model import Signed
    from lockgate.tasks.session import Session


@task(default=True, help=helps("component", "env", "plan", "json"))
@reported
def sign(
    context: Context, component: str = "", env: str = "", plan: bool = False, json: bool = False
) -> None:
    """Sign the image and its evidence, with the gate's permission. Example: inv sign -e dev."""
    from lockgate.build.model import Image
    from lockgate.tasks import signing
    from lockgate.tasks.session import open_session

    session = open_session()
    session.settings.target(env)
    for name in session.components(component):
        image = session.record(name, "image", Image, made_by="build")
        if plan:
            _plan(session, image, env)
            continue
        started = time.monotonic()
        signed, fresh = signing.run(session, image, env)
        session.keep(name, "signed", signed)
        _show(session, name, signed, fresh, started)
        if json:
            session.emit(signed)


def _plan(session: Session, image: Image, env: str) -> None:
    from lockgate.oci.digest import Digest
    from lockgate.tasks import signing

    _, environment = session.settings.target(env)
    key = signing.signer(session, environment)
    kind = "development key" if key.development else "key"
    session.console.say(
        "sign",
        f"{image.component}  {Digest(image.subject).short} with {kind} {_fingerprint(key.fingerprint)}",
    )


def _show(session: Session, name: str, signed: Signed, fresh: bool, started: float) -> None:
    from lockgate.oci.digest import Digest

    key = ("development key " if signed.development else "key ") + _fingerprint(signed.key)
    short = Digest(signed.subject).short
    if not fresh:
        session.console.say("sign", f"{name}  unchanged  {short}  {key}")
        return
    session.console.say(
        "sign",
        f"{short}  image + sbom, vuln, provenance, summary  with {key}",
        started=started,
    )


def _fingerprint(text: str) -> str:
    plain = text.removeprefix("sha256:")
    return ":".join(plain[at : at + 2] for at in range(0, 8, 2))


@task(
    help=helps(
        "component",
        "env",
        "plan",
        "json",
        reference="name in the store or digest, instead of a component",
    )
)
@reported
def verify(
    context: Context,
    component: str = "",
    reference: str = "",
    env: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Check signature and evidence against the environment's requirements. Example: inv verify -e dev."""
    from lockgate.oci.digest import Digest
    from lockgate.sign.verify import lines, require
    from lockgate.tasks import signing
    from lockgate.tasks.session import open_session

    session = open_session()
    session.settings.target(env)
    verifications = []
    for one in [reference] if reference else session.components(component):
        digest = signing.resolve(session, one)
        session.console.say("verify", f"{one}  {Digest(digest).short}")
        if plan:
            session.console.block(signing.requirements(session, env))
            continue
        found = signing.verification(session, digest, env, signing.now())
        if one in session.settings.components:
            session.keep(one, "verification", found)
        if json:
            session.emit(found)
        else:
            sys.stdout.write("\n".join(lines(found)) + "\n")
        verifications.append(found)
    for verification in verifications:
        require(verification)


def collection() -> Collection:
    """Return the tasks of this module that stand below `sign`."""
    return Collection("sign", sign)
