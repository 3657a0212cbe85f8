"""Every parser of bytes that others wrote, with inputs that it takes: what `test_parsers_fuzz` damages."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tests.unit.build.conftest import PACKERS, Item, ar, make_deb, tar
from tests.unit.fuzz.mutations import bytes_like, json_like, tar_like
from tests.unit.oci.images import everything
from tests.unit.scan.test_trivy_report import document, vulnerability
from tests.unit.sign.keyless.conftest import RELEASE, STATEMENT, parsed
from tests.unit.sign.keyless.instance import Instance, Made
from tests.unit.sign.world import make_signer, private_pem

from lockgate.base import canonical, settings_file, strict_yaml
from lockgate.base.canonical import encode
from lockgate.base.errors import LockgateError, TrustError
from lockgate.build import (
    copyright as debian_copyright,
)
from lockgate.build import (
    deb,
    deb822,
    debversion,
    distribution,
    gomod,
    relation,
    release,
    requirements,
    stack,
    stack_lock,
    tool_file,
)
from lockgate.build.packages_index import PackagesIndex
from lockgate.config import resource, semver
from lockgate.deploy.kube import discovery
from lockgate.gate import waiver
from lockgate.oci import auth
from lockgate.oci.archive import Archive
from lockgate.oci.credentials import CredentialFiles
from lockgate.oci.digest import Digest
from lockgate.oci.endpoint import Endpoint
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, LAYER_GZIP, Index, Manifest, manifest_bytes
from lockgate.oci.reference import ImageRef, PinnedRef
from lockgate.oci.referrers import next_page
from lockgate.oci.unpack import ImageConfig, unpack
from lockgate.scan import (
    advisories,
    bolt,
    bolt_reader,
    cvss,
    debian_changelog,
    licences,
    redact,
    trivy_report,
)
from lockgate.scan import osv as osv_advisories
from lockgate.sign import dsse, keybox, local, pem, simplesigning, statement
from lockgate.sign.evidence import Trust, from_bundle
from lockgate.sign.keyless import der, material, timestamp
from lockgate.sign.keyless.trusted_root import TrustedRoot
from lockgate.sign.keyless.verify import verify_envelope
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]


@dataclasses.dataclass(frozen=True)
class Parser:
    """One parser and its damaged inputs."""

    name: str
    parse: Callable[[bytes], object]
    inputs: st.SearchStrategy[bytes]
    seeds: tuple[bytes, ...]
    """Whole inputs, which it takes."""
    error: type[LockgateError] = LockgateError
    """What it may raise and nothing else. Evidence that cannot be read is not trusted, and no mistake of a person:
    else one worthless bundle beside an image would keep its good ones from being looked at."""


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Return a parser of texts as one of bytes; what is no text comes as Python hands it over from outside."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def as_file(data: bytes, name: str) -> Iterator[Path]:
    """Write bytes to a file for as long as they are read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


# --- oci


def in_image(data: bytes) -> bytes:
    """Wrap a tar archive as a layer is: compressed."""
    return gzip.compress(data, 1, mtime=0)


def unpacked(blob: bytes) -> str:
    """Unpack an image with this one layer, whose digests are right whatever it holds."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        try:
            plain = gzip.decompress(blob)
        except Exception:  # noqa: BLE001 - then its digest does not matter
            plain = b""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest.of(plain)]},
        }
        manifest = Manifest(
            config=layout.put(json.dumps(config).encode(), CONFIG),
            layers=(layout.put(blob, LAYER_GZIP),),
        )
        digest = layout.put(manifest_bytes(manifest), "x").digest
        outside = sorted(os.listdir(folder))
        try:
            return unpack(layout, digest, Path(folder) / "into").root
        finally:
            assert sorted(os.listdir(folder)) in (outside, sorted([*outside, "into"]))


def archived(data: bytes) -> int:
    """Read an archive to the last byte."""
    with as_file(data, "image.tar") as path, Archive(path) as archive:
        size = 0
        for _, one in archive.names:
            archive.referrers(one.digest)
            with archive.open(one) as pieces:
                size += sum(len(piece) for piece in pieces)
        return size


def an_archive() -> bytes:
    """Return an archive of an image with evidence."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        everything(layout, size=50)
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as made:
            for one in sorted((Path(folder) / "store").rglob("*")):
                if one.is_file() and not one.name.startswith("."):
                    made.add(one, str(one.relative_to(Path(folder) / "store")))
        return file.getvalue()


