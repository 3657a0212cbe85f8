"""From commit to running service with the real mirror, the real Trivy and the real sandbox."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base import namespaces
from lockgate.deploy.engine import find_engine
from tests import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Repository

ROOT = Path(__file__).parents[2]

INV = (sys.executable, "-m", "lockgate.tasks.program")

needs_sandbox = pytest.mark.skipif(
    not namespaces.available() and find_engine() is None,
    reason="the kernel allows no namespaces here and no container engine answers: nothing can be deployed",
)


def get(url: str) -> bytes:
    """Return the body of a 2xx answer."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def version(url: str) -> Any:
    """Return what the app says of itself."""
    return json.loads(get(f"{url}/version"))


def status(repository: Repository) -> Any:
    """Return what runs."""
    return json.loads(repository.inv("deploy.status", "--json").stdout)


def change_app(repository: Repository, words: str) -> None:
    """Change what the first page says, and commit it."""
    repository.edit("app/todo/templates/list.html", "<h1>Todo</h1>", f"<h1>{words}</h1>")
    repository.commit(words)


@needs_sandbox
def test_one_command_from_commit_to_running_service(
    settled: Repository, request: pytest.FixtureRequest
) -> None:
    """`inv build scan sign deploy` prints digest, verdict, what was signed and a URL, and that answers.

    The second run finds everything done: `unchanged` four times, and the same process serves.
    """
    request.addfinalizer(lambda: settled.inv("deploy.stop"))

    first = settled.inv("build", "scan", "sign", "deploy")

    short = f"{settled.subject[:15]}…{settled.subject[-4:]}"
    said = first.stderr
    assert first.stdout == ""
    assert f"linux/amd64 linux/arm64 → {short}" in said
    assert re.search(rf"scan +{short}  trivy [0-9.]+, embedded advisories of .*\(partial\)", said)
    assert "gate     dev: pass" in said
    assert "(prod would refuse: embedded advisories, development key)" in said
    assert (
        f"sign     {short}  image + sbom, vuln, provenance, summary  with development key" in said
    )
    assert "verified 5 of 5" in said
    assert "smoke 200" in said
    url = re.findall(r"http://127\.0\.0\.1:[0-9]+", said)[0]
    assert "Todo" in get(url).decode()
    assert version(url)["digest"] == settled.subject
    assert version(url)["commit"] == settled.git("rev-parse", "HEAD").strip()
    before = status(settled)

    second = settled.inv("build", "scan", "sign", "deploy")

    assert re.findall(r"^(\w+) +app  unchanged", second.stderr, re.MULTILINE) == [
        "build",
        "scan",
        "sign",
        "deploy",
    ]
    assert status(settled) == before


@needs_sandbox
def test_a_new_commit_replaces_and_a_rollback_brings_back(work: Repository) -> None:
    """The next image takes over the address; status tells both; rollback verifies and runs the first again."""
    first = work.subject
    work.inv("deploy")
    url = status(work)["url"]
    change_app(work, "Second")
    work.inv("build", "scan", "sign", "deploy")
    second = work.subject

    assert second != first
    assert status(work)["url"] == url
    assert version(url)["digest"] == second
    assert b"<h1>Second</h1>" in get(url)
    now, before = work.inv("deploy.status").stdout.splitlines()
    assert now.split()[:3] == ["app", "running", f"{second[:15]}…{second[-4:]}"]
    assert before.split()[:2] == ["before", f"{first[:15]}…{first[-4:]}"]

    back = work.inv("deploy.rollback")

    assert "verified 5 of 5" in back.stderr
    assert version(url)["digest"] == first
    assert b"<h1>Todo</h1>" in get(url)


@needs_sandbox
def test_logs_and_stop(work: Repository) -> None:
    """What the service wrote is shown, also after it ended; after a stop nobody listens."""
    work.inv("deploy")
    url = status(work)["url"]
    get(url)

    assert "gunicorn" in work.inv("deploy.logs").stdout
    assert len(work.inv("deploy.logs", "--lines", "1").stdout.splitlines()) == 1
    assert "stopped" in work.inv("deploy.stop").stderr
    with pytest.raises(urllib.error.URLError):
        get(url)
    assert status(work)["phase"] == "stopped"
    assert "gunicorn" in work.inv("deploy.logs").stdout
    assert "nothing runs" in work.inv("deploy.stop").stderr


