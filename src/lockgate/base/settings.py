"""What `lockgate.yaml` can say: one frozen dataclass a section, with its defaults and reasons.

This module imports nothing heavy, since every command needs it. `settings_file` reads and checks the file.
The texts under the fields are also the descriptions in `docs/lockgate.schema.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lockgate.base.errors import UsageError

Severity = Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]

SEVERITIES: tuple[Severity, ...] = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""From least to most severe, in the order of Trivy's database."""

_STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, kw_only=True)
class GoModule:
    """Programs of one Go module in an image."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    module: str
    """Folder of `go.mod` and `go.sum`, relative to `lockgate.yaml`."""
    packages: tuple[str, ...] = (".",)
    """Main packages: `.` or `./cmd/name` in the folder, an import path, or a program's name in the folder's
    `tool.yaml`. Each becomes `/usr/local/bin/NAME` in a layer of its own."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing in the monorepo that becomes one image."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    path: str
    """Folder of the sources, relative to `lockgate.yaml`."""
    entrypoint: tuple[str, ...]
    """Program and arguments of the image; the first must exist in the image."""
    kind: Literal["python", "gomodule", "stack"] = "python"
    """`python`: a stack, locked wheels and the files of `path`; `gomodule`: a stack, programs compiled from Go
    modules, and the files of `path` when it is not a module itself; `stack`: a stack and the files of `path`."""
    stack: str = "python"
    """Name of the folder under `stacks/` (or of a stack that Lockgate ships) that gives the base."""
    requirements: str = "requirements.txt"
    """Hash-locked requirements file, relative to `path`; for the kind `python`."""
    go: tuple[GoModule, ...] = ()
    """Go modules whose programs are in the image, for the kind `gomodule`. Empty: the one in `path`."""
    place: str = "/app"
    """Folder of the image that the files of `path` go to; it is the working directory, too. `/`: they are laid over
    the stack's."""
    platforms: tuple[str, ...] = ()
    """Platforms of the image index, in their order. Empty: those of `build.platforms`."""
    local: bool = True
    """Whether the `local` target runs it."""
    on_demand: bool = False
    """Built, scanned, signed and deployed only when it is named with `-c`, or something needs it."""
    exclude: tuple[str, ...] = ()
    """Patterns (as in a file name match, relative to `path`) of files that stay out of the image."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of the image; no secrets, everyone can read them."""
    port: int = 8080
    """Port on which the service listens inside; it is given to it as `PORT`."""
    ready: str = "/readyz"
    """Path that answers 200 once the service can work."""
    smoke: str = "/"
    """Path of the real request that a deployment must answer with a 2xx."""
    tests: str = ""
    """Folder of the component's unit tests, relative to `path`; empty: it has none."""
    coverage: int = 90
    """Least percentage of lines and branches that the unit tests must reach."""


