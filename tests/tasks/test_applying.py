"""What people are told of a change set, and what a command for the cluster is refused for."""

from __future__ import annotations

import pytest

from lockgate.base.errors import UsageError
from lockgate.base.settings import Environment, ReadyRule
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.model import Action, Change, ChangeSet
from lockgate.tasks import applying


def change(name: str, action: Action, note: str = "", *differences: str) -> Change:
    """Return a change of a configuration map."""
    one = ResourceId(group="", kind="ConfigMap", namespace="shop", name=name)
    return Change(id=one, action=action, note=note, differences=differences)


def changes(*listed: Change) -> ChangeSet:
    """Return a plan."""
    return ChangeSet(
        inventory="shop/web",
        context="dev",
        artifact="",
        source="",
        revision="",
        changes=listed,
        done=False,
    )


def test_a_plan_names_what_changes_and_counts_the_rest() -> None:
    """One line each; a single field stands behind its object."""
    plan = changes(
        change("a", "created"),
        change("b", "configured", "", "~ data.key: one → two"),
        change("c", "unchanged"),
        change("d", "unchanged"),
        change("e", "deleted", "no longer in the artifact"),
    )
    assert applying.plan_lines(plan) == [
        "created    ConfigMap/shop/a",
        "configured ConfigMap/shop/b  ~ data.key: one → two",
        "deleted    ConfigMap/shop/e  no longer in the artifact",
        "unchanged  2",
    ]


def test_a_plan_shows_five_fields_and_a_diff_all() -> None:
    """Below their object."""
    plan = changes(change("a", "configured", "", *(f"~ data.k{one}: x → y" for one in range(8))))
    assert applying.plan_lines(plan)[-1].strip() == "and 3 more fields"
    assert len(applying.plan_lines(plan, details=True)) == 9


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
