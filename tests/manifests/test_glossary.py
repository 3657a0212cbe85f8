"""The glossary and the code use the same words."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_word_names_something_public() -> None:
    """Each row of the glossary points at a class that exists under that very name."""
    rows = re.findall(
        r"^\| (\w+) \|.*\| `([\w.]+)` \|$",
        (ROOT / "docs" / "glossary.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) > 10
    for word, place in rows:
        module, _, name = f"lockgate.{place}".rpartition(".")
        assert name == word
        assert isinstance(getattr(importlib.import_module(module), name), type)


def test_every_error_stands_in_the_drawn_tree() -> None:
    """The tree in the docstring of `base.errors` names every error class, and no other."""
    errors = importlib.import_module("lockgate.base.errors")
    drawn = set(re.findall(r"[├└]─ (\w+)|^    (LockgateError)", errors.__doc__ or "", re.MULTILINE))
    names = {first or second for first, second in drawn}
    assert names == {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and name != "Sequence"
    }
