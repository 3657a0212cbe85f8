"""The real Trivy, from the hash-pinned wheel, on images that are made here."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base import namespaces
from lockgate.base.canonical import encode
from lockgate.base.errors import CommandFailed
from lockgate.base.settings import Scan
from lockgate.build.layer import Entry, write_layer
from lockgate.build.model import Image, Package, PlatformImage, Source
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)
from lockgate.scan.bolt import bolt_bytes
from lockgate.scan.database import DatabaseDir, embedded
from lockgate.scan.model import Database
from lockgate.scan.scan import scan
from lockgate.scan.trivy import Trivy, sandbox
from lockgate.scan.trivy_install import Located, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lockgate.scan.bolt import Tree
    from lockgate.scan.model import Finding, Report

ROOT = Path(__file__).parents[2]

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
"""Has the form of a token and is none. Written in parts, so that no scanner takes this file for a leak."""


@pytest.fixture(scope="session")
def located() -> Located:
    """Return the pinned Trivy, fetched by pip and kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return locate("", Path(base) / "lockgate")


@pytest.fixture
def advisories(tmp_path: Path) -> DatabaseDir:
    """Return the embedded advisories of this repository."""
    return embedded(ROOT / "advisories", tmp_path / "cache")


@pytest.fixture
def store(tmp_path: Path) -> Layout:
    """Return an empty store."""
    return Layout.create(tmp_path / "store")


def status(name: str, version: str, source: str, architecture: str) -> bytes:
    """Return the entry of one Debian package."""
    fields = {
        "Package": name,
        "Source": source,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Debian <debian@example.org>",
        "Status": "install ok installed",
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items() if value).encode()


