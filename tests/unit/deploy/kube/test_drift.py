"""What differs between two states of an object, and what of it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.deploy.kube.drift import differences, has_drifted, is_same
from lockgate.deploy.kube.ownership import LAST_APPLIED


def item(fields: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    """Return an object with the fields that are ours."""
    entry = {"manager": "lockgate", "operation": "Apply", "fieldsV1": fields or {"f:data": {}}}
    metadata = content.pop("metadata", {})
    return {"metadata": {"name": "x", "managedFields": [entry], **metadata}, **content}


def shown(old: dict[str, Any], new: dict[str, Any], *, secret: bool = False) -> list[str]:
    """Return the lines."""
    return [str(one) for one in differences(old, new, secret=secret)]


def test_books_of_another_version_are_drift() -> None:
    """The cluster drops those of a version that it serves no more."""
    old, new = item(), item()
    old["metadata"]["managedFields"][0]["apiVersion"] = "example.org/v1beta1"
    new["metadata"]["managedFields"][0]["apiVersion"] = "example.org/v1"
    assert has_drifted(old, new)


def test_a_status_does_not_make_another_object() -> None:
    """Nor does what the cluster counts; any other field does."""
    one = item(data={"a": "1"}, status={"x": 1})
    assert is_same(one, item(data={"a": "1"}, metadata={"resourceVersion": "2"}))
    assert not is_same(one, item(data={"a": "1"}, metadata={"annotations": {"a": "1"}}))


@pytest.mark.parametrize(
    ("old", "new", "drifted"),
    [
        (item(data={"a": "1"}), item(data={"a": "1"}), False),
        (item(data={"a": "1"}), item(data={"a": "2"}), True),
        (item(status={"x": 1}), item(status={"x": 2}), False),
        (item(metadata={"resourceVersion": "1"}), item(metadata={"resourceVersion": "2"}), False),
        (item(metadata={"labels": {"a": "1"}}), item(metadata={"labels": {}}), True),
        (item(metadata={"annotations": {"a": "1"}}), item(), True),
        (item({"f:data": {"f:a": {}}}), item({"f:data": {"f:b": {}}}), True),
        ({"metadata": {"name": "x"}}, item(), True),
    ],
)
def test_drift_is_content_or_ownership(
    old: dict[str, Any], new: dict[str, Any], drifted: bool
) -> None:
    """Status and what the cluster counts are neither."""
    assert has_drifted(old, new) is drifted


def test_items_of_lists_are_told_apart_by_their_names() -> None:
    """Another image is one line, not the whole list."""
    old = item(spec={"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]})
    new = item(spec={"containers": [{"name": "a", "image": "x:2"}, {"name": "b", "image": "y"}]})
    assert shown(old, new) == ["~ spec.containers[a].image: x:1 → x:2"]


def test_new_and_gone_fields_have_their_signs() -> None:
    """Plus and minus."""
    assert shown(item(data={"a": "1"}), item(data={"b": "2"})) == ["- data.a: 1", "+ data.b: 2"]


def test_another_order_is_shown_whole() -> None:
    """The items are the same, and their order may matter."""
    old, new = (
        item(spec={"env": [{"name": "a"}, {"name": "b"}]}),
        item(spec={"env": [{"name": "b"}, {"name": "a"}]}),
    )
    assert shown(old, new) == [
        '~ spec.env: [{"name": "a"}, {"name": "b"}] → [{"name": "b"}, {"name": "a"}]'
    ]


def test_digests_are_short_and_long_values_are_cut() -> None:
    """Lines stay readable."""
    old, new = item(spec={"image": "a@sha256:" + "1" * 64}), item(spec={"image": "x" * 100})
    (line,) = shown(old, new)
    assert "a@sha256:11111111…" in line
    assert len(line) < 120


def test_a_key_with_a_dot_is_in_brackets() -> None:
    """It would be read as two."""
    assert shown(item(), item(data={"a.b": "1"}), secret=False) == ['+ data: {"a.b": "1"}']
    assert shown(item(data={"c": ""}), item(data={"c": "", "a.b": "1"})) == ["+ data[a.b]: 1"]


def test_a_secret_shows_its_keys_and_nothing_else() -> None:
    """Not even whether two values are of one length."""
    old = item(type="a", data={"key": "b2xk"}, metadata={"annotations": {"note": "old"}})
    new = item(
        type="b", data={"key": "bmV3", "more": "x"}, metadata={"annotations": {"note": "new"}}
    )
    assert shown(old, new, secret=True) == [
        "~ data.key: ***** → ******",
        "+ data.more: ******",
        "~ metadata.annotations.note: ***** → ******",
        "~ type: a → b",
    ]


def test_a_new_secret_is_masked_whole() -> None:
    """Also when `data` is new as such."""
    assert shown(item(), item(data={"key": "hidden"}), secret=True) == ["+ data: ******"]


def test_what_kubectl_kept_is_masked_for_every_kind() -> None:
    """Its annotation holds the whole object."""
    old = item(metadata={"annotations": {LAST_APPLIED: "hidden", "a": "1"}})
    new = item(metadata={"annotations": {"a": "1"}})
    assert shown(old, new) == [f"- metadata.annotations[{LAST_APPLIED}]: *****"]


@pytest.mark.parametrize("key", ["tls.key", ".dockerconfigjson", "ca/crt"])
@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_key_in_brackets_is_masked_too(field: str, key: str) -> None:
    """Most keys of real Secrets have a dot."""
    old, new = item(**{field: {key: "b2xk"}}), item(**{field: {key: "bmV3", "x.y": "eA"}})
    assert shown(old, new, secret=True) == [
        f"~ {field}[{key}]: ***** → ******",
        f"+ {field}[x.y]: ******",
    ]


VALUES = st.text(alphabet="qwz", min_size=3, max_size=6)
KEYS_AND_VALUES = st.dictionaries(st.sampled_from(("a", "b", "c.d", ".e", "f/g")), VALUES)


@given(KEYS_AND_VALUES, KEYS_AND_VALUES)
def test_no_value_of_a_secret_is_ever_shown(old: dict[str, str], new: dict[str, str]) -> None:
    """Whatever changes."""
    one = item(data=old, stringData=new, metadata={"annotations": old})
    other = item(data=new, stringData=old, metadata={"annotations": new})
    text = repr(differences(one, other, secret=True))
    assert not any(value in text for value in (*old.values(), *new.values()))
