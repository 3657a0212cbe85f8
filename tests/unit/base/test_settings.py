"""The settings' values: defaults that are safe, and names that are found or explained."""

from __future__ import annotations

import dataclasses

import pytest

from lockgate.base.errors import UsageError
from lockgate.base.settings import SEVERITIES, Component, Environment, Settings, nearest


def settings(*components: str) -> Settings:
    """Settings with components of these names."""
    return Settings(
        project="p",
        components={name: Component(path=name, entrypoint=("x",)) for name in components},
    )


def test_an_environment_is_strict_unless_it_says_so() -> None:
    """A section that says nothing blocks from HIGH on and accepts none of the conveniences."""
    plain = Environment()
    assert (plain.severity, plain.blocks, plain.unknown) == ("HIGH", True, "HIGH")
    assert not any(
        (
            plain.embedded_advisories,
            plain.development_key,
            plain.dirty,
            plain.unsandboxed_scanner,
        )
    )


def test_prod_is_the_strict_default() -> None:
    """`prod` is an environment without a single concession."""
    assert settings("a").environments["prod"] == Environment()


def test_dev_reports_and_does_not_block() -> None:
    """`dev`, the default environment, reports from MEDIUM on and never stops."""
    found = settings("a")
    assert found.environment == "dev"
    assert (found.environments["dev"].severity, found.environments["dev"].blocks) == (
        "MEDIUM",
        False,
    )


def test_severities_are_ordered() -> None:
    """The order of severities is the scanner's: unknown first, critical last."""
    assert SEVERITIES == ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def test_settings_are_frozen() -> None:
    """No task can change what the file says."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings("a").project = "q"  # type: ignore[misc]


def test_two_settings_share_no_defaults() -> None:
    """A default that is a mapping is made anew each time."""
    assert settings("a").environments is not settings("a").environments


def test_the_only_component_needs_no_name() -> None:
    """With one component, none needs to be named."""
    assert settings("app").component("")[0] == "app"


def test_what_is_on_demand_is_not_meant_without_a_name() -> None:
    """Of one component and another on demand, the first is the only one; named, the second is found, too."""
    found = settings("app", "database")
    late = dataclasses.replace(found.components["database"], on_demand=True)
    found = dataclasses.replace(found, components={**found.components, "database": late})

    assert found.usual() == ["app"]
    assert found.component("")[0] == "app"
    assert found.component("database")[0] == "database"


def test_a_components_platforms_go_before_the_builds() -> None:
    """Where it names none, those of `build` count."""
    found = settings("app", "node")
    node = dataclasses.replace(found.components["node"], platforms=("linux/arm64",))
    found = dataclasses.replace(found, components={**found.components, "node": node})

    assert found.platforms("app") == found.build.platforms
    assert found.platforms("node") == ("linux/arm64",)


def test_of_several_components_one_must_be_named() -> None:
    """Lockgate does not pick one; the hint lists them in a form that can be typed."""
    with pytest.raises(UsageError, match="2 components") as caught:
        settings("app", "web").component("")
    assert caught.value.hint == "add `-c app` or `-c web`"


def test_an_unknown_component_gives_the_nearest() -> None:
    """A slip of the finger is recognized."""
    with pytest.raises(UsageError, match="'ap' is not a component") as caught:
        settings("app", "web").component("ap")
    assert caught.value.hint == "did you mean `app`?"


def test_a_strange_component_gives_the_list() -> None:
    """Where nothing is near, everything that exists is named."""
    with pytest.raises(UsageError) as caught:
        settings("app", "web").component("zzzz")
    assert caught.value.hint == "there are: `app`, `web`"


def test_an_environment_is_found_by_name_or_default() -> None:
    """An empty name stands for the default environment."""
    assert settings("a").target("")[0] == "dev"
    assert settings("a").target("prod") == ("prod", Environment())


def test_an_unknown_environment_gives_the_nearest() -> None:
    """`-e prd` is an error and never another environment's rules."""
    with pytest.raises(UsageError, match="'prd' is not an environment") as caught:
        settings("a").target("prd")
    assert caught.value.hint == "did you mean `prod`?"


def test_nearest_is_silent_when_nothing_is_near() -> None:
    """No guess is better than a wild one."""
    assert nearest("zzz", ["app", "web"]) == ""
    assert nearest("x", []) == ""