def logged_in(data: bytes) -> object:
    """Read a file of docker's; no helper is run, since none is there."""
    with as_file(data, "config.json") as path:
        files = CredentialFiles({"DOCKER_CONFIG": str(path.parent), "PATH": ""}, path.parent / "no")
        return files.find(Endpoint.of("registry.example/app"))


LAYER = tar(
    [
        Item("usr/", type=tarfile.DIRTYPE, mode=0o755),
        Item("usr/x", b"content", mode=0o755),
        Item("usr/link", type=tarfile.SYMTYPE, link="../etc/x"),
        Item("usr/hard", type=tarfile.LNKTYPE, link="usr/x"),
        Item("etc/.wh.gone"),
        Item("long/" * 40 + "name", b"deep"),
    ]
)

DESCRIPTOR = {"mediaType": LAYER_GZIP, "digest": "sha256:" + "1" * 64, "size": 7}
MANIFEST = encode(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": DESCRIPTOR | {"mediaType": CONFIG},
        "layers": [DESCRIPTOR],
        "subject": DESCRIPTOR,
        "annotations": {"a": "b"},
    }
)
INDEX = encode(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            DESCRIPTOR
            | {
                "platform": {"os": "linux", "architecture": "arm64"},
                "artifactType": "x",
                "annotations": {"a": "b"},
            }
        ],
    }
)
IMAGE_CONFIG = encode(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=b"], "Entrypoint": ["x"], "Labels": {"a": "b"}, "User": "1"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "2" * 64]},
        "history": [{"created": "2026-11-20T00:00:00Z"}],
    }
)
DOCKER = encode(
    {
        "auths": {
            "registry.example": {"auth": "bmFtZTpzZWNyZXQ="},
            "https://other/v1/": {"identitytoken": "x"},
        },
        "credHelpers": {"third.example": "ecr-login"},
        "credsStore": "",
    }
)
CHALLENGE = b'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push", Basic realm=x'


# --- build


def wheel() -> bytes:
    """Return a wheel with every kind of file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("pkg/__init__.py", "x = 1\n" * 30)
        made.writestr("pkg-1.0.data/scripts/run", "#!python\nprint(1)\n")
        made.writestr(
            "pkg-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\nLicense: MIT\n",
        )
        made.writestr("pkg-1.0.dist-info/entry_points.txt", "[console_scripts]\nrun = pkg:main\n")
        made.writestr("pkg-1.0.dist-info/RECORD", "")
    return file.getvalue()


def installed(data: bytes) -> int:
    """Read every file of a wheel, and what it says of itself."""
    with as_file(data, "pkg-1.0-py3-none-any.whl") as path:
        size = 0
        for one in distribution.entries([path], python="3.13"):
            size += len(one.data if isinstance(one.data, bytes) else b"".join(one.data()))
        distribution.packages([path])
        return size


def debian(data: bytes) -> int:
    """Read every file of a Debian package, and its fields."""
    with as_file(data, "tiny.deb") as path:
        size = len(deb.control(path))
        for one in deb.entries(path):
            size += len(one.data if isinstance(one.data, bytes) else b"".join(one.data()))
        return size


def in_package(data: bytes) -> bytes:
    """Return a Debian package with these bytes as its content, and good ones as its control data."""
    control = tar([Item("./control", CONTROL)])
    return ar([("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", data)])


def packages(data: bytes) -> object:
    """Read an index of packages in two pieces, and look something up."""
    index = PackagesIndex()
    index.read([data[:77], data[77:]], archive="main")
    return index.providers("mail")


PACKAGES = b"""Package: tiny
Version: 1.0-1
Architecture: amd64
Depends: libc6 (>= 2.41), a | b
Provides: mail (= 1), other
Filename: pool/t/tiny.deb
Size: 100
SHA256: %b

Package: more
Source: tiny (0.9)
Version: 1:2.0~rc1-1+b1
Architecture: all
Filename: pool/m/more.deb
Size: 7
SHA256: %b
""" % (b"1" * 64, b"2" * 64)

RELEASE_FILE = b"""Origin: Debian
Codename: trixie
Version: 13.2
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
SHA256:
 %b 100 main/binary-amd64/Packages.xz
