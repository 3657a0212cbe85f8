"""Licence texts told apart; a text that is none of the known ones is not guessed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.build.go_licence import names

if TYPE_CHECKING:
    from pathlib import Path

BSD = "Redistribution and use in source and\nbinary forms, with or without modification"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Apache License\n  Version 2.0, January 2004", "Apache-2.0"),
        (BSD + "\nNeither the name of X nor", "BSD-3-Clause"),
        (BSD, "BSD-2-Clause"),
        ("Mozilla Public License\nVersion 2.0", "MPL-2.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "LGPL-3.0-or-later"),
        (
            "Permission to use, copy, modify, and/or distribute this software for any purpose",
            "ISC",
        ),
    ],
)
def test_known_texts(text: str, name: str, tmp_path: Path) -> None:
    """Line ends and letters' case do not matter."""
    (tmp_path / "LICENSE.txt").write_text(text)

    assert names(tmp_path) == (name,)


def test_several_texts(tmp_path: Path) -> None:
    """Each is named once, sorted; other files are not looked at."""
    (tmp_path / "LICENSE").write_text(BSD)
    (tmp_path / "LICENSE.BSD").write_text(BSD)
    (tmp_path / "COPYING").write_text("Apache License Version 2.0, January 2004")
    (tmp_path / "licensing.go").write_text("Mozilla Public License Version 2.0")

    assert names(tmp_path) == ("Apache-2.0", "BSD-2-Clause")


def test_unknown(tmp_path: Path) -> None:
    """Neither an unknown text nor a missing folder is a licence."""
    (tmp_path / "LICENSE").write_text("All rights reserved.")

    assert names(tmp_path) == ()
    assert names(tmp_path / "absent") == ()
