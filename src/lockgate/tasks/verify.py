"""`inv verify.file`, and `inv verify` above it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks import sign
from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context


@task(
    auto_shortflags=False,  # `-j` is `--json` everywhere, and the others have no short form
    help=helps(
        "json",
        file="path of the file, or its digest: sha256:…",
        bundle="path of the bundle; without it FILE.sigstore.json",
        identity="who must have signed, as the certificate says: a workflow or a mail address",
        issuer="address of the issuer who must have said so",
        trusted_root="path of the trust root of the Sigstore that issued the certificate",
        key="public key that must have signed, instead of an identity: a path or env://NAME",
    ),
)
@reported
def file(
    context: Context,
    file: str,
    bundle: str = "",
    identity: str = "",
    issuer: str = "",
    trusted_root: str = "",
    key: str = "",
    json: bool = False,
) -> None:
    """Check offline who signed a file. Example: inv verify.file tool.tar.gz --key maker.pub."""
    from lockgate.base.canonical import encode
    from lockgate.oci.digest import Digest
    from lockgate.sign.artifact import check
    from lockgate.tasks import verifying
    from lockgate.tasks.console import Console

    trust = verifying.trust(identity=identity, issuer=issuer, trusted_root=trusted_root, key=key)
    digest = verifying.digest(file)
    data = verifying.bundle(file, bundle)
    Console().say("verify", f"{file}  {Digest(digest).short}")
    found = check(data, digest, trust)
    sys.stdout.write((encode(found).decode() if json else verifying.line(found)) + "\n")


def collection() -> Collection:
    """Return `verify`, and what stands below it."""
    found = Collection("verify")
    found.add_task(sign.verify, default=True)
    found.add_task(file)
    return found
