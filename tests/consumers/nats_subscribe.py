#!/usr/bin/env python3
"""A plain core NATS subscriber: what somebody sees who never heard of JetStream.

Prints the line `ready` once the server knows the subscription, then one JSON line
per message: {"seq": null, "subject", "headers": {name: value}, "body": base64}.

Exit codes: 0 --count messages came; 1 time-out, or the server refuses; 2 no connection, or it was lost;
3 a malformed or repeated header.
"""

import asyncio
import sys
import time

sys.dont_write_bytecode = True

import wire  # noqa: E402  (first: it says so when nats-py is missing)

from nats.errors import TimeoutError as NatsTimeout  # noqa: E402


def arguments():
    parser = wire.parser(
        "Print messages of a subject as JSON lines, without JetStream.",
        "--subject 'greenapi.>' --count 3",
        "the longest wait in all",
    )
    parser.add_argument("--subject", required=True, metavar="F", help="subject to follow (* and > allowed)")
    parser.add_argument("--count", required=True, type=int, metavar="N", help="end after N messages")
    return parser.parse_args()


async def follow(client, args):
    subscription = await client.subscribe(args.subject, pending_msgs_limit=0, pending_bytes_limit=0)
    # The answer to this ping comes after the server has read the subscription.
    await client.flush()
    print("ready", flush=True)
    deadline = time.monotonic() + args.timeout
    for got in range(args.count):
        try:
            message = await subscription.next_msg(timeout=max(deadline - time.monotonic(), 0.001))
        except (NatsTimeout, asyncio.TimeoutError):
            if not client.is_connected:
                raise
            raise wire.Failure(
                wire.EXIT_SHORT, f"{got} of {args.count} messages on {args.subject} after {args.timeout:g} s"
            ) from None
        wire.write_line(None, message)
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    wire.run(follow, arguments())
