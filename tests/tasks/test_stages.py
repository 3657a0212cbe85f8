"""Arguments reach the one stage that a task calls, and its record decides the exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.build.model import Image
from lockgate.gate.decision import Decision
from lockgate.tasks import building, deploying, scanning, signing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tasks.conftest import Mini

    from lockgate.base.canonical import Record


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[tuple[Any, ...]]]:
    """Call with a module and a function's name: it works on, and its arguments are remembered."""

    def spy(module: Any, name: str) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        real = getattr(module, name)

        def called(*arguments: Any, **named: Any) -> Any:
            calls.append(arguments)
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, called)
        return calls

    return spy


def record(mini: Mini, name: str, component: str = "web") -> Any:
    """Return a record as it lies on disk."""
    return json.loads((mini.path / f".lockgate/records/{component}/{name}.json").read_bytes())


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but locks, which hold nothing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "locks" not in path.parts and path.name != ".lock":
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.parametrize(
    ("arguments", "components"), [([], ["web", "worker"]), (["-c", "worker"], ["worker"])]
)
def test_component_chooses_what_is_built(
    arguments: list[str],
    components: list[str],
    mini: Mini,
    listen: Callable[..., list[tuple[Any, ...]]],
) -> None:
    """Without `-c` every component is built in the order of the settings, with it only that one."""
    calls = listen(building, "run")

    assert mini.inv("build", *arguments).code == 0
    assert [plan.component for _, plan in calls] == components


@pytest.mark.parametrize(
    ("command", "module", "stage"),
    [
        ("build", building, "run"),
        ("scan", scanning, "run"),
        ("sign", signing, "run"),
        ("deploy", deploying, "run"),
    ],
)
def test_plan_calls_no_stage_and_changes_nothing(
    command: str,
    module: Any,
    stage: str,
    built_mini: Mini,
    listen: Callable[..., list[tuple[Any, ...]]],
) -> None:
    """`--plan` says what would happen, and every file stays as it was."""
    (built_mini.path / "web" / "wsgi.py").write_text("print('changed')\n")
    calls = listen(module, stage)
    before = snapshot(built_mini.path)

    answer = built_mini.inv(command, "--plan")

    assert answer.code == 0
    assert answer.err.count("\n") >= 2
    assert calls == []
    assert snapshot(built_mini.path) == before


def test_why_names_the_reasons_with_old_and_new_value(built_mini: Mini) -> None:
    """`--why` says which input changed, from what to what, and then builds."""
    before = record(built_mini, "image")
    (built_mini.path / "web" / "wsgi.py").write_text("print('changed')\n")

    answer = built_mini.inv("build", "-c", "web", "--why")

    commit = before["inputs"]["COMMIT"]
    assert answer.code == 0
    assert f"COMMIT   {commit} → {commit}+dirty" in answer.err
    assert f"SOURCE   {before['source']['content'][:15]}" in answer.err
    assert "STACK" not in answer.err
    assert record(built_mini, "image")["subject"] != before["subject"]


@pytest.mark.parametrize("command", ["build", "scan"])
def test_why_of_what_did_not_change_says_so(command: str, built_mini: Mini) -> None:
    """When nothing changed there is no reason to name."""
    answer = built_mini.inv(command, "-c", "web", "--why")

    assert answer.code == 0
    assert answer.err.splitlines()[0].split()[:3] == [command, "web", "unchanged"]
    assert "→" not in answer.err.splitlines()[1]


