"""Paragraphs of fields."""

from __future__ import annotations

import pytest

from lockgate.base.errors import UsageError
from lockgate.build.deb822 import paragraphs


def test_paragraphs() -> None:
    """Fields are found whatever their case, comments dropped, continuations joined."""
    text = "# head\nPackage: a\nDescription: one\n two\n .\n three\n\n\n  \npackage: b\n"
    assert list(paragraphs(text)) == [
        {"package": "a", "description": "one\ntwo\n.\nthree"},
        {"package": "b"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" lost\n", "continuation without a field"),
        ("no colon\n", "is not a field"),
        ("two words: x\n", "is not a field"),
        (": x\n", "is not a field"),
        ("A: 1\na: 2\n", "stands twice"),
    ],
)
def test_refused(text: str, message: str) -> None:
    """What two readers could read differently is refused, with its line."""
    with pytest.raises(UsageError, match=f"the file, line .*{message}"):
        list(paragraphs(text, what="the file"))
