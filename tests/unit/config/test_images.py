"""Images are found wherever something runs, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from lockgate.config import resource
from lockgate.config.images import images, replace

POD = {
    "containers": [{"name": "a", "image": "web"}],
    "initContainers": [{"name": "b", "image": "init"}],
    "ephemeralContainers": [{"name": "c", "image": "debug"}],
    "volumes": [{"name": "v", "image": {"reference": "files"}}, {"name": "w", "emptyDir": {}}],
}
OF_POD = ("debug", "files", "init", "web")

TASK = {
    "params": [{"name": "image"}],
    "steps": [
        {"name": "a", "image": "step"},
        {"name": "b", "image": "$(params.image)"},
        {"name": "c", "ref": {"name": "action"}},
    ],
    "sidecars": [{"name": "d", "image": "side"}],
    "stepTemplate": {"image": "template"},
}
OF_TASK = ("side", "step", "template")


def made(api_version: str, kind: str, **fields: Any) -> resource.Resource:
    """Return an object."""
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **fields}
    return resource.of(body, "here")


@pytest.mark.parametrize(
    "one",
    [
        made("v1", "Pod", spec=POD),
        made("apps/v1", "Deployment", spec={"template": {"spec": POD}}),
        made("apps/v1", "StatefulSet", spec={"template": {"spec": POD}}),
        made("apps/v1", "DaemonSet", spec={"template": {"spec": POD}}),
        made("batch/v1", "Job", spec={"template": {"spec": POD}}),
        made("batch/v1", "CronJob", spec={"jobTemplate": {"spec": {"template": {"spec": POD}}}}),
        made("v1", "PodTemplate", template={"spec": POD}),
        made("argoproj.io/v1alpha1", "Rollout", spec={"template": {"spec": POD}}),
        made(
            "jobset.x-k8s.io/v1alpha2",
            "JobSet",
            spec={"replicatedJobs": [{"template": {"spec": {"template": {"spec": POD}}}}]},
        ),
    ],
    ids=lambda one: one.id.kind,
)
def test_images_of_pods(one: resource.Resource) -> None:
    """Containers of every sort and image volumes, in every kind that makes pods, known or not."""
    assert images(one) == OF_POD


@pytest.mark.parametrize(
    "one",
    [
        made("tekton.dev/v1", "Task", spec=TASK),
        made("tekton.dev/v1", "TaskRun", spec={"taskSpec": TASK}),
        made("tekton.dev/v1", "Pipeline", spec={"tasks": [{"name": "t", "taskSpec": TASK}]}),
        made("tekton.dev/v1", "Pipeline", spec={"finally": [{"name": "t", "taskSpec": TASK}]}),
        made(
            "tekton.dev/v1",
            "PipelineRun",
            spec={"pipelineSpec": {"tasks": [{"name": "t", "taskSpec": TASK}]}},
        ),
        made(
            "triggers.tekton.dev/v1beta1",
            "TriggerTemplate",
            spec={
                "resourcetemplates": [
                    {"spec": {"taskSpec": {**TASK, "steps": [{"image": "step"}]}}}
                ]
            },
        ),
    ],
    ids=lambda one: one.id.kind,
)
def test_images_of_tekton(one: resource.Resource) -> None:
    """Steps, sidecars and templates, in tasks, in pipelines and in runs; parameters are no reference."""
    assert images(one) == OF_TASK


def test_the_image_of_a_step_action() -> None:
    """A StepAction is a step of its own."""
    assert images(made("tekton.dev/v1", "StepAction", spec={"image": "step"})) == ("step",)


def test_a_variable_outside_of_tekton_is_no_parameter() -> None:
    """`$(…)` in a pod is a reference that cannot be right; it is not passed over."""
    pod = made("v1", "Pod", spec={"containers": [{"image": "$(params.image)"}]})
    assert images(pod) == ("$(params.image)",)


@pytest.mark.parametrize(
    "one",
    [
        made("v1", "ConfigMap", data={"containers": "x"}),
        made("kyverno.io/v1", "ClusterPolicy", spec={"pattern": {"spec": POD}}),
        made(
            "apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"default": {"spec": POD}}
        ),
        made("v1", "Pod", spec={"containers": [{"name": "a"}, "odd"], "volumes": ["odd"]}),
        made("v1", "Pod", spec={"containers": {"image": "schema"}}),
    ],
    ids=lambda one: one.id.kind,
)
def test_patterns_schemas_and_data_hold_no_image(one: resource.Resource) -> None:
    """What only looks like a container runs nothing."""
    assert images(one) == ()


def test_each_image_is_named_once() -> None:
    """Sorted, without repetition."""
    pod = {"containers": [{"image": "b"}, {"image": "a"}, {"image": "b"}]}
    assert images(made("v1", "Pod", spec=pod)) == ("a", "b")


def test_replacing_changes_a_copy() -> None:
    """Every image is changed in the new object, and none in the old one."""
    old = made("v1", "Pod", spec=POD)
    new = replace(old, lambda one: one + "@x")
    assert images(new) == tuple(f"{one}@x" for one in OF_POD)
    assert images(old) == OF_POD
    assert new.body["metadata"] is old.body["metadata"]


def test_replacing_nothing_gives_the_same_object() -> None:
    """An object whose images stay is not copied."""
    old = made("v1", "Pod", spec=POD)
    assert replace(old, lambda one: one) is old
