"""Prints what is in a stream: `nats stream view` for the walk. Usage: python walk_view.py SERVER STREAM"""

import asyncio
import sys

import nats


async def main(server, stream):
    client = await nats.connect(server)
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await jetstream.get_msg(stream, sequence)
        print(f"[{sequence}] {message.subject} {message.data.decode()}")
    await client.close()


asyncio.run(main(*sys.argv[1:]))
