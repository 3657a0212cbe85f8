"""Keys in a Kubernetes Secret, with a `kubectl` that knows one."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import CommandFailed, KeyRefused, ToolMissing, UsageError
from lockgate.sign.keys import load, public_keys
from lockgate.sign.local import make_pair
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAKE = """\
#!/bin/sh
# Knows one Secret, and answers as kubectl does.
[ "$*" = "get secret release --namespace prod --output json" ] || {{
    echo "Error from server (NotFound): secrets \\"$3\\" not found" >&2
    exit 1
}}
env > '{folder}/seen'
cat '{folder}/secret.json'
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Call with the fields of the Secret `prod/release`; return an environment that leads to it."""

    def cluster(fields: Mapping[str, bytes] | bytes) -> dict[str, str]:
        program = tmp_path / "bin" / "kubectl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE.format(folder=tmp_path))
        program.chmod(0o755)
        if not isinstance(fields, bytes):
            data = {key: base64.b64encode(value).decode() for key, value in fields.items()}
            fields = json.dumps({"kind": "Secret", "data": data}).encode()
        (tmp_path / "secret.json").write_bytes(fields)
        usual = Path(shutil.which("cat") or "/bin/cat").parent
        return {"PATH": f"{program.parent}{os.pathsep}{usual}", "KUBECONFIG": "/k", "TOKEN": "x"}

    return cluster


SECRET = "k8s://prod/release"


def test_a_secret_of_cosign_signs(cluster: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    """The three fields that cosign writes are a signer, and nobody is asked for a password."""
    private, public = make_pair(b"pw")
    environ = cluster({"cosign.key": private, "cosign.pub": public, "cosign.password": b"pw"}) | {
        "COSIGN_PASSWORD": "of another key"
    }
    signer = load(SECRET, root=tmp_path, environ=environ, ask=None)
    signer.public_key().verify(signer.sign(b"data"), b"data")
    assert signer.public_key().name == "release"
    (found,) = public_keys([SECRET], root=tmp_path, environ=environ)
    assert found.spki == PublicKey.parse(public, name="").spki


def test_a_secret_without_a_password_asks_as_usual(
    cluster: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """The password may be kept elsewhere; the public half is then found in the key itself."""
    environ = cluster({"cosign.key": make_pair(b"pw", development=True)[0]})
    signer = load(SECRET, root=tmp_path, environ=environ | {"COSIGN_PASSWORD": "pw"}, ask=None)
    signer.public_key().verify(signer.sign(b"data"), b"data")
    with pytest.raises(KeyRefused, match="no terminal"):
        load(SECRET, root=tmp_path, environ=environ, ask=None).sign(b"data")


def test_kubectl_sees_what_it_needs_and_no_more(
    cluster: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """It gets the way to its cluster, and no other variable of this process."""
    environ = cluster({"cosign.pub": make_pair(b"")[1]})
    public_keys([SECRET], root=tmp_path, environ=environ)
    seen = (tmp_path / "seen").read_text().splitlines()
    assert "KUBECONFIG=/k" in seen
    assert not [line for line in seen if line.startswith("TOKEN=")]


@pytest.mark.parametrize(
    "spec",
    [
        "k8s://",
        "k8s://release",
        "k8s://prod/release/more",
        "k8s://--all/release",
        "k8s://prod/-o",
        "k8s://Prod/release",
        "k8s://prod/release\n",
        "k8s:///release",
    ],
)
def test_another_form_is_refused(spec: str, tmp_path: Path) -> None:
    """A name that is none, or that could be an option, is refused before anything runs."""
    with pytest.raises(UsageError, match="Kubernetes Secret") as caught:
        load(spec, root=tmp_path, environ={"PATH": ""}, ask=None)
    assert caught.value.hint == "write `k8s://namespace/name`"


def test_an_absent_secret_is_an_error_of_the_tool(
    cluster: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """What kubectl says is passed on, with the command to try."""
    environ = cluster({})
    with pytest.raises(CommandFailed, match='secrets "other" not found') as caught:
        load("k8s://prod/other", root=tmp_path, environ=environ, ask=None)
    assert caught.value.hint == "try `kubectl get secret other --namespace prod`"


def test_without_kubectl_it_is_named(tmp_path: Path) -> None:
    """A missing tool is neither a missing key nor a pass."""
    with pytest.raises(ToolMissing, match="kubectl"):
        load(SECRET, root=tmp_path, environ={"PATH": str(tmp_path)}, ask=None)


@pytest.mark.parametrize("fields", [{}, {"tls.key": b"x"}])
def test_a_secret_without_a_key_is_refused(
    fields: dict[str, bytes], cluster: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """An empty Secret, or one of another kind, says which field it lacks."""
    environ = cluster(fields)
    with pytest.raises(KeyRefused, match=r"no field `cosign\.key`") as caught:
        load(SECRET, root=tmp_path, environ=environ, ask=None)
    assert "generate-key-pair" in caught.value.hint
    with pytest.raises(KeyRefused, match=r"no field `cosign\.pub`"):
        public_keys([SECRET], root=tmp_path, environ=environ)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"data": 7}', b'{"data": {"cosign.key": "###"}}', b'{"data":{},"data":{}}'],
)
def test_an_answer_that_is_no_secret_is_refused(
    answer: bytes, cluster: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Whatever the tool prints, it is one clear error."""
    with pytest.raises(KeyRefused, match="not readable as a Secret"):
        load(SECRET, root=tmp_path, environ=cluster(answer), ask=None)
