"""`lockgate.scan.database`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.scan.conftest import PULLED

from lockgate.base.errors import RemoteError, ToolError
from lockgate.oci.digest import Digest
from lockgate.scan.bolt import bolt_bytes
from lockgate.scan.database import (
    DatabaseDir,
    choose,
    embedded,
    pull,
    pulled,
)
from lockgate.scan.model import Database

if TYPE_CHECKING:
    from collections.abc import Callable

ADVISORIES = Path(__file__).parents[3] / "advisories"
UPDATED = "2026-11-20T12:00:00.123456789Z"
DATABASE = bolt_bytes({b"debian 13": {b"package": b"{}"}, b"pip::python": {b"package": b"{}"}})
OLD = bolt_bytes({b"debian 12": {b"package": b"{}"}})
METADATA = {"Version": 2, "UpdatedAt": UPDATED, "NextUpdate": UPDATED, "DownloadedAt": UPDATED}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the repository's data files."""
    return Path(shutil.copytree(ADVISORIES, tmp_path / "data"))


def test_embedded_database_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    """Its record is partial, has every source with its date, and the digest of the file beside it."""
    found = embedded(folder, tmp_path / "cache")
    assert found.record.kind == "embedded"
    assert found.record.partial
    assert found.record.digest == Digest.of((found.path / "db" / "trivy.db").read_bytes())
    assert {"debian 12", "debian 13"} < set(found.buckets)
    assert any(one.startswith("pip::") for one in found.buckets)
    assert [one.name for one in found.record.sources] == [
        "Debian 12 changelogs",
        "Debian 13 changelogs",
        "Python Packaging Advisory Database",
    ]
    metadata = json.loads((found.path / "db" / "metadata.json").read_bytes())
    assert metadata["Version"] == 2
    newest = max(one.date for one in found.record.sources)
    assert metadata["UpdatedAt"] == f"{newest}T00:00:00Z"


def test_same_files_give_the_same_database(folder: Path, tmp_path: Path) -> None:
    """Two caches made from the same files hold the same bytes, whatever the zone and the names' order."""
    first = embedded(folder, tmp_path / "one")
    os.environ["TZ"], before = "Pacific/Apia", os.environ.get("TZ")
    try:
        second = embedded(folder, tmp_path / "two")
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
    assert first.record == second.record
    for name in ("trivy.db", "metadata.json"):
        assert (first.path / "db" / name).read_bytes() == (second.path / "db" / name).read_bytes()


def test_database_is_made_once(folder: Path, tmp_path: Path) -> None:
    """A second call finds the first one's files."""
    first = embedded(folder, tmp_path)
    before = (first.path / "db" / "trivy.db").stat().st_mtime_ns
    assert embedded(folder, tmp_path) == first
    assert (first.path / "db" / "trivy.db").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["db/trivy.db", "db/metadata.json", "made.json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{}"), Path.unlink])
