"""Which of the server's refusals are "not now"."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from todo import outage


def refused(error: BaseException) -> SimpleNamespace:
    """Return what SQLAlchemy tells of an error of the driver, as far as it is read."""
    return SimpleNamespace(original_exception=error, statement="SELECT 1", is_disconnect=False)


@pytest.mark.parametrize("code", ["57P01", "57P03", "53300", "28P01", "3D000", "25006", "08006"])
def test_a_server_that_cannot_serve_now_is_an_outage(code: str) -> None:
    """Starting, stopping, full, read-only, a password that changed: try again later."""
    error = Exception({"S": "FATAL", "C": code, "M": "words"})
    with pytest.raises(OperationalError) as caught:
        outage._name(refused(error))
    assert caught.value.orig is error


@pytest.mark.parametrize(
    "error",
    [
        Exception({"S": "ERROR", "C": "42703", "M": "no such column"}),
        Exception({"S": "ERROR", "C": "23505", "M": "duplicate"}),
        Exception({"S": "ERROR"}),
        Exception({"C": 57}),
        Exception("57P01"),
        Exception(),
    ],
)
def test_anything_else_stays_what_it_is(error: Exception) -> None:
    """A statement that is wrong is a defect of the app, and an error without a code is not guessed."""
    assert outage._name(refused(error)) is None


def test_a_broken_connection_is_closed_without_a_word() -> None:
    """The goodbye over a connection that is gone fails, and that is no news."""
    engine = create_engine("sqlite://")
    outage.watch(engine)

    class Gone:
        def close(self) -> None:
            raise engine.dialect.loaded_dbapi.OperationalError("broken pipe")

    engine.dialect.do_terminate(Gone())


def test_an_answer_that_does_not_come_is_a_lost_connection() -> None:
    """The driver passes a time limit on raw; the pool must not keep such a connection."""
    context = refused(TimeoutError("timed out"))
    with pytest.raises(OperationalError):
        outage._name(context)
    assert context.is_disconnect is True


def test_a_question_that_is_not_answered_is_a_lost_connection() -> None:
    """What the pool asks before it gives a connection away fails as one that the driver closed."""
    engine = create_engine("sqlite://")

    def ask(_connection: object) -> bool:
        raise TimeoutError("timed out")

    engine.dialect.do_ping = ask
    outage.watch(engine)
    with pytest.raises(engine.dialect.loaded_dbapi.InterfaceError, match="network error"):
        engine.dialect.do_ping(object())
