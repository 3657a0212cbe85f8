"""YAML as configuration should be read: safe types, no duplicate keys, no aliases, bounded nesting and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 20
"""Largest configuration file that is read."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MAX_NUMBER = 40
"""Characters of the longest number that is read."""


def load(data: bytes, *, what: str) -> Any:
    """Parse one YAML document.

    Aliases are refused because a few of them can expand to gigabytes, and duplicate keys because readers
    disagree on which one counts.

    Args:
        data: the bytes of the file.
        what: how to name the file in an error.

    Raises:
        UsageError: not YAML, not UTF-8, too large, empty, or one of the forms above.
    """
    import yaml

    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{what} is larger than {MAX_BYTES} bytes", hint="check that it is the right file"
        )
    try:
        found = yaml.load(data.decode("utf-8"), Loader=_loader())  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8 text", hint="save it as UTF-8") from None
    except RecursionError:
        raise UsageError(f"{what} is nested too deeply", hint="write it flatter") from None
    except yaml.YAMLError as error:
        raise UsageError(
            f"{what} is not readable as YAML: {_one_line(error)}", hint="correct it there"
        ) from None
    if found is None:
        raise UsageError(f"{what} is empty", hint="write it, or remove it")
    return found


def _one_line(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return " ".join(str(problem).split()) + where


def _is_usual(value: object) -> bool:
    """True for numbers that other readers read alike: not of base 60, as YAML 1.1 has `1:30`, and of 64 bits."""
    if not isinstance(value, str) or ":" in value or len(value) > _MAX_NUMBER:
        return False
    digits = value.replace("_", "").lstrip("+-")
    return not digits.isdecimal() or int(digits) >> 63 == 0


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class StrictLoader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(
                    problem="aliases are not read here", problem_mark=event.start_mark
                )
            return super().compose_node(parent, index)

        def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ARG002 - the library's form
            if node.tag in _NUMBERS and not _is_usual(node.value):
                raise yaml.MarkedYAMLError(
                    problem=f"{str(node.value)[:20]!r} is read as an unusual number; put it in quotes",
                    problem_mark=node.start_mark,
                )
            try:
                # Always deep: else the library fills a mapping after this call has returned.
                return super().construct_object(node, deep=True)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                # A date without a 13th month, a list as a key, `0x_`: the library's own errors.
                raise yaml.MarkedYAMLError(
                    problem="this value cannot be read", problem_mark=node.start_mark
                ) from None

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
                    )
                seen.add(key)
            return super().construct_mapping(node, deep)

    return StrictLoader
