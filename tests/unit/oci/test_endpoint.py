"""Where a repository is, and who is spoken to without protection."""

from __future__ import annotations

import pytest

from lockgate.base.errors import UsageError
from lockgate.oci.endpoint import Endpoint, has_host, is_loopback


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("registry.example/team/app", "https://registry.example/v2/team/app"),
        ("registry.example:5000/app", "https://registry.example:5000/v2/app"),
        ("localhost/app", "http://localhost/v2/app"),
        ("localhost:5000/app", "http://localhost:5000/v2/app"),
        ("registry.localhost:5000/app", "http://registry.localhost:5000/v2/app"),
        ("127.0.0.1:5000/app", "http://127.0.0.1:5000/v2/app"),
        ("127.9.9.9/app", "http://127.9.9.9/v2/app"),
        ("[::1]:5000/app", "http://[::1]:5000/v2/app"),
        ("10.0.0.1:5000/app", "https://10.0.0.1:5000/v2/app"),
        ("localhost.example:5000/app", "https://localhost.example:5000/v2/app"),
        ("notlocalhost:5000/app", "https://notlocalhost:5000/v2/app"),
        ("127.0.0.1.example/app", "https://127.0.0.1.example/v2/app"),
        ("docker.io/app", "https://registry-1.docker.io/v2/library/app"),
        ("docker.io/team/app", "https://registry-1.docker.io/v2/team/app"),
    ],
)
def test_an_address(name: str, address: str) -> None:
    """Loopback is spoken to by plain HTTP and everybody else by TLS; nothing only looks like loopback."""
    assert Endpoint.of(name).address == address


@pytest.mark.parametrize("host", ["registry.example:5000", "registry.example"])
def test_plain_http_where_it_is_named(host: str) -> None:
    """A host that is named for it speaks plain HTTP, with its port or on any."""
    assert Endpoint.of("registry.example:5000/app", plain_http=[host]).scheme == "http"


def test_plain_http_is_for_the_named_port() -> None:
    """A host that is named with a port does not speak plain HTTP on another one."""
    found = Endpoint.of("registry.example:5001/app", plain_http=["registry.example:5000"])

    assert found.scheme == "https"


def test_loopback_with_certificates_uses_tls() -> None:
    """Who brings certificates means TLS, on loopback too, but for hosts that are named otherwise."""
    assert Endpoint.of("localhost:5000/app", tls=True).scheme == "https"
    assert Endpoint.of("localhost:5000/app", tls=True, plain_http=["localhost"]).scheme == "http"


@pytest.mark.parametrize("name", ["app", "team/app", "registry.example", "registry.example/"])
def test_no_registry(name: str) -> None:
    """A name of the store, or a host alone, is no repository of a registry."""
    with pytest.raises(UsageError, match="names no registry") as raised:
        Endpoint.of(name)
    assert "registry.example/team/app" in raised.value.hint


def test_a_port_that_is_none() -> None:
    """A port over 65535 is refused before anything is asked."""
    with pytest.raises(UsageError, match="is not a host"):
        Endpoint.of("registry.example:99999/app")


def test_the_name_is_that_of_the_reference() -> None:
    """Host and path come back as they were typed: credentials and messages go by them."""
    assert Endpoint.of("Registry.example:443/team/app").name == "Registry.example:443/team/app"


@pytest.mark.parametrize(
    ("name", "has"),
    [("localhost/app", True), ("a.b/app", True), ("host:1/app", True), ("team/app", False),
     ("a.b", False), ("localhost", False)],
)  # fmt: skip
def test_has_host(name: str, has: bool) -> None:
    """The first part is a host when it looks like one and something follows."""
    assert has_host(name) is has


@pytest.mark.parametrize("host", ["169.254.169.254", "192.0.2.1", "example", "::2", "localhos"])
def test_not_loopback(host: str) -> None:
    """Nobody else is taken for this machine."""
    assert not is_loopback(host)
