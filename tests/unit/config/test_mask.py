"""Secrets are shown without their values, wherever these stand."""

from __future__ import annotations

from typing import Any

from lockgate.config.mask import masked


def secret(data: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data, **more}


def test_values_are_masked_and_keys_stay() -> None:
    """Equal ones look equal, different ones look different."""
    before, after = masked(
        secret({"same": "YQ==", "changed": "Yg==", "gone": "Yw=="}),
        secret({"same": "YQ==", "changed": "ZA==", "new": "ZQ=="}),
    )
    assert before is not None
    assert after is not None
    assert before["data"] == {"same": "*****", "changed": "*****", "gone": "*****"}
    assert after["data"] == {"same": "*****", "changed": "******", "new": "*****"}


def test_plain_values_and_annotations_are_masked() -> None:
    """An annotation of kubectl can hold the whole object."""
    metadata = {"name": "s", "annotations": {"last-applied": '{"data":{"a":"YQ=="}}'}}
    shown, _ = masked(secret({}, stringData={"a": "hunter2"}, metadata=metadata), None)
    assert shown is not None
    assert shown["stringData"] == {"a": "*****"}
    assert shown["metadata"] == {"name": "s", "annotations": {"last-applied": "*****"}}


def test_an_odd_secret_shows_nothing() -> None:
    """Data that is no mapping is masked as a whole."""
    shown, _ = masked(secret("YQ==", stringData=["x"]), None)  # type: ignore[arg-type]
    assert shown is not None
    assert (shown["data"], shown["stringData"]) == ("*****", "*****")


def test_what_is_no_secret_stays_as_it_is() -> None:
    """The very same objects come back."""
    one = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
    assert masked(one, one) == (one, one)
    assert masked(one, None)[0] is one


def test_an_object_that_becomes_a_secret_is_masked_on_both_sides() -> None:
    """What it held before may be what is secret now."""
    one = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "hunter2"}}
    before, after = masked(one, secret({"a": "hunter2"}))
    assert "hunter2" not in f"{before}{after}"
