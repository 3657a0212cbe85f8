"""What is to be built: everything an image depends on, by the reason a person would give for a rebuild."""

from __future__ import annotations

from lockgate import __version__
from lockgate.base.canonical import Record, encode
from lockgate.build.layer import LEVEL, zlib_is_reference
from lockgate.build.model import GoSources, Source
from lockgate.oci.digest import Digest


class Plan(Record, frozen=True):
    """Everything an image depends on; making one changes nothing and downloads nothing."""

    component: str
    project: str
    source: Source
    path: str
    """Absolute folder of the component's files; not part of the image."""
    files: tuple[str, ...]
    """Source files in the image, relative to `path`, sorted; empty where they are only compiled."""
    stack: str
    stack_lock: str
    """Digest of the stack's lock file."""
    stack_date: int
    """Date of the locked archive, in seconds since 1970."""
    python: str
    """Version of the stack's Python; empty where it has none."""
    requirements: str
    """Digest of the requirements file; empty for components of another kind than `python`."""
    platforms: tuple[str, ...]
    entrypoint: tuple[str, ...]
    environment: dict[str, str]
    port: int
    user: int = 65532
    """User and group that the image runs as; the stack says it, since `/etc/passwd` is in it."""
    kind: str = "python"
    """`python`, `gomodule` or `stack`."""
    go: tuple[GoSources, ...] = ()
    """Go modules whose programs are in the image."""
    compiler: str = ""
    """The Go that compiles them, `go1.27.3`: another one makes other bytes."""
    place: str = "/app"
    """Folder of the image that the files go to."""

    @property
    def inputs(self) -> dict[str, str]:
        """Every input by the reason that a person would give for a rebuild."""
        config = encode(
            [
                self.component,
                self.project,
                self.source.repository,
                self.source.subpath,
                self.stack,
                self.platforms,
                self.entrypoint,
                self.environment,
                self.port,
                self.user,
                self.kind,
                self.place,
            ]
        )
        commit = self.source.revision or "none"
        found = {
            "COMMIT": f"{commit}+dirty" if self.source.dirty else commit,
            "TIME": str(self.source.time),
            "SOURCE": self.source.content,
            "CONFIG": Digest.of(config),
            "STACK": self.stack_lock,
            "BUILDER": layer_format(),
        }
        if self.kind == "python":
            found["DEPS"] = self.requirements
        if self.go:
            parts = [[one.module, sorted(one.programs.items()), one.content] for one in self.go]
            found["GO"] = f"{self.compiler} {Digest.of(encode(parts))}"
        return found


def builder_id() -> str:
    """Return who builds: this version, and a mark when zlib is not the reference implementation."""
    return f"lockgate/native@{__version__}" + ("" if zlib_is_reference() else "+other-zlib")


def layer_format() -> str:
    """Return what a layer's bytes depend on beside its files: the builder and how hard zlib tries."""
    return f"{builder_id()} zlib {LEVEL}"
