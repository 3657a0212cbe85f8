"""The conformance suite of the OCI distribution specification, run against the registry on loopback.

The suite is a Go program (repository opencontainers/distribution-spec, folder `conformance`). It is built from
its module, or from a checkout, or used as it is: `LOCKGATE_TEST_CONFORMANCE` names the folder or the program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)
from lockgate.oci.server import LOOPBACK_NAMES, Server
from lockgate.oci.server_routes import Rules
from lockgate.oci.server_users import Users
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "LOCKGATE_TEST_CONFORMANCE"

MODULE = "github.com/opencontainers/distribution-spec/conformance"
VERSION = "v0.0.0-20260627150115-216c04cd22ce"
"""The last change of the suite for version 1.1 of the specification, and what comes after it."""

WHOLE = {
    "OCI_VERSION": "1.1",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
}
"""All that the suite knows but sparse manifests: what has holes is not taken, as the specification allows."""


class Outcome(NamedTuple):
    """How many tests ended how."""

    passed: int
    failed: int
    skipped: int
    disabled: int
    said: str
    """All that the suite printed."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the program; without it this file says so loudly."""
    named = os.environ.get(VARIABLE)
    if named and Path(named).is_file():
        return named
    go = shutil.which("go")
    if go is None:
        pytest.skip(
            f"the conformance suite needs Go, which is not here: the registry is NOT checked against the "
            f"specification. Install Go, or name the program in {VARIABLE}"
        )
    if named:
        folder = tmp_path_factory.mktemp("suite")
        command = [go, "build", "-o", str(folder / "conformance"), "."]
    else:
        folder = user_cache() / "test-tools" / f"{MODULE}@{VERSION}".replace("/", "_")
        command = [go, "install", f"{MODULE}@{VERSION}"]
    program = folder / "conformance"
    if program.exists():
        return str(program)
    done = subprocess.run(
        command,
        cwd=named or None,
        env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-trimpath -buildvcs=false"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        pytest.skip(
            f"the conformance suite could not be built: the registry is NOT checked against the specification. "
            f"Name its folder in a checkout of opencontainers/distribution-spec in {VARIABLE}. Go: {why}"
        )
    return str(program)


def run(suite: str, address: str, folder: Path, settings: Mapping[str, str]) -> Outcome:
    """Run the suite against a registry."""
    done = subprocess.run(
        [suite],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OCI_REGISTRY": address,
            "OCI_TLS": "disabled",
            "OCI_REPO1": "conformance/one",
            "OCI_REPO2": "conformance/two",
            "OCI_RESULTS_DIR": str(folder / "results"),
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # Its summary is read and not its report: without pushing, the suite fails to write that.
    counts = dict(re.findall(r"^  (Disabled|Skip|Pass|FAIL|Error)\.+: +(\d+)$", done.stdout, re.M))
    assert len(counts) == 5, done.stdout + done.stderr
    found = Outcome(
        passed=int(counts["Pass"]),
        failed=int(counts["FAIL"]) + int(counts["Error"]),
        skipped=int(counts["Skip"]),
        disabled=int(counts["Disabled"]),
        said=done.stdout + done.stderr,
    )
    print(f"conformance: {found[:4]}")
    return found


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_the_registry_conforms(suite: str, tmp_path: Path, password: str) -> None:
    """Pull, push, discovery and management: nothing fails, nothing is skipped; nothing is left behind."""
    layout = Layout.create(tmp_path / "store")
    users = Users.single(f"ann:{password}", "a test") if password else None
    login = {"OCI_USERNAME": "ann", "OCI_PASSWORD": password} if password else {}
    with Server(layout, Rules(users=users, names=LOOPBACK_NAMES)) as server:
        found = run(suite, server.address, tmp_path, WHOLE | login)
    assert (found.failed, found.skipped, found.disabled) == (0, 0, 0), found.said
    assert found.passed > 900
    assert layout.tags() == {}
    assert list((layout.root / "blobs").glob("*/*")) == []


def test_a_local_image_is_served_as_the_specification_has_it(suite: str, tmp_path: Path) -> None:
    """What the store itself holds, with a referrer, from a registry that is read-only."""
    layout = Layout.create(tmp_path / "store")
    layer = layout.put(b"layer", LAYER_GZIP)
    parts = Manifest(config=layout.put(b"{}", CONFIG), layers=(layer,))
    image = layout.put(manifest_bytes(parts), MANIFEST)
    index = layout.put(index_bytes(Index(manifests=(image,))), INDEX)
    evidence = layout.put(
        manifest_bytes(Manifest(config=parts.config, layers=(), subject=index)), MANIFEST
    )
    layout.tag({"app": index})
    layout.add_referrer(index.digest, evidence)
    settings = {
        "OCI_VERSION": "1.1",
        "OCI_REPO1": "app",
        "OCI_API_PUSH": "false",
        "OCI_API_BLOBS_DELETE": "false",
        "OCI_API_MANIFESTS_DELETE": "false",
        "OCI_API_TAGS_DELETE": "false",
        "OCI_API_BLOBS_ATOMIC": "false",
        "OCI_API_MANIFESTS_ATOMIC": "false",
        "OCI_API_TAGS_ATOMIC": "false",
        "OCI_DATA_SHA512": "false",
        "OCI_RO_DATA_TAGS": "latest",
        "OCI_RO_DATA_MANIFESTS": f"{index.digest} {image.digest} {evidence.digest}",
        "OCI_RO_DATA_BLOBS": f"{layer.digest} {parts.config.digest}",
        "OCI_RO_DATA_REFERRERS": index.digest,
    }
    rules = Rules(read_only=True, names=LOOPBACK_NAMES)
    with Server(layout, rules) as server:
        found = run(suite, server.address, tmp_path, settings)
    assert (found.failed, found.skipped) == (0, 0), found.said
    assert found.passed > 15, found.said
