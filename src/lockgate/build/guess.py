"""What a repository seems to hold: components, guessed from the files that are there. Nothing is executed."""

from __future__ import annotations

import ast
import posixpath
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.build import gomod, requirements
from lockgate.build.tree import source_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DEEPEST = 3
"""Folders below that of the repository in which a component is looked for."""
_OTHERS = frozenset(
    ("node_modules", "__pycache__", "test", "tests", "testdata", "doc", "docs", "example", "examples",
     "vendor", "out", "dist", "venv")
)  # fmt: skip
"""Folders that hold no components, or someone else's."""
_MODULES = ("wsgi", "app", "main")
_OBJECTS = ("app", "application")
_FACTORIES = ("create_app", "make_app")
_GUNICORN = ("gunicorn_conf.py", "gunicorn.conf.py")
_READY = ("/readyz", "/healthz", "/health")
_DECLARED = ("requirements.in", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "setup.py")
"""Files that say what a service needs, in which nothing is locked as an image wants it."""
_OWN = (
    "lockgate.yaml", "tasks.py", "noxfile.py", "advisories", "dist", "docs", "k8s", "keys", "out", "policies",
    "stacks",
)  # fmt: skip
"""What a repository has beside a service that stands at its top."""
_PRIVATE = ("*.key", "*.pem")
"""What is in no image, wherever it lies."""
_LARGEST = 1 << 20
"""Bytes of a source file up to which it is read."""
_LONGEST_NAME = 63
_LOCK = "requirements.txt"
_PORT = 8080
"""That of a component which says none."""


class Guess(NamedTuple):
    """A component that there seems to be."""

    name: str
    path: str
    """Its folder, relative to that of the repository."""
    settings: dict[str, Any]
    """What `lockgate.yaml` says of it; without what is a default."""
    comments: dict[str, str]
    """What to say to people of a setting, by its name."""
    lacks: str = ""
    """What has to be done before it can be built; empty for nothing."""
    needs_nothing: bool = False
    """Whether it has no requirements file, and nothing says that it has dependencies."""


def components(root: Path) -> tuple[Guess, ...]:
    """Return the components that a repository seems to hold, in the order of their folders.

    A service in Python is a folder with `wsgi.py`, `app.py` or `requirements.txt` in which something can be run;
    of a Go module, each main package in its folder or in `cmd/`. What is in a service is not looked through.

    Raises:
        UsageError: a `go.mod` cannot be read.
        StorageError: a folder or file cannot be read.
    """
    found: list[Guess] = []
    try:
        for one in _search(root, "", _DEEPEST):
            taken = {other.name for other in found}
            names = (one.name, *(f"{one.name}-{number}" for number in range(2, len(taken) + 3)))
            name = next(each for each in names if each not in taken)
            # Side by side on one machine no two can have the same.
            port = {"port": _PORT + len(found)} if found else {}
            found.append(one._replace(name=name, settings={**one.settings, **port}))
    except OSError as error:
        raise storage_error(error, Path(error.filename or root)) from error
    return tuple(found)


def plain_name(text: str) -> str:
    """Return a folder's name as a project or component may have it: `My Shop` is `my-shop`."""
    found = re.sub("[^a-z0-9]+", "-", text.lower())[:_LONGEST_NAME].strip("-")
    return found or "app"


def component_name(text: str) -> str:
    """Return the same for a component, whose name the store does not need itself."""
    return re.sub(r"^(stack|sha256|config)-", r"\1_", plain_name(text))


def _search(root: Path, path: str, depth: int) -> Iterator[Guess]:
    folder = root / path
    services = [*_python(root, path)]
    yield from _go(root, path)
    yield from services
    if services or not depth:
        return
    for one in sorted(folder.iterdir()):
        left_out = one.name.startswith(".") or one.name in _OTHERS
        if not left_out and one.is_dir() and not one.is_symlink():
            if (one / "pyvenv.cfg").exists():
                continue
            yield from _search(root, f"{path}/{one.name}" if path else one.name, depth - 1)


def _go(root: Path, path: str) -> Iterator[Guess]:
    folder = root / path
    if not (folder / "go.mod").is_file():
        return
    module = gomod.parse((folder / "go.mod").read_bytes(), what=f"`{path or '.'}/go.mod`").module
    commands = sorted((folder / "cmd").iterdir()) if (folder / "cmd").is_dir() else []
    packages = ["."] if _is_main(folder) else []
    packages += [f"./cmd/{one.name}" for one in commands if one.is_dir() and _is_main(one)]
    for package in packages:
        program = gomod.program_name(package, module)
        settings: dict[str, Any] = {"kind": "gomodule", "path": path or ".", "stack": "static"}
        if package != ".":
            settings["go"] = [{"module": path or ".", "packages": [package]}]
        settings |= {"entrypoint": [program], "ready": _ready(folder, ".go", ())}
        yield Guess(component_name(program), path, settings, {})


def _is_main(folder: Path) -> bool:
    return any(
        re.search(r"^package main\b", _text(one), re.MULTILINE)
        for one in folder.glob("*.go")
        if not one.name.endswith("_test.go")
    )


