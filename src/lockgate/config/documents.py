"""YAML and JSON documents as Kubernetes' readers understand them, and nothing that they disagree about. Pure.

`kubectl`, Flux and Argo CD read YAML by rules between 1.1 and 1.2 (sigs.k8s.io/yaml over go-yaml 2), kustomize
by go-yaml 3, PyYAML by 1.1. Where all Go readers agree, their reading is taken: `0644` is 420, `12:30` is text.
Where they do not (`on` is true to kubectl and "on" to kustomize, which writes `2026-11-20` with a time behind it)
the document is refused, since what was reviewed would not be what is applied. What JSON cannot hold is refused too.

Documents are read from the parser's events with a stack of our own: depth is counted, not met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.canonical import loads
from lockgate.base.errors import UsageError
from lockgate.config.scalars import Fault, number, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

MAX_BYTES = 32 << 20
"""Most bytes of one input."""
MAX_DEPTH = 100
"""Most nested levels; the deepest CustomResourceDefinitions have about sixty."""
MAX_ALIASED = 100_000
"""Most values that aliases may stand for in one input: a few of them can expand to gigabytes."""

_NEXT_LINE = "\x85"
"""The end of a line in YAML 1.1, an ordinary character in 1.2; kustomize writes it so that it is lost."""
_TAG = "tag:yaml.org,2002:"
# What stands behind `!` or `*` is not shown: it may be a password that nobody has put into quotes.
_TAGGED = "its tag is not read here"
_QUOTES = "write it in quotes when text is meant"


class Document(NamedTuple):
    """One document of a stream."""

    line: int
    """Where it begins, counted from 1."""
    value: Any
    """Mappings with text as keys, lists, text, integers, floats, booleans, None. Aliased values are shared, so
    nobody may change it in place."""


def read(data: bytes, *, where: str) -> tuple[Document, ...]:
    """Return every document that is not empty.

    Args:
        data: the bytes of a file, or of what a program printed.
        where: how to name the input in an error.

    Raises:
        UsageError: not UTF-8, too large or too deep, not YAML or JSON, a key that stands twice or is no text, a
            value that readers disagree about or that JSON cannot hold.
    """
    import yaml

    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{where} is larger than {MAX_BYTES} bytes", hint="check that it is the right file"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text", hint="save it as UTF-8") from None
    if text.lstrip()[:1] == "{" and (found := _json(data, where)):
        return found
    if _NEXT_LINE in text:
        line = text.count("\n", 0, text.index(_NEXT_LINE)) + 1
        raise UsageError(
            f"{where}, line {line}: the character U+0085 ends a line to some readers",
            hint='write it as "\\u0085", in quotes, or take it out',
        )
    try:
        return tuple(_Builder().documents(yaml.parse(text, Loader=_parser())))
    except Fault as error:
        raise _error(where, str(error), error.mark, error.hint) from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        raise _error(where, f"it is not YAML: {problem}", mark, "correct it there") from None


def _error(where: str, problem: str, mark: Any, hint: str) -> UsageError:
    place = f", line {mark.line + 1}" if mark is not None else ""
    return UsageError(f"{where}{place}: {' '.join(problem.split())}", hint=hint)


def _parser() -> type[yaml.SafeLoader]:
    import yaml

    # `yaml.parse` asks it for events alone. Where PyYAML lacks libyaml, its own parser gives the same ones.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _json(data: bytes, where: str) -> tuple[Document, ...]:
    """Return the one document of a JSON file; nothing when it is none, and then YAML's reader says why."""
    try:
        found = loads(data.strip(), what=where)
        _check_json(found, 1)
    except (UsageError, Fault):
        return ()
    return (Document(1, found),)


