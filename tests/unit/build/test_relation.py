"""Dependencies as Debian writes them."""

from __future__ import annotations

import pytest

from lockgate.base.errors import UsageError
from lockgate.build.relation import Relation, parse


def test_forms() -> None:
    """Groups, alternatives, versions and qualifiers are told apart; white space does not matter."""
    text = "libc6 (>= 2.38), awk|mawk:any ( << 2 ) ,\n debconf (>= 0.5) | debconf-2.0, "
    assert parse(text, what="x") == (
        (Relation("libc6", "", ">=", "2.38"),),
        (Relation("awk"), Relation("mawk", "any", "<<", "2")),
        (Relation("debconf", "", ">=", "0.5"), Relation("debconf-2.0")),
    )


def test_empty() -> None:
    """A package without dependencies needs nothing."""
    assert parse("", what="x") == ()


@pytest.mark.parametrize("text", ["Libc6", "libc6 (2)", "libc6 (> 2)", "a | | b", "libc6 [amd64]"])
def test_refused(text: str) -> None:
    """A dependency that is not understood is never taken for met."""
    with pytest.raises(UsageError, match=r"`tiny`.*is not a dependency"):
        parse(text, what="`tiny`")


def test_virtual_without_version() -> None:
    """A dependency with a version is not met by a virtual package without one (Policy 7.5)."""
    wanted = Relation("awk", "", ">=", "1")
    assert not wanted.met_by_provided("")
    assert wanted.met_by_provided("1.2")
    assert Relation("awk").met_by_provided("")
