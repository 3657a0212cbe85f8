"""Wheels as files of a layer: everything in its place, nothing outside, and metadata that is true."""

from __future__ import annotations

import io
import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.build.distribution import entries, packages
from lockgate.build.layer import Entry, tar_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SITE = "usr/local/lib/python3.13/dist-packages"
METADATA = "Metadata-Version: 2.1\nName: My.Pkg\nVersion: 1.0\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Call with files by path for a wheel in a folder named by its digest."""

    def make(
        files: Mapping[str, bytes | str] | None = None, *, metadata: str | None = METADATA
    ) -> Path:
        folder = tmp_path / f"{len(list(tmp_path.iterdir())):064x}"
        folder.mkdir()
        path = folder / "my_pkg-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in (files or {}).items():
                archive.writestr(name, data)
            if metadata is not None:
                archive.writestr("my_pkg-1.0.dist-info/METADATA", metadata)
            archive.writestr("my_pkg-1.0.dist-info/RECORD", "")
        return path

    return make


def installed(path: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content by place, read as a layer reads them."""
    return {
        one.path: (one.mode, one.data if isinstance(one.data, bytes) else b"".join(one.data()))
        for one in entries([path], python="3.13")
    }


def by_name(path: Path) -> dict[str, Entry]:
    """Entries by place."""
    return {one.path: one for one in entries([path], python="3.13")}


def test_modules_lie_in_dist_packages(wheel: Callable[..., Path]) -> None:
    """Where the image's Python looks, with plain modes, metadata beside them."""
    found = installed(wheel({"my_pkg/__init__.py": "x = 1\n", "my_pkg/data/a.txt": "a"}))
    assert found[f"{SITE}/my_pkg/__init__.py"] == (0o644, b"x = 1\n")
    assert found[f"{SITE}/my_pkg/data/a.txt"] == (0o644, b"a")
    assert found[f"{SITE}/my_pkg-1.0.dist-info/METADATA"][1] == METADATA.encode()
    assert found[f"{SITE}/my_pkg-1.0.dist-info/INSTALLER"] == (0o644, b"lockgate\n")


def test_sizes_are_announced_as_they_are(wheel: Callable[..., Path]) -> None:
    """A layer can be written from the entries: every size fits its content."""
    path = wheel(
        {
            "a.py": "x" * 700_000,
            "my_pkg-1.0.data/scripts/run": "#!python\nx",
            "my_pkg-1.0.dist-info/entry_points.txt": "[console_scripts]\na = b:c\n",
        }
    )
    assert sum(map(len, tar_stream(entries([path], python="3.13")))) > 700_000


def test_data_goes_where_its_scheme_says(wheel: Callable[..., Path]) -> None:
    """purelib and platlib to dist-packages, scripts to bin, data below /usr/local; headers stay out."""  # noqa: D403 - a scheme's name
    data = "my_pkg-1.0.data"
    found = installed(
        wheel(
            {
                f"{data}/purelib/pure.py": "1",
                f"{data}/platlib/plat.so": "2",
                f"{data}/scripts/tool": "#!/bin/sh\n3",
                f"{data}/data/share/doc": "4",
                f"{data}/headers/my.h": "5",
            }
        )
    )
    assert found[f"{SITE}/pure.py"] == (0o644, b"1")
    assert found[f"{SITE}/plat.so"] == (0o644, b"2")
    assert found["usr/local/bin/tool"] == (0o755, b"#!/bin/sh\n3")
    assert found["usr/local/share/doc"] == (0o644, b"4")
    assert not [place for place in found if place.endswith("my.h")]


@pytest.mark.parametrize(
    ("text", "installed_as"),
    [
        (b"#!python\nx\n", b"#!/usr/bin/python3\nx\n"),
        (b"#!pythonw\nx\n", b"#!/usr/bin/python3\nx\n"),
        (b"#!python -E\nx", b"#!/usr/bin/python3 -E\nx"),
        (b"#!python", b"#!/usr/bin/python3"),
        (b"#!/usr/bin/env python3\nx\n", b"#!/usr/bin/env python3\nx\n"),
        (b"#!/bin/sh\n#!python\n", b"#!/bin/sh\n#!python\n"),
        (b"\x7fELF\0#!python", b"\x7fELF\0#!python"),
        (b"", b""),
    ],
)
def test_scripts_for_any_python_are_for_the_images(
    wheel: Callable[..., Path], text: bytes, installed_as: bytes
) -> None:
    """The first line `#!python` is rewritten, as the format asks; every other script is kept."""
    path = wheel({"my_pkg-1.0.data/scripts/run": text})
    assert installed(path)["usr/local/bin/run"] == (0o755, installed_as)


def test_a_large_script_is_not_held_in_memory(wheel: Callable[..., Path]) -> None:
    """A program of many megabytes is read in pieces when the layer asks."""
    size = 3 << 20
    path = wheel({"my_pkg-1.0.data/scripts/prog": b"\x7fELF" + bytes(size)})
    entry = next(iter(entries([path], python="3.13")))
    assert (entry.path, entry.size) == ("usr/local/bin/prog", size + 4)
    assert not isinstance(entry.data, bytes)
    assert max(map(len, tar_stream(entries([path], python="3.13")))) <= 1 << 20


def test_the_executable_bit_is_kept(tmp_path: Path) -> None:
    """A program inside a package stays one; other bits of the archive's modes do not matter."""
    path = tmp_path / "my_pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("run", 0o700), ("open", 0o666), ("group", 0o674)):
            info = zipfile.ZipInfo(f"my_pkg/{name}")
            info.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(info, b"")
        archive.writestr("my_pkg-1.0.dist-info/METADATA", METADATA)
    found = installed(path)
    modes = [found[f"{SITE}/my_pkg/{name}"][0] for name in ("run", "open", "group")]
    assert modes == [0o755, 0o644, 0o644]


def test_entry_points_become_scripts(wheel: Callable[..., Path]) -> None:
    """Each console or GUI script starts the image's Python; other sections are none."""
    text = (
        "[console_scripts]\nzeta = my.mod:main\nalpha = my:App.run [fast]\n\n"
        "[gui_scripts]\nwin=my : gui\n\n[other.plugins]\nx = my:plugin\n"
    )
    found = installed(wheel({"my_pkg-1.0.dist-info/entry_points.txt": text}))
    scripts = {place: one for place, one in found.items() if place.startswith("usr/local/bin/")}
    assert list(scripts) == [f"usr/local/bin/{name}" for name in ("alpha", "zeta", "win")]
    mode, zeta = scripts["usr/local/bin/zeta"]
    assert mode == 0o755
    assert zeta == (
        b"#!/usr/bin/python3\nimport sys\nfrom my.mod import main\n"
        b'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    assert b"from my import App\n" in scripts["usr/local/bin/alpha"][1]
    assert b"sys.exit(App.run())" in scripts["usr/local/bin/alpha"][1]


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"no section\n",
        b"[console_scripts]\na\n",
        b"[console_scripts]\na = b\n",
        b"[console_scripts]\na = b:c; import os\n",
        b"[console_scripts]\na = b:c()\n",
        b"[console_scripts]\na = b:c\na = d:e\n",
        b"[console_scripts]\na = b:c\n d\n",
    ],
)
def test_broken_entry_points_are_refused(wheel: Callable[..., Path], text: bytes) -> None:
    """What is no entry point does not become a program."""
    path = wheel({"my_pkg-1.0.dist-info/entry_points.txt": text})
    with pytest.raises(UsageError, match="is not a readable wheel") as caught:
        installed(path)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "../../../../../etc/passwd",
        "/etc/passwd",
        "my_pkg-1.0.data/scripts/../../../etc/passwd",
        "my_pkg-1.0.data/data/../../etc/passwd",
        "my_pkg-1.0.data/scripts/",
        "a/./b",
    ],
)
def test_nothing_is_written_outside(wheel: Callable[..., Path], name: str) -> None:
    """A member that climbs out makes no layer."""
    path = wheel({name: "x"})
    if name.endswith("/"):
        assert not [one for one in by_name(path) if "scripts" in one]
        return
    with pytest.raises(UsageError, match="cannot be a path in an image"):
        list(tar_stream(entries([path], python="3.13")))


