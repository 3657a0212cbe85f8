"""The rule for titles, over generated text."""

from __future__ import annotations

import random

import pytest

from todo.models import TITLE_MAX, TitleError, clean_title

ALPHABET = "aZ ä\u00a0\u200b\u200d\t\n\x00\x1b\x85\u3000\U0001f9c0<&\"'"


def texts() -> list[str]:
    """Return 2,000 texts of 0 to 60 characters, the same in every run."""
    source = random.Random(50)  # noqa: S311 - test data, not secrets
    return ["".join(source.choices(ALPHABET, k=source.randrange(61))) for _ in range(2000)]


def test_a_title_is_clean_or_refused() -> None:
    """What is returned is stripped, visible and short, and cleaning it again changes nothing."""
    accepted = 0
    for text in texts():
        try:
            title = clean_title(text)
        except TitleError:
            continue
        accepted += 1
        assert title == text.strip() == clean_title(title)
        assert 1 <= len(title) <= TITLE_MAX
        assert not {"\x00", "\x1b", "\t", "\n", "\x85"} & set(title)
    assert accepted > 20


@pytest.mark.parametrize(
    "title", ["a", "x" * 50, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "é"]
)
def test_ordinary_titles_pass(title: str) -> None:
    """Joined emoji hold invisible characters and are titles all the same."""
    assert clean_title(f"  {title} ") == title
