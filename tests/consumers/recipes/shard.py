"""Works one shard of the events. An instance is always in the same shard, so it stays in order, and shards run at once.

Usage: python shard.py ADDRESS SHARD SHARDS; prints the id and the instance of each event
"""

import asyncio
import signal
import sys

import nats
from nats.js.api import ConsumerConfig, StreamConfig, StreamSource, SubjectTransform


async def main(address, shard, shards):
    client = await nats.connect(address)
    stream = client.jetstream()
    # A stream that copies GREENAPI, with the number of the shard before the subject. Wildcard 2 is the instance.
    to = "shard.{{partition(%s,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}" % shards
    copied = StreamSource(name="GREENAPI", subject_transforms=[SubjectTransform("greenapi.*.*.*", to)])
    await stream.add_stream(StreamConfig(name="GREENAPI_SHARDS", sources=[copied], max_age=7 * 86400))
    options = ConsumerConfig(max_ack_pending=1)
    subscription = await stream.pull_subscribe(f"shard.{shard}.>", f"shard-{shard}", "GREENAPI_SHARDS", options)
    while True:
        try:
            [message] = await subscription.fetch(1, timeout=5)
        except nats.errors.TimeoutError:
            continue
        headers = message.headers or {}
        print(headers.get("ce-id", "-"), message.subject.split(".")[3], flush=True)  # your work
        await message.ack_sync()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(main(*sys.argv[1:]))
