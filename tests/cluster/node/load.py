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

total = adds = failed = 0
kept = http.client.HTTPConnection(HOST, timeout=10)


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


def read(number: int) -> bool:
    """Read the list, every other time over a connection that is kept."""
    if number % 2:
        return ask(kept, "GET", "/")[0] == 200
    fresh = http.client.HTTPConnection(HOST, timeout=10)
    try:
        return ask(fresh, "GET", "/", Connection="close")[0] == 200
    finally:
        fresh.close()


def add(number: int) -> bool:
    """Fill in the form: the page and the answer may come from two replicas."""
    page, form = (http.client.HTTPConnection(HOST, timeout=10) for _ in range(2))
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
while time.monotonic() < end:
    # The rules that let this pod reach the app follow a moment after its start.
    try:
        socket.create_connection((HOST, 80), timeout=10).close()
    except OSError:
        time.sleep(0.1)
    else:
        break
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
