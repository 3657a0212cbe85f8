"""Keys and certificates of a cluster, and the kubeconfigs that hold them.

The layout is the one that Kubernetes documents (PKI certificates and requirements): an authority for the
cluster, another one for what the API server passes on, and a key of its own for each part.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FOLDER = "/etc/kubernetes"
PKI = f"{FOLDER}/pki"
KUBECONFIG = f"{FOLDER}/admin.conf"
"""In the node: the kubeconfig for the people on the machine, with the address that they reach."""

SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/24"
API_SERVICE = "10.96.0.1"

_SKEW = dt.timedelta(minutes=5)
"""How long before now certificates begin: clocks of containers and machines differ a little."""


class File(NamedTuple):
    """A file of the node."""

    data: bytes
    mode: int


class Certified(NamedTuple):
    """A key and its certificate, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates."""

    def __init__(self, name: str, begin: dt.datetime, end: dt.datetime) -> None:
        self._name, self._begin, self._end = name, begin, end
        self._key = _new_key()
        self._certificate = self._make(name, (), self._key.public_key(), authority=True)

    @property
    def pem(self) -> Certified:
        """Its own key and certificate."""
        return Certified(_pem(self._certificate), _key_pem(self._key))

    def client(self, name: str, *groups: str) -> Certified:
        """Return a certificate that says to the API server who one is."""
        key = _new_key()
        return Certified(_pem(self._make(name, groups, key.public_key())), _key_pem(key))

    def server(self, name: str, hosts: Sequence[str]) -> Certified:
        """Return a certificate for what answers under `hosts`: names and addresses."""
        key = _new_key()
        made = self._make(name, (), key.public_key(), hosts=hosts)
        return Certified(_pem(made), _key_pem(key))

    def _make(
        self,
        name: str,
        groups: Sequence[str],
        key: object,
        *,
        hosts: Sequence[str] = (),
        authority: bool = False,
    ) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        public = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(own)
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=0 if authority else None), True
            )
            .add_extension(_usage(authority), True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        )
        if authority:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public), False
            )
        else:
            usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(_hosts(hosts)), False)
        return builder.sign(self._key, hashes.SHA256())


def files(name: str, *, api: str, context: str, now: int, seconds: int) -> dict[str, File]:
    """Return every secret of a new cluster by its path in the node.

    Args:
        name: name of the cluster, which is the node's host name.
        api: address by which the machine reaches the API server: `https://127.0.0.1:40001`.
        context: name of the context in the kubeconfig for people.
        now: seconds since 1970.
        seconds: how long the certificates are valid.
    """
    begin = dt.datetime.fromtimestamp(now, dt.UTC)
    times = (begin - _SKEW, begin + dt.timedelta(seconds=seconds))
    cluster, front = Authority("kubernetes", *times), Authority("front-proxy", *times)
    near = ("localhost", name, "127.0.0.1")
    kubernetes = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    api_names = (*near, *kubernetes, "kubernetes.default.svc.cluster.local", API_SERVICE)
    pairs = {
        "ca": cluster.pem,
        "front-proxy-ca": front.pem,
        "front-proxy-client": front.client("front-proxy-client"),
        "apiserver": cluster.server("kube-apiserver", api_names),
        "apiserver-kubelet-client": cluster.client("kube-apiserver-kubelet-client"),
        "controller-manager": cluster.server("kube-controller-manager", near),
        "scheduler": cluster.server("kube-scheduler", near),
        "kubelet": cluster.server(f"system:node:{name}", near),
        "node": cluster.client("lockgate-node", "system:masters"),
    }
    private, public = _account_keys()
    found = {"sa.key": File(private, 0o600), "sa.pub": File(public, 0o644)}
    for one, pair in pairs.items():
        found[f"{one}.crt"] = File(pair.certificate, 0o644)
        found[f"{one}.key"] = File(pair.key, 0o600)
    users = {
        "controller-manager": cluster.client("system:kube-controller-manager"),
        "scheduler": cluster.client("system:kube-scheduler"),
        "kubelet": cluster.client(f"system:node:{name}", "system:nodes"),
        "kube-proxy": cluster.client("system:kube-proxy"),
        "kube-router": cluster.client("kube-router"),
    }
    inside = "https://127.0.0.1:6443"
    configs = {
        f"{FOLDER}/{user}.conf": kubeconfig(user, inside, cluster.pem.certificate, pair)
        for user, pair in users.items()
    }
    admin = cluster.client("kubernetes-admin", "system:masters")
    configs[KUBECONFIG] = kubeconfig(context, api, cluster.pem.certificate, admin)
    return {f"{PKI}/{path}": file for path, file in found.items()} | {
        path: File(data, 0o600) for path, data in configs.items()
    }


def kubeconfig(context: str, api: str, authority: bytes, user: Certified) -> bytes:
    """Return a kubeconfig with one context, everything in it (Kubernetes, "Config" v1). JSON is YAML too."""
    import json

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": api, "certificate-authority-data": text(authority)},
            }
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": text(user.certificate),
                    "client-key-data": text(user.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return json.dumps(whole, indent=2).encode() + b"\n"


def _hosts(hosts: Sequence[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for one in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(one)))
        except ValueError:
            found.append(x509.DNSName(one))
    return found


def _usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _account_keys() -> tuple[bytes, bytes]:
    """Return the key that signs the tokens of service accounts, and its public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _new_key()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return _key_pem(key), public


def ends(kubeconfig_: bytes) -> int:
    """Return when the certificate of a kubeconfig that `kubeconfig` made ends, in seconds since 1970.

    Raises:
        UsageError: it is not such a file.
    """
    import json

    from cryptography import x509

    try:
        user = json.loads(kubeconfig_)["users"][0]["user"]
        pem = base64.b64decode(user["client-certificate-data"], validate=True)
        return int(x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp())
    except (ValueError, KeyError, IndexError, TypeError):
        raise UsageError(
            "the kubeconfig of the cluster is not the one that was written",
            hint="`inv cluster.up` writes it again",
        ) from None
