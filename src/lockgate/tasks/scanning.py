"""The scan stage's edges, made from the settings: Trivy and the advisories."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import RemoteError, ToolMissing, UsageError
from lockgate.base.files import exclusive
from lockgate.oci.digest import Digest
from lockgate.scan import database, trivy_install
from lockgate.scan.model import Report
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.base.settings import Environment
    from lockgate.build.model import Image
    from lockgate.scan.database import DatabaseDir
    from lockgate.scan.trivy_install import Located
    from lockgate.tasks.session import Session

_BUNDLED = Path(__file__).parent.parent / "bundled" / "advisories"


def advisories_folder(session: Session) -> Path:
    """Return the folder of the embedded advisories: the repository's own, else the one that we ship."""
    own = session.root / "advisories"
    return own if own.is_dir() else _BUNDLED


def choose_database(session: Session, environment: Environment | None = None) -> DatabaseDir:
    """Return the database that the settings ask for.

    With `scan.database: auto`, an environment that refuses the embedded advisories has Trivy's own pulled
    when none is there or it is too old. Where it cannot be reached, what is there is taken, and the gate
    says what it thinks of that.

    Raises:
        ToolError: it is absent or broken.
    """
    if environment is not None and _wants_pull(session, environment):
        try:
            pull(session)
        except RemoteError as error:
            session.console.say("scan", error.message, tone="warn")
    return database.choose(
        session.settings.scan.database,
        embedded=lambda: database.embedded(advisories_folder(session), user_cache()),
        pulled=lambda: database.pulled(user_cache()),
    )


def _wants_pull(session: Session, environment: Environment) -> bool:
    if session.settings.scan.database != "auto" or environment.embedded_advisories:
        return False
    found = database.pulled(user_cache())
    days = environment.database_max_age_days
    return found is None or time.time() - found.record.updated > days * database.DAY


def pull(session: Session) -> None:
    """Download Trivy's database, or the mirror of it that the settings name.

    Raises:
        RemoteError: it cannot be reached.
        ToolError: there is no Trivy to download it, or it is not a database.
    """
    started = time.monotonic()
    session.console.say("scan", "pulling Trivy's database")
    located = trivy_install.locate(os.environ.get("PATH", ""), user_cache())
    mirror = session.settings.scan.database_repository
    database.pull(user_cache(), located.path, repository=mirror)
    session.console.say("scan", "database pulled", started=started)


def inputs(session: Session, image: Image, chosen: DatabaseDir) -> dict[str, str]:
    """Return everything that a report depends on, by reason."""
    settings = session.settings.scan
    return {
        "IMAGE": image.subject,
        "SCANNER": trivy_install.fingerprint(os.environ.get("PATH", "")),
        "DATABASE": chosen.record.digest,
        "CONFIG": Digest.of(encode([settings.scanners])),
    }


def cached(session: Session, image: Image, depends: dict[str, str]) -> Report | None:
    """Return the report of an earlier scan of the same image with the same scanner and database.

    A scan without a sandbox is not kept for longer than there is none.
    """
    kept = session.cache.find("scan", image.component, depends, Report)
    if kept is not None and kept.scanner.sandbox == "none":
        from lockgate.base import namespaces

        return None if namespaces.available() else kept
    return kept


def run(session: Session, image: Image, chosen: DatabaseDir, depends: dict[str, str]) -> Report:
    """Scan and remember; two runs at once do the work once.

    Raises:
        ToolError: the scan could not be done; never a pass.
    """
    from lockgate.scan.scan import scan
    from lockgate.scan.trivy import Trivy, sandbox

    console = session.console
    with exclusive(
        session.lock(f"scan-{image.component}"),
        waiting=lambda: console.say("scan", "another run scans this component; waiting for it"),
    ):
        kept = cached(session, image, depends)
        if kept is not None:
            return kept
        located = _locate()
        if located.note:
            console.say("scan", located.note, tone="warn")
        report = scan(
            image,
            session.layout,
            trivy=Trivy(located, sandbox(), user_cache() / "work"),
            database=chosen,
            settings=session.settings.scan,
            now=int(time.time()),
            records=raw_reports(session),
        )
        session.cache.keep("scan", image.component, depends, report)
    return report


def _locate() -> Located:
    """Return the Trivy to scan with; that none can be had is a scan that could not be done."""
    try:
        return trivy_install.locate(os.environ.get("PATH", ""), user_cache())
    except RemoteError as error:
        raise ToolMissing(f"trivy is not on PATH, and {error.message}", hint=error.hint) from None


def raw_reports(session: Session) -> Path:
    """Return the folder of Trivy's reports, each under the hexadecimal digits of its digest."""
    return session.folder / "records" / "reports"


def refresh(session: Session, name: str) -> tuple[str, int]:
    """Read the changelogs of a stack's locked packages into the embedded advisories.

    Returns:
        Name of the data file, and how many source packages it knows now.

    Raises:
        LockgateError: the packages cannot be had, or a changelog is missing.
    """
    from lockgate.build import debs, stack
    from lockgate.build.stack_lock import open_stack
    from lockgate.scan.refresh import changelog_of, refresh_debian
    from lockgate.tasks.locking import mirrors

    if not (session.root / "advisories").is_dir():
        raise UsageError(
            "this repository has no advisories of its own to refresh",
            hint="a folder `advisories/` replaces the ones that Lockgate ships; start from a copy of them",
        )
    lock = open_stack(stack.folder(name, session.root)).lock
    platform = f"linux/{next(iter(sorted(lock.packages)))}"
    with session.console.bar(f"packages of {name}") as progress:
        found = debs.fetch(lock, platform, mirrors(session), user_cache() / "debs", progress)
    release = lock.release.partition(".")[0]
    path = session.root / "advisories" / f"debian-{release}.json"
    made = refresh_debian(
        path,
        release=release,
        date=time.strftime("%Y-%m-%d", time.gmtime(lock.date)),
        debs=found.values(),
        read=changelog_of,
    )
    return path.name, len(made.packages)
