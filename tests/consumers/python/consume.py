"""Consumes the events of GREEN-API from Kafka or JetStream.

Usage: python consume.py kafka|nats ADDRESS GROUP LEDGER
"""

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys

import greenapi  # datamodel-codegen makes it from what `greenapi-bridge schema` prints
import nats
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, KafkaException
from nats.js.api import ConsumerConfig

CLASSES = ["incoming", "outgoing", "state", "device", "other"]
NAMES = """incomingMessageReceived incomingMessageStatus incomingCall incomingBlock outgoingMessageReceived
outgoingAPIMessageReceived outgoingMessageStatus outgoingCall stateInstanceChanged statusInstanceChanged quotaExceeded
deviceInfo""".split()
TYPES = {f"com.green-api.{name}": getattr(greenapi, name[0].upper() + name[1:]) for name in NAMES}


class ExactBytes(JSONFormat):
    """The SDK would parse the body; this leaves it as it was received."""

    def read_data(self, body, datacontenttype):
        return body


def append(path, *words):
    with open(path, "ab", buffering=0) as file:
        file.write(" ".join(words).encode() + b"\n")
        os.fsync(file.fileno())


def work(event, notification, ledger):
    """Yours: whatever must happen once. It keeps the id with its result, so that a repeat is known."""
    digest = hashlib.sha256(event.get_data()).hexdigest()
    append(ledger, event.get_id(), event.get_extension("instance"), digest, type(notification).__name__)


def handle(to_event, body, ledger, done):
    try:
        event = to_event()
        event_id = event.get_id()
        # pydantic's own JSON parser refuses half an emoji, which a text cut by its length has
        notification = TYPES.get(event.get_type(), greenapi.Notification).model_validate(json.loads(body))
    except Exception as problem:  # poison: set aside, because it would come again for ever
        append(ledger + ".parked", hashlib.sha256(body).hexdigest(), base64.b64encode(body).decode())
        print("parked:", type(problem).__name__, file=sys.stderr)
        return
    if event_id not in done:
        work(event, notification, ledger)
        done.add(event_id)
        print(event_id, event.get_type(), flush=True)


def read_kafka(servers, group, ledger, done):
    options = {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer(options)
    consumer.subscribe([f"greenapi.{name}" for name in CLASSES])
    try:
        while True:
            for message in consumer.consume(100, timeout=1):
                if message.error():
                    raise KafkaException(message.error())
                raw = kafka.KafkaMessage(dict(message.headers() or []), message.key(), message.value() or b"")
                handle(lambda: kafka.from_binary(raw, ExactBytes()), raw.value, ledger, done)
                consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()


async def read_nats(server, durable, ledger, done):
    client = await nats.connect(server)
    # One unacknowledged message at a time keeps the order, also when this ends in the middle or shares its work.
    subjects = [f"greenapi.{name}.>" for name in CLASSES]
    options = ConsumerConfig(max_ack_pending=1, ack_wait=5, filter_subjects=subjects)  # must exceed the slowest work
    subscription = await client.jetstream().pull_subscribe("", durable, "GREENAPI", options)
    while True:
        try:
            [message] = await subscription.fetch(1, timeout=5)
        except nats.errors.TimeoutError:
            continue
        raw = http.HTTPMessage(message.headers or {}, message.data)
        handle(lambda: http.from_binary(raw, ExactBytes()), raw.body, ledger, done)
        await message.ack_sync()


if __name__ == "__main__":
    broker, address, group, ledger = sys.argv[1:]
    done = {line.split()[0] for line in open(ledger)} if os.path.isfile(ledger) else set()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # at any moment: what was not committed comes again
    if broker == "kafka":
        read_kafka(address, group, ledger, done)
    else:
        asyncio.run(read_nats(address, group, ledger, done))
