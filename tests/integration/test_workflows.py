"""The workflows for GitHub: linted by the real actionlint, their shell by shellcheck, their tasks parsed, and run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from invoke.exceptions import ParseError
from tests.integration import registries
from tests.integration.registries import debian_program, go_program
from tests.integration.sigstore_instance import ISSUER, WORKFLOW, Sigstore
from tests.workflow import EXAMPLES as FOLDER
from tests.workflow import given, jobs, key_pair, runner, shell, steps, write_wrapper

from lockgate.tasks import namespace
from lockgate.tasks.program import Lockgate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.integration.conftest import Repository

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "lockgate" / "action.yml"
EXAMPLES = sorted(FOLDER.glob("*.yml"))
WORKFLOWS = [*EXAMPLES, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]

LOCAL = "./.github/actions/lockgate"

ALLOWED = {"contents": {"read"}, "packages": {"read", "write"}, "id-token": {"write"}}
"""What a job may ask for at most."""


def named(path: Path) -> str:
    """Return a file's name for test ids."""
    return path.name


def action_steps() -> list[dict[str, Any]]:
    """Return the steps of the composite action."""
    found: list[dict[str, Any]] = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    return found


def lint(folder: Path, files: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Put workflows into a repository that has the action, and let actionlint read them."""
    (folder / ".git").mkdir(parents=True)
    shutil.copytree(ROOT / ".github" / "actions", folder / ".github" / "actions")
    place = folder / ".github" / "workflows"
    place.mkdir()
    for name, text in files.items():
        (place / name).write_text(text)
    return subprocess.run(
        [go_program("actionlint"), "-no-color", "-pyflakes=", "-shellcheck", debian_program("shellcheck")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_actionlint_finds_nothing(path: Path, tmp_path: Path) -> None:
    """Syntax, expressions, permissions, inputs of our own action, and every line of shell."""
    done = lint(tmp_path, {path.name: path.read_text()})
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("task: scan", "tasks: scan", 'input "tasks" is not defined in action'),
        ("id-token: write", "id_token: write", 'unknown permission scope "id_token"'),
        ("outputs.reference", "outputs.digest", 'property "digest" is not defined'),
        ('"$REFERENCE" >>', "$REFERENCE >>", "SC2086"),
    ],
)
def test_actionlint_would_find_it(old: str, new: str, found: str, tmp_path: Path) -> None:
    """The test above can fail: a wrong input, scope, output or quote is seen."""
    text = (FOLDER / "publish-keyless.yml").read_text()
    assert old in text
    done = lint(tmp_path, {"publish-keyless.yml": text.replace(old, new, 1)})
    assert done.returncode == 1
    assert found in done.stdout


@pytest.mark.parametrize("step", action_steps(), ids=lambda step: str(step["id"]))
def test_shellcheck_reads_the_action(step: dict[str, Any]) -> None:
    """Actionlint does not look into actions; their shell is bash with -e and pipefail, as GitHub runs it."""
    done = subprocess.run(
        [debian_program("shellcheck"), "--shell=bash", "-"],
        input=f"set -eo pipefail\n{step['run']}",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_everything_of_others_is_pinned_by_commit(path: Path) -> None:
    """And a checkout leaves no token behind for the steps after it."""
    for step in steps(path):
        action = step.get("uses", LOCAL)
        assert action == LOCAL or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        if action.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=named)
def test_no_expression_stands_in_shell(path: Path) -> None:
    """What a pull request or a person typed comes by variables, so that no shell reads it as a command."""
    for step in action_steps() if path == ACTION else steps(path):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_rights_are_the_least(path: Path) -> None:
    """None by default; of each job what it needs; a token of the workflow's identity for keyless signing alone."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"]
        for scope, right in job["permissions"].items():
            assert right in ALLOWED[scope]
        keyless = (path.name, name) == ("publish-keyless.yml", "publish")
        assert ("id-token" in job["permissions"]) == keyless
        assert ("environment" in job) == (name != "check")


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_secrets_reach_the_steps_that_need_them(path: Path) -> None:
    """By variables of single steps: no argument, no input, no whole job, and no job that runs others' code."""
    for job in jobs(path).values():
        for step in job["steps"]:
            others = {key: value for key, value in step.items() if key != "env"}
            assert "secrets." not in str(others)
            assert "github.token" not in str(others)
            if "RELEASE_KEY" in step.get("env", {}):
                assert re.match(r"\./inv (config\.|)sign |\./inv deploy", step["run"])
        assert "secrets." not in str(job.get("env", {}))
        if any(step.get("run", "") == "./inv check" for step in job["steps"]):
            assert job["permissions"] == {"contents": "read"}
            assert "secrets." not in str(job)


def typed(path: Path) -> list[list[str]]:
    """Return the words of every task that a workflow runs, by the wrapper or by the action."""
    found = []
    for step in steps(path):
        lines = step.get("run", "").splitlines()
        found += [shlex.split(one.partition(" > ")[0]) for one in lines if one.startswith("./inv ")]
        if step.get("uses") == LOCAL:
            given = step["with"]
            found.append(["inv", given["task"], f"--env={given['environment']}"])
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_every_command_parses_as_a_task(path: Path) -> None:
    """Each names tasks and flags that exist, and an environment."""
    commands = typed(path)
    assert commands
    for words in commands:
        program = Lockgate(namespace=namespace())
        program.create_config()
        try:
            program.parse_core(words)
            program.parse_collection()
            program.parse_tasks()
        except (ParseError, SystemExit) as error:
            raise AssertionError(f"{words}: {error}") from None
        for task in program.tasks:
            assert "env" not in task.args or task.args["env"].value in ("staging", "prod"), words


def test_both_ways_to_publish_do_the_same() -> None:
    """With a key and without one: the same tasks in the same order."""
    (keyed, keyless) = (
        [one for words in typed(FOLDER / name) for one in words if one in STAGES]
        for name in ("publish.yml", "publish-keyless.yml")
    )
    assert keyed == keyless == list(STAGES)


STAGES = ("check", "build", "scan", "sign", "push", "config.build", "config.sign", "config.push")


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """An installation whose `lockgate` prints its arguments, one a line, and ends as LOCKGATE_CODE says."""
    program = tmp_path / "place" / "bin" / "lockgate"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit "${LOCKGATE_CODE:-0}"\n')
    program.chmod(0o755)
    return program.parents[1]


@pytest.fixture
def act(stub: Path, tmp_path: Path) -> Callable[..., tuple[list[str], str]]:
    """Call with inputs of the action; returns the arguments that the program got, and the step's output."""

    def run(code: int = 0, **inputs: str) -> tuple[list[str], str]:
        output = tmp_path / "output"
        output.write_text("")
        inputs = {"environment": "", "component": "", "arguments": "", **inputs}
        given = {f"LOCKGATE_{name.upper()}": value for name, value in inputs.items()}
        runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output)}
        more = {"LOCKGATE_PLACE": str(stub), "LOCKGATE_CODE": str(code)}
        done = shell(action_steps()[1], tmp_path, given | runner | more, code)
        return done.stdout.splitlines(), output.read_text()

    return run


