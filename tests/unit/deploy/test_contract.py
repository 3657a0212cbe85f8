"""What a service is given."""

from __future__ import annotations

import pytest

from lockgate.base.errors import UsageError
from lockgate.deploy.contract import arguments, environment, user
from lockgate.deploy.model import Instance, Service
from lockgate.oci.unpack import ImageConfig, Process, RootFs

INSTANCE = Instance(
    service=Service(component="app", port=8080, ready="/readyz", smoke="/"),
    digest="sha256:" + "a" * 64,
    manifest="sha256:" + "b" * 64,
    revision="3f2a9c1",
    runner="namespaces",
    port=4711,
    since=0,
)


def given(*pairs: str) -> dict[str, str]:
    """Return the environment of a service whose image sets `pairs`."""
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        rootfs=RootFs(diff_ids=()),
        config=Process(environment=pairs),
    )
    return environment(config, INSTANCE, host="127.0.0.1", port=4711)


def test_the_environment_is_the_images_and_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's environment is in it, secrets least of all."""
    monkeypatch.setenv("SECRET", "hunter2")
    assert given("COLOUR=blue=green", "EMPTY=") == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "COLOUR": "blue=green",
        "EMPTY": "",
        "HOST": "127.0.0.1",
        "PORT": "4711",
        "LOCKGATE_IMAGE_DIGEST": INSTANCE.digest,
        "LOCKGATE_REVISION": "3f2a9c1",
    }


def test_the_image_may_choose_path_and_home_but_not_the_contract() -> None:
    """Address and identity are the deployer's to say."""
    found = given("PATH=/app", "HOME=/srv", "PORT=1", "LOCKGATE_IMAGE_DIGEST=sha256:lie")
    assert (found["PATH"], found["HOME"]) == ("/app", "/srv")
    assert (found["PORT"], found["LOCKGATE_IMAGE_DIGEST"]) == ("4711", INSTANCE.digest)


@pytest.mark.parametrize(
    ("text", "ids"),
    [("", (65532, 65532)), ("1000", (1000, 1000)), ("65532:100", (65532, 100)), ("1:0", (1, 0))],
)
def test_a_numeric_user_is_taken(text: str, ids: tuple[int, int]) -> None:
    """The image's numbers, and 65532 when it has none."""
    assert user(Process(user=text)) == ids


@pytest.mark.parametrize("text", ["0", "0:0", "root", "00", "nobody:nogroup", "-1", "1:", "1 "])
def test_root_and_names_are_refused(text: str) -> None:
    """Root never runs; a name means something only in the image's own files."""
    with pytest.raises(UsageError) as caught:
        user(Process(user=text))
    assert "65532" in caught.value.hint


def test_the_program_is_entrypoint_and_arguments() -> None:
    """config.md: `Cmd` follows `Entrypoint`; without both there is nothing to run."""
    process = Process(entrypoint=("python3", "-m"), arguments=("app",))
    assert arguments(process) == ("python3", "-m", "app")
    with pytest.raises(UsageError, match="no program"):
        arguments(Process())
