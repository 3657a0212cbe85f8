"""The page: a list, a form that adds, a button per task that deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlalchemy import delete, select

from todo.database import current_database
from todo.models import ID_MAX, TITLE_MAX, Task, TitleError, clean_title

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

blueprint = Blueprint("todo", __name__)


@blueprint.get("/")
def index() -> str:
    """Show the tasks, oldest first."""
    return list_page()


@blueprint.post("/add")
def add() -> Response | tuple[str, int]:
    """Store the form field `title` and go back to the list; 400 when it cannot be a title."""
    typed = request.form.get("title", "")
    try:
        title = clean_title(typed)
    except TitleError as error:
        return list_page(problem=str(error), typed=typed, about_title=True), 400
    with current_database().session() as session, session.begin():
        session.add(Task(title=title))
    return redirect(url_for("todo.index"), code=302)


# The bound keeps numbers that no database column holds out of the query: they are 404 too.
@blueprint.post(f"/delete/<int(max={ID_MAX}):task_id>")
def remove(task_id: int) -> Response:
    """Delete one task and go back to the list; 404 when there is none with this id."""
    with current_database().session() as session, session.begin():
        # One statement, so that of two people who delete the same task one is told.
        gone = session.scalar(delete(Task).where(Task.id == task_id).returning(Task.id))
    if gone is None:
        abort(404, description="This task does not exist. Someone may have deleted it already.")
    return redirect(url_for("todo.index"), code=302)


def list_page(*, problem: str = "", typed: str = "", about_title: bool = False) -> str:
    """Render the list; with `problem` on top, and with the text that was `typed` kept.

    `about_title` says that the problem is the typed text's, which ties the message to the field.
    """
    with current_database().session() as session:
        tasks = session.scalars(select(Task).order_by(Task.id)).all()
        return render_template(
            "list.html",
            tasks=tasks,
            problem=problem,
            typed=typed,
            about_title=about_title,
            title_max=TITLE_MAX,
        )
