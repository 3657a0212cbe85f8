"""The advisory databases: the embedded one, made from the repository's data files, and Trivy's own.

Both lie in a folder as Trivy wants its cache: `db/trivy.db` and `db/metadata.json`. A database that is
there and cannot be read is an error; the other one never takes its place unasked.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockgate.base.canonical import Foreign, Record, decode, encode
from lockgate.base.errors import (
    CommandFailed,
    RemoteError,
    ToolError,
    UsageError,
)
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.scan.model import AdvisorySource, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lockgate.scan.advisories import Advisories

SCHEMA = 2
"""trivy-db's schema version, `metadata.json`."""

BUILDER = "2"
"""Part of the cache's key: raised when the same data files give another database."""

DAY = 86_400
"""Seconds of a day."""

_PULL = "pull it: `inv scan.database --pull`"


class DatabaseDir(NamedTuple):
    """A database on disk, and what a report says of it."""

    path: Path
    """Folder that holds `db/trivy.db`."""
    record: Database
    buckets: tuple[str, ...]
    """What it knows, as trivy-db names it: releases of systems, `debian 13`, and ecosystems, `pip::…`."""


class _Metadata(Foreign, frozen=True, rename="pascal"):
    """trivy-db `pkg/metadata`."""

    version: int = 0
    updated_at: str = ""


class _Seal(Record, frozen=True):
    """What was read of a database file, so that a gigabyte is not hashed on every run."""

    digest: str
    size: int
    changed: int
    """Modification time in nanoseconds."""
    buckets: tuple[str, ...]


class _Made(Record, frozen=True):
    """What stands beside an embedded database, so that finding it again needs no data file parsed."""

    database: Database
    buckets: tuple[str, ...]


def embedded(folder: Path, cache: Path) -> DatabaseDir:
    """Return the database of the data files in `folder`; it is made when the cache does not have it.

    The same files give the same bytes.

    Raises:
        ToolError: a data file is damaged, or there are none.
        StorageError: the cache cannot be written.
    """
    from lockgate.scan.advisories import parse, read

    files = read(folder)
    place = cache / "advisories" / f"embedded-{_key(files)}"
    made = _whole(place)
    if made is None:
        sets = [parse(data, what=str(folder / name)) for name, data in files.items()]
        made = _make(place, sets)
    return DatabaseDir(place, made.database, made.buckets)


def _key(files: Mapping[str, bytes]) -> str:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return hashlib.sha256(encode([BUILDER, digests])).hexdigest()[:16]


def _whole(place: Path) -> _Made | None:
    # Small enough to hash each time: a cache that another program touched is made again.
    try:
        made = decode((place / "made.json").read_bytes(), _Made)
        metadata = (place / "db" / "metadata.json").read_bytes()
        digest = file_digest(place / "db" / "trivy.db")
    except (OSError, UsageError):
        return None
    same = digest == made.database.digest and metadata == _metadata(made.database.updated)
    return made if same else None


def _make(place: Path, sets: Sequence[Advisories]) -> _Made:
    from lockgate.scan.advisories import day, tree
    from lockgate.scan.bolt import bolt_bytes
    from lockgate.scan.bolt_reader import bucket_names

    data = bolt_bytes(tree(sets))
    record = Database(
        kind="embedded",
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
        updated=max(day(found.date) for found in sets),
        partial=True,
        sources=tuple(
            AdvisorySource(name=found.name, date=found.date, licence=found.licence)
            for found in sorted(sets, key=lambda one: one.name)
        ),
    )
    names = bucket_names(lambda at, length: data[at : at + length])
    made = _Made(database=record, buckets=names)
    with (
        exclusive(place.parent / ".lock"),
        tempfile.TemporaryDirectory(dir=place.parent, prefix=".partial-") as name,
    ):
        fresh = Path(name) / "new"
        atomic_write(fresh / "db" / "trivy.db", data)
        atomic_write(fresh / "db" / "metadata.json", _metadata(record.updated))
        atomic_write(fresh / "made.json", encode(made))
        _swap(fresh, place)
    return made


