"""Where the cluster is and who we are there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import LockgateError, UsageError
from lockgate.deploy.kube import kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


def config(*names: str, **cluster: Any) -> dict[str, Any]:
    """Return a kubeconfig with a context of each name."""
    return {
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u", "namespace": f"of-{name}"}}
            for name in names
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443", **cluster}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }


def write(path: Path, content: Any) -> str:
    """Write a file, and return its path."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def read(path: Path, content: Any, **named: Any) -> kubeconfig.Access:
    """Read one file."""
    write(path / "config", content)
    return kubeconfig.read(**{"file": "config", "root": path, "environ": {}, **named})


def test_the_only_context_is_taken(tmp_path: Path) -> None:
    """With its server, namespace and token."""
    found = read(tmp_path, config("dev"))
    assert (found.server, found.context, found.namespace) == (
        "https://192.0.2.1:6443",
        "dev",
        "of-dev",
    )
    assert found.token == "secret"


def test_one_of_several_is_never_taken_unasked(tmp_path: Path) -> None:
    """The current one may be anybody's production."""
    content = config("dev", "prod") | {"current-context": "prod"}
    with pytest.raises(UsageError, match="has 2 contexts") as caught:
        read(tmp_path, content)
    assert "`dev`, `prod`" in caught.value.hint
    assert read(tmp_path, content, context="dev").namespace == "of-dev"


def test_a_wrong_context_names_those_that_there_are(tmp_path: Path) -> None:
    """With where to set it."""
    with pytest.raises(UsageError, match="no context 'staging'") as caught:
        read(tmp_path, config("dev"), context="staging")
    assert "its contexts are `dev`" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """All places that were looked at, and how to have a cluster."""
    with pytest.raises(UsageError, match=r"there is no kubeconfig: .*/\.kube/config") as caught:
        kubeconfig.read(root=tmp_path, environ={"HOME": str(tmp_path)})
    assert "`inv cluster.up` makes a cluster" in caught.value.hint


def test_a_missing_file_that_is_set_is_to_be_set_right(tmp_path: Path) -> None:
    """The cluster of `inv cluster.up` does not count where a file or a context is named."""
    for named in ({"file": "nowhere"}, {"context": "dev"}):
        with pytest.raises(UsageError, match="there is no kubeconfig") as caught:
            kubeconfig.read(root=tmp_path, environ={"HOME": str(tmp_path)}, **named)
        assert caught.value.hint.startswith("set `kubeconfig` of the environment")


def test_files_of_the_variable_are_merged(tmp_path: Path) -> None:
    """The first one that knows a name wins, and paths are relative to the file that has them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ca.crt").write_text("authority")
    first = write(tmp_path / "a" / "one", config(**{"certificate-authority": "ca.crt"}))
    second = write(tmp_path / "two", config("dev", server="https://192.0.2.9"))
    found = kubeconfig.read(root=tmp_path, environ={"KUBECONFIG": f"{first}:{second}"})
    assert found.server == "https://192.0.2.1:6443"
    assert found.authority == b"authority"


def test_data_goes_before_files(tmp_path: Path) -> None:
    """Certificates may stand in the file itself."""
    encoded = base64.b64encode(b"inside").decode()
    found = read(tmp_path, config("dev", **{"certificate-authority-data": encoded}))
    assert found.authority == b"inside"


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({"insecure-skip-tls-verify": True}, "is not to be checked"),
        ({"server": "http://192.0.2.1"}, "is not to be checked"),
        ({"server": "192.0.2.1:6443"}, "which is none"),
        ({"server": "https://192.0.2.1:99999"}, "which is none"),
        ({"server": "https://[::1"}, "which is none"),
        ({"certificate-authority": "empty.crt"}, "is empty"),
        ({"certificate-authority": "missing.crt"}, "cannot be read"),
        ({"certificate-authority-data": "%%%"}, "base64"),
    ],
)
def test_a_server_that_proves_nothing_is_refused(
    tmp_path: Path, cluster: dict[str, Any], words: str
) -> None:
    """Anybody could answer for it."""
    (tmp_path / "empty.crt").touch()
    with pytest.raises(UsageError, match=words):
        read(tmp_path, config("dev", **cluster))


def test_loopback_may_be_plain(tmp_path: Path) -> None:
    """As `kubectl proxy` is."""
    assert read(tmp_path, config("dev", server="http://127.0.0.1:8001")).server.startswith("http:")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no YAML"),
        ("[]", "no kubeconfig"),
        ("contexts: [{name: 3}]", "no kubeconfig"),
        ({"contexts": [{"name": "a", "context": {"cluster": "gone"}}]}, "the cluster 'gone'"),
        (config("dev") | {"users": []}, "the user 'u'"),
        (
            config("dev") | {"users": [{"name": "u", "user": {"auth-provider": {"name": "x"}}}]},
            "auth-provider",
        ),
        (
            config("dev") | {"users": [{"name": "u", "user": {"token": "t", "as": "jane"}}]},
            "acts as somebody else",
        ),
        ("a: 2026-99-99", "no YAML"),
        ("", "0 contexts"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: Any, words: str) -> None:
    """With what is wrong in it."""
    with pytest.raises(UsageError, match=words):
        read(tmp_path, content)


def test_a_pod_uses_its_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no file; the token is read anew, since it ends."""
    for name in ("ca.crt", "namespace", "token"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(kubeconfig, "ACCOUNT", tmp_path)
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1"}
    found = kubeconfig.read(root=tmp_path, environ=environ)
    assert found.server == "https://[fd00::1]:443"
    assert found.namespace == "namespace"
    assert found.token_file == tmp_path / "token"
    # Who names a file means another cluster than that of the pod.
    with pytest.raises(UsageError, match="there is no kubeconfig"):
        kubeconfig.read(root=tmp_path, environ={**environ, "KUBECONFIG": str(tmp_path / "typo")})


def test_a_path_that_cannot_be_looked_at_is_an_error_of_ours(tmp_path: Path) -> None:
    """Not a traceback."""
    environ = {"KUBECONFIG": str(tmp_path / ("a" * 300))}
    with pytest.raises(LockgateError, match=r"kubeconfig|too long"):
        kubeconfig.read(root=tmp_path, environ=environ)


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    """Nor used: it would stand in every message about the server."""
    with pytest.raises(UsageError, match="a name before the host") as caught:
        read(tmp_path, config("dev", server="https://me:hidden@192.0.2.1"))
    assert "hidden" not in str(caught.value)


def test_a_file_of_nobodys_home_is_missing(tmp_path: Path) -> None:
    """`~name` of a user that there is not is a name like others."""
    with pytest.raises(UsageError, match="no kubeconfig"):
        kubeconfig.read(file="~nobody-here/config", root=tmp_path, environ={})


def test_an_access_shows_no_secret(tmp_path: Path) -> None:
    """Not even in a traceback."""
    assert "secret" not in repr(read(tmp_path, config("dev")))