def test_a_second_run_does_no_work(
    built_mini: Mini, listen: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Every stage finds its record: nothing is built, scanned or signed, and no file changes."""
    calls = [*(listen(module, "run") for module in (building, scanning))]
    before = snapshot(built_mini.path)

    answer = built_mini.inv("build", "scan", "sign")

    assert answer.code == 0
    assert answer.err.count("unchanged") == 6
    assert calls == [[], []]
    assert snapshot(built_mini.path) == before


@pytest.mark.parametrize(("environment", "code"), [("dev", 0), ("staging", 3), ("prod", 3)])
def test_the_environment_decides_the_exit_code(
    environment: str, code: int, built_mini: Mini
) -> None:
    """One report, three thresholds: `dev` only says what it found, the others block with exit 3."""
    answer = built_mini.inv("scan", "-c", "web", "-e", environment)

    assert answer.code == code
    assert "CVE-2026-0001" in answer.err
    assert record(built_mini, f"decision-{environment}")["environment"] == environment


def test_a_closed_gate_names_what_closes_it(built_mini: Mini) -> None:
    """The finding and each thing that the environment never takes are named, not only that it is closed."""
    answer = built_mini.inv("scan", "-c", "web", "-e", "prod")

    assert "prod: closed" in answer.err
    assert "embedded advisories" in answer.err
    assert "HIGH     CVE-2026-0001  libc6 2.41-12 → fixed in 2.41-13" in answer.err


def test_nothing_is_signed_behind_a_closed_gate(built_mini: Mini) -> None:
    """`sign` takes the decision of its environment: without one it asks for it, closed it stops."""
    before = snapshot(built_mini.path / ".lockgate" / "store")

    unasked = built_mini.inv("sign", "-c", "web", "-e", "prod")
    built_mini.inv("scan", "-c", "web", "-e", "prod")
    closed = built_mini.inv("sign", "-c", "web", "-e", "prod")

    assert unasked.code == 2
    assert "run `inv scan -e prod -c web` first" in unasked.err
    assert closed.code == 3
    assert snapshot(built_mini.path / ".lockgate" / "store") == before


WAIVER = """\
waivers:
  - id: libc
    findings: [CVE-2026-0001]
    owner: platform
    reason: nothing calls it
    until: {until}
"""


def test_a_waiver_opens_the_gate(built_mini: Mini) -> None:
    """A waiver in the file changes the verdict, without another scan."""
    until = _day(10)
    (built_mini.path / "policies" / "waivers.yaml").write_text(WAIVER.format(until=until))

    answer = built_mini.inv("scan", "-c", "web", "-e", "staging")

    assert answer.code == 0
    assert "unchanged" in answer.err.splitlines()[0]
    assert [one["waiver"]["until"] for one in record(built_mini, "decision-staging")["waived"]] == [
        until
    ]


def test_a_lapsed_waiver_closes_it_again(built_mini: Mini) -> None:
    """A waiver whose last day is over permits nothing, and is named."""
    (built_mini.path / "policies" / "waivers.yaml").write_text(WAIVER.format(until=_day(-1)))

    answer = built_mini.inv("scan", "-c", "web", "-e", "staging")

    assert answer.code == 3
    assert "lapsed" in answer.err


def test_a_permission_goes_with_its_waiver(built_mini: Mini) -> None:
    """What was permitted by a waiver that is no longer in the file is not signed: exit 4, and what to run."""
    waivers = built_mini.path / "policies" / "waivers.yaml"
    permitted, sooner = WAIVER.format(until=_day(10)), WAIVER.format(until=_day(9))
    waivers.write_text(permitted)
    assert built_mini.inv("scan", "-c", "web", "-e", "staging").code == 0

    for changed in ("waivers: []\n", sooner):
        waivers.write_text(changed)
        answer = built_mini.inv("sign", "-c", "web", "-e", "staging")
        assert answer.code == 4
        assert "rests on waiver libc" in answer.err
        assert "`inv scan -e staging sign -e staging`" in answer.err

    waivers.write_text(permitted)
    assert built_mini.inv("sign", "-c", "web", "-e", "staging").code == 0


def test_a_permission_is_one_environments(built_mini: Mini) -> None:
    """The verdict of `dev` in the place of that of `staging` is not signed as one, nor one of other settings."""
    records = built_mini.path / ".lockgate" / "records" / "web"
    dev = (records / "decision-dev.json").read_bytes()
    (records / "decision-staging.json").write_bytes(dev)
    answer = built_mini.inv("sign", "-c", "web", "-e", "staging")
    assert answer.code == 4
    assert "tolerated something else" in answer.err

    built_mini.settings("  dev: {severity: MEDIUM,", "  dev: {severity: CRITICAL,")
    assert built_mini.inv("sign", "-c", "web").code == 4
    assert built_mini.inv("scan", "-c", "web").code == 0
    assert built_mini.inv("sign", "-c", "web").code == 0


def _day(ahead: int) -> str:
    import datetime as dt

    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=ahead)).isoformat()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("waivers:\n  - id: a\n", "findings is missing"),
        ("waivers: [\n", "policies/waivers.yaml"),
        ("wavers: []\n", "waivers"),
        (WAIVER.format(until="2999-01-01"), "at most 30 are allowed"),
        (WAIVER.format(until="2026-02-30"), "(line 6, column 12)"),
        (WAIVER.format(until="2026-11-30").replace("owner: platform\n    ", ""), "owner is missing"),
        (WAIVER.format(until="2026-11-30") + "    pakages: [libc6]\n", "did you mean `packages`?"),
    ],
)  # fmt: skip
def test_unreadable_waivers_stop_the_gate(text: str, said: str, built_mini: Mini) -> None:
    """What cannot be read permits nothing and refuses nothing: exit 2, the fault and its place."""
    (built_mini.path / "policies" / "waivers.yaml").write_text(text)

    answer = built_mini.inv("scan", "-c", "web")

    assert answer.code == 2
    assert said in answer.err
    assert "hint: " in answer.err
    assert answer.out == ""


def test_without_waivers_nothing_is_permitted(built_mini: Mini) -> None:
    """A repository that never wrote the file has no waivers, and the gate is as closed as it was."""
    (built_mini.path / "policies" / "waivers.yaml").unlink()

    assert built_mini.inv("scan", "-c", "web", "-e", "staging").code == 3


def test_waivers_that_the_settings_name_must_be_there(built_mini: Mini) -> None:
    """A file that somebody named and that is not there is no empty file: exit 2."""
    built_mini.settings("project: mini\n", "project: mini\nwaivers: policies/mine.yaml\n")

    answer = built_mini.inv("scan", "-c", "web")

    assert answer.code == 2
    assert "there is no policies/mine.yaml" in answer.err


def test_a_dirty_tree_is_recorded_in_dev(built_mini: Mini) -> None:
    """In `dev` an image may be built from uncommitted files, and its Source says which."""
    (built_mini.path / "web" / "wsgi.py").write_text("print('changed')\n")

    answer = built_mini.inv("build", "-c", "web")

    assert answer.code == 0
    assert record(built_mini, "image")["source"]["changes"] == ["web/wsgi.py"]


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_a_dirty_tree_is_refused_elsewhere(
    environment: str, built_mini: Mini, listen: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Before anything is built: exit 2, and the file that is not committed."""
    (built_mini.path / "web" / "wsgi.py").write_text("print('changed')\n")
    calls = listen(building, "run")

    answer = built_mini.inv("build", "-c", "web", "-e", environment)

    assert answer.code == 2
    assert f"web has uncommitted changes (web/wsgi.py); {environment} builds commits only" in (
        answer.err
    )
    assert calls == []


def test_the_gate_of_prod_refuses_what_dev_built_dirty(built_mini: Mini) -> None:
    """An image that was built from uncommitted files does not pass as one of a commit later."""
    (built_mini.path / "web" / "wsgi.py").write_text("print('changed')\n")

    answer = built_mini.inv("build", "scan", "-c", "web", "-e", "prod")

    assert answer.code == 3
    assert "uncommitted changes" in answer.err


def test_verify_checks_every_component(built_mini: Mini) -> None:
    """Without an argument each component's image is verified: five requirements each."""
    answer = built_mini.inv("verify")

    assert answer.code == 0
    assert [line.split()[1] for line in answer.out.splitlines()].count("ok") == 10
    assert "refused" not in answer.out
    assert record(built_mini, "verification", "worker")["met"] is True


@pytest.mark.parametrize("form", ["worker", "digest"])
def test_verify_takes_a_name_or_a_digest(form: str, built_mini: Mini) -> None:
    """`--reference` names anything in the store."""
    subject = record(built_mini, "image", "worker")["subject"]
    reference = subject if form == "digest" else form

    answer = built_mini.inv("verify", "--reference", reference, "--json")

    assert answer.code == 0
    assert json.loads(answer.out)["subject"] == subject


@pytest.mark.parametrize("reference", ["wroker", "sha256:12", "sha256:" + "0" * 64, "a b", "web:x"])
def test_verify_refuses_what_is_not_there(reference: str, built_mini: Mini) -> None:
    """A name or a digest that is not in the store, or none at all, is exit 2 with a hint."""
    answer = built_mini.inv("verify", "--reference", reference)

    assert answer.code == 2
    assert answer.out == ""
    assert "hint: " in answer.err


@pytest.mark.parametrize(
    ("forms", "bundles", "tags"), [("bundle", True, False), ("legacy", False, True)]
)
def test_each_form_of_signatures_is_a_switch(
    forms: str, bundles: bool, tags: bool, built_mini: Mini
) -> None:
    """What is not asked for is not written, although both were before."""
    built_mini.settings("{severity: MEDIUM,", f"{{signatures: [{forms}], severity: MEDIUM,")

    signed = built_mini.inv("sign", "-c", "web", "--json")

    assert signed.code == 0, signed.err
    statements = json.loads(signed.out)["statements"]
    assert len(statements) == 5
    for one in statements:
        assert (bool(one["manifest"]), bool(one["layer"])) == (bundles, tags)


def test_no_form_of_signatures_is_refused(built_mini: Mini) -> None:
    """Nothing would be written, and that must not look like signing."""
    built_mini.settings("{severity: MEDIUM,", "{signatures: [], severity: MEDIUM,")

    done = built_mini.inv("sign", "-c", "web")

    assert done.code == 2
    assert "environments.dev.signatures names no form" in done.err


def test_verify_of_what_was_not_signed_is_4(built_mini: Mini) -> None:
    """An image without evidence is not trusted: each requirement says what is missing."""
    built_mini.inv("verify", "--reference", "web-linux-amd64")
    answer = built_mini.inv("verify", "--reference", "web-linux-amd64")

    assert answer.code == 4
    assert answer.out.count("refused") == 5
    assert "AttestationMissing" in answer.out


def test_verify_for_prod_trusts_no_development_key(built_mini: Mini) -> None:
    """What `dev` signed is not trusted by an environment without a key of its own."""
    answer = built_mini.inv("verify", "-c", "web", "-e", "prod")

    assert answer.code == 4
    assert "hint: " in answer.err


def test_a_development_key_whose_public_half_does_not_say_so(built_mini: Mini) -> None:
    """The private file says so still: what it signed is not taken where no development key is."""
    kept = built_mini.path / ".lockgate" / "keys"
    (built_mini.path / "release.key").write_bytes((kept / "cosign.key").read_bytes())
    half = (kept / "cosign.pub").read_bytes()
    (built_mini.path / "release.pub").write_bytes(half[half.index(b"-----BEGIN") :])
    built_mini.settings("  prod: {", "  prod: {key: release.key, require: [signature], ")

    answer = built_mini.inv("verify", "-c", "web", "-e", "prod")

    assert answer.code == 4
    assert "development key" in answer.out


def test_what_other_tools_read_follows_the_verdict(built_mini: Mini) -> None:
    """`out/` holds the decision, the SARIF file and the SBOM of the image that is current, each time."""
    out = built_mini.path / "out" / "web"
    first = (out / "sbom.cdx.json").read_bytes()
    original = (built_mini.path / "web" / "wsgi.py").read_bytes()
    for _ in range(2):
        assert built_mini.inv("build", "scan", "sign", "-c", "web").code == 0
    for text in (b"print('second')\n", b"print('third')\n", original):
        (built_mini.path / "web" / "wsgi.py").write_bytes(text)

        assert (
            built_mini.inv("build", "-c", "web", "scan", "-c", "web", "sign", "-c", "web").code == 0
        )

        subject = record(built_mini, "image")["subject"]
        assert json.loads((out / "decision-dev.json").read_bytes())["subject"] == subject
        assert subject in (out / "findings-dev.sarif").read_text()
        assert subject[7:] in (out / "sbom.cdx.json").read_text()
    assert (out / "sbom.cdx.json").read_bytes() == first


def test_compare_builds_twice_and_finds_no_difference(
    built_mini: Mini, listen: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """`inv build.compare` builds again from packages alone, for the component that is named."""
    calls = listen(building, "compare")

    answer = built_mini.inv("build.compare", "-c", "worker")

    assert answer.code == 0
    assert [plan.component for _, plan, _ in calls] == ["worker"]
    assert "twice" in answer.err
    assert not (built_mini.path / ".lockgate" / "compare").exists()


@pytest.mark.parametrize("lines", ["0", "-3"])
def test_logs_of_no_lines_are_refused(lines: str, built_mini: Mini) -> None:
    """A number of lines that cannot be shown is exit 2."""
    answer = built_mini.inv("deploy.logs", "-c", "web", f"--lines={lines}")

    assert answer.code == 2
    assert "cannot be shown" in answer.err


@pytest.mark.parametrize("command", ["deploy.logs", "deploy.rollback"])
def test_what_was_never_deployed_is_named(command: str, built_mini: Mini) -> None:
    """Nothing to show and nothing to go back to: exit 2 and what to do."""
    answer = built_mini.inv(command, "-c", "web")

    assert answer.code == 2
    assert "`web`" in answer.err
    assert "hint: " in answer.err


@pytest.mark.parametrize("command", ["deploy.logs", "deploy.rollback"])
def test_one_of_several_components_must_be_named(command: str, built_mini: Mini) -> None:
    """What works on one component says which there are."""
    answer = built_mini.inv(command)

    assert answer.code == 2
    assert answer.err.endswith("hint: add `-c web` or `-c worker`\n")


@pytest.mark.parametrize(
    ("name", "kind", "stage"), [("image", Image, "scan"), ("decision-dev", Decision, "sign")]
)
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a":1}', b"\xff"])
def test_a_damaged_record_is_named(
    name: str, kind: type[Record], stage: str, damage: bytes, built_mini: Mini
) -> None:
    """A record that is cut off or something else is refused by the stage that reads it, with its path."""
    (built_mini.path / f".lockgate/records/web/{name}.json").write_bytes(damage)

    answer = built_mini.inv(stage, "-c", "web")

    assert answer.code == 2
    assert f".lockgate/records/web/{name}.json" in answer.err
    assert "Traceback" not in answer.err


def test_a_decision_of_another_image_is_refused(built_mini: Mini) -> None:
    """Records of two images that are put together by hand do not make a signature: exit 4."""
    records = built_mini.path / ".lockgate" / "records"
    for name in ("decision-dev", "report"):
        (records / "web" / f"{name}.json").write_bytes(
            (records / "worker" / f"{name}.json").read_bytes()
        )

    answer = built_mini.inv("sign", "-c", "web")

    assert answer.code == 4
    assert "the decision is about" in answer.err


def test_a_refusal_is_evidence_and_no_permission(built_mini: Mini) -> None:
    """With `--failed` a closed gate's refusal is signed, takes an older permission back, and stays exit 3."""
    built_mini.settings(
        "  dev: {severity: MEDIUM, blocks: false", "  dev: {severity: HIGH, blocks: true"
    )
    assert built_mini.inv("scan", "-c", "web").code == 3

    signed = built_mini.inv("sign", "-c", "web", "--failed", "--json")

    assert signed.code == 3
    kinds = [one["predicate_type"] for one in json.loads(signed.out)["statements"]]
    assert [one.rpartition("/")[0].rpartition("/")[2] for one in kinds] == [
        "vuln",
        "verification_summary",
    ]
    assert "refusal: vuln, summary" in signed.err
    again = built_mini.inv("sign", "-c", "web", "--failed")
    assert (again.code, "unchanged" in again.err) == (3, True)
    verified = built_mini.inv("verify", "-c", "web")
    assert verified.code == 4
    assert "summary     refused   the gate of dev is closed to this image" in verified.out
    for words in (("sign",), ("deploy",), ("push", "--to", "registry.localhost:1/x")):
        assert built_mini.inv(*words, "-c", "web").code in (3, 4)


def test_a_refusal_alone_is_never_a_pass(mini: Mini) -> None:
    """Of an image of which only the refusal is signed, no requirement about the verdict holds."""
    mini.settings("  dev: {severity: MEDIUM, blocks: false", "  dev: {severity: HIGH, blocks: true")
    assert mini.inv("build", "scan", "-c", "web").code == 3
    assert mini.inv("sign", "-c", "web").code == 3
    assert mini.inv("sign", "-c", "web", "--failed").code == 3

    answer = mini.inv("verify", "-c", "web")

    assert answer.code == 4
    assert [line.split()[:2] for line in answer.out.splitlines()[:5]] == [
        ["signature", "refused"],
        ["sbom", "refused"],
        ["vuln", "ok"],
        ["provenance", "refused"],
        ["summary", "refused"],
    ]


def test_checks_are_attested_when_they_were_made(built_mini: Mini) -> None:
    """What `inv check` found of the very sources is signed too, and can be required; of others it is not."""
    image = record(built_mini, "image")
    gates: list[dict[str, object]] = [
        {"name": name, "passed": True, "blocks": True, "reason": "fine", "detail": []}
        for name in ("tests", "licences")
    ]
    checks = {
        "subject": image["source"]["content"],
        "checked": image["source"]["content"],
        "component": "web",
        "gates": gates,
        "summary": "fine",
    }
    path = built_mini.path / ".lockgate/records/web/checks.json"
    path.write_text(json.dumps(checks))

    signed = built_mini.inv("sign", "-c", "web")

    assert "image + sbom, vuln, provenance, summary, tests, licences" in signed.err
    asked = ("--require", "tests: {gates: [tests]}", "--require", "licences")
    assert built_mini.inv("verify", "-c", "web", *asked).code == 0
    path.write_text(json.dumps(checks | {"subject": "sha256:" + "0" * 64}))
    assert "tests" not in built_mini.inv("sign", "-c", "web").err
