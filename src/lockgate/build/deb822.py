"""Paragraphs of `Field: value` lines, the form of Debian's control data (deb822(5), Policy 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def paragraphs(text: str, *, what: str = "control data") -> Iterator[dict[str, str]]:
    """Yield each paragraph as field name in lower case to value.

    A value keeps its line breaks; each continuation line loses one leading blank. Comment lines (`#` in
    the first column) are dropped.

    Args:
        text: the file's content.
        what: how to name it in an error.

    Raises:
        UsageError: a line is neither field, continuation nor comment, or a field stands twice.
    """
    fields: dict[str, list[str]] = {}
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield _joined(fields)
            fields, last = {}, ""
        elif line[0] in " \t":
            if not last:
                raise UsageError(f"{what}, line {number}: a continuation without a field")
            fields[last].append(line[1:].rstrip())
        else:
            name, colon, value = line.partition(":")
            last = name.strip().lower()
            if not colon or not last or " " in last:
                raise UsageError(f"{what}, line {number}: `{line[:40]}` is not a field")
            if last in fields:
                raise UsageError(f"{what}, line {number}: the field `{name}` stands twice")
            fields[last] = [value.strip()]
    if fields:
        yield _joined(fields)


def _joined(fields: dict[str, list[str]]) -> dict[str, str]:
    return {name: "\n".join(lines) for name, lines in fields.items()}
