"""`lockgate.scan.advisories`, and the data files of this repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lockgate.base.errors import ToolError, UsageError
from lockgate.scan.advisories import (
    PYTHON_BUCKET,
    DebianAdvisories,
    DebianPackage,
    PythonAdvisories,
    PythonAdvisory,
    day,
    parse,
    read,
    to_bytes,
    tree,
)

FOLDER = Path(__file__).parents[3] / "advisories"

DEBIAN = DebianAdvisories(
    name="Debian 13 changelogs",
    release="13",
    date="2026-11-20",
    source="changelogs",
    licence="Apache-2.0",
    notes="",
    packages={
        "expat": DebianPackage(
            version="2.9.0-1",
            fixed={
                "CVE-2026-0001": "2.9.0-1 high",
                "CVE-2026-0002": "2.8-1",
                "CVE-2026-0003": "2-1 odd",
            },
        ),
        "zlib": DebianPackage(version="1:1.3-1", fixed={}),
    },
)


def advisory(**changes: Any) -> PythonAdvisory:
    """Return an advisory of flask."""
    fields: dict[str, Any] = {
        "id": "PYSEC-2026-1",
        "aliases": ("CVE-2026-0009", "GHSA-aaaa-bbbb-cccc"),
        "package": "flask",
        "vulnerable": ("<2.2.5",),
        "patched": ("2.2.5",),
        "cvss": "",
        "title": "Something",
    }
    return PythonAdvisory(**{**fields, **changes})


def python(*advisories: PythonAdvisory) -> PythonAdvisories:
    """Return a set of Python advisories."""
    return PythonAdvisories(
        name="PyPA",
        date="2024-10-10",
        source="pypa",
        licence="CC-BY-4.0",
        notes="",
        advisories=advisories,
    )


def plain(sets: list[Any]) -> Any:
    """Return the tree of a database with its JSON parsed."""

    def one(value: Any) -> Any:
        if isinstance(value, bytes):
            return json.loads(value)
        return {key.decode(): one(inner) for key, inner in value.items()}

    return one(tree(sets))


def test_debian_severity_stands_beside_the_package() -> None:
    """An urgency is the severity of that package; without a known one Trivy finds none at all."""
    found = plain([DEBIAN])
    assert found["debian 13"] == {
        "expat": {
            "CVE-2026-0001": {"FixedVersion": "2.9.0-1", "Severity": 3},
            "CVE-2026-0002": {"FixedVersion": "2.8-1"},
            "CVE-2026-0003": {"FixedVersion": "2-1"},
        },
        "zlib": {},
    }
    assert all("Severity" not in one for one in found["vulnerability"].values())


def test_python_advisory_is_known_by_its_cve() -> None:
    """The CVE is the id and the other names stay with it, so that waivers may use any of them."""
    found = plain([python(advisory())])
    assert found[PYTHON_BUCKET] == {
        "flask": {
            "CVE-2026-0009": {
                "VulnerableVersions": ["<2.2.5"],
                "PatchedVersions": ["2.2.5"],
                "VendorIDs": ["GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1"],
            }
        }
    }
    assert found["vulnerability"] == {"CVE-2026-0009": {"Title": "Something"}}


def test_python_severity_comes_from_the_vector() -> None:
    """A severity is computed from CVSS and never invented; of two vectors the worse one counts."""
    low = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:L/A:N"
    high = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
    pair = [advisory(cvss=high), advisory(id="PYSEC-2026-2", cvss=low)]
    for sets in (pair, pair[::-1]):
        found = plain([python(*sets)])
        assert found["vulnerability"]["CVE-2026-0009"]["VendorSeverity"] == {"osv": 3}


def test_two_entries_of_one_vulnerability_are_both_kept() -> None:
    """What either of two entries calls vulnerable is vulnerable."""
    found = plain(
        [python(advisory(), advisory(id="PYSEC-2026-2", vulnerable=("==3.0",), patched=()))]
    )
    assert found[PYTHON_BUCKET]["flask"]["CVE-2026-0009"]["VulnerableVersions"] == [
        "<2.2.5",
        "==3.0",
    ]


def test_every_output_says_partial() -> None:
    """The name that Trivy shows for the data source has its date and says that it is partial."""
    found = plain([DEBIAN, python(advisory())])
    names = [one["Name"] for one in found["data-source"].values()]
    assert names == [
        "Debian 13 changelogs of 2026-11-20 (embedded, partial)",
        "PyPA of 2024-10-10 (embedded, partial)",
    ]


@pytest.mark.parametrize("found", [DEBIAN, python(advisory())])
def test_file_comes_back(found: Any) -> None:
    """A data file holds all that its record does, and its bytes are those of its content."""
    assert parse(to_bytes(found), what="a") == found


def damaged(**changes: Any) -> bytes:
    """Return the Debian file with fields changed."""
    return json.dumps({**json.loads(to_bytes(DEBIAN)), **changes}).encode()


def damaged_python(**changes: Any) -> bytes:
    """Return the Python file with fields of its advisory changed."""
    return to_bytes(python(advisory(**changes)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        to_bytes(DEBIAN)[:-20],
        damaged(kind="rpm"),
        damaged(more=1),
        damaged(date="20.11.2026"),
        damaged(packages={}),
        damaged(packages={"expat": {"version": "_", "fixed": {}}}),
        damaged(packages={"expat": {"version": "1", "fixed": {"CVE-2026-0001": ""}}}),
        damaged(packages={"expat": {"version": "1", "fixed": {"CVE-2026-0001": "2 high low"}}}),
        damaged(packages={"expat": {"version": "1", "fixed": {"cve": "2 high"}}}),
        to_bytes(python()),
        damaged_python(id="?"),
        damaged_python(package=""),
        damaged_python(vulnerable=()),
        damaged_python(vulnerable=("",)),
        damaged_python(vulnerable=("<2.x",)),
        damaged_python(vulnerable=(">=1 <2",)),
        damaged_python(cvss="CVSS:3.1/AV:N"),
    ],
)
def test_damaged_file_is_an_error(data: bytes) -> None:
    """Whatever Trivy would pass over in silence is an error before it gets there."""
    with pytest.raises(ToolError, match=r"python\.json is damaged") as caught:
        parse(data, what="python.json")
    assert caught.value.hint


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    """No advisories at all is no database."""
    with pytest.raises(ToolError, match="no advisories"):
        read(tmp_path)


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be read is not left out."""
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ToolError, match="cannot be read"):
        read(tmp_path)


