"""Probes and version."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from todo_person import Person

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from flask import Flask
    from flask.testing import FlaskClient

DIGEST = "sha256:4f1c" + "0" * 56 + "9a02"


def broken(make_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    """Return an app whose database cannot be opened: its folder does not exist."""
    return make_app(TODO_DATABASE_URL=f"sqlite:///{tmp_path}/absent/todo.db")


def test_ready_when_the_database_answers(client: FlaskClient) -> None:
    """`/readyz` is 200."""
    response = client.get("/readyz")
    assert (response.status_code, response.json) == (200, {"status": "ready"})


def test_not_ready_without_the_database(
    make_app: Callable[..., Flask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`/readyz` is 503 with a reason; the address is told to the log and not to the caller."""
    with caplog.at_level(logging.WARNING):
        response = broken(make_app, tmp_path).test_client().get("/readyz")
    assert response.status_code == 503
    assert response.json == {
        "status": "not ready",
        "reason": "the database does not answer (OperationalError)",
    }
    assert "unable to open database file" in caplog.text


def test_ready_again_when_the_database_is_back(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """The tables are made when the database first answers, without a restart."""
    app = broken(make_app, tmp_path)
    assert app.test_client().get("/readyz").status_code == 503
    (tmp_path / "absent").mkdir()
    assert app.test_client().get("/readyz").status_code == 200
    assert Person(app.test_client()).add("after the outage").status_code == 302


def test_alive_without_the_database(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    """`/healthz` is 200 while the database is down: a restart would not help."""
    response = broken(make_app, tmp_path).test_client().get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "alive"})


def test_the_page_says_when_the_database_is_down(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """The list is a 503 page with a sentence and without the cause."""
    response = broken(make_app, tmp_path).test_client().get("/")
    assert response.status_code == 503
    assert "cannot be read just now" in response.text
    assert "sqlite" not in response.text


def test_version_without_an_image(client: FlaskClient) -> None:
    """Digest and commit are null when the deployer told none."""
    assert client.get("/version").json == {
        "name": "todo",
        "version": "1.0.0",
        "digest": None,
        "commit": None,
    }


def test_version_names_the_image(make_app: Callable[..., Flask]) -> None:
    """Digest and commit are those of the environment, in `/version` and below the page."""
    app = make_app(LOCKGATE_IMAGE_DIGEST=DIGEST, LOCKGATE_REVISION="3f2a9c1d0")
    record = app.test_client().get("/version").json
    assert record is not None
    assert (record["digest"], record["commit"]) == (DIGEST, "3f2a9c1d0")
    page = app.test_client().get("/").text
    assert ">sha256:4f1c…9a02<" in page
    assert ">3f2a9c1<" in page


def test_probes_set_no_cookie(client: FlaskClient) -> None:
    """A probe starts no session."""
    for path in ("/healthz", "/readyz", "/version"):
        assert "Set-Cookie" not in client.get(path).headers
