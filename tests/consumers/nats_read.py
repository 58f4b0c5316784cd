#!/usr/bin/env python3
"""Reads a JetStream stream from its first message to the last one there at start.

One JSON line per message: {"seq", "subject", "headers": {name: value}, "body": base64}.

Exit codes: 0 all read; 1 fewer than --count, no such stream, or a message that
was announced and did not come; 2 no connection; 3 a malformed or repeated header.
"""

import asyncio
import itertools
import json
import sys
import time

sys.dont_write_bytecode = True

import wire  # noqa: E402  (first: it says so when nats-py is missing)

from nats.errors import NoRespondersError  # noqa: E402
from nats.errors import TimeoutError as NatsTimeout  # noqa: E402
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: E402
from nats.js.errors import NotFoundError  # noqa: E402

BATCH = 256
# A server drops a client that is 64 MiB behind, so a request ends well below that.
REQUEST_BYTES = 24 * 1024**2


def arguments():
    parser = wire.parser(
        "Print every message of a JetStream stream as JSON lines.",
        "--stream GREENAPI --subject 'greenapi.incoming.>'",
        "with --count: the longest wait in all; else: the longest silence while reading",
    )
    parser.add_argument("--stream", required=True, metavar="S", help="name of the stream")
    parser.add_argument("--subject", metavar="FILTER", help="only messages whose subject matches (* and > allowed)")
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="wait until at least N messages are there; more than N are printed too",
    )
    return parser.parse_args()


async def open_reader(js, args, deadline):
    """An ephemeral consumer that acknowledges nothing, so reading changes nothing."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        filter_subject=args.subject,
        inactive_threshold=max(30.0, args.timeout + 5),
        mem_storage=True,
        num_replicas=1,
    )
    while True:
        try:
            return await js.add_consumer(args.stream, config)
        except NotFoundError:
            why = f"stream {args.stream} does not exist"
        except NoRespondersError:
            why = "JetStream is not enabled on this server"
        except NatsTimeout:
            why = "JetStream does not answer"
        # With --count the stream may still be on its way.
        if not args.count or time.monotonic() >= deadline:
            raise wire.Failure(wire.EXIT_SHORT, why)
        await asyncio.sleep(0.1)


async def fetch(client, inbox, reply, request_subject, batch, patience):
    """One pull request; yields its messages. The library's own has no limit in bytes."""
    request = {"batch": batch, "max_bytes": REQUEST_BYTES, "expires": int(patience * 1e9)}
    await client.publish(request_subject, json.dumps(request).encode(), reply=reply)
    came = 0
    while came < batch:
        message = await inbox.next_msg(timeout=patience + 1)
        # A message of the stream has an acknowledgement subject, a status line has none.
        if message.reply:
            came += 1
            yield message
        elif message.subject == reply:  # else it ends a request that is over already
            headers = message.headers or {}
            status, text = headers.get("Status"), headers.get("Description", "")
            if status in ("404", "408"):
                raise NatsTimeout
            if "MaxBytes" in text or "Batch Completed" in text:
                return
            code = wire.EXIT_CONNECTION if "Shutdown" in text else wire.EXIT_SHORT
            raise wire.Failure(code, f"the server ended the reading: {status} {text}")


async def read(client, args):
    deadline = time.monotonic() + args.timeout
    js = client.jetstream(timeout=5)
    reader = await open_reader(js, args, deadline)
    request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{args.stream}.{reader.name}"
    replies = client.new_inbox()
    inbox = await client.subscribe(f"{replies}.*", pending_msgs_limit=0, pending_bytes_limit=0)
    promised = reader.num_pending or 0
    wanted = max(promised, args.count or 0)
    got, last_seq, pending = 0, 0, promised
    requests = itertools.count()
    # With --count, what came in while we waited is printed as well.
    while got < wanted or (args.count and pending > 0):
        # Only the wait for messages that are not there yet ends at the deadline.
        patience = args.timeout if pending > 0 else deadline - time.monotonic()
        try:
            if patience <= 0:
                raise NatsTimeout
            # No more than is there, so that no request is left half answered.
            batch = min(BATCH, max(pending, 1))
            if not args.count:
                batch = min(batch, wanted - got)
            reply = f"{replies}.{next(requests)}"
            async for message in fetch(client, inbox, reply, request_subject, batch, patience):
                meta = message.metadata
                got += 1
                # Each delivery is numbered. A hole means this client lost a message.
                if meta.sequence.consumer != got or meta.sequence.stream <= last_seq:
                    raise wire.Failure(
                        wire.EXIT_WIRE,
                        f"delivery {meta.sequence.consumer} (message {meta.sequence.stream}) came as number {got}",
                    )
                last_seq, pending = meta.sequence.stream, meta.num_pending
                wire.write_line(last_seq, message)
        except (NatsTimeout, asyncio.TimeoutError):
            if not client.is_connected:
                raise
            if not args.count and not (await js.consumer_info(args.stream, reader.name)).num_pending:
                return 0  # deleted while we were reading; nothing is left to wait for
            raise wire.Failure(
                wire.EXIT_SHORT, f"{got} of {wanted} messages in {args.stream} after {args.timeout:g} s"
            ) from None
    return 0


if __name__ == "__main__":
    wire.run(read, arguments())