""" % (b"3" * 64)


def cleartext() -> tuple[bytes, bytes]:
    """Return a certificate of an archive, and the file above signed by it."""
    from pysequoia import SignatureMode, Tsk, sign

    key = Tsk.generate(user_id="Archive <archive@example.org>")
    certificate = str(key.extract_certificate()).encode()
    return certificate, sign(key.signer(), RELEASE_FILE, mode=SignatureMode.CLEAR)


ARCHIVE_KEY, SIGNED = cleartext()

REQUIREMENTS = b"""# locked
flask==3.1.2 \\
    --hash=sha256:%b
tomli==2.3.0 ; python_version < "3.11" and sys_platform == "linux" --hash=sha256:%b
""" % (b"4" * 64, b"5" * 64)

COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tiny

Files: *
Copyright: 2026 somebody
License: GPL-2+ and (MIT or BSD-3-clause)
 text
"""

CHANGELOG = b"""tiny (1.0-2) unstable; urgency=high

  * CVE-2026-1234: read no further than the end.

 -- Somebody <somebody@example.org>  Fri, 20 Nov 2026 10:00:00 +0000

tiny (1.0-1) unstable; urgency=low

  * First.

 -- Somebody <somebody@example.org>  Fri, 13 Nov 2026 10:00:00 +0000
"""

GO_MOD = b"""module example.com/tool // a comment

go 1.26.8

require (
\texample.com/a v1.2.3
\t"example.com/b" v0.0.0-20261120100000-abcdef012345 // indirect
)

tool example.com/a/cmd/x
replace example.com/b => ../b
"""

ADVISORIES = encode(
    {
        "kind": "debian",
        "name": "Debian 13",
        "date": "2026-11-20",
        "licence": "Apache-2.0",
        "notes": "",
        "release": "13",
        "source": "changelogs",
        "packages": {"acl": {"fixed": {"CVE-2009-4411": "2.2.49-2 low"}, "version": "2.3.2-2"}},
    }
)


def required(data: bytes) -> object:
    """Read locked requirements, and which of them hold for an image."""
    return requirements.applying(requirements.parse(data), "3.13", "linux/amd64")


OSV = encode(
    {
        "id": "PYSEC-2026-1",
        "aliases": ["CVE-2026-1"],
        "details": "It breaks.\nBadly.",
        "affected": [
            {
                "package": {"name": "Flask", "ecosystem": "PyPI"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.2.5"}]}
                ],
                "versions": ["1.0", "2.0"],
            }
        ],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
    }
)


def osv(data: bytes) -> object:
    """Read an advisory of the Python database."""
    return list(osv_advisories.advisories(canonical.loads(data), what="an advisory"))


# --- sign

SIGNER = make_signer("release")
INSTANCE = Instance()
SUBJECT = "sha256:" + "6" * 64
STATED = statement.build(
    name="app", digest=SUBJECT, predicate_type="https://x/v1", predicate=b'{"a":[1]}'
)
KEYED = canonical.encode(
    {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": SIGNER.public_key().hint}},
        "dsseEnvelope": json.loads(encode(dsse.build(STATED, SIGNER.sign(dsse.pae(STATED))))),
    }
)
CERTIFIED = tuple(
    Made(INSTANCE, STATED, kind=kind, stamped=True).data()
    for kind in ("dsse 0.0.1", "intoto 0.0.2", "hashedrekord 0.0.2")
)
FILE_SIGNED = Made(INSTANCE, STATEMENT, kind="hashedrekord 0.0.1", envelope=False).data()
TRUSTED = parsed(INSTANCE.root())
TRUST = Trust(
    keys=(SIGNER.public_key(),), development_key_allowed=False, identities=(RELEASE,), root=TRUSTED
)
SIGNATURE = b"a signature"
STAMPS = tuple(INSTANCE.timestamp(SIGNATURE, sid=sid) for sid in ("serial", "key"))
BOX = keybox.seal(b"a key", b"", keybox.LEGACY)


def evidence(data: bytes) -> object:
    """Verify a bundle of any kind as one that lies beside an image."""
    return from_bundle(data, subject=SUBJECT, listed_as="", trust=TRUST)


def elements(data: bytes) -> int:
    """Look at every element of DER, and at every number and name among them."""
    waiting, seen = [der.read(data)], 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if one.tag & 0x20:
            waiting += one.children()
        elif one.tag == der.OID:
            der.oid(one)
        elif one.tag == der.INTEGER:
            der.number(one)
    return seen