@dataclass(frozen=True, kw_only=True)
class TrustedIdentity:
    """Someone who signs by a certificate of a Sigstore instance, and has no key."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    name: str
    """What people call it; requirements name it among `keys`."""
    subject: str
    """Whom the certificate must name, to the letter: the address of a workflow or of a person."""
    issuer: str
    """Who must say so, to the letter: `https://token.actions.githubusercontent.com`."""


@dataclass(frozen=True, kw_only=True)
class ReadyRule:
    """When objects of a kind that only this repository knows are ready."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    kind: str
    """`Rollout`."""
    group: str = ""
    """API group, `argoproj.io`; empty for the core."""
    condition: str = "Ready"
    """Type of the condition in its status that must be `True`."""
    failure: str = ""
    """Type of the condition that says, when `True`, that it will never be ready. Empty: there is none."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What one environment tolerates. It changes verdicts and targets, never what is built."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    severity: Severity = "HIGH"
    """Least severity that counts as a violation."""
    blocks: bool = True
    """Whether a violation closes the gate, or is only reported."""
    fixed_only: bool = True
    """Count only findings for which a fixed version exists."""
    unknown: Severity = "HIGH"
    """The severity that a finding without one is taken to have; it is never dropped."""
    embedded_advisories: bool = False
    """Accept a scan against the embedded, partial advisories."""
    database_max_age_days: int = 2
    """Oldest advisory database, in days, against which a verdict may be given."""
    development_key: bool = False
    """Accept signatures of the development key."""
    dirty: bool = False
    """Accept images built from a work tree with uncommitted changes, or from no commit at all."""
    unsandboxed_scanner: bool = False
    """Accept a scan that could not be cut off from the network by the kernel."""
    waiver_max_days: int = 30
    """Longest time, in days from the day it is read, that a waiver may run."""
    target: Literal["local", "cluster"] = "local"
    """Where `inv deploy` brings it: the images to this machine, or the artifact of manifests to a cluster."""
    context: str = ""
    """Context in the kubeconfig of the `cluster` target. Empty: the cluster of `inv cluster.up` when there is one,
    else the only one that the kubeconfig has."""
    kubeconfig: str = ""
    """Path of the kubeconfig of the `cluster` target. Empty: `KUBECONFIG`, else `~/.kube/config`, else the account
    of the pod."""
    namespace: str = "default"
    """Namespace of the `cluster` target's inventory, the record of what was applied."""
    prune_limit: int = 20
    """Most objects that one deployment may delete because the artifact no longer has them, with all that goes with
    them."""
    readiness: tuple[ReadyRule, ...] = ()
    """When objects of further kinds are ready."""
    port: int | None = None
    """Port on loopback where the `local` target answers; 0 picks a free one. Absent: the component's own."""
    key: str = ""
    """Path of a private key, the name of an environment variable as `env://NAME`, a Kubernetes Secret as
    `k8s://namespace/name`, or `keyless`: a certificate of Sigstore in place of a key. Empty: the development key."""
    public_keys: tuple[str, ...] = ()
    """Paths of public keys whose signatures are trusted. Empty: the public half of `key`."""
    signatures: tuple[Literal["bundle", "legacy"], ...] = ("bundle", "legacy")
    """Forms in which signatures and attestations are written. `bundle`: Sigstore's, as referrers; `legacy`: cosign's
    tags `.sig` and `.att`, which older readers know alone. Every form is read, whichever is written."""
    identities: tuple[TrustedIdentity, ...] = ()
    """Who is trusted beside the keys, who signs by a certificate."""
    trusted_root: str = ""
    """Path of the `trusted_root.json` of the Sigstore instance that vouches for `identities`."""
    require: tuple[str | dict[str, Any], ...] = ()
    """What must hold to trust an image: entries as in `docs/sign.md`. Empty: signature, sbom, vuln, provenance and
    summary."""
    registry: str = ""
    """Registry and folder that `inv push` brings images to: `registry.example.com/shop`."""
    overlay: str = ""
    """Folder of the kustomization that `inv config.build` renders. Empty: `k8s/overlays/` and the environment's
    name."""
    recipients: str = ""
    """Path of a file of age public keys that artifacts of manifests are encrypted to. Empty: they are not."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """How images are built."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    engine: Literal["native"] = "native"
    """`native` merges locked packages in this process: no daemon, no root, the same bytes everywhere."""
    platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64")
    """Platforms of the image index, in the order in which they are listed."""
    relock: Literal["never", "when-gone"] = "never"
    """What to do when a locked package is gone from the mirror: stop, or lock again and say so.
    With `CI` set in the environment it is always `never`."""
    mirror: str = ""
    """Address of a Debian mirror. Empty: the one in the machine's apt sources."""
    security_mirror: str = ""
    """Address of a Debian security mirror. Empty: the one in the machine's apt sources."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How images are scanned."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    scanners: tuple[Literal["vuln", "secret", "misconfig"], ...] = ("vuln", "secret", "misconfig")
    """What Trivy looks for."""
    database: Literal["auto", "embedded", "upstream"] = "auto"
    """`upstream`: Trivy's database or a mirror of it; `embedded`: the advisories in this repository;
    `auto`: a database that was pulled when there is one, else the embedded advisories."""
    database_repository: str = ""
    """Repository of a mirror of Trivy's database, `host/path:tag`. Empty: Trivy's own default."""
    timeout: int = 300
    """Seconds after which a scan is ended and counts as not done."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The Kubernetes cluster for development, as `inv cluster.up` makes it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    provider: Literal["auto", "node", "kind", "k3d", "kubeconfig"] = "auto"
    """`node`: one container of the engine, from a locked stack and built programs. `kind`, `k3d`: their own way.
    `kubeconfig`: a cluster that is there. `auto`: the last when `context` is set, else kind or k3d when they are on
    PATH, else `node`."""
    name: str = "dev"
    """Name of the cluster when none is given; also that of its node."""
    context: str = ""
    """Context in the kubeconfig of a cluster that is there. The current one is never taken unasked."""
    kubeconfig: str = ""
    """Path of that kubeconfig. Empty: `KUBECONFIG`, else `~/.kube/config`."""
    api_port: int = 0
    """Port on loopback where the API server of a `node` answers; 0 picks a free one."""
    registry_port: int = 5000
    """Port of the registry of a `node`, on loopback and within the cluster; 0 picks a free one."""


