"""Credentials: docker's and podman's files, and the helpers that they name."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import CommandFailed, ToolMissing, UsageError
from lockgate.oci.credentials import Credential, CredentialFiles
from lockgate.oci.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "s3cret"

APP = Endpoint.of("registry.example:5000/team/app")


def auth(user: str = "ada", secret: str = SECRET) -> dict[str, str]:
    """Return an entry as `docker login` writes it."""
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


class Home:
    """A home folder with configuration files and helpers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ = {"PATH": f"{path / 'bin'}:{os.environ['PATH']}"}

    def write(self, place: str, content: Any) -> Path:
        """Write a file."""
        path = self.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def helper(self, name: str, body: str) -> None:
        """Install a credential helper, a shell script."""
        self.write(f"bin/docker-credential-{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)

    def find(self, endpoint: Endpoint = APP) -> Credential | None:
        """Look for credentials."""
        return CredentialFiles(self.environ, self.path).find(endpoint)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path)


def test_nothing(home: Home) -> None:
    """Without files there are no credentials, and that is no error."""
    assert home.find() is None


def test_docker_login(home: Home) -> None:
    """`~/.docker/config.json`: name and password in base64; a password may hold colons."""
    home.write(".docker/config.json", {"auths": {"registry.example:5000": auth(secret="a:b")}})

    found = home.find()

    assert found is not None
    assert (found.username, found.secret) == ("ada", "a:b")
    assert found.origin.endswith(".docker/config.json")
    assert found.basic == "Basic " + base64.b64encode(b"ada:a:b").decode()


def test_the_secret_is_not_in_the_repr() -> None:
    """What is printed of a credential, in a traceback too, does not hold the secret."""
    assert "s3cret" not in repr(Credential(username="ada", secret="s3cret", origin="a file"))


PLACES: list[tuple[str, Callable[[Home], dict[str, str]]]] = [
    ("elsewhere/config.json", lambda home: {"DOCKER_CONFIG": str(home.path / "elsewhere")}),
    ("auth.json", lambda home: {"REGISTRY_AUTH_FILE": str(home.path / "auth.json")}),
    ("run/containers/auth.json", lambda home: {"XDG_RUNTIME_DIR": str(home.path / "run")}),
    (".config/containers/auth.json", lambda _: {}),
    ("conf/containers/auth.json", lambda home: {"XDG_CONFIG_HOME": str(home.path / "conf")}),
    (".docker/config.json", lambda _: {}),
]


@pytest.mark.parametrize(("place", "environ"), PLACES)
def test_the_places(place: str, environ: Callable[[Home], dict[str, str]], home: Home) -> None:
    """Docker's and podman's files are found where their programs put them."""
    home.environ |= environ(home)
    home.write(place, {"auths": {"registry.example:5000": auth()}})

    found = home.find()

    assert found is not None
    assert found.origin.endswith(place)


def test_podman_goes_before_docker(home: Home) -> None:
    """The first file that knows the registry is taken; one that does not is passed over."""
    home.write(".config/containers/auth.json", {"auths": {"registry.example:5000": auth("podman")}})
    home.write(
        ".docker/config.json",
        {"auths": {"registry.example:5000": auth("docker"), "other.example": auth("docker")}},
    )

    first, second = home.find(), home.find(Endpoint.of("other.example/app"))

    assert first is not None
    assert second is not None
    assert (first.username, second.username) == ("podman", "docker")


def test_the_most_exact_entry(home: Home) -> None:
    """containers-auth.json(5): an entry for a repository goes before one for its folder and its host."""
    keys = ["registry.example:5000/team/app", "registry.example:5000/team", "registry.example:5000"]
    for number, _ in enumerate(keys):
        entries = {key: auth(key) for key in keys[number:]}
        home.write(".docker/config.json", {"auths": entries})
        found = home.find()
        assert found is not None
        assert found.username == keys[number].split(":")[0]


@pytest.mark.parametrize(
    "key",
    ["https://registry.example:5000", "http://registry.example:5000/", "registry.example:5000/v1/",
     "https://registry.example:5000/v2"],
)  # fmt: skip
def test_old_keys(key: str, home: Home) -> None:
    """Entries with a scheme or the path of the API are the host's."""
    home.write(".docker/config.json", {"auths": {key: auth()}})

    assert home.find() is not None


@pytest.mark.parametrize(
    "key", ["registry.example", "registry.example:50", "x.registry.example:5000"]
)
def test_no_other_host(key: str, home: Home) -> None:
    """Credentials of a host that is merely similar are not taken."""
    home.write(".docker/config.json", {"auths": {key: auth()}})

    assert home.find() is None


def test_docker_hub(home: Home) -> None:
    """Docker Hub is known by the address that `docker login` writes."""
    home.write(".docker/config.json", {"auths": {"https://index.docker.io/v1/": auth()}})

    assert home.find(Endpoint.of("docker.io/team/app")) is not None
    assert home.find() is None


def test_identity_token(home: Home) -> None:
    """An identity token is kept apart from a password."""
    entry = {"registry.example:5000": auth("x") | {"identitytoken": "t0ken"}}
    home.write(".docker/config.json", {"auths": entry})

    found = home.find()

    assert found is not None
    assert (found.is_token, found.secret) == (True, "t0ken")


