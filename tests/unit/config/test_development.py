"""`lockgate.config.development`: secrets that are made on first use."""

from __future__ import annotations

import os
import re
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import StorageError, UsageError
from lockgate.config import development

if TYPE_CHECKING:
    from pathlib import Path

KUSTOMIZATION = """\
secretGenerator:
  - name: database
    files:
      - password=secrets/password
      - secrets/key
      - given.txt
      - deeper=secrets/deeper/file
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """Return the folder of an overlay that asks for two secrets."""
    folder = tmp_path / "dev"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
    return folder


def test_missing_secrets_are_made(overlay: Path) -> None:
    """Each is random, of letters, digits, `-` and `_`, and for nobody else to read."""
    assert development.provide(overlay, accepted=True) == ("secrets/password", "secrets/key")
    texts = [(overlay / "secrets" / name).read_text() for name in ("password", "key")]
    assert texts[0] != texts[1]
    for name, text in zip(("password", "key"), texts, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", text)
        assert stat.S_IMODE((overlay / "secrets" / name).stat().st_mode) == 0o600
    assert sorted(os.listdir(overlay / "secrets")) == [".gitignore", "key", "password"]


def test_git_ignores_the_whole_folder(overlay: Path) -> None:
    """The folder ignores itself, whatever the repository's own list says."""
    development.provide(overlay, accepted=True)
    assert (overlay / "secrets" / ".gitignore").read_text() == "*\n"


def test_a_secret_is_never_changed(overlay: Path) -> None:
    """What is there stays, also when a person wrote it, and only what is missing is made."""
    (overlay / "secrets").mkdir()
    (overlay / "secrets" / "key").write_text("mine")
    assert development.provide(overlay, accepted=True) == ("secrets/password",)
    assert development.provide(overlay, accepted=True) == ()
    assert (overlay / "secrets" / "key").read_text() == "mine"


def test_elsewhere_nothing_is_made(overlay: Path) -> None:
    """An environment that takes no development key takes no such secrets, and says what to do."""
    with pytest.raises(UsageError, match="secrets/password, which does not exist") as caught:
        development.provide(overlay, accepted=False)
    assert "the platform" in caught.value.hint
    assert not (overlay / "secrets").exists()


def test_elsewhere_a_file_that_is_there_may_be_used(overlay: Path) -> None:
    """Nothing has to be made, so there is nothing to refuse; the rules judge the Secret itself."""
    development.provide(overlay, accepted=True)
    assert development.provide(overlay, accepted=False) == ()


@pytest.mark.parametrize(
    "text",
    [
        "resources: [a.yaml]\n",
        "secretGenerator: []\n",
        "secretGenerator: 5\n",
        "secretGenerator: [{files: 5}]\n",
        "secretGenerator:\n  - name: x\n",
    ],
)
def test_an_overlay_without_secrets_needs_none(tmp_path: Path, text: str) -> None:
    """No folder is made for nothing."""
    (tmp_path / "kustomization.yaml").write_text(text)
    assert development.provide(tmp_path, accepted=True) == ()
    assert os.listdir(tmp_path) == ["kustomization.yaml"]


def test_without_a_kustomization_nothing_is_made(tmp_path: Path) -> None:
    """That it is missing is for kustomize to say."""
    assert development.provide(tmp_path, accepted=False) == ()


def test_many_at_once_agree(overlay: Path) -> None:
    """Of several runs that start together one makes the secret, and all go on with that one."""
    barrier = threading.Barrier(8, timeout=60)
    seen: list[str] = []

    def run() -> None:
        barrier.wait()
        development.provide(overlay, accepted=True)
        seen.append((overlay / "secrets" / "password").read_text())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(timeout=60)
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert sorted(os.listdir(overlay / "secrets")) == [".gitignore", "key", "password"]


def test_a_folder_that_cannot_be_written_is_an_error(overlay: Path) -> None:
    """The message names the place."""
    (overlay / "secrets").write_text("a file")
    with pytest.raises(StorageError, match="secrets"):
        development.provide(overlay, accepted=True)