def default_environments() -> dict[str, Environment]:
    """Return dev, which reports; staging, which blocks; and prod, which takes nothing but the real thing."""
    return {
        "dev": Environment(
            severity="MEDIUM",
            blocks=False,
            embedded_advisories=True,
            database_max_age_days=365,
            development_key=True,
            dirty=True,
            unsandboxed_scanner=True,
        ),
        "staging": Environment(
            embedded_advisories=True, development_key=True, database_max_age_days=30
        ),
        "prod": Environment(),
    }


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole of `lockgate.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    project: str
    """Name of the project; part of image names and of the builder's id."""
    components: dict[str, Component]
    """Every component by its name, which is also the image's name in the store."""
    source: str = ""
    """Address of the repository, for labels and provenance. It is written here and not taken from git's
    remotes, since those differ from machine to machine and the digest must not."""
    store: str = ".lockgate/store"
    """Folder of the image layout, relative to `lockgate.yaml`."""
    waivers: str = "policies/waivers.yaml"
    """File of dated, owned, reasoned permissions for findings."""
    licences: str = "policies/licences.yaml"
    """File of the approved licences of dependencies."""
    environment: str = "dev"
    """Environment when none is given with `-e`."""
    plain_http: tuple[str, ...] = ()
    """Registries, as `host` or `host:port`, that are spoken to by plain HTTP beside loopback: whoever is in between
    reads the passwords. `--insecure` names further ones."""
    build: Build = field(default_factory=Build)
    """How images are built."""
    scan: Scan = field(default_factory=Scan)
    """How images are scanned."""
    cluster: Cluster = field(default_factory=Cluster)
    """The Kubernetes cluster for development."""
    environments: dict[str, Environment] = field(default_factory=default_environments)
    """dev, staging and prod have defaults of their own: what stands here is laid over them, field by field.
    Further environments start from the defaults of the fields."""

    def component(self, name: str) -> tuple[str, Component]:
        """Return a component and its name; with an empty name the only one that is not on demand.

        Raises:
            UsageError: there is no such component, or several and none was named.
        """
        if not name:
            usual = self.usual() or list(self.components)
            if len(usual) == 1:
                return usual[0], self.components[usual[0]]
            raise UsageError(
                f"there are {len(usual)} components and none was named",
                hint="add `-c " + "` or `-c ".join(usual) + "`",
            )
        if name not in self.components:
            raise UsageError(
                f"{name!r} is not a component", hint=_nearest(name, list(self.components))
            )
        return name, self.components[name]

    def usual(self) -> list[str]:
        """Return the names of the components that are worked on when none is named."""
        return [name for name, one in self.components.items() if not one.on_demand]

    def platforms(self, component: str) -> tuple[str, ...]:
        """Return the platforms of a component's image index."""
        return self.components[component].platforms or self.build.platforms

    def target(self, name: str) -> tuple[str, Environment]:
        """Return an environment and its name; with an empty name the default one.

        Raises:
            UsageError: there is no such environment.
        """
        name = name or self.environment
        if name not in self.environments:
            raise UsageError(
                f"{name!r} is not an environment", hint=_nearest(name, list(self.environments))
            )
        return name, self.environments[name]


def _nearest(word: str, known: list[str]) -> str:
    return nearest(word, known) or "there are: " + ", ".join(f"`{one}`" for one in known)


def nearest(word: str, known: list[str]) -> str:
    """Return "did you mean …" for the known word most like `word`, or an empty text."""
    import difflib

    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{match[0]}`?" if match else ""