def _check_json(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Fault("it is nested too deeply")
    if isinstance(value, dict):
        for one in value.values():
            _check_json(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check_json(one, depth + 1)
    elif isinstance(value, int | float):
        number(value)


class _Open(NamedTuple):
    """A collection that is not closed yet."""

    value: Any
    anchor: str | None
    before: int
    """Values that were made before it."""
    keys: list[Any]
    """In a mapping: the key that waits for its value, or nothing."""
    flow: bool
    """Whether it is written in brackets."""


class _Anchored(NamedTuple):
    value: Any
    size: int
    """Values that it holds, itself included."""
    height: int
    """Levels below it."""


class _Builder:
    """Makes values of events."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._scalars: dict[str, Any] = {}
        """Plain scalars that were resolved before: manifests repeat a few hundred words."""
        self._count = 0
        self._aliased = 0
        self._heights: list[int] = []

    def documents(self, events: Iterator[Any]) -> Iterator[Document]:
        """Yield the documents that hold something.

        Raises:
            Fault: something is not read.
        """
        import yaml

        scalar, mapping, sequence = (
            yaml.ScalarEvent,
            yaml.MappingStartEvent,
            yaml.SequenceStartEvent,
        )
        ends, alias, start = (
            (yaml.MappingEndEvent, yaml.SequenceEndEvent),
            yaml.AliasEvent,
            yaml.DocumentStartEvent,
        )
        line, result = 1, None
        for event in events:
            kind = type(event)
            if kind is scalar:
                result = self._add(self._scalar(event), event)
            elif kind is mapping or kind is sequence:
                self._open({} if kind is mapping else [], event)
            elif kind in ends:
                result = self._close(event)
            elif kind is alias:
                result = self._alias(event)
            elif kind is start:
                line, result = event.start_mark.line + 1, None
                self._anchors.clear()
            elif kind is yaml.DocumentEndEvent and result is not None:
                yield Document(line, result)

    def _open(self, value: Any, event: Any) -> None:
        tag = event.tag
        if tag not in (None, "!", _TAG + ("map" if isinstance(value, dict) else "seq")):
            raise Fault(_TAGGED, event.start_mark, _QUOTES)
        if self._stack and isinstance(self._stack[-1].value, dict) and not self._stack[-1].keys:
            raise Fault("a key is no text", event.start_mark, "keys in Kubernetes are text")
        if len(self._stack) >= MAX_DEPTH:
            raise Fault("it is nested too deeply", event.start_mark, "write it flatter")
        self._stack.append(_Open(value, event.anchor, self._count, [], event.flow_style))
        self._heights.append(0)

    def _close(self, event: Any) -> Any:
        ended, height = self._stack.pop(), self._heights.pop() + 1
        if ended.anchor:
            size = self._count - ended.before + 1
            self._anchors[ended.anchor] = _Anchored(ended.value, size, height)
        if self._heights:
            self._heights[-1] = max(self._heights[-1], height)
        return self._add(ended.value, event)

    def _alias(self, event: Any) -> Any:
        found = self._anchors.get(event.anchor)
        if found is None:
            raise Fault("an alias stands for nothing", event.start_mark, _QUOTES)
        self._aliased += found.size
        self._count += found.size - 1
        if self._aliased > MAX_ALIASED or len(self._stack) + found.height > MAX_DEPTH:
            raise Fault("aliases expand to too much", event.start_mark, "write it out, or smaller")
        if self._heights:
            self._heights[-1] = max(self._heights[-1], found.height)
        return self._add(found.value, event)

    def _add(self, value: Any, event: Any) -> Any:
        """Put a value where it belongs; return it."""
        self._count += 1
        if not self._stack:
            return value
        inner = self._stack[-1]
        if isinstance(inner.value, list):
            inner.value.append(value)
        elif inner.keys:
            key = inner.keys.pop()
            if key is _MERGE:
                raise Fault("the key << is not read here", event.start_mark, "write the fields out")
            inner.value[key] = value
        else:
            inner.keys.append(self._key(value, inner.value, event))
        return value

    def _key(self, key: Any, known: dict[str, Any], event: Any) -> Any:
        import yaml

        if not isinstance(key, str):
            words = getattr(event, "value", key)
            raise Fault(f"the key {words} is no text", event.start_mark, f'write "{words}"')
        if key in known:
            raise Fault(f"the key {key!r} stands twice", event.start_mark, "keep one of them")
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            return _MERGE  # a quoted one is a key like others
        # What is read is a key before its value: two equal ones are found at the second.
        known[key] = None
        return key

    def _scalar(self, event: Any) -> Any:
        text, plain = event.value, event.implicit[0]
        if event.tag == "!":
            raise Fault(
                "a value with the tag ! is text to some readers and none to others",
                event.start_mark,
                "write it in quotes if text is meant, else without the tag",
            )
        if plain and not text and event.tag is None and self._stack and self._stack[-1].flow:
            raise Fault(
                "nothing in brackets is null to some readers and empty text to others",
                event.start_mark,
                'write null or ""',
            )
        if event.tag is not None:
            value = self._tagged(event)
        elif plain:
            try:
                value = self._scalars[text]
            except KeyError:
                value = self._scalars[text] = resolve(text, event.start_mark)
        else:
            value = text
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1, 0)
        return value

    def _tagged(self, event: Any) -> Any:
        kind, text = event.tag.removeprefix(_TAG), event.value
        if kind == "str":
            return text
        value = resolve(text, event.start_mark)
        kinds = {"int": int, "float": int | float, "bool": bool, "null": type(None)}
        if kind not in kinds or not isinstance(value, kinds[kind]):
            raise Fault(_TAGGED, event.start_mark, _QUOTES)
        return value


_MERGE = object()
