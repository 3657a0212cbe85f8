"""A key pair that the real cosign made in a Secret of a real API server signs here, and cosign takes what it signed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.apiserver import binary

from lockgate.base.errors import CommandFailed, KeyRefused
from lockgate.sign.keys import load, public_keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.conftest import Place


@pytest.fixture
def environ(place: Place, tmp_path: Path) -> dict[str, str]:
    """An environment that has `kubectl`, the way to the API server, and a password of another key."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(binary("kubectl"))
    return {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(place.server.kubeconfig()),
        "COSIGN_PASSWORD": "of another key",
    }


def cosign(environ: dict[str, str], *arguments: str) -> None:
    """Run the real cosign; the password of the new key is one that nobody is told."""
    done = subprocess.run(
        [binary("cosign"), *arguments],
        cwd=environ["HOME"],
        env=environ | {"COSIGN_PASSWORD": "of this key"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pair_that_cosign_made_in_the_cluster_signs(
    place: Place, environ: dict[str, str], tmp_path: Path
) -> None:
    """Its password comes from the Secret too; cosign verifies by the same name, and the public half is the file's."""
    spec = f"k8s://{place.namespace}/release"
    cosign(environ, "generate-key-pair", spec)

    signer = load(spec, root=tmp_path, environ=environ, ask=None)
    signature = signer.sign(b"what is signed")

    (named,) = public_keys([spec], root=tmp_path, environ=environ)
    (written,) = public_keys(["cosign.pub"], root=tmp_path, environ=environ)
    assert named.spki == written.spki == signer.public_key().spki
    assert named.name == "release"
    (tmp_path / "data").write_bytes(b"what is signed")
    (tmp_path / "signature").write_bytes(base64.b64encode(signature))
    cosign(
        environ,
        *("verify-blob", "--key", spec, "--signature", "signature"),
        *("--insecure-ignore-tlog=true", "--new-bundle-format=false", "data"),
    )


def test_a_pair_that_we_made_is_read_from_the_cluster(
    place: Place, environ: dict[str, str], tmp_path: Path
) -> None:
    """A Secret with the public half alone verifies and cannot sign; one that is not there is said, with its name."""
    from lockgate.sign.local import make_pair

    public = make_pair(b"")[1]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "half"},
        "data": {"cosign.pub": base64.b64encode(public).decode()},
    }
    place.kubectl("create", "-f", "-", stdin=json.dumps(secret))
    spec = f"k8s://{place.namespace}/half"

    (found,) = public_keys([spec], root=tmp_path, environ=environ)

    assert found.pem() == public
    with pytest.raises(KeyRefused, match=r"has no field `cosign\.key`"):
        load(spec, root=tmp_path, environ=environ, ask=None)
    with pytest.raises(CommandFailed, match="not found") as absent:
        load(f"k8s://{place.namespace}/gone", root=tmp_path, environ=environ, ask=None)
    assert absent.value.exit_code == 6
    assert absent.value.hint == f"try `kubectl get secret gone --namespace {place.namespace}`"
