"""Answers questions of tests about the network that it runs in."""

import http.server
import os
import socket
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def resolve(name):
    """Return the addresses of a name."""
    return " ".join(sorted({one[4][0] for one in socket.getaddrinfo(name, None)}))


def fetch(url):
    """Return the status with which an address answers."""
    tls = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt") if url.startswith("https") else None
    try:
        with urllib.request.urlopen(url, timeout=30, context=tls) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)


QUESTIONS = {"/resolve": resolve, "/fetch": fetch}


class Handler(http.server.BaseHTTPRequestHandler):
    """`/resolve?of=NAME`, `/fetch?of=URL`; anything else is answered with `ok`."""

    def do_GET(self):
        """Answer one question."""
        path, _, query = self.path.partition("?")
        try:
            text = "ok"
            if path in QUESTIONS:
                (argument,) = urllib.parse.parse_qs(query)["of"]
                text = QUESTIONS[path](argument)
        except OSError as error:
            text = f"no: {error}"
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


if __name__ == "__main__":
    if sys.argv[1:] == ["eat"]:
        bytearray(1 << 30).count(1)
    port = int(os.environ.get("PORT", "8080"))
    print("listening", flush=True)
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
