"""The Todo app: one page, one table, and the probes that a platform asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask import Flask
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]

from todo import errors, headers, health, views
from todo.config import load_settings
from todo.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_app"]

MAX_BODY = 16 * 1024
"""Bytes of a request's body. The largest honest form is a title and a token."""


def create_app(settings: Mapping[str, str] | None = None) -> Flask:
    """Build the WSGI application.

    `settings` has the names of the environment variables (see `todo.config`) and takes their
    place; without it the environment is read. Nothing is asked of the database yet, so the app
    starts, and `/readyz` says why it is not ready, while the database is down.

    Raises `todo.config.SettingsError` for a setting that cannot be used.
    """
    chosen = load_settings(os.environ if settings is None else settings)
    app = Flask(__name__)
    # Flask would take FLASK_DEBUG from the environment; this app has no debug mode.
    app.debug = False
    app.config.update(
        SECRET_KEY=chosen.secret_key,
        SESSION_COOKIE_NAME="todo_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=MAX_BODY,
        # A token lives as long as the session: a page left open overnight still works.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.extensions["todo_settings"] = chosen
    app.extensions["todo_database"] = Database(
        chosen.database_url, password_file=chosen.password_file, ca_file=chosen.ca_file
    )
    CSRFProtect(app)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(health.blueprint)
    errors.init_app(app)
    headers.init_app(app)
    return app
