"""Keeps the last state of each instance in the key-value bucket `states`. JetStream does it alone once this has run.

Usage: python last_state.py ADDRESS [INSTANCE]; with INSTANCE prints its last stateInstanceChanged
"""

import asyncio
import sys

import nats
from nats.js.api import StreamConfig, StreamSource, SubjectTransform


async def main(address, instance=None):
    client = await nats.connect(address)
    stream = client.jetstream()
    # A bucket is a stream. This one copies its values from GREENAPI, and keeps the last of each instance.
    to = SubjectTransform("greenapi.state.*.stateInstanceChanged", "$KV.states.{{wildcard(1)}}")
    copied = StreamSource(name="GREENAPI", subject_transforms=[to])
    bucket = StreamConfig(name="KV_states", sources=[copied], max_msgs_per_subject=1, allow_direct=True, allow_rollup_hdrs=True)
    await stream.add_stream(bucket)
    if instance:
        states = await stream.key_value("states")
        print((await states.get(instance)).value.decode())
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
