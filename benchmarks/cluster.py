"""The cluster target against kubectl, in turn on one API server: apply, no change, diff, prune, delete.

Both read the same YAML, in whole processes. kubectl applies without looking first; we ask about every object before
the first one is written. The row `look and apply` lets kubectl look too: it is asked for its diff, and then applies.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.apiserver import ROOT, ApiServer, binary, running

from benchmarks.pair import Command, Figure, cost, line, measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SIZES = (110, 1000)
DISTANCE = 5
"""Milliseconds there and back to a server that is not on this machine."""

GOALS = {
    "apply": "goal < 0.5",
    "look and apply": "",
    "no change": "goal < 0.2",
    "diff": "",
    "prune half": "",
    "delete": "",
}


def objects(count: int, namespace: str) -> str:
    """Return configuration maps and, one in ten, Deployments."""
    found = []
    for number in range(count):
        head = f"metadata: {{name: m{number}, namespace: {namespace}, labels: {{app: bench}}}}\n"
        if number % 10:
            found.append(f"apiVersion: v1\nkind: ConfigMap\n{head}data: {{key: '{'x' * 80}'}}\n")
        else:
            found.append(
                f"apiVersion: apps/v1\nkind: Deployment\n{head}spec:\n"
                "  selector: {matchLabels: {app: bench}}\n"
                "  template:\n    metadata: {labels: {app: bench}}\n"
                f"    spec: {{containers: [{{name: a, image: example.org/a@sha256:{'1' * 64}}}]}}\n"
            )
    return "---\n".join(found)


class Round:
    """One size, once: each step for us and for kubectl, in namespaces of their own."""

    def __init__(
        self, server: ApiServer, folder: Path, count: int, number: int, *, url: str = ""
    ) -> None:
        self._config, self._folder = str(server.kubeconfig(url=url)), folder
        names = ("ours", "peer", "ours-look", "peer-look")
        self._spaces = [f"{one}-{count}-{number}{'-far' if url else ''}" for one in names]
        for space in self._spaces:
            server.kubectl("create", "namespace", space)
            (folder / f"{space}.yaml").write_text(objects(count, space))
            (folder / f"{space}-half.yaml").write_text(objects(count // 2, space))

    def ours(self, verb: str, file: str = "", space: int = 0) -> Command:
        """Return our command."""
        name = self._spaces[space]
        words = [
            verb,
            self._config,
            name,
            str(self._folder / f"{name}{file}.yaml"),
        ]
        return Command(verb, [sys.executable, "-m", "benchmarks.cluster_work", *words], ROOT)

    def peer(self, *lines: str, space: int = 1) -> Command:
        """Return kubectl's command lines; `FILE` and `HALF` stand for the files."""
        name = self._spaces[space]
        config = [binary("kubectl"), "--kubeconfig", self._config, "-n", name]
        files = {
            "FILE": str(self._folder / f"{name}.yaml"),
            "HALF": str(self._folder / f"{name}-half.yaml"),
        }
        first, *more = (
            [*_allowing(text), *config, *(files.get(one, one) for one in text.split())]
            for text in lines
        )
        env = {"KUBECTL_APPLYSET": "true", "HOME": str(self._folder)}
        return Command("kubectl", first, ROOT, env=env, more=more)

    def steps(self) -> Sequence[tuple[str, Command, Command]]:
        """Return the steps in order; each begins where the one before ended."""
        apply = "apply --server-side --prune --applyset=bench -f"
        return (
            ("apply", self.ours("apply"), self.peer(f"{apply} FILE")),
            (
                "look and apply",
                self.ours("apply", space=2),
                self.peer("diff --server-side -f FILE", f"{apply} FILE", space=3),
            ),
            ("no change", self.ours("apply"), self.peer(f"{apply} FILE")),
            ("diff", self.ours("diff"), self.peer("diff --server-side -f FILE")),
            ("prune half", self.ours("apply", "-half"), self.peer(f"{apply} HALF")),
            ("delete", self.ours("delete"), self.peer("delete -f HALF")),
        )


def _allowing(text: str) -> list[str]:
    """Return what goes before kubectl's words: its diff ends with exit code 1 when there is one."""
    return ["sh", "-c", '"$@"; test $? -le 1', "sh"] if text.startswith("diff") else []


def requests(command: Command) -> str:
    """Run one of our commands and return how many requests it made."""
    done = subprocess.run(
        command.argv, cwd=command.cwd, capture_output=True, text=True, timeout=600, check=True,
        env={**os.environ},
    )  # fmt: skip
    return ", ".join(
        f"{count} {verb}" for verb, count in re.findall(r"'(\w+)': (\d+)", done.stderr)
    )


def run(place: Path, runs: int) -> None:
    """Print a row for each size and step; then for a server that is farther away."""
    with running(place / "server") as server:
        for count in SIZES:
            # kubectl waits for each deletion in turn, with pauses: a thousand take minutes.
            rounds = [
                Round(server, place, count, number) for number in range(runs if count < 1000 else 1)
            ]
            _rows(f"cluster {count}", rounds, tuple(GOALS))
            made = Round(server, place, count, runs)
            for step in ("apply", "no change"):
                print(f"cluster {count}: {step}: {requests(made.ours('apply'))}", flush=True)
        with _distant(server) as url:
            for count in SIZES:
                far = [
                    Round(server, place, count, number, url=url) for number in range(min(runs, 3))
                ]
                name = f"cluster {count}, {DISTANCE} ms away"
                _rows(name, far, ("apply", "look and apply", "no change"))


def _rows(name: str, rounds: Sequence[Round], steps: Sequence[str]) -> None:
    figures = {step: Figure([], [], [], []) for step in steps}
    for one in rounds:
        for step, ours, peer in one.steps():
            if step not in figures:
                continue
            figure = figures[step]
            mine, theirs = measured(ours), measured(peer)
            figure.ours.append(mine.seconds)
            figure.peer.append(theirs.seconds)
            figure.ours_more.append(mine)
            figure.peer_more.append(theirs)
    for step, figure in figures.items():
        print(
            f"{line(f'{name}: {step} vs kubectl', figure, GOALS[step])}\n{cost(figure)}", flush=True
        )


@contextlib.contextmanager
def _distant(server: ApiServer) -> Iterator[str]:
    """Yield the address of the same API server, some milliseconds away."""
    port = server.url.rpartition(":")[2]
    words = [sys.executable, "-m", "benchmarks.distance", port, str(DISTANCE)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            if child.stdout is None:
                raise RuntimeError("nothing tells the port")
            yield f"https://127.0.0.1:{child.stdout.readline().strip()}"
        finally:
            child.kill()
