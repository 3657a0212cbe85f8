"""Digests written into a kustomization, for a repository of configuration that others read. Pure.

The file is a person's. So nothing of it is written anew: the parser says where a value stands, and only these
characters are replaced, or lines added. Comments, quotes, order and indentation stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.config import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import yaml

    from lockgate.oci.reference import PinnedRef


class _Edit(NamedTuple):
    """Characters of the text, and what takes their place."""

    start: int
    end: int
    text: str


def update(data: bytes, pins: Mapping[str, PinnedRef], *, where: str) -> bytes:
    """Return a kustomization in which `images` names repository and digest of each component.

    Args:
        data: the file.
        pins: repository and digest, by the name that manifests call the component by.
        where: how to name the file in an error.

    Raises:
        UsageError: it is no kustomization, or its `images` have a form that cannot be changed in place.
    """
    import yaml

    read = documents.read(data, where=where)
    text = data.decode("utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise UsageError(f"{where} is no kustomization", hint="it is a mapping in block style")
    (before,) = read
    listed = _value(root, "images")
    if listed is None:
        edits = [_Edit(len(text), len(text), _section(text, pins))] if pins else []
    elif isinstance(listed, yaml.SequenceNode):
        edits = list(_changes(text, listed, pins, where))
    else:
        raise UsageError(f"{where}: `images` is no list", hint="remove it, and run this again")
    # From the end, so that what was found before still stands where it stood.
    for _, one in sorted(enumerate(edits), key=lambda pair: (pair[1].start, pair[0]), reverse=True):
        text = text[: one.start] + one.text + text[one.end :]
    made = text.encode()
    (now,) = documents.read(made, where=f"{where} (as it would be written)")
    if now.value != _meant(before.value, pins):
        # Two names for one place, such as an anchor and its alias, or one image that stands twice.
        raise UsageError(
            f"{where}: `images` cannot be changed in place",
            hint="let each image stand there once, with its values written out",
        )
    return made


def _meant(content: Any, pins: Mapping[str, PinnedRef]) -> Any:
    """Return the content of a kustomization as it should be after; everything else in it is as before."""
    wanted = {
        name: {"newName": one.name, "digest": one.digest} for name, one in sorted(pins.items())
    }
    listed: list[Any] = []
    for one in content.get("images") or ():
        name = one.get("name") if isinstance(one, dict) else None
        if name in wanted:
            kept = {key: value for key, value in one.items() if key != "newTag" or "digest" in one}
            listed.append({**kept, **wanted[name]})
        else:
            listed.append(one)
    known = {one.get("name") for one in listed if isinstance(one, dict)}
    listed += [{"name": name, **new} for name, new in wanted.items() if name not in known]
    return {**content, "images": listed} if listed or "images" in content else content


def _changes(
    text: str, listed: yaml.SequenceNode, pins: Mapping[str, PinnedRef], where: str
) -> Iterator[_Edit]:
    import yaml

    missing = dict(pins)
    for entry in listed.value:
        name = _value(entry, "name")
        if isinstance(entry, yaml.MappingNode) and isinstance(name, yaml.ScalarNode):
            found = missing.pop(name.value, None)
            if found is not None:
                yield from _entry(text, entry, found)
    if not missing:
        return
    if listed.flow_style and listed.value:
        raise UsageError(
            f"{where}: `images` stands on one line", hint="write each image on a line of its own"
        )
    if listed.flow_style:
        start, end = listed.start_mark.index, listed.end_mark.index
        lines = "".join(_lines(name, one, "  ") for name, one in sorted(missing.items()))
        # `images: []`: the list begins on the next line.
        yield _Edit(start - (text[start - 1] == " "), end, "\n" + lines.rstrip("\n"))
        return
    indent = " " * listed.start_mark.column
    at = _line_end(text, _last(listed).end_mark.index)
    before = "" if text[:at].endswith("\n") else "\n"
    lines = "".join(_lines(name, one, indent) for name, one in sorted(missing.items()))
    yield _Edit(at, at, before + lines)


def _entry(text: str, entry: yaml.MappingNode, pinned: PinnedRef) -> Iterator[_Edit]:
    """Yield what makes an entry of `images` name repository and digest."""
    wanted = {"newName": pinned.name, "digest": pinned.digest}
    tag = next((pair for pair in entry.value if pair[0].value == "newTag"), None)
    for field, value in wanted.items():
        node = _value(entry, field)
        if node is not None:
            if node.value != value:
                yield _Edit(node.start_mark.index, node.end_mark.index, value)
        elif field == "digest" and tag is not None:
            # A tag beside a digest says nothing more, and sooner or later something else.
            yield _Edit(tag[0].start_mark.index, tag[1].end_mark.index, f"digest: {value}")
            tag = None
        elif entry.flow_style:
            at = _last(entry).end_mark.index
            yield _Edit(at, at, f", {field}: {value}")
        else:
            name = _value(entry, "name")
            at = _line_end(text, name.end_mark.index)
            indent = " " * entry.start_mark.column
            before = "" if text[:at].endswith("\n") else "\n"
            yield _Edit(at, at, f"{before}{indent}{field}: {value}\n")


def _value(node: Any, key: str) -> Any:
    """Return the node of a key's value; None when there is none."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _last(node: Any) -> Any:
    """Return the last scalar below a node: a block's own end lies behind the comments that follow it."""
    import yaml

    while isinstance(node, yaml.SequenceNode | yaml.MappingNode) and node.value:
        if node.flow_style and isinstance(node, yaml.SequenceNode):
            return node
        last = node.value[-1]
        following = last[1] if isinstance(last, tuple) else last
        if getattr(following, "flow_style", False) and not isinstance(last, tuple):
            return following
        node = following
    return node


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _section(text: str, pins: Mapping[str, PinnedRef]) -> str:
    lines = "".join(_lines(name, one, "  ") for name, one in sorted(pins.items()))
    return ("" if text.endswith("\n") or not text else "\n") + "images:\n" + lines


def _lines(name: str, pinned: PinnedRef, indent: str) -> str:
    return (
        f"{indent}- name: {name}\n{indent}  newName: {pinned.name}\n"
        f"{indent}  digest: {pinned.digest}\n"
    )
