"""An overlay before it is rendered: every file that it is made of, and nothing from elsewhere.

kustomize would fetch a base from the network each time it renders; what it fetched can be another thing the next
time, so it is refused here by name. Charts are refused for the same reason. Files are read by our own strict reader
too: kustomize makes text of an `on` that kubectl takes for true, and after it nobody could tell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.config import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The names that kustomize takes for its file."""

_REMOTE = re.compile(
    r"[a-z][a-z0-9+.-]*://|git@|git::|[\w.-]+@[\w.-]+:|(?:github\.com|gitlab\.com|bitbucket\.org)[/:]"
)
_QUERY = re.compile(r"[?&](?:ref|version|timeout|submodules)=")
_CHARTS = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
_TREES = ("resources", "bases", "components")
"""Lists of files and folders."""
_PLUGINS = ("generators", "transformers", "validators")
"""Lists of files, or of what such a file would hold; that can name files itself."""
_FILES = ("crds", "configurations", *_PLUGINS)
"""Lists of files."""
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
"""Lists of mappings that can have a `path`."""
_GENERATORS = ("configMapGenerator", "secretGenerator")
_MAX_FOLDERS = 1000


class Overlay(NamedTuple):
    """What an overlay is made of."""

    folder: Path
    files: tuple[Path, ...]
    """Every file that it and its bases name, their kustomizations among them, sorted."""
    objects: tuple[Path, ...]
    """Those of them that hold objects."""


def look(folder: Path) -> Overlay:
    """Return what an overlay is made of; nothing is rendered.

    Raises:
        UsageError: there is no kustomization, or several in one folder; it names what is not there, or what is
            elsewhere.
    """
    files: set[Path] = set()
    objects: set[Path] = set()
    seen: set[Path] = set()
    ahead = [folder]
    while ahead:
        here = ahead.pop()
        if here.resolve() in seen:
            continue
        seen.add(here.resolve())
        if len(seen) > _MAX_FOLDERS:
            raise UsageError(
                f"{folder} has more than {_MAX_FOLDERS} bases",
                hint="look for one that leads to itself",
            )
        place = kustomization(here)
        content = read(place)
        files.add(place)
        for entry in _entries(content, _TREES):
            found = _local(here, entry, place)
            if found.is_dir():
                ahead.append(found)
            else:
                objects.add(found)
        files |= {_file(here, entry, place) for entry in _named(content)}
        files |= {_file(here, entry, place) for entry in _of_plugins(here, content, place)}
    return Overlay(folder, tuple(sorted(files | objects)), tuple(sorted(objects)))


def check(overlay: Overlay) -> None:
    """Read every file of objects as strictly as what is made of it will be read.

    Raises:
        UsageError: a file can be read in more than one way, or not at all.
    """
    for place in overlay.objects:
        documents.read(_bytes(place), where=str(place))


def kustomization(folder: Path) -> Path:
    """Return the kustomization of a folder.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{folder} has {' and '.join(one.name for one in found)}", hint="keep one of them"
        )
    raise UsageError(
        f"{folder} has no kustomization.yaml",
        hint="name the folder of an overlay, or files and folders of manifests with `-f`",
    )


def read(place: Path) -> Mapping[str, Any]:
    """Return the content of a kustomization.

    Raises:
        UsageError: it cannot be read, is no mapping, or draws a chart in.
    """
    found = documents.read(_bytes(place), where=str(place))
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise UsageError(f"{place} is no kustomization", hint="it is one mapping")
    content: dict[str, Any] = found[0].value
    for field in _CHARTS:
        if content.get(field):
            raise UsageError(
                f"{place}: `{field}` gets a chart from elsewhere",
                hint="render the chart with `helm template`, and name the file that it gives",
            )
    return content


def _bytes(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be read: {error.strerror}", hint="check owner and mode"
        ) from None


def _entries(content: Mapping[str, Any], fields: tuple[str, ...]) -> Iterator[str]:
    for field in fields:
        for one in _list(content.get(field)):
            # Some lists may hold what they name, written out.
            if isinstance(one, str) and "\n" not in one:
                yield one


def _named(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield every single file that a kustomization names."""
    yield from _entries(content, (*_FILES, "patchesStrategicMerge"))
    for field in _WITH_PATH:
        for one in _list(content.get(field)):
            if isinstance(one, dict) and isinstance(one.get("path"), str):
                yield one["path"]
    openapi = content.get("openapi")
    if isinstance(openapi, dict) and isinstance(openapi.get("path"), str):
        yield openapi["path"]
    for field in _GENERATORS:
        for one in _list(content.get(field)):
            if isinstance(one, dict):
                yield from _of_generator(one)


def _of_generator(one: Mapping[str, Any]) -> Iterator[str]:
    yield from (each.rpartition("=")[2] for each in _texts(one.get("files")))
    yield from _texts(one.get("envs"))
    yield from _texts([one.get("env")])


def _of_plugins(folder: Path, content: Mapping[str, Any], place: Path) -> Iterator[str]:
    """Yield the files that kustomize's own plugins name; their paths begin in the folder of the kustomization, too.

    Raises:
        UsageError: what describes one cannot be read.
    """
    for entry in (each for field in _PLUGINS for each in _texts(content.get(field))):
        inline = "\n" in entry
        data = entry.encode() if inline else _bytes(folder / entry)
        where = f"{place} (what is written out in it)" if inline else str(folder / entry)
        for document in documents.read(data, where=where):
            one = document.value
            if isinstance(one, dict):
                yield from _of_generator(one)
                named = [each.get("path") for each in (one, *_mappings(one.get("replacements")))]
                yield from (
                    each for each in _texts([*named, *_list(one.get("paths"))]) if "\n" not in each
                )


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in _list(value) if isinstance(one, dict))


def _texts(value: object) -> Iterator[str]:
    yield from (one for one in _list(value) if isinstance(one, str))


def _list(value: object) -> list[Any]:
    """Return a list; what is none is left to kustomize, which says so."""
    return value if isinstance(value, list) else []


def _file(folder: Path, entry: str, place: Path) -> Path:
    """Return the file that an entry names.

    Raises:
        UsageError: as `_local`, or it is a folder.
    """
    found = _local(folder, entry, place)
    if found.is_dir():
        raise UsageError(f"{place} names {entry}, which is a folder", hint="name a file")
    return found


def _local(folder: Path, entry: str, place: Path) -> Path:
    """Return what an entry names in this file system.

    Raises:
        UsageError: it names something elsewhere, or nothing.
    """
    found = folder / entry
    try:
        if found.exists():
            return found
    except OSError:
        pass  # too long for a path, then
    if _REMOTE.match(entry) or _QUERY.search(entry):
        raise UsageError(
            f"{place} names the remote base {entry}: what it holds can change from one build to the next",
            hint="copy it into the repository, and name the copy",
        )
    raise UsageError(f"{place} names {entry}, which is not there", hint="correct the path")
