"""Headers on every response, and static files that a browser never mixes up."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from todo import health

SECURITY = {
    # 'self' alone: no inline script or style, nothing from another host.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: over HTTPS the CSRF check compares the referrer with the host.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def init_app(app: Flask) -> None:
    """Add the headers, the footer's version and the static files' fingerprints to `app`."""
    fingerprints = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in Path(app.root_path, "static").iterdir()
    }

    @app.url_defaults
    def fingerprint(endpoint: str, values: dict[str, Any]) -> None:
        # A reproducible image gives every file the same time, and Flask's ETag is made of time
        # and size: without a fingerprint in the address a browser could keep an old stylesheet.
        if endpoint == "static":
            values["v"] = fingerprints.get(values["filename"])

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.update(SECURITY)
        if request.endpoint != "static":
            # Pages carry a token and probes carry a state: neither belongs in a cache.
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.context_processor
    def running() -> dict[str, object]:
        return {"running": health.version_record()}
