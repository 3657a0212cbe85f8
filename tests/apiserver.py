"""A Kubernetes API server of our own: etcd and kube-apiserver on loopback, as processes that end with the tests.

No kubelet and no controllers: objects are stored, admitted, versioned and deleted as in any cluster, and nothing
runs. Status is written by the tests. There are two users: `admin` may do everything, `limited` what a test lets it.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import functools
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.machine import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]

_ATTEMPTS = 3
START = 300.0
"""Seconds for the API server to be ready."""

_NOT_ASKED = "TLS handshake timeout"
"""What kubectl says after 10 s of an API server that takes the connection and does not run."""

_PR_SET_PDEATHSIG = 1


@functools.cache
def binary(name: str) -> str:
    """Return a program of `tools/`: on PATH at an accepted version, else built, else kept from then."""
    from lockgate.build import gotools
    from lockgate.tasks.session import user_cache

    return str(gotools.binary(name, root=ROOT, cache=user_cache()))


def run_kubectl(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run kubectl; return what it printed and its exit code, whatever that is.

    It gives an API server 10 s for the handshake of TLS, which is less than a busy machine may take. Nothing has been
    asked by then, so it is started again.

    Args:
        argv: program and arguments.
        stdin: what it reads.
        env: its environment; None: ours.
        seconds: time limit of one run, and of starting again.
    """
    until = time.monotonic() + seconds
    while True:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=env,
        )
        asked = done.returncode == 0 or _NOT_ASKED not in done.stderr
        if asked or time.monotonic() > until:
            return done


class ApiServer:
    """One etcd and one kube-apiserver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._port = 0
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._tokens = {user: "token-" + secrets.token_hex(16) for user in ("admin", "limited")}
        self._groups = {"admin": "system:masters", "limited": "people"}

    def start(self) -> None:
        """Start both and wait until the API server is ready.

        A process of somebody else may take a port between the moment that it is found free and the one that it is
        used in; then other ports are tried.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        _certificates(self.folder)
        self._write_tokens()
        for _ in range(_ATTEMPTS):
            self._port, client, peer = (free_port() for _ in range(3))
            self._client = f"http://127.0.0.1:{client}"
            self.url = f"https://127.0.0.1:{self._port}"
            self._etcd = self._spawn(
                "etcd",
                [
                    binary("etcd"),
                    f"--data-dir={self.folder / 'etcd'}",
                    f"--listen-client-urls={self._client}",
                    f"--advertise-client-urls={self._client}",
                    f"--listen-peer-urls=http://127.0.0.1:{peer}",
                    "--unsafe-no-fsync",
                    "--log-level=error",
                ],
            )
            if self._start_server():
                return
            self.stop()
        pytest.fail(f"the API server did not start:\n{self.log()}")

    def start_server(self) -> None:
        """Start the API server alone, over what etcd holds, and wait until it is ready."""
        if not self._start_server():
            pytest.fail(f"the API server did not start:\n{self.log()}")

    def _start_server(self) -> bool:
        """Start the API server; return whether it got ready."""
        folder = self.folder
        self._server = self._spawn(
            "kube-apiserver",
            [
                binary("kube-apiserver"),
                f"--etcd-servers={self._client}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self._port}",
                f"--tls-cert-file={folder / 'server.crt'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://127.0.0.1",
                f"--service-account-key-file={folder / 'server.crt'}",
                f"--service-account-signing-key-file={folder / 'server.key'}",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--disable-admission-plugins=ServiceAccount",
                "--endpoint-reconciler-type=none",
                f"--cert-dir={folder}",
                "--v=0",
            ],
        )
        return self._is_ready()

    def stop_server(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the API server alone; etcd keeps what it was told."""
        if self._server is not None:
            _end(self._server, how)
            self._server = None

    def stop(self) -> None:
        """End both."""
        self.stop_server()
        if self._etcd is not None:
            _end(self._etcd, signal.SIGKILL)
            self._etcd = None

    def kubeconfig(self, name: str = "admin", url: str = "") -> Path:
        """Write a kubeconfig and return where it is; others may be reading it, so they see the old one or the new one."""
        path = self.folder / f"{name}{'-other' if url else ''}.kubeconfig"
        text = yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
                "clusters": [
                    {
                        "name": "test",
                        "cluster": {
                            "server": url or self.url,
                            "certificate-authority": "server.crt",
                        },
                    }
                ],
                "users": [{"name": name, "user": {"token": self._tokens[name]}}],
            }
        )
        if not path.exists() or path.read_text() != text:
            made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            made.write_text(text)
            made.replace(path)
        return path

    def kubectl(
        self, *arguments: str, stdin: str = "", user: str = "admin", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl against it."""
        done = run_kubectl(
            [binary("kubectl"), "--kubeconfig", str(self.kubeconfig(user)), *arguments],
            stdin=stdin,
            env={**os.environ, "HOME": str(self.folder)},
        )
        assert not check or done.returncode == 0, f"kubectl {arguments}: {done.stdout}{done.stderr}"
        return done

    def log(self, lines: int = 20) -> str:
        """Return the end of the API server's log."""
        return "\n".join((self.folder / "kube-apiserver.log").read_text().splitlines()[-lines:])

    def _write_tokens(self) -> None:
        lines = [
            f'{token},{name},{name},"{self._groups[name]}"' for name, token in self._tokens.items()
        ]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread runs yet
            )

    def _is_ready(self) -> bool:
        """Wait until the API server is ready; return False when it, or etcd, ended before."""
        context = ssl.create_default_context(cafile=self.folder / "server.crt")
        until = time.monotonic() + START
        while time.monotonic() < until:
            if any(one is None or one.poll() is not None for one in (self._etcd, self._server)):
                return False
            with contextlib.suppress(OSError):
                request = urllib.request.Request(
                    f"{self.url}/readyz",
                    headers={"Authorization": f"Bearer {self._tokens['admin']}"},
                )
                with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                    if answer.status == 200:
                        return True
            time.sleep(0.05)
        return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)


def _certificates(folder: Path) -> None:
    """Write a certificate for 127.0.0.1 that is its own authority, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    if (folder / "server.key").exists():
        return
    import ipaddress

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lockgate-test")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (folder / "server.key").write_bytes(private)
    (folder / "server.key").chmod(0o600)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Run an API server whose files lie in `folder`."""
    server = ApiServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder / "etcd", ignore_errors=True)
