"""What is sent to the cluster, from what was verified."""

from __future__ import annotations

import pytest
from tests.miniature import KINDS

from lockgate.base.errors import UsageError
from lockgate.config.resource import parse
from lockgate.deploy.kube.desired import Desired, prepare
from lockgate.deploy.kube.discovery import Kinds
from lockgate.deploy.kube.ownership import Owner

WEB = Owner("shop", "web")

SCALED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 2, paused: true}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"""


def made(text: str) -> tuple[Desired, ...]:
    """Return what is sent."""
    return prepare(parse(text.encode(), where="test"), WEB, Kinds(KINDS))


def test_labels_are_added_to_the_object_alone() -> None:
    """Not to what is inside, and the verified object is left as it is (S1.46)."""
    resources = parse(SCALED.encode(), where="test")
    (first, _) = prepare(resources, WEB, Kinds(KINDS))
    assert first.body["metadata"]["labels"] == WEB.labels
    assert "labels" not in resources[0].body["metadata"]


def test_own_labels_stay() -> None:
    """Beside ours."""
    (one,) = made(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b, labels: {x: 'y'}}}"
    )
    assert one.body["metadata"]["labels"] == {"x": "y", **WEB.labels}


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("", "", False),
        ("kind: Deployment, name: web", "kind: Deployment, name: other", True),
        ("apiVersion: apps/v1, kind", "apiVersion: example.org/v1, kind", True),
        ("metadata: {name: web, namespace: shop}\nspec: {scale", "metadata: {name: web, namespace: other}\nspec: {scale", True),
    ],
)  # fmt: skip
def test_replicas_are_left_out_where_an_autoscaler_rules(old: str, new: str, kept: bool) -> None:
    """Of the very workload that it targets, in its own namespace (S1.47)."""
    (workload, _) = made(SCALED.replace(old, new) if old else SCALED)
    assert ("replicas" in workload.body["spec"]) is kept
    assert workload.body["spec"]["paused"] is True


def test_texts_of_a_secret_become_data() -> None:
    """A later one wins, as it does in the cluster."""
    (one,) = made(
        "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}, "
        "data: {x: b2xk, 'y': b2xk}, stringData: {x: new}}"
    )
    assert one.body["data"] == {"x": "bmV3", "y": "b2xk"}
    assert "stringData" not in one.body


def test_what_only_a_cluster_knows_is_left_out() -> None:
    """An object that was exported can be applied."""
    (one,) = made(
        "{apiVersion: v1, kind: ConfigMap, status: {x: 1}, metadata: {name: a, namespace: b, uid: u, "
        "resourceVersion: '1', managedFields: [], creationTimestamp: null, generation: 3}}"
    )
    assert set(one.body) == {"apiVersion", "kind", "metadata"}
    assert set(one.body["metadata"]) == {"name", "namespace", "labels"}


def test_a_namespace_where_none_is_is_dropped() -> None:
    """As the API server does."""
    (one,) = made("{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}")
    assert one.id.namespace == ""
    assert "namespace" not in one.body["metadata"]


def test_a_missing_namespace_is_an_error() -> None:
    """The object is named."""
    with pytest.raises(UsageError, match="ConfigMap/a names no namespace"):
        made("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")


def test_the_digest_is_of_the_content() -> None:
    """Whatever the order of keys; another value is another digest."""
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}, data: {x: '1', 'y': '2'}}"
    other = "{kind: ConfigMap, apiVersion: v1, data: {'y': '2', x: '1'}, metadata: {namespace: b, name: a}}"
    assert made(one)[0].digest == made(other)[0].digest
    assert made(one)[0].digest != made(one.replace("'2'", "'3'"))[0].digest


def test_an_unknown_kind_names_what_there_is() -> None:
    """Another version, or nothing."""
    with pytest.raises(UsageError, match="does not know Deployment of apps/v1beta1") as caught:
        made("{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a, namespace: b}}")
    assert caught.value.hint == "it serves it as apps/v1"


BRING = "bring its CustomResourceDefinition in the same artifact, or install what brings it"


@pytest.mark.parametrize(
    ("version", "kind", "hint"),
    [
        ("v1", "Confgmap", "did you mean `ConfigMap`?"),
        ("v1", "Lamp", BRING),
        ("apps/v1", "Deploymnt", f"did you mean `Deployment`? {BRING}"),
    ],
)
def test_a_mistyped_kind_gets_the_nearest_one_of_its_group(
    version: str, kind: str, hint: str
) -> None:
    """And what brings kinds, where a definition can: not into the core group."""
    with pytest.raises(UsageError) as caught:
        made(f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: a, namespace: b}}}}")
    assert caught.value.hint == hint


def test_a_text_of_a_secret_that_is_none_is_named_by_its_key() -> None:
    """Never by its value."""
    with pytest.raises(UsageError, match=r"`stringData\.pin` is no text") as caught:
        made(
            "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}, stringData: {pin: 4711}}"
        )
    assert "4711" not in f"{caught.value.message}{caught.value.hint}"


def test_two_of_one_name_are_an_error_whatever_namespace_they_name() -> None:
    """Where the kind lies in none, they are one object, and the last one would win (S1.18)."""
    one = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: NAME}\n"
    with pytest.raises(UsageError, match="Namespace/a stands twice"):
        made(f"{one.replace('NAME', 'b')}---\n{one.replace('NAME', 'c')}")


@pytest.mark.parametrize(
    "text",
    [
        SCALED.replace("{scaleTargetRef:", "{scaleTargetRef: [1], other:"),
        SCALED.replace("name: web}}\n", "name: [web]}}\n"),
        "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a, namespace: b}, spec: x}",
    ],
)
def test_an_autoscaler_of_another_form_is_left_to_the_cluster(text: str) -> None:
    """It says which field is wrong."""
    assert all("replicas" in one.body["spec"] for one in made(text) if one.id.kind == "Deployment")


def test_data_of_another_form_is_an_error() -> None:
    """Beside `stringData`, which is put into it."""
    with pytest.raises(UsageError, match="`data` is no mapping"):
        made(
            "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}, data: [x], stringData: {k: v}}"
        )
