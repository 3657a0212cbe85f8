"""Which refusals of PostgreSQL mean "not now", so that they are a 503 and not a defect.

The driver calls whatever the server says a `DatabaseError`. Only the code in it tells a server that
is starting, stopping or full from a statement that is wrong
(<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

OUTAGES = (
    "08",  # the connection failed
    "25006",  # read-only: another server has become the primary one
    "28",  # the password or the user is refused, as between two steps of a change of password
    "3D000",  # there is no such database, yet
    "42P01",  # the table went with the old server; the next question makes it anew
    "53",  # too many connections, no memory, no disk
    "55P03",  # a lock was not to be had in time
    "57",  # the server is starting, stopping, or was told to end the statement
    "58",  # the server's own system failed
)
"""How the codes begin."""


def watch(engine: Engine) -> None:
    """Turn such refusals into an `OperationalError` on every connection of `engine`."""
    event.listen(engine, "handle_error", _name)
    dialect, errors = engine.dialect, engine.dialect.loaded_dbapi
    ping, close = dialect.do_ping, dialect.do_close

    def ask(connection: Any) -> bool:
        try:
            return ping(connection)
        except OSError as error:
            # The driver passes some on raw, and the pool knows only the driver's own as a lost connection.
            raise errors.InterfaceError("network error") from error

    def end(connection: Any) -> None:
        with suppress(errors.Error):
            close(connection)

    dialect.do_ping = ask  # type: ignore[method-assign]
    # A connection that broke is closed by saying goodbye over it. That this fails is no news, and the
    # pool would write a traceback for each one at every restart of the server.
    dialect.do_terminate = end  # type: ignore[method-assign]


def _name(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, OSError):
        context.is_disconnect = True
    elif not code(error).startswith(OUTAGES):
        return
    raise OperationalError(context.statement, None, error)


def code(error: BaseException) -> str:
    """Return the five characters of SQLSTATE, or nothing when the server did not say them."""
    said = error.args[0] if error.args else None
    found = said.get("C") if isinstance(said, dict) else None
    return found if isinstance(found, str) else ""
