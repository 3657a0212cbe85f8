"""A small world for signing: an image of two platforms in a layout, its scan, its verdict, and keys."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from lockgate.base.canonical import encode
from lockgate.build.check import Checks, Gate
from lockgate.build.model import Image, Package, PlatformImage, Source
from lockgate.gate.decide import decide
from lockgate.gate.decision import Decision, Threshold
from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Index,
    Manifest,
    Platform,
    index_bytes,
    manifest_bytes,
)
from lockgate.scan.model import Database, Finding, PlatformScan, Report, Scanner
from lockgate.sign import pem
from lockgate.sign.attest import attest
from lockgate.sign.local import LocalSigner

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.sign.keyless.signer import KeylessSigner
    from lockgate.sign.keys import Signer
    from lockgate.sign.model import Signed

NOW = 1_795_000_000
PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that `attest` takes, agreeing with itself."""

    layout: Layout
    image: Image
    report: Report
    raw: dict[str, bytes]
    sbom: bytes
    decision: Decision
    threshold: Threshold

    def sign(self, signer: Signer | KeylessSigner, **changes: Any) -> Signed:
        """Attest, with other arguments where a test wants them."""
        arguments: dict[str, Any] = {
            "image": self.image,
            "report": self.report,
            "raw_reports": self.raw,
            "sbom": self.sbom,
            "signer": signer,
            "layout": self.layout,
            "development_key_allowed": False,
            **changes,
        }
        return attest(arguments.pop("decision", self.decision), **arguments)


def private_pem(*, preamble: str = "") -> bytes:
    """Return a new private key, PKCS#8 without a password."""
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem.write("PRIVATE KEY", pkcs8, preamble=preamble)


def no_password() -> bytes:
    """Fail: a key without a password must not ask for one."""
    raise AssertionError("a password was asked for")


def make_signer(name: str, preamble: str = "") -> LocalSigner:
    """Return a signer with a new key."""
    block = pem.parse(private_pem(preamble=preamble), what=name)
    return LocalSigner(block, what=name, name=name, password=no_password)


def make_world(
    folder: Path,
    *,
    salt: str = "",
    findings: tuple[Finding, ...] = (),
    environment: str = "prod",
    decided: int = NOW,
    **threshold: Any,
) -> World:
    """Return a world in the layout of a folder; `salt` gives another image."""
    layout = Layout.create(folder / "store")
    image = _image(layout, salt)
    raw, scans = _scans(image)
    report = Report(
        subject=image.subject,
        scanner=Scanner(
            name="trivy",
            version="0.76.0",
            digest=Digest.of(b"trivy"),
            origin="path",
            sandbox="namespaces",
        ),
        database=Database(
            kind="upstream", digest=Digest.of(b"db"), updated=NOW - 3600, partial=False
        ),
        scanned=NOW - 60,
        platforms=scans,
        findings=findings,
        dirty=False,
    )
    limits = msgspec.structs.replace(PROD, **threshold)
    decision = decide(
        report,
        component="app",
        environment=environment,
        threshold=limits,
        waivers=(),
        now=decided,
    )
    return World(
        layout=layout,
        image=image,
        report=report,
        raw=raw,
        sbom=_sbom(image),
        decision=decision,
        threshold=limits,
    )


def make_checks(image: Image, *, failed: str = "", idle: str = "") -> Checks:
    """Return what the check stage found of an image's sources; one gate may have failed, one be not done."""
    names = ("format", "lint", "tests", "security", "audit", "licences")
    gates = tuple(
        Gate(
            name=name,
            passed=name not in (failed, idle),
            blocks=name != idle,
            reason=f"what {name} said",
            detail=("a line",),
        )
        for name in names
    )
    return Checks(
        subject=image.source.content,
        checked=Digest.of(b"tree with tests"),
        component=image.component,
        gates=gates,
        summary="said in one line",
    )


PROD = Threshold(
    severity="HIGH",
    blocks=True,
    fixed_only=True,
    unknown="HIGH",
    embedded_advisories=False,
    dirty=False,
    unsandboxed_scanner=False,
    database_max_age_days=2,
    waiver_max_days=30,
)


def _sbom(image: Image) -> bytes:
    """Return a bill of materials in a form that is not canonical, so that a change of its bytes shows."""
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "metadata": {"component": _component(image.component, Digest(image.subject).hex)},
            "components": [_component(_PACKAGE.name, _PACKAGE.sha256)],
        },
        indent=1,
    ).encode()


def _component(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "hashes": [{"alg": "SHA-256", "content": sha256}]}


def _image(layout: Layout, salt: str) -> Image:
    platforms, entries = [], []
    for platform in PLATFORMS:
        system, architecture = platform.split("/")
        packed, diff_id = _layer(f"{salt} of {platform}".encode())
        content = {
            "architecture": architecture,
            "os": system,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
        config = layout.put(encode(content), CONFIG)
        layer = layout.put(packed, LAYER_GZIP)
        data = manifest_bytes(Manifest(config=config, layers=(layer,)))
        stored = layout.put(data, MANIFEST)
        entries.append(msgspec.structs.replace(stored, platform=Platform.parse(platform)))
        platforms.append(
            PlatformImage(
                platform=platform,
                manifest=stored.digest,
                config=config.digest,
                layers=(layer.digest,),
                packages=(_PACKAGE,),
            )
        )
    index = layout.put(index_bytes(Index(manifests=tuple(entries))), INDEX)
    layout.tag({"app": index})
    return Image(
        subject=index.digest,
        component="app",
        source=Source(
            repository="https://git.example/shop",
            revision="3f2a9c1" + "0" * 33,
            time=NOW - 86400,
            subpath="app",
            content=Digest.of(b"tree"),
            changes=(),
        ),
        stack="python",
        stack_lock=Digest.of(b"lock"),
        requirements=Digest.of(b"requirements"),
        builder="lockgate/native@0.1.0",
        platforms=tuple(platforms),
        inputs={"COMMIT": "3f2a9c1", "BUILDER": "lockgate/native@0.1.0"},
    )


def _layer(content: bytes) -> tuple[bytes, str]:
    """Return a layer with one file, and the digest of what is in it."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        entry = tarfile.TarInfo("app.txt")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(inner.getvalue(), mtime=0), Digest.of(inner.getvalue())


_PACKAGE = Package(
    kind="deb",
    name="libexpat1",
    version="2.7.1-2",
    architecture="amd64",
    source="expat",
    licences=("MIT",),
    sha256="ab" * 32,
    purl="pkg:deb/debian/libexpat1@2.7.1-2?arch=amd64",
)


def _scans(image: Image) -> tuple[dict[str, bytes], tuple[PlatformScan, ...]]:
    raw, scans = {}, []
    for one in image.platforms:
        # A score is a float in a real report, so there is one here.
        results = [{"Target": one.platform, "Vulnerabilities": [{"Score": 7.5}]}]
        data = json.dumps({"SchemaVersion": 2, "Results": results}).encode()
        digest = Digest.of(data)
        raw[str(digest)] = data
        scans.append(
            PlatformScan(platform=one.platform, manifest=one.manifest, report=digest, packages=24)
        )
    return raw, tuple(scans)
