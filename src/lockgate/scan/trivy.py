"""Run Trivy on a platform's image: cut off from the network, without secrets, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.base.canonical import encode
from lockgate.base.errors import CommandFailed, ReportUnreadable, ToolMissing
from lockgate.base.process import TAIL, end_group
from lockgate.base.scratch import Scratch, scratch
from lockgate.oci.manifest import Index, index_bytes
from lockgate.scan.model import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lockgate.base.settings import Scan
    from lockgate.oci.layout import Layout
    from lockgate.oci.manifest import Descriptor
    from lockgate.scan.database import DatabaseDir
    from lockgate.scan.model import Finding
    from lockgate.scan.trivy_install import Located

MAX_REPORT = 256 * 1024 * 1024
"""Largest report that is read, in bytes."""

AT_ONCE = 2
"""Platforms scanned at the same time; each takes a processor and some 300 MB."""

_REPORT, _SAID = "report.json", "stderr"

_VIEW = "image"
"""Trivy takes what follows a `:` or `@` in a path for a tag, so it gets a plain name in its own folder."""


class Sandbox(NamedTuple):
    """What keeps a program from the network."""

    name: str
    """`namespaces` or `none`."""
    wrap: Callable[[Sequence[str]], list[str]]
    """Turns arguments into ones that run the same program inside."""


def sandbox() -> Sandbox:
    """Return the sandbox that this machine's kernel allows."""
    from lockgate.base import namespaces

    if namespaces.available():
        return Sandbox("namespaces", namespaces.offline)
    return Sandbox("none", list)


class Trivy:
    """A Trivy that was found, in a sandbox; the scanner that `scan` is given."""

    def __init__(self, located: Located, inside: Sandbox, home: Path) -> None:
        """Take what was found.

        Args:
            located: the executable.
            inside: the sandbox.
            home: where each run gets a folder of its own, and what killed runs left is removed.
        """
        self._located = located
        self._inside = inside
        self._home = home

    @property
    def scanner(self) -> Scanner:
        """What a report says of it."""
        return Scanner(
            name="trivy",
            version=self._located.version,
            digest=self._located.digest,
            origin=self._located.origin,
            sandbox=self._inside.name,
        )

    def scan_manifests(
        self,
        layout: Layout,
        manifests: Sequence[Descriptor],
        database: DatabaseDir,
        settings: Scan,
    ) -> tuple[bytes, ...]:
        """Scan the images of several platforms, two at a time; return the reports as Trivy wrote them.

        Each scan has a cache of its own: what an earlier one kept of a layer must never decide this one.

        Raises:
            ToolMissing: the executable is gone.
            CommandFailed: Trivy ended with an error, or did not end in time.
            ReportUnreadable: it ended well and left no report.
        """
        found: list[bytes] = []
        for first in range(0, len(manifests), AT_ONCE):
            with contextlib.ExitStack() as stack:
                running = [
                    stack.enter_context(self._started(layout, one, database, settings))
                    for one in manifests[first : first + AT_ONCE]
                ]
                found += [one.report() for one in running]
        return tuple(found)

    def audit(self, lock: Path, database: DatabaseDir, settings: Scan) -> tuple[Finding, ...]:
        """Look up a requirements file; return the findings, most severe first.

        Raises:
            ToolError: the look-up could not be done, or did not see every requirement.
        """
        from lockgate.scan.scan import merge
        from lockgate.scan.trivy_report import parse

        wanted = _requirements(lock.read_text("utf-8"))
        if not wanted:
            return ()
        with scratch(self._home) as place:
            (place.path / _VIEW).mkdir()
            shutil.copyfile(lock, place.path / _VIEW / "requirements.txt")
            with self._run_in(
                place, ["fs", *_common(settings, ["vuln"]), _VIEW], settings, database
            ) as one:
                seen = parse(one.report())
        missing = wanted - {_normal(package) for _, package in seen.packages}
        if missing:
            raise ReportUnreadable(
                f"trivy did not see {len(missing)} of {len(wanted)} requirements: {', '.join(sorted(missing)[:5])}",
                hint="write the lock with `uv pip compile --generate-hashes`",
            )
        return merge(seen.findings)

    def misconfigurations(self, files: Mapping[str, bytes], settings: Scan) -> tuple[Finding, ...]:
        """Look at Kubernetes manifests with the rules that are built into Trivy; return what breaks one.

        Args:
            files: the manifests by a plain name, one object each; a finding's `package` is that name. Values of
                Secrets are not needed, and best left out.
            settings: the time limit.

        Raises:
            ToolError: it could not be done, or a file was not looked at.
        """
        from lockgate.scan.scan import merge
        from lockgate.scan.trivy_report import parse

        if not files:
            return ()
        with scratch(self._home) as place:
            (place.path / _VIEW).mkdir()
            for file, data in files.items():
                (place.path / _VIEW / file).write_bytes(data)
            with self._run_in(place, _config_arguments(settings), settings) as one:
                seen = parse(one.report())
        missed = sorted(set(files) - set(seen.checked))
        if missed:
            raise ReportUnreadable(
                f"trivy did not look at {len(missed)} of {len(files)} manifests: {', '.join(missed[:5])}",
                hint="run it again; `inv doctor` shows which trivy is used",
            )
        return merge(seen.findings)

    @contextlib.contextmanager
    def _started(
        self, layout: Layout, manifest: Descriptor, database: DatabaseDir, settings: Scan
    ) -> Iterator[_Running]:
        with scratch(self._home) as place:
            _view(place.path / _VIEW, layout, manifest)
            with self._run_in(place, arguments(settings), settings, database) as running:
                yield running

    @contextlib.contextmanager
    def _run_in(
        self,
        place: Scratch,
        argv: Sequence[str],
        settings: Scan,
        database: DatabaseDir | None = None,
    ) -> Iterator[_Running]:
        cache = place.path / "cache"
        cache.mkdir()
        if database is not None:
            (cache / "db").symlink_to((database.path / "db").resolve())
        whole = self._inside.wrap([os.fspath(self._located.path), *argv])
        running = _Running(whole, place, settings.timeout)
        try:
            yield running
        finally:
            # On an error of the other platform, and on Ctrl-C, nothing may live on.
            running.end()