def private(data: bytes) -> object:
    """Open a private key as `LocalSigner` does, with an empty password."""
    signer = local.LocalSigner(
        pem.parse(data, what="key"), what="key", name="key", password=lambda: b""
    )
    return signer.public_key()


def public(data: bytes) -> None:
    """Read a public key and verify a signature with it, which does not hold."""
    with contextlib.suppress(TrustError):
        PublicKey.parse(data, name="key").verify(b"x", b"y")


# --- the table


def yaml_of(name: str) -> bytes:
    """Return a YAML file of this repository."""
    return (ROOT / name).read_bytes()


def of(
    name: str,
    parse: Callable[[bytes], object],
    *seeds: bytes,
    error: type[LockgateError] = LockgateError,
    inputs: st.SearchStrategy[bytes] | None = None,
) -> Parser:
    """Return a parser whose inputs are damaged byte by byte, and, where they are JSON, value by value."""
    strategy = bytes_like(seeds)
    if inputs is not None:
        strategy = inputs
    elif all(one[:1] in (b"{", b"[") for one in seeds):
        strategy = strategy | json_like(seeds) | json_like(seeds)
    return Parser(name, parse, strategy, seeds, error)


def waivers(data: bytes) -> object:
    """Read waivers on a certain day."""
    import datetime as dt

    return waiver.parse(data, today=dt.date(2026, 11, 20), max_days=30)


def small_lock() -> bytes:
    """Return this repository's lock with two packages of each kind."""
    found = stack_lock.parse(yaml_of("stacks/python/stack.lock"), what="lock")
    few = {name: each[:2] for name, each in found.packages.items()}
    return stack_lock.dump(msgspec.structs.replace(found, packages=few))


WAIVERS = b"""waivers:
  - id: expat-2026-11
    findings: [CVE-2026-1234]
    packages: [libexpat1]
    components: [app]
    paths: ["app/*"]
    owner: platform
    reason: no network input
    until: 2026-12-01
"""

ARCHIVE = an_archive()
DEBS = tuple(make_deb(items=[Item("./usr/x", b"content")], packing=one) for one in PACKERS)
PACKAGED = tar([Item("./usr/x", b"content"), Item("./" + "long/" * 40 + "name", b"deep")])
CONTROL = b"Package: tiny\nVersion: 1.0-1\nDescription: small\n and more\n .\n text\n"
DATABASE = bolt.bolt_bytes({f"{n}".encode(): {b"k": b"v" * 100} for n in range(100)})
REPORT = json.dumps(document(vulnerability())).encode()

OBJECTS = b"""apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: &labels {app: todo}
data:
  port: "8080"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
"""
KINDS = encode(
    {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": "apps"},
                "versions": [
                    {
                        "version": "v1",
                        "resources": [
                            {
                                "resource": "deployments",
                                "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                                "scope": "Namespaced",
                                "verbs": ["get", "list"],
                            }
                        ],
                    }
                ],
            }
        ],
    }
)