def test_plain_name_and_password(home: Home) -> None:
    """A file written by hand may have them apart."""
    entry = {"registry.example:5000": {"username": "ada", "password": "s3cret"}}
    home.write(".docker/config.json", {"auths": entry})

    found = home.find()

    assert found is not None
    assert (found.username, found.secret) == ("ada", "s3cret")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not readable as JSON"),
        ('{"auths": 3}', "is not valid"),
        ({"auths": {"registry.example:5000": {"auth": "!!"}}}, "is not a name and a password"),
        (
            {"auths": {"registry.example:5000": {"auth": "bm9ib2R5"}}},
            "is not a name and a password",
        ),
        ({"credsStore": "../../bin/sh"}, "cannot be one"),
    ],
)
def test_a_file_that_is_wrong(content: Any, words: str, home: Home) -> None:
    """A damaged file is named, and nothing of what is in it is repeated."""
    path = home.write(".docker/config.json", content)

    with pytest.raises(UsageError, match=words) as raised:
        home.find()

    assert str(path) in raised.value.message
    assert "bm9ib2R5" not in raised.value.message
    assert raised.value.hint


def test_an_empty_file(home: Home) -> None:
    """An empty file knows nothing, as podman leaves it after a logout."""
    home.write(".docker/config.json", "\n")

    assert home.find() is None


def test_the_named_file_must_be_there(home: Home) -> None:
    """REGISTRY_AUTH_FILE that names nothing is a mistake to be told, not a reason to go on without."""
    home.environ["REGISTRY_AUTH_FILE"] = str(home.path / "none.json")

    with pytest.raises(UsageError, match="REGISTRY_AUTH_FILE"):
        home.find()


def test_a_file_that_cannot_be_read(home: Home) -> None:
    """A file that is there and cannot be read is named; this one answers EIO, to root too, whom no mode keeps out."""
    file = home.write(".docker/config.json", "{}")
    file.unlink()
    file.symlink_to("/proc/self/mem")

    with pytest.raises(UsageError, match="cannot be read"):
        home.find()


ASK = 'read server; printf \'{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}\' "$server" "$server"'
"""A helper whose user has the name of the registry that it was asked for on stdin."""


@pytest.mark.parametrize(
    "content",
    [{"credHelpers": {"registry.example:5000": "mini"}}, {"credsStore": "mini"},
     {"auths": {"registry.example:5000": {}}, "credsStore": "mini"}],
)  # fmt: skip
def test_a_helper(content: Any, home: Home) -> None:
    """A helper is asked on stdin for the registry, for one of its own or for all."""
    home.helper("mini", ASK)
    home.write(".docker/config.json", content)

    found = home.find()

    assert found is not None
    assert (found.username, found.secret) == ("registry.example:5000", "s3cret")
    assert found.origin == "`docker-credential-mini`"


def test_a_helper_is_asked_for_docker_hub_by_its_address(home: Home) -> None:
    """Docker's own name for the hub is what helpers know."""
    home.helper("mini", ASK)
    home.write(".docker/config.json", {"credsStore": "mini"})

    found = home.find(Endpoint.of("docker.io/team/app"))

    assert found is not None
    assert found.username == "https://index.docker.io/v1/"


def test_nothing_secret_in_arguments(home: Home) -> None:
    """A helper's command line, which everybody can read, is `get` and nothing else."""
    home.helper("mini", f'echo "$*" > {home.path}/arguments; {ASK}')
    home.write(".docker/config.json", {"credsStore": "mini"})
    home.find()

    assert (home.path / "arguments").read_text() == "get\n"


def test_a_helper_with_a_token(home: Home) -> None:
    """The name `<token>` says that the secret is an identity token."""
    home.helper("mini", 'echo \'{"Username":"<token>","Secret":"t0ken"}\'')
    home.write(".docker/config.json", {"credsStore": "mini"})

    found = home.find()

    assert found is not None
    assert (found.is_token, found.secret) == (True, "t0ken")


def test_a_helper_that_knows_nothing(home: Home) -> None:
    """A helper that does not know the registry is no error, and an entry in the file counts then."""
    home.helper("mini", 'echo "credentials not found in native keychain"; exit 1')
    home.write(
        ".docker/config.json",
        {"credHelpers": {"registry.example:5000": "mini"},
         "auths": {"registry.example:5000": auth("file")}},
    )  # fmt: skip

    found = home.find()

    assert found is not None
    assert found.username == "file"


def test_a_helper_that_fails(home: Home) -> None:
    """Any other failure is told with the helper's last words and the file that names it."""
    home.helper("mini", 'echo "keychain is locked"; exit 1')
    home.write(".docker/config.json", {"credsStore": "mini"})

    with pytest.raises(CommandFailed, match="keychain is locked") as raised:
        home.find()
    assert ".docker/config.json" in raised.value.hint


def test_a_helper_that_is_not_there(home: Home) -> None:
    """A missing helper is named together with the file that wants it."""
    home.write(".docker/config.json", {"credsStore": "nowhere"})

    with pytest.raises(ToolMissing, match="docker-credential-nowhere") as raised:
        home.find()
    assert ".docker/config.json" in raised.value.message


def test_a_helper_that_answers_nonsense(home: Home) -> None:
    """An answer that is not the protocol's is refused without being repeated."""
    home.helper("mini", "echo s3cret")
    home.write(".docker/config.json", {"credsStore": "mini"})

    with pytest.raises(UsageError, match="docker-credential-mini") as raised:
        home.find()
    assert "s3cret" not in raised.value.message
