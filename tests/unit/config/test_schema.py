"""`lockgate.config.schema` and the program that compares for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import CommandFailed, ReportUnreadable
from lockgate.build import tool_env
from lockgate.build.tool_env import ToolEnv
from lockgate.config import schema
from lockgate.config._schema_worker import Schemas
from lockgate.config.resource import of

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS = Schemas(schema.KUBERNETES)


def service(**spec: Any) -> dict[str, Any]:
    """Return a Service."""
    metadata = {"name": "todo", "namespace": "todo"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def test_a_good_object_fits() -> None:
    """Nothing is said of it."""
    assert SCHEMAS.problems(service(ports=[{"port": 80, "targetPort": "http"}])) == []


def test_an_unknown_field_is_found_and_the_right_word_told() -> None:
    """The API server would drop it without a word."""
    found = SCHEMAS.problems(service(ports=[{"port": 80, "targetport": "http"}]))
    assert found == [
        ("spec.ports[0]", "there is no field `targetport`; did you mean `targetPort`?")
    ]


def test_a_missing_field_is_found() -> None:
    """It is named."""
    assert SCHEMAS.problems(service(ports=[{}])) == [("spec.ports[0]", "`port` is missing")]


def test_a_wrong_type_is_found() -> None:
    """Both types are named, and not the value."""
    found = SCHEMAS.problems(service(ports=[{"port": "eighty"}]))
    assert found == [("spec.ports[0].port", "it is a string and must be a integer")]


def test_every_problem_is_told() -> None:
    """Not only the first one."""
    found = SCHEMAS.problems(service(ports=[{"port": "x"}, {"prot": 1}], selektor={}))
    assert found is not None
    assert len(found) == 4


def test_values_are_in_no_problem() -> None:
    """A Secret with a wrong form is refused without telling what is in it."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"password": ["dont-tell"]},
        "stringData": "dont-tell",
    }
    found = SCHEMAS.problems(secret)
    assert found
    assert "dont-tell" not in repr(found)


@pytest.mark.parametrize(
    ("version", "kind"),
    [("v1", "Servise"), ("example.com/v1", "Widget"), ("apps/v2", "Deployment")],
)
def test_without_a_schema_there_is_no_answer(version: str, kind: str) -> None:
    """An object that was not compared is not one that fits."""
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "n"}}
    assert SCHEMAS.problems(body) is None


def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str = "") -> Path:
    """Let this Python, or a script in its place, be the one with the schemas."""
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python"
    if program:
        python.write_text(f"#!{sys.executable} -I\n{program}\n")
        python.chmod(0o755)
    else:
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    monkeypatch.setattr(tool_env, "prepare", lambda *_, **__: ToolEnv(folder, "key"))
    return tmp_path


def test_objects_are_compared_in_a_program_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer for each object, in their order, whatever numbers are in them."""
    odd = {"apiVersion": "example.com/v1", "kind": "Odd", "metadata": {"name": "o"}, "spec": 0.5}
    resources = [of(service(ports=[{"port": 80}]), "a"), of(odd, "b"), of(service(port=1), "c")]
    found = schema.compare(resources, tools=tools(tmp_path, monkeypatch))
    assert found[:2] == ([], None)
    assert found[2] == [("spec", "there is no field `port`; did you mean `ports`?")]


@pytest.mark.parametrize("program", ["print('[]')", "print('[[]')", "print('[{}]')", "pass"])
def test_an_answer_that_is_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Too few answers, half of one, another form, nothing: none of them is a pass."""
    folder = tools(tmp_path, monkeypatch, program)
    with pytest.raises(ReportUnreadable):
        schema.compare([of(service(), "a")], tools=folder)


def test_a_program_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are told."""
    folder = tools(tmp_path, monkeypatch, "raise SystemExit('no schemas')")
    with pytest.raises(CommandFailed, match="no schemas"):
        schema.compare([of(service(), "a")], tools=folder)


def test_the_lock_pins_the_schemas() -> None:
    """The lock is shipped beside the module."""
    assert "kubernetes-validate==" in schema.lock().read_text()
