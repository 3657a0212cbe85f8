"""Settings written as text are the same settings when they are read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from lockgate.base import settings_file, settings_text, strict_yaml
from lockgate.base.settings import (
    SEVERITIES,
    Component,
    Environment,
    GoModule,
    ReadyRule,
    Settings,
    TrustedIdentity,
    default_environments,
)

FILE = """\
project: shop
components:
  web: {path: web, entrypoint: [python3, web.py], environment: {A: b}}
environments:
  dev: {port: 0}
  qa: {severity: LOW}
"""

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
"""Any text that is Unicode: empty, of several lines, with what YAML reads as something else."""
TRAPS = st.sampled_from(
    ["yes", "null", "~", "1:30", "0x1f", "1e3", "2026-01-01", "- a", "a: b", "#", "&a", "\u2028"]
)
TEXTS = WORDS | TRAPS
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
NUMBERS = st.integers(0, 65535)
OPTIONS = st.recursive(
    TEXTS | st.integers(-(2**62), 2**62) | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

COMPONENTS = st.builds(
    Component,
    path=st.sampled_from(["web", "a b", "#", "yes", "über/web"]),
    entrypoint=st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
    stack=TEXTS,
    exclude=LISTS,
    environment=st.dictionaries(TEXTS, TEXTS, max_size=3),
    port=st.integers(1, 65535),
    local=st.booleans(),
) | st.builds(
    Component,
    path=st.just("tool"),
    entrypoint=st.just(("tool",)),
    kind=st.just("gomodule"),
    go=st.lists(
        st.builds(
            GoModule,
            module=st.just("tool"),
            packages=st.lists(TEXTS, min_size=1, max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
)
IDENTITIES = st.builds(
    TrustedIdentity, name=TEXTS.filter(bool), subject=st.just("a@b"), issuer=st.just("https://c")
)
ENVIRONMENTS = st.builds(
    Environment,
    severity=st.sampled_from(SEVERITIES),
    blocks=st.booleans(),
    port=st.none() | NUMBERS,
    key=TEXTS,
    public_keys=LISTS,
    readiness=st.lists(st.builds(ReadyRule, kind=TEXTS, failure=TEXTS), max_size=2).map(tuple),
    identities=st.lists(IDENTITIES, max_size=1).map(tuple),
    trusted_root=TEXTS.filter(bool),
    require=st.lists(TEXTS | st.dictionaries(TEXTS, OPTIONS, max_size=2), max_size=3).map(tuple),
)
SETTINGS = st.builds(
    Settings,
    project=TEXTS,
    source=TEXTS,
    components=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True), COMPONENTS, min_size=1, max_size=3
    ),
    environments=st.dictionaries(TEXTS, ENVIRONMENTS, max_size=2).map(
        lambda more: {**default_environments(), **more}
    ),
)


@drawn(max_examples=50)
@given(SETTINGS)
def test_what_is_written_is_read_as_the_same(settings: Settings) -> None:
    """Whatever the texts are; and the components keep their order, in which they are worked on."""
    found = settings_file.parse(settings_text.dump(settings_text.tree(settings)).encode())
    assert found == settings
    assert list(found.components) == list(settings.components)


@drawn(max_examples=50)
@given(SETTINGS)
def test_comments_change_nothing(settings: Settings) -> None:
    """One behind each setting that is a default; what is said twice in a file is said once here."""
    content = settings_text.tree(settings)
    comments = dict.fromkeys(settings_text.ungiven(content, {}), "default")
    text = settings_text.dump(content, comments)
    assert settings_file.parse(text.encode()) == settings


def shown(text: str) -> list[str]:
    """The lines that are written of a file, with comments at the defaults."""
    settings = settings_file.parse(text.encode())
    content = settings_text.tree(settings)
    given_there = strict_yaml.load(text.encode(), what="file")
    comments = dict.fromkeys(settings_text.ungiven(content, given_there), "default")
    return settings_text.dump(content, comments).splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "project: shop",
        "    entrypoint: [python3, web.py]",
        "      A: b",
        "    kind: python  # default",
        "    exclude: []  # default",
        "source: ''  # default",
        "    port: 0",
        "    severity: LOW",
        "    database_max_age_days: 365  # default",
        "  timeout: 300  # default",
    ],
)
def test_what_the_file_does_not_say_is_marked(line: str) -> None:
    """Also within an environment that it says something of; what it says has no mark."""
    assert line in shown(FILE)


def test_every_setting_is_there() -> None:
    """Of each section, with those that are empty."""
    content = yaml.safe_load("\n".join(shown(FILE)))
    for kind, found in (
        (Settings, content),
        (Component, content["components"]["web"]),
        (Environment, content["environments"]["qa"]),
    ):
        assert list(found) == [one.name for one in dataclasses.fields(kind)]


def test_a_value_of_several_lines_is_one_line() -> None:
    """So a comment cannot come to stand within it."""
    content: dict[str, Any] = {"a": "one\ntwo  \n\tthree", "b": ["four\nfive"]}
    text = settings_text.dump(content, {("a",): "x", ("b",): "y"})
    assert text == 'a: "one\\ntwo  \\n\\tthree"  # x\nb: ["four\\nfive"]  # y\n'
    assert yaml.safe_load(text) == content
