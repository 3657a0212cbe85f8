"""`lockgate.scan.trivy`, run with executables that behave as Trivy does, well or badly."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import CommandFailed, ReportUnreadable, ToolMissing
from lockgate.base.settings import Scan
from lockgate.scan import trivy as module
from lockgate.scan.trivy import Sandbox, Trivy, arguments, sandbox
from lockgate.scan.trivy_install import Located

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.build.model import Image
    from lockgate.oci.layout import Layout
    from lockgate.scan.database import DatabaseDir

OPEN = Sandbox("none", list)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work below a folder that a test can look into; its name is a trap for Trivy."""
    folder = tmp_path / "a:b@c"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def made(path: Path, inside: Sandbox = OPEN) -> Trivy:
    """Return a scanner around an executable, which works below that folder."""
    home = Path(tempfile.gettempdir()) / "work"
    return Trivy(Located(path, "0.76.0", "sha256:" + "e" * 64, "path"), inside, home)


def left(temporary: Path) -> list[str]:
    """Return what is left of a scan."""
    return [one.name for one in (temporary / "work").iterdir() if one.name != ".lock"]


def scan(
    trivy: Trivy, image: Image, layout: Layout, database: DatabaseDir, **settings: Any
) -> list[dict[str, Any]]:
    """Scan every platform of the image."""
    manifests = layout.manifests(image.subject)
    found = trivy.scan_manifests(layout, manifests, database, Scan(**settings))
    return [json.loads(data) for data in found]


def calls(folder: Path) -> list[dict[str, Any]]:
    """Return what the executables were called with."""
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def test_each_platform_is_scanned_by_its_digest(
    image: Image, layout: Layout, database: DatabaseDir, fake_trivy: Callable[..., Path]
) -> None:
    """Each report is of exactly one manifest, in the order asked for."""
    found = scan(made(fake_trivy()), image, layout, database)
    assert [one["Metadata"]["ImageID"] for one in found] == [one.config for one in image.platforms]


