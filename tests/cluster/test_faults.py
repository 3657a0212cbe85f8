"""The API server and what stands around it at their worst."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.cluster.conftest import NO_WAIT, Place, lines
from tests.cluster.proxy import Request, proxied
from tests.cluster.test_apply import DEPLOYMENT, ONE, TWO, definition
from tests.machine import free_port
from tests.node import until

from lockgate.base.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    InventoryLost,
    NotReady,
    Rejected,
)
from lockgate.deploy.kube import kubeconfig
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.delete import repair
from lockgate.deploy.kube.model import Options
from lockgate.deploy.kube.status import status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver import ApiServer

SECONDS = 180.0
"""How long the API server may take to hear of a webhook, or of its end."""


def many(count: int, value: str = "one") -> str:
    """Return configuration maps."""
    return "---".join(
        ONE.replace("name: a", f"name: m{number}").replace("key: one", f"key: {value}")
        for number in range(count)
    )


def test_a_finalizer_that_hangs_is_named_and_waited_for_again(place: Place) -> None:
    """The entry stays until the object is known to be gone; the next run ends it."""
    place.apply(TWO)
    place.kubectl(
        "patch",
        "secret/b",
        "--type=merge",
        "-p",
        '{"metadata":{"finalizers":["example.org/hold"]}}',
    )
    with pytest.raises(NotReady, match=r"Secret/t\d+/b \(held by example.org/hold\)"):
        place.apply(ONE, Options(wait=2), artifact="2")
    assert place.inventory() == ["a", "b"]
    place.kubectl("patch", "secret/b", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert lines(place.apply(ONE, Options(wait=60), artifact="2")) == ["a unchanged", "b deleted"]
    assert place.inventory() == ["a"]


def test_a_definition_that_is_never_established_is_named(place: Place) -> None:
    """Its name is taken: that will not pass, so nobody waits for it until the end."""
    group = f"{place.namespace}.example.org"
    first = definition(group).partition("---")[0]
    place.kubectl("create", "-f", "-", stdin=first)
    until(
        lambda: any(
            one["type"] == "Established" and one["status"] == "True"
            for one in place.get(f"crd/lamps.{group}")["status"].get("conditions") or ()
        ),
        "the first definition",
    )
    second = (
        definition(group).replace("lamps", "lampes").replace("singular: lamp", "singular: lampe")
    )
    with pytest.raises(NotReady, match=rf"CustomResourceDefinition/lampes.{group}: .*[Cc]onflict"):
        place.apply(second, Options(wait=120))
    assert sorted(place.inventory()) == ["desk", f"lampes.{group}"]
    place.delete(Options(wait=60))


def test_a_webhook_that_does_not_answer_is_named(place: Place) -> None:
    """The apply fails before anything is written, and works once the webhook is gone."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hook = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": f"silent-{place.namespace}"},
            "webhooks": [
                {
                    "name": "silent.example.org",
                    "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["secrets"],
                        }
                    ],
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": place.namespace}
                    },
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 1,
                    "failurePolicy": "Fail",
                }
            ],
        }
        place.kubectl("create", "-f", "-", stdin=json.dumps(hook))
        try:
            with pytest.raises(ClusterError, match=r"the admission webhook silent.example.org"):
                _until_refused(place)
        finally:
            place.kubectl("delete", "validatingwebhookconfiguration", f"silent-{place.namespace}")
    assert place.get("configmap/a") is None
    _until_applied(place)


def _until_refused(place: Place) -> None:
    """Plan until the API server has heard of the webhook."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        place.plan(TWO)


def _until_applied(place: Place) -> None:
    """Apply until the API server has heard that the webhook is gone."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(ClusterError):
            place.apply(TWO)
            return
    pytest.fail("the webhook is still asked")


def test_a_partial_apply_is_known_and_completed_or_taken_back(place: Place) -> None:
    """A quota lets two of three in: the record names all three, and either artifact can follow (S1.51)."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    place.kubectl(
        "create", "-f", "-", stdin=json.dumps(quota | {"spec": {"hard": {"secrets": "2"}}})
    )
    written = {"status": {"hard": {"secrets": "2"}, "used": {"secrets": "0"}}}
    patch = ["patch", "resourcequota/few", "--subresource=status", "--type=merge", "-p"]
    place.kubectl(*patch, json.dumps(written))
    secret = TWO.partition("---")[2]
    three = "---".join(secret.replace("name: b", f"name: s{number}") for number in range(3))
    place.apply(ONE)
    with pytest.raises(Rejected, match="exceeded quota"):
        place.apply(ONE + "---" + three, replace(NO_WAIT, workers=1), artifact="2")
    assert place.inventory() == ["a", "s0", "s1", "s2"]
    back = place.apply(ONE)
    assert sorted(lines(back)) == ["a unchanged", "s0 deleted", "s1 deleted", "s2 deleted"]
    assert place.kubectl("get", "secrets", "-o", "name") == ""
    place.kubectl("delete", "resourcequota/few")
    asked = ("create", "secret", "generic", "asked", "--dry-run=server")
    until(
        lambda: "exceeded quota" not in place.kubectl(*asked, check=False), "the quota is forgotten"
    )
    assert "s2 created" in lines(place.apply(ONE + "---" + three, artifact="2"))


def test_a_lost_inventory_is_named_and_written_anew(place: Place) -> None:
    """Beginning with an empty one would orphan everything; the objects' labels say what was in it."""
    place.apply(TWO)
    place.kubectl("delete", "configmap/inv-web")
    with pytest.raises(InventoryLost, match="objects of it are there") as caught:
        place.apply(ONE, artifact="2")
    assert "inv deploy.repair" in caught.value.hint
    repair(place.target(), (), NO_WAIT)
    assert lines(place.apply(ONE, artifact="2")) == ["a unchanged", "b deleted"]