@needs_sandbox
def test_a_signature_that_does_not_verify_leaves_what_runs(
    work: Repository, evidence: Callable[[Repository, str], dict[str, Path]]
) -> None:
    """One changed byte in one attestation of the next image: exit 4, and the old one serves untouched."""
    first = work.subject
    work.inv("deploy")
    before = status(work)
    change_app(work, "Second")
    work.inv("build", "scan", "sign")
    bundle = evidence(work, work.subject)["summary bundle"]
    flip(bundle)

    refused = work.inv("deploy", code=4)

    assert bundle.name[:8] in refused.stderr
    assert status(work) == before
    assert version(before["url"])["digest"] == first


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def evidence() -> Callable[[Repository, str], dict[str, Path]]:
    """Call with a repository and a digest for the blobs of its attestations, by name."""

    def find(repository: Repository, subject: str) -> dict[str, Path]:
        index = json.loads((repository.store / "index.json").read_bytes())
        (listing,) = [
            one["digest"]
            for one in index["manifests"]
            if one["annotations"]["org.opencontainers.image.ref.name"] == f"sha256-{subject[7:]}"
        ]
        found = {}
        for one in json.loads(repository.blob(listing).read_bytes())["manifests"]:
            kind = NAMES[one["annotations"]["dev.sigstore.bundle.predicateType"]]
            manifest = json.loads(repository.blob(one["digest"]).read_bytes())
            found[f"{kind} manifest"] = repository.blob(one["digest"])
            found[f"{kind} bundle"] = repository.blob(manifest["layers"][0]["digest"])
        return found

    return find


NAMES = {
    "https://sigstore.dev/cosign/sign/v1": "signature",
    "https://cyclonedx.org/bom": "sbom",
    "https://cosign.sigstore.dev/attestation/vuln/v1": "vuln",
    "https://slsa.dev/provenance/v1": "provenance",
    "https://slsa.dev/verification_summary/v1": "summary",
}


def test_verify_finds_five_of_five(work: Repository) -> None:
    """Signature, SBOM, scan, provenance and verdict hold, and the record says of which digest."""
    shown = work.inv("verify")
    found = json.loads(work.inv("verify", "--json").stdout)

    assert found["subject"] == work.subject
    assert found["met"] is True
    assert [(one["name"], one["met"]) for one in found["results"]] == [
        ("signature", True),
        ("sbom", True),
        ("vuln", True),
        ("provenance", True),
        ("summary", True),
    ]
    assert f"commit {work.git('rev-parse', 'HEAD')[:7]}" in shown.stdout


