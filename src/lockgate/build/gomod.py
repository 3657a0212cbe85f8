"""`go.mod`: which module, which Go, what it requires (Go modules reference, "go.mod files").

Read by us, since what is planned must be known without Go and without a network.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|=>|[()]|[^\s()"`]+')
_COMMENT = re.compile(r"(?:^|\s)//.*")
_MAJOR = re.compile(r"v[0-9]+")


class GoMod(NamedTuple):
    """What a `go.mod` says."""

    module: str
    """Path of the module."""
    go: tuple[int, ...]
    """Least version of Go: `(1, 26, 0)`."""
    requires: dict[str, str]
    """Version by module path."""
    tools: tuple[str, ...]
    """Packages of its `tool` directives, in their order."""
    local: tuple[str, ...]
    """Folders that replace modules, relative to that of `go.mod`."""

    def version_of(self, package: str) -> str:
        """Return the version of the module that holds a package; empty for one of this module."""
        holds = [path for path in self.requires if f"{package}/".startswith(f"{path}/")]
        return self.requires[max(holds, key=len)] if holds else ""


def parse(data: bytes, *, what: str) -> GoMod:
    """Parse a `go.mod`.

    Args:
        data: the bytes of the file.
        what: how to name the file in an error.

    Raises:
        UsageError: it has no `module` or no `go` line, or is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8 text", hint="`go mod tidy` writes it") from None
    module, go = "", ""
    requires: dict[str, str] = {}
    tools: list[str] = []
    local: list[str] = []
    for verb, *words in _directives(text):
        if verb == "module" and words:
            module = words[0]
        elif verb == "go" and words:
            go = words[0]
        elif verb == "require" and len(words) >= 2:
            requires[words[0]] = words[1]
        elif verb == "tool" and words:
            tools.append(words[0])
        elif verb == "replace" and words and words[-1].startswith(("./", "../", "/")):
            local.append(words[-1])
    if not module or not go:
        missing = "module" if not module else "go"
        raise UsageError(f"{what} has no `{missing}` line", hint="`go mod tidy` writes it")
    return GoMod(module, version_numbers(go), requires, tuple(tools), tuple(local))


def _directives(text: str) -> Iterator[list[str]]:
    """Yield every directive with its verb in front, those in a block too."""
    block = ""
    for line in text.splitlines():
        words = [_unquoted(word) for word in _WORD.findall(_COMMENT.sub("", line))]
        if not words:
            continue
        if block and words == [")"]:
            block = ""
        elif block:
            yield [block, *words]
        elif words[1:] == ["("]:
            block = words[0]
        else:
            yield words


def _unquoted(word: str) -> str:
    return word[1:-1] if word[:1] in ('"', "`") and len(word) > 1 else word


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a version of Go: `(1, 26, 8)` for `go1.26.8` or `1.26.8`.

    A release candidate counts as the version before it, so `1.27rc1` is `(1, 26)`.
    """
    found = re.match(r"(?:go)?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?(rc|beta)?", text)
    if found is None:
        return ()
    numbers = tuple(int(one) for one in found.groups()[:3] if one is not None)
    return (numbers[0], numbers[1] - 1) if found[4] else numbers


def program_name(package: str, module: str = "") -> str:
    """Return the name that `go build` gives to a package's program: `kustomize` for `…/kustomize/v5`.

    Args:
        package: import path, or `.` or `./cmd/x` within the module.
        module: path of the module that a relative package belongs to.
    """
    path = package
    if package == "." or package.startswith("./"):
        path = f"{module}/{package[2:]}".rstrip("/")
    parts = path.split("/")
    return parts[-2] if len(parts) > 1 and _MAJOR.fullmatch(parts[-1]) else parts[-1]
