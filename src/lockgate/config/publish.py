"""Publish: sign an artifact, with the permission of every image in it.

What a scan and a gate are for an image, its images are for an artifact: it may be signed for an environment when
each of them was verified there. So whoever trusts the signature of an artifact need not ask which image it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate import __version__
from lockgate.base.canonical import encode
from lockgate.base.errors import AttestationMissing, KeyRefused, SubjectMismatch
from lockgate.build.layer import zlib_is_reference
from lockgate.config import package
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef
from lockgate.sign import predicate, simplesigning, statement, writing
from lockgate.sign.combine import AllOf
from lockgate.sign.keyless.signer import KeylessSigner
from lockgate.sign.model import Signed
from lockgate.sign.public_key import short
from lockgate.sign.requirement import Provenance, Signature

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lockgate.config.model import Built
    from lockgate.oci.layout import Layout
    from lockgate.sign.keys import Signer
    from lockgate.sign.model import Verification

BUILD_TYPE = "urn:lockgate:build:config:v1"

BUILDER = "lockgate/config"
"""Name of what makes artifacts; its id begins as that of every builder of ours."""


def publish(
    built: Built,
    verifications: Iterable[Verification],
    *,
    signer: Signer | KeylessSigner,
    layout: Layout,
    development_key_allowed: bool,
    formats: Collection[str] = writing.FORMATS,
    reference: str = "",
) -> Signed:
    """Sign an artifact and its provenance; store them beside it.

    Args:
        built: the artifact, and what it was made from.
        verifications: what `verify` said of each of its images, for the environment that it was built for.
        signer: the key.
        layout: the store that holds the artifact.
        development_key_allowed: whether the environment takes a development key.
        formats: as `sign.attest`.
        reference: the name under which readers of the older form find it: a repository. Empty: its name.

    Raises:
        AttestationMissing: an image was not verified for this environment, or is not trusted there.
        SubjectMismatch: the artifact in the store is not the one of the record.
        KeyRefused: the key cannot be opened, or is a development key where none is taken.
        ToolError, RemoteError: signing without a key failed.
    """
    artifact, environment = built.artifact, built.environment
    stored = package.describe(layout, artifact.subject, name=artifact.name)
    if stored != artifact:
        raise SubjectMismatch(
            f"{Digest(artifact.subject).short} in the store is not what its record says",
            hint=f"run `inv config.build -e {environment}` again",
        )
    _check_images(built, verifications)
    if signer.development and not development_key_allowed:
        raise KeyRefused(
            f"{environment} does not take the development key {short(signer.fingerprint)}",
            hint=f"set `key` of `{environment}` in `lockgate.yaml`",
        )
    said = signer_says(built)
    writer = writing.open_writer(layout, artifact.subject, signer, formats, said)
    kind = predicate.PROVENANCE
    done = writer.attest({kind: _state(built, kind, provenance(built))})
    # Last of all: when a run is ended midway, no artifact has the mark without the evidence.
    mark = _state(built, predicate.SIGNATURE, predicate.signature(), said)
    simple = simplesigning.build(
        reference=reference or artifact.name, digest=artifact.subject, annotations=said
    )
    done[predicate.SIGNATURE] = writer.sign_image(mark, simple)
    named = signer.identity if isinstance(signer, KeylessSigner) else None
    return Signed(
        subject=artifact.subject,
        identity=named.subject if named else "",
        key=signer.fingerprint,
        development=signer.development,
        statements=tuple(done[kind] for kind in predicate.ORDER if kind in done),
    )


def _check_images(built: Built, verifications: Iterable[Verification]) -> None:
    trusted = {
        one.subject
        for one in verifications
        if one.met and one.results and one.name == built.environment
    }
    for image in built.artifact.images:
        pinned = PinnedRef.parse(image)
        if pinned.digest not in trusted:
            raise AttestationMissing(
                f"{pinned.name} {Digest(pinned.digest).short} is not trusted in {built.environment}, "
                "so the artifact that runs it is not signed",
                hint=f"`inv verify -e {built.environment} --reference {pinned.digest}` says why",
            )


def requirement(environment: str) -> AllOf:
    """Return what must hold of an artifact itself; its images have requirements of their own."""
    return AllOf(
        parts=(
            Signature(annotations={"environment": environment}),
            Provenance(builder=predicate.BUILDER + BUILDER),
        )
    )


def signer_says(built: Built) -> dict[str, str]:
    """Return what the signature says beside its claim, as that of an image does."""
    said = {
        "builder": BUILDER,
        "commit": built.artifact.revision,
        "environment": built.environment,
    }
    return {key: value for key, value in said.items() if value}


def provenance(built: Built) -> bytes:
    """Return SLSA provenance: commit and files, and every image as a dependency. It holds no time."""
    artifact, source = built.artifact, built.source
    version = {"lockgate": __version__ + ("" if zlib_is_reference() else "+other-zlib")}
    name, _, number = built.renderer.partition(" ")
    content = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "artifact": artifact.name,
                "environment": built.environment,
                "source": {"repository": source.repository, "subpath": source.subpath},
            },
            "internalParameters": {"inputs": built.inputs, "encrypted": artifact.encrypted},
            "resolvedDependencies": list(_dependencies(built)),
        },
        "runDetails": {
            "builder": {
                "id": predicate.BUILDER + BUILDER,
                "version": version | ({name: number} if name else {}),
            },
            "byproducts": [
                {"name": "all.yaml", "digest": {"sha256": Digest(artifact.checksum).hex}}
            ],
        },
    }
    return encode(content)


def _dependencies(built: Built) -> Iterator[dict[str, Any]]:
    source = built.source
    if source.revision:
        commit: dict[str, Any] = {"name": "source", "digest": {"gitCommit": source.revision}}
        if source.repository:
            commit["uri"] = f"git+{source.repository}@{source.revision}"
        yield commit
    tree: dict[str, Any] = {"name": "tree", "digest": {"sha256": Digest(source.content).hex}}
    if source.dirty:
        tree["annotations"] = {"dirty": True, "changes": list(source.changes)}
    yield tree
    for image in built.artifact.images:
        pinned = PinnedRef.parse(image)
        yield {"name": pinned.name, "uri": image, "digest": {"sha256": Digest(pinned.digest).hex}}


def _state(built: Built, kind: str, content: bytes, said: dict[str, str] | None = None) -> bytes:
    return statement.build(
        name=built.artifact.name,
        digest=built.artifact.subject,
        predicate_type=kind,
        predicate=content,
        annotations=said,
    )
