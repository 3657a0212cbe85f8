"""The same objects give the same bytes, which every reader understands alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.config.test_documents import JSON

from lockgate.base.errors import UsageError
from lockgate.config import documents, emit, resource


def read(data: bytes) -> Any:
    """Return the one document."""
    (found,) = documents.read(data, where="it")
    return found.value


TEXT = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(TEXT, JSON, min_size=1))
@example({"a": "x\n"})
@example({"a": "x\n\n\ny\n\n"})
@example({"a": ["x\n  y\n", ["b\nc"]]})
@example({"a": "  x\ny"})
@example({"a": "\n"})
@example({"a": "x\ty\n\tz"})
@example({"a": "---\n...\n"})
@example({"a": "\x85\u2028\ufeff\x7f"})
@example({"a": 1e16, "b": 1e-7, "c": 1.0, "d": -0.0})
@example({"y": {"on": ["NO", "~", "null", "1", "0x1", "1e3", "2026-11-20", "=", "<<", ""]}})
def test_what_was_written_is_read_back(value: dict[str, Any]) -> None:
    """By this reader, and by PyYAML's, which takes far more words for something else than text."""
    data = emit.document(value)
    assert read(data) == value
    assert yaml.safe_load(data) == value
    assert emit.document(read(data)) == data


@given(st.dictionaries(TEXT, JSON, min_size=1))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    """Two equal objects give equal bytes."""
    turned = dict(reversed(value.items()))
    assert emit.document(turned) == emit.document(value)


def test_the_form() -> None:
    """Keys sorted, lists not indented further, texts of several lines as blocks, the rest quoted."""
    body = {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a", "annotations": {"on": "yes"}},
        "data": {"port": "8080", "script": "set -e\necho hi\n", "empty": "", "path": "/srv/a"},
        "list": [{"b": 1, "a": []}, [1, [2]], {}, "x: y"],
    }
    assert emit.document(body).decode() == (
        "---\napiVersion: v1\n"
        'data:\n  empty: ""\n  path: /srv/a\n  port: "8080"\n  script: |\n    set -e\n    echo hi\n'
        "kind: ConfigMap\n"
        'list:\n- a: []\n  b: 1\n-\n  - 1\n  -\n    - 2\n- {}\n- "x: y"\n'
        'metadata:\n  annotations:\n    "on": "yes"\n  name: a\n'
    )


def test_objects_stand_in_the_order_of_applying() -> None:
    """However they were read."""
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"
    )
    found = resource.parse(text.encode(), where="it")
    data = emit.emit(found)
    assert data == emit.emit(reversed(found))
    assert [one.id.kind for one in resource.parse(data, where="it")] == ["Namespace", "Deployment"]


def test_what_yaml_cannot_hold_is_an_error() -> None:
    """Half of a surrogate pair, and a key that no reader takes."""
    with pytest.raises(UsageError, match="surrogate"):
        emit.document({"a": "\ud800"})
    with pytest.raises(UsageError, match="a key of 2000 characters"):
        emit.document({"k" * 2000: 1})


@given(st.dictionaries(TEXT, JSON))
def test_objects_are_listed_as_json(value: dict[str, Any]) -> None:
    """As one `List`, in the order of applying; what is read of it are the same objects."""
    bodies = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": value}
        for kind in ("Pod", "Namespace")
    ]
    found = [resource.of(one, "it") for one in bodies]
    data = emit.listed(found)
    assert json.loads(data)["kind"] == "List"
    assert [one.body for one in resource.parse(data, where="it")] == bodies[::-1]
    assert emit.listed(reversed(found)) == data


def test_what_json_cannot_hold_is_an_error() -> None:
    """Half of a surrogate pair is no text in any form."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "x": "\ud800"}
    with pytest.raises(UsageError, match="surrogate"):
        emit.listed([resource.of(body, "it")])
