"""Versions and constraints on them, as Flux and Argo CD have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.config import semver

TAGS = (
    "latest",
    "1.0.0",
    "v1.2.0",
    "1.2.10",
    "1.2.9",
    "1.3.0-rc.1",
    "2.0.0",
    "0.3.1",
    "abc",
    "1.4",
)


@pytest.mark.parametrize(
    ("constraint", "tags"),
    [
        ("*", "2.0.0 1.4 1.2.10 1.2.9 v1.2.0 1.0.0 0.3.1"),
        ("~1.2", "1.2.10 1.2.9 v1.2.0"),
        ("~1.2.9", "1.2.10 1.2.9"),
        ("^1.2", "1.4 1.2.10 1.2.9 v1.2.0"),
        ("^0.3.0", "0.3.1"),
        ("1.x", "1.4 1.2.10 1.2.9 v1.2.0 1.0.0"),
        ("1.2.*", "1.2.10 1.2.9 v1.2.0"),
        ("1", "1.4 1.2.10 1.2.9 v1.2.0 1.0.0"),
        ("=1.2.9", "1.2.9"),
        (">=1.2 <2", "1.4 1.2.10 1.2.9 v1.2.0"),
        (">1.2", "2.0.0 1.4"),
        ("<=1.2", "1.2.10 1.2.9 v1.2.0 1.0.0 0.3.1"),
        ("<1.2, >0.3.1", "1.0.0"),
        ("1.0 - 1.2", "1.2.10 1.2.9 v1.2.0 1.0.0"),
        ("0.3.1 || 2.x", "2.0.0 0.3.1"),
        ("!=2.0.0 >=1.4", "1.4"),
        (">0.0.0-0", "2.0.0 1.4 1.3.0-rc.1 1.2.10 1.2.9 v1.2.0 1.0.0 0.3.1"),
        (">=1.3.0-0 <2", "1.4 1.3.0-rc.1"),
    ],
)
def test_a_constraint_selects(constraint: str, tags: str) -> None:
    """Newest first; tags that are no versions never count, prereleases only when one is named."""
    assert semver.select(TAGS, constraint) == tuple(tags.split())


@pytest.mark.parametrize("text", ["", "  ", "abc", "1.2.3.4", ">=", "1.2 ||", ">= 1.0 foo", "1..2"])
def test_what_is_no_constraint_is_an_error(text: str) -> None:
    """An empty one too: it does not mean everything."""
    with pytest.raises(UsageError, match="constraint"):
        semver.select(TAGS, text)


def test_the_order_of_the_specification() -> None:
    """The example of section 11."""
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    assert semver.select(sorted(order), ">=1.0.0-0") == tuple(reversed(order))


@pytest.mark.parametrize("text", ["1.0.0+build.5", "v2", "1.2"])
def test_versions_may_be_short_or_carry_a_build(text: str) -> None:
    """The build does not count."""
    assert semver.parse(text) is not None


NUMBERS = st.integers(0, 30)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_version_meets_itself(major: int, minor: int, patch: int) -> None:
    """By each of the constraints that include their own version."""
    text = f"{major}.{minor}.{patch}"
    for sign in ("", "=", ">=", "<=", "~", "^"):
        assert semver.select([text], sign + text) == (text,)
    for sign in (">", "<", "!="):
        assert semver.select([text], sign + text) == ()
