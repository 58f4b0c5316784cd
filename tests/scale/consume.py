"""The main container of a pod: takes every message of a stream in order, and writes a line for each, as
tests/consumers/events/consume.py does.

Usage: python consume.py SERVER STREAM LEDGER
"""

import asyncio
import hashlib
import os
import signal
import sys

import nats
from nats.js.api import ConsumerConfig


def append(ledger, message):
    headers = message.headers
    digest = hashlib.sha256(message.data).hexdigest()
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{headers['ce-id']} {headers['ce-instance']} {digest} {message.metadata.sequence.stream}\n".encode())
        os.fsync(file.fileno())


async def read(server, stream, ledger, done):
    client = await nats.connect(server)
    # one unacknowledged message at a time keeps the order, also when this ends in the middle
    options = ConsumerConfig(max_ack_pending=1, ack_wait=5)
    subscription = await client.jetstream().pull_subscribe("", "pod", stream, options)
    while True:
        try:
            [message] = await subscription.fetch(1, timeout=5)
        except nats.errors.TimeoutError:
            continue
        if message.headers["ce-id"] not in done:
            append(ledger, message)
            done.add(message.headers["ce-id"])
        await message.ack_sync()


if __name__ == "__main__":
    server, stream, ledger = sys.argv[1:]
    done = {line.split()[0] for line in open(ledger)} if os.path.isfile(ledger) else set()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # at any moment: what was not acknowledged comes again
    asyncio.run(read(server, stream, ledger, done))