PARSERS: tuple[Parser, ...] = (
    of("canonical JSON", canonical.loads, MANIFEST, KEYED, b'"\xc3\xa4"', b"[1,2]"),
    of(
        "strict YAML", lambda d: strict_yaml.load(d, what="file"), WAIVERS, yaml_of("lockgate.yaml")
    ),
    of("settings", settings_file.parse, yaml_of("lockgate.yaml")),
    of(
        "reference",
        text(ImageRef.parse),
        b"registry.example:5000/team/app:v1@sha256:" + b"7" * 64,
        b"app",
    ),
    of("pinned reference", text(PinnedRef.parse), b"registry.example/app@sha256:" + b"7" * 64),
    of("manifest", Manifest.parse, MANIFEST),
    of("index", Index.parse, INDEX),
    of("image configuration", lambda d: canonical.decode(d, ImageConfig), IMAGE_CONFIG),
    of("layer", unpacked, in_image(LAYER), inputs=tar_like([LAYER], in_image)),
    of("packed layer", unpacked, in_image(LAYER), in_image(LAYER) + in_image(b"")),
    of("archive of a layout", archived, ARCHIVE, inputs=tar_like([ARCHIVE])),
    of(
        "challenge",
        text(lambda one: auth.challenges([one])),
        CHALLENGE,
        b"Basic",
        b'Basic realm="a\\"b"',
    ),
    of("link", text(next_page), b'</v2/a/referrers/x?n=2>; rel="next"'),
    of("docker's config", logged_in, DOCKER),
    of("Debian package", debian, *DEBS),
    of(
        "Debian package's tar",
        debian,
        in_package(PACKAGED),
        inputs=tar_like([PACKAGED], in_package),
    ),
    of("control data", text(lambda one: list(deb822.paragraphs(one))), CONTROL, PACKAGES),
    of("package index", packages, PACKAGES),
    of("Release", lambda d: release.parse(d, suite="trixie", now=0, what="Release"), RELEASE_FILE),
    of("InRelease", lambda d: release.verify(d, [ARCHIVE_KEY], what="InRelease"), SIGNED),
    of(
        "relation",
        text(lambda one: relation.parse(one, what="x")),
        b"libc6:any (>= 2.41), a | b (<< 2)",
    ),
    of("copyright", text(debian_copyright.names), COPYRIGHT),
    of("wheel", installed, wheel()),
    of("requirements", required, REQUIREMENTS),
    of("stack", lambda d: stack.load(d, what="stack.yaml"), yaml_of("stacks/python/stack.yaml")),
    of("lock of a stack", lambda d: stack_lock.parse(d, what="lock"), small_lock()),
    of("Trivy's report", trivy_report.parse, REPORT),
    of("Trivy's report, redacted", redact.redact, REPORT),
    of("BoltDB", lambda d: bolt_reader.bucket_names(lambda at, size: d[at : at + size]), DATABASE),
    of("OSV advisory", osv, OSV),
    of("CVSS vector", text(cvss.severity), b"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"),
    of("Debian version", text(debversion.key), b"1:2.0~rc1+dfsg-1+b1", b"0"),
    of("Debian changelog", text(debian_changelog.fixes), CHANGELOG),
    of(
        "tool file",
        lambda d: tool_file.load(d, what="tool.yaml"),
        yaml_of("tools/cosign/tool.yaml"),
    ),
    of("go.mod", lambda d: gomod.parse(d, what="go.mod"), GO_MOD),
    of("embedded advisories", lambda d: advisories.parse(d, what="file"), ADVISORIES),
    of("licences", licences.parse, yaml_of("policies/licences.yaml")),
    of("waivers", waivers, WAIVERS),
    of("Kubernetes manifests", lambda d: resource.parse(d, where="file"), OBJECTS),
    of(
        "tags of versions",
        text(lambda one: semver.select(one.split(), ">=1.0")),
        b"v1.2.3 1.2.4-rc.1 latest",
    ),
    of("kinds of a cluster", discovery.parse, KINDS),
    of(
        "PEM",
        lambda d: pem.parse(d, what="key"),
        private_pem(),
        SIGNER.public_key().pem(),
        error=TrustError,
    ),
    of("public key", public, SIGNER.public_key().pem(), error=TrustError),
    of("private key", private, private_pem(), error=TrustError),
    of("cosign's key", lambda d: keybox.unseal(d, b"", what="key"), BOX, error=TrustError),
    of(
        "envelope",
        lambda d: dsse.open_envelope(dsse.parse(d)),
        encode(dsse.build(STATED, b"x")),
        error=TrustError,
    ),
    of("statement", statement.parse, STATED),
    of(
        "simple signing",
        simplesigning.parse,
        simplesigning.build(reference="a/b", digest=SUBJECT, annotations={"c": "d"}),
        error=TrustError,
    ),
    of("bundle", material.parse, KEYED, FILE_SIGNED, *CERTIFIED, error=TrustError),
    of("bundle beside an image", evidence, KEYED, *CERTIFIED, error=TrustError),
    of(
        "keyless bundle",
        lambda d: verify_envelope(d, TRUSTED, [RELEASE]),
        *CERTIFIED,
        error=TrustError,
    ),
    of("DER", elements, *STAMPS, error=TrustError),
    of("timestamp", lambda d: timestamp.check(d, SIGNATURE, TRUSTED), *STAMPS, error=TrustError),
    of("trusted root", TrustedRoot.parse, json.dumps(INSTANCE.root()).encode(), error=TrustError),
)