@pytest.mark.skipif(
    not namespaces.available(), reason="the kernel allows no namespace in which there is no network"
)
def test_verify_needs_no_network(work: Repository) -> None:
    """In a network namespace in which there is nothing but loopback the same five hold."""
    done = subprocess.run(
        namespaces.offline([*INV, "verify"]),
        cwd=work.path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "5 of 5" in done.stdout


def test_prod_is_closed_and_says_why(work: Repository) -> None:
    """The embedded advisories are refused by name with exit 3, and nothing can be signed for `prod`."""
    closed = work.inv("scan", "-e", "prod", code=3)
    decision = work.record("decision-prod")

    assert "prod: closed" in closed.stderr
    assert "embedded advisories" in closed.stderr
    assert decision["refusals"] == ["embedded advisories"]
    assert decision["violations"] == []
    work.inv("sign", "-e", "prod", code=3)
    work.inv("verify", "-e", "prod", code=4)
    work.inv("deploy", "-e", "prod", code=4)


def test_a_dirty_tree_is_dev_only(work: Repository) -> None:
    """`dev` builds it and records what is not committed; `prod` refuses before it builds, with exit 2."""
    work.edit("app/todo/templates/list.html", "<h1>Todo</h1>", "<h1>Draft</h1>")

    refused = work.inv("build", "-e", "prod", code=2)
    work.inv("build")

    assert "app/todo/templates/list.html" in refused.stderr
    source = work.record("image")["source"]
    assert source["changes"] == ["app/todo/templates/list.html"]
    assert source["revision"] == work.git("rev-parse", "HEAD").strip()
    work.inv("scan")
    assert "uncommitted changes" in work.inv("scan", "-e", "prod", code=3).stderr


def test_other_tools_find_their_files(finished: Repository) -> None:
    """`out/` holds the decision as JSON and SARIF 2.1.0, and the CycloneDX SBOM, of this very digest."""
    out = finished.path / "out" / "app"
    decision = json.loads((out / "decision-dev.json").read_bytes())
    sarif = json.loads((out / "findings-dev.sarif").read_bytes())
    sbom = json.loads((out / "sbom.cdx.json").read_bytes())

    assert decision == finished.record("decision-dev")
    assert decision["subject"] == finished.subject
    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["results"] == []
    assert finished.subject in (out / "findings-dev.sarif").read_text()
    assert sbom["bomFormat"] == "CycloneDX"
    names = {one["name"].lower() for one in sbom["components"]}
    assert {"libc6", "python3.13-minimal", "flask", "sqlalchemy", "gunicorn"} <= names
    assert all(one["purl"].startswith("pkg:") for one in sbom["components"])


OLD = """\
project: lockgate
components:
  vulnerable:
    path: vulnerable
    stack: python-old
    entrypoint: [python3, app.py]
    exclude: [README.md, requirements.in, requirements.txt]
"""


@pytest.fixture(scope="module")
def old(make_repository: Callable[[str], Repository]) -> Repository:
    """A repository whose component has old pins on the stack of Debian 12, built and scanned for `dev`."""
    made = make_repository("old")
    shutil.copytree(ROOT / "tests" / "components" / "vulnerable", made.path / "vulnerable")
    (made.path / "lockgate.yaml").write_text(OLD)
    made.settle()
    made.inv("build", "scan")
    return made


def test_the_old_stack_is_found_wanting(old: Repository) -> None:
    """Debian 12 without its security archive has findings of HIGH in the base; `prod` blocks on them."""
    closed = old.inv("scan", "-e", "prod", code=3)
    decision = old.record("decision-prod", "vulnerable")

    base = [one for one in decision["violations"] if one["purl"].startswith("pkg:deb/")]
    assert {one["severity"] for one in base} == {"HIGH"}
    assert {"libexpat1", "libssl3"} <= {one["package"] for one in base}
    assert all(one["fixed"] for one in decision["violations"])
    assert f"{len(decision['violations'])} findings block" in closed.stderr
    sarif = json.loads((old.path / "out" / "vulnerable" / "findings-prod.sarif").read_bytes())
    assert len(sarif["runs"][0]["results"]) >= len(decision["violations"])


def test_the_default_stack_has_none_of_them(old: Repository, finished: Repository) -> None:
    """The same scanner and database find nothing in the app on the default stack, in any environment."""
    found = finished.record("report")

    assert found["scanner"] == old.record("report", "vulnerable")["scanner"]
    assert found["database"] == old.record("report", "vulnerable")["database"]
    assert found["findings"] == []
    assert [one["packages"] > 30 for one in found["platforms"]] == [True, True]


def test_the_old_pins_are_found(old: Repository) -> None:
    """Each of the component's four old distributions has the finding that its README promises."""
    found = {
        (one["package"].lower(), one["id"])
        for one in old.record("report", "vulnerable")["findings"]
    }

    assert {
        ("flask", "CVE-2018-1000656"),
        ("jinja2", "CVE-2019-10906"),
        ("urllib3", "CVE-2020-7212"),
        ("werkzeug", "CVE-2019-14806"),
    } <= found


def test_a_waiver_takes_one_finding_away(old: Repository) -> None:
    """One dated, owned, reasoned waiver moves its finding out of the violations, and no other."""
    before = old.record("decision-dev", "vulnerable")
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=20)
    waivers = old.path / "policies" / "waivers.yaml"
    original = waivers.read_bytes()
    waivers.write_text(
        "waivers:\n  - id: flask-json\n    findings: [CVE-2018-1000656]\n    owner: web\n"
        f"    reason: it is never started\n    until: {until}\n"
    )
    try:
        said = old.inv("scan").stderr
        after = old.record("decision-dev", "vulnerable")
    finally:
        waivers.write_bytes(original)

    assert "scan     vulnerable  unchanged" in said
    gone = [one for one in before["violations"] if one not in after["violations"]]
    assert [one["id"] for one in gone] == ["CVE-2018-1000656"]
    assert len(after["violations"]) == len(before["violations"]) - 1
    assert [one["waiver"]["id"] for one in after["waived"]] == ["flask-json"]
    assert f"until {until}" in said