def test_damaged_cache_is_made_again(
    folder: Path, tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    """A changed or lost file in the cache never reaches a scan."""
    first = embedded(folder, tmp_path)
    whole = (first.path / name).read_bytes()
    damage(first.path / name)
    assert embedded(folder, tmp_path) == first
    assert (first.path / name).read_bytes() == whole


def test_other_files_have_another_place(folder: Path, tmp_path: Path) -> None:
    """A change of the data is another database, and the old one is left alone."""
    first = embedded(folder, tmp_path)
    data = json.loads((folder / "debian-13.json").read_bytes())
    data["packages"]["expat"]["fixed"]["CVE-2999-0001"] = "99-1 high"
    (folder / "debian-13.json").write_text(json.dumps(data))
    second = embedded(folder, tmp_path)
    assert second.path != first.path
    assert second.record.digest != first.record.digest


def test_damaged_data_file_is_an_error(folder: Path, tmp_path: Path) -> None:
    """A data file that cannot be read stops the scan; the others are not used without it."""
    (folder / "python.json").write_bytes((folder / "python.json").read_bytes()[:-99])
    with pytest.raises(ToolError, match=r"python\.json is damaged"):
        embedded(folder, tmp_path)


def place(cache: Path, *, data: bytes = DATABASE, metadata: object = METADATA) -> Path:
    """Put an upstream database into a cache."""
    folder = cache / "advisories" / "upstream" / "db"
    folder.mkdir(parents=True)
    (folder / "trivy.db").write_bytes(data)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def test_nothing_pulled_is_none(tmp_path: Path) -> None:
    """Without a pull there is no upstream database, and that is no error."""
    assert pulled(tmp_path) is None


def test_pulled_database_is_read(tmp_path: Path) -> None:
    """Its digest is that of the file, its date the one in the metadata."""
    place(tmp_path)
    found = pulled(tmp_path)
    assert found is not None
    assert found.record == Database(
        kind="upstream", digest=Digest.of(DATABASE), updated=1_795_176_000, partial=False
    )
    assert found.buckets == ("debian 13", "pip::python")


def test_changed_file_has_another_digest(tmp_path: Path) -> None:
    """The digest is kept, but not past a change of the file."""
    folder = place(tmp_path)
    first = pulled(tmp_path)
    other = bolt_bytes({b"debian 14": {b"package": b"{}"}})
    (folder / "trivy.db").write_bytes(other)
    second = pulled(tmp_path)
    assert first is not None
    assert second is not None
    assert second.record.digest == Digest.of(other) != first.record.digest
    assert second.buckets == ("debian 14",)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        [],
        {**METADATA, "Version": 1},
        {**METADATA, "UpdatedAt": ""},
        {**METADATA, "UpdatedAt": "2026-11-20T12:00:00"},
        {**METADATA, "UpdatedAt": 5},
    ],
)
def test_broken_metadata_is_an_error(tmp_path: Path, metadata: object) -> None:
    """A pulled database of unknown age or format is refused, not passed over."""
    place(tmp_path, metadata=metadata)
    with pytest.raises(ToolError, match="pulled advisory database is broken") as caught:
        pulled(tmp_path)
    assert "--pull" in caught.value.hint


@pytest.mark.parametrize("name", ["trivy.db", "metadata.json"])
def test_missing_part_is_an_error(tmp_path: Path, name: str) -> None:
    """Half a database is a broken one."""
    (place(tmp_path) / name).unlink()
    with pytest.raises(ToolError, match=name.replace(".", r"\.")):
        pulled(tmp_path)


def test_empty_database_is_an_error(tmp_path: Path) -> None:
    """A database without a byte is a broken one."""
    place(tmp_path, data=b"")
    with pytest.raises(ToolError, match="not a BoltDB file"):
        pulled(tmp_path)


def test_a_database_of_nothing_is_an_error(tmp_path: Path) -> None:
    """A whole file without advisories would find nothing in anything."""
    place(tmp_path, data=bolt_bytes({}))
    with pytest.raises(ToolError, match="holds no advisories"):
        pulled(tmp_path)


