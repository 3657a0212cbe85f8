"""Which cluster a command is about, and what it is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from lockgate.base.errors import InventoryLost, UsageError
from lockgate.base.settings import Environment, ReadyRule, Settings
from lockgate.tasks import applying

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.deploy.kube.target import Target

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: one, user: {}}]
"""


class Console:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, _stage: str, text: str) -> None:
        """Keep a line."""
        self.said.append(text)


class Session:
    """A repository whose default environment is another one than `prod`."""

    def __init__(self, root: Path) -> None:
        (root / "kubeconfig").write_text(KUBECONFIG)
        environments = {"dev": Environment(), "prod": Environment(kubeconfig="kubeconfig")}
        self.settings = Settings(project="shop", components={}, environments=environments)
        self.root, self.console = root, Console()


def _lose(there: Target, hint: str) -> None:
    there.events.note("see `inv deploy.status`")
    raise InventoryLost("it is gone", hint=hint)


def test_commands_that_are_named_are_for_the_environment(tmp_path: Path) -> None:
    """In errors and in notes: without `-e` they would be about the default one's cluster."""
    session = Session(tmp_path)
    hint = (
        "`inv deploy.repair --inventory shop-prod` writes it anew; `inv deploy` goes on; `inv push`"
    )
    with (
        pytest.raises(InventoryLost) as caught,
        applying.target(cast("Any", session), "prod") as there,
    ):
        _lose(there, hint)
    assert caught.value.hint == (
        "`inv deploy.repair -e prod --inventory shop-prod` writes it anew; "
        "`inv deploy -e prod --target cluster` goes on; `inv push -e prod`"
    )
    assert session.console.said == ["see `inv deploy.status -e prod --target cluster`"]


def test_a_name_that_cannot_be_one_is_refused_with_the_environments_list(tmp_path: Path) -> None:
    """The names are those of its cluster."""
    with (
        pytest.raises(UsageError) as caught,
        applying.target(cast("Any", Session(tmp_path)), "prod", "A B"),
    ):
        raise AssertionError
    assert "`inv deploy.inventories -e prod` lists" in caught.value.hint


def test_limits_come_from_the_environment_unless_named() -> None:
    """And so do the rules of readiness."""
    environment = Environment(
        prune_limit=7, readiness=(ReadyRule(kind="Lamp", group="example.org"),)
    )
    found = applying.options(environment, applying.Asked())
    assert (found.prune_limit, found.wait, found.prune) == (7, 300.0, True)
    assert [(one.group, one.kind, one.condition) for one in found.rules] == [
        ("example.org", "Lamp", "Ready")
    ]
    assert applying.options(environment, applying.Asked(prune_limit=50)).prune_limit == 50


def test_a_negative_limit_is_refused() -> None:
    """It would mean nothing."""
    with pytest.raises(UsageError, match="not less than 0"):
        applying.options(Environment(), applying.Asked(wait_timeout=-1))


def test_words_that_a_target_would_pass_over_are_refused() -> None:
    """Else all of a cluster would change where one component was meant."""
    with pytest.raises(UsageError, match="not 'app' alone"):
        applying.check_words("app", "", cluster=True)
    with pytest.raises(UsageError, match="no artifact"):
        applying.check_words("", "config-dev", cluster=False)
    applying.check_words("app", "", cluster=False)
    applying.check_words("", "config-dev", cluster=True)
