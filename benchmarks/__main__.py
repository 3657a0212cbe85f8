"""Run every benchmark: `nox -s benchmarks`, or `python -m benchmarks [runs] [flow|verify|sign|move …]`.

Works in a copy of this repository under a temporary folder; the user's download cache is used.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import cluster, manifests, moving, signing, verifying
from benchmarks.pair import Command, line, middle, once, pairs

ROOT = Path(__file__).parents[1]
INVOKE = [sys.executable, "-m", "invoke", "--write-pyc"]


def prepare(place: Path, *stages: str) -> Path:
    """Return a committed copy of what the flow needs, after some stages or the whole flow."""
    copy = place / "repository"
    skip = shutil.ignore_patterns("__pycache__", ".*")
    copy.mkdir()
    for name in ("app", "stacks", "advisories", "policies"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    for name in ("tasks.py", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    settings = yaml.safe_load((ROOT / "lockgate.yaml").read_text())
    # The app alone, on a free port.
    settings["components"] = {"app": settings["components"]["app"]}
    settings["environments"] = {"dev": {"port": 0}}
    (copy / "lockgate.yaml").write_text(yaml.safe_dump(settings))
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "start"]):
        subprocess.run(["git", *identity, *words], cwd=copy, check=True, timeout=60)
    every = stages or ("build", "scan", "sign", "deploy")
    once(Command("first run", [*INVOKE, *every], copy))
    return copy


def start_up(copy: Path, runs: int) -> None:
    """All-cached runs against a bare `invoke --version`."""
    bare = Command("invoke --version", [sys.executable, "-m", "invoke", "--version"], copy)
    for words, goal in (
        (["build", "scan", "sign"], "< 2"),
        (["build", "scan", "sign", "deploy"], "< 3"),
        (["--list"], "< 1.5"),
    ):
        name = "inv " + " ".join(words) + (" (all cached)" if len(words) > 1 else "")
        figure = pairs(Command(name, [*INVOKE, *words], copy), bare, runs)
        print(line(name, figure, f"goal {goal}"), flush=True)


def app_change(copy: Path, runs: int) -> None:
    """An app-only change: our whole build against buildah's and docker's of the same image."""
    page = copy / "app" / "todo" / "views.py"

    def touch() -> None:
        page.write_text(page.read_text() + f"# {time.monotonic_ns()}\n")

    ours = Command("inv build", [*INVOKE, "build"], copy, touch)
    peers = [peer for peer in (buildah(copy, touch), docker(copy, touch)) if peer is not None]
    for peer in peers:
        figure = pairs(ours, peer, runs)
        print(line(f"app-only change: inv build vs {peer.name}", figure, "goal < 1, ours < 0.5 s"))
    if not peers:
        once(ours)
        print(f"app-only change: inv build {middle(ours, runs):.3f} s; no buildah or docker here")


_FILE = """\
FROM {base}
COPY app /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["python3", "-m", "gunicorn", "--config", "gunicorn_conf.py"]
"""


def buildah(copy: Path, touch: object) -> Command | None:
    """Build the same app layer on the image below it with buildah, when it is installed."""
    if shutil.which("buildah") is None or shutil.which("skopeo") is None:
        return None
    store = copy / ".lockgate" / "store"
    # overlay is buildah's faster driver; it needs a file system that can be overlaid.
    storage = ["--root", str(copy / ".peer/root"), "--runroot", str(copy / ".peer/run")]
    storage += ["--storage-driver", "overlay"]
    base = "localhost/base:latest"
    place = f"containers-storage:[overlay@{copy}/.peer/root+{copy}/.peer/run]{base}"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{store}:app-linux-amd64", place],
        check=True,
        timeout=120,
    )
    (copy / ".peer" / "Containerfile").write_text(_FILE.format(base=base))
    argv = ["buildah", *storage, "build", "--isolation", "chroot", "--pull-never", "--layers"]
    argv += ["--file", str(copy / ".peer" / "Containerfile"), "--tag", "app:new", str(copy)]
    return Command("buildah", argv, copy, touch)  # type: ignore[arg-type]


def docker(copy: Path, touch: object) -> Command | None:
    """The same with docker, when an engine answers and skopeo can fill it."""
    if shutil.which("docker") is None or shutil.which("skopeo") is None:
        return None
    if subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode:
        return None
    store = copy / ".lockgate" / "store"
    (copy / ".peer").mkdir(exist_ok=True)
    archive = copy / ".peer" / "base.tar"
    target = f"docker-archive:{archive}:lockgate-bench-base:latest"
    source = f"oci:{store}:app-linux-amd64"
    subprocess.run(["skopeo", "copy", "--quiet", source, target], check=True, timeout=120)
    subprocess.run(
        ["docker", "load", "--input", archive], check=True, timeout=120, capture_output=True
    )
    (copy / ".peer" / "Dockerfile").write_text(_FILE.format(base="lockgate-bench-base:latest"))
    argv = ["docker", "build", "--quiet", "--file", str(copy / ".peer" / "Dockerfile"), str(copy)]
    return Command("docker build", argv, copy, touch)  # type: ignore[arg-type]


def base_layer(copy: Path, runs: int) -> None:
    """The base of both platforms from cached packages, with nothing in the store."""

    def empty() -> None:
        shutil.rmtree(copy / ".lockgate", ignore_errors=True)

    seconds = middle(Command("build", [*INVOKE, "build"], copy, empty), runs)
    print(
        f"whole build of both platforms, packages cached    {seconds:7.3f} s  goal < 5 s (base alone)"
    )


def flow(place: Path, runs: int) -> None:
    """The flow itself, and builds against other builders."""
    copy = prepare(place)
    try:
        start_up(copy, runs)
    finally:
        subprocess.run([*INVOKE, "deploy.stop"], cwd=copy, timeout=60, check=False)
    try:
        app_change(copy, runs)
    finally:
        # buildah leaves its driver's folder mounted on itself.
        mounted = str(copy / ".peer" / "root" / "overlay")
        subprocess.run(["umount", mounted], capture_output=True, check=False, timeout=60)
    base_layer(copy, min(runs, 3))


def sign(place: Path, runs: int) -> None:
    """Signing, in a repository whose image was built and scanned."""
    (place / "signing").mkdir()
    copy = prepare(place, "build", "scan", "sign")
    signing.run(copy, place / "signing", runs)


ROWS = {
    "flow": flow,
    "verify": verifying.run,
    "sign": sign,
    "move": moving.run,
    "config": manifests.run,
    "cluster": cluster.run,
}


def main() -> None:
    """Print every figure, or those of the parts that are named."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks", epilog="example: 5 flow sign")
    asked.add_argument("runs", nargs="?", default="9", help="runs a pair; 9 without it")
    asked.add_argument("part", nargs="*", help=f"{', '.join(ROWS)}; all without one")
    given = asked.parse_args()
    words = given.part if given.runs.isdigit() else [given.runs, *given.part]
    runs = int(given.runs) if given.runs.isdigit() else 9
    for name in words:
        if name not in ROWS:
            asked.error(f"there is no part {name!r}; there are {', '.join(ROWS)}")
    print(
        f"python {sys.version.split()[0]}, {os.cpu_count()} processors, {runs} runs a pair, medians"
    )
    for name in words or ROWS:
        with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as place:
            ROWS[name](Path(place), runs)


if __name__ == "__main__":
    main()
