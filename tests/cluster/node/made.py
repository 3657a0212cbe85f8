"""A cluster as a person has it: made, looked at and removed by `inv cluster.*`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node import Cluster


@dataclass
class Made(Cluster):
    """A cluster of `inv cluster.up`, perhaps not made yet."""

    status: dict[str, Any] = field(default_factory=dict)
    """What `inv cluster.up --json` said."""

    def look(self) -> dict[str, Any]:
        """Return what `inv cluster.status --json` says now."""
        answer = self.inv("cluster.status", "--json", "--name", self.name, code=None, seconds=180)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def up(self) -> str:
        """Have the cluster, and remember its status; return what was said on the way."""
        answer = self.inv("cluster.up", "--json", "--name", self.name)
        self.status = json.loads(answer.stdout)
        self.kubeconfig = Path(self.status["kubeconfig"])
        self.context = str(self.status["context"])
        self.registry = str(self.status["registry"])
        self.versions = self.status["versions"]
        return answer.stderr

    def down(self) -> str:
        """Remove the cluster; return what was said."""
        return self.inv("cluster.down", "--name", self.name, seconds=300).stderr

    def call_engine(self, *arguments: str) -> str:
        """Run the engine's client and return what it prints."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        return done.stdout

    def containers(self) -> list[str]:
        """Return the ids of the cluster's containers, running or not."""
        label = f"--filter=label=lockgate.cluster={self.name}"
        return self.call_engine("ps", "--all", "--quiet", "--no-trunc", label).split()

    def volumes(self) -> list[str]:
        """Return the names of the cluster's volumes."""
        label = f"--filter=label=lockgate.cluster={self.name}"
        return self.call_engine("volume", "ls", "--quiet", label).split()