def make(
    store: Layout,
    *,
    release: str,
    debs: Mapping[str, tuple[str, str]],
    distributions: Mapping[str, str],
    extra: Sequence[Entry] = (),
    environment: Sequence[str] = (),
    user: str = "65532:65532",
) -> Image:
    """Make an image for two platforms. `debs` has version and source by name."""
    platforms, descriptors = [], []
    for architecture in ("amd64", "arm64"):
        text = f'PRETTY_NAME="Debian GNU/Linux {release}"\nID=debian\nVERSION_ID="{release}"\n'
        base = [
            Entry("etc/os-release", "file", 0o644, text.encode()),
            Entry("etc/debian_version", "file", 0o644, f"{release}.7\n".encode()),
        ]
        for name, (version, source) in sorted(debs.items()):
            data = status(name, version, source, architecture)
            base.append(Entry(f"var/lib/dpkg/status.d/{name}", "file", 0o644, data))
        site = "usr/local/lib/python3.13/dist-packages"
        upper = [
            Entry(
                f"{site}/{name}-{version}.dist-info/METADATA",
                "file",
                0o644,
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            )
            for name, version in sorted(distributions.items())
        ]
        layers = [write_layer(store, part) for part in (base, [*upper, *extra])]
        configuration = {
            "architecture": architecture,
            "os": "linux",
            "config": {"User": user, "Env": list(environment), "Entrypoint": ["/usr/bin/python3"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
        config = store.put(encode(configuration), CONFIG)
        data = manifest_bytes(
            Manifest(config=config, layers=tuple(layer.descriptor for layer in layers))
        )
        descriptors.append(store.put(data, MANIFEST))
        platforms.append(
            PlatformImage(
                platform=f"linux/{architecture}",
                manifest=descriptors[-1].digest,
                config=config.digest,
                layers=tuple(layer.descriptor.digest for layer in layers),
                packages=(*map(_deb, debs), *map(_distribution, distributions)),
            )
        )
    index = store.put(index_bytes(Index(manifests=tuple(descriptors))), INDEX)
    return Image(
        subject=index.digest,
        component="small",
        source=Source(
            repository="", revision="c" * 40, time=0, subpath=".", content="", changes=()
        ),
        stack="",
        stack_lock="",
        requirements="",
        builder="",
        platforms=tuple(platforms),
        inputs={},
    )


def _deb(name: str) -> Package:
    return _package("deb", name)


def _distribution(name: str) -> Package:
    return _package("pypi", name.lower())


def _package(kind: str, name: str) -> Package:
    return Package(
        kind=kind,
        name=name,
        version="",
        architecture="",
        source="",
        licences=(),
        sha256="",
        purl="",
    )


@pytest.fixture
def look(store: Layout, located: Located, tmp_path: Path) -> Callable[..., Report]:
    """Return a call that scans an image with the real Trivy, in the sandbox that there is."""

    def call(image: Image, database: DatabaseDir, **settings: object) -> Report:
        return scan(
            image,
            store,
            trivy=Trivy(located, sandbox(), tmp_path / "work"),
            database=database,
            settings=Scan(**settings),  # type: ignore[arg-type]
            now=1,
            records=tmp_path / "records",
        )

    return call


OLD = {"libexpat1": ("2.5.0-1+deb12u1", "expat"), "base-files": ("12.4+deb12u15", "")}
PINS = {"Flask": "0.10", "urllib3": "1.25.2", "Jinja2": "2.10", "Werkzeug": "0.14.1"}


def by_id(report: Report) -> dict[str, Finding]:
    """Return findings by id; the last of those that share one."""
    return {one.id: one for one in report.findings}


def test_old_packages_have_known_vulnerabilities(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """Debian and Python packages of old versions are found on both platforms, with their fixes."""
    found = look(make(store, release="12", debs=OLD, distributions=PINS), advisories)
    known = by_id(found)
    expat = known["CVE-2023-52425"]
    assert (expat.package, expat.target, expat.path) == ("libexpat1", "debian", "")
    assert expat.fixed
    assert expat.severity != "UNKNOWN"
    assert expat.platforms == ("linux/amd64", "linux/arm64")
    jinja = known["CVE-2019-10906"]
    assert (jinja.package, jinja.version, jinja.fixed) == ("Jinja2", "2.10", "2.10.1")
    assert "PYSEC-2019-217" in jinja.aliases
    vulnerable = {one.package for one in found.findings if one.target == "python-pkg"}
    assert vulnerable == set(PINS)
    assert found.subject
    assert all(one.packages == len(OLD) + len(PINS) for one in found.platforms)


def test_severity_is_what_the_data_say(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """No vector means UNKNOWN, a vector gives its rating; neither is guessed by Trivy."""
    known = by_id(look(make(store, release="12", debs=OLD, distributions=PINS), advisories))
    assert known["CVE-2019-10906"].severity == "UNKNOWN"
    assert known["CVE-2023-43804"].severity == "HIGH"


def test_fixed_packages_have_none(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """The versions from whose changelogs we know are clean, and so is a current application."""
    data = json.loads((ROOT / "advisories" / "debian-13.json").read_bytes())
    debs = {source: (one["version"], "") for source, one in data["packages"].items()}
    current = {"flask": "3.1.3", "jinja2": "3.1.6", "werkzeug": "3.1.5", "gunicorn": "27.0.1"}
    found = look(make(store, release="13", debs=debs, distributions=current), advisories)
    assert found.findings == ()
    assert found.database.partial


def test_secrets_and_misconfigurations_are_found(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """A token in a file and one in the environment, root as user, and a bad Dockerfile are reported."""
    image = make(
        store,
        release="13",
        debs={"base-files": ("13.8", "")},
        distributions={},
        extra=[
            Entry("app/settings.py", "file", 0o644, f'KEY = "{TOKEN}"\n'.encode()),
            Entry("app/Dockerfile", "file", 0o644, b"FROM debian:latest\nUSER root\n"),
        ],
        environment=[f"TOKEN={TOKEN}"],
        user="root",
    )
    found = look(image, advisories)
    places = {(one.kind, one.id, one.path) for one in found.findings}
    assert ("secret", "github-pat", "app/settings.py") in places
    assert ("secret", "github-pat", "") in places
    assert ("misconfig", "DS-0002", "app/Dockerfile") in places
    assert ("misconfig", "DS-0002", "") in places
    assert TOKEN.encode() not in encode(found)


def test_same_image_gives_the_same_findings(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """Two scans agree in everything but the raw reports' own numbers."""
    image = make(store, release="12", debs=OLD, distributions=PINS)
    first, second = look(image, advisories), look(image, advisories)
    assert first.findings == second.findings
    assert [one.packages for one in first.platforms] == [one.packages for one in second.platforms]


def tree(packages: int) -> Tree:
    """Return a database of many packages: its buckets fill branch pages and run over pages."""
    many = {
        b"package-%05d" % n: {b"CVE-2026-%05d" % n: json.dumps({"FixedVersion": "2-1"}).encode()}
        for n in range(packages)
    }
    details = {
        b"CVE-2026-%05d" % n: json.dumps(
            {"Title": "t" * (n % 97), "References": ["r" * 700]}
        ).encode()
        for n in range(packages)
    }
    details[b"CVE-2026-00007"] = json.dumps({"Title": "x" * 20_000}).encode()
    source = json.dumps({"ID": "debian", "Name": "many"}).encode()
    return {b"data-source": {b"debian 13": source}, b"debian 13": many, b"vulnerability": details}


def test_trivy_reads_large_buckets(
    store: Layout, look: Callable[..., Report], tmp_path: Path, advisories: DatabaseDir
) -> None:
    """In a database of many pages Trivy finds the first, the last and a very long entry."""
    count = 20_000
    folder = tmp_path / "large"
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "trivy.db").write_bytes(bolt_bytes(tree(count)))
    shutil.copy(advisories.path / "db" / "metadata.json", folder / "db")
    database = DatabaseDir(
        folder, Database(kind="embedded", digest="", updated=0, partial=True), ("debian 13",)
    )
    numbers = (0, 7, 9_999, count - 1)
    debs = {f"package-{n:05}": ("1-1", "") for n in numbers}
    image = make(store, release="13", debs=debs, distributions={})
    found = look(image, database, scanners=("vuln",))
    assert sorted(by_id(found)) == [f"CVE-2026-{n:05}" for n in numbers]
    assert len(by_id(found)["CVE-2026-00007"].title) == 20_000


def test_damaged_database_is_not_a_clean_scan(
    store: Layout, look: Callable[..., Report], tmp_path: Path, advisories: DatabaseDir
) -> None:
    """Trivy's own end with an error comes out as one (exit 6), whatever is wrong with the database."""
    image = make(store, release="12", debs=OLD, distributions=PINS)
    for name, data in (("trivy.db", b"\0" * 4096), ("metadata.json", b"")):
        folder = tmp_path / f"broken-{name}"
        shutil.copytree(advisories.path, folder)
        (folder / "db" / name).write_bytes(data)
        with pytest.raises(CommandFailed, match="trivy"):
            look(image, advisories._replace(path=folder), scanners=("vuln",))


def test_absent_database_is_not_a_clean_scan(
    store: Layout, look: Callable[..., Report], tmp_path: Path, advisories: DatabaseDir
) -> None:
    """Without a database Trivy must not run as if there were nothing to find."""
    (tmp_path / "empty" / "db").mkdir(parents=True)
    image = make(store, release="12", debs=OLD, distributions=PINS)
    with pytest.raises(CommandFailed, match="first run"):
        look(image, advisories._replace(path=tmp_path / "empty"), scanners=("vuln",))


def test_locks_are_audited(located: Located, advisories: DatabaseDir, tmp_path: Path) -> None:
    """The app's own lock has no known vulnerability, that of the vulnerable component has some."""
    trivy = Trivy(located, sandbox(), tmp_path / "work")
    assert trivy.audit(ROOT / "app" / "requirements.txt", advisories, Scan()) == ()
    lock = ROOT / "tests" / "components" / "vulnerable" / "requirements.txt"
    assert "CVE-2019-10906" in {one.id for one in trivy.audit(lock, advisories, Scan())}


@pytest.mark.skipif(
    not namespaces.available(), reason="this kernel does not let us make network namespaces"
)
def test_sandbox_stands_in_the_report(
    store: Layout, look: Callable[..., Report], advisories: DatabaseDir
) -> None:
    """Where the kernel allows it, the scanner ran without a network and the report says so."""
    image = make(store, release="12", debs=OLD, distributions={})
    found = look(image, advisories, scanners=("vuln",))
    assert found.scanner.sandbox == "namespaces"
    assert (found.scanner.version, found.scanner.origin) == ("0.76.0", "wheel")


def test_interrupted_scan_can_be_repeated(
    store: Layout,
    look: Callable[..., Report],
    advisories: DatabaseDir,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C in the middle of a scan ends every Trivy, and the next scan works."""
    from lockgate.scan import trivy

    image = make(store, release="12", debs=OLD, distributions=PINS)
    started: list[int] = []
    report = trivy._Running.report

    def interrupted(self: trivy._Running) -> bytes:
        started.append(self._child.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(trivy._Running, "report", interrupted)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        look(image, advisories)
    assert time.monotonic() - begun < 60
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    monkeypatch.setattr(trivy._Running, "report", report)
    assert look(image, advisories).findings
