"""`lockgate.scan.debian_changelog`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.debversion import key
from lockgate.scan.debian_changelog import Fix, fixes, uploads

TEXT = """\
expat (2.9.0-1~deb13u1) trixie-security; urgency=high

  * Rebuild for trixie-security.

 -- A Person <a@example.org>  Sun, 11 Oct 2026 15:25:11 +0200

expat (2.9.0-1) unstable; urgency=high, binary-only=yes

  * New upstream release:
    - fixes CVE-2026-0002 and cve-2026-0003,
    - completes the fix of CVE-2026-0001.

 -- A Person <a@example.org>  Mon, 05 Oct 2026 22:04:46 +0200

expat (2.8.5-2) unstable experimental; urgency=Medium

  * Fix CVE-2026-0001 (patch local-CVE-2026-0004-0005.diff).

 -- A Person <a@example.org>  Wed, 30 Sep 2026 16:38:52 +0200

expat (1.2-1) unstable; priority=LOW

  * Fix CVE-1999-0009, which is not CVE-1999-000, CVE-99-12 or XCVE-1999-0010.

 -- A Person <a@example.org>  Mon, 05 Jul 1999 22:04:46 +0200
"""


def test_every_entry_is_read() -> None:
    """Version, urgency and ids are taken from each entry, whatever its distribution and options."""
    assert [(one.version, one.urgency, one.cves) for one in uploads(TEXT)] == [
        ("2.9.0-1~deb13u1", "high", ()),
        ("2.9.0-1", "high", ("CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003")),
        ("2.8.5-2", "medium", ("CVE-2026-0001", "CVE-2026-0004")),
        ("1.2-1", "", ("CVE-1999-0009",)),
    ]


def test_fix_is_not_later_than_a_newer_upload() -> None:
    """A rebuild for a stable release sorts before the upload that it repeats and has its fixes."""
    assert Fix("CVE-2026-0002", "2.9.0-1~deb13u1", "high") in fixes(TEXT)


def test_last_entry_that_names_a_cve_counts() -> None:
    """A fix that was completed later is not taken for whole before."""
    found = {one.cve: one for one in fixes(TEXT)}
    assert found["CVE-2026-0001"].version == "2.9.0-1~deb13u1"
    assert found["CVE-2026-0004"] == Fix("CVE-2026-0004", "2.8.5-2", "medium")


@given(
    st.lists(st.sampled_from(["1.0-1", "1.0-1~deb13u1", "1.1-1", "1:0.5-1", "0.9-3"]), min_size=1)
)
def test_newest_version_is_never_vulnerable(versions: list[str]) -> None:
    """No fix is later than the version at the top: a current package has no findings."""
    text = "".join(
        f"p ({version}) unstable; urgency=low\n\n  * CVE-2026-{1000 + n}\n\n"
        for n, version in enumerate(versions)
    )
    found = fixes(text)
    assert len(found) == len(versions)
    assert all(key(one.version) <= key(versions[0]) for one in found)


@pytest.mark.parametrize("text", ["", "  * CVE-2026-0001\n", "junk\n" + TEXT])
def test_text_that_is_no_changelog_is_refused(text: str) -> None:
    """Something else than a changelog is an error, not a package without fixes."""
    with pytest.raises(UsageError, match="not a Debian changelog"):
        fixes(text)


def test_version_that_is_none_is_refused() -> None:
    """An entry whose version cannot be compared is an error."""
    with pytest.raises(UsageError, match="not a Debian version"):
        fixes("p (1_0) unstable; urgency=low\n\n  * CVE-2026-0001\n")
