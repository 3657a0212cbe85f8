"""Error pages, headers, cookies and static files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient
    from todo_person import Person


@pytest.mark.parametrize("path", ["/", "/nothing", "/add", "/healthz", "/static/style.css"])
def test_every_response_has_the_security_headers(client: FlaskClient, path: str) -> None:
    """Pages, errors, probes and files alike."""
    headers = client.get(path, buffered=True).headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_cookie_is_guarded(client: FlaskClient) -> None:
    """The session's cookie is out of reach of scripts and of other sites' forms."""
    cookie = client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_pages_are_not_stored(client: FlaskClient) -> None:
    """A page carries a token, so no cache keeps it; a static file may be kept."""
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert client.get("/static/style.css", buffered=True).headers["Cache-Control"] != "no-store"


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_a_page_needs_nothing_from_elsewhere(client: FlaskClient, path: str) -> None:
    """No script, no inline style, no address of another host; each file it names exists."""
    page = client.get(path).text
    assert "<script" not in page
    assert "style=" not in page
    assert "<style" not in page
    assert "://" not in page
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(files) == 2
    for name in files:
        assert client.get(name, buffered=True).status_code == 200


def test_a_static_file_has_its_fingerprint(client: FlaskClient) -> None:
    """The address of the stylesheet changes with its content, not with its time."""
    assert re.search(r"/static/style\.css\?v=[0-9a-f]{12}\"", client.get("/").text)


def test_an_unknown_address_is_a_page(client: FlaskClient) -> None:
    """404 has the look of the app and a way back."""
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response.content_type == "text/html; charset=utf-8"
    assert "<h1>Not Found</h1>" in response.text


def test_a_huge_body_is_refused(person: Person) -> None:
    """More than 16 KiB is a 413 page and is never parsed."""
    response = person.client.post("/add", data={"title": "x" * 20_000})
    assert response.status_code == 413
    assert 'href="/"' in response.text


def test_a_defect_is_a_plain_page(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen exception is a 500 page without its text, also with FLASK_DEBUG set (S2.2)."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = make_app()

    def fail() -> str:
        raise RuntimeError("inner details")

    app.add_url_rule("/fail", view_func=fail)
    response = app.test_client().get("/fail")
    assert response.status_code == 500
    assert "<h1>Internal Server Error</h1>" in response.text
    assert "inner details" not in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_never_debug(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASK_DEBUG in the environment does not turn debugging on (S2.2)."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    assert make_app().debug is False
