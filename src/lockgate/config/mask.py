"""Secrets as they may be shown: keys stay, values do not. Pure.

Annotations are masked too: an object that was once applied with `kubectl apply` carries its whole content in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK, CHANGED = "*****", "******"
"""What stands for a value; the second one for the newer of two that differ."""

_FIELDS = ("data", "stringData")


def is_secret(body: Mapping[str, Any]) -> bool:
    """True for a Secret of the core group."""
    return body.get("kind") == "Secret" and body.get("apiVersion") == "v1"


def holds_values(body: Mapping[str, Any]) -> bool:
    """True when a Secret has values, and not only a name."""
    return any(body.get(field) for field in _FIELDS)


def masked(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Return two states of an object as they may be shown side by side.

    What is no Secret stays as it is. None stands for an object that is not there.
    """
    secret = [one is not None and is_secret(one) for one in (before, after)]
    if not any(secret):
        return before, after
    return _hide(before, after, MASK), _hide(after, before, CHANGED)


def _hide(
    one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, changed: str
) -> Mapping[str, Any] | None:
    if one is None:
        return None
    body = dict(one)
    beside = other or {}
    for field in _FIELDS:
        if field in body:
            body[field] = _values(body[field], beside.get(field), changed)
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("annotations"):
        others = beside.get("metadata")
        known = others.get("annotations") if isinstance(others, Mapping) else None
        body["metadata"] = {
            **metadata,
            "annotations": _values(metadata["annotations"], known, changed),
        }
    return body


def _values(values: Any, others: Any, changed: str) -> Any:
    if not isinstance(values, Mapping):
        return MASK
    known = others if isinstance(others, Mapping) else {}
    return {
        key: changed if key in known and known[key] != value else MASK
        for key, value in values.items()
    }
