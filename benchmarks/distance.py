"""A server that is some milliseconds away: `python -m benchmarks.distance TARGET MILLISECONDS`; prints its own port.

Bytes are passed on unchanged, each way after half of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float
) -> None:
    """Write what is read, later; what was read first is written first."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            loop.call_later(seconds, target.write, data)
    loop.call_later(seconds, target.close)


async def serve(target: int, seconds: float) -> None:
    """Listen on a free port of loopback for ever."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_pass_on(reader, back, seconds), _pass_on(there, writer, seconds))

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 2000))
