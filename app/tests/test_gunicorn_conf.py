"""What gunicorn is told, by running its configuration file."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[1] / "gunicorn_conf.py"
VARIABLES = (
    "TODO_DATABASE_URL",
    "TODO_DATABASE_PASSWORD_FILE",
    "TODO_DATABASE_CA_FILE",
    "WEB_CONCURRENCY",
    "TODO_SECRET_KEY",
    "TODO_SECRET_KEY_FILE",
    "HOST",
    "PORT",
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def conf() -> dict[str, Any]:
    """Return the file's names as gunicorn reads them."""
    return runpy.run_path(str(FILE))


def test_it_listens_everywhere_by_default() -> None:
    """A container's port has to be reachable from outside of it."""
    assert conf()["bind"] == "0.0.0.0:8080"


def test_the_environment_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HOST` and `PORT` decide where it listens."""
    monkeypatch.setenv("HOST", "127.0.0.1")
    monkeypatch.setenv("PORT", "9999")
    assert conf()["bind"] == "127.0.0.1:9999"


def test_memory_allows_one_worker() -> None:
    """With the list in memory a second worker would show another list."""
    told = conf()
    assert told["workers"] == 1
    assert told["threads"] > 1


def test_a_file_allows_four_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is shared by four workers (S3.8)."""
    monkeypatch.setenv("TODO_DATABASE_URL", "sqlite:////tmp/todo.db")
    assert conf()["workers"] == 4


def test_the_key_is_made_before_the_fork() -> None:
    """The master makes the app, and with it the random key that all workers inherit."""
    assert conf()["preload_app"] is True


def test_it_needs_no_writable_home() -> None:
    """No control socket is opened, since it would go to $HOME."""
    assert conf()["control_socket_disable"] is True


def test_the_access_log_goes_to_stdout() -> None:
    """A container's log is its output (S3.9)."""
    assert conf()["accesslog"] == "-"


@pytest.mark.parametrize("writable", [True, False])
def test_heartbeats_go_where_writing_works(monkeypatch: pytest.MonkeyPatch, writable: bool) -> None:
    """Memory when it can be written, else the folder for temporary files."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: writable)
    expected = "/dev/shm" if writable else tempfile.gettempdir()  # noqa: S108
    assert conf()["worker_tmp_dir"] == expected


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("TODO_DATABASE_URL", "nowhere"), ("TODO_SECRET_KEY", "")]
)
def test_a_bad_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The start ends with one line that names the variable, without a traceback."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^todo: {name}") as caught:
        conf()
    assert "\n" not in str(caught.value)
