"""`lockgate.build.check_static`: which exceptions from the security gate are allowed."""

from __future__ import annotations

import pytest

from lockgate.build.check_static import unexplained


def faults(source: str) -> list[int]:
    """Return the lines with a fault."""
    return [line for line, _ in unexplained(source.encode())]


@pytest.mark.parametrize(
    "comment",
    [
        "# nosec B104: a container's door",
        "# nosec B104 - a container's door",
        "# noqa: S104  # nosec B104: a container's door",
        "#nosec B104, B108 both are meant",
        "# nosec: B104 the colon may stand first",
    ],
)
def test_a_rule_and_a_reason_are_an_exception(comment: str) -> None:
    """The reason follows the rules."""
    assert faults(f"x = 1  {comment}\n") == []


def test_the_reason_may_stand_above() -> None:
    """A comment of its own on the line before is a reason; code with a comment is none."""
    assert faults("# The heartbeat is better in memory.\nx = 1  # nosec B108\n") == []
    assert faults("y = 2  # other matter\nx = 1  # nosec B108\n") == [2]
    assert faults("# far away\n\nx = 1  # nosec B108\n") == [3]


@pytest.mark.parametrize(
    "comment",
    ["# nosec", "#nosec", "# nosec: because", "# nosec it is fine", "# nosec subprocess_popen why"],
)
def test_an_exception_without_a_rule_is_a_fault(comment: str) -> None:
    """It would hide everything on its line, also what is found next year."""
    assert faults(f"# A reason.\nx = 1  {comment}\n") == [2]


@pytest.mark.parametrize(
    "comment", ["# nosec B104", "# nosec B104:", "# nosec B104 -  # noqa: S104"]
)
def test_an_exception_without_a_reason_is_a_fault(comment: str) -> None:
    """Another comment on the same line is no reason."""
    assert faults(f"x = 1  {comment}\n") == [1]


def test_text_is_no_comment() -> None:
    """The word in a string, and a word that only begins like it, mean nothing."""
    assert faults('x = "# nosec"\n# nosecond\n') == []


def test_a_file_that_is_not_python_is_left_to_bandit() -> None:
    """Bandit itself says that it cannot read it."""
    assert faults("x = (\n") == []
    assert list(unexplained(b"\xff\xfe\n")) == []
