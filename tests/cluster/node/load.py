"""A constant, light load on the app, from a pod beside it: reads, and now and then a form. Bounded in time.

It prints a line for each request that failed, and each second how many there were: `total adds failed`.
"""

from __future__ import annotations

import http.client
import re
import socket
import sys
import time
import urllib.parse

HOST = sys.argv[1]
SECONDS = int(sys.argv[2])
PATIENCE = 60
"""Seconds for one answer: the machine may be busy, and what answers late has not failed."""
IDLE = 1.0
"""Seconds after which nobody asks over a connection that is kept: any server hangs up on one that is idle."""

total = adds = failed = 0


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str | None = None,
    **headers: str,
) -> tuple[int, http.client.HTTPMessage, str]:
    """Send a request; return status, headers and text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


class Kept:
    """A connection that is kept from one request to the next."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        self._used = 0.0

    def read(self) -> bool:
        """Read the list, over a new connection when this one was idle."""
        if time.monotonic() - self._used > IDLE:
            self.close()
        try:
            return ask(self._connection, "GET", "/")[0] == 200
        finally:
            self._used = time.monotonic()

    def close(self) -> None:
        """Have the next request open another one."""
        self._connection.close()


def read(number: int) -> bool:
    """Read the list, every other time over a connection that is kept."""
    if number % 2:
        return kept.read()
    fresh = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        return ask(fresh, "GET", "/", Connection="close")[0] == 200
    finally:
        fresh.close()


def add(number: int) -> bool:
    """Fill in the form: the page and the answer may come from two replicas."""
    page, form = (http.client.HTTPConnection(address, timeout=PATIENCE) for _ in range(2))
    try:
        status, headers, text = ask(page, "GET", "/")
        cookie = headers["Set-Cookie"].partition(";")[0]
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', text)[:1]
        fields = urllib.parse.urlencode({"csrf_token": token, "title": f"load {number}"})
        kind = "application/x-www-form-urlencoded"
        sent = ask(form, "POST", "/add", fields, Cookie=cookie, Content_Type=kind)
        return (status, sent[0]) == (200, 302)
    finally:
        page.close()
        form.close()


end = time.monotonic() + SECONDS
address = ""
while not address and time.monotonic() < end:
    # The rules that let this pod reach the app follow a moment after its start.
    try:
        with socket.create_connection((HOST, 80), timeout=PATIENCE) as found:
            # That of the Service, which stays: how quickly names are resolved is not what is tried.
            address = found.getpeername()[0]
    except OSError:
        time.sleep(0.1)
kept = Kept()
told = 0.0
while time.monotonic() < end:
    work = add if total % 20 == 10 else read
    try:
        good = work(total)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the request failed
        good = False
        print("failed:", work.__name__, repr(error), flush=True)
        kept.close()
    total += 1
    adds += good and work is add
    failed += not good
    if time.monotonic() - told > 1:
        told = time.monotonic()
        print(total, adds, failed, flush=True)
    time.sleep(0.03)
