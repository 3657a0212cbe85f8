"""A small image of two platforms, a database folder, and a Trivy that knows one vulnerability."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.canonical import encode
from lockgate.build.layer import Entry, write_layer
from lockgate.build.model import Image, Package, PlatformImage, Source
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Index,
    Manifest,
    Platform,
    index_bytes,
    manifest_bytes,
)
from lockgate.scan.bolt import bolt_bytes
from lockgate.scan.database import DatabaseDir
from lockgate.scan.model import Database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLATFORMS = ("linux/amd64", "linux/arm64")

PACKAGES = (
    Package(
        kind="deb",
        name="libbad1",
        version="1.0-1",
        architecture="amd64",
        source="libbad",
        licences=("MIT",),
        sha256="a" * 64,
        purl="pkg:deb/debian/libbad1@1.0-1?arch=amd64&distro=debian-13",
    ),
    Package(
        kind="pypi",
        name="flask",
        version="3.1.3",
        architecture="",
        source="",
        licences=("BSD-3-Clause",),
        sha256="b" * 64,
        purl="pkg:pypi/flask@3.1.3",
    ),
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty store."""
    return Layout.create(tmp_path / "store")


@pytest.fixture
def image(layout: Layout) -> Image:
    """Return an image of two platforms that lies in the store."""
    platforms, descriptors = [], []
    for text in PLATFORMS:
        layer = write_layer(
            layout,
            [
                Entry("etc/os-release", "file", 0o644, b'ID=debian\nVERSION_ID="13"\n'),
                Entry("etc/platform", "file", 0o644, text.encode()),
            ],
        )
        platform = Platform.parse(text)
        config = layout.put(
            encode({"architecture": platform.architecture, "os": platform.os}), CONFIG
        )
        data = manifest_bytes(Manifest(config=config, layers=(layer.descriptor,)))
        descriptors.append(layout.put(data, MANIFEST))
        platforms.append(
            PlatformImage(
                platform=text,
                manifest=descriptors[-1].digest,
                config=config.digest,
                layers=(layer.descriptor.digest,),
                packages=PACKAGES,
            )
        )
    index = layout.put(index_bytes(Index(manifests=tuple(descriptors))), INDEX)
    return Image(
        subject=index.digest,
        component="todo",
        source=Source(
            repository="", revision="c" * 40, time=1000, subpath="app", content="", changes=()
        ),
        stack="python",
        stack_lock="",
        requirements="",
        builder="lockgate/native@0",
        platforms=tuple(platforms),
        inputs={},
    )


@pytest.fixture
def database(tmp_path: Path) -> DatabaseDir:
    """Return a database for Debian 13. No real Trivy reads it here."""
    folder = tmp_path / "advisories"
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "trivy.db").write_bytes(b"database")
    record = Database(kind="embedded", digest="sha256:" + "d" * 64, updated=900, partial=True)
    return DatabaseDir(folder, record, ("debian 13", "pip::python"))


def report(config: str, **changes: Any) -> dict[str, Any]:
    """Return a report of the small image as Trivy writes it: one vulnerability, in libbad1."""
    arch = changes.pop("arch", "amd64")
    purl = f"pkg:deb/debian/libbad1@1.0-1?arch={arch}&distro=debian-13"
    bad = {
        "VulnerabilityID": "CVE-2026-0001",
        "PkgName": "libbad1",
        "PkgIdentifier": {"PURL": purl, "UID": "1"},
        "InstalledVersion": "1.0-1",
        "FixedVersion": "1.0-2",
        "Layer": {"Digest": "sha256:0", "DiffID": f"sha256:{arch}"},
        "Severity": "HIGH",
        "Title": "libbad reads too far",
    }
    return {
        "SchemaVersion": 2,
        "ReportID": "differs each time",
        "ArtifactName": "image",
        "Metadata": {"ImageID": config, "OS": {"Family": "debian", "Name": "13.7"}},
        "Results": [
            {
                "Target": "image (debian 13.7)",
                "Class": "os-pkgs",
                "Type": "debian",
                "Packages": [{"Name": "libbad1", "Version": "1.0-1"}],
                "Vulnerabilities": [bad],
            },
            {
                "Target": "Python",
                "Class": "lang-pkgs",
                "Type": "python-pkg",
                "Packages": [{"Name": "Flask", "Version": "3.1.3"}],
            },
        ],
        **changes,
    }


