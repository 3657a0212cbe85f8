"""A program in a network of its own, from which it reaches named ports of this machine's loopback and nothing else.

For servers that listen on every address and cannot be told otherwise: nobody else can reach what listens in there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from lockgate.base import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CHUNK = 1 << 16
_SECONDS = 20.0


class Enclosure:
    """A network with the ports of this machine that are let in.

    `enter` is called in the new process. It opens the ports there and hands the sockets out, which stay in the network
    that they were made in: so this process accepts what comes to them, and connects to the real ports.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = tuple(ports)
        self._outer, self._inner = socket.socketpair()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def enter(self) -> None:
        """Move the calling process, between fork and exec, into a network of its own.

        Raises:
            OSError: the kernel does not let it.
        """
        kernel.enter(kernel.CLONE_NEWNET, uid=os.geteuid(), gid=os.getegid())
        kernel.loopback_up()
        made = [socket.create_server(("127.0.0.1", port)) for port in self._ports]
        socket.send_fds(self._inner, [b"."], [one.fileno() for one in made])
        for one in made:
            one.close()

    def open(self) -> None:
        """Begin to pass on what comes to the ports. The process has entered."""
        self._outer.settimeout(_SECONDS)
        _, handles, _, _ = socket.recv_fds(self._outer, 1, len(self._ports))
        for handle, port in zip(handles, self._ports, strict=True):
            listener = socket.socket(fileno=handle)
            self._sockets.add(listener)
            self._run(self._accept, listener, port)

    def close(self) -> None:
        """Pass on nothing more."""
        with self._lock:
            self._closed = True
            for one in self._sockets:
                # Whoever waits for it is woken, and closes it.
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join(_SECONDS)
        self._outer.close()
        self._inner.close()

    def _run(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with listener:
            while True:
                try:
                    here, _ = listener.accept()
                except OSError:
                    return
                try:
                    there = socket.create_connection(("127.0.0.1", port), _SECONDS)
                except OSError:
                    here.close()
                    continue
                there.settimeout(None)
                with self._lock:
                    if self._closed:
                        here.close()
                        there.close()
                        return
                    self._sockets |= {here, there}
                self._run(self._connect, here, there)

    def _connect(self, here: socket.socket, there: socket.socket) -> None:
        back = threading.Thread(target=_pass, args=(there, here), daemon=True)
        back.start()
        _pass(here, there)
        back.join()
        with self._lock:
            self._sockets -= {here, there}
            here.close()
            there.close()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes from one side until it ends, or the other side takes no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    for one, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            one.shutdown(how)


@contextlib.contextmanager
def enclosure(ports: Sequence[int]) -> Iterator[Enclosure]:
    """Give a network for one program; it ends with the block."""
    made = Enclosure(ports)
    try:
        yield made
    finally:
        made.close()
