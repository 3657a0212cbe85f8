"""A repository of manifests whose artifact is signed and lies in a registry, for those who read it there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

TAG = "1.2.0"

SETTINGS = """\
project: shop
components:
  web: {path: web, entrypoint: [python3]}
environments:
  dev: {development_key: true, blocks: false, signatures: FORMS}
"""

OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [objects.yaml]
"""

OBJECTS = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  mode: "0644"
  words: |
    "on", 'off' # and é
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""
"""Of several kinds, with texts that YAML readers could take for something else; without a namespace of their own."""

BOTH = ("bundle", "legacy")


class Published(NamedTuple):
    """An artifact in a registry."""

    repository: str
    """Host, port and path: `127.0.0.1:5000/team/config-dev`."""
    digest: str
    yaml: bytes
    """Its objects, as `inv config.inspect --yaml` prints them."""
    images: str
    """Its list of images."""
    public_key: bytes
    """Whose signature it has."""

    @property
    def url(self) -> str:
        """Address as controllers take it."""
        return f"oci://{self.repository}"


def publish(
    place: Path, to: str, *, forms: tuple[str, ...] = BOTH, text: str = OBJECTS
) -> Published:
    """Build, sign and push an artifact.

    Args:
        place: an empty folder for the repository.
        to: registry and folder.
        forms: those in which it is signed.
        text: the objects.
    """
    files = {
        "lockgate.yaml": SETTINGS.replace("FORMS", f"[{', '.join(forms)}]"),
        "tasks.py": "from lockgate.tasks import namespace\n\nns = namespace()\n",
        ".gitignore": ".lockgate\n",
        "web/main.py": "",
        "k8s/overlays/dev/kustomization.yaml": OVERLAY,
        "k8s/overlays/dev/objects.yaml": text,
    }
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "begin")):
        _run(place, "git", *words)
    _inv(place, "config.build")
    _inv(place, "config.sign")
    reference = _inv(place, "config.push", "--to", to, "--tag", TAG).strip()
    repository, _, digest = reference.partition("@")
    assert repository == f"{to}/config-dev"
    return Published(
        repository=repository,
        digest=digest,
        yaml=_inv(place, "config.inspect", "--yaml").encode(),
        images=_inv(place, "config.inspect", "--images"),
        public_key=(place / ".lockgate" / "keys" / "cosign.pub").read_bytes(),
    )


def _inv(place: Path, *words: str) -> str:
    return _run(place, sys.executable, "-m", "lockgate.tasks.program", *words)


def _run(place: Path, *argv: str) -> str:
    """Run a program in a folder; return what it printed, and fail the test when it fails."""
    done = subprocess.run(
        argv,
        cwd=place,
        env={**os.environ, "NO_COLOR": "1", "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout


def wrong_digest(digest: str) -> str:
    """Return a digest that no artifact has."""
    last = "0" if digest[-1] != "0" else "1"
    return digest[:-1] + last
