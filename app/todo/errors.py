"""Every refusal is a page with a sentence; no traceback leaves the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, current_app, render_template, request
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from todo.views import list_page

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

FORM_TOO_OLD = "Nothing was changed: the form was too old or came from another site. Send it again."
"""What a person can do about a missing or invalid CSRF token."""


def init_app(app: Flask) -> None:
    """Register the handlers on `app`."""
    app.register_error_handler(CSRFError, on_csrf_error)
    app.register_error_handler(HTTPException, on_http_error)
    for kind in (exc.OperationalError, exc.InterfaceError, exc.TimeoutError):
        app.register_error_handler(kind, on_database_error)


def on_csrf_error(_error: CSRFError) -> tuple[str, int]:
    """Show the list again with a fresh token and the typed text: sending it again works."""
    return list_page(problem=FORM_TOO_OLD, typed=request.form.get("title", "")), 400


def on_http_error(error: HTTPException) -> Response:
    """Show the error's page. Its headers stay, `Allow` of a 405 among them."""
    response = error.get_response(request.environ)
    response.content_type = "text/html; charset=utf-8"
    response.set_data(
        render_template("error.html", code=error.code, name=error.name, text=error.description)
    )
    return response


def on_database_error(error: exc.SQLAlchemyError) -> Response:
    """Show a 503 page; the cause goes to the log only."""
    current_app.logger.error("the database does not answer: %s", error)
    sentence = "The list cannot be read just now. Nothing was changed. Try again in a moment."
    return on_http_error(ServiceUnavailable(sentence))
