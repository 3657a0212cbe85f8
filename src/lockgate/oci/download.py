"""Download of one blob in pieces; what breaks off is continued where it ended (RFC 9110 section 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import RegistryError
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Generator

    from lockgate.oci.manifest import Descriptor
    from lockgate.oci.transport import Transport

_STEP = 8 << 20
"""Bytes that must have come since the last failure for the attempts to be counted anew."""


def pieces(transport: Transport, descriptor: Descriptor) -> Generator[bytes, None, None]:
    """Yield a blob as it comes; nothing of it is checked but that it is not too short.

    Raises:
        RegistryError: the blob is not there, or did not come to its end with all attempts.
    """
    got = reached = failures = 0
    while True:
        try:
            for piece in _rest(transport, descriptor, got):
                got += len(piece)
                yield piece
        except RegistryError as error:
            if got and got == descriptor.size:
                # Only the end of the answer is missing, or its length was a lie; there is no rest to ask for.
                return
            failures = 1 if got >= reached + _STEP else failures + 1
            reached = got
            transport.pause(error, failures)
        else:
            return


def _rest(
    transport: Transport, descriptor: Descriptor, start: int, *, ranged: bool = True
) -> Generator[bytes, None, None]:
    what = f"blob {Digest(descriptor.digest).short}"
    url = f"{transport.endpoint.address}/blobs/{descriptor.digest}"
    # With its end, since not every registry reads a range without one.
    headers = {"Range": f"bytes={start}-{descriptor.size - 1}"} if start and ranged else {}
    accept = (200, 206, 416) if headers else (200,)
    left = descriptor.size - start
    with transport.exchange("GET", url, what, headers=headers, accept=accept) as response:
        partial = response.status_code == 206
        if partial and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise RegistryError(
                f"{transport.endpoint.name} sends another part of {what} than was asked for",
                hint="run the same command again",
            )
        skip = 0 if partial else start
        for piece in response.iter_raw() if response.status_code != 416 else ():
            rest = piece[skip:]
            skip -= min(skip, len(piece))
            left -= len(rest)
            if rest:
                yield rest
            if left < 0:
                return  # whoever checks the bytes will say so
    if response.status_code == 416:
        yield from _rest(transport, descriptor, start, ranged=False)
    elif left:
        raise RegistryError(
            f"{what} from {transport.endpoint.name} ended {left} bytes too early",
            hint="run the same command again",
            retryable=True,
        )
