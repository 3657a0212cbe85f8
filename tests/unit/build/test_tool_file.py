"""`tool.yaml`: what is read, what is refused, which versions are accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.tool_file import accepted, load

WHOLE = """\
binaries:
  one:
    package: example.org/one
    ask: [version]
    accept: ">=1.2,<2"
  two: {package: example.org/two}
variables: {example.org/one/version.text: v1.2.3}
"""


def test_whole() -> None:
    """Every field is read; what is not said has its default."""
    found = load(WHOLE.encode(), what="tool.yaml")

    assert found.binaries["one"].ask == ("version",)
    assert found.binaries["two"].ask == ("--version",)
    assert not found.binaries["two"].accept
    assert found.variables == {"example.org/one/version.text": "v1.2.3"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("binaries", "binary", "`binary` is not a field"),
        ("ask", "asks", "`binaries.one.asks` is not a field"),
        ("package: example.org/two", "accept: '>=1'", "binaries.two.package"),
        ("one:", "../one:", "cannot be a program's name"),
        (">=1.2,<2", "1.x", "no bound of versions"),
        ("v1.2.3", "a b", "cannot be set by the linker"),
        ("version.text", "'a b.c'", "cannot be set by the linker"),
    ],
)
def test_wrong_values(old: str, new: str, message: str) -> None:
    """A wrong value is refused by the name of its field."""
    with pytest.raises(UsageError, match=message):
        load(WHOLE.replace(old, new, 1).encode(), what="tool.yaml")


def test_no_program() -> None:
    """A file that declares nothing is not a success."""
    with pytest.raises(UsageError, match="`binaries` is empty"):
        load(b"binaries: {}", what="tool.yaml")


@pytest.mark.parametrize(
    ("version", "accept", "answer"),
    [
        ((3, 1, 3), ">=3.1.3,<4", True),
        ((3, 1, 2), ">=3.1.3,<4", False),
        ((4, 0, 0), ">=3.1.3,<4", False),
        ((3, 1, 0), "==3.1", True),
        ((3, 1, 4), "!=3.1.4", False),
        ((3, 1, 4), ">3.1.4", False),
        ((3, 1, 4), "<=3.1.4, >3", True),
        ((3, 1, 4), "", False),
    ],
)
def test_bounds(version: tuple[int, ...], accept: str, answer: bool) -> None:
    """Every bound must hold; without one nothing is accepted."""
    assert accepted(version, accept) is answer


@given(st.tuples(*[st.integers(0, 99)] * 3), st.tuples(*[st.integers(0, 99)] * 3))
def test_bounds_order_versions_as_numbers(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    """10 comes after 9, which texts would order the other way round."""
    text = ".".join(map(str, other))
    assert accepted(one, f"<{text}") == (one < other)
    assert accepted(one, f">={text}") == (one >= other)
