"""What `--plan` and other looks leave behind: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.tasks.conftest import Mini


@pytest.fixture
def scanned(built_mini: Mini) -> Mini:
    """A repository in which everything was built and scanned, and nobody has signed yet."""
    for path in sorted((built_mini.path / ".lockgate" / "keys").iterdir()):
        path.unlink()
    (built_mini.path / ".lockgate" / "keys").rmdir()
    return built_mini


def left(mini: Mini) -> set[str]:
    """Return every file of the repository, but for the places of locks."""
    every = (one.relative_to(mini.path) for one in mini.path.rglob("*") if one.is_file())
    return {str(one) for one in every if ".lockgate/locks" not in str(one)}


def test_a_plan_to_sign_makes_no_key(scanned: Mini) -> None:
    """It says that one would be made; the key that is there is named by its fingerprint."""
    before = left(scanned)
    planned = scanned.inv("sign", "-c", "web", "--plan")
    assert planned.code == 0, planned.err
    assert "with a development key, which would be made" in planned.err
    assert left(scanned) == before
    assert scanned.inv("sign", "-c", "web").code == 0
    assert "with development key " in scanned.inv("sign", "-c", "web", "--plan").err


def test_a_plan_names_no_key_that_would_be_refused(scanned: Mini) -> None:
    """Where the development key is not taken, signing without another one fails, and so does its plan."""
    assert scanned.inv("scan", "-c", "web", "-e", "prod").code in (0, 3)
    planned = scanned.inv("sign", "-c", "web", "-e", "prod", "--plan")
    assert planned.code == 4, planned.err
    assert "prod has no key, and does not take the development key" in planned.err


@pytest.mark.parametrize("entries", [(), ("--require", "signature: {keys: [development]}")])
def test_a_plan_to_verify_makes_no_key(scanned: Mini, entries: tuple[str, ...]) -> None:
    """A requirement may name the key all the same."""
    before = left(scanned)
    planned = scanned.inv("verify", "-c", "web", "--plan", *entries)
    assert planned.code == 0, planned.err
    assert "signed by one of: the development key, which `inv sign` makes" in planned.err
    assert left(scanned) == before


def test_who_only_looks_makes_no_key(scanned: Mini) -> None:
    """Nothing can have been signed with a key that is not there: exit 4."""
    before = left(scanned)
    answer = scanned.inv("verify", "-c", "web")
    assert answer.code == 4, answer.err
    assert "trusts its development key alone, and there is none yet" in answer.err
    assert "`inv sign -e dev` makes it and signs" in answer.err
    assert left(scanned) == before