def test_a_plain_reader_finds_a_sound_image(finished: Repository) -> None:
    """Read by the specification alone, it is the image of a service that is not root, with its labels.

    Every descriptor has the size and digest of its blob, every layer the diff id of the configuration.
    """
    store = finished.store
    assert json.loads((store / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = content(store, {"digest": finished.subject})
    commit = finished.git("rev-parse", "HEAD").strip()
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["annotations"]["org.opencontainers.image.revision"] == commit
    platforms = [one["platform"] for one in index["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    for listed in index["manifests"]:
        manifest = content(store, listed)
        config = content(store, manifest["config"])
        assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        layers = [data(store, one) for one in manifest["layers"]]
        unpacked = [gzip.decompress(one) for one in layers]
        assert config["rootfs"]["diff_ids"] == [
            f"sha256:{hashlib.sha256(one).hexdigest()}" for one in unpacked
        ]
        assert (config["os"], config["architecture"]) == (
            "linux",
            listed["platform"]["architecture"],
        )
        assert config["config"]["User"] == "65532:65532"
        assert config["config"]["Entrypoint"][0] == "python3"
        assert config["config"]["Labels"]["org.opencontainers.image.revision"] == commit
        assert "org.opencontainers.image.base.digest" in manifest["annotations"]
        names = [name for one in unpacked for name in members(one)]
        assert "var/lib/dpkg/status.d/libc6" in names
        assert "app/gunicorn_conf.py" in names
        assert not {"bin/sh", "usr/bin/sh", "usr/bin/dash", "usr/bin/dpkg"} & set(names)


def members(layer: bytes) -> list[str]:
    """Return the names in a layer."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.getnames()


def data(store: Path, descriptor: dict[str, Any]) -> bytes:
    """Return a blob that is what its descriptor says."""
    found: bytes = (store / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(found).hexdigest()}" == descriptor["digest"]
    assert descriptor.get("size", len(found)) == len(found)
    return found


def content(store: Path, descriptor: dict[str, Any]) -> Any:
    """Return the JSON in a blob."""
    return json.loads(data(store, descriptor))


def run(*argv: str) -> str:
    """Run a program that must end well; return what it prints."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_the_image(finished: Repository, tmp_path: Path) -> None:
    """Skopeo finds the index under the component's name, and copies all platforms with every digest kept."""
    skopeo = machine.program("skopeo")
    name = f"oci:{finished.store}:app"

    raw = run(skopeo, "inspect", "--raw", name)
    run(skopeo, "copy", "--quiet", "--all", "--preserve-digests", name, f"dir:{tmp_path / 'copy'}")

    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" == finished.subject
    one = json.loads(run(skopeo, "inspect", "--config", f"oci:{finished.store}:app-linux-amd64"))
    assert one["config"]["User"] == "65532:65532"
    copied = (tmp_path / "copy" / "manifest.json").read_bytes()
    assert f"sha256:{hashlib.sha256(copied).hexdigest()}" == finished.subject


def test_umoci_unpacks_the_image(work: Repository, tmp_path: Path) -> None:
    """Umoci unpacks a platform of it: the app and the interpreter are where the configuration says."""
    umoci = machine.program("umoci")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    place = tmp_path / "bundle"

    run(umoci, "unpack", *rootless, "--image", f"{work.store}:app-linux-amd64", str(place))

    root = place / "rootfs"
    assert (root / "app" / "gunicorn_conf.py").read_bytes() == (
        work.path / "app" / "gunicorn_conf.py"
    ).read_bytes()
    assert (root / "usr" / "bin" / "python3").is_symlink()
    assert json.loads((place / "config.json").read_bytes())["process"]["user"]["uid"] == 65532
    assert work.damaged() == []
