"""Whom an environment trusts and what it requires, made from the settings, and what then holds of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import encode
from lockgate.base.errors import KeyRefused, UsageError
from lockgate.gate.threshold import from_environment
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.base.settings import Environment
    from lockgate.oci.readable import Readable
    from lockgate.sign.combine import AllOf
    from lockgate.sign.evidence import Trust
    from lockgate.sign.keyless.trusted_root import TrustedRoot
    from lockgate.sign.model import Verification
    from lockgate.sign.public_key import PublicKey
    from lockgate.tasks.session import Session

DEFAULT = "default"
"""What `--require` calls the requirements of an environment that names none."""


def verification(
    session: Session,
    digest: str,
    env: str,
    now: int,
    *,
    place: Readable | None = None,
    entries: Sequence[str] = (),
) -> Verification:
    """Return what holds of an environment's requirements for a digest.

    Args:
        session: the repository.
        digest: the image.
        env: the environment; empty for the default one.
        now: seconds since 1970.
        place: where the image lies; the store when not given.
        entries: requirements in place of the environment's, as `--require` has them.

    Raises:
        DigestMismatch: something of the image was changed.
        KeyRefused: the environment trusts nobody.
        UsageError: a requirement is not known, or the image is not there.
    """
    from lockgate.sign.verify import verify

    name, environment = session.settings.target(env)
    trust = trusted(session, environment, name)
    found = verify(
        session.layout if place is None else place,
        digest,
        requirement(session, env, trust, entries),
        trust.keys,
        name=name,
        development_key_allowed=trust.development_key_allowed,
        now=now,
        identities=trust.identities,
        trusted_root=trust.root,
    )
    return found if entries else msgspec.structs.replace(found, asked=asked(session, env))


def asked(session: Session, env: str) -> str:
    """Return a digest of what an environment requires and of whom; it changes when any of it does.

    Raises:
        KeyRefused: the environment trusts nobody.
    """
    name, environment = session.settings.target(env)
    trust = trusted(session, environment, name)
    return Digest.of(
        encode(
            {
                "environment": name,
                "require": environment.require,
                "threshold": from_environment(environment),
                "development": environment.development_key,
                "signers": [
                    *(one.fingerprint for one in trust.keys),
                    *(one.fingerprint for one in trust.identities),
                ],
            }
        )
    )


def trusted(session: Session, environment: Environment, name: str, *, plan: bool = False) -> Trust:
    """Return whose signatures an environment trusts; no key is made for that.

    Args:
        session: the repository.
        environment: the environment.
        name: its name.
        plan: let a key stand for the development key that is not made yet.

    Raises:
        KeyRefused: a key or the trusted root cannot be read, or nobody is trusted.
    """
    from lockgate.sign.evidence import Trust
    from lockgate.sign.keyless.identity import Identity

    identities = tuple(
        Identity(one.subject, one.issuer, one.name) for one in environment.identities
    )
    root = _root(session, environment.trusted_root) if identities else None
    return Trust(
        keys=_keys(session, environment, name, alone=not identities, plan=plan),
        development_key_allowed=environment.development_key,
        identities=identities,
        root=root,
    )


def _keys(
    session: Session, environment: Environment, name: str, *, alone: bool, plan: bool
) -> tuple[PublicKey, ...]:
    from lockgate.sign import keys
    from lockgate.sign.keyless.signer import KeylessSigner
    from lockgate.sign.public_key import PublicKey
    from lockgate.tasks import signing

    if environment.public_keys:
        return keys.public_keys(environment.public_keys, root=session.root)
    if _awaits_key(session, environment):
        if plan:
            return (_unmade(),)
        if alone:
            raise KeyRefused(
                f"{name} trusts its development key alone, and there is none yet, so nothing is signed",
                hint=f"`inv sign -e {name}` makes it and signs, and so does `inv config.sign -e {name}`",
            )
    elif environment.key or environment.development_key:
        holder = signing.signer(session, environment)
        if not isinstance(holder, KeylessSigner):
            found = holder.public_key()
            # Of a development key either file may say so.
            return (PublicKey(found.spki, found.name, holder.development),)
    if alone:
        raise KeyRefused(
            f"{name} trusts no key",
            hint=f"name `public_keys`, `identities` or a `key` of `{name}` in `lockgate.yaml`",
        )
    return ()


def _awaits_key(session: Session, environment: Environment) -> bool:
    """Return whether an environment trusts the development key, and that is not made yet."""
    from lockgate.tasks import signing

    takes = environment.development_key and not environment.public_keys
    return takes and signing.makes_key(session, environment)


def _unmade() -> PublicKey:
    """Return a key of which nobody has the other half, to read requirements with that name it."""
    from lockgate.sign.local import make_pair
    from lockgate.sign.public_key import PublicKey

    return PublicKey.parse(make_pair(b"", development=True)[1], name="development")


def _root(session: Session, path: str) -> TrustedRoot:
    from lockgate.sign.keyless.trusted_root import MAX_BYTES, TrustedRoot

    try:
        with (session.root / path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeyRefused(
            f"trusted root {path} cannot be read: {error.strerror}",
            hint="check `trusted_root` in `lockgate.yaml`",
        ) from None
    if len(data) > MAX_BYTES:
        raise KeyRefused(
            f"trusted root {path} has more than {MAX_BYTES} bytes",
            hint="check `trusted_root` in `lockgate.yaml`",
        )
    return TrustedRoot.parse(data, what=f"trusted root {path}")


def requirement(session: Session, env: str, trust: Trust, entries: Sequence[str] = ()) -> AllOf:
    """Return what must hold: the entries that are given, else the environment's, else the default.

    Raises:
        UsageError: an entry is not known; the message says which, and where it stands.
    """
    from lockgate.sign.requirement import default_requirement
    from lockgate.sign.requirement_settings import from_settings

    name, environment = session.settings.target(env)
    threshold = from_environment(environment)
    content, where = _wanted(session, env, entries)
    if not content:
        return default_requirement(name, threshold)
    return from_settings(
        content,
        environment=name,
        threshold=threshold,
        keys=(*trust.keys, *trust.identities),
        where=where,
    )


def _wanted(session: Session, env: str, entries: Sequence[str]) -> tuple[list[object], str]:
    """Return entries as settings have them, and how to name them in an error; none for the default ones."""
    name, environment = session.settings.target(env)
    if not entries:
        return list(environment.require), f"`lockgate.yaml`: environments.{name}.require"
    others = session.settings.environments
    if len(entries) == 1 and entries[0] in (DEFAULT, *others):
        named = entries[0]
        return ([], "") if named == DEFAULT else _wanted(session, named, ())
    return [_entry(one) for one in entries], "--require"


def _entry(text: str) -> object:
    if not text.strip():
        raise UsageError("`--require` names nothing", hint="write `--require sbom`")
    from lockgate.base import strict_yaml

    # Arguments that are no UTF-8 arrive as halves of surrogate pairs.
    return strict_yaml.load(text.encode("utf-8", "surrogateescape"), what=f"--require {text!r}")


def described(session: Session, env: str, entries: Sequence[str] = ()) -> list[str]:
    """Say what is required of an image, and by whose signature; nothing of the image is read.

    Raises:
        KeyRefused: the environment trusts nobody.
        UsageError: a requirement is not known.
    """
    import json

    name, environment = session.settings.target(env)
    trust = trusted(session, environment, name, plan=True)
    requirement(session, env, trust, entries)
    content, _ = _wanted(session, env, entries)
    if _awaits_key(session, environment):
        people = ["the development key, which `inv sign` makes"]
    else:
        people = [f"{one.name} {one.short}" for one in trust.keys]
    people += [f"{one.name} {one.subject}" for one in trust.identities]
    wanted = content or ["signature", "sbom", "vuln", "provenance", "summary"]
    days = environment.database_max_age_days
    return [
        f"signed by one of: {', '.join(people)}",
        *(f"required: {one if isinstance(one, str) else json.dumps(one)}" for one in wanted),
        f"the gate of {name} takes advisories of the last {days} days",
    ]
