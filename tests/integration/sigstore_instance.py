"""A Sigstore on loopback: a certificate authority, two kinds of logs and a timestamp authority that speak HTTP.

What they sign and how comes from `tests.unit.sign.keyless.instance`; here are the services' protocols: Fulcio's
`signingCert` v2, Rekor's API v1 and v2, RFC 3161 over HTTP. Each checks what a real one checks of a request.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.sign.keyless.instance import Instance, b64, log_id, sign

from lockgate.sign.keyless import der

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "https://tokens.example"
WORKFLOW = "https://ci.example/shop/app/release.yml@refs/tags/v1"


class Refused(Exception):
    """A request that a service does not take; the status and what it says."""


class Sigstore:
    """Everything behind one address, until the end of a `with`."""

    def __init__(self) -> None:
        self.instance = Instance(_now())
        self.oidc = ec.generate_private_key(ec.SECP256R1())
        self.requests: list[str] = []
        """Paths that were asked for, in order."""
        self.spoil: Callable[[str, Any], Any] = lambda _path, answer: answer
        """What a test does to an answer before it is sent."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def config(self, *, log: int = 2, tsa: bool = True) -> dict[str, Any]:
        """Return the client trust configuration, with one version of log."""

        def service(path: str, version: int) -> dict[str, Any]:
            return {
                "url": self.url + path,
                "majorApiVersion": version,
                "validFor": {"start": "2020-01-01T00:00:00Z"},
                "operator": "example",
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.instance.root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service("", 1)],
                "oidcUrls": [],
                "rekorTlogUrls": [service("", log)],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [service("/api/v1/timestamp", 1)] if tsa else [],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def token(self, subject: str = WORKFLOW, **changes: Any) -> str:
        """Return an identity token; `changes` are of its claims."""
        now = int(dt.datetime.now(dt.UTC).timestamp())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": "sigstore",
            "iat": now,
            "nbf": now - 1,
            "exp": now + 300,
            **changes,
        }
        head = f"{_url64(_json({'alg': 'ES256', 'typ': 'JWT'}))}.{_url64(_json(claims))}"
        return f"{head}.{_url64(sign(self.oidc, head.encode()))}"

    # The services.

    def certify(self, body: bytes, authorization: str) -> dict[str, Any]:
        """Fulcio: a certificate for the key of a request, for whoever the token names."""
        head, _, signature = authorization.removeprefix("Bearer ").rpartition(".")
        try:
            self.oidc.public_key().verify(
                _unurl64(signature), head.encode(), ec.ECDSA(hashes.SHA256())
            )
        except InvalidSignature:
            raise Refused(401, "There was an error processing the identity token") from None
        claims = json.loads(_unurl64(head.split(".")[1]))
        pem = base64.b64decode(json.loads(body)["certificateSigningRequest"])
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise Refused(400, "The public key supplied in the request is not valid")
        made = self.instance.certificate(
            _Public(key),  # type: ignore[arg-type]
            names=[x509.UniformResourceIdentifier(claims["sub"])],
            issuer=claims["iss"],
            old_issuer=claims["iss"],
        )
        fulcio = self.instance.fulcio
        chain = [
            one.public_bytes(Encoding.PEM).decode()
            for one in (made, fulcio.certificate, fulcio.root)
        ]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def log_1(self, body: bytes) -> dict[str, Any]:
        """Rekor, API v1: an envelope with its certificate becomes an entry with a promise and a proof."""
        given = json.loads(body)
        if (given["kind"], given["apiVersion"]) != ("dsse", "0.0.1"):
            raise Refused(400, "unknown kind of entry")
        content = given["spec"]["proposedContent"]
        envelope, (verifier,) = json.loads(content["envelope"]), content["verifiers"]
        payload = base64.b64decode(envelope["payload"])
        certificate = x509.load_pem_x509_certificate(base64.b64decode(verifier))
        signature = envelope["signatures"][0]["sig"]
        kind = envelope["payloadType"].encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        _check(certificate, base64.b64decode(signature), signed)
        entry = self.instance.entry(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": _hash(content["envelope"].encode()),
                    "payloadHash": _hash(payload),
                    "signatures": [{"signature": signature, "verifier": verifier}],
                },
            }
        )
        proof = entry["inclusionProof"]
        return {
            "24296fb24b8ad77a" + "0" * 64: {
                "body": entry["canonicalizedBody"],
                "integratedTime": int(entry["integratedTime"]),
                "logID": log_id(self.instance.rekor).hex(),
                "logIndex": int(entry["logIndex"]),
                "verification": {
                    "inclusionProof": {
                        "checkpoint": proof["checkpoint"]["envelope"],
                        "hashes": [base64.b64decode(one).hex() for one in proof["hashes"]],
                        "logIndex": int(proof["logIndex"]),
                        "rootHash": base64.b64decode(proof["rootHash"]).hex(),
                        "treeSize": int(proof["treeSize"]),
                    },
                    "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                },
            }
        }

    def log_2(self, body: bytes) -> dict[str, Any]:
        """Rekor, API v2: a hash with its signature and certificate becomes an entry with a proof, and no time."""
        given = json.loads(body)["hashedRekordRequestV002"]
        verifier = given["signature"]["verifier"]
        return self.instance.entry(
            {
                "apiVersion": "0.0.2",
                "kind": "hashedrekord",
                "spec": {
                    "hashedRekordV002": {
                        "data": {"algorithm": "SHA2_256", "digest": given["digest"]},
                        "signature": {
                            "content": given["signature"]["content"],
                            "verifier": verifier,
                        },
                    }
                },
            },
            tiles=True,
        )

    def stamp(self, body: bytes) -> bytes:
        """RFC 3161, section 2.4: when a hash was there."""
        _, imprint, *more = der.read(body).expect(der.SEQUENCE).children()
        (nonce,) = [one.raw for one in more if one.tag == der.INTEGER]
        hashed = imprint.children()[1].expect(der.OCTETS).body
        return self.instance.timestamp(b"", imprint=hashed, nonce=nonce)

    def _answer(self, path: str, body: bytes, authorization: str) -> Any:
        routes: dict[str, Callable[[], Any]] = {
            "/api/v2/signingCert": lambda: self.certify(body, authorization),
            "/api/v1/log/entries": lambda: self.log_1(body),
            "/api/v2/log/entries": lambda: self.log_2(body),
            "/api/v1/timestamp": lambda: self.stamp(body),
        }
        self.requests.append(path)
        # What is certified, logged and stamped is of the time when it was asked for, as with a real one.
        self.instance.now = _now()
        return self.spoil(path, routes[path]())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    made = answer(self.path, body, self.headers.get("Authorization", ""))
                    status = 201 if "entries" in self.path or "signingCert" in self.path else 200
                except Refused as refused:
                    status, words = refused.args
                    made = {"code": status, "message": words}
                data = made if isinstance(made, bytes) else _json(made)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing; a test looks at `requests`."""

        return Handler


class _Public:
    """A public key where the instance asks a private one for its public half."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return it."""
        return self._key


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _check(certificate: x509.Certificate, signature: bytes, data: bytes) -> None:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused(400, "the signature does not verify") from None


def _hash(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unurl64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


__all__ = ["ISSUER", "WORKFLOW", "Refused", "Sigstore", "b64"]
