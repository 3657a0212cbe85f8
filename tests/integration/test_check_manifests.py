"""`inv check.manifests` with the real kustomize, the real schemas and the real Trivy."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Repository

ROOT = Path(__file__).parents[2]
DEPLOYMENT = "k8s/base/deployment.yaml"


@pytest.fixture(scope="module")
def once(make_repository: Callable[[str], Repository]) -> Repository:
    """A copy of the repository with its manifests, as a fresh clone has them."""
    made = make_repository("manifests")
    shutil.copytree(ROOT / "k8s", made.path / "k8s", ignore=shutil.ignore_patterns("secrets"))
    made.settle()
    return made


@pytest.fixture
def manifests(once: Repository) -> Iterator[Repository]:
    """The copy; what a test changes in it is taken back, and the schemas stay installed."""
    yield once
    once.git("checkout", "--quiet", ".")


def records(repository: Repository, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Return the records that the task prints."""
    answer = repository.inv("check.manifests", "--json", *arguments, code=code)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_a_fresh_clone_passes(manifests: Repository) -> None:
    """Every environment is judged; what is made on the way is ignored by git; the second time is from the cache."""
    found = records(manifests)
    assert [one["environment"] for one in found] == ["dev", "staging", "prod"]
    assert [one["violations"] for one in found] == [[], [], []]
    assert {one["kubernetes"] for one in found} == {"1.35"}
    assert {one["scanner"]["name"] for one in found} == {"trivy"}
    assert manifests.git("status", "--porcelain") == ""
    again = manifests.inv("check.manifests", "--json")
    assert again.stderr.count("unchanged") == 3
    assert [json.loads(line) for line in again.stdout.splitlines()] == found


def test_all_three_judges_are_heard(manifests: Repository) -> None:
    """A field that is misspelt, a selector that matches nothing, a privileged container: exit 3, each by its id."""
    manifests.edit(DEPLOYMENT, "minReadySeconds", "minReadySecond")
    manifests.edit(
        "k8s/base/service.yaml",
        "    app.kubernetes.io/name: todo\n  ports",
        "    app: hello\n  ports",
    )
    manifests.edit(DEPLOYMENT, "readOnlyRootFilesystem: true", "privileged: true")
    (found,) = records(manifests, "-e", "prod", code=3)
    ids = {one["id"] for one in found["violations"]}
    assert {"schema", "selector-matches", "pod-restricted", "root-read-only", "KSV-0017"} <= ids
    titles = " ".join(one["title"] for one in found["violations"])
    assert "did you mean `minReadySeconds`?" in titles


def test_a_waiver_permits_one_rule_in_one_environment(manifests: Repository) -> None:
    """Elsewhere the same finding still stops."""
    manifests.edit(DEPLOYMENT, "      serviceAccountName: todo\n", "")
    waiver = """waivers:
  - id: account-for-now
    findings: [account-own]
    paths: ["k8s/overlays/dev/*"]
    owner: web
    reason: it has no rights yet
    until: {until}
"""
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7)
    (manifests.path / "policies" / "waivers.yaml").write_text(waiver.format(until=until))
    dev, staging, prod = records(manifests, code=3)
    assert [one["waiver"]["id"] for one in dev["waived"]] == ["account-for-now"]
    assert dev["violations"] == []
    assert [one["id"] for one in staging["violations"]] == ["account-own"]
    assert [one["id"] for one in prod["violations"]] == ["account-own"]


def test_check_judges_manifests_too(manifests: Repository) -> None:
    """`inv check` ends with exit 3 for a manifest, and tells the rule's hint, after the gates."""
    manifests.edit("k8s/overlays/prod/replicas.yaml", "  minReplicas: 3", "  minReplicas: 30")
    answer = manifests.inv("check", code=3)
    assert "licences" in answer.stderr
    assert "autoscaler-rules  HorizontalPodAutoscaler/todo-prod/todo" in answer.stderr
    assert "take `replicas` out" in answer.stderr


def test_secrets_in_prod_are_refused_without_their_values(manifests: Repository) -> None:
    """They are neither passed over nor shown."""
    with (manifests.path / "k8s/overlays/prod/kustomization.yaml").open("a") as file:
        file.write("secretGenerator:\n  - name: more\n    literals: [password=dont-tell]\n")
    answer = manifests.inv("check.manifests", "-e", "prod", "--json", code=3)
    assert "secret-written" in answer.stdout
    assert "dont-tell" not in answer.stdout + answer.stderr
    assert "ZG9udC10ZWxs" not in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("k8s/base/kustomization.yaml", "  - service.yaml\n", "  - absent.yaml\n"), "absent.yaml"),
        (("k8s/base/service.yaml", "kind: Service\n", ""), "kind"),
        (("k8s/base/service.yaml", "  name: todo\n", ""), "name"),
    ],
)
def test_what_cannot_be_rendered_is_named(
    manifests: Repository, edit: tuple[str, str, str], says: str
) -> None:
    """A usage error, exit 2, and never a pass."""
    manifests.edit(*edit)
    answer = manifests.inv("check.manifests", "-e", "prod", code=2)
    assert says in answer.stderr


def test_without_manifests_there_is_nothing_to_judge(settled: Repository) -> None:
    """`inv check.manifests` says so; `inv check` does not mind."""
    assert "no environment has manifests" in settled.inv("check.manifests", code=2).stderr
    assert "prod has no manifests" in settled.inv("check.manifests", "-e", "prod", code=2).stderr
    assert "manifests" not in settled.inv("check", "--plan").stderr
