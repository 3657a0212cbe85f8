"""The machine's mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.build.apt_sources import (
    AptEntry,
    Mirrors,
    choose,
    find_mirrors,
    parse_list,
    parse_sources,
)

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
Types: deb
# a comment
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: https://mirror.example/debian-security/
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: https://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: https://sources.example/debian
Suites: trixie
Components: main
"""


def test_deb822() -> None:
    """Paragraphs are read; what is off, or for sources only, is not."""
    found = parse_sources(DEB822)
    assert [one.uri for one in found] == [
        "https://mirror.example/debian",
        "https://mirror.example/debian-security/",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].components == ("main", "contrib")


def test_one_line() -> None:
    """Lines with and without options are read; sources, comments and other words are not."""
    text = (
        "# deb http://old.example/debian trixie main\n"
        "deb-src http://mirror.example/debian trixie main\n"
        "deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian trixie main contrib # why\n"
        "deb http://flat.example ./\n"
        "deb\thttp://tab.example/debian\tsid\tmain\n"
    )
    assert parse_list(text) == [
        AptEntry("http://mirror.example/debian", ("trixie",), ("main", "contrib")),
        AptEntry("http://tab.example/debian", ("sid",), ("main",)),
    ]


def test_choose() -> None:
    """The first main entry and the first security entry of Debian are taken."""
    entries = [
        *parse_sources(DEB822),
        AptEntry("https://second.example/debian", ("sid",), ("main",)),
    ]
    assert choose(entries) == Mirrors(
        main="https://mirror.example/debian", security="https://mirror.example/debian-security"
    )


@pytest.mark.parametrize(
    "entry",
    [
        AptEntry("https://u.example/ubuntu", ("noble", "noble-security"), ("main", "universe")),
        AptEntry("https://v.example/apt", ("bookworm-pgdg",), ("main",)),
        AptEntry("https://v.example/apt", ("bookworm",), ("stable",)),
        AptEntry("cdrom:[Debian]/", ("trixie",), ("main",)),
        AptEntry("mirror+file:/etc/list", ("trixie",), ("main",)),
    ],
)
def test_not_debian(entry: AptEntry) -> None:
    """Ubuntu, vendors with names or components of their own, and media are not mistaken for a mirror."""
    assert choose([entry]) == Mirrors()


def test_vendor_that_looks_like_debian() -> None:
    """A vendor that publishes `bookworm main` goes after the archive, though its file sorts before."""
    vendor = AptEntry("https://v.example/debian/12/prod", ("bookworm",), ("main",))
    debian = AptEntry("https://mirror.example/debian", ("bookworm",), ("main",))
    assert choose([vendor, debian]).main == "https://mirror.example/debian"
    assert choose([vendor]).main == "https://v.example/debian/12/prod"


def machine(root: Path, **files: str) -> Path:
    """Write files below `etc/apt`; `__` in a name stands for `/` and the last `_` for a dot."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = root / "etc/apt" / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_find(tmp_path: Path) -> None:
    """sources.list is read before the parts, these in the order of their names; other files are not."""
    machine(
        tmp_path,
        sources__d__unused_txt="deb http://no.example/debian trixie main\n",
        sources_list="deb http://first.example/debian trixie main\n",
        sources_list_d="",
    )
    parts = tmp_path / "etc/apt/sources.list.d"
    parts.mkdir()
    (parts / "b.sources").write_text(DEB822)
    (parts / "a.list").write_text("deb http://a.example/debian-security trixie-security main\n")
    (parts / "broken.sources").write_text("not a field\n")
    (parts / "binary.list").write_bytes(b"\xff\xfe")
    (parts / "c.list.save").write_text("deb http://saved.example/debian trixie main\n")
    assert find_mirrors(tmp_path) == Mirrors(
        main="http://first.example/debian", security="http://a.example/debian-security"
    )


def test_settings_go_first(tmp_path: Path) -> None:
    """An address in the settings replaces the machine's, each for itself."""
    machine(tmp_path, sources_list="deb http://first.example/debian trixie main\n")
    found = find_mirrors(tmp_path, security_mirror="file:///srv/security/")
    assert found == Mirrors(main="http://first.example/debian", security="file:///srv/security")


@pytest.mark.parametrize(
    "address", ["ftp://mirror.example/debian", "mirror.example/debian", "/srv"]
)
def test_settings_refused(tmp_path: Path, address: str) -> None:
    """An address of another kind is an error that names the setting."""
    with pytest.raises(UsageError, match=r"`build\.mirror` is"):
        find_mirrors(tmp_path, mirror=address)


def test_none_known(tmp_path: Path) -> None:
    """A machine without Debian sources is an error only once a mirror is needed; it names the setting."""
    found = find_mirrors(tmp_path)
    with pytest.raises(UsageError, match="main archive") as caught:
        found.of("main")
    assert "`build.mirror`" in caught.value.hint
    with pytest.raises(UsageError, match="security archive") as caught:
        found.of("security")
    assert "`build.security_mirror`" in caught.value.hint