def test_more_platforms_than_run_at_once(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None is left out when not all fit at the same time."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    found = scan(made(fake_trivy()), image, layout, database)
    assert len(found) == 2


def test_environment_is_bare(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No variable of ours reaches the scanner: no secret, no proxy, no setting of Trivy's."""
    for name in ("DEPLOY_TOKEN", "TRIVY_IGNORE_UNFIXED", "HTTPS_PROXY", "TRIVY_SEVERITY"):
        monkeypatch.setenv(name, "secret")
    scan(made(fake_trivy()), image, layout, database)
    for call in calls(tmp_path):
        assert set(call["env"]) - {"LC_CTYPE"} == {"PATH", "HOME", "TMPDIR"}
        assert call["env"]["PATH"] == os.defpath
        assert call["env"]["HOME"] == call["env"]["TMPDIR"] == call["cwd"]


def test_working_folder_is_fresh_and_goes_away(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    tmp_path: Path,
    temporary: Path,
) -> None:
    """Each scan has a folder and a cache of its own, and leaves nothing behind."""
    (tmp_path / ".trivyignore").write_text("CVE-2026-0001")
    scan(made(fake_trivy()), image, layout, database)
    folders = {call["cwd"] for call in calls(tmp_path)}
    assert len(folders) == 2
    assert all(Path(one).parent.parent == temporary / "work" for one in folders)
    assert not left(temporary)


def test_a_scan_removes_what_a_killed_one_left(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    temporary: Path,
) -> None:
    """Its reports quote the image, secrets included, and its caches are large."""
    abandoned = temporary / "work" / "work-killed" / "in"
    abandoned.mkdir(parents=True)
    (abandoned / "report.json").write_text("{}")
    (abandoned.parent / "lock").touch()
    scan(made(fake_trivy()), image, layout, database)
    assert not left(temporary)


def test_arguments_keep_everything() -> None:
    """Nothing is filtered, nothing is fetched, findings do not change the exit code."""
    argv = arguments(Scan(timeout=77))
    assert argv[:3] == ["image", "--input", "image"]
    assert argv[argv.index("--scanners") + 1] == "vuln,secret,misconfig"
    assert argv[argv.index("--image-config-scanners") + 1] == "secret,misconfig"
    assert argv[argv.index("--exit-code") + 1] == "0"
    assert argv[argv.index("--timeout") + 1] == "77s"
    assert {"--offline-scan", "--skip-db-update", "--skip-check-update", "--list-all-pkgs"} <= set(
        argv
    )
    assert not {"--ignore-unfixed", "--severity", "--ignorefile", "--ignore-policy"} & set(argv)
    assert not any(":" in one or "@" in one or "/" in one for one in argv)


def test_configuration_is_looked_at_only_when_asked() -> None:
    """Without secrets and misconfigurations there is nothing to look for in the configuration."""
    assert "--image-config-scanners" not in arguments(Scan(scanners=("vuln",)))


def test_crash_is_an_error_with_its_words(
    image: Image, layout: Layout, database: DatabaseDir, fake_trivy: Callable[..., Path]
) -> None:
    """A Trivy that ends with an error was not a scan; its last words are kept, however much it says."""
    with pytest.raises(CommandFailed, match="the database is broken") as caught:
        scan(made(fake_trivy("crash")), image, layout, database)
    assert caught.value.code == 1
    assert caught.value.exit_code == 6
    assert len(caught.value.stderr_tail) <= 4096
    assert "was not scanned" in caught.value.hint


def test_hang_is_ended(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    tmp_path: Path,
    temporary: Path,
) -> None:
    """A Trivy that does not end in time is killed, with the other platform's, and was not a scan."""
    with pytest.raises(CommandFailed, match="did not finish within 1 s") as caught:
        scan(made(fake_trivy("hang")), image, layout, database, timeout=1)
    assert "scan.timeout" in caught.value.hint
    assert not left(temporary)
    for call in calls(tmp_path):
        assert not any(_works_in(call["cwd"]))


def _works_in(folder: str) -> list[str]:
    """Return processes whose working directory is or was `folder`."""
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                where = str((one / "cwd").readlink())
            except OSError:
                continue
            if where.startswith(folder):
                found.append(one.name)
    return found


def test_no_report_is_an_error(
    image: Image, layout: Layout, database: DatabaseDir, fake_trivy: Callable[..., Path]
) -> None:
    """Ending well without a report is not a report without findings."""
    with pytest.raises(ReportUnreadable, match="left no report"):
        scan(made(fake_trivy("silent")), image, layout, database)


def test_enormous_report_is_refused(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report beyond the limit is not read into memory."""
    monkeypatch.setattr(module, "MAX_REPORT", 100)
    with pytest.raises(ReportUnreadable, match="larger than 100 bytes"):
        scan(made(fake_trivy()), image, layout, database)


def test_executable_that_is_gone(image: Image, layout: Layout, database: DatabaseDir) -> None:
    """A Trivy that cannot be started is a missing tool."""
    with pytest.raises(ToolMissing, match="could not be started"):
        scan(made(Path("/nowhere/trivy")), image, layout, database)


LOCK = "Jinja2==2.10 \\\n    --hash=sha256:1\n    # via flask\nflask_wtf==1.3.0\n"


def test_lock_is_audited(
    tmp_path: Path, database: DatabaseDir, fake_trivy: Callable[..., Path], temporary: Path
) -> None:
    """A requirements file is looked up under the same conditions as an image."""
    lock = tmp_path / "production.txt"
    lock.write_text(LOCK)
    (one,) = made(fake_trivy()).audit(lock, database, Scan())
    assert (one.id, one.package, one.version) == ("CVE-2019-10906", "Jinja2", "2.10")
    (call,) = calls(tmp_path)
    assert set(call["env"]) - {"LC_CTYPE"} == {"PATH", "HOME", "TMPDIR"}
    assert {"--offline-scan", "--skip-db-update"} <= set(call["argv"])
    assert not left(temporary)


def test_unseen_requirement_is_an_error(
    tmp_path: Path, database: DatabaseDir, fake_trivy: Callable[..., Path]
) -> None:
    """A requirement that Trivy did not see was not looked up, so the audit did not pass."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK)
    with pytest.raises(ReportUnreadable, match="2 of 2 requirements: flask-wtf, jinja2"):
        made(fake_trivy("blind")).audit(lock, database, Scan())


def test_empty_lock_needs_no_look(tmp_path: Path, database: DatabaseDir) -> None:
    """A component without dependencies has nothing to look up."""
    lock = tmp_path / "requirements.txt"
    lock.write_text("# none\n")
    assert made(Path("/nowhere/trivy")).audit(lock, database, Scan()) == ()


def test_program_runs_inside_the_sandbox(
    image: Image,
    layout: Layout,
    database: DatabaseDir,
    fake_trivy: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """The sandbox gets the whole command line, and the record says which one it was."""
    seen = []

    def wrap(argv: Any) -> list[str]:
        seen.append(list(argv))
        return [sys.executable, "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", *argv]

    trivy = made(fake_trivy(), Sandbox("namespaces", wrap))
    scan(trivy, image, layout, database)
    assert seen[0][0].endswith("trivy")
    assert "--input" in seen[0]
    assert trivy.scanner.sandbox == "namespaces"


def test_sandbox_says_what_the_kernel_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without namespaces the program runs as it is, and says `none`, which an environment may refuse."""
    from lockgate.base import namespaces

    monkeypatch.setattr(namespaces, "available", lambda: False)
    found = sandbox()
    assert (found.name, found.wrap(["trivy"])) == ("none", ["trivy"])
    monkeypatch.setattr(namespaces, "available", lambda: True)
    found = sandbox()
    assert found.name == "namespaces"
    assert found.wrap(["trivy"])[-1] == "trivy"
    assert len(found.wrap(["trivy"])) > 1


MANIFESTS = {"1.yaml": b"kind: Pod\nprivileged: true\n", "2.yaml": b"kind: Pod\n"}


def test_manifests_are_looked_at(
    tmp_path: Path, fake_trivy: Callable[..., Path], temporary: Path
) -> None:
    """A finding names the file that it is in; Trivy has no database, no network and no environment."""
    (one,) = made(fake_trivy()).misconfigurations(MANIFESTS, Scan())
    assert (one.id, one.severity, one.package) == ("KSV-0017", "HIGH", "1.yaml")
    (call,) = calls(tmp_path)
    assert set(call["env"]) - {"LC_CTYPE"} == {"PATH", "HOME", "TMPDIR"}
    assert {"--skip-check-update", "--include-non-failures"} <= set(call["argv"])
    assert not left(temporary)


def test_a_manifest_that_was_passed_over_is_an_error(fake_trivy: Callable[..., Path]) -> None:
    """A file of which Trivy says nothing at all was not judged, so it did not pass."""
    with pytest.raises(ReportUnreadable, match=r"1 of 2 manifests: 2\.yaml"):
        made(fake_trivy("blind")).misconfigurations(MANIFESTS, Scan())


def test_no_manifest_needs_no_look() -> None:
    """There is nothing to say of nothing; whoever calls knows that there is nothing."""
    assert made(Path("/nowhere/trivy")).misconfigurations({}, Scan()) == ()