def test_a_script_with_a_path_for_a_name_is_refused(wheel: Callable[..., Path]) -> None:
    """An entry point cannot name its script out of the folder of programs."""
    text = "[console_scripts]\n../../../etc/cron.d/x = a:b\n"
    path = wheel({"my_pkg-1.0.dist-info/entry_points.txt": text})
    with pytest.raises(UsageError, match="cannot be a path in an image"):
        list(tar_stream(entries([path], python="3.13")))


def test_two_wheels_cannot_write_one_file(wheel: Callable[..., Path]) -> None:
    """Which of the two would count is nobody's to guess."""
    one, two = wheel({"same.py": "1"}), wheel({"same.py": "2"})
    with pytest.raises(UsageError, match="stands twice"):
        list(tar_stream(entries([one, two], python="3.13")))


@pytest.mark.parametrize("damage", ["not a zip", "cut", "flipped", "gone", "encrypted"])
def test_a_damaged_wheel_is_told(wheel: Callable[..., Path], damage: str) -> None:
    """No archive, half of one, a changed byte of content, none at all, a password: one line with the name."""
    path = wheel({"my_pkg/a.py": b"some content that is long enough" * 50})
    data = bytearray(path.read_bytes())
    if damage == "not a zip":
        data = bytearray(b"no zip")
    elif damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[60] ^= 0xFF
    elif damage == "encrypted":
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    if damage == "gone":
        path.unlink()
    with pytest.raises(
        UsageError, match=r"my_pkg-1\.0-py3-none-any\.whl is not a readable"
    ) as caught:
        list(tar_stream(entries([path], python="3.13")))
    assert caught.value.hint


