"""The sign floor's edges, made from the settings: keys and evidence."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import encode
from lockgate.base.errors import KeyRefused, UsageError
from lockgate.base.files import atomic_write, exclusive
from lockgate.build.check import Checks
from lockgate.gate.decision import Decision
from lockgate.oci.digest import Digest
from lockgate.scan.model import Report
from lockgate.sign.model import Signed
from lockgate.tasks import judging, scanning

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.base.settings import Environment
    from lockgate.build.model import Image
    from lockgate.sign.keyless.signer import KeylessSigner
    from lockgate.sign.keys import Signer
    from lockgate.tasks.session import Session


def signer(session: Session, environment: Environment) -> Signer | KeylessSigner:
    """Return what an environment signs with; without a key in the settings the development key.

    Raises:
        KeyRefused: the key is not there or is not a private key.
    """
    from lockgate.sign import keys
    from lockgate.sign.keyless import signer as keyless

    if not environment.key:
        return keys.development_key(session.folder / "keys")
    if keyless.matches(environment.key):
        return keyless.load(environment.key, root=session.root, environ=os.environ)
    return keys.load(environment.key, root=session.root, environ=os.environ, ask=_ask())


def makes_key(session: Session, environment: Environment) -> bool:
    """Return whether signing for an environment would make the development key first."""
    from lockgate.sign import keys

    return not environment.key and not keys.has_development_key(session.folder / "keys")


def _ask() -> Callable[[str], str] | None:
    return _asked if sys.stdin.isatty() else None


def _asked(prompt: str) -> str:
    """Return what is typed at the terminal, which does not show it.

    Raises:
        KeyRefused: the input ended before its line did (Ctrl-D), or is not text.
    """
    from getpass import getpass

    try:
        return getpass(prompt)
    except (EOFError, KeyboardInterrupt, UnicodeDecodeError) as error:
        sys.stderr.write("\n")  # the prompt still stands on its line
        if isinstance(error, KeyboardInterrupt):
            raise
    raise KeyRefused(
        f"no {prompt.removesuffix(': ')} could be read",
        hint="type it and Enter, or set `COSIGN_PASSWORD`",
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


class Done(NamedTuple):
    """What `run` did."""

    signed: Signed
    fresh: bool
    """Whether anything was new."""
    decision: Decision
    """The verdict; a closed one when its refusal was signed."""


def run(session: Session, image: Image, env: str, *, refusal: bool = False) -> Done:
    """Sign an image and its evidence; on request the refusal of a closed gate instead.

    Raises:
        GateClosed: the gate did not let the image pass, and its refusal is not asked for.
        UsageError: it was not scanned, or the records are of another image.
        Stale: the permission was given under other settings or waivers than today's.
        KeyRefused: the key cannot be used here.
    """
    from lockgate.sign import attest

    name, environment = session.settings.target(env)
    component = image.component
    report = session.record(component, "report", Report, made_by="scan")
    decision = session.record(component, f"decision-{name}", Decision, made_by=f"scan -e {name}")
    if decision.allowed:
        judging.require_current(session, decision, env, now())
    checks = _checks(session, image)
    holder = signer(session, environment)
    depends = {
        "IMAGE": Digest.of(encode(image)),
        "REPORT": Digest.of(encode(report)),
        "DECISION": Digest.of(encode(decision)),
        "CHECKS": Digest.of(encode(checks)) if checks else "",
        "KEY": holder.fingerprint,
        "DEVELOPMENT": str(environment.development_key),
        "FORMS": ", ".join(sorted(environment.signatures)),
    }
    console, document = session.console, sbom(session, image)
    with exclusive(
        session.lock(f"sign-{component}"),
        waiting=lambda: console.say("sign", "another run signs this component; waiting for it"),
    ):
        kept = session.cache.find("sign", f"{component}-{name}", depends, Signed)
        open_or_asked_for = decision.allowed or refusal
        if kept is not None and open_or_asked_for and attest.present(kept, session.layout):
            return Done(kept, False, decision)
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
            allow_failed_summary=refusal,
            checks=checks,
            formats=environment.signatures,
        )
        session.cache.keep("sign", f"{component}-{name}", depends, made)
    return Done(made, any(one.new for one in made.statements), decision)


def _checks(session: Session, image: Image) -> Checks | None:
    """Return what `inv check` found of the very sources that the image was built from; None without it."""
    if not session.record_path(image.component, "checks").exists():
        return None
    found = session.record(image.component, "checks", Checks, made_by="check")
    same = (found.subject, found.component) == (image.source.content, image.component)
    return found if same else None


def _raw(session: Session, digest: str) -> bytes:
    path = scanning.raw_reports(session) / Digest(digest).hex
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"the scanner's report {Digest(digest).short} is gone", hint="run `inv scan` again"
        ) from None
    return Digest(digest).check(data, "the scanner's report")


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
