"""Clusters of kind and k3d, asked of programs that answer as they do."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import CommandFailed, ToolError, ToolMissing, UsageError
from lockgate.deploy.node.others import Other, installed

if TYPE_CHECKING:
    from pathlib import Path

KIND = """#!/bin/sh
echo "$@" >> "$HOME/calls"
case "$1 $2" in
    "get clusters") cat "$HOME/clusters" ;;
    "create cluster") echo "${3#--name=}" >> "$HOME/clusters" ;;
    "delete cluster") : > "$HOME/clusters" ;;
    "get kubeconfig") echo "kubeconfig of ${3#--name=}" ;;
    *) exit 1 ;;
esac
"""

K3D = """#!/bin/sh
echo "$@" >> "$HOME/calls"
case "$1 $2" in
    "cluster list") cat "$HOME/clusters" ;;
    "cluster create") echo "[{\\"name\\": \\"$3\\"}]" > "$HOME/clusters" ;;
    "cluster delete") echo "[]" > "$HOME/clusters" ;;
    "kubeconfig get") echo "kubeconfig of $3" ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a PATH with both programs, without any cluster."""
    for name, text in (("kind", KIND), ("k3d", K3D)):
        place = tmp_path / "bin" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("kind", "empty"), [("kind", ""), ("k3d", "[]")])
def test_a_cluster_is_made_and_removed(home: Path, kind: str, empty: str) -> None:
    """It exists between `create` and `delete`, and its kubeconfig is its owner's alone."""
    (home / "clusters").write_text(empty)
    other = Other(kind, "dev", home / "kept" / "kubeconfig")  # type: ignore[arg-type]
    assert not other.exists()

    other.create()
    assert other.exists()
    other.keep_kubeconfig()
    assert other.kubeconfig.read_text() == "kubeconfig of dev\n"
    assert stat.S_IMODE(other.kubeconfig.stat().st_mode) == 0o600
    assert other.context == f"{kind}-dev"

    other.delete()
    assert not other.exists()
    assert not other.kubeconfig.exists()


@pytest.mark.parametrize(("kind", "empty"), [("kind", ""), ("k3d", "[]")])
def test_the_users_kubeconfig_stays_as_it_is(home: Path, kind: str, empty: str) -> None:
    """Both are told not to write into `~/.kube/config`."""
    (home / "clusters").write_text(empty)
    other = Other(kind, "dev", home / "kept" / "kubeconfig")  # type: ignore[arg-type]

    other.create()

    (call,) = (home / "calls").read_text().splitlines()
    ours = f"--kubeconfig={home / 'kept' / 'kubeconfig'}"
    assert ours in call or "--kubeconfig-update-default=false" in call
    assert not (home / ".kube").exists()


@pytest.mark.parametrize(("kind", "there"), [("kind", "dev"), ("k3d", '[{"name": "dev"}]')])
def test_a_cluster_that_others_made_is_not_removed(home: Path, kind: str, there: str) -> None:
    """It has the same name by chance: `dev` is a common one."""
    (home / "clusters").write_text(there)
    other = Other(kind, "dev", home / "kept" / "kubeconfig")  # type: ignore[arg-type]
    other.keep_kubeconfig()

    with pytest.raises(UsageError, match="was not made here"):
        other.delete()

    assert other.exists()


def test_kind_goes_before_k3d(home: Path) -> None:
    """With both on PATH it is kind; with neither it is none."""
    assert installed() == "kind"
    (home / "bin" / "kind").unlink()
    assert installed() == "k3d"
    (home / "bin" / "k3d").unlink()
    assert installed() is None


def test_one_that_is_missing_is_named(home: Path) -> None:
    """A cluster of kind needs kind."""
    (home / "bin" / "kind").unlink()

    with pytest.raises(ToolMissing, match="kind"):
        Other("kind", "dev", home / "kubeconfig").exists()


def test_one_that_fails_is_no_answer(home: Path) -> None:
    """A failure is not taken for "there is none"."""
    with pytest.raises(CommandFailed):
        Other("kind", "dev", home / "kubeconfig").exists()


def test_a_list_that_is_none_is_no_answer(home: Path) -> None:
    """Something that is no list of clusters is an error."""
    (home / "clusters").write_text("nothing of the kind")

    with pytest.raises(ToolError, match="no list"):
        Other("k3d", "dev", home / "kubeconfig").exists()


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        (
            "kind",
            "Creating\\nERROR: no image\\n\\nCommand Output: no such host\\nCall stack:\\n1 2\\n",
            "no image; no such host",
        ),
        (
            "k3d",
            "\\033[31mERRO\\033[0m[0001] no image \\n\\033[31mFATA\\033[0m[0001] rolled back!\\n",
            "no image",
        ),
    ],
)
def test_the_reason_of_a_failure_is_said(home: Path, kind: str, said: str, reason: str) -> None:
    """Not the last line, which tells what was done about it; and without colours."""
    (home / "bin" / kind).write_text(f"#!/bin/sh\nprintf '{said}' >&2\nexit 1\n")

    with pytest.raises(CommandFailed) as failed:
        Other(kind, "dev", home / "kept" / "kubeconfig").create()  # type: ignore[arg-type]

    assert failed.value.message == f"`{kind}` ended with exit code 1: {reason}"
