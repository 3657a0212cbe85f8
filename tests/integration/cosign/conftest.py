"""The real cosign and crane of `tools/`, and a registry that crane serves on loopback."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.integration.cosign.keys import WITH_PASSWORD
from tests.integration.registries import COSIGN, CRANE, go_program

from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, MANIFEST, Index, Manifest, is_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BUNDLE, LEGACY = "bundle", "legacy"
FORMS = (BUNDLE, LEGACY)

_READ = {
    BUNDLE: ("--insecure-ignore-tlog=true",),
    LEGACY: ("--private-infrastructure", "--new-bundle-format=false"),
}
_NOWHERE = ("--yes", "--tlog-upload=false", "--use-signing-config=false")
_WRITE = {BUNDLE: _NOWHERE, LEGACY: (*_NOWHERE, "--new-bundle-format=false")}

PLAIN = ("PATH", "TMPDIR", "LANG")
"""Variables that the tools see of this process."""


@dataclass(frozen=True)
class Program:
    """A real tool with an environment of its own."""

    path: str
    home: Path

    def run(
        self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it; fail the test when the exit code is another than `code`; None takes any but 0."""
        variables = {name: os.environ[name] for name in PLAIN if name in os.environ}
        done = subprocess.run(
            [self.path, *arguments],
            cwd=self.home,
            env={**variables, "HOME": str(self.home), **WITH_PASSWORD, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        wrong = done.returncode == 0 if code is None else done.returncode != code
        assert not wrong, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@dataclass(frozen=True)
class Cosign(Program):
    """cosign, without any service of the public Sigstore."""

    def sign(self, image: str, key: str, form: str, *more: str) -> None:
        """Sign an image by digest."""
        self.run("sign", "--key", key, *_WRITE[form], *more, image)

    def attest(self, image: str, key: str, form: str, kind: str, content: str) -> None:
        """Attest the predicate of one type that a file holds."""
        flags = ("--type", kind, "--predicate", content)
        self.run("attest", "--key", key, *_WRITE[form], *flags, image)

    def verify(
        self, image: str, key: str, form: str, *more: str, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Verify an image's signature."""
        return self.run("verify", "--key", key, *_READ[form], *more, image, code=code)

    def verify_attestation(
        self, image: str, key: str, form: str, kind: str, *more: str, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Verify an attestation of one type."""
        flags = ("--key", key, *_READ[form], "--type", kind, *more)
        return self.run("verify-attestation", *flags, image, code=code)


@dataclass(frozen=True)
class Registry:
    """A registry that crane serves; images move in by `crane push`, and out by plain requests."""

    port: int
    crane: Program

    def name(self, repository: str) -> str:
        """Return a repository's name with the host."""
        return f"127.0.0.1:{self.port}/{repository}"

    def push(self, layout: Layout, repository: str) -> str:
        """Push everything of a layout with its names; return the repository's name."""
        name = self.name(repository)
        self.crane.run("push", "--index", str(layout.root), f"{name}:everything")
        for tag, entry in layout.tags().items():
            self.crane.run("tag", f"{name}@{entry.digest}", tag)
        return name

    def pull(self, repository: str, root: Path) -> Layout:
        """Return a layout with every tag of a repository and all that is below it."""
        layout = Layout.create(root)
        for tag in self.crane.run("ls", self.name(repository)).stdout.split():
            data, media_type = self._get(f"/v2/{repository}/manifests/{tag}")
            self._below(repository, layout, data)
            layout.tag({tag: layout.put(data, media_type)})
        return layout

    def _below(self, repository: str, layout: Layout, data: bytes) -> None:
        if is_index(data):
            for one in Index.parse(data).manifests:
                inner, media_type = self._get(f"/v2/{repository}/manifests/{one.digest}")
                layout.put(inner, media_type)
                self._below(repository, layout, inner)
            return
        manifest = Manifest.parse(data)
        for part in (manifest.config, *manifest.layers):
            blob, _ = self._get(f"/v2/{repository}/blobs/{part.digest}")
            assert layout.put(blob, part.media_type).digest == part.digest

    def _get(self, path: str) -> tuple[bytes, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Accept": f"{INDEX}, {MANIFEST}"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{path}: {answer.status} {data[:200]!r}"
        return data, answer.headers["Content-Type"]


@pytest.fixture(scope="session")
def cosign_program() -> str:
    """The path of cosign."""
    return go_program(COSIGN)


@pytest.fixture
def cosign(cosign_program: str, tmp_path: Path) -> Cosign:
    """Cosign with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Cosign(cosign_program, home)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on a free port of loopback, ended with the session."""
    home = tmp_path_factory.mktemp("registry")
    crane = Program(go_program(CRANE), home)
    log = home / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [crane.path, "registry", "serve", "--address", "127.0.0.1:0"],
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield Registry(_port(server, log), crane)
    finally:
        server.terminate()
        server.wait(60)


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that the server says it has."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = re.search(rb"serving on port (\d+)", log.read_bytes())
        if found:
            return int(found[1])
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the registry did not start: {log.read_text()}")