@pytest.mark.parametrize(
    "damage",
    ['{"data":{"resources":"[{"}}', '{"data":{"resources":null}}', '{"data":{"pending":"{}"}}',
     '{"data":{"resources":"[{\\"id\\":\\"nonsense\\",\\"ver\\":\\"v1\\"}]"}}'],
)  # fmt: skip
def test_a_corrupt_inventory_is_named_and_written_anew(place: Place, damage: str) -> None:
    """Nothing is applied over a record that cannot be read."""
    place.apply(TWO)
    place.kubectl("patch", "configmap/inv-web", "--type=merge", "-p", damage)
    with pytest.raises(InventoryLost, match="cannot be read"):
        place.apply(ONE, artifact="2")
    repair(place.target(), (), NO_WAIT)
    assert lines(place.apply(ONE, artifact="2")) == ["a unchanged", "b deleted"]


@pytest.mark.parametrize("words", [["apply"], ["replace"], ["replace", "--force"]], ids=" ".join)
def test_an_older_inventory_that_was_put_back_is_named(place: Place, words: list[str]) -> None:
    """From a copy, as a backup has it: nothing is pruned or forgotten before it is written anew."""
    place.apply(ONE)
    copied = json.loads(place.kubectl("get", "configmap/inv-web", "-o", "json"))
    place.apply(TWO, artifact="2")
    for name in ("resourceVersion", "uid", "creationTimestamp"):
        del copied["metadata"][name]
    place.kubectl(*words, "-f", "-", stdin=json.dumps(copied))
    with pytest.raises(InventoryLost, match="was written by 'kubectl"):
        place.apply(ONE, artifact="3")
    with pytest.raises(InventoryLost, match="was written by 'kubectl"):
        place.delete()
    assert place.get("secret/b") is not None
    repair(place.target(), (), NO_WAIT)
    assert sorted(place.inventory()) == ["a", "b"]
    assert lines(place.apply(ONE, artifact="3")) == ["a unchanged", "b deleted"]
    assert lines(place.apply(ONE, artifact="3")) == ["a unchanged"]


@pytest.mark.parametrize("books", [True, False], ids=["with-books", "without-books"])
def test_what_was_pruned_and_put_back_is_nobodys(place: Place, books: bool) -> None:
    """Also when the copy has its books: the cluster begins them anew for who puts it back."""
    place.apply(TWO)
    shown = ["--show-managed-fields"] if books else []
    copied = json.loads(place.kubectl("get", "secret/b", "-o", "json", *shown))
    assert ("managedFields" in copied["metadata"]) == books
    place.apply(ONE, artifact="2")
    for name in ("resourceVersion", "uid", "creationTimestamp"):
        del copied["metadata"][name]
    place.kubectl("create", "-f", "-", stdin=json.dumps(copied))
    assert lines(place.apply(ONE, artifact="3")) == ["a unchanged"]
    assert place.inventory() == ["a"]
    assert place.get("secret/b") is not None


def test_forbidden_verbs_are_listed_up_front(place: Place) -> None:
    """All that is missing in one message, and nothing was changed."""
    target = place.target(user="limited")
    with pytest.raises(Forbidden) as caught:
        place.apply(TWO + "---" + DEPLOYMENT, target=target)
    for missing in ("get configmaps in", "patch secrets in", "create deployments.apps in"):
        assert missing in caught.value.message
    assert place.get("configmap/a") is None


def test_a_role_in_one_namespace_is_enough(place: Place) -> None:
    """Nothing of the whole cluster is needed for what lies in a namespace."""
    place.kubectl(
        "create", "role", "deployer", "--verb=get,list,watch,create,patch,update,delete",
        "--resource=configmaps,secrets",
    )  # fmt: skip
    place.kubectl("create", "rolebinding", "deployer", "--role=deployer", "--user=limited")
    asked = ("-n", place.namespace, "auth", "can-i", "delete", "secrets")
    until(
        lambda: place.server.kubectl(*asked, user="limited", check=False).returncode == 0,
        "the API server knows of the role",
    )
    target = place.target(user="limited")
    assert lines(place.apply(TWO, target=target)) == ["a created", "b created"]
    assert lines(place.apply(ONE, target=target, artifact="2")) == ["a unchanged", "b deleted"]


