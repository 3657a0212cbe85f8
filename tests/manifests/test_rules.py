"""Each of our rules catches a manifest that breaks it: a rule that cannot fail is no rule."""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.manifests.kubernetes import ROOT, World, rendered

from lockgate.base.errors import UsageError
from lockgate.config import rules

Change = Callable[[World], object]


def put(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Set fields."""
    value.update(more)
    return value


def policy(world: World, **spec: Any) -> None:
    """Add a NetworkPolicy for the app's pods."""
    selector = {"matchLabels": {"app.kubernetes.io/name": "todo"}}
    world.add("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": selector} | spec)


def retarget(world: World, port: object) -> None:
    """Let the Service lead to another port."""
    world("Service")["spec"]["ports"][0]["targetPort"] = port


def context(world: World, **more: Any) -> None:
    """Change the container's security context."""
    world.container["securityContext"].update(more)


BREAKS: list[tuple[str, str, Change]] = [
    ("image-pinned", "a tag", lambda w: put(w.container, image="app:1.0")),
    ("image-pinned", "from elsewhere", lambda w: put(w.container, image="docker.io/library/app")),
    ("image-pinned", "a short digest", lambda w: put(w.container, image="app@sha256:1234")),
    ("image-pinned", "an init container", lambda w: put(w.pod, initContainers=[w.container | {"name": "i", "image": "busybox"}])),
    ("image-latest", "latest", lambda w: put(w.container, image="app:latest")),
    ("image-latest", "latest beside a digest", lambda w: put(w.container, image="x/app:latest@sha256:" + "1" * 64)),
    ("resources-set", "none", lambda w: w.container.pop("resources")),
    ("resources-set", "no limit of memory", lambda w: w.container["resources"]["limits"].pop("memory")),
    ("resources-set", "no request of cpu", lambda w: w.container["resources"]["requests"].pop("cpu")),
    ("root-read-only", "not said", lambda w: w.container["securityContext"].pop("readOnlyRootFilesystem")),
    ("probes-set", "no liveness", lambda w: w.container.pop("livenessProbe")),
    ("probes-set", "no readiness", lambda w: w.container.pop("readinessProbe")),
    ("liveness-alone", "asks what readiness asks", lambda w: w.container["livenessProbe"]["httpGet"].update(path="/readyz")),
    ("liveness-alone", "asks the component's own", lambda w: (w.container["livenessProbe"]["httpGet"].update(path="/readyz"), w.container["readinessProbe"]["httpGet"].update(path="/other"))),
    ("probe-port", "another name", lambda w: w.container["livenessProbe"]["httpGet"].update(port="web")),
    ("probe-port", "another number", lambda w: w.container["startupProbe"]["httpGet"].update(port=8081)),
    ("token-not-mounted", "not said", lambda w: w.pod.pop("automountServiceAccountToken")),
    ("token-not-mounted", "mounted", lambda w: put(w.pod, automountServiceAccountToken=True)),
    ("account-own", "none", lambda w: w.pod.pop("serviceAccountName")),
    ("account-own", "default", lambda w: put(w.pod, serviceAccountName="default")),
    ("secret-as-file", "a variable", lambda w: w.container["env"].append({"name": "K", "valueFrom": {"secretKeyRef": {"name": "todo", "key": "k"}}})),
    ("secret-as-file", "all variables", lambda w: put(w.container, envFrom=[{"secretRef": {"name": "todo"}}])),
    ("stop-graceful", "no pause", lambda w: w.container.pop("lifecycle")),
    ("stop-graceful", "killed in its pause", lambda w: put(w.pod, terminationGracePeriodSeconds=6)),
    ("pod-restricted", "the node's network", lambda w: put(w.pod, hostNetwork=True)),
    ("pod-restricted", "the node's processes", lambda w: put(w.pod, hostPID=True)),
    ("pod-restricted", "the node's memory", lambda w: put(w.pod, hostIPC=True)),
    ("pod-restricted", "the node's files", lambda w: w.pod["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    ("pod-restricted", "a port of the node", lambda w: w.container["ports"][0].update(hostPort=80)),
    ("pod-restricted", "a kernel setting", lambda w: w.pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}])),
    ("pod-restricted", "root", lambda w: w.pod["securityContext"].update(runAsUser=0)),
    ("pod-restricted", "perhaps root", lambda w: w.pod["securityContext"].pop("runAsNonRoot")),
    ("pod-restricted", "root in one container", lambda w: context(w, runAsNonRoot=False)),
    ("pod-restricted", "privileged", lambda w: context(w, privileged=True)),
    ("pod-restricted", "escalation", lambda w: w.container["securityContext"].pop("allowPrivilegeEscalation")),
    ("pod-restricted", "capabilities kept", lambda w: context(w, capabilities={"drop": ["NET_RAW"]})),
    ("pod-restricted", "a capability added", lambda w: context(w, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    ("pod-restricted", "no seccomp", lambda w: w.pod["securityContext"].pop("seccompProfile")),
    ("pod-restricted", "seccomp off", lambda w: context(w, seccompProfile={"type": "Unconfined"})),
    ("pod-restricted", "AppArmor off", lambda w: context(w, appArmorProfile={"type": "Unconfined"})),
    ("pod-restricted", "a type of SELinux", lambda w: context(w, seLinuxOptions={"type": "spc_t"})),
    ("pod-restricted", "an open /proc", lambda w: context(w, procMount="Unmasked")),
    ("pod-restricted", "a process of the node", lambda w: context(w, windowsOptions={"hostProcess": True})),
    ("pod-restricted", "a probe of another host", lambda w: w.container["readinessProbe"]["httpGet"].update(host="10.0.0.1")),
    ("pod-restricted", "a container in a running pod", lambda w: put(w.pod, ephemeralContainers=[{"name": "e", "image": "app"}])),
    ("namespace-own", "none", lambda w: w("Service")["metadata"].pop("namespace")),
    ("namespace-own", "default", lambda w: w("Deployment")["metadata"].update(namespace="default")),
    ("namespace-own", "of Kubernetes", lambda w: w("ServiceAccount")["metadata"].update(namespace="kube-system")),
    ("namespace-restricted", "baseline", lambda w: w("Namespace")["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"})),
    ("namespace-restricted", "no labels", lambda w: w("Namespace")["metadata"].pop("labels")),
    ("namespace-restricted", "latest", lambda w: w("Namespace")["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce-version": "latest"})),
    ("selector-matches", "the Deployment's (S0.39)", lambda w: w("Deployment")["spec"]["selector"]["matchLabels"].update(app="studentbook")),
    ("selector-matches", "nothing selected", lambda w: put(w("Deployment")["spec"], selector={})),
    ("selector-matches", "the Service's", lambda w: put(w("Service")["spec"], selector={"app": "hello"})),
    ("selector-matches", "the budget's", lambda w: put(w("PodDisruptionBudget")["spec"], selector={"matchLabels": {"app": "hello"}})),
    ("selector-matches", "a policy's", lambda w: put(w("NetworkPolicy", "todo")["spec"], podSelector={"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
    ("selector-matches", "the spread's", lambda w: w.pod["topologySpreadConstraints"][0].update(labelSelector={"matchLabels": {"app": "hello"}})),
    ("service-port", "another name", lambda w: retarget(w, "web")),
    ("service-port", "another number", lambda w: retarget(w, 9090)),
    ("service-port", "left to chance", lambda w: w("Service")["spec"]["ports"][0].pop("targetPort")),
    ("component-port", "another one", lambda w: w.container["ports"][0].update(containerPort=9090)),
    ("reference-exists", "no account", lambda w: w.remove("ServiceAccount")),
    ("reference-exists", "no ConfigMap", lambda w: w.pod["volumes"].append({"name": "c", "configMap": {"name": "absent"}})),
    ("reference-exists", "no ConfigMap of a variable", lambda w: w.container["env"].append({"name": "K", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k"}}})),
    ("reference-exists", "no ConfigMap of all variables", lambda w: put(w.container, envFrom=[{"configMapRef": {"name": "absent"}}])),
    ("autoscaler-rules", "replicas written down", lambda w: put(w("Deployment")["spec"], replicas=2)),
    ("autoscaler-rules", "nothing to rule", lambda w: w("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="absent")),
    ("autoscaler-rules", "least above most", lambda w: put(w("HorizontalPodAutoscaler")["spec"], minReplicas=99)),
    ("disruption-possible", "none may go", lambda w: put(w("PodDisruptionBudget")["spec"], maxUnavailable=0)),
    ("disruption-possible", "all must stay", lambda w: put(w("PodDisruptionBudget")["spec"], minAvailable="100%")),
    ("disruption-possible", "as many as there are", lambda w: put(w("PodDisruptionBudget")["spec"], minAvailable=3)),
    ("disruption-limited", "no budget", lambda w: w.remove("PodDisruptionBudget")),
    ("upgrade-rolling", "all at once", lambda w: put(w("Deployment")["spec"], strategy={"type": "Recreate"})),
    ("upgrade-rolling", "some first", lambda w: w("Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable="25%")),
    ("upgrade-rolling", "not said", lambda w: w("Deployment")["spec"].pop("strategy")),
    ("secret-written", "data", lambda w: w.add("v1", "Secret", data={"password": "aGlkZGVu"})),
    ("secret-written", "text", lambda w: w.add("v1", "Secret", stringData={"password": "hidden"})),
    ("network-default", "none", lambda w: w.remove("NetworkPolicy", "default-deny")),
    ("network-default", "one way", lambda w: put(w("NetworkPolicy", "default-deny")["spec"], policyTypes=["Ingress"])),
    ("network-default", "it allows", lambda w: put(w("NetworkPolicy", "default-deny")["spec"], egress=[{"ports": [{"port": 443}]}])),
    ("network-covered", "one way only", lambda w: (w.remove("NetworkPolicy", "dns"), w.remove("NetworkPolicy", "todo-to-database"), put(w("NetworkPolicy", "default-deny")["spec"], policyTypes=["Ingress"]))),
    ("network-narrow", "from everyone", lambda w: policy(w, ingress=[{"ports": [{"port": 8080}]}])),
    ("network-narrow", "from every address", lambda w: policy(w, ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 8080}]}])),
    ("network-narrow", "from every namespace", lambda w: policy(w, ingress=[{"from": [{"namespaceSelector": {}}], "ports": [{"port": 8080}]}])),
    ("network-narrow", "to every port", lambda w: policy(w, egress=[{"to": [{"podSelector": {}}]}], policyTypes=["Egress"])),
    ("network-reaches", "another port", lambda w: (w.remove("NetworkPolicy", "todo-from-ingress"), w("NetworkPolicy", "todo")["spec"]["ingress"][0].update(ports=[{"port": 80}]))),
    ("network-reaches", "another protocol", lambda w: (w.remove("NetworkPolicy", "todo-from-ingress"), w("NetworkPolicy", "todo")["spec"]["ingress"][0].update(ports=[{"port": 8080, "protocol": "UDP"}]))),
    ("network-resolves", "no DNS", lambda w: w.remove("NetworkPolicy", "dns")),
]  # fmt: skip
"""Id of the rule, what is done, and the change of prod's manifests that does it."""


@pytest.mark.parametrize(
    ("rule", "change"),
    [(one[0], one[2]) for one in BREAKS],
    ids=[f"{a}: {b}" for a, b, _ in BREAKS],
)
def test_a_broken_rule_is_found(rule: str, change: Change) -> None:
    """The rule is broken by the change, and was not before."""
    world = World("prod")
    assert world.judge() == ()
    change(world)
    found = world.judge()
    assert rule in {one.id for one in found}, found


def test_every_rule_is_broken_here() -> None:
    """No rule is without a manifest that it catches, and none is known by two ids."""
    ids = [one.id for one in rules.RULES]
    assert {rule for rule, _, _ in BREAKS} == set(ids)
    assert len(ids) == len(set(ids))


def test_every_rule_says_why_and_what_to_do() -> None:
    """Reason and hint are sentences for the person who is stopped by the rule."""
    for one in rules.RULES:
        assert one.reason.endswith("."), one.id
        assert one.hint, one.id


def test_every_rule_stands_in_the_document() -> None:
    """`docs/manifests.md` has a row for each rule, in the order in which they are judged, and for nothing else."""
    text = (ROOT / "docs" / "manifests.md").read_text()
    table = text.partition("| rule | because |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == [one.id for one in rules.RULES]


def test_a_finding_names_object_field_and_folder() -> None:
    """It can be waived by its id, for one object or one environment."""
    world = World("prod")
    world.container["image"] = "app:1.0"
    (found,) = world.judge()
    assert (found.id, found.package) == ("image-pinned", "Deployment/todo-prod/todo")
    assert found.path == "k8s/overlays/prod/Deployment/todo"
    assert "app:1.0" in found.title


def test_an_encrypted_secret_may_be_written() -> None:
    """What SOPS has encrypted is no secret to its readers; one value that is plain is."""
    world = World("prod")
    world.add("v1", "Secret", data={"password": "ENC[AES256_GCM,data:eA==,type:str]"})
    assert world.judge() == ()
    world("Secret")["data"]["user"] = "cGxhaW4="
    assert [one.id for one in world.judge()] == ["secret-written"]


def test_a_key_that_is_missing_in_a_secret_is_found() -> None:
    """A Secret that is among the manifests must have the keys that pods mount."""
    world = World("dev")
    secret = next(one for one in world.bodies if one["kind"] == "Secret")
    secret["data"] = {"other": "eA=="}
    assert {one.id for one in world.judge()} == {"reference-exists"}


def test_the_service_of_a_stateful_set_must_exist() -> None:
    """Its name is a part of the pods' names in the network."""
    world = World("dev")
    world("StatefulSet")["spec"]["serviceName"] = "absent"
    assert [one.id for one in world.judge()] == ["reference-exists"]


def test_pinned_components_are_still_components() -> None:
    """With registry and digest in its place, an image is known by its last part."""
    world = World("prod")
    world.container["image"] = "registry.example.com/shop/app@sha256:" + "1" * 64
    world.container["ports"][0]["containerPort"] = 9090
    assert "component-port" in {one.id for one in world.judge()}


def test_values_of_secrets_are_in_no_finding() -> None:
    """Whatever is wrong with a Secret, its content is not told."""
    world = World("prod")
    world.add("v1", "Secret", stringData={"password": "dont-tell"})
    found = world.judge()
    assert found
    assert "dont-tell" not in repr(found)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below a value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


PLACES = [
    (number, path) for number, one in enumerate(rendered("dev")) for path in places(dict(one.body))
]
ODD: tuple[Any, ...] = (
    None,
    0,
    1.5,
    True,
    "x",
    [],
    {},
    [1],
    [[1]],
    [{"name": ["x"]}],
    {"a": 1},
    {"matchLabels": 3},
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_whatever_stands_there_the_rules_judge_it(changes: list[tuple[Any, Any]]) -> None:
    """What has another form than it should is for the schemas to say; the rules do not fall over it."""
    world = World("dev")
    for (number, path), value in changes:
        with contextlib.suppress(
            KeyError, IndexError, TypeError
        ):  # an earlier change took the place away
            functools.reduce(operator.getitem, path[:-1], world.bodies[number])[path[-1]] = value
    try:
        resources = world.resources
    except UsageError:
        return  # not an object any more
    world.judge(resources)
