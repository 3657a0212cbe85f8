"""`lockgate.config.inspection`: three judges, one record."""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import UsageError
from lockgate.config.inspection import Inspection, inspect, reasons
from lockgate.config.resource import Resource, of
from lockgate.gate.decision import Waiver
from lockgate.scan.model import Finding, Scanner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.config.schema import Problems

TODAY = dt.date(2026, 12, 1)
SCANNER = Scanner(name="trivy", version="0.76.0", digest="sha256:0", origin="wheel", sandbox="none")
ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "todo", "namespace": "todo"},
}


class Judges:
    """Schemas and a scanner that say what they are told to, and remember what they were shown."""

    def __init__(self, problems: Mapping[str, Problems], rule: str = "") -> None:
        self.problems = problems
        self.rule = rule
        self.files: dict[str, bytes] = {}

    def compare(self, resources: Sequence[Resource]) -> list[Problems]:
        """Say what is wrong with each object, by its name."""
        return [self.problems.get(one.id.name, []) for one in resources]

    def scan(self, files: Mapping[str, bytes]) -> tuple[Finding, ...]:
        """Find a rule broken in the first file."""
        self.files = dict(files)
        first = next(iter(files))
        found = Finding(
            kind="misconfig",
            id=self.rule,
            severity="LOW",
            title="Bad, line 7",
            package=first,
            version="",
            fixed="",
            target="kubernetes",
            path=first,
            purl="",
            aliases=(),
            platforms=(),
            layer="",
        )
        return (found,) if self.rule else ()


def run(
    *bodies: dict[str, Any],
    problems: Mapping[str, Problems] | None = None,
    rule: str = "",
    waivers: Sequence[Waiver] = (),
    judges: Judges | None = None,
) -> Inspection:
    """Judge objects as those of prod."""
    judge = judges or Judges(problems or {}, rule)
    return inspect(
        [of(one, "test") for one in bodies],
        environment="prod",
        path="k8s/overlays/prod",
        components={"app": (8080, "/readyz")},
        development=False,
        compare=judge.compare,
        scan=judge.scan,
        scanner=SCANNER,
        waivers=waivers,
        today=TODAY,
    )


def waiver(*findings: str, until: str = "2026-12-15", **limits: Any) -> Waiver:
    """Return a permission."""
    return Waiver(
        id=findings[0].lower(), findings=findings, owner="web", reason="r", until=until, **limits
    )


def test_nothing_broken_passes() -> None:
    """The record says how many objects were judged, and by whom."""
    found = run(ACCOUNT)
    assert found.passed
    assert found.summary == "1 object: schemas and rules hold"
    assert (found.objects, found.kubernetes, found.scanner) == (1, "1.35", SCANNER)
    assert found.manifests.startswith("sha256:")


def test_no_object_is_no_success() -> None:
    """An overlay that renders to nothing was not judged."""
    with pytest.raises(UsageError, match="renders to no object"):
        run()


def test_each_judge_can_refuse() -> None:
    """Schemas, our rules and Trivy's, in this order, each with the object that it is about."""
    stray = ACCOUNT | {"metadata": {"name": "stray"}}
    found = run(stray, problems={"stray": [("spec", "there is no field `spek`")]}, rule="KSV-1")
    assert [(one.id, one.package) for one in found.violations] == [
        ("schema", "ServiceAccount/stray"),
        ("namespace-own", "ServiceAccount/stray"),
        ("KSV-1", "ServiceAccount/stray"),
    ]
    assert not found.passed
    assert found.summary == "1 object: 3 violations"


def test_a_kind_without_a_schema_is_not_passed_over() -> None:
    """What nobody could check is a violation, which a waiver may permit."""
    found = run(ACCOUNT, problems={"todo": None})
    assert [one.id for one in found.violations] == ["schema-unknown"]
    assert run(ACCOUNT, problems={"todo": None}, waivers=[waiver("schema-unknown")]).passed


def test_a_waiver_permits_what_it_names() -> None:
    """It stays visible, with the finding that it permits."""
    found = run(ACCOUNT, rule="KSV-1", waivers=[waiver("KSV-1")])
    assert found.passed
    assert [(one.finding.id, one.waiver.id) for one in found.waived] == [("KSV-1", "ksv-1")]
    assert found.summary.endswith(", 1 waived")


@pytest.mark.parametrize(
    ("limits", "permits"),
    [
        ({"paths": ("k8s/overlays/prod/*",)}, True),
        ({"paths": ("k8s/overlays/dev/*",)}, False),
        ({"packages": ("ServiceAccount/todo/todo",)}, True),
        ({"packages": ("ServiceAccount/todo/other",)}, False),
        ({"components": ("app",)}, False),
    ],
)
def test_a_waiver_can_be_limited(limits: dict[str, Any], permits: bool) -> None:
    """To an environment by its path, to an object by its name; one for a component is not for manifests."""
    assert run(ACCOUNT, rule="KSV-1", waivers=[waiver("KSV-1", **limits)]).passed is permits


def test_a_lapsed_waiver_permits_nothing() -> None:
    """It is told, so that someone renews or removes it; one that matches nothing here is not."""
    old = waiver("KSV-1", until="2026-11-30")
    found = run(ACCOUNT, rule="KSV-1", waivers=[old, waiver("KSV-2", until="2026-11-30")])
    assert not found.passed
    assert found.lapsed == (old,)


def test_trivy_sees_no_value_of_a_secret_and_a_digest_for_each_component() -> None:
    """Keys stay, values do not; an image that will be pinned is not called `latest`."""
    value = base64.b64encode(b"dont-tell").decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "todo"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "todo"},
        "spec": {"containers": [{"name": "c", "image": "app"}]},
    }
    judges = Judges({})
    run(
        secret | {"data": {"password": value}, "stringData": {"more": "dont-tell"}},
        pod,
        judges=judges,
    )
    shown = b"".join(judges.files.values()).decode()
    assert "password" in shown
    assert "dont-tell" not in shown
    assert value not in shown
    assert "app@sha256:" in shown


@pytest.mark.parametrize("data", [None, [{"a": "b"}], "hidden", 7])
def test_a_secret_whose_data_is_no_mapping_is_judged_as_well(data: object) -> None:
    """The schemas say what is wrong with it; nothing of it is shown."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "todo"}}
    judges = Judges({"s": [("data", "it is a list and must be an object")]})
    assert not run(secret | {"data": data}, judges=judges).passed
    assert b"hidden" not in b"".join(judges.files.values())


def test_the_seal_of_an_encrypted_object_is_no_field() -> None:
    """Nobody needs the keys to check manifests, and no judge sees what SOPS adds."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "todo"}}
    sealed = secret | {"data": {"p": "ENC[AES256_GCM,data:eA==]"}, "sops": {"version": "3"}}
    judges = Judges({})
    assert run(sealed, judges=judges).passed
    assert b"sops" not in b"".join(judges.files.values())


def test_the_record_is_one_that_is_read_again() -> None:
    """It is kept in the cache and printed with `--json`."""
    found = run(ACCOUNT, rule="KSV-1", waivers=[waiver("KSV-1")])
    assert decode(encode(found), Inspection) == found


def test_every_rule_of_ours_has_a_reason() -> None:
    """`--why` shows the schemas' two beside the rules."""
    assert {"schema", "schema-unknown", "image-pinned"} <= set(reasons())
    assert all(reason and hint for reason, hint in reasons().values())