class _Running:
    """One Trivy at work in its folder. What it says goes to a file, so no pipe can fill up."""

    def __init__(self, argv: Sequence[str], place: Scratch, timeout: int) -> None:
        self._folder = folder = place.path
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        # Nothing else of this process's environment: no token, no proxy, no TRIVY_ setting.
        environment = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder)}
        with (folder / _SAID).open("wb") as said:
            try:
                self._child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env=environment,
                    cwd=folder,
                    start_new_session=True,
                    # Without a sandbox it may outlive us; its folder must not be taken away then.
                    pass_fds=(place.lock,),
                )
            except OSError as error:
                raise ToolMissing(
                    f"`{argv[0]}` could not be started: {error.strerror}",
                    hint="`inv doctor` shows which trivy is used",
                ) from None

    def report(self) -> bytes:
        """Wait for the end and return the report."""
        try:
            code = self._child.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise CommandFailed(
                ["trivy"],
                -signal.SIGKILL,
                f"it did not finish within {self._timeout} s",
                hint="raise `scan.timeout` in lockgate.yaml; the image was not scanned",
            ) from None
        if code != 0:
            said = (self._folder / _SAID).read_bytes()[-TAIL:].decode("utf-8", "replace")
            raise CommandFailed(
                ["trivy"],
                code,
                said,
                hint="the image was not scanned; `inv doctor` shows which trivy is used",
            )
        return _read(self._folder / _REPORT)

    def end(self) -> None:
        """Kill what still runs."""
        if self._child.poll() is None:
            end_group(self._child)


def arguments(settings: Scan) -> list[str]:
    """Return Trivy's arguments for an image, for a folder of its own as working directory.

    Trivy reads its configuration, ignore list and secret rules from the working directory. In an empty one
    there is nothing that could soften a verdict.
    """
    of_configuration = [one for one in settings.scanners if one in ("misconfig", "secret")]
    argv = ["image", "--input", _VIEW, *_common(settings, settings.scanners)]
    if of_configuration:
        argv += ["--image-config-scanners", ",".join(of_configuration)]
    return argv


def _common(settings: Scan, scanners: Sequence[str]) -> list[str]:
    argv = ["--format", "json", "--output", _REPORT, "--cache-dir", "cache"]
    argv += ["--scanners", ",".join(scanners), "--list-all-pkgs", "--exit-code", "0"]
    argv += ["--offline-scan", "--skip-db-update", "--skip-java-db-update", "--skip-check-update"]
    argv += ["--skip-vex-repo-update", "--skip-version-check", "--disable-telemetry"]
    return [*argv, "--no-progress", "--timeout", f"{settings.timeout}s"]


def _config_arguments(settings: Scan) -> list[str]:
    """Return Trivy's arguments for a folder of manifests.

    Rules that are not broken are reported too: without them a file that was passed over would look like a good one.
    """
    argv = ["config", "--format", "json", "--output", _REPORT, "--cache-dir", "cache"]
    argv += ["--misconfig-scanners", "kubernetes", "--include-non-failures", "--exit-code", "0"]
    argv += ["--skip-check-update", "--skip-version-check", "--disable-telemetry"]
    return [*argv, "--timeout", f"{settings.timeout}s", _VIEW]


def _requirements(text: str) -> set[str]:
    return {_normal(one) for one in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def _normal(name: str) -> str:
    """Return a distribution's name as everyone compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _view(folder: Path, layout: Layout, manifest: Descriptor) -> None:
    """Make a layout that names one manifest of another layout and shares its blobs.

    Trivy scans the first image that a layout names, so there must be no other.
    """
    folder.mkdir()
    plain = msgspec.structs.replace(manifest, annotations={})
    (folder / "index.json").write_bytes(index_bytes(Index(manifests=(plain,))))
    (folder / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))
    (folder / "blobs").symlink_to((layout.root / "blobs").resolve())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_REPORT + 1)
    except FileNotFoundError:
        raise ReportUnreadable(
            "trivy ended well and left no report", hint="run the scan again"
        ) from None
    if len(data) > MAX_REPORT:
        raise ReportUnreadable(f"trivy's report is larger than {MAX_REPORT} bytes")
    return data
