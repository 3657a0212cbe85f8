"""The sign floor's edges, made from the settings: keys, evidence, requirements."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, exclusive
from lockgate.gate.decision import Decision
from lockgate.gate.threshold import from_environment
from lockgate.oci.digest import Digest
from lockgate.scan.model import Report
from lockgate.sign.model import Signed
from lockgate.tasks import scanning

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.base.settings import Environment
    from lockgate.build.model import Image
    from lockgate.sign.keys import Signer
    from lockgate.sign.model import Verification
    from lockgate.sign.public_key import PublicKey
    from lockgate.tasks.session import Session


def signer(session: Session, environment: Environment) -> Signer:
    """Return the key that an environment signs with; without one in the settings the development key.

    Raises:
        KeyRefused: the key is not there or is not a private key.
    """
    from lockgate.sign import keys

    if not environment.key:
        return keys.development_key(session.folder / "keys")
    return keys.load(environment.key, root=session.root, environ=os.environ, ask=_ask())


def _ask() -> Callable[[str], str] | None:
    if not sys.stdin.isatty():
        return None
    from getpass import getpass

    return getpass


def trusted_keys(session: Session, environment: Environment) -> tuple[PublicKey, ...]:
    """Return the keys whose signatures an environment trusts.

    Raises:
        KeyRefused: a key file is not there, or the environment trusts none.
    """
    from lockgate.sign import keys

    if environment.public_keys:
        return keys.public_keys(environment.public_keys, root=session.root)
    if environment.key or environment.development_key:
        return (signer(session, environment).public_key(),)
    from lockgate.base.errors import KeyRefused

    raise KeyRefused(
        "this environment trusts no key",
        hint="name `public_keys`, or a `key`, for it in `lockgate.yaml`",
    )


def sbom(session: Session, image: Image) -> bytes:
    """Return the CycloneDX document of an image, made once; a copy lies in `out/` for other tools."""
    kept = session.folder / "records" / "sbom" / f"{Digest(image.subject).hex}.json"
    try:
        made = kept.read_bytes()
    except FileNotFoundError:
        from lockgate.scan.sbom import cyclonedx

        made = cyclonedx(image)
        atomic_write(kept, made)
    copy = session.root / "out" / image.component / "sbom.cdx.json"
    if not copy.exists() or copy.read_bytes() != made:
        atomic_write(copy, made)
    return made


def run(session: Session, image: Image, env: str) -> tuple[Signed, bool]:
    """Sign an image and its evidence; return the record, and whether anything was new.

    Raises:
        GateClosed: the gate did not let the image pass.
        UsageError: it was not scanned, or the records are of another image.
        KeyRefused: the key cannot be used here.
    """
    from lockgate.sign import attest

    name, environment = session.settings.target(env)
    component = image.component
    report = session.record(component, "report", Report, made_by="scan")
    decision = session.record(component, f"decision-{name}", Decision, made_by=f"scan -e {name}")
    holder = signer(session, environment)
    depends = {
        "IMAGE": Digest.of(encode(image)),
        "REPORT": Digest.of(encode(report)),
        "DECISION": Digest.of(encode(decision)),
        "KEY": holder.fingerprint,
        "DEVELOPMENT": str(environment.development_key),
    }
    console, document = session.console, sbom(session, image)
    with exclusive(
        session.lock(f"sign-{component}"),
        waiting=lambda: console.say("sign", "another run signs this component; waiting for it"),
    ):
        kept = session.cache.find("sign", f"{component}-{name}", depends, Signed)
        if kept is not None and attest.present(kept, session.layout):
            return kept, False
        raw = {one.report: _raw(session, one.report) for one in report.platforms}
        made = attest.attest(
            decision,
            image=image,
            report=report,
            raw_reports=raw,
            sbom=document,
            signer=holder,
            layout=session.layout,
            development_key_allowed=environment.development_key,
        )
        session.cache.keep("sign", f"{component}-{name}", depends, made)
    return made, any(one.new for one in made.statements)


def _raw(session: Session, digest: str) -> bytes:
    path = scanning.raw_reports(session) / Digest(digest).hex
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"the scanner's report {Digest(digest).short} is gone", hint="run `inv scan` again"
        ) from None
    return Digest(digest).check(data, "the scanner's report")


def verification(session: Session, digest: str, env: str, now: int) -> Verification:
    """Return what holds of an environment's requirements for a digest in the store.

    Raises:
        DigestMismatch: a blob of the image was changed.
        KeyRefused: the environment trusts no key.
    """
    from lockgate.sign.requirement import default_requirement
    from lockgate.sign.verify import verify

    name, environment = session.settings.target(env)
    return verify(
        session.layout,
        digest,
        default_requirement(name, from_environment(environment)),
        trusted_keys(session, environment),
        name=name,
        development_key_allowed=environment.development_key,
        now=now,
    )


def requirements(session: Session, env: str) -> list[str]:
    """Say what an environment asks of an image, and by whose signature; nothing is read from the store.

    Raises:
        KeyRefused: the environment trusts no key.
    """
    name, environment = session.settings.target(env)
    keys = ", ".join(f"{one.name} {one.short}" for one in trusted_keys(session, environment))
    days = environment.database_max_age_days
    return [
        f"signed by one of: {keys}",
        "attested: sbom, vulnerabilities, provenance, summary",
        f"passed the gate of {name}, with advisories of the last {days} days",
    ]


def resolve(session: Session, reference: str) -> str:
    """Return the digest that a person's argument names: a component, a name in the store, or a digest.

    Raises:
        UsageError: nothing of that name is in the store.
    """
    from lockgate.base.settings import nearest
    from lockgate.oci.reference import ImageRef

    if reference.startswith("sha256:"):
        return Digest(reference)
    found = ImageRef.parse(reference)
    if found.digest:
        return found.digest
    names = session.layout.tags()
    if found.tag or found.name not in names:
        # A tag is not passed over: it would be another image that is spoken of.
        known = [one for one in names if not one.startswith("sha256-")]
        raise UsageError(
            f"{reference!r} is not in the store",
            hint=nearest(found.name, known) or "`inv build` makes the images of all components",
        )
    return names[found.name].digest


def now() -> int:
    """Return the time in seconds since 1970."""
    return int(time.time())
