"""`inv check.manifests`: what it says before it judges anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.config.inspection import reasons

if TYPE_CHECKING:
    from tests.tasks.conftest import Mini


def overlay(mini: Mini, *environments: str) -> None:
    """Give environments a folder of manifests."""
    for name in environments:
        folder = mini.path / "k8s" / "overlays" / name
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text("resources: [a.yaml]\n")


def test_why_tells_every_rule(mini: Mini) -> None:
    """Each id with its reason and a way out; no manifest is needed for that."""
    answer = mini.inv("check.manifests", "--why")
    assert answer.code == 0
    for name, (reason, hint) in reasons().items():
        assert name in answer.err
        assert reason.splitlines()[0] in answer.err
        assert f"to do: {hint}" in answer.err


def test_the_plan_names_the_overlays(mini: Mini) -> None:
    """Those that are there, in the order of the settings; nothing is rendered."""
    overlay(mini, "prod", "dev")
    answer = mini.inv("check.manifests", "--plan")
    assert answer.code == 0
    lines = [line.split()[-1] for line in answer.err.splitlines()]
    assert lines == ["k8s/overlays/dev", "k8s/overlays/prod"]
    assert not (mini.path / "k8s" / "overlays" / "dev" / "secrets").exists()


def test_an_environment_may_name_its_overlay(mini: Mini) -> None:
    """One that the settings name must be there."""
    settings = mini.path / "lockgate.yaml"
    settings.write_text(
        settings.read_text().replace("  prod: {", "  prod: {overlay: deploy/prod, ")
    )
    answer = mini.inv("check.manifests", "--plan")
    assert answer.err.split()[-1] == "deploy/prod"
    assert mini.inv("check.manifests").code == 2


@pytest.mark.parametrize("arguments", [(), ("-e", "prod")])
def test_nothing_to_judge_is_no_pass(mini: Mini, arguments: tuple[str, ...]) -> None:
    """Whoever asks for manifests to be judged is told that there are none."""
    answer = mini.inv("check.manifests", *arguments)
    assert answer.code == 2
    assert "k8s/overlays/" in answer.err
    assert "hint: " in answer.err


def test_an_unknown_environment_is_named(mini: Mini) -> None:
    """With the nearest right word."""
    answer = mini.inv("check.manifests", "-e", "prot")
    assert answer.code == 2
    assert "did you mean `prod`?" in answer.err