def test_inputs_become_arguments(act: Callable[..., tuple[list[str], str]]) -> None:
    """Each is one word, whatever stands in it; empty ones are none."""
    hostile = '$(touch pwned) `id`; "'
    words, _ = act(task="scan", environment=hostile, component="a b", arguments=f"--x\n\n{hostile}")
    assert words == ["scan", f"--env={hostile}", "--component=a b", "--x", hostile]
    assert act(task="config.push")[0] == ["config.push"]


@pytest.mark.parametrize("task", ["build scan", "--list", "", "scan;id", "a.b.c"])
def test_one_task_a_step(task: str, act: Callable[..., tuple[list[str], str]]) -> None:
    """Anything else is refused before it runs: its exit code would be of nobody knows which."""
    assert act(task=task, code=2)[0] == []


def test_the_exit_code_is_the_tasks(act: Callable[..., tuple[list[str], str]]) -> None:
    """A closed gate is 3 in a step, too."""
    assert act(task="scan", code=3) == (["scan"], "")


@pytest.mark.parametrize(
    ("last", "output"),
    [
        (f"host.example/a/b@sha256:{'0' * 64}", f"reference=host.example/a/b@sha256:{'0' * 64}\n"),
        (f"host.example/a/b@sha256:{'0' * 63}", ""),
        (f"x y@sha256:{'0' * 64}", ""),
        ("host.example/a:1", ""),
    ],
)
def test_a_reference_is_the_output(
    last: str, output: str, act: Callable[..., tuple[list[str], str]]
) -> None:
    """When it is what the task printed last, and is by digest."""
    assert act(task="config.push", arguments=last)[1] == output


def test_the_action_installs_once_from_its_own_commit(tmp_path: Path) -> None:
    """Into a folder for each pin; what `requirements/standalone.py` makes is tested in test_standalone.py."""
    assert (ACTION.parent / "../../../requirements/standalone.py").resolve().is_file()
    installer = tmp_path / "lockgate" / "requirements" / "standalone.py"
    installer.parent.mkdir(parents=True)
    installer.write_text(
        "import pathlib, sys\nplace = pathlib.Path(sys.argv[1])\nplace.mkdir()\n"
        "(place / 'lockgate-wheel.sha256').write_text('')\n"
    )
    action = tmp_path / "lockgate" / ".github" / "actions" / "lockgate"
    action.mkdir(parents=True)
    output = tmp_path / "output"
    variables = {
        "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output), "GITHUB_ACTION_PATH": str(action),
    }  # fmt: skip
    for _ in range(2):
        shell(action_steps()[0], tmp_path, variables)
    first, second = output.read_text().splitlines()
    assert first == second
    assert (Path(first.removeprefix("place=")) / "lockgate-wheel.sha256").exists()