def _python(root: Path, path: str) -> Iterator[Guess]:
    folder = root / path
    marks = ("wsgi.py", "app.py", "requirements.txt")
    if not any((folder / one).is_file() for one in marks):
        return
    lock = _nearest(root, path)
    entry = _entrypoint(folder, lock)
    if not entry:
        return
    out = [one for one in ("tests", "requirements.in") if (folder / one).exists()]
    if lock == _LOCK:
        out.append(_LOCK)
    out += [one.parent.name for one in sorted(folder.glob("*/pyvenv.cfg"))]
    out += _PRIVATE if path else (*_OWN, *_PRIVATE)
    settings: dict[str, Any] = {
        "path": path or ".",
        "entrypoint": entry,
        "exclude": out,
        "ready": _ready(folder, ".py", out),
    }
    comments = {}
    if entry[:-1] == ["python3"] and "__main__" not in _text(folder / entry[-1]):
        comments["entrypoint"] = "a guess: it has to listen on HOST and PORT"
    if (folder / "tests").is_dir():
        settings["tests"] = "tests"
    else:
        settings["coverage"] = 0
        comments["coverage"] = "it has no tests yet"
    if lock != _LOCK:
        settings["requirements"] = lock
        comments["requirements"] = "a guess: the component has none of its own"
    lacks, needs_nothing = _lock(root, path, lock)
    name = component_name(folder.name if path else root.absolute().name)
    yield Guess(name, path, settings, comments, lacks, needs_nothing)


def _nearest(root: Path, path: str) -> str:
    """Return the lock of a folder or of the nearest one above it that has one, relative to the folder.

    When none has one, it is that of the folder itself, which is yet to be written.
    """
    above = range(len(path.split("/")) + 1 if path else 1)
    found = ("../" * up + _LOCK for up in above)
    return next((one for one in found if (root / path / one).is_file()), _LOCK)


def _entrypoint(folder: Path, lock: str) -> list[str]:
    """Return what runs a service; nothing when there is nothing to run."""
    needed = "\n".join(_text(folder / one) for one in (lock, "requirements.in"))
    if re.search(r"^gunicorn\b", needed, re.MULTILINE | re.IGNORECASE):
        config = next((one for one in _GUNICORN if (folder / one).is_file()), "")
        named = bool(config) and "wsgi_app" in _text(folder / config)
        served = "" if named else _served(folder)
        if named or served:
            options = ["--config", config] if config else []
            return ["python3", "-m", "gunicorn", *options, *([served] if served else [])]
    for stem in _MODULES:
        if (folder / f"{stem}.py").is_file():
            return ["python3", f"{stem}.py"]
    for package in _packages(folder):
        if (folder / package / "__main__.py").is_file():
            return ["python3", "-m", package]
    return []


def _served(folder: Path) -> str:
    """Return the WSGI application as gunicorn takes it: `wsgi:app`, `shop:create_app()`; empty when none is seen."""
    places = [(stem, folder / f"{stem}.py") for stem in _MODULES]
    for package in _packages(folder):
        places += [(f"{package}.{stem}", folder / package / f"{stem}.py") for stem in _MODULES]
        places.append((package, folder / package / "__init__.py"))
    for module, file in places:
        names = set(_names(_text(file)))
        for one in _OBJECTS:
            if one in names:
                return f"{module}:{one}"
        for one in _FACTORIES:
            if one in names:
                return f"{module}:{one}()"
    return ""


def _packages(folder: Path) -> list[str]:
    found = (one.parent.name for one in folder.glob("*/__init__.py"))
    return sorted(one for one in found if one not in _OTHERS)


def _names(text: str) -> Iterator[str]:
    """Yield the names that a module has, as far as they stand at its top."""
    try:
        with warnings.catch_warnings(action="ignore"):
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # no Python of ours: it has no names that we could give
    for one in body:
        if isinstance(one, ast.FunctionDef):
            yield one.name
        elif isinstance(one, ast.Assign):
            yield from (target.id for target in one.targets if isinstance(target, ast.Name))
        elif isinstance(one, ast.ImportFrom):
            yield from (name.asname or name.name for name in one.names)


def _lock(root: Path, path: str, lock: str) -> tuple[str, bool]:
    """Return what is lacking to build with the locked dependencies, and whether there are none at all."""
    folder = root / path
    file = posixpath.normpath(posixpath.join(path, lock))
    if (folder / lock).is_file():
        try:
            requirements.parse((folder / lock).read_bytes())
        except UsageError as error:
            return f"`{file}` is no lock: {error.message}; {error.hint}", False
        return "", False
    if (folder / lock).is_symlink():
        return f"`{file}` is a link that leads nowhere", False
    declared = [one for one in _DECLARED if (folder / one).exists()]
    if not declared:
        return "", True
    return f"`{file}` is missing, beside `{declared[0]}`; {requirements.RELOCK}", False


def _ready(folder: Path, suffix: str, exclude: Sequence[str]) -> str:
    """Return the first known path for readiness that stands in a source file; `/` when none does."""
    texts: Iterable[str] = (
        _text(folder / one)
        for one in source_files(folder, ["tests", *exclude], may_be_none=True)
        if one.endswith(suffix)
    )
    seen = {one for text in texts for one in _READY if f'{one}"' in text or f"{one}'" in text}
    return next((one for one in _READY if one in seen), "/")


def _text(file: Path) -> str:
    """Return what a file says; empty when there is none, or it is larger than any that people write."""
    if not file.is_file() or file.stat().st_size > _LARGEST:
        return ""
    return file.read_text("utf-8", "replace")
