"""Commands that hints name, completed with what was typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.exceptions import Exit

from lockgate.base.errors import UsageError
from lockgate.tasks.command import reported
from lockgate.tasks.hinting import as_typed


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("`inv deploy.history` lists", "`inv deploy.history -e prod` lists"),
        ("`inv deploy.status` says", "`inv deploy.status -e prod --target cluster` says"),
        ("`inv scan sign`", "`inv scan -e prod sign -e prod`"),
        ("`inv scan -c app sign`", "`inv scan -e prod -c app sign -e prod`"),
        ("`inv verify -e dev --reference app`", "`inv verify -e dev --reference app`"),
        ("`inv scan --env=dev`", "`inv scan --env=dev`"),
        ("`inv tools -n kustomize`", "`inv tools -n kustomize`"),
        ("`inv build -c sign`", "`inv build -e prod -c sign`"),
        ("`inv --list` names", "`inv --list` names"),
        ("`kubectl get all`, deploy", "`kubectl get all`, deploy"),
    ],
)
def test_each_task_gets_what_it_takes(words: str, completed: str) -> None:
    """The environment and the target where the task has them, unless it says its own."""
    assert as_typed(words, env="prod", target="cluster") == completed


@given(st.text(st.sampled_from("`inv deploy.status -e scan\n")))
def test_nothing_is_added_when_nothing_was_typed(words: str) -> None:
    """The default environment is meant then, and a command without a flag is about it."""
    assert as_typed(words) == words


@given(st.text(st.sampled_from("`inv deploy.status -e scan\n")))
def test_completed_words_stay_as_they_are(words: str) -> None:
    """A task that calls another one lets its hint pass twice."""
    once = as_typed(words, env="prod", target="cluster")
    assert as_typed(once, env="prod", target="cluster") == once


def test_an_error_names_commands_for_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the hint, typed as it stands, would be about the default environment."""

    @reported
    def task(env: str = "", target: str = "") -> None:
        raise UsageError("there is nothing", hint="`inv deploy.status` says")

    with pytest.raises(Exit):
        task(env="prod", target="cluster")
    assert "deploy.status -e prod --target cluster` says" in capsys.readouterr().err
    with pytest.raises(Exit):
        task()
    assert "deploy.status` says" in capsys.readouterr().err
