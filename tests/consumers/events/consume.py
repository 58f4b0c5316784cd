"""Consumes the events of GREEN-API from /events of a bridge without a broker. Python alone is enough.

Usage: python consume.py http://HOST:PORT LEDGER
"""

import hashlib
import os
import signal
import sys
import time
import urllib.error
import urllib.request


def work(event_id, instance, body, position, ledger):
    """Yours: whatever must happen once. It keeps the id and the position with its result."""
    digest = hashlib.sha256(body).hexdigest()
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{event_id} {instance} {digest} {position}\n".encode())
        os.fsync(file.fileno())


def lines_after(address, position):
    """The lines that /events sends, beginning after that position; one comes at least every 15 s."""
    request = urllib.request.Request(f"{address}/events", headers={"Last-Event-ID": position} if position else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer:
            yield line.decode().rstrip("\n")


def read(address, position, ledger, done):
    for line in lines_after(address, position):
        field, _, value = line.partition(": ")
        if field == "id":
            position, kind = value, "message"
        elif field == "event":
            kind = value  # "reset": that position is gone, and what follows begins with the oldest event
        elif field == "data" and kind == "message":
            # The line is the event as one line of JSON. This is its body byte for byte, with the attributes in headers.
            with urllib.request.urlopen(f"{address}/events/{position.rpartition('-')[2]}", timeout=60) as answer:
                event_id, instance, body = answer.headers["ce-id"], answer.headers["ce-instance"], answer.read()
            print(event_id, answer.headers["ce-type"], flush=True)
            if event_id not in done:
                work(event_id, instance, body, position, ledger)
                done.add(event_id)


if __name__ == "__main__":
    address, ledger = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        lines = [line.split() for line in open(ledger)] if os.path.isfile(ledger) else []
        try:
            read(address, lines[-1][-1] if lines else None, ledger, {line[0] for line in lines})
        except (urllib.error.URLError, ConnectionError, TimeoutError) as problem:
            print("connecting again:", problem, file=sys.stderr)
        time.sleep(1)