@pytest.mark.parametrize("infos", [[], ["a-1.dist-info", "b-1.dist-info"]])
def test_a_wheel_has_one_folder_of_metadata(tmp_path: Path, infos: list[str]) -> None:
    """None, or two: not a wheel."""
    path = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.py", "")
        for info in infos:
            archive.writestr(f"{info}/METADATA", METADATA)
    for use in (lambda: list(entries([path], python="3.13")), lambda: packages([path])):
        with pytest.raises(UsageError, match=f"has {len(infos)} .dist-info folders"):
            use()


def test_the_order_is_the_wheels(wheel: Callable[..., Path]) -> None:
    """Members come in the archive's order, which the digest fixes."""
    found = list(by_name(wheel({"z.py": "1", "a.py": "2"})))
    assert found[:2] == [f"{SITE}/z.py", f"{SITE}/a.py"]


def test_packages_are_described(wheel: Callable[..., Path]) -> None:
    """Name in its one spelling, version, digest and purl."""
    (found,) = packages([wheel()])
    assert (found.kind, found.name, found.version) == ("pypi", "my-pkg", "1.0")
    assert found.purl == "pkg:pypi/my-pkg@1.0"
    assert len(found.sha256) == 64
    assert (found.architecture, found.source) == ("", "")


def test_packages_are_sorted_by_name(wheel: Callable[..., Path]) -> None:
    """Whatever order the files have."""
    made = [wheel(metadata=METADATA.replace("My.Pkg", name)) for name in ("zeta", "Alpha", "mid")]
    assert [one.name for one in packages(made)] == ["alpha", "mid", "zeta"]


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: whatever\n", ("MIT OR Apache-2.0",)),
        ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License\n", ("MIT",)),
        ("Classifier: License :: OSI Approved :: MIT License\n", ("MIT License",)),
        (
            (
                "Classifier: License :: OSI Approved\n"
                "Classifier: License :: OSI Approved :: MIT License\n"
                "Classifier: License :: OSI Approved :: BSD License\n"
            ),
            ("BSD License", "MIT License"),
        ),
        ("Classifier: License :: Public Domain\n", ("Public Domain",)),
        ("Classifier: License :: Other/Proprietary License\n", ("Other/Proprietary License",)),
        ("Classifier: License :: OSI Approved\nLicense: BSD\n", ("BSD",)),
        ("Classifier: Topic :: Software Development :: Libraries\nLicense: ISC\n", ("ISC",)),
        ("License: MIT\n", ("MIT",)),
        ("License: " + "long " * 40 + "\n", ()),
        ("", ()),
    ],
)
def test_licences_are_what_the_package_says(
    wheel: Callable[..., Path], lines: str, licences: tuple[str, ...]
) -> None:
    """The expression first, then classifiers, then a short text; never a guess, never a silent drop."""
    path = wheel(metadata=METADATA.replace("2.1", "2.4") + lines)
    assert packages([path])[0].licences == licences


@pytest.mark.parametrize(
    "metadata", [None, "", "Name: x\n", "Version: 1\n", "Metadata-Version: 2.1\n"]
)
def test_metadata_without_name_or_version_is_refused(
    wheel: Callable[..., Path], metadata: str | None
) -> None:
    """A distribution that does not say what it is cannot be listed, so it is not left out either."""
    with pytest.raises(UsageError, match="is not a readable wheel"):
        packages([wheel(metadata=metadata)])


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """The directory says 5 bytes, the content has 500: no layer is made of it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.py", b"x" * 500)
        archive.writestr("my_pkg-1.0.dist-info/METADATA", METADATA)
    data = file.getvalue().replace((500).to_bytes(4, "little") * 2, (5).to_bytes(4, "little") * 2)
    path = tmp_path / "my_pkg-1.0-py3-none-any.whl"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        list(tar_stream(entries([path], python="3.13")))
