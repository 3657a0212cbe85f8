"""What requests are sent with."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import Forbidden, ToolMissing
from lockgate.deploy.kube.kubeconfig import Access, Exec, Variable
from lockgate.deploy.kube.login import Login

if TYPE_CHECKING:
    from pathlib import Path

API = "client.authentication.k8s.io/v1"


def access(**named: Any) -> Access:
    """Return an access."""
    return Access(server="https://192.0.2.1", context="dev", **named)


def plugin(output: str, *, api: str = API, **named: Any) -> Exec:
    """Return a plugin that prints something."""
    return Exec(command=sys.executable, api_version=api, args=("-c", f"print({output!r})"), **named)


def credential(token: str, until: str = "", api: str = API) -> str:
    """Return an ExecCredential."""
    status = {"token": token} | ({"expirationTimestamp": until} if until else {})
    return json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": status})


def test_each_way_to_log_in(tmp_path: Path) -> None:
    """A token, a file with one, a password, a certificate."""
    (tmp_path / "token").write_text("b\n")
    assert Login(access(token="a")).credential().header == "Bearer a"
    assert Login(access(token_file=tmp_path / "token")).credential().header == "Bearer b"
    assert Login(access(password="u:p")).credential().header == "Basic dTpw"
    found = Login(access(certificate=b"c", key=b"k")).credential()
    assert (found.header, found.certificate, found.key) == ("", b"c", b"k")


def test_the_end_of_a_line_is_no_part_of_a_token() -> None:
    """YAML's `token: |` has one."""
    assert Login(access(token="a\n")).credential().header == "Bearer a"


@pytest.mark.parametrize("token", ["hid\nden", "hidd\u00e9n", "hid\x00den"])
def test_what_cannot_be_a_token_is_refused_and_not_shown(tmp_path: Path, token: str) -> None:
    """The library for HTTP would show it in a traceback."""
    (tmp_path / "token").write_bytes(token.encode("latin-1"))
    for one in (access(token=token), access(token_file=tmp_path / "token")):
        with pytest.raises(Forbidden, match="characters that no token has") as caught:
            Login(one).credential()
        assert "hid" not in str(caught.value)


def test_a_token_in_a_file_is_read_again(tmp_path: Path) -> None:
    """After a minute: the cluster replaces it."""
    now = [0.0]
    path = tmp_path / "token"
    path.write_text("first")
    login = Login(access(token_file=path), now=lambda: now[0])
    assert login.credential().header == "Bearer first"
    path.write_text("second")
    assert login.credential().header == "Bearer first"
    now[0] = 61
    assert login.credential().header == "Bearer second"


def test_a_refused_token_that_is_all_there_is_is_an_error() -> None:
    """It would be refused again."""
    login = Login(access(token="a"))
    with pytest.raises(Forbidden, match="does not know these credentials"):
        login.credential(refused=login.credential())


def test_a_plugin_is_asked_once_until_its_token_ends() -> None:
    """And knows how it was called."""
    script = (
        "import json, os; info = json.loads(os.environ['KUBERNETES_EXEC_INFO']); "
        "print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential', 'status': "
        "{'token': os.environ['EXTRA'], 'expirationTimestamp': '2026-11-20T00:00:00Z'}}))"
    )
    run = Exec(
        command=sys.executable,
        api_version=API,
        args=("-c", script),
        env=(Variable(name="EXTRA", value="t"),),
    )
    found = Login(access(plugin=run), now=lambda: 0).credential()
    assert found.header == "Bearer t"
    assert found.until == 1_795_132_800 - 30


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (plugin("nonsense"), "printed no ExecCredential"),
        (plugin(credential("t", "soon")), "printed no ExecCredential"),
        (plugin(credential("t", api="v2")), "printed v2 instead of"),
        (plugin(credential("")), "neither a token nor a certificate"),
        (plugin(credential("t"), interactive_mode="Always"), "needs a terminal"),
        (
            Exec(command=sys.executable, api_version=API, args=("-c", "raise SystemExit(3)")),
            "failed",
        ),
    ],
)
def test_a_plugin_that_fails_is_named(run: Exec, words: str) -> None:
    """With the command that shows why."""
    with pytest.raises(Forbidden, match=words) as caught:
        Login(access(plugin=run)).credential()
    assert "kubectl --context dev" in caught.value.hint


def test_a_missing_plugin_says_how_to_get_it() -> None:
    """In the words of its vendor."""
    run = Exec(command="no-such-plugin", api_version=API, install_hint="install it from there")
    with pytest.raises(ToolMissing) as caught:
        Login(access(plugin=run)).credential()
    assert caught.value.hint == "install it from there"