def _metadata(updated: int) -> bytes:
    day = dt.datetime.fromtimestamp(updated, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = dict.fromkeys(("UpdatedAt", "NextUpdate", "DownloadedAt"), day)
    return encode({"Version": SCHEMA, **times})


def pulled(cache: Path) -> DatabaseDir | None:
    """Return Trivy's database when one was pulled into the cache, else None.

    Raises:
        ToolError: one is there, and it or its metadata is broken.
    """
    place = cache / "advisories" / "upstream"
    if not place.exists():
        # A pull that was killed has moved it away and put nothing in its place.
        place = _before(place)
    if not place.exists():
        return None
    database, metadata = place / "db" / "trivy.db", place / "db" / "metadata.json"
    try:
        found = decode(metadata.read_bytes(), _Metadata, what=str(metadata))
        if found.version != SCHEMA:
            raise UsageError(f"{metadata} says schema version {found.version}, {SCHEMA} is needed")
        updated = _time(found.updated_at)
        seal = _seal(database)
    except (OSError, UsageError) as error:
        reason = (
            str(error) if isinstance(error, UsageError) else f"{error.filename}: {error.strerror}"
        )
        raise ToolError(f"the pulled advisory database is broken: {reason}", hint=_PULL) from None
    record = Database(kind="upstream", digest=seal.digest, updated=updated, partial=False)
    return DatabaseDir(place, record, seal.buckets)


def pull(cache: Path, trivy: Path, *, repository: str = "", timeout: int = 600) -> DatabaseDir:
    """Download Trivy's database, or a mirror of it, and put it in the place of the one before.

    This is the one time that Trivy may use the network; it sees no variable but the plain ones and those
    that name a proxy or certificates.

    Args:
        cache: the cache folder.
        trivy: the executable.
        repository: `host/path:tag`; empty for Trivy's default.
        timeout: seconds.

    Raises:
        RemoteError: the repository cannot be reached or does not hold a database.
        ToolError: what was downloaded is not a database.
        StorageError: the cache cannot be written.
    """
    from lockgate.base.process import plain_environment, run

    folder = cache / "advisories"
    environment = plain_environment(
        *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    )
    with exclusive(folder / ".lock"), tempfile.TemporaryDirectory(dir=folder, prefix=".p-") as name:
        # The same layout as in the cache, so that `pulled` judges the download before it counts.
        fresh = Path(name) / "advisories" / "upstream"
        argv: list[str | Path] = [trivy, "image", "--download-db-only", "--no-progress"]
        argv += [
            "--config",
            "",
            "--cache-dir",
            fresh,
            "--disable-telemetry",
            "--skip-version-check",
        ]
        if repository:
            argv += ["--db-repository", repository]
        try:
            run(argv, timeout=timeout, env=environment, cwd=Path(name))
        except CommandFailed as error:
            raise RemoteError(
                f"the advisory database could not be pulled: {error.message}",
                hint="check the network and `scan.database_repository`, then"
                " `inv scan.database --pull` again",
                retryable=True,
            ) from error
        if pulled(Path(name)) is None:
            raise ToolError("trivy ended well and left no advisory database", hint=_PULL)
        _swap(fresh, folder / "upstream")
    found = pulled(cache)
    if found is None:
        raise ToolError("the pulled advisory database is gone", hint=_PULL)
    return found


def choose(
    setting: Literal["auto", "embedded", "upstream"],
    *,
    embedded: Callable[[], DatabaseDir],
    pulled: Callable[[], DatabaseDir | None],
) -> DatabaseDir:
    """Return the database that `scan.database` asks for.

    Raises:
        ToolError: `upstream` is asked for and none was pulled, or the chosen one is broken.
    """
    if setting == "embedded":
        return embedded()
    found = pulled()
    if found is not None:
        return found
    if setting == "upstream":
        raise ToolError("trivy could not run: no advisory database was pulled", hint=_PULL)
    return embedded()


def _time(text: str) -> int:
    try:
        # Go writes nanoseconds; Python reads microseconds.
        head, _, rest = text.partition(".")
        zone = rest.lstrip("0123456789")
        found = dt.datetime.fromisoformat(head + zone)
        if found.tzinfo is None:
            raise ValueError(text)
        return int(found.timestamp())
    except ValueError:
        raise UsageError(f"{text!r} is not a time") from None


def _seal(path: Path) -> _Seal:
    """Return the digest and the buckets of a database file, read again whenever the file changed.

    Raises:
        UsageError: it is not a database, or it holds no advisories.
        OSError: it cannot be read.
    """
    from lockgate.scan.bolt_reader import bucket_names

    place, now = path.parent.parent / "seal.json", path.stat()
    try:
        known = decode(place.read_bytes(), _Seal)
        if (known.size, known.changed) == (now.st_size, now.st_mtime_ns):
            return known
    except (OSError, UsageError):
        pass
    with path.open("rb") as file:
        names = bucket_names(lambda at, length: os.pread(file.fileno(), length, at))
    if not names:
        raise UsageError(f"{path} holds no advisories")
    fresh = _Seal(
        digest=file_digest(path), size=now.st_size, changed=now.st_mtime_ns, buckets=names
    )
    atomic_write(place, encode(fresh))
    return fresh


def file_digest(path: Path) -> str:
    """Return the sha256 digest of a file of any size, `sha256:…`."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _swap(fresh: Path, place: Path) -> None:
    """Put a finished folder in its place; a reader of the old one keeps what it has open.

    Between the two renames the old one is found beside its place (`pulled`), also when nothing follows any more.
    """
    old = _before(place)
    try:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        fresh.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, place) from error


def _before(place: Path) -> Path:
    """Return where a folder lies while another one takes its place."""
    return place.with_name(f".{place.name}.old")
