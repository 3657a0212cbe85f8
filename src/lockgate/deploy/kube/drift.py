"""What differs between an object as it is and as it would be. Pure; values of Secrets never leave this module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.deploy.kube.ownership import LAST_APPLIED, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST = 60
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_THE_CLUSTERS = (
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
)
_KEYS = ("name", "containerPort", "port", "mountPath", "type", "key", "ip", "host")
"""Fields by which items of a list are told apart, as people do."""

_BOOKS = ("fieldsV1", "apiVersion")
_MISSING: Any = object()


class Difference(NamedTuple):
    """One field."""

    path: str
    """`spec.template.spec.containers[web].image`."""
    old: str
    """As text; empty when it is new."""
    new: str
    """As text; empty when it goes."""

    def __str__(self) -> str:
        if not self.old:
            return f"+ {self.path}: {self.new}"
        if not self.new:
            return f"- {self.path}: {self.old}"
        return f"~ {self.path}: {self.old} → {self.new}"


def has_drifted(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether applying changes anything: content, or which fields are ours.

    Args:
        live: the object as it is.
        wanted: as a dry run of the server says that it would be.
    """
    if _content(live) != _content(wanted):
        return True
    old, new = entry(live), entry(wanted)
    # The version counts, too: the cluster drops the books of one that it serves no more.
    return old is None or new is None or any(old.get(key) != new.get(key) for key in _BOOKS)


def is_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether an object says the same at two times, whatever its status does."""
    return _content(old) == _content(new)


def differences(
    live: Mapping[str, Any], wanted: Mapping[str, Any], *, secret: bool
) -> tuple[Difference, ...]:
    """Return what differs, field by field; values of a Secret and of its annotations are masked."""
    found = tuple(_walk("", _content(live), _content(wanted)))
    if not secret:
        return tuple(one if LAST_APPLIED not in one.path else _masked(one) for one in found)
    return tuple(_masked(one) if _is_value(one.path) else one for one in found)


def _is_value(path: str) -> bool:
    # A key with a dot stands in brackets: `data[tls.key]`.
    return path.startswith(("data", "stringData", "metadata.annotations"))


def _masked(one: Difference) -> Difference:
    """Hide both values; that they differ is all that is shown, not even how long they are."""
    return Difference(one.path, "*****" if one.old else "", "******" if one.new else "")


def _content(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in body.items() if key != "status"}
    found["metadata"] = {
        key: value for key, value in body["metadata"].items() if key not in _THE_CLUSTERS
    }
    return found


def _walk(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = f"{path}[{key}]" if "." in key or "/" in key else f"{path}.{key}".lstrip(".")
            yield from _walk(inner, old.get(key, _MISSING), new.get(key, _MISSING))
        return
    if isinstance(old, list) and isinstance(new, list):
        left, right = _by_key(old), _by_key(new)
        if left is not None and right is not None:
            for key in sorted({*left, *right}):
                yield from _walk(
                    f"{path}[{key}]", left.get(key, _MISSING), right.get(key, _MISSING)
                )
            if left != right:
                return
            # The same items in another order: the whole list is shown.
    yield Difference(path, _text(old), _text(new))


def _by_key(items: list[Any]) -> dict[str, Any] | None:
    """Return the items of a list by what tells them apart; None when nothing does."""
    for field in _KEYS:
        keys = [str(one.get(field, "")) if isinstance(one, dict) else "" for one in items]
        if all(keys) and len(set(keys)) == len(keys):
            return dict(zip(keys, items, strict=True))
    return {} if not items else None


def _text(value: Any) -> str:
    """Return a value on one line, cut, its digests short."""
    if value is _MISSING:
        return ""
    if isinstance(value, str):
        shown = value or '""'
    else:
        import json

        shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    shown = _DIGEST.sub(lambda found: found[0][:15] + "…", " ".join(shown.split()))
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
