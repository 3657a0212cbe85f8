"""SOPS: files whose values are encrypted, opened in memory. The plain file is never written anywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import CommandFailed, ToolError
from lockgate.base.process import plain_environment, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS = 60
_OF_KEYS = ("SOPS_", "AWS_", "GOOGLE_", "AZURE_", "VAULT_", "GNUPGHOME", "XDG_CONFIG_HOME")
"""Starts of the variables by which SOPS finds keys."""


class Sops(NamedTuple):
    """The program `sops`; it may ask a key service, so it keeps the network."""

    find: Callable[[], Path]
    """Returns its path; called when the first encrypted file is met."""

    def __call__(self, data: bytes, *, where: str) -> bytes:
        """Return an encrypted file in plain, as YAML.

        Raises:
            ToolError: the program is missing, or has no key that opens the file, or the file was changed.
        """
        names = [name for name in os.environ if name.startswith(_OF_KEYS)]
        words = ["--disable-version-check", "--decrypt", "--input-type", "yaml"]
        argv = [os.fspath(self.find()), *words, "--output-type", "yaml", "/dev/stdin"]
        try:
            done = run(argv, timeout=_SECONDS, env=plain_environment(*names), stdin=data)
        except CommandFailed as error:
            # What it prints about values stays with it.
            raise ToolError(
                f"{where} could not be opened by sops: {_reason(error.stderr_tail)}",
                hint="`sops --decrypt FILE` on its own says more; with a kustomization, keys that are added to "
                "an encrypted object need `mac_only_encrypted: true` in `.sops.yaml`",
            ) from None
        return done.stdout


def _reason(text: str) -> str:
    known = {
        "MAC mismatch": "the file was changed since it was encrypted",
        "data key": "none of the keys here opens it",
        "metadata not found": "it is not encrypted",
    }
    return next((why for mark, why in known.items() if mark in text), "it refused the file")
