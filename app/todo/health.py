"""What a platform asks: is the process alive, can it serve, and which image is it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError

from todo.database import current_database

if TYPE_CHECKING:
    from todo.config import Settings

NAME = "todo"
VERSION = "1.0.0"

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process is alive.

    Asks nothing of the database, so that its absence does not make a platform restart the app.
    """
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Say whether requests can be served; 503 and a reason when the database does not answer."""
    try:
        current_database().ping()
    except SQLAlchemyError as error:
        # The kind is enough for the outside; host, user and query belong in the log.
        current_app.logger.warning("not ready: %s", error)
        reason = f"the database does not answer ({type(error).__name__})"
        return jsonify(status="not ready", reason=reason), 503
    return jsonify(status="ready"), 200


@blueprint.get("/version")
def version() -> Response:
    """Name the app and the image; what the deployer did not tell is null."""
    return jsonify(version_record())


def version_record() -> dict[str, str | None]:
    """Return name, version, image digest and commit of what runs."""
    settings: Settings = current_app.extensions["todo_settings"]
    return {
        "name": NAME,
        "version": VERSION,
        "digest": settings.image_digest,
        "commit": settings.revision,
    }
