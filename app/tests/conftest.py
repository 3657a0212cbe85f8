"""Fixtures of the Todo app's tests. CSRF protection stays on in all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient
    from todo_person import Person

# The app is not installed: in the image, too, it is a folder that the process starts in. The tests'
# own folder is for `todo_person`, whichever way pytest imports test modules.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

KEY = {"TODO_SECRET_KEY": "a key for tests only"}


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """Return a factory of apps with given settings; their connections are closed at the end."""
    from todo import create_app

    made: list[Flask] = []

    def make(**settings: str) -> Flask:
        made.append(create_app(KEY | settings))
        return made[-1]

    yield make
    for app in made:
        app.extensions["todo_database"].engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app with an empty list in memory."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client without cookies and without a token."""
    return app.test_client()


@pytest.fixture
def person(client: FlaskClient) -> Person:
    """Return someone who uses the page as a browser would."""
    from todo_person import Person

    return Person(client)
