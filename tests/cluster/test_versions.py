"""Objects that change the version of their kind: what was applied in the older one is known in the newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cluster.conftest import lines
from tests.cluster.test_apply import ONE
from tests.node import until

if TYPE_CHECKING:
    from tests.cluster.conftest import Place

SCALER = """
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: @NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 9
  targetCPUUtilizationPercentage: 70
"""

NEWER_SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: @NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 9
"""

OTHER_SCALER = NEWER_SCALER.replace("{name: web,", "{name: other,")

VERSION = """
    - name: {name}
      served: true
      storage: {storage}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {{bright: {{type: integer}}, colour: {{type: string}}, old: {{type: string}}}}
"""


def definition(place: Place, *versions: str) -> str:
    """Return a definition of a kind that is served in some versions and stored in the last."""
    group = f"{place.namespace}.example.org"
    made = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: lamps.{group}}}
spec:
  group: {group}
  names: {{kind: Lamp, plural: lamps, singular: lamp, listKind: LampList}}
  scope: Namespaced
  versions:"""
    for one in versions:
        made += VERSION.format(name=one, storage=str(one == versions[-1]).lower())
    return made


def lamp(place: Place, version: str, spec: str) -> str:
    """Return an object of the kind."""
    return f"""
---
apiVersion: {place.namespace}.example.org/{version}
kind: Lamp
metadata: {{name: desk, namespace: @NS}}
spec: {spec}
"""


def books(place: Place, what: str) -> list[tuple[str, str, str]]:
    """Return who applied an object, and in which version."""
    return [
        (one["manager"], one["operation"], one["apiVersion"].rpartition("/")[2])
        for one in place.get(what)["metadata"]["managedFields"]
        if not one.get("subresource")
    ]


def served(place: Place, *versions: str) -> str:
    """Serve the kind in some versions; return its name, once discovery says so."""
    name = f"lamps.{place.namespace}.example.org"
    place.kubectl("apply", "-f", "-", stdin=definition(place, *versions))

    def known() -> list[str]:
        kinds = place.target().client.kinds
        return [one.version for one in kinds.versions(f"{place.namespace}.example.org", "Lamp")]

    until(lambda: sorted(known()) == sorted(versions), f"{versions} are served")
    return name


def test_our_books_move_to_the_new_version(place: Place) -> None:
    """Also when nothing else changes: the cluster drops the books of a version that it serves no more."""
    kind = served(place, "v1beta1", "v1")
    place.apply(lamp(place, "v1beta1", "{bright: 3, old: x}"))
    made = place.apply(lamp(place, "v1", "{bright: 3, old: x}"), artifact="2")
    assert [(one.action, one.note) for one in made.changes] == [
        ("configured", "which fields are ours")
    ]
    assert books(place, f"{kind}/desk") == [("lockgate", "Apply", "v1")]
    assert lines(place.apply(lamp(place, "v1", "{bright: 3, old: x}"), artifact="2")) == [
        "desk unchanged"
    ]
    served(place, "v1")
    place.kubectl("annotate", f"{kind}/desk", "note=x")
    assert lines(place.apply(lamp(place, "v1", "{bright: 3}") + "---" + ONE, artifact="3")) == [
        "a created",
        "desk configured",
    ]
    assert place.get(f"{kind}/desk")["spec"] == {"bright": 3}
    assert lines(place.apply(ONE, artifact="4")) == ["a unchanged", "desk deleted"]


@pytest.mark.parametrize("manager", ["lockgate", "kubectl"])
def test_books_of_a_version_that_is_gone_are_put_in_order(place: Place, manager: str) -> None:
    """Nothing could be applied otherwise; what the manifest no longer has goes, and nothing is made anew."""
    kind = served(place, "v1beta1", "v1")
    old = lamp(place, "v1beta1", "{bright: 3, old: x}")
    if manager == "lockgate":
        place.apply(old)
    else:
        place.kubectl("apply", "-f", "-", stdin=old)
    uid = place.get(f"{kind}/desk")["metadata"]["uid"]
    served(place, "v1")
    wanted = lamp(place, "v1", "{bright: 4}")
    planned = place.plan(wanted)
    assert lines(planned) == ["desk configured"]
    assert "its books name a version that is served no more" in planned.changes[0].note
    assert lines(place.apply(wanted, artifact="2")) == ["desk configured"]
    found = place.get(f"{kind}/desk")
    assert (found["metadata"]["uid"], found["spec"]) == (uid, {"bright": 4})
    assert books(place, f"{kind}/desk") == [("lockgate", "Apply", "v1")]
    assert lines(place.apply(wanted, artifact="2")) == ["desk unchanged"]


def test_what_kubectl_applied_in_two_versions_becomes_ours(place: Place) -> None:
    """Its annotation goes, and so do fields of both that the manifest does not have."""
    kind = served(place, "v1beta1", "v1")
    place.kubectl("apply", "-f", "-", stdin=lamp(place, "v1beta1", "{bright: 3, old: x}"))
    both = lamp(place, "v1", "{bright: 3, old: x, colour: red}")
    place.kubectl("apply", "-f", "-", stdin=both)
    assert lines(place.apply(lamp(place, "v1", "{bright: 3}"))) == ["desk configured"]
    assert books(place, f"{kind}/desk") == [("lockgate", "Apply", "v1")]
    assert place.get(f"{kind}/desk")["spec"] == {"bright": 3}


def test_an_object_that_kubectl_applied_in_an_older_version_becomes_ours(place: Place) -> None:
    """Of a kind whose versions differ; what the manifest no longer has goes where both call it alike."""
    place.kubectl("apply", "-f", "-", stdin=SCALER)
    assert lines(place.apply(NEWER_SCALER)) == ["web configured"]
    assert place.get("hpa.v2.autoscaling/web")["spec"]["minReplicas"] == 1
    assert books(place, "hpa.v2.autoscaling/web") == [("lockgate", "Apply", "v2")]
    assert lines(place.apply(NEWER_SCALER)) == ["web unchanged"]


def test_two_objects_of_a_kind_in_two_versions_are_both_known(place: Place) -> None:
    """A list in either version returns both; one goes, and the other one moves, in any run."""
    both = SCALER + "---" + OTHER_SCALER
    place.apply(both)
    assert lines(place.apply(both)) == ["other unchanged", "web unchanged"]
    made = place.apply(NEWER_SCALER, artifact="2")
    assert lines(made) == ["web configured", "other deleted"]
    assert lines(place.apply(NEWER_SCALER, artifact="2")) == ["web unchanged"]


def test_one_of_a_kind_goes_while_the_other_moves_to_a_newer_version(place: Place) -> None:
    """What goes is listed in the version of the record, what stays in the manifest's."""
    kind = served(place, "v1beta1", "v1")
    older = lamp(place, "v1beta1", "{bright: 3}")
    place.apply(older + older.replace("name: desk", "name: wall"))
    made = place.apply(lamp(place, "v1", "{bright: 3}"), artifact="2")
    assert lines(made) == ["desk configured", "wall deleted"]
    assert place.get(f"{kind}/wall") is None


def test_an_object_that_goes_with_its_version_is_deleted_and_not_forgotten(place: Place) -> None:
    """The artifact that drops it drops the version, too, in which it was applied."""
    old = definition(place, "v1beta1", "v1")
    place.apply(old + lamp(place, "v1beta1", "{bright: 3}"))
    made = place.apply(old.replace("served: true", "served: false", 1), artifact="2")
    assert [one.action for one in made.changes] == ["configured", "deleted"]
    kind = f"lamps.v1.{place.namespace}.example.org"
    assert place.get(f"{kind}/desk") is None
    assert place.inventory() == [f"lamps.{place.namespace}.example.org"]


def test_a_definition_stays_while_something_wanted_is_of_it(place: Place) -> None:
    """It left the artifact alone: its objects would go with it."""
    text = lamp(place, "v1", "{bright: 3}")
    place.apply(definition(place, "v1") + text)
    made = place.apply(text, artifact="2")
    assert lines(made) == ["desk unchanged", f"lamps.{place.namespace}.example.org skipped"]
    assert place.get(f"lamps.{place.namespace}.example.org/desk") is not None
