"""An image is a digest, a component that was built, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from lockgate.base.errors import UsageError
from lockgate.config import pins, resource
from lockgate.config.images import images
from lockgate.oci.reference import PinnedRef

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
APP = PinnedRef(name="r.example/team/app", digest=ONE)
KNOWN = {"app": APP, "r.example/team/app": APP}


def pod(name: str, *references: str) -> resource.Resource:
    """Return a pod that runs images."""
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"image": one} for one in references]},
    }
    return resource.of(body, "here")


@pytest.mark.parametrize("text", ["app", "r.example/team/app", f"r.example/team/app:1@{ONE}"])
def test_a_component_becomes_the_digest_of_its_build(text: str) -> None:
    """By its name, or by its repository; a tag beside a digest is dropped."""
    (one,), found = pins.pin([pod("a", text)], KNOWN)
    assert found == (f"r.example/team/app@{ONE}",)
    assert images(one) == found


def test_a_digest_that_is_written_stays() -> None:
    """Also when the last build has another: whoever wrote it meant it."""
    _, found = pins.pin([pod("a", f"app@{TWO}", f"redis:7@{TWO}")], KNOWN)
    assert found == (f"app@{TWO}", f"redis@{TWO}")


def test_every_image_without_a_digest_is_named_with_who_runs_it() -> None:
    """One message for all of them."""
    with pytest.raises(UsageError) as caught:
        pins.pin([pod("a", "redis:7", "app"), pod("b", "nginx", "redis:7")], KNOWN)
    assert caught.value.message == ("2 images have no digest: nginx of Pod/b, redis:7 of Pod/a")
    assert "@sha256:" in caught.value.hint


def test_a_tag_on_a_component_is_an_error_that_says_so() -> None:
    """A tag would say something else than the build."""
    with pytest.raises(UsageError) as caught:
        pins.pin([pod("a", "app:latest")], KNOWN)
    assert "without a tag" in caught.value.hint


def test_a_misspelt_component_is_told_the_nearest() -> None:
    """The hint names it."""
    with pytest.raises(UsageError) as caught:
        pins.pin([pod("a", "appp")], KNOWN)
    assert "did you mean `app`?" in caught.value.hint


@pytest.mark.parametrize("text", ["", "A B", "app@sha256:12", "$(params.image)"])
def test_what_is_no_reference_is_an_error(text: str) -> None:
    """It has no digest, whatever it is."""
    with pytest.raises(UsageError, match="has no digest"):
        pins.pin([pod("a", text)], KNOWN)


def test_the_components_that_are_called() -> None:
    """By name, each once."""
    found = pins.names([pod("a", "app", "redis"), pod("b", "app")], ["app", "worker"])
    assert found == ("app",)
