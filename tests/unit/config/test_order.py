"""Objects are applied in one order, whatever order they were read in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lockgate.config.order import FIRST, LAST, order_ids
from lockgate.config.resource import ResourceId


def named(group: str, kind: str, namespace: str = "", name: str = "a") -> ResourceId:
    """Return an id."""
    return ResourceId(group=group, kind=kind, namespace=namespace, name=name)


def test_the_first_and_the_last_stand_where_flux_has_them() -> None:
    """Definitions and namespaces first, webhooks that could refuse the rest last."""
    every = [named(*one) for one in (*FIRST, ("batch", "Job"), *LAST)]
    assert list(order_ids(reversed(every))) == every
    assert [one.kind for one in every[:2]] == ["CustomResourceDefinition", "Namespace"]
    assert every[-1].kind == "ValidatingWebhookConfiguration"


def test_what_is_not_listed_stands_between_by_group_kind_namespace_and_name() -> None:
    """Its order is that of its ids."""
    between = [
        named("", "Pod", "a", "z"),
        named("", "Pod", "b", "a"),
        named("apps", "DaemonSet", "a", "a"),
        named("batch", "Job", "a", "a"),
        named("batch", "Job", "a", "b"),
    ]
    first, last = named("policy", "PodDisruptionBudget"), named(*LAST[0])
    assert list(order_ids([last, *reversed(between), first])) == [first, *between, last]


def test_a_kind_of_another_group_is_another_kind() -> None:
    """A Knative Service comes after a Deployment, the core's before it."""
    core, web = named("", "Service"), named("apps", "Deployment")
    knative = named("serving.knative.dev", "Service")
    assert order_ids([knative, web, core]) == (core, web, knative)


IDS = st.builds(
    named,
    st.sampled_from(["", "apps", "batch"]),
    st.sampled_from(["Service", "Deployment", "Job", "Namespace"]),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["x", "y"]),
)


@given(
    st.lists(IDS, unique=True).flatmap(lambda ids: st.tuples(st.just(ids), st.permutations(ids)))
)
def test_the_order_of_reading_does_not_matter(
    both: tuple[list[ResourceId], list[ResourceId]],
) -> None:
    """Any permutation of the same ids comes out the same."""
    assert order_ids(both[0]) == order_ids(both[1])