PULLED = bolt_bytes({b"debian 13": {b"pulled": b"{}"}})
"""The database that the fake Trivy pulls."""

_FAKE = """\
#!{python}
import json, os, pathlib, sys, time
mode, version, trace, canned = json.loads({settings!r})
if "--version" in sys.argv:
    print("Version: " + version)
    sys.exit(1 if mode == "no version" else 0)
with open(trace, "a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}) + "\\n")
if "--download-db-only" in sys.argv:
    if mode == "unreachable":
        sys.exit("FATAL failed to download vulnerability DB: TOOMANYREQUESTS")
    folder = pathlib.Path(sys.argv[sys.argv.index("--cache-dir") + 1]) / "db"
    folder.mkdir(parents=True)
    (folder / "trivy.db").write_bytes(bytes.fromhex("{database}"))
    (folder / "metadata.json").write_text(canned)
    sys.exit(0)
if "fs" in sys.argv:
    lines = pathlib.Path("image/requirements.txt").read_text().splitlines()
    pins = [line.split()[0].split("==") for line in lines if line[:1].isalpha()]
    seen = [] if mode == "blind" else [{{"Name": name, "Version": version}} for name, version in pins]
    bad = [
        {{"VulnerabilityID": "CVE-2019-10906", "PkgName": name, "InstalledVersion": version}}
        for name, version in pins
        if (name.lower(), version) == ("jinja2", "2.10")
    ]
    result = {{"Class": "lang-pkgs", "Type": "pip", "Packages": seen, "Vulnerabilities": bad}}
    text = json.dumps({{"SchemaVersion": 2, "Results": [result]}})
    pathlib.Path("report.json").write_text(text)
    sys.exit(0)
if "config" in sys.argv:
    results = []
    for path in sorted(pathlib.Path("image").iterdir()):
        bad = "privileged: true" in path.read_text()
        rule = {{"ID": "KSV-0017", "Severity": "HIGH", "Title": "Privileged"}}
        rule |= {{"Status": "FAIL" if bad else "PASS", "CauseMetadata": {{"StartLine": 7}}}}
        one = {{"Target": path.name, "Class": "config", "Type": "kubernetes"}}
        if mode != "blind" or bad:
            results.append(one | {{"Misconfigurations": [rule]}})
    pathlib.Path("report.json").write_text(json.dumps({{"SchemaVersion": 2, "Results": results}}))
    sys.exit(0)
def blob(descriptor):
    return (pathlib.Path("image/blobs") / descriptor["digest"].replace(":", "/")).read_bytes()
(one,) = json.loads(pathlib.Path("image/index.json").read_bytes())["manifests"]
found = json.loads(canned)
found["Metadata"]["ImageID"] = json.loads(blob(one))["config"]["digest"]
text = json.dumps(found)
if mode == "crash":
    sys.stderr.write("noise\\n" * 50000)
    sys.exit("FATAL the database is broken")
if mode == "hang":
    time.sleep(60)
if mode == "half":
    text = text[: len(text) // 2]
if mode != "silent":
    pathlib.Path("report.json").write_text(text)
"""


@pytest.fixture
def fake_trivy(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of executables that do what Trivy does, well or badly.

    One reads the layout that it is given and reports one vulnerability of that very image. What it was
    called with stands in `calls.jsonl`.
    """

    def make(
        mode: str = "well",
        *,
        version: str = "0.76.0",
        canned: dict[str, Any] | None = None,
        name: str = "bin",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        path = folder / "trivy"
        settings = json.dumps(
            [mode, version, str(tmp_path / "calls.jsonl"), json.dumps(canned or report(""))]
        )
        path.write_text(
            _FAKE.format(database=PULLED.hex(), python=sys.executable, settings=settings)
        )
        path.chmod(0o755)
        return path

    return make
