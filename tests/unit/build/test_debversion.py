"""Versions sort as dpkg sorts them."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.debversion import key, satisfies

_part = st.text("0129aAzZ.+~", max_size=6)
versions = st.builds(
    lambda epoch, first, rest, revision: f"{epoch}{first}{rest}{revision}",
    st.sampled_from(["", "0:", "1:", "12:"]),
    st.sampled_from("019"),
    _part,
    st.one_of(st.just(""), _part.filter(bool).map("-{}".format)),
)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1.0-1+b1"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+"),
        ("1.9", "1.10"),
        ("9:1", "10:0"),
        ("3.0.20-1~deb12u2", "3.0.20-1"),
        ("1.3.dfsg+really1.3.1-1+b1", "1:1.3.dfsg+really1.3.1-1+deb13u1"),
        ("2.41-12", "2.41-12+deb13u4"),
        ("1.0-~", "1.0"),
    ],
)
def test_order(older: str, newer: str) -> None:
    """Each pair sorts as Policy 5.6.12 says."""
    assert key(older) < key(newer)


@pytest.mark.parametrize(("one", "other"), [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.01", "1.1")])
def test_equal(one: str, other: str) -> None:
    """Versions that differ in form only are equal."""
    assert key(one) == key(other)


@pytest.mark.parametrize("text", ["", "-1", "1.0-", "a:1", "1 0", "1.0\n", "1_0", "ä", "1:"])
def test_refused(text: str) -> None:
    """What cannot be a version is refused, not sorted somewhere."""
    with pytest.raises(UsageError, match="is not a Debian version"):
        key(text)


@settings(deadline=None)
@given(versions, versions, versions)
def test_is_a_total_order(one: str, two: str, three: str) -> None:
    """Any two versions compare, and the order is transitive."""
    first, second, third = sorted([one, two, three], key=key)
    assert key(first) <= key(second) <= key(third)
    assert key(first) <= key(third)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg, the oracle, is not installed")
@settings(max_examples=120, deadline=None)
@given(versions, versions)
def test_agrees_with_dpkg(one: str, other: str) -> None:
    """The order is the one that dpkg finds."""

    def dpkg(operator: str) -> bool:
        command = ["dpkg", "--compare-versions", one, operator, other]
        code = subprocess.run(
            command, check=False, timeout=20, stderr=subprocess.DEVNULL
        ).returncode
        assert code in (0, 1), f"dpkg refuses {one!r} or {other!r}"
        return code == 0

    assert (key(one) < key(other), key(one) == key(other)) == (dpkg("lt"), dpkg("eq"))


@pytest.mark.parametrize(
    ("operator", "holds"),
    [("<<", False), ("<=", True), ("=", True), (">=", True), (">>", False)],
)
def test_operators_on_equal_versions(operator: str, holds: bool) -> None:
    """Only the strict operators fail on equal versions."""
    assert satisfies("1.0-1", operator, "1.0-1") is holds


def test_unknown_operator() -> None:
    """The old operator `<`, which meant <=, is refused."""
    with pytest.raises(UsageError, match="is not an operator"):
        satisfies("1", "<", "2")