def test_pull_puts_a_database_in_place(
    tmp_path: Path, fake_trivy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull replaces what was there, asks the mirror that the settings name, and sees no secrets."""
    monkeypatch.setenv("REGISTRY_TOKEN", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    place(tmp_path / "cache", data=OLD)
    found = pull(
        tmp_path / "cache", fake_trivy(canned=METADATA), repository="registry.example/db:2"
    )
    assert found.record.digest == Digest.of(PULLED)
    assert pulled(tmp_path / "cache") == found
    call = json.loads((tmp_path / "calls.jsonl").read_text())
    assert call["argv"][call["argv"].index("--db-repository") + 1] == "registry.example/db:2"
    assert "REGISTRY_TOKEN" not in call["env"]
    assert call["env"]["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert [path.name for path in (tmp_path / "cache" / "advisories").iterdir()].count("upstream")
    assert not list((tmp_path / "cache" / "advisories").glob(".p-*"))


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_pull_that_is_killed_leaves_a_database(
    steps: int, tmp_path: Path, fake_trivy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends there is the old one or the new one: the embedded one would take its place unasked."""
    cache = tmp_path / "cache"
    done: list[object] = []
    place(cache, data=OLD)
    trivy = fake_trivy(canned=METADATA)

    def until_killed(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if "advisories" not in str(arguments[0]):
                return step(*arguments, **named)
            if len(done) == steps:
                raise SystemExit
            done.append(step)
            return step(*arguments, **named)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", until_killed(Path.rename))
        patch.setattr(shutil, "rmtree", until_killed(shutil.rmtree))
        with contextlib.suppress(SystemExit):
            pull(cache, trivy)
    kept = pulled(cache)
    assert kept is not None
    assert kept.record.digest in (Digest.of(OLD), Digest.of(PULLED))
    assert pull(cache, trivy).record.digest == Digest.of(PULLED)


def test_failed_pull_keeps_what_was_there(tmp_path: Path, fake_trivy: Callable[..., Path]) -> None:
    """A registry that refuses is a remote error (exit 5), and the old database stays."""
    place(tmp_path / "cache", data=OLD)
    with pytest.raises(RemoteError, match="TOOMANYREQUESTS") as caught:
        pull(tmp_path / "cache", fake_trivy("unreachable"))
    assert caught.value.retryable
    kept = pulled(tmp_path / "cache")
    assert kept is not None
    assert kept.record.digest == Digest.of(OLD)


def test_pull_of_something_else_keeps_what_was_there(
    tmp_path: Path, fake_trivy: Callable[..., Path]
) -> None:
    """A download that is no database is refused before it replaces one."""
    place(tmp_path / "cache", data=OLD)
    with pytest.raises(ToolError, match="broken"):
        pull(tmp_path / "cache", fake_trivy(canned={"Version": 9}))
    kept = pulled(tmp_path / "cache")
    assert kept is not None
    assert kept.record.digest == Digest.of(OLD)


EMBEDDED = DatabaseDir(Path("e"), Database(kind="embedded", digest="", updated=0, partial=True), ())
UPSTREAM = DatabaseDir(
    Path("u"), Database(kind="upstream", digest="", updated=0, partial=False), ()
)


def test_auto_prefers_what_was_pulled() -> None:
    """`auto` takes the pulled database when there is one, else the embedded advisories."""
    assert choose("auto", embedded=lambda: EMBEDDED, pulled=lambda: UPSTREAM) is UPSTREAM
    assert choose("auto", embedded=lambda: EMBEDDED, pulled=lambda: None) is EMBEDDED
    assert choose("upstream", embedded=lambda: EMBEDDED, pulled=lambda: UPSTREAM) is UPSTREAM


def test_embedded_does_not_look_at_what_was_pulled() -> None:
    """`embedded` is an order: a pulled database plays no part, not even a broken one."""

    def broken() -> DatabaseDir | None:
        raise ToolError("broken")

    assert choose("embedded", embedded=lambda: EMBEDDED, pulled=broken) is EMBEDDED


def test_upstream_never_falls_back() -> None:
    """`upstream` without a pull is an error that says how to pull."""
    with pytest.raises(ToolError, match="no advisory database was pulled") as caught:
        choose("upstream", embedded=lambda: EMBEDDED, pulled=lambda: None)
    assert caught.value.hint == "pull it: `inv scan.database --pull`"


def test_auto_does_not_step_over_a_broken_one(tmp_path: Path) -> None:
    """A broken pulled database is an error, the embedded one does not take its place."""
    place(tmp_path, metadata={})
    with pytest.raises(ToolError, match="broken"):
        choose("auto", embedded=lambda: EMBEDDED, pulled=lambda: pulled(tmp_path))