def test_two_appliers_on_one_inventory_come_one_after_the_other(place: Place) -> None:
    """Whoever is last wins whole: the cluster holds one artifact, never a mixture."""
    texts = {"1": many(12), "2": many(6, "two") + "---" + TWO.partition("---")[2]}
    failures: list[Exception] = []
    # Both write one kubeconfig, so not at the same time.
    targets = {artifact: place.target() for artifact in texts}

    def work(artifact: str) -> None:
        try:
            place.apply(
                texts[artifact],
                Options(wait=60, prune_limit=50),
                artifact=artifact,
                target=targets[artifact],
            )
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in texts]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    stored = place.target().storage.read()
    assert stored.holder is None
    current = stored.inventory.current
    assert current is not None
    last = current.artifact[-1]
    assert lines(place.plan(texts[last])) == [
        f"{one.id.name} unchanged" for one in stored.inventory.entries
    ]


def test_an_inventory_that_somebody_holds_is_waited_for_and_named(place: Place) -> None:
    """As long as it is renewed nobody takes it; when it is let go the other one works."""
    place.apply(ONE)
    # Renewed after 8 s, lost after 24: longer than a busy machine pauses. Unless renewed it is taken before 30.
    holder = place.target(lease=24.0).storage
    seen = holder.read()
    with holder.begin(seen, seen.inventory, patience=1) as held:
        with pytest.raises(Conflict, match="is held by process"):
            place.apply(TWO, Options(wait=30), artifact="2")
        assert place.get("secret/b") is None
        held.write(seen.inventory, last=True)
    assert lines(place.apply(TWO, artifact="2")) == ["a unchanged", "b created"]


def test_an_inventory_whose_holder_is_silent_is_taken(place: Place) -> None:
    """Somebody on another machine was killed: after the time that was promised the next run goes on."""
    place.apply(ONE)
    token = json.dumps({"who": "elsewhere/0/0/1/1", "run": "x", "beat": 3, "seconds": 1.0})
    patch = {"metadata": {"annotations": {"lockgate.dev/holder": token}}}
    place.kubectl("patch", "configmap/inv-web", "--type=merge", "-p", json.dumps(patch))
    found = status(place.target(), NO_WAIT)
    assert found.holder == "process 1 on elsewhere"
    assert lines(place.apply(TWO, Options(wait=60), artifact="2")) == ["a unchanged", "b created"]


def test_the_server_may_restart_in_the_middle(own_server: ApiServer) -> None:
    """What was under way is tried again once it answers; everything is there in the end."""
    own_server.kubectl("create", "namespace", "t")
    place = Place(own_server, "t")
    with proxied(own_server) as proxy:
        restarted: list[threading.Thread] = []
        over, once = threading.Event(), threading.Lock()

        def start() -> None:
            own_server.start_server()
            over.wait()  # the server ends with the thread that started it

        def restart(request: Request) -> None:
            # Several requests are on their way at once: whichever comes first after the eleventh does it.
            with once:
                if len([one for one in proxy.seen if one.writes]) >= 12 and not restarted:
                    own_server.stop_server(signal.SIGKILL)
                    restarted.append(threading.Thread(target=start))
                    restarted[0].start()

        proxy.before = restart
        target = place.target(connection=place.connection(url=proxy.url), patience=180, lease=240)
        changes = place.apply(many(40), Options(wait=180), target=target)
    assert restarted
    assert len(changes.changes) == 40
    assert lines(place.plan(many(40))) == [f"{one.id.name} unchanged" for one in changes.changes]
    over.set()
    restarted[0].join()
    place.close()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that asks it too."""
    port = free_port()
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "contexts": [{"name": "away", "context": {"cluster": "away"}}],
                "clusters": [{"name": "away", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
            }
        )
    )
    access = kubeconfig.read(file=str(config), root=tmp_path, environ={})
    with (
        Connection(access) as connection,
        pytest.raises(
            ClusterError, match=r"the cluster away at .* cannot be reached: Connection refused"
        ),
    ):
        Client(connection, patience=0.2).read_kinds()


def test_a_server_with_another_certificate_is_refused(
    api_server: ApiServer, tmp_path: Path
) -> None:
    """It is not asked anything."""
    config: dict[str, Any] = {
        "contexts": [{"name": "other", "context": {"cluster": "other"}}],
        "clusters": [{"name": "other", "cluster": {"server": api_server.url}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    access = kubeconfig.read(file=str(path), root=tmp_path, environ={})
    with (
        Connection(access) as connection,
        pytest.raises(ClusterError, match="does not prove who it is"),
    ):
        Client(connection).read_kinds()


def test_a_refused_token_is_named(api_server: ApiServer, tmp_path: Path) -> None:
    """The cluster does not know who asks."""
    text = api_server.kubeconfig("admin").read_text()
    token = text.partition("token: ")[2].split()[0]
    path = api_server.folder / "wrong.kubeconfig"
    path.write_text(text.replace(token, "x" * 32))
    access = kubeconfig.read(file=str(path), root=tmp_path, environ={})
    with (
        Connection(access) as connection,
        pytest.raises(Forbidden, match="does not know these credentials"),
    ):
        Client(connection).read_kinds()


@pytest.fixture(autouse=True)
def _neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine is in the way."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
