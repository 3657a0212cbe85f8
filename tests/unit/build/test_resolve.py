"""Which packages a stack consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.packages_index import PackagesIndex
from lockgate.build.resolve import Closure, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

Packages = dict[str, dict[str, str]]
"""By name: `version`, `depends`, `provides`, all optional."""


def index(packages: Packages) -> PackagesIndex:
    """Return an index of such packages."""
    text = ""
    for name, fields in packages.items():
        text += f"Package: {name}\nVersion: {fields.get('version', '1.0')}\nArchitecture: amd64\n"
        for field in ("pre-depends", "depends", "provides"):
            if field in fields:
                text += f"{field.title()}: {fields[field]}\n"
        text += f"Filename: pool/main/{name}.deb\nSize: 1\nSHA256: {'0' * 64}\n\n"
    found = PackagesIndex()
    found.read([text.encode()], archive="main")
    return found


def closure(packages: Packages, *wanted: str, omit: Iterable[str] = ()) -> Closure:
    """Resolve on amd64."""
    return resolve(index(packages), architecture="amd64", packages=wanted, omit=omit)


def names(packages: Packages, *wanted: str, omit: Iterable[str] = ()) -> list[str]:
    """Return the names of a closure."""
    return [one.name for one in closure(packages, *wanted, omit=omit).packages]


def test_closure() -> None:
    """Depends and Pre-Depends are followed to the end, through circles; the result is sorted."""
    packages: Packages = {
        "z": {"depends": "b", "pre-depends": "c"},
        "b": {"depends": "c"},
        "c": {"depends": "b"},
        "unrelated": {},
    }
    assert names(packages, "z") == ["b", "c", "z"]


def test_first_alternative() -> None:
    """Of alternatives the first that can be met is taken."""
    packages: Packages = {"a": {"depends": "gone | c | d"}, "c": {}, "d": {}}
    assert names(packages, "a") == ["a", "c"]


def test_chosen_alternative() -> None:
    """An alternative that the stack asks for is preferred to the first one."""
    packages: Packages = {"a": {"depends": "c | d"}, "c": {}, "d": {}}
    assert names(packages, "a", "d") == ["a", "d"]


def test_version_decides_between_alternatives() -> None:
    """An alternative whose version does not fit is passed over."""
    packages: Packages = {"a": {"depends": "c (>= 2) | d"}, "c": {"version": "1.9"}, "d": {}}
    assert names(packages, "a") == ["a", "d"]


def test_virtual_package() -> None:
    """A virtual package is met by the first of its providers by name."""
    packages: Packages = {
        "a": {"depends": "awk"},
        "mawk": {"provides": "awk"},
        "gawk": {"provides": "awk"},
    }
    assert names(packages, "a") == ["a", "gawk"]
    assert names(packages, "a", "mawk") == ["a", "mawk"]


def test_real_before_virtual() -> None:
    """A real package of the name goes before those that provide it."""
    packages: Packages = {"a": {"depends": "awk"}, "awk": {}, "aaa": {"provides": "awk"}}
    assert names(packages, "a") == ["a", "awk"]


def test_versioned_provides() -> None:
    """A version is only met by a provider that names one that fits."""
    packages: Packages = {
        "a": {"depends": "awk (>= 2)"},
        "bare": {"provides": "awk"},
        "old": {"provides": "awk (= 1)"},
        "right": {"provides": "awk (= 2.1)"},
    }
    assert names(packages, "a") == ["a", "right"]


def test_omit() -> None:
    """An omitted name counts as met, virtual or not, and what it needs is not followed."""
    packages: Packages = {"a": {"depends": "awk, b | c"}, "b": {"depends": "d"}, "d": {}, "c": {}}
    found = closure(packages, "a", omit=["awk", "b", "never"])
    assert [one.name for one in found.packages] == ["a"]
    assert found.omitted == {"awk", "b"}


@pytest.mark.parametrize("qualifier", ["any", "native", "amd64"])
def test_qualifiers(qualifier: str) -> None:
    """Qualifiers that this architecture satisfies do not matter."""
    assert names({"a": {"depends": f"b:{qualifier}"}, "b": {}}, "a") == ["a", "b"]


@pytest.mark.parametrize(
    ("depends", "said"),
    [
        ("gone", r"`gone`"),
        ("b (>= 9)", r"`b \(>= 9\)`"),
        ("gone | b (= 3)", r"`gone` or `b \(= 3\)`"),
        ("b:arm64", "`b`"),
    ],
)
def test_unmet(depends: str, said: str) -> None:
    """What cannot be met is an error that says who needs it."""
    with pytest.raises(UsageError, match=f"`a` 1.0 needs {said}, which no suite") as caught:
        names({"a": {"depends": depends}, "b": {}}, "a")
    assert "omit" in caught.value.hint


def test_unknown_package() -> None:
    """A package that the stack names and no suite has is an error."""
    with pytest.raises(UsageError, match="no package `b` for amd64"):
        names({"a": {}}, "a", "b")


def test_both_wanted_and_omitted() -> None:
    """A package cannot be asked for and left out."""
    with pytest.raises(UsageError, match="`a` stands under both"):
        names({"a": {}}, "a", omit=["a"])


NAMES = [f"x{letter}" for letter in "abcdefgh"]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3), min_size=1
    ),
    st.permutations(NAMES),
)
def test_order_of_the_index_does_not_matter(needs: dict[str, list[str]], order: list[str]) -> None:
    """The same packages in another order resolve to the same closure, and it is closed."""
    packages: Packages = {name: {"depends": ", ".join(needs.get(name, []))} for name in NAMES}
    wanted = min(needs)
    found = names(packages, wanted)
    assert found == names({name: packages[name] for name in order}, wanted)
    for name in found:
        assert set(needs.get(name, [])) <= set(found)