PROD = """
scan:
  database: embedded
environments:
  prod:
    key: env://RELEASE_KEY
    public_keys: [release.pub]
    registry: HOST/shop
    embedded_advisories: true
    database_max_age_days: 36500
    unsandboxed_scanner: true
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: app}]}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The host of an empty registry on loopback."""
    with registries.serve("lockgate", tmp_path / "registry") as running:
        yield running.host


KEYLESS = """\
    key: keyless://sigstore.json
    trusted_root: root.json
    identities: [{name: ci, subject: 'SUBJECT', issuer: 'ISSUER'}]
"""


@pytest.fixture
def shop(repository: Repository, registry: str) -> Repository:
    """The project with one Deployment, and a key that only the environment has."""
    root = repository.path
    path = root / "lockgate.yaml"
    settings = path.read_text().partition("\nenvironments:")[0] + PROD.replace("HOST", registry)
    path.write_text(settings)
    overlay = root / "k8s" / "overlays" / "prod"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("resources: [web.yaml]\n")
    (overlay / "web.yaml").write_text(DEPLOYMENT)
    (root / "release.pub").write_text(PUBLIC)
    write_wrapper(root)
    repository.commit("settle")
    return repository


KEY, PUBLIC = key_pair()


def test_what_publish_publishes_is_trusted_elsewhere(
    shop: Repository, registry: str, tmp_path: Path
) -> None:
    """Its steps run as they stand, the key in those that name it; a clone with public keys alone verifies."""
    machine = runner(tmp_path)
    for step in jobs(FOLDER / "publish.yml")["publish"]["steps"]:
        if not re.search(r"sudo |docker login", step.get("run", "sudo ")):
            shell(step, shop.path, machine | given(step, {"secrets.RELEASE_KEY": KEY}))
    reference = (tmp_path / "reference").read_text().strip()
    assert reference.startswith(f"{registry}/shop/config-prod@sha256:")
    assert (tmp_path / "github_step_summary").read_text() == f"Published as {reference}\n"

    other = type(shop)(tmp_path / "other")
    shop.git("clone", "--quiet", str(shop.path), str(other.path))
    deploy = jobs(FOLDER / "deploy-registry.yml")["deploy"]["steps"]
    asked = {"REFERENCE": reference}
    shell(deploy[0], other.path, machine | asked)
    shell(deploy[0], other.path, machine | {"REFERENCE": f"{registry}/shop/config-prod:v1"}, code=1)
    (verify,) = (step for step in deploy if "./inv verify" in step.get("run", ""))
    done = shell(verify, other.path, machine | asked)
    assert "not met" not in done.stdout + done.stderr
    assert [line.split()[-1] for line in done.stderr.splitlines()] == [
        f"sha256:{digest[:8]}…{digest[-4:]}"
        for digest in (reference.rpartition(":")[2], shop.subject.removeprefix("sha256:"))
    ]


@pytest.fixture
def sigstore() -> Iterator[Sigstore]:
    """A Sigstore on loopback."""
    with Sigstore() as running:
        yield running


def test_what_is_published_without_a_key_is_trusted_elsewhere(
    shop: Repository, sigstore: Sigstore, tmp_path: Path
) -> None:
    """Each step runs the action's own shell, with the token of the workflow's identity; a clone verifies."""
    settings = shop.path / "lockgate.yaml"
    keyed = "    key: env://RELEASE_KEY\n    public_keys: [release.pub]\n"
    keyless = KEYLESS.replace("SUBJECT", WORKFLOW).replace("ISSUER", ISSUER)
    settings.write_text(settings.read_text().replace(keyed, keyless))
    (shop.path / "sigstore.json").write_text(json.dumps(sigstore.config()))
    (shop.path / "root.json").write_text(json.dumps(sigstore.instance.root()))
    shop.commit("keyless")
    place = tmp_path / "place" / "bin"
    place.mkdir(parents=True)
    write_wrapper(place)
    (place / "inv").rename(place / "lockgate")

    machine = runner(tmp_path)
    output = Path(machine["GITHUB_OUTPUT"])
    for step in jobs(FOLDER / "publish-keyless.yml")["publish"]["steps"]:
        if step.get("uses") == LOCAL:
            output.write_text("")
            inputs = {"environment": "", "component": "", "arguments": "", **step["with"]}
            variables = {f"LOCKGATE_{name.upper()}": value for name, value in inputs.items()}
            variables["LOCKGATE_PLACE"] = str(place.parent)
            # GitHub gives one for the asking, which is when a step signs; it is good for minutes.
            variables["SIGSTORE_ID_TOKEN"] = sigstore.token()
            shell(action_steps()[1], shop.path, machine | variables)
    name, reference = output.read_text().strip().split("=")
    assert name == "reference"
    assert sigstore.requests

    other = type(shop)(tmp_path / "other")
    shop.git("clone", "--quiet", str(shop.path), str(other.path))
    deploy = jobs(FOLDER / "deploy-registry.yml")["deploy"]["steps"]
    (verify,) = (step for step in deploy if "./inv verify" in step.get("run", ""))
    done = shell(verify, other.path, runner(tmp_path) | {"REFERENCE": reference})
    assert done.stdout.count(f"signature   ok        identity {WORKFLOW}") == 2