def test_day_is_utc() -> None:
    """A date is the start of its day in UTC."""
    assert day("1970-01-02") == 86_400
    with pytest.raises(UsageError):
        day("1970-1-2x")


def test_files_of_this_repository_are_canonical() -> None:
    """Each committed data file is as `to_bytes` writes it, with source and licence."""
    files = read(FOLDER)
    assert len(files) == 3
    for name, data in files.items():
        found = parse(data, what=name)
        assert to_bytes(found) == data
        assert found.source
        assert found.licence
        assert found.notes


def test_readme_tells_of_every_file() -> None:
    """The table names each file with its date and how much is in it."""
    lines = (FOLDER / "README.md").read_text("utf-8").splitlines()
    for name, data in read(FOLDER).items():
        found = parse(data, what=name)
        (line,) = [one for one in lines if one.startswith(f"| `{name}`")]
        if isinstance(found, DebianAdvisories):
            size = f"{len(found.packages)} source packages of Debian {found.release}"
        else:
            packages = {one.package for one in found.advisories}
            size = f"{len(found.advisories)} advisories of {len(packages)} distributions"
        assert size in line
        assert found.date in line


@pytest.mark.parametrize(
    "stack", sorted(one.parent.name for one in (FOLDER.parent / "stacks").glob("*/stack.lock"))
)
def test_every_package_of_our_stacks_is_covered(stack: str) -> None:
    """The changelog of every source package in a stack's lock was read."""
    lock = json.loads((FOLDER.parent / "stacks" / stack / "stack.lock").read_bytes())
    release = lock["suites"][0]["version"].split(".")[0]
    found = parse((FOLDER / f"debian-{release}.json").read_bytes(), what=release)
    assert isinstance(found, DebianAdvisories)
    locked = {one["source"] for packages in lock["packages"].values() for one in packages}
    assert locked <= set(found.packages)


@pytest.mark.parametrize(
    ("package", "version"),
    [("flask", "0.10"), ("urllib3", "1.25.2"), ("jinja2", "2.10"), ("werkzeug", "0.14.1")],
)
def test_known_vulnerable_pins_are_known(package: str, version: str) -> None:
    """The vulnerable pins that we test with are vulnerable by our data, newer releases are not."""
    from packaging.specifiers import SpecifierSet

    found = parse((FOLDER / "python.json").read_bytes(), what="python.json")
    assert isinstance(found, PythonAdvisories)
    mine = [text for one in found.advisories if one.package == package for text in one.vulnerable]
    assert any(version in SpecifierSet(text) for text in mine)
    assert not any("999" in SpecifierSet(text) for text in mine)
