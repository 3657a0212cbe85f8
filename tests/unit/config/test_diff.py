"""What differs between two artifacts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lockgate.config import emit, resource
from lockgate.config.diff import Difference, difference

DIGESTS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)


def made(name: str, kind: str = "ConfigMap", **data: str) -> resource.Resource:
    """Return an object."""
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data}
    return resource.of(body, "here")


def compare(before: list[resource.Resource], after: list[resource.Resource]) -> Difference:
    """Compare two lists."""
    return difference(emit.emit(before), emit.emit(after), digests=DIGESTS, names=("old", "new"))


def test_every_object_is_created_changed_deleted_or_not_named() -> None:
    """In the order of applying, each with a piece of a unified diff."""
    found = compare(
        [made("same"), made("changed", a="1"), made("gone", a="1")],
        [made("same"), made("changed", a="2"), made("new", a="1")],
    )
    assert found.created == ("ConfigMap/new",)
    assert found.changed == ("ConfigMap/changed",)
    assert found.deleted == ("ConfigMap/gone",)
    assert '-  a: "1"\n+  a: "2"\n' in found.text
    assert "--- old ConfigMap/changed\n+++ new ConfigMap/changed\n" in found.text
    assert "--- old ConfigMap/gone\n+++ /dev/null\n" in found.text
    assert "--- /dev/null\n+++ new ConfigMap/new\n" in found.text
    assert "same" not in found.text


def test_values_of_secrets_are_not_shown() -> None:
    """That one changed is."""
    found = compare([made("s", "Secret", a="YQ==")], [made("s", "Secret", a="Yg==")])
    assert found.changed == ("Secret/s",)
    assert '-  a: "*****"\n+  a: "******"\n' in found.text
    assert "YQ==" not in found.text


def test_no_difference_is_empty() -> None:
    """No text, no labels."""
    found = compare([made("a")], [made("a")])
    assert found.empty
    assert not found.text


def test_the_same_written_differently_is_no_difference() -> None:
    """What counts is what is applied."""
    other = b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {}}'
    found = difference(emit.emit([made("a")]), other, digests=DIGESTS, names=("old", "new"))
    assert found.empty


def test_a_text_with_a_separator_in_it_is_one_value() -> None:
    """A certificate or script may hold the line `---`."""
    before = [made("a", text="x\n---\ny\n"), made("b", text="\n---\n")]
    after = [made("a", text="x\n---\nz\n"), made("b", text="\n---\n")]
    found = compare(before, after)
    assert found.changed == ("ConfigMap/a",)


OBJECTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "---\n"]))


@given(OBJECTS, OBJECTS)
def test_the_lists_are_those_of_the_objects(before: dict[str, str], after: dict[str, str]) -> None:
    """For any two sets of objects."""
    lists: list[list[Any]] = [
        [made(name, v=value) for name, value in one.items()] for one in (before, after)
    ]
    found = compare(*lists)
    assert set(found.created) == {f"ConfigMap/{one}" for one in after.keys() - before.keys()}
    assert set(found.deleted) == {f"ConfigMap/{one}" for one in before.keys() - after.keys()}
    assert set(found.changed) == {
        f"ConfigMap/{one}" for one in before.keys() & after.keys() if before[one] != after[one]
    }
