"""Which of the server's refusals are "not now"."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from todo import outage


def refused(error: BaseException) -> SimpleNamespace:
    """Return what SQLAlchemy tells of an error of the driver, as far as it is read."""
    return SimpleNamespace(original_exception=error, statement="SELECT 1")


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
        Exception({"S": "ERROR", "C": "42P01", "M": "no such table"}),
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
